"""A worker's proxy for a pipeline in the host. It behaves like a local pipeline."""

from __future__ import annotations

import copy
import sys
from collections.abc import Callable
from typing import Any

from modelenv.forks import new_lock
from modelenv.host.client import HostClient
from modelenv.host.client_stream import kind_of_source, run_stream
from modelenv.host.messages.call_context import continue_from, own_surroundings
from modelenv.host.messages.pickling import CannotCrossError
from modelenv.host.messages.protocol import Call, Get, Item, Plain, Reachable, Recipe, follow

_Path = tuple[str, ...]
_RUNS = frozenset({(), ("predict",), ("transform",)})
_TOKENIZER_CALLS = (
    "__call__", "__len__", "apply_chat_template", "batch_decode", "build_inputs_with_special_tokens",
    "convert_ids_to_tokens", "convert_tokens_to_ids", "convert_tokens_to_string", "decode", "encode",
    "get_added_vocab", "get_special_tokens_mask", "get_vocab", "num_special_tokens_to_add", "pad", "tokenize",
)  # fmt: skip
_PREPROCESSORS = ("feature_extractor", "image_processor", "processor")
_CONFIGS = (("model", "config"), ("model", "generation_config"))
# The host runs only these. They change nothing, so no test can damage the model of another.
_RUN_IN_HOST = frozenset(
    {
        *_RUNS,
        *(("tokenizer", name) for name in _TOKENIZER_CALLS),
        *((part, "__call__") for part in _PREPROCESSORS),
    }
)
_RUN_IN_HOST_OF_CONFIGS = frozenset({"to_dict", "to_diff_dict", "to_json_string"})
# The parts whose attributes can be read from the host.
_PARTS = frozenset({(), ("model",), ("tokenizer",), *((part,) for part in _PREPROCESSORS)})


class HostedPipeline:
    """A transformers pipeline that is in the model host.

    The host answers calls, and reads of the usual attributes (`task`, `device`, `model.config`, `tokenizer`). An
    operation that cannot cross processes or would change the model (hooks, parameters, training, setting an
    attribute) loads the model in this process. From then on this object delegates to that local pipeline.

    Args:
        client: The client of the host.
        recipe: The recipe of the pipeline.
        build_locally: Loads the same pipeline in this process.
        on_local: Called with the reason when that happens.
    """

    def __init__(
        self,
        client: HostClient,
        recipe: Recipe,
        build_locally: Callable[[], Any],
        on_local: Callable[[str], None],
    ) -> None:
        object.__setattr__(self, "_remote", _Remote(client, recipe, build_locally, on_local))

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the pipeline, with the arguments of `transformers.Pipeline`."""
        return self._remote.call((), args, kwargs)

    @property  # type: ignore[misc]
    def __class__(self) -> type:
        return self._remote.class_of(()) or HostedPipeline

    def __getattr__(self, name: str) -> Any:
        return self._remote.get((name,))

    def __setattr__(self, name: str, value: object) -> None:
        setattr(self._remote.local(f"its attribute {name!r} was set"), name, value)

    def __delattr__(self, name: str) -> None:
        delattr(self._remote.local(f"its attribute {name!r} was deleted"), name)

    def __copy__(self) -> Any:
        return self._remote.copied(copy.copy)

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        return self._remote.copied(lambda local: copy.deepcopy(local, memo))

    def __reduce__(self) -> tuple[object, ...]:
        return _itself, (self._remote.local("it was pickled"),)

    def __repr__(self) -> str:
        remote: _Remote = self._remote
        return f"<HostedPipeline {remote.recipe.model} ({remote.recipe.task})>"


def own_view(pipeline: Any) -> Any:
    """Return another proxy for the same hosted pipeline. A change to one does not affect the other.

    A pipeline of this process is returned unchanged.
    """
    if not isinstance(pipeline, HostedPipeline):
        return pipeline
    remote: _Remote = pipeline._remote  # noqa: SLF001 - a class of this module
    return HostedPipeline(*remote.origin)


class HostedObject:
    """A part of a hosted pipeline, such as its tokenizer or its model's configuration. Each part has one proxy."""

    def __init__(self, remote: _Remote, path: _Path) -> None:
        object.__setattr__(self, "_remote", remote)
        object.__setattr__(self, "_path", path)

    @property  # type: ignore[misc]
    def __class__(self) -> type:
        return self._remote.class_of(self._path) or HostedObject

    def __bool__(self) -> bool:
        return True  # as for all models, configurations and processors; and no tokenizer is empty

    def __len__(self) -> int:
        try:
            return int(self._remote.call((*self._path, "__len__"), (), {}))
        except AttributeError:
            raise TypeError(f"{self._name()} has no length") from None

    def __iter__(self) -> Any:
        return iter(follow(self._remote.local(f"{self._name()} was iterated over"), self._path))

    def __getattr__(self, name: str) -> Any:
        return self._remote.get((*self._path, name))

    def __setattr__(self, name: str, value: object) -> None:
        self._owner(f"its attribute {self._name(name)!r} was set", setattr, name, value)

    def __delattr__(self, name: str) -> None:
        self._owner(f"its attribute {self._name(name)!r} was deleted", delattr, name)

    def __copy__(self) -> Any:
        return copy.copy(follow(self._remote.local(f"{self._name()} was copied"), self._path))

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        return copy.deepcopy(follow(self._remote.local(f"{self._name()} was copied"), self._path), memo)

    def __reduce__(self) -> tuple[object, ...]:
        return _itself, (follow(self._remote.local(f"{self._name()} was pickled"), self._path),)

    def __repr__(self) -> str:
        return f"<HostedObject {self._remote.recipe.model}: {self._name()}>"

    def _name(self, *more: str) -> str:
        return ".".join((*self._path, *more))

    def _owner(self, reason: str, change: Callable[..., None], *args: object) -> None:
        change(follow(self._remote.local(reason), self._path), *args)


class HostedFunction(HostedObject):
    """A part of a hosted pipeline that can be called, such as its tokenizer or a method."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call it. It runs in the host if that changes nothing there."""
        remote: _Remote = self._remote
        path: _Path = self._path
        return remote.call(path if _runs_in_host(path) else (*path, "__call__"), args, kwargs)


class _Remote:
    """One pipeline in the host, and the local pipeline once an operation needs it."""

    def __init__(
        self,
        client: HostClient,
        recipe: Recipe,
        build_locally: Callable[[], Any],
        on_local: Callable[[str], None],
    ) -> None:
        self.recipe = recipe
        self.origin = (client, recipe, build_locally, on_local)
        self._client = client
        self._build_locally = build_locally
        self._on_local = on_local
        self._local: Any = None
        self._lock = new_lock()
        self._classes: dict[_Path, tuple[str, str]] = {}
        self._objects: dict[_Path, HostedObject] = {}
        self._calls = 0

    def call(self, path: _Path, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if self._local is None and _runs_in_host(path):
            self._calls += path in _RUNS
            try:
                return self._call_in_host(path, args, kwargs)
            except CannotCrossError as error:
                return follow(self.local(f"a call cannot run in the host: {error}"), path)(*args, **kwargs)
        return follow(self.local(f"{'.'.join(path)}() was called"), path)(*args, **kwargs)

    def _call_in_host(self, path: _Path, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if _has_streamer(kwargs) or _has_streamer(kwargs.get("generate_kwargs")):
            raise CannotCrossError("a streamer must receive the tokens in the test's process")
        if path in _RUNS and args and kind_of_source(args[0]) is not None:
            return run_stream(self._client, self.recipe, path, args, kwargs)
        answer: Item = self._client.ask(self.recipe, Call(self.recipe, path, args, kwargs, own_surroundings()))
        continue_from(answer.surroundings)
        return answer.value

    def get(self, path: _Path) -> Any:
        if self._local is not None:
            return follow(self._local, path)
        if path == ("call_count",):
            return self._calls  # the calls of this proxy; the host's pipeline counts those of all
        if not _is_part(path[:-1]):
            return follow(self.local(f"{'.'.join(path)} was used"), path)
        answer = self._client.ask(self.recipe, Get(self.recipe, path))
        if isinstance(answer, Plain):
            return answer.value
        if _is_part(path) or _runs_in_host(path):
            self._classes[path] = answer.module, answer.kind
            kind = HostedFunction if answer.is_callable else HostedObject
            return self._objects.setdefault(path, kind(self, path))
        return follow(self.local(f"{'.'.join(path)} was used"), path)

    def class_of(self, path: _Path) -> type | None:
        """Return the class of the object at `path`, or None if this process has not imported the class."""
        if self._local is not None:
            return type(follow(self._local, path))
        if "transformers" not in sys.modules:
            return None
        if path not in self._classes:
            answer: Reachable = self._client.ask(self.recipe, Get(self.recipe, path))
            self._classes[path] = answer.module, answer.kind
        module, name = self._classes[path]
        found: type | None = getattr(sys.modules.get(module), name, None)
        return found

    def local(self, reason: str) -> Any:
        """Return the pipeline in this process. Loads it if needed."""
        with self._lock:
            if self._local is None:
                self._on_local(reason)
                self._local = self._build_locally()
        return self._local

    def copied(self, copy_local: Callable[[Any], Any]) -> Any:
        """Return a copy. A change to it does not affect this pipeline."""
        return HostedPipeline(*self.origin) if self._local is None else copy_local(self._local)


def _has_streamer(kwargs: object) -> bool:
    return isinstance(kwargs, dict) and kwargs.get("streamer") is not None


def _is_part(path: _Path) -> bool:
    """Whether the attributes of the object at `path` can be read from the host."""
    return path in _PARTS or any(path[: len(config)] == config for config in _CONFIGS)


def _runs_in_host(path: _Path) -> bool:
    """Whether the host runs the function at `path`."""
    return path in _RUN_IN_HOST or bool(path and path[-1] in _RUN_IN_HOST_OF_CONFIGS and _is_part(path[:-1]))


def _itself(value: Any) -> Any:
    return value
