"""Resets state in a forked child: our locks, loads, threads and connections, and unfinished imports.

Only the thread that forks exists in the child. A lock that another thread of the parent holds stays locked forever, a
load in another thread never ends, and a socket is shared with the parent. So every object of ours that outlives a
call registers a function here that resets it. One hook at the end of this module calls all of them.
"""

from __future__ import annotations

import functools
import importlib
import itertools
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
# These modules register hooks that take a lock before a fork and release it afterwards. If another thread imports one
# of them while a fork waits, Python releases a lock that it has not taken.
_HOLDS_A_LOCK = ("concurrent.futures.thread", "logging")


@dataclass(frozen=True)
class _Hook:
    owner: weakref.ref[Any]
    reset: Callable[[Any], None]


_registered: dict[int, _Hook] = {}
_numbers = itertools.count()
_broken: set[str] = set()


def at_fork(owner: Owner, reset: Callable[[Owner], None]) -> None:
    """Call `reset(owner)` in each forked child of this process, as long as the owner exists.

    No other thread exists in the child. The registration does not keep the owner alive.
    """
    number = next(_numbers)

    def forget(_: object, registered: dict[int, _Hook] = _registered) -> None:
        registered.pop(number, None)

    _registered[number] = _Hook(weakref.ref(owner, forget), reset)


def around_fork(owner: Owner, before: Callable[[Owner], None], after: Callable[[Owner], None]) -> None:
    """Call functions before and after each fork of this process, as long as the owner exists.

    Args:
        owner: The argument of the functions. The registration does not keep it alive.
        before: Called before the fork, in the thread that forks. If it waits for another thread, use `hold_off`.
        after: Called in the parent after the fork, in the same thread.
    """
    reference = weakref.ref(owner)

    def call(function: Callable[[Owner], None]) -> None:
        if (owner := reference()) is not None:
            function(owner)

    os.register_at_fork(before=lambda: call(before), after_in_parent=lambda: call(after))


def hold_off(owner: Owner, wait: Callable[[Owner], None], go_on: Callable[[Owner], None]) -> None:
    """Make each fork of this process wait for the owner, as long as the owner exists.

    Python calls the hook that was registered last first. So a hook that waits for another thread must be registered
    after the hooks of other modules that take locks, because that thread might need these locks.

    Args:
        owner: The object that a fork waits for.
        wait: Called before the fork, in the thread that forks. It has its own deadline.
        go_on: Called in the parent after the fork, in the same thread.
    """
    for module in _HOLDS_A_LOCK:
        importlib.import_module(module)
    around_fork(owner, wait, go_on)


def new_lock() -> threading.Lock:
    """Return a lock that is free in a forked child, even if a thread held it in the parent."""
    lock = threading.Lock()
    at_fork(lock, free)
    return lock


def new_rlock() -> Any:
    """Return a reentrant lock that is free in a forked child, even if a thread held it in the parent."""
    lock = threading.RLock()
    at_fork(lock, free)
    return lock


def only_here(function: Callable[..., object]) -> Callable[..., None]:
    """Return a function that calls this one, except in a forked child. Use it for clean-up when a process ends."""
    pid = os.getpid()

    def call(*args: Any, **kwargs: Any) -> None:
        if os.getpid() == pid:
            function(*args, **kwargs)

    return call


class cached_property(functools.cached_property[T]):  # noqa: N801 - named as in functools
    """A `functools.cached_property` whose lock (before Python 3.12) is free in a forked child."""

    def __init__(self, function: Callable[[Any], T]) -> None:
        super().__init__(function)
        self.lock = new_rlock()


def broken_imports() -> frozenset[str]:
    """Return the modules that can be neither used nor imported, because the parent was importing them at the fork."""
    return frozenset(_broken)


def free(lock: Any) -> None:
    """Free a lock in a forked child, even if a thread held it in the parent."""
    lock._at_fork_reinit()  # noqa: SLF001 - the standard library does this with its own locks


def _in_child() -> None:
    """Reset all owners. If one raises, the others are still reset, and Python prints the error."""
    _forget_imports()
    errors: list[BaseException] = []
    for hook in _registered.copy().values():
        try:
            if (owner := hook.owner()) is not None:
                hook.reset(owner)
        except BaseException as error:  # noqa: BLE001 - raised below
            errors.append(error)
    if errors:
        raise errors[0]


def _forget_imports() -> None:
    """Remove the modules that other threads of the parent were importing, as Python does if an import fails.

    In a child, Python frees the lock of the import system, but not those of the modules. An import of one of these
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


os.register_at_fork(after_in_child=_in_child)
