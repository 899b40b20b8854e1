"""Patches the functions of other libraries that access real models, so that they call a guard first.

Each function is as close to the network, or to the weights, as the library's public API allows. So clients that
already exist are guarded too, and transports with which a test replaces the network are not.
"""

from __future__ import annotations

import functools
import inspect
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol

from pytest_modelenv.guards.patching import Patch, like, patch
from pytest_modelenv.guards.request_urls import (
    XET_CALLS,
    of_http_client,
    of_httpcore,
    of_httpx,
    of_urllib3,
    xet_endpoint,
)


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


def _request(request_of: Callable[..., tuple[str, str]], guard: Guard, *args: Any, **kwargs: Any) -> None:
    __tracebackhide__ = True
    guard.request(*request_of(*args, **kwargs))


def _xet(call: str, guard: Guard, *args: Any, **kwargs: Any) -> None:
    __tracebackhide__ = True
    guard.xet(call, xet_endpoint(*args, **kwargs))


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
    Target("HTTPTransport.handle_request", functools.partial(_request, of_httpx)),
    Target("AsyncHTTPTransport.handle_async_request", functools.partial(_request, of_httpx)),
)
_HTTPCORE = (
    Target("ConnectionPool.handle_request", functools.partial(_request, of_httpcore)),
    Target("AsyncConnectionPool.handle_async_request", functools.partial(_request, of_httpcore)),
)
_SAFE_OPEN_COPIES = (
    "safetensors.flax", "safetensors.mlx", "safetensors.numpy", "safetensors.tensorflow", "safetensors.torch",
    "transformers.modeling_layers", "transformers.modeling_utils",
)  # fmt: skip
TARGETS: Mapping[str, tuple[Target, ...]] = MappingProxyType(
    {
        "httpcore": _HTTPCORE,
        "httpcore2": _HTTPCORE,
        "httpx": _HTTPX,
        "httpx2": _HTTPX,
        "http.client": (Target("HTTPConnection.putrequest", functools.partial(_request, of_http_client)),),
        # Before the connection: for https, urllib3 connects first and then sends the request.
        "urllib3.connectionpool": (Target("HTTPConnectionPool.urlopen", functools.partial(_request, of_urllib3)),),
        "hf_xet": tuple(Target(path, functools.partial(_xet, f"hf_xet.{path}")) for path in XET_CALLS),
        "transformers.modeling_utils": (Target("PreTrainedModel.from_pretrained", _from_pretrained),),
        "torch.serialization": (Target("load", functools.partial(_weights_file, "torch.load"), ("torch",)),),
        "safetensors": (
            Target("safe_open", functools.partial(_weights_file, "safetensors.safe_open"), _SAFE_OPEN_COPIES),
        ),
        "safetensors.torch": (Target("load_file", functools.partial(_weights_file, "safetensors.torch.load_file")),),
    }
)
"""The functions to patch, by module. Those that the installed version of a library lacks are skipped."""


def patch_module(module_name: str, guard: Guard) -> list[Patch]:
    """Patch the functions of an imported module to call the guard. Return the patches, to undo them."""
    made = (
        patch(module_name, target.path, functools.partial(_guarded, check=functools.partial(target.check, guard)),
              target.copies)
        for target in TARGETS[module_name]
    )  # fmt: skip
    return [each for each in made if each is not None]


def _guarded(original: Any, check: Check) -> Any:
    if isinstance(original, classmethod):
        return classmethod(_guarded(original.__func__, check))
    if isinstance(original, type):
        return _guarded_class(original, check)

    if inspect.iscoroutinefunction(original):

        @like(original)
        async def call_async(*args: Any, **kwargs: Any) -> Any:
            __tracebackhide__ = True
            check(*args, **kwargs)
            return await original(*args, **kwargs)

        return call_async

    @like(original)
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
