"""What begins anew in a forked child: our locks, loads, threads and connections, and imports that were under way.

Only the thread that forks exists in the child. A lock that another thread of the parent held stays held there for
ever, a load of another thread never ends, and a socket is shared with the parent. So whatever of ours lives longer
than a call registers here how it begins anew, and one set of hooks calls all of them.
"""

from __future__ import annotations

import _thread
import functools
import importlib
import itertools
import os
import sys
import threading
import weakref
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

Owner = TypeVar("Owner")
T = TypeVar("T")

# A second import of these in one process fails or crashes: their C code has registered its classes once already.
_IMPORTED_ONCE = frozenset({"torch", "numpy"})


@dataclass(frozen=True)
class _Hooks:
    owner: weakref.ref[Any]
    in_child: Callable[[Any], None] | None
    before: Callable[[Any], None] | None
    in_parent: Callable[[Any], None] | None


@dataclass
class _Known:
    """What the hooks know of each other.

    Attributes:
        modules: how many modules were imported when they were registered with Python at last.
        forking: the threads that are forking now.
        interrupted: whether Ctrl-C was pressed while a fork waited.
    """

    modules: int = 0
    forking: set[int] = field(default_factory=set)
    interrupted: bool = False


_known = _Known()
_registered: dict[int, _Hooks] = {}
_numbers = itertools.count()
_broken: set[str] = set()
_PRESS_AGAIN_SECONDS = 0.1  # by then the hook has returned


def at_fork(
    owner: Owner,
    in_child: Callable[[Owner], None] | None = None,
    *,
    before: Callable[[Owner], None] | None = None,
    in_parent: Callable[[Owner], None] | None = None,
) -> None:
    """Call these functions with `owner` around each fork of this process, for as long as the owner exists.

    Args:
        owner: what begins anew; it is not kept alive by this.
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
    """Return a function that calls this one, except in a forked child: for what a process removes at its end."""
    pid = os.getpid()

    def call(*args: Any, **kwargs: Any) -> None:
        if os.getpid() == pid:
            function(*args, **kwargs)

    return call


class cached_property(functools.cached_property[T]):  # noqa: N801 - the name of the one of functools
    """`functools.cached_property`, whose lock (before Python 3.12) is free in a forked child."""

    def __init__(self, function: Callable[[Any], T]) -> None:
        super().__init__(function)
        self.lock = new_rlock()


def broken_imports() -> frozenset[str]:
    """Return the modules that this process can neither use nor import: the parent was importing them at the fork."""
    return frozenset(_broken)


def _free(lock: Any) -> None:
    lock._at_fork_reinit()  # noqa: SLF001 - as the standard library does with its own locks


def _call(hook: str, *, last_first: bool = False) -> None:
    """Call one kind of hook of all owners. Python prints the error that a hook raises; no hook is left out for it."""
    errors: list[BaseException] = []
    for hooks in sorted(_registered.items(), reverse=last_first):
        owner, function = hooks[1].owner(), getattr(hooks[1], hook)
        try:
            if owner is not None and function is not None:
                function(owner)
        except BaseException as error:  # noqa: BLE001 - raised below
            errors.append(error)
    if errors:
        raise errors[0]


def go_first() -> None:
    """Have our hooks called before those that other modules have registered since: Python calls the latest first.

    Those of `logging` and `concurrent.futures` take locks, which the thread that a fork waits for may need.
    """
    if len(sys.modules) > _known.modules:
        _known.modules = len(sys.modules)
        os.register_at_fork(before=_before)


def _before() -> None:
    own = threading.get_ident()
    if own in _known.forking:
        return  # called already, as it was registered more than once
    _known.forking.add(own)
    try:
        _call("before", last_first=True)
    except KeyboardInterrupt:  # Python would print and forget it
        _known.interrupted = True


def _in_parent() -> None:
    _known.forking.discard(threading.get_ident())
    _call("in_parent")
    if _known.interrupted:
        _known.interrupted = False
        threading.Timer(_PRESS_AGAIN_SECONDS, _thread.interrupt_main).start()


def _in_child() -> None:
    _known.forking.clear()
    _known.interrupted = False
    _forget_imports()
    _call("in_child")


def _forget_imports() -> None:
    """Forget what other threads of the parent were importing, as Python does with an import that fails.

    Python frees the import system's own lock in a child, and not those of the modules. Whoever imports one of these
    modules would wait for a thread that does not exist.
    """
    locks = getattr(importlib, "_bootstrap")._module_locks  # noqa: B009, SLF001 - there is no public way
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


go_first()
os.register_at_fork(after_in_parent=_in_parent, after_in_child=_in_child)
