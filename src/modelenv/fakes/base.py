"""What the fakes of all tasks share: the call forms of `transformers.Pipeline`, and its attributes.

The call forms are those of `Pipeline.__call__` in transformers 5.24 (`transformers/pipelines/base.py`).
"""

from __future__ import annotations

import sys
from abc import ABC, abstractmethod
from dataclasses import dataclass
from itertools import chain
from types import GeneratorType
from typing import TYPE_CHECKING, Any

from modelenv.fakes.mocking import MockFace
from modelenv.fakes.model.finding_tokenizer import read_tokenizer
from modelenv.fakes.model.model import FakeConfig, FakeModel, cpu
from modelenv.fakes.model.tokenizer import FakeTokenizer
from modelenv.fakes.model.tokens import TextTokenizer, WordTokenizer
from modelenv.fakes.parts import NEEDS_REAL_MODEL, is_none
from modelenv.fakes.scripting import Script, When
from modelenv.fakes.streams import AnswerStream
from modelenv.tasks import resolve_task

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from modelenv.fakes.model.facts import ModelFacts

# Arguments of transformers.pipeline and Pipeline.__init__ that choose what is loaded, and how.
_LOADING = frozenset(
    {
        "_commit_hash",
        "args_parser",
        "binary_output",
        "code_revision",
        "device",
        "device_map",
        "dtype",
        "feature_extractor",
        "image_processor",
        "model_kwargs",
        "pipeline_class",
        "processor",
        "revision",
        "token",
        "tokenizer",
        "torch_dtype",
        "trust_remote_code",
        "use_fast",
        "video_processor",
    }
)


@dataclass(frozen=True)
class Chat:
    """The messages of a chat, which the real pipeline makes one input of, for every task."""

    messages: Any

    @classmethod
    def of(cls, messages: Any) -> Chat:
        """Return the chat of `messages`.

        Raises:
            ValueError: one of them is no dict with a role and a content.
        """
        if not all(_is_message(message) for message in messages):
            raise ValueError("every message of a chat must be a dict with the keys 'role' and 'content'")
        return cls(messages)


class PipelineException(Exception):  # noqa: N818 (the name of the real one)
    """Stands for the class of this name in `transformers.pipelines.base`, where that is not imported.

    Args:
        task: the task.
        model: the model's name.
        reason: what is wrong with the input.
    """

    def __init__(self, task: str, model: str, reason: str) -> None:
        super().__init__(reason)
        self.task = task
        self.model = model


def pipeline_exception(task: str, model: str, reason: str) -> Exception:
    """Return the error that the real pipeline raises; of its own class, where the caller has imported that."""
    kind = getattr(sys.modules.get("transformers.pipelines.base"), "PipelineException", PipelineException)
    error: Exception = kind(task, model, reason)
    return error


class FakePipeline(MockFace, ABC):
    """The base of all fakes: call forms, mock, script, and the attributes that the real pipeline has.

    Attributes:
        task: the task as it was named, as in the real pipeline.
        model: a `FakeModel` with `config`, `name_or_path`, `device` and `dtype`.

    `tokenizer` is there where the model's folder has a `tokenizer.json`. It and the processors are None where no
    real pipeline of the task has one. Like all else that a fake does not have, they raise AttributeError elsewhere.
    """

    __slots__ = (
        "__weakref__",
        "_batch_size",
        "_facts",
        "_num_workers",
        "_parameters",
        "_script",
        "_tokenizer",
        "model",
        "task",
    )

    _pads_batches = False  # whether a batch needs the tokenizer's padding token

    def __init__(self, task: str, facts: ModelFacts, pipeline_kwargs: Mapping[str, Any]) -> None:
        super().__init__()
        self.task = task
        self.model = FakeModel(FakeConfig(facts), facts.name)
        self._facts = facts
        self._script = Script()
        self._tokenizer: TextTokenizer | None = None
        parameters = {name: value for name, value in pipeline_kwargs.items() if name not in _LOADING}
        self._batch_size = parameters.pop("batch_size", None)
        self._num_workers = parameters.pop("num_workers", None)
        self._parameters = self._read_parameters(parameters)

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self._script = Script(list(self._script.rules))  # a rule for a copy is none for the original

    @classmethod
    def default_config(cls, task: str) -> Mapping[str, Any]:
        """Return the config of the family's typical model, for a fake that knows only its model's name.

        Args:
            task: the task as the user named it.
        """
        return {}

    @abstractmethod
    def _read_parameters(self, kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """Return the parameters of `_one` that these arguments of the pipeline or of a call give."""

    @abstractmethod
    def _one(self, /, *item: Any, **parameters: Any) -> Any:
        """Return the answer to one input (`preprocess`, `forward` and `postprocess`); each family names its own."""

    def _singly(self, items: list[Any], /, **parameters: Any) -> list[Any]:
        return [self._one(item, **parameters) for item in items]

    def _batch(self, items: list[Any], /, **parameters: Any) -> list[Any]:
        """Return the answers to the inputs of one batch, where its size is not 1; to override if that matters."""
        return self._singly(items, **parameters)

    @property
    def device(self) -> Any:
        """The CPU: a `torch.device` where torch is imported, else what looks like one."""
        return cpu()

    @property
    def dtype(self) -> Any:
        """The dtype that the model's config names."""
        return self.model.dtype

    @property
    def tokenizer(self) -> FakeTokenizer | None:
        """The special tokens, lengths and encodings of the model's own tokenizer, read from its folder."""
        if is_none("tokenizer", resolve_task(self.task).name):
            return None
        tokenizer = self._tokenizer_of_model()
        if isinstance(tokenizer, WordTokenizer):
            raise AttributeError("the fake has no tokenizer")  # noqa: TRY004 (then __getattr__ says more)
        return FakeTokenizer(tokenizer, self._facts)

    def _tokenizer_of_model(self) -> TextTokenizer:
        """Return the model's tokenizer, which is read at first use: reading a large vocabulary takes a while."""
        if self._tokenizer is None:
            self._tokenizer = read_tokenizer(self._facts)
        return self._tokenizer

    def _answer(self, /, *args: Any, **kwargs: Any) -> Any:
        # Like the real Pipeline.__call__: positional arguments after the inputs are ignored.
        return self._run(*args[:1], **kwargs)

    @abstractmethod
    def when(self, pattern: Any) -> When:
        """Begin a rule for the texts that `pattern` matches."""

    def _run(
        self, inputs: Any, *, num_workers: int | None = None, batch_size: int | None = None, **kwargs: Any
    ) -> Any:
        """Answer `inputs` in the structure of its call form (`Pipeline.__call__`)."""
        inputs = _with_chats(inputs)
        parameters = {**self._parameters, **self._read_parameters(kwargs)}
        if isinstance(inputs, (list, GeneratorType)) or _is_instance(inputs, "torch.utils.data", "Dataset"):
            size = _first(batch_size, self._batch_size, 1)
            if size != 1 and self._pads_batches and "pad_token" not in self._tokenizer_of_model().special:
                raise ValueError("the tokenizer has no padding token, so it cannot pad batches")
            check_loader(_first(num_workers, self._num_workers, 0), size)
            answer = self._singly if size == 1 else self._batch
            stream = AnswerStream(
                inputs, lambda items: answer([_as_chat(item) for item in items], **parameters), size
            )
            return list(stream) if isinstance(inputs, list) else stream
        return self._one(_as_chat(inputs), **parameters)

    def predict(self, X: Any) -> Any:  # noqa: N803 (the real pipeline's name)
        """Answer as a call does (the scikit-learn interface of the real pipeline)."""
        return self(X)

    def transform(self, X: Any) -> Any:  # noqa: N803 (the real pipeline's name)
        """Answer as a call does (the scikit-learn interface of the real pipeline)."""
        return self(X)

    def __repr__(self) -> str:
        return f"{type(self).__name__}: {{'model': {self._facts.name!r}, 'device': 'cpu'}}"

    if not TYPE_CHECKING:  # a type checker must go on to flag unknown names

        def __getattr__(self, name: str) -> Any:
            if is_none(name, resolve_task(self.task).name):
                return None
            raise AttributeError(
                f"a fake pipeline has no {name!r}: it loads nothing and invents nothing. If the code under "
                f"test needs it, {NEEDS_REAL_MODEL}"
            )


def _with_chats(inputs: Any) -> Any:
    """Return `inputs` with each list of messages as one `Chat`."""
    if isinstance(inputs, GeneratorType):
        return _peeked(inputs)
    if _is_container(inputs):
        first = inputs[0]  # IndexError if empty, as in the real pipeline
        if _is_message(first):
            return Chat.of(inputs)
        if _is_listing(first) and all(chat and _is_message(chat[0]) for chat in inputs):
            return [Chat.of(chat) for chat in inputs]
    return inputs


def _peeked(items: Iterator[Any]) -> Any:
    """Consume the first item at once, as the real pipeline does, to tell a chat from a stream of inputs."""
    try:
        first = next(items)
    except StopIteration:
        return []
    if _is_message(first):
        return Chat.of([first, *items])
    holds_chats = _is_listing(first) and first and _is_message(first[0])
    return (Chat.of(item) if holds_chats else item for item in chain([first], items))


def _as_chat(item: Any) -> Any:
    """Return a chat of transformers' own class as a `Chat`; anything else as it is."""
    return Chat(item.messages) if _is_instance(item, "transformers.utils.chat_template_utils", "Chat") else item


def _is_listing(value: object) -> bool:
    return isinstance(value, (list, tuple))


def _is_container(inputs: object) -> bool:
    return _is_listing(inputs) or _is_instance(inputs, "transformers.pipelines.pt_utils", "KeyDataset")


def _is_message(item: object) -> bool:
    return isinstance(item, dict) and "role" in item and "content" in item


def _is_instance(value: object, module: str, name: str) -> bool:
    """Say whether `value` is of a class of a heavy module, without importing it: not loaded means no."""
    kind = getattr(sys.modules.get(module), name, None)
    return kind is not None and isinstance(value, kind)


def _first(*values: Any) -> Any:
    return next(value for value in values if value is not None)


def check_loader(num_workers: Any, batch_size: Any) -> None:
    """Raise what `torch.utils.data.DataLoader` raises for these arguments."""
    if num_workers < 0:
        raise ValueError(f"num_workers must not be negative, found {num_workers!r}")
    if type(batch_size) is not int or batch_size < 1:
        raise ValueError(f"batch_size must be a whole number of at least 1, found {batch_size!r}")
