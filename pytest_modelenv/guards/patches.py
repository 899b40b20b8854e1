"""Patches the functions of other libraries that access real models, so that they call a guard first.

Each function is as close to the network, or to the weights, as the library's public API allows. So clients that
already exist are guarded too, and transports with which a test replaces the network are not.
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
    """Checks each access. Its methods raise an error if the running test is not allowed to make the access."""

    def request(self, method: str, url: str) -> None:
        """Called before a request is sent."""

    def xet(self, call: str, endpoint: str | None) -> None:
        """Called before the native Xet client connects. `endpoint` is None if the call names none."""

    def weights(self, call: str, model: str | os.PathLike[str]) -> None:
        """Called before weights are loaded from a path, or from the model with this name."""


Check = Callable[..., None]

_LARGEST_CONFIGURATION = 4 << 20  # bytes; a configuration with 20,000 labels has less than 2 MB
# Keys that these libraries write, but that the `config.json` of an application does not have.
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
    """Return a host in the form for a URL, with an IPv6 address in brackets."""
    return f"[{host}]" if ":" in host and not host.startswith("[") else host


def _urllib3(guard: Guard, pool: Any, method: str, url: str, *_: Any, **__: Any) -> None:
    __tracebackhide__ = True
    # This runs before the connection: for https, urllib3 connects first and then sends the request.
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
    # The functions take the endpoint as the second positional argument.
    texts = [arg for arg in args if isinstance(arg, str)]
    guard.xet(call, kwargs.get("endpoint") or next(iter(texts), None))


def _from_pretrained(guard: Guard, model_class: Any, name: Any = None, *_: Any, **kwargs: Any) -> None:
    __tracebackhide__ = True
    name = kwargs.get("pretrained_model_name_or_path", name)
    if name is not None:  # None: the caller passes the weights
        guard.weights(f"{model_class.__name__}.from_pretrained", name)


def _weights_file(call: str, guard: Guard, *args: Any, **kwargs: Any) -> None:
    """Check a file of tensors: it is a model's weights if the same folder has a model's configuration."""
    __tracebackhide__ = True
    given = args[0] if args else kwargs.get("filename", kwargs.get("f"))
    file = given if isinstance(given, str | os.PathLike) else getattr(given, "name", None)  # for an open file
    if isinstance(file, str | os.PathLike) and _is_models_configuration(file):
        guard.weights(call, file)


def _is_models_configuration(weights: str | os.PathLike[Any]) -> bool:
    """Return whether transformers, diffusers or timm wrote the `config.json` in the same folder."""
    try:
        with Path(os.fsdecode(weights)).with_name("config.json").open("rb") as file:
            configuration = json.loads(file.read(_LARGEST_CONFIGURATION))
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(configuration, dict) and not _OF_A_MODEL.isdisjoint(configuration)


@dataclass(frozen=True)
class Target:
    """A function or method of a library to patch.

    Attributes:
        path: The dotted name within the module.
        check: Called with the guard and the call's arguments, before the call.
        copies: Modules that import the function under the same name.
    """

    path: str
    check: Check
    copies: tuple[str, ...] = ()


_HTTPX = (
    Target("HTTPTransport.handle_request", _httpx),
    Target("AsyncHTTPTransport.handle_async_request", _httpx),
)
_HTTPCORE = (
    Target("ConnectionPool.handle_request", _httpcore),
    Target("AsyncConnectionPool.handle_async_request", _httpcore),
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
TARGETS: Mapping[str, tuple[Target, ...]] = MappingProxyType(
    {
        "httpcore": _HTTPCORE,
        "httpcore2": _HTTPCORE,
        "httpx": _HTTPX,
        "httpx2": _HTTPX,
        "http.client": (Target("HTTPConnection.putrequest", _http_client),),
        "urllib3.connectionpool": (Target("HTTPConnectionPool.urlopen", _urllib3),),
        "hf_xet": tuple(Target(path, functools.partial(_xet, f"hf_xet.{path}")) for path in _XET),
        "transformers.modeling_utils": (Target("PreTrainedModel.from_pretrained", _from_pretrained),),
        "torch.serialization": (Target("load", functools.partial(_weights_file, "torch.load"), ("torch",)),),
        "safetensors": (
            Target("safe_open", functools.partial(_weights_file, "safetensors.safe_open"), _SAFE_OPEN_COPIES),
        ),
        "safetensors.torch": (Target("load_file", functools.partial(_weights_file, "safetensors.torch.load_file")),),
    }
)
"""The functions to patch, by module. Those that the installed version of a library lacks are skipped."""


@dataclass(frozen=True)
class Patch:
    """A patched function.

    Attributes:
        owner: The module or class that has the function.
        name: The function's name in `owner` and in `copies`.
        copies: The names of modules that import the function, before or after it is patched.
        original: The function without the guard.
        guarded: The function with the guard.
    """

    owner: Any
    name: str
    copies: tuple[str, ...]
    original: Any
    guarded: Any

    def replace(self, old: Any, new: Any) -> None:
        """Replace `old` with `new` in all modules. A function that other code has replaced is left as it is."""
        for holder in (self.owner, *(sys.modules[copy] for copy in self.copies if copy in sys.modules)):
            if vars(holder).get(self.name) is old:
                setattr(holder, self.name, new)

    def undo(self) -> None:
        """Restore the original function."""
        self.replace(self.guarded, self.original)


def patch_module(module_name: str, guard: Guard) -> list[Patch]:
    """Patch the functions of an imported module to call the guard. Return the patches, to undo them."""
    patches = []
    for target in TARGETS[module_name]:
        *parents, name = target.path.split(".")
        owner: Any = sys.modules[module_name]
        for parent in parents:
            owner = getattr(owner, parent, None)
        original = getattr(owner, "__dict__", {}).get(name)
        if original is not None:
            guarded = _guarded(original, functools.partial(target.check, guard))
            patches.append(Patch(owner, name, target.copies, original, guarded))
            patches[-1].replace(original, guarded)
    return patches


def _guarded(original: Any, check: Check) -> Any:
    if isinstance(original, classmethod):
        return classmethod(_guarded(original.__func__, check))
    if isinstance(original, type):
        return _guarded_class(original, check)

    @functools.wraps(original)
    def call(*args: Any, **kwargs: Any) -> Any:
        __tracebackhide__ = True  # tracebacks start at the library's line
        check(*args, **kwargs)
        return original(*args, **kwargs)

    return call


def _guarded_class(original: type, check: Check) -> type:
    """Return a class that creates objects of another class, which need not allow subclasses."""

    class Guarded(type):
        def __call__(cls, *args: Any, **kwargs: Any) -> Any:
            __tracebackhide__ = True
            check(*args, **kwargs)
            return original(*args, **kwargs)

        def __instancecheck__(cls, instance: Any) -> bool:
            return isinstance(instance, original)

    own = {"__doc__": original.__doc__, "__module__": original.__module__, "__wrapped__": original}
    return Guarded(original.__name__, (), own)
