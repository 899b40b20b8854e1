"""The messages between workers and the host. `transport` sends them."""

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
    """Identifies a pipeline. The host loads the pipeline of each recipe once.

    Attributes:
        folder: The model's folder.
        fingerprint: The state of its files, so that a changed folder is another model.
        task: A task of transformers' registry.
        arguments: Arguments for `transformers.pipeline`, pickled, because not all of them can be hashed.
        device: `auto`, or a torch device.
        trust_remote_code: Whether code in the folder can run.
        model: The model's name, for errors.
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
    """Load the recipe's pipeline, unless it is loaded. The answer is `Built`."""

    recipe: Recipe
    seconds: float


@dataclass(frozen=True)
class Built:
    """The pipeline is loaded. `fresh` is whether this request loaded it, in `seconds`."""

    fresh: bool
    seconds: float


@dataclass(frozen=True)
class AwaitLibraries:
    """Wait until the host has imported torch and transformers. The answer is `Plain`: whether it has."""


@dataclass(frozen=True)
class Call:
    """Call the pipeline, or its attribute at `path`. The answer is `Item`."""

    recipe: Recipe
    path: tuple[str, ...]
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    surroundings: Surroundings


@dataclass(frozen=True)
class Get:
    """Read the pipeline's attribute at `path`. The answer is `Plain` or `Reachable`."""

    recipe: Recipe
    path: tuple[str, ...]


@dataclass(frozen=True)
class Plain:
    """The value of an attribute, of a type that can be copied."""

    value: Any


@dataclass(frozen=True)
class Reachable:
    """An attribute that stays in the host.

    Attributes:
        is_callable: Whether it can be called there.
        module: The module of the class of its value.
        kind: The qualified name of that class.
    """

    is_callable: bool
    module: str
    kind: str


@dataclass(frozen=True)
class Stream:
    """Run the pipeline over a source of inputs that stays in the worker. Each `NextItem` requests one input.

    Attributes:
        recipe: The recipe of the pipeline.
        path: The path from the pipeline to the attribute that is called.
        source: The kind of the source: `generator`, `dataset`, `key dataset` or `iterable dataset`.
        length: The length of the dataset, if it has one.
        args: The arguments of the call, after the source.
        kwargs: The keyword arguments of the call.
        surroundings: The surroundings of the worker.
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
    """The pipeline has accepted the stream. Each result follows as an `Item`.

    Attributes:
        length: The number of batches, if known.
        surroundings: What has changed for the worker.
    """

    length: int | None
    surroundings: Surroundings


@dataclass(frozen=True)
class NextItem:
    """The host requests the next `Item` of a stream's source, or the one at `index`, or `EndOfItems`."""

    index: int | None
    surroundings: Surroundings


@dataclass(frozen=True)
class Item:
    """One input of a stream, or a result of a call or stream."""

    value: Any
    surroundings: Surroundings


@dataclass(frozen=True)
class EndOfItems:
    """There are no more items."""

    surroundings: Surroundings


@dataclass(frozen=True)
class SourceFailed:
    """The stream has ended with the exception that its source raised in the worker."""


@dataclass(frozen=True)
class CannotCross:
    """A message cannot be read, or its answer cannot be sent. The worker must make the call itself."""

    reason: str

    @classmethod
    def result(cls, error: Exception) -> CannotCross:
        """Return the message for a result whose pickling raised `error`."""
        return cls(f"its result cannot be sent: {error!r}")


@dataclass(frozen=True)
class PlannedModel:
    """A model that tests will request: the arguments of `load_model`, with the keyword arguments pickled."""

    name: str
    task: str | None
    arguments: bytes


@dataclass(frozen=True)
class Prepare:
    """Fetch and load these models before they are requested. The answer is `HostStatus`, at once.

    A host with other `whereabouts` would find other files. It only adopts the memory limit.
    """

    models: tuple[PlannedModel, ...]
    failures: str | None
    whereabouts: str
    memory: int | None


@dataclass(frozen=True)
class TakeReports:
    """Return the `LoadReport`s of prepared models and the `Notice`s since the last time. The answer is a tuple."""


@dataclass(frozen=True)
class Status:
    """Return the host's status. The answer is `HostStatus`."""


@dataclass(frozen=True)
class Stop:
    """Stop the host after its current calls. The answer is `HostStatus`."""


@dataclass(frozen=True)
class HostStatus:
    """The status of a host.

    Attributes:
        pid: The id of its process.
        models: The name of each model that it holds, with its task.
        idle_seconds: The time since the last request was answered. It is 0 while the host answers one.
        threads: The number of threads of the process.
        bytes: The size of the models, as `modelenv.host.serving.model_cache` measures it.
        memory: The limit for these bytes. None: no limit.
        loads: The number of pipelines loaded since the host started.
        unloads: The number of pipelines unloaded to stay within the limit.
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
    """Return the attribute of `value` at this path."""
    for name in path:
        value = getattr(value, name)
    return value


def is_plain(value: Any) -> bool:
    """Whether a value consists of types whose copies can replace the original."""
    kind = type(value)
    if kind in _PLAIN or isinstance(value, PurePath):
        return True
    if kind.__module__ == "torch" and kind.__name__ in _PLAIN_OF_TORCH:
        return True
    if kind in (list, tuple, set, frozenset):
        return all(is_plain(item) for item in value)
    return kind is dict and all(is_plain(key) and is_plain(item) for key, item in value.items())
