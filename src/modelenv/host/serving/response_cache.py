"""The answers that a kept host gives again, to calls that are equal in every byte to earlier ones.

A model whose weights no test can change answers the same call with the same bits, unless it draws random numbers. So
a run that asks what the run before asked need not wait for the computation.
"""

from __future__ import annotations

import threading
from collections import Counter, OrderedDict
from dataclasses import dataclass, field

from modelenv.host.messages.protocol import Call, is_plain
from modelenv.host.messages.transport import pickled

# Their pipelines take a text for a text: for others it may be the path or the address of a file, which can change.
_TEXT_TASKS = frozenset(
    {
        "feature-extraction",
        "fill-mask",
        "table-question-answering",
        "text-classification",
        "text-generation",
        "token-classification",
        "zero-shot-classification",
    }
)


@dataclass(frozen=True)
class Question:
    """A call whose answer depends on nothing else, unless random numbers are drawn for it.

    Attributes:
        model: the model's name.
        data: the pickled recipe and arguments.
    """

    model: str
    data: bytes

    @classmethod
    def of(cls, call: Call) -> Question | None:
        """Return the call's question; None where the answer may depend on more."""
        asked = (call.args, dict(call.kwargs))
        if call.recipe.task == "text-generation" and not isinstance(next(iter(call.args), None), str):
            return None  # a chat's template may tell the date
        if call.path or call.recipe.task not in _TEXT_TASKS or not is_plain(asked):
            return None
        return cls(call.recipe.model, pickled((call.recipe, asked)))


@dataclass(eq=False)
class Answers:
    """Remembers answers; of too many, those that were not asked for longest are forgotten.

    Attributes:
        limit: bytes of questions and answers that are remembered at most.
    """

    limit: int
    _answers: OrderedDict[Question, bytes] = field(default_factory=OrderedDict)
    _bytes: int = 0
    _reused: Counter[str] = field(default_factory=Counter)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def find(self, question: Question) -> bytes | None:
        """Return the pickled answer to an equal question; None if there is none."""
        with self._lock:
            answer = self._answers.get(question)
            if answer is not None:
                self._answers.move_to_end(question)
                self._reused[question.model] += 1
        return answer

    def keep(self, question: Question, answer: bytes) -> None:
        """Remember an answer."""
        with self._lock:
            self._bytes -= _size(question, self._answers.pop(question, None))
            self._answers[question] = answer
            self._bytes += _size(question, answer)
            while self._bytes > self.limit:
                self._bytes -= _size(*self._answers.popitem(last=False))

    def take_reused(self) -> dict[str, int]:
        """Return the number of answers that were reused since the last call of this method, by model."""
        with self._lock:
            reused, self._reused = self._reused, Counter()
        return dict(reused)


def _size(question: Question, answer: bytes | None) -> int:
    return 0 if answer is None else len(question.data) + len(answer)
