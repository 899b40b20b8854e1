"""The cached answers of a kept host, for calls that are equal in every byte to an earlier call.

No test can change the weights of a model in the host. So equal calls have answers with the same bits, unless the
model draws random numbers, and a run need not wait for what an earlier run has already computed.
"""

from __future__ import annotations

import threading
from collections import Counter, OrderedDict
from dataclasses import dataclass, field

from modelenv.host.messages.protocol import Call, is_plain
from modelenv.host.messages.transport import pickled

# The pipelines of these tasks use a text as it is. For other tasks it can be a path or URL, whose content can change.
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
class CacheKey:
    """Identifies a call whose answer depends on nothing else, unless random numbers are drawn for it.

    Attributes:
        model: The model's name.
        data: The pickled recipe and arguments.
    """

    model: str
    data: bytes

    @classmethod
    def of(cls, call: Call) -> CacheKey | None:
        """Return the call's key, or None if its answer can depend on anything else."""
        arguments = (call.args, dict(call.kwargs))
        if call.recipe.task == "text-generation" and not isinstance(next(iter(call.args), None), str):
            return None  # the template of a chat can contain the date
        if call.path or call.recipe.task not in _TEXT_TASKS or not is_plain(arguments):
            return None
        return cls(call.recipe.model, pickled((call.recipe, arguments)))


@dataclass(eq=False)
class ResponseCache:
    """Caches pickled answers. The least recently used are dropped when the limit is exceeded.

    Attributes:
        limit: The limit in bytes for keys and answers together.
    """

    limit: int
    _answers: OrderedDict[CacheKey, bytes] = field(default_factory=OrderedDict)
    _bytes: int = 0
    _reused: Counter[str] = field(default_factory=Counter)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def find(self, key: CacheKey) -> bytes | None:
        """Return the pickled answer to an equal call, or None if it is not cached."""
        with self._lock:
            answer = self._answers.get(key)
            if answer is not None:
                self._answers.move_to_end(key)
                self._reused[key.model] += 1
        return answer

    def keep(self, key: CacheKey, answer: bytes) -> None:
        """Cache a pickled answer."""
        with self._lock:
            self._bytes -= _size(key, self._answers.pop(key, None))
            self._answers[key] = answer
            self._bytes += _size(key, answer)
            while self._bytes > self.limit:
                self._bytes -= _size(*self._answers.popitem(last=False))

    def take_reused(self) -> dict[str, int]:
        """Return the number of cached answers used for each model since the last call."""
        with self._lock:
            reused, self._reused = self._reused, Counter()
        return dict(reused)


def _size(key: CacheKey, answer: bytes | None) -> int:
    return 0 if answer is None else len(key.data) + len(answer)
