"""Makes the Hugging Face libraries follow the environment, and undoes it.

`huggingface_hub` reads its variables once, when its `constants` are imported; other modules and the shared clients
keep copies. So after a change of variables the constants are worked out anew, by running that module's own code, and
what differs is set wherever the old value is held.
"""

from __future__ import annotations

import importlib.util
import os
import sys
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

_LIBRARIES = ("huggingface_hub", "transformers")
_MISSING = object()


@contextmanager
def environment(variables: Mapping[str, str | None]) -> Iterator[None]:
    """Set variables of this process for a block; None removes one. The Hugging Face libraries follow.

    Afterwards `os.environ` and the libraries are as they were, also those imported in between.
    """
    before = {name: os.environ.get(name) for name in variables}
    old = _constants() if _is_imported() else None
    _set(variables)
    new = _constants() if old is not None else None
    undo = _replace(old, new) if old is not None and new is not None else []
    try:
        yield
    finally:
        for owner, name, value in reversed(undo):
            setattr(owner, name, value)
        if old is None and _is_imported():  # imported in between, so all of it has the values of the block
            new = _constants()
            _set(before)
            _replace(new, _constants())
        else:
            _set(before)


def _set(variables: Mapping[str, str | None]) -> None:
    for name, value in variables.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


def _is_imported() -> bool:
    return "huggingface_hub.constants" in sys.modules


def _constants() -> dict[str, Any]:
    """Return what the constants would be if `huggingface_hub` were imported now."""
    package = sys.modules["huggingface_hub"].__file__
    assert package is not None  # noqa: S101 - it is imported from a file
    spec = importlib.util.spec_from_file_location(
        "huggingface_hub.constants", Path(package).with_name("constants.py")
    )
    assert spec is not None  # noqa: S101
    assert spec.loader is not None  # noqa: S101
    module = importlib.util.module_from_spec(spec)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # said once already, when the library was imported
        spec.loader.exec_module(module)
    return {name: value for name, value in vars(module).items() if name.isupper()}


def _replace(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[tuple[object, str, Any]]:
    """Set each constant that differs wherever the libraries hold its old value; return how to undo it."""
    changed = {name: value for name, value in new.items() if old.get(name, _MISSING) != value}
    undo: list[tuple[object, str, Any]] = []
    if not changed:
        return undo
    for module in _library_modules():
        held = vars(module)
        for name, value in changed.items():
            if held.get(name, _MISSING) == old.get(name, _MISSING) and name in held:
                undo.append((module, name, held[name]))
                setattr(module, name, value)
    if "ENDPOINT" in changed:
        for client in _shared_clients():
            if client.endpoint == old["ENDPOINT"]:
                undo.append((client, "endpoint", client.endpoint))
                client.endpoint = changed["ENDPOINT"]
    return undo


def _library_modules() -> list[ModuleType]:
    """Return the modules that hold constants. A lazy transformers module is asked nothing that would import more."""
    return [module for name, module in list(sys.modules.items()) if name.partition(".")[0] in _LIBRARIES]


def _shared_clients() -> list[Any]:
    """Return the `HfApi` objects that the libraries keep for everybody; each remembers an endpoint."""
    places = (("huggingface_hub.hf_api", "api"), ("transformers.utils.hub", "_hf_api"))
    clients = (vars(sys.modules[module]).get(name) for module, name in places if module in sys.modules)
    return [client for client in clients if client is not None]
