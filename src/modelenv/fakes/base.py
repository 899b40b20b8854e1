"""The base of the fakes of all tasks: the call forms of `transformers.Pipeline`, and its attributes.

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
from modelenv.fakes.model.shown_tokenizer import FakeTokenizer
from modelenv.fakes.model.text_tokenizers import TextTokenizer, WordTokenizer
from modelenv.fakes.parts import NEEDS_REAL_MODEL, is_none
from modelenv.fakes.scripting import Script, When
from modelenv.fakes.streams import AnswerStream
from modelenv.tasks import resolve_task

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from modelenv.fakes.model.facts import ModelFacts

# Arguments of transformers.pipeline and Pipeline.__init__ that decide what is loaded, and how.
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
    """The messages of a chat. The real pipelines of all tasks treat them as one input."""

    messages: Any

    @classmethod
    def of(cls, messages: Any) -> Chat:
        """Return the chat of `messages`.

        Raises:
            ValueError: One of them is not a dict with a role and a content.
        """
        if not all(_is_message(message) for message in messages):
            raise ValueError("every message of a chat must be a dict with the keys 'role' and 'content'")
        return cls(messages)


class PipelineException(Exception):  # noqa: N818 - the name of the real class
    """Replaces the class of this name in `transformers.pipelines.base` if that is not imported.

    Args:
        task: The task.
        model: The model's name.
        reason: What is wrong with the input.
    """

    def __init__(self, task: str, model: str, reason: str) -> None:
        super().__init__(reason)
        self.task = task
        self.model = model


def pipeline_exception(task: str, model: str, reason: str) -> Exception:
    """Return the error of the real pipeline, of transformers' own class if that is imported."""
    kind = getattr(sys.modules.get("transformers.pipelines.base"), "PipelineException", PipelineException)
    error: Exception = kind(task, model, reason)
    return error


class FakePipeline(MockFace, ABC):
    """The base of all fakes: call forms, mock, script, and the attributes of the real pipeline.

    `tokenizer` exists if the model's folder has a `tokenizer.json`. The tokenizer and the processors are None if no
    real pipeline of the task has one. Otherwise they raise AttributeError, like everything that a fake does not have.

    Attributes:
        task: The task as the user named it, as in the real pipeline.
        model: A `FakeModel` with `config`, `name_or_path`, `device` and `dtype`.
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

    _pads_batches = False  # whether a batch needs the padding token of the tokenizer

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
        self._script = Script(list(self._script.rules))  # a rule for a copy does not apply to the original

    @classmethod
    def default_config(cls, task: str) -> Mapping[str, Any]:
        """Return the config of the family's typical model, for a fake that only knows the name of its model.

        Args:
            task: The task as the user named it.
        """
        return {}

    @abstractmethod
    def _read_parameters(self, kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """Return the parameters of `_one` for these arguments of the pipeline or of a call."""

    @abstractmethod
    def _one(self, /, *item: Any, **parameters: Any) -> Any:
        """Return the answer to one input (`preprocess`, `forward`, `postprocess`), with the family's parameters."""

    def _singly(self, items: list[Any], /, **parameters: Any) -> list[Any]:
        return [self._one(item, **parameters) for item in items]

    def _batch(self, items: list[Any], /, **parameters: Any) -> list[Any]:
        """Return the answers to a batch whose size is not 1. Overridden by families for which that matters."""
        return self._singly(items, **parameters)

    @property
    def device(self) -> Any:
        """The CPU, as a `torch.device` if torch is imported, otherwise as a `FakeDevice`."""
        return cpu()

    @property
    def dtype(self) -> Any:
        """The dtype in the model's config."""
        return self.model.dtype

    @property
    def tokenizer(self) -> FakeTokenizer | None:
        """The model's own tokenizer, read from its folder: special tokens, lengths and encodings."""
        if is_none("tokenizer", resolve_task(self.task).name):
            return None
        tokenizer = self._tokenizer_of_model()
        if isinstance(tokenizer, WordTokenizer):
            raise AttributeError("the fake has no tokenizer")  # noqa: TRY004 - __getattr__ then raises its error
        return FakeTokenizer(tokenizer, self._facts)

    def _tokenizer_of_model(self) -> TextTokenizer:
        """Return the model's tokenizer. It is read on first use, because a large vocabulary takes a while."""
        if self._tokenizer is None:
            self._tokenizer = read_tokenizer(self._facts)
        return self._tokenizer

    def _answer(self, /, *args: Any, **kwargs: Any) -> Any:
        # As in the real Pipeline.__call__, positional arguments after the inputs are ignored.
        return self._run(*args[:1], **kwargs)

    @abstractmethod
    def when(self, pattern: Any) -> When:
        """Start a rule for the texts that `pattern` matches."""

    def _run(
        self, inputs: Any, *, num_workers: int | None = None, batch_size: int | None = None, **kwargs: Any
    ) -> Any:
        """Return the answer to `inputs` in the structure of their call form (`Pipeline.__call__`)."""
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

    def predict(self, X: Any) -> Any:  # noqa: N803 - the name in the real pipeline
        """Call the fake (the scikit-learn interface of the real pipeline)."""
        return self(X)

    def transform(self, X: Any) -> Any:  # noqa: N803 - the name in the real pipeline
        """Call the fake (the scikit-learn interface of the real pipeline)."""
        return self(X)

    def __repr__(self) -> str:
        return f"{type(self).__name__}: {{'model': {self._facts.name!r}, 'device': 'cpu'}}"

    if not TYPE_CHECKING:  # so that a type checker still reports unknown names

        def __getattr__(self, name: str) -> Any:
            if is_none(name, resolve_task(self.task).name):
                return None
            raise AttributeError(
                f"a fake pipeline has no {name!r}, because it loads no model. If the code under test needs it, "
                f"{NEEDS_REAL_MODEL}"
            )


def _with_chats(inputs: Any) -> Any:
    """Return `inputs` with each list of messages as a `Chat`."""
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
    """Consume the first item at once, as the real pipeline does, to distinguish a chat from a stream of inputs."""
    try:
        first = next(items)
    except StopIteration:
        return []
    if _is_message(first):
        return Chat.of([first, *items])
    holds_chats = _is_listing(first) and first and _is_message(first[0])
    return (Chat.of(item) if holds_chats else item for item in chain([first], items))


def _as_chat(item: Any) -> Any:
    """Return a chat of transformers' own class as a `Chat`, and anything else unchanged."""
    return Chat(item.messages) if _is_instance(item, "transformers.utils.chat_template_utils", "Chat") else item


def _is_listing(value: object) -> bool:
    return isinstance(value, (list, tuple))


def _is_container(inputs: object) -> bool:
    return _is_listing(inputs) or _is_instance(inputs, "transformers.pipelines.pt_utils", "KeyDataset")


def _is_message(item: object) -> bool:
    return isinstance(item, dict) and "role" in item and "content" in item


def _is_instance(value: object, module: str, name: str) -> bool:
    """Whether `value` is an instance of a heavy module's class. The module is not imported for this."""
    kind = getattr(sys.modules.get(module), name, None)
    return kind is not None and isinstance(value, kind)


def _first(*values: Any) -> Any:
    return next(value for value in values if value is not None)


def check_loader(num_workers: Any, batch_size: Any) -> None:
    """Raise the errors of `torch.utils.data.DataLoader` for these arguments."""
    if num_workers < 0:
        raise ValueError(f"num_workers must not be negative, found {num_workers!r}")
    if type(batch_size) is not int or batch_size < 1:
        raise ValueError(f"batch_size must be a whole number of at least 1, found {batch_size!r}")
