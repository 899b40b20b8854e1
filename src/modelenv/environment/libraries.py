"""Applies changed variables to the Hugging Face libraries for a block, and restores them afterwards.

`huggingface_hub` reads its variables once, when its `constants` are imported; other modules and the shared clients
keep copies. So after a variable has changed, the constants are computed again by running that module's own code, and
each constant that differs is set wherever its old value is stored.

Known limits: values that a module derives from the constants under another name keep their value from the import.
These are the default timeouts in signatures, transformers' folder for the code of models (under `HF_HOME`), and the
origins to which the client forwards a token on a redirect.
"""

from __future__ import annotations

import _thread
import importlib.util
import os
import sys
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from modelenv import forks
from modelenv.environment.hub_client import hub_constants, unparsable

_LIBRARIES = ("huggingface_hub", "transformers")
_ENDPOINT = "ENDPOINT"
_SHARED_CLIENTS = (
    ("huggingface_hub.hf_api", "api"),
    ("huggingface_hub.hf_file_system", "hffs"),
    ("transformers.utils.hub", "_hf_api"),
)
_HTTP, _CLIENT = "huggingface_hub.utils._http", "_GLOBAL_CLIENT"  # the client that its functions share
_LOCKS = (_thread.LockType, _thread.RLock)
_MISSING = object()
_Undo = list[tuple[Any, str, Any]]


def is_offline() -> bool:
    """Whether offline mode is on, so that the Hugging Face libraries of this process make no requests to the Hub.

    Raises:
        ConfigurationError: `huggingface_hub` cannot parse one of its variables.
    """
    return bool(hub_constants().HF_HUB_OFFLINE)


def is_set_offline() -> bool:
    """Whether a variable turns offline mode on for a process that imports `huggingface_hub` now. Imports nothing."""
    return os.environ.get(offline_variable(), "").upper() in {"1", "ON", "YES", "TRUE"}  # as `huggingface_hub` does


def offline_variable() -> str:
    """Return the variable that turned offline mode on, for hints. `huggingface_hub` reads both."""
    is_first = os.environ.get("HF_HUB_OFFLINE") or not os.environ.get("TRANSFORMERS_OFFLINE")
    return "HF_HUB_OFFLINE" if is_first else "TRANSFORMERS_OFFLINE"


@contextmanager
def environment(variables: Mapping[str, str | None]) -> Iterator[None]:
    """Context manager: set variables of this process, and apply them to the Hugging Face libraries.

    A value of None removes the variable. Afterwards the variables and the libraries are restored, including modules
    that were imported in the block.

    Raises:
        ConfigurationError: `huggingface_hub` cannot parse the value of a variable. Nothing has changed.
        ValueError, TypeError: The system does not accept the value of a variable. Nothing has changed.
    """
    before = {name: os.environ.get(name) for name in variables}
    known = {id(holder): holder for holder in _holders()}  # holders created in the block have the block's values
    old = _constants() if _is_imported() else None
    new, undo = None, _Undo()
    try:
        _set(variables)
        if old is not None:
            new = _constants()
            undo = _replace(old, new, _holders())
        yield
    finally:
        for holder, name, value in reversed(undo):
            setattr(holder, name, value)
        if old is None and _is_imported():  # imported in the block
            new = _constants()
        _set(before)
        if new is not None:
            _replace(new, old or _constants(), [holder for holder in _holders() if id(holder) not in known])


def _set(variables: Mapping[str, str | None]) -> None:
    for name, value in variables.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


def _is_imported() -> bool:
    return "huggingface_hub.constants" in sys.modules


def _constants() -> dict[str, Any]:
    """Return the values that the constants would have if `huggingface_hub` were imported now."""
    package = sys.modules["huggingface_hub"].__file__
    assert package is not None  # noqa: S101 - the package is imported from a file
    spec = importlib.util.spec_from_file_location(
        "huggingface_hub.constants", Path(package).with_name("constants.py")
    )
    assert spec is not None  # noqa: S101 - the path ends in .py
    assert spec.loader is not None  # noqa: S101 - the path ends in .py
    module = importlib.util.module_from_spec(spec)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the library already warned when it was imported
        try:
            spec.loader.exec_module(module)
        except ValueError as error:
            raise unparsable(error) from None
    return {name: value for name, value in vars(module).items() if name.isupper()}


def _replace(old: Mapping[str, Any], new: Mapping[str, Any], holders: Iterable[Any]) -> _Undo:
    """Set each constant that differs on every holder that has its old value, and return how to undo that."""
    changed = {name: (old.get(name, _MISSING), value) for name, value in new.items()}
    changed = {name: pair for name, pair in changed.items() if pair[0] != pair[1]}
    if _ENDPOINT in changed:
        changed["endpoint"] = changed[_ENDPOINT]  # the name of this attribute on the shared clients
    undo = _Undo()
    for holder in holders if changed else ():
        held = vars(holder)
        for name, (before, after) in changed.items():
            if name in held and held[name] == before:
                undo.append((holder, name, before))
                setattr(holder, name, after)
    return undo


def _holders() -> list[Any]:
    """Return the objects that store constants: the libraries' modules and their shared clients.

    Only the modules' `vars` are read, so that lazy transformers modules import nothing more.
    """
    if not any(name in sys.modules for name in _LIBRARIES):
        return []
    modules = {name: module for name, module in list(sys.modules.items()) if name.partition(".")[0] in _LIBRARIES}
    clients = [vars(modules[module]).get(name) for module, name in _SHARED_CLIENTS if module in modules]
    clients += [vars(client).get("_api") for client in clients if client is not None]  # of the file system
    return [holder for holder in (*modules.values(), *clients) if holder is not None]


class _AfterFork:
    """What the libraries do not do themselves for a forked child."""

    def __init__(self) -> None:
        self._client: Any = None

    def hide_client(self) -> None:
        """Before a fork, hide the client of `huggingface_hub`, which would close it in the child.

        That waits forever if another thread holds the lock of its connections, and closes these for the parent too.
        """
        client = getattr(sys.modules.get(_HTTP), _CLIENT, None)
        if client is not None:
            self._client = client
            setattr(sys.modules[_HTTP], _CLIENT, None)

    def show_client(self) -> None:
        """After the fork, give the parent its client back."""
        client, self._client = self._client, None
        if client is not None and getattr(sys.modules[_HTTP], _CLIENT) is None:
            setattr(sys.modules[_HTTP], _CLIENT, client)

    def begin_anew(self) -> None:
        """In the child, free the locks of the libraries' modules and classes, such as the one of the Hub's client."""
        self._client = None
        libraries = (*_LIBRARIES, "tqdm")
        modules = [module for name, module in list(sys.modules.items()) if name.partition(".")[0] in libraries]
        classes = [value for module in modules for value in list(vars(module).values()) if isinstance(value, type)]
        held = (value for holder in (*modules, *classes) for value in list(vars(holder).values()))
        for lock in {id(value): value for value in held if isinstance(value, _LOCKS)}.values():
            forks.free(lock)


_after_fork = _AfterFork()
forks.at_fork(_after_fork, _AfterFork.begin_anew)
forks.around_fork(_after_fork, _AfterFork.hide_client, _AfterFork.show_client)
