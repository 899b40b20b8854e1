"""What a worker holds of a pipeline in the host: it behaves as a local one."""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import GeneratorType
from typing import Any

from modelenv.host.client import HostClient
from modelenv.host.protocol import Call, Get, Item, Plain, Recipe
from modelenv.host.recipes import CannotCrossError

# What the host may be asked to run: methods that change nothing, so that no test can damage another's model.
_ASKED = frozenset(
    {
        ("predict",),
        ("transform",),
        *(
            ("tokenizer", name)
            for name in (
                "__call__", "__len__", "apply_chat_template", "batch_decode", "convert_ids_to_tokens",
                "convert_tokens_to_ids", "convert_tokens_to_string", "decode", "encode", "get_vocab",
                "num_special_tokens_to_add", "pad", "tokenize",
            )
        ),
        *(("model", "config", name) for name in ("to_dict", "to_diff_dict", "to_json_string")),
    }
)  # fmt: skip
# What has attributes that can be looked up in the host.
_LOOKED_INTO = frozenset({(), ("model",), ("model", "config"), ("tokenizer",)})


class HostedPipeline:
    """A transformers pipeline that lives in the model host.

    Calls, and the attributes that people read (`task`, `model.config`, `tokenizer`), are answered by the host. What
    cannot cross a process, or would change the model (hooks, parameters, training, setting an attribute), loads the
    model in this process; from then on this object is that local pipeline.

    Args:
        client: asks the host.
        recipe: the pipeline.
        build_locally: loads the same pipeline in this process.
        on_local: called with the reason when that happens.
    """

    def __init__(
        self,
        client: HostClient,
        recipe: Recipe,
        build_locally: Callable[[], Any],
        on_local: Callable[[str], None],
    ) -> None:
        remote = _Remote(client, recipe, build_locally, on_local)
        object.__setattr__(self, "_remote", remote)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the pipeline, as `transformers.Pipeline` is called."""
        return self._remote.call((), args, kwargs)

    def __getattr__(self, name: str) -> Any:
        return self._remote.get((name,))

    def __setattr__(self, name: str, value: object) -> None:
        setattr(self._remote.local(f"its attribute {name!r} was set"), name, value)

    def __repr__(self) -> str:
        remote: _Remote = self._remote
        return f"<HostedPipeline {remote.recipe.model} ({remote.recipe.task})>"


def own_view(pipeline: Any) -> Any:
    """Return another object for the same hosted pipeline: what is changed on one is not changed on the other.

    A pipeline of this process is returned as it is.
    """
    if not isinstance(pipeline, HostedPipeline):
        return pipeline
    remote: _Remote = pipeline._remote  # noqa: SLF001 - of this module
    return HostedPipeline(*remote.origin)


class HostedObject:
    """A part of a hosted pipeline, such as its tokenizer or its model's configuration."""

    def __init__(self, remote: _Remote, path: tuple[str, ...]) -> None:
        object.__setattr__(self, "_remote", remote)
        object.__setattr__(self, "_path", path)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call it, in the host if that changes nothing there."""
        remote: _Remote = self._remote
        path: tuple[str, ...] = self._path
        return remote.call(path if path in _ASKED else (*path, "__call__"), args, kwargs)

    def __len__(self) -> int:
        return int(self._remote.call((*self._path, "__len__"), (), {}))

    def __getattr__(self, name: str) -> Any:
        return self._remote.get((*self._path, name))

    def __setattr__(self, name: str, value: object) -> None:
        owner = self._remote.local(f"its attribute {'.'.join((*self._path, name))!r} was set")
        setattr(_follow(owner, self._path), name, value)

    def __repr__(self) -> str:
        return f"<HostedObject {self._remote.recipe.model}: {'.'.join(self._path)}>"


class _Remote:
    """One pipeline in the host, and its local copy once something needed that."""

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
        self._lock = threading.Lock()

    def call(self, path: tuple[str, ...], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if self._local is None and (not path or path in _ASKED):
            if not path and len(args) == 1 and isinstance(args[0], GeneratorType):
                return self._client.stream(self.recipe, args[0], kwargs)
            try:
                answer: Item = self._client.ask(self.recipe, Call(self.recipe, path, args, kwargs))
            except CannotCrossError as error:
                return _follow(self.local(f"an argument cannot cross: {error}"), path)(*args, **kwargs)
            return answer.value
        return _follow(self.local(f"{'.'.join(path)}() was called"), path)(*args, **kwargs)

    def get(self, path: tuple[str, ...]) -> Any:
        if self._local is not None:
            return _follow(self._local, path)
        if path[:-1] not in _LOOKED_INTO:
            return _follow(self.local(f"{'.'.join(path)} was used"), path)
        answer = self._client.ask(self.recipe, Get(self.recipe, path))
        if isinstance(answer, Plain):
            return answer.value
        if path in _LOOKED_INTO or path in _ASKED:
            return HostedObject(self, path)
        return _follow(self.local(f"{'.'.join(path)} was used"), path)

    def local(self, reason: str) -> Any:
        """Return the pipeline in this process, loaded now if it was not."""
        with self._lock:
            if self._local is None:
                self._on_local(reason)
                self._local = self._build_locally()
        return self._local


def _follow(value: Any, path: tuple[str, ...]) -> Any:
    for name in path:
        value = getattr(value, name)
    return value
