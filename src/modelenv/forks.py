"""What begins anew in a forked child: our locks, loads, threads and connections, and imports that were under way.

Only the thread that forks exists in the child. A lock that another thread of the parent held stays locked for ever, a
load of another thread never ends, and a socket is shared with the parent. So everything of ours that outlives a call
registers here how it begins anew, and the hooks at the end of this module call all of it.
"""

from __future__ import annotations

# The first two register hooks that take locks. Python calls the hook that was registered last first: ours must come
# before theirs, because the thread that a fork waits for may need those locks.
import concurrent.futures.thread  # noqa: F401
import functools
import importlib
import itertools
import logging  # noqa: F401
import os
import sys
import threading
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

Owner = TypeVar("Owner")
T = TypeVar("T")

# A second import of these in one process fails or crashes, because their C code registers its classes only once.
_IMPORTED_ONCE = frozenset({"torch", "numpy"})


@dataclass(frozen=True)
class _Hooks:
    owner: weakref.ref[Any]
    in_child: Callable[[Any], None] | None
    before: Callable[[Any], None] | None
    in_parent: Callable[[Any], None] | None


_registered: dict[int, _Hooks] = {}
_numbers = itertools.count()
_broken: set[str] = set()


def at_fork(
    owner: Owner,
    in_child: Callable[[Owner], None] | None = None,
    *,
    before: Callable[[Owner], None] | None = None,
    in_parent: Callable[[Owner], None] | None = None,
) -> None:
    """Call these functions with `owner` around each fork of this process, for as long as the owner exists.

    Args:
        owner: what begins anew. The registration does not keep it alive.
        in_child: called in the child, where no other thread exists.
        before: called before the fork, in the thread that forks. It may wait, with a deadline of its own.
        in_parent: called after the fork, in the same thread.
    """
    number = next(_numbers)

    def forget(_: object, registered: dict[int, _Hooks] = _registered) -> None:
        registered.pop(number, None)

    _registered[number] = _Hooks(weakref.ref(owner, forget), in_child, before, in_parent)


def new_lock() -> threading.Lock:
    """Return a lock that is free in a forked child, whoever held it in the parent."""
    lock = threading.Lock()
    at_fork(lock, _free)
    return lock


def new_rlock() -> Any:
    """Return a reentrant lock that is free in a forked child, whoever held it in the parent."""
    lock = threading.RLock()
    at_fork(lock, _free)
    return lock


def only_here(function: Callable[..., object]) -> Callable[..., None]:
    """Return a function that calls this one, except in a forked child: for what a process removes when it ends."""
    pid = os.getpid()

    def call(*args: Any, **kwargs: Any) -> None:
        if os.getpid() == pid:
            function(*args, **kwargs)

    return call


class cached_property(functools.cached_property[T]):  # noqa: N801 - named as in functools
    """`functools.cached_property`, whose lock (before Python 3.12) is free in a forked child."""

    def __init__(self, function: Callable[[Any], T]) -> None:
        super().__init__(function)
        self.lock = new_rlock()


def broken_imports() -> frozenset[str]:
    """Return the modules that this process can neither use nor import: the parent was importing them at the fork."""
    return frozenset(_broken)


def _free(lock: Any) -> None:
    lock._at_fork_reinit()  # noqa: SLF001 - as the standard library does with its own locks


def _call(hook: str) -> None:
    """Call one kind of hook of all owners. If one raises, the others are called too; Python prints the error."""
    errors: list[BaseException] = []
    for hooks in _registered.copy().values():
        owner, function = hooks.owner(), getattr(hooks, hook)
        try:
            if owner is not None and function is not None:
                function(owner)
        except BaseException as error:  # noqa: BLE001 - raised below
            errors.append(error)
    if errors:
        raise errors[0]


def _in_child() -> None:
    _forget_imports()
    _call("in_child")


def _forget_imports() -> None:
    """Forget what other threads of the parent were importing, as Python does with an import that fails.

    In a child Python frees the lock of the import system, but not those of the modules. An import of one of these
    modules would wait for a thread that does not exist.
    """
    locks = getattr(importlib, "_bootstrap")._module_locks  # noqa: B009, SLF001 - there is no public API
    own = threading.get_ident()
    for name, reference in list(locks.items()):
        lock = reference()
        if lock is None or lock.owner in (None, own):
            continue
        del locks[name]
        if name.partition(".")[0] in _IMPORTED_ONCE:
            _broken.add(name)
        elif getattr(getattr(sys.modules.get(name), "__spec__", None), "_initializing", False):
            del sys.modules[name]


os.register_at_fork(
    before=lambda: _call("before"), after_in_parent=lambda: _call("in_parent"), after_in_child=_in_child
)
