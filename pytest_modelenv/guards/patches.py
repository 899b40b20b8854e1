"""The ways to real models through other people's libraries, and putting a guard before them.

Each is as near to the network, or to the weights, as the library's public face goes: clients that were made before
are guarded too, and transports that a test puts in place of the network are not.
"""

from __future__ import annotations

import functools
import json
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol


class Guard(Protocol):
    """What stands before the doors; its methods raise if the running test may not go through."""

    def request(self, method: str, url: str) -> None:
        """A request is about to be sent."""

    def xet(self, call: str, endpoint: str | None) -> None:
        """The native Xet client is about to connect; `endpoint` is None where the call names none."""

    def weights(self, call: str, model: str | os.PathLike[str]) -> None:
        """Weights are about to be loaded from a path, or of the model with this name."""


Check = Callable[..., None]

_LARGEST_CONFIGURATION = 4 << 20  # bytes; with the labels of 20,000 classes it is less than 2 MB
# Keys that these libraries write, and that an application's own `config.json` does not have.
_OF_A_MODEL = frozenset(
    ("architectures", "transformers_version", "_class_name", "_diffusers_version", "pretrained_cfg")
)


def _httpx(guard: Guard, transport: Any, request: Any, *_: Any, **__: Any) -> None:
    __tracebackhide__ = True
    del transport
    guard.request(request.method, str(request.url))


def _http_client(guard: Guard, connection: Any, method: str, url: str, *_: Any, **__: Any) -> None:
    __tracebackhide__ = True
    if "://" in url:  # to a proxy
        guard.request(method, url)
        return
    scheme = "https" if isinstance(connection, sys.modules["http.client"].HTTPSConnection) else "http"
    host = getattr(connection, "_tunnel_host", None) or connection.host
    port = getattr(connection, "_tunnel_port", None) or connection.port
    guard.request(method, f"{scheme}://{_bracketed(host)}:{port}{url}")


def _bracketed(host: str) -> str:
    """Return a host as it stands in a URL: an IPv6 address in brackets."""
    return f"[{host}]" if ":" in host and not host.startswith("[") else host


def _urllib3(guard: Guard, pool: Any, method: str, url: str, *_: Any, **__: Any) -> None:
    __tracebackhide__ = True
    # Before a connection is made: for https urllib3 connects first, and asks then.
    address = url if "://" in url else f"{pool.scheme}://{_bracketed(pool.host)}:{pool.port}{url}"
    guard.request(method, address)


def _httpcore(guard: Guard, pool: Any, request: Any, *_: Any, **__: Any) -> None:
    __tracebackhide__ = True
    url, target = request.url, request.url.target.decode("latin-1")
    host = _bracketed(url.host.decode("latin-1"))
    port = "" if url.port is None else f":{url.port}"
    address = target if "://" in target else f"{url.scheme.decode('latin-1')}://{host}{port}{target}"
    guard.request(request.method.decode("latin-1"), address)


def _xet(call: str, guard: Guard, *args: Any, **kwargs: Any) -> None:
    __tracebackhide__ = True
    texts = [arg for arg in args if isinstance(arg, str)]  # the functions take the endpoint second, by position
    guard.xet(call, kwargs.get("endpoint") or next(iter(texts), None))


def _from_pretrained(guard: Guard, model_class: Any, name: Any = None, *_: Any, **kwargs: Any) -> None:
    __tracebackhide__ = True
    name = kwargs.get("pretrained_model_name_or_path", name)
    if name is not None:  # None: the caller gives the weights
        guard.weights(f"{model_class.__name__}.from_pretrained", name)


def _weights_file(call: str, guard: Guard, *args: Any, **kwargs: Any) -> None:
    """A file of tensors is a model's weights if a model's configuration is in the same folder."""
    __tracebackhide__ = True
    given = args[0] if args else kwargs.get("filename", kwargs.get("f"))
    file = given if isinstance(given, str | os.PathLike) else getattr(given, "name", None)  # of an open file
    if isinstance(file, str | os.PathLike) and _is_models_configuration(file):
        guard.weights(call, file)


def _is_models_configuration(weights: str | os.PathLike[Any]) -> bool:
    """Return whether the `config.json` beside a file is one that transformers, diffusers or timm wrote."""
    try:
        with Path(os.fsdecode(weights)).with_name("config.json").open("rb") as file:
            configuration = json.loads(file.read(_LARGEST_CONFIGURATION))
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(configuration, dict) and not _OF_A_MODEL.isdisjoint(configuration)


@dataclass(frozen=True)
class Door:
    """A function or method of a library.

    Attributes:
        path: where it is within its module.
        check: called with the guard and the call's arguments, before the call.
        copies: modules in which it has the same name.
    """

    path: str
    check: Check
    copies: tuple[str, ...] = ()


_HTTPX = (
    Door("HTTPTransport.handle_request", _httpx),
    Door("AsyncHTTPTransport.handle_async_request", _httpx),
)
_HTTPCORE = (
    Door("ConnectionPool.handle_request", _httpcore),
    Door("AsyncConnectionPool.handle_async_request", _httpcore),
)
_SAFE_OPEN_COPIES = (
    "safetensors.flax", "safetensors.mlx", "safetensors.numpy", "safetensors.tensorflow", "safetensors.torch",
    "transformers.modeling_layers", "transformers.modeling_utils",
)  # fmt: skip
_XET = (
    "XetSession.new_file_download_group",
    "XetSession.new_download_stream_group",
    "XetSession.new_upload_commit",
    "download_files",
    "upload_files",
    "upload_bytes",
)
DOORS: Mapping[str, tuple[Door, ...]] = MappingProxyType(
    {
        "httpcore": _HTTPCORE,
        "httpcore2": _HTTPCORE,
        "httpx": _HTTPX,
        "httpx2": _HTTPX,
        "http.client": (Door("HTTPConnection.putrequest", _http_client),),
        "urllib3.connectionpool": (Door("HTTPConnectionPool.urlopen", _urllib3),),
        "hf_xet": tuple(Door(path, functools.partial(_xet, f"hf_xet.{path}")) for path in _XET),
        "transformers.modeling_utils": (Door("PreTrainedModel.from_pretrained", _from_pretrained),),
        "torch.serialization": (Door("load", functools.partial(_weights_file, "torch.load"), ("torch",)),),
        "safetensors": (
            Door("safe_open", functools.partial(_weights_file, "safetensors.safe_open"), _SAFE_OPEN_COPIES),
        ),
        "safetensors.torch": (Door("load_file", functools.partial(_weights_file, "safetensors.torch.load_file")),),
    }
)
"""The modules with doors. What a version of a library lacks is passed over: the other doors remain."""


@dataclass(frozen=True)
class Closed:
    """A door with a guard before it.

    Attributes:
        owner: the module or class that has it.
        name: the function's name there, and in `copies`.
        copies: names of modules that may have taken a copy, before or after the guard came.
        original: the function without the guard.
        guarded: the function with it.
    """

    owner: Any
    name: str
    copies: tuple[str, ...]
    original: Any
    guarded: Any

    def replace(self, old: Any, new: Any) -> None:
        """Put `new` wherever `old` is: what somebody else has replaced stays as it is."""
        for holder in (self.owner, *(sys.modules[copy] for copy in self.copies if copy in sys.modules)):
            if vars(holder).get(self.name) is old:
                setattr(holder, self.name, new)

    def reopen(self) -> None:
        """Take the guard away."""
        self.replace(self.guarded, self.original)


def close_doors(module_name: str, guard: Guard) -> list[Closed]:
    """Put the guard before the doors of a module that is imported; return how to undo it."""
    closed = []
    for door in DOORS[module_name]:
        *parents, name = door.path.split(".")
        owner: Any = sys.modules[module_name]
        for parent in parents:
            owner = getattr(owner, parent, None)
        original = getattr(owner, "__dict__", {}).get(name)
        if original is not None:
            guarded = _guarded(original, functools.partial(door.check, guard))
            closed.append(Closed(owner, name, door.copies, original, guarded))
            closed[-1].replace(original, guarded)
    return closed


def _guarded(original: Any, check: Check) -> Any:
    if isinstance(original, classmethod):
        return classmethod(_guarded(original.__func__, check))
    if isinstance(original, type):
        return _guarded_class(original, check)

    @functools.wraps(original)
    def call(*args: Any, **kwargs: Any) -> Any:
        __tracebackhide__ = True  # a failure is shown from the library's line on
        check(*args, **kwargs)
        return original(*args, **kwargs)

    return call


def _guarded_class(original: type, check: Check) -> type:
    """Return a class that makes objects of another one, also where that cannot have subclasses."""

    class Guarded(type):
        def __call__(cls, *args: Any, **kwargs: Any) -> Any:
            __tracebackhide__ = True
            check(*args, **kwargs)
            return original(*args, **kwargs)

        def __instancecheck__(cls, instance: Any) -> bool:
            return isinstance(instance, original)

    own = {"__doc__": original.__doc__, "__module__": original.__module__, "__wrapped__": original}
    return Guarded(original.__name__, (), own)
