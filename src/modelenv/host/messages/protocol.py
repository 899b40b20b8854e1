"""What workers and the host say to each other: values. How they cross is in `transport`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from modelenv.host.messages.call_context import Surroundings

_PLAIN = (type(None), bool, int, float, complex, str, bytes)
_PLAIN_OF_TORCH = frozenset({"device", "dtype", "Size"})


@dataclass(frozen=True)
class Recipe:
    """What makes a pipeline: the same recipe gives the same pipeline, loaded once by the host.

    Attributes:
        folder: the model's folder.
        fingerprint: the state of its files, so that a changed folder is another model.
        task: a task of transformers' registry.
        arguments: for `transformers.pipeline`, pickled: not everything in them can be hashed.
        device: `auto` or a torch device.
        trust_remote_code: whether code in the folder may run.
        model: the model's name, for errors.
    """

    folder: str
    fingerprint: int
    task: str
    arguments: bytes
    device: str
    trust_remote_code: bool
    model: str


@dataclass(frozen=True)
class Build:
    """Load the recipe's pipeline, if it is not loaded; answers `Built`."""

    recipe: Recipe
    seconds: float


@dataclass(frozen=True)
class Built:
    """The pipeline is there. `fresh` says that this request loaded it, in `seconds`."""

    fresh: bool
    seconds: float


@dataclass(frozen=True)
class AwaitLibraries:
    """Wait until the host has imported torch and transformers; answers `Plain`, whether that is so."""


@dataclass(frozen=True)
class Call:
    """Call what the path of attributes leads to, from the pipeline on; answers `Item`."""

    recipe: Recipe
    path: tuple[str, ...]
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    surroundings: Surroundings


@dataclass(frozen=True)
class Get:
    """Ask for the attribute that the path leads to; answers `Plain` or `Reachable`."""

    recipe: Recipe
    path: tuple[str, ...]


@dataclass(frozen=True)
class Plain:
    """An attribute's value, of a type that crosses as a copy."""

    value: Any


@dataclass(frozen=True)
class Reachable:
    """An attribute that stays in the host.

    Attributes:
        is_callable: whether it can be called there.
        module: where the class of its value is defined.
        kind: the qualified name of that class.
    """

    is_callable: bool
    module: str
    kind: str


@dataclass(frozen=True)
class Stream:
    """Run the pipeline over a source of inputs that stays with the worker, who gives them as `NextItem` asks.

    Attributes:
        recipe: the pipeline.
        path: to what is called, from the pipeline on.
        source: what the pipeline shall take it for: `generator`, `dataset`, `key dataset` or `iterable dataset`.
        length: of a dataset that has one.
        args: of the call, after the source.
        kwargs: of the call.
        surroundings: the worker's.
    """

    recipe: Recipe
    path: tuple[str, ...]
    source: str
    length: int | None
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    surroundings: Surroundings


@dataclass(frozen=True)
class Started:
    """The pipeline accepted the stream; its results follow, each as an `Item`. `length`: of batches, if known."""

    length: int | None
    surroundings: Surroundings


@dataclass(frozen=True)
class NextItem:
    """From the host, while it runs over a stream: send the next `Item`, or that of the index, or `EndOfItems`."""

    index: int | None
    surroundings: Surroundings


@dataclass(frozen=True)
class Item:
    """One input of a stream, or a result."""

    value: Any
    surroundings: Surroundings


@dataclass(frozen=True)
class EndOfItems:
    """There are no more items."""

    surroundings: Surroundings


@dataclass(frozen=True)
class SourceFailed:
    """The stream ended with the very exception that its source had raised; the worker has it."""


@dataclass(frozen=True)
class CannotCross:
    """What was sent cannot be read here, or what should be answered cannot be sent: the call is for the worker."""

    reason: str

    @classmethod
    def result(cls, error: Exception) -> CannotCross:
        """Return the message for a result with which `error` arose."""
        return cls(f"its result: {error!r}")


@dataclass(frozen=True)
class PlannedModel:
    """A model that tests will ask for: the arguments of `load_model`, with the keyword arguments pickled."""

    name: str
    task: str | None
    arguments: bytes


@dataclass(frozen=True)
class Prepare:
    """Fetch and load these models, before anybody asks for them; answers `HostStatus` at once.

    A host with other `whereabouts` would look elsewhere, and does nothing but keep to the limit of memory from then
    on.
    """

    models: tuple[PlannedModel, ...]
    failures: str | None
    whereabouts: str
    memory: int | None


@dataclass(frozen=True)
class TakeReports:
    """Request the `LoadReport`s of prepared models and the `Notice`s since the last request. The reply is a tuple."""


@dataclass(frozen=True)
class Status:
    """Ask what the host holds; answers `HostStatus`."""


@dataclass(frozen=True)
class Stop:
    """End the host once the calls under way are done."""


@dataclass(frozen=True)
class HostStatus:
    """What a host holds.

    Attributes:
        pid: its process.
        models: each model with its task.
        idle_seconds: since the last question was answered; 0 while one is being answered.
        threads: of the process.
        bytes: of the models, as `modelenv.host.serving.model_cache` measures them.
        memory: the limit for these bytes; None: there is none.
        loads: how many pipelines were loaded since it started.
        unloads: how many were unloaded to keep the limit.
    """

    pid: int
    models: tuple[str, ...]
    idle_seconds: float
    threads: int
    bytes: int
    memory: int | None
    loads: int
    unloads: int


def follow(value: Any, path: tuple[str, ...]) -> Any:
    """Return the attribute that a message's path leads to."""
    for name in path:
        value = getattr(value, name)
    return value


def is_plain(value: Any) -> bool:
    """Whether a value is made of types whose copies are as good as themselves."""
    kind = type(value)
    if kind in _PLAIN or isinstance(value, PurePath):
        return True
    if kind.__module__ == "torch" and kind.__name__ in _PLAIN_OF_TORCH:
        return True
    if kind in (list, tuple, set, frozenset):
        return all(is_plain(item) for item in value)
    return kind is dict and all(is_plain(key) and is_plain(item) for key, item in value.items())
