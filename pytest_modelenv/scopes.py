"""Tells the library which test is running, so that the results of `load_model` follow the running test.

This does not import the library: the library is told as soon as the tests import it.

PYTEST_DONT_REWRITE: this module has no assertions, so pytest need not search it for them in every run.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from pytest_modelenv.guards.import_watch import ImportWatch

if TYPE_CHECKING:
    from modelenv import forcing

_FORCING = "modelenv.forcing"


class Scope:
    """The scope of one test, or the scope that all tests share. See `modelenv.forcing.Scope`."""

    __slots__ = ("__weakref__", "shared", "used_real_model")

    def __init__(self, shared: Scope | None = None) -> None:
        self.shared: forcing.Scope | None = shared
        self.used_real_model = False


class Scopes:
    """Tracks which test is running in this process."""

    def __init__(self) -> None:
        self._shared = Scope()
        self._before: forcing.Scope | None = None  # the library's scope before this run
        self._watch = ImportWatch([_FORCING], self._importing)
        self._current = self._shared

    @property
    def used_real_model(self) -> bool:
        """Whether the running test got a real model from a manager."""
        return self._current.used_real_model

    def install(self) -> None:
        """Tell the library now if it is imported, or else as soon as it is."""
        self._watch.install()
        self._tell()

    def uninstall(self) -> None:
        """Restore the library's scope from before this run."""
        self._watch.uninstall()
        if self._before is not None:
            sys.modules[_FORCING].enter_scope(self._before)

    @contextmanager
    def _importing(self, name: str) -> Iterator[None]:
        yield
        self._tell()

    def begin_test(self) -> None:
        """Enter the scope of a new test."""
        self._enter(Scope(self._shared))

    def end_test(self) -> None:
        """Leave the scope of the test."""
        self._enter(self._shared)

    @contextmanager
    def shared_by_tests(self) -> Iterator[None]:
        """Context manager: use the scope of all tests, as for a fixture of wider scope."""
        test = self._current
        self._enter(self._shared)
        try:
            yield
        finally:
            self._enter(test)

    def _enter(self, scope: Scope) -> None:
        self._current = scope
        self._tell()

    def _tell(self) -> None:
        enter = getattr(sys.modules.get(_FORCING), "enter_scope", None)  # None while it is being imported
        if enter is not None:
            before = enter(self._current)
            if self._before is None:
                self._before = before
