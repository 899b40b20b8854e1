"""Tells the library which test runs, so that what `load_model` gave follows it.

Nothing of the library is imported for this: it is told when the tests import it.

PYTEST_DONT_REWRITE: there is no assertion here, and pytest would look for them in each run.
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
    """One test, or what all tests share; see `modelenv.forcing.Scope`."""

    __slots__ = ("__weakref__", "shared", "used_real_model")

    def __init__(self, shared: Scope | None = None) -> None:
        self.shared: forcing.Scope | None = shared
        self.used_real_model = False


class Scopes:
    """Which test runs in this process."""

    def __init__(self) -> None:
        self._shared = Scope()
        self._before: forcing.Scope | None = None  # what the library knew before this run
        self._watch = ImportWatch([_FORCING], self._importing)
        self._current = self._shared

    @property
    def used_real_model(self) -> bool:
        """Whether a manager gave the running test a real model."""
        return self._current.used_real_model

    def install(self) -> None:
        """Tell the library as soon as it is imported, at once if it is."""
        self._watch.install()
        self._tell()

    def uninstall(self) -> None:
        """Leave the library as it was before this run."""
        self._watch.uninstall()
        if self._before is not None:
            sys.modules[_FORCING].enter_scope(self._before)

    @contextmanager
    def _importing(self, name: str) -> Iterator[None]:
        yield
        self._tell()

    def begin_test(self) -> None:
        """Let what is asked of models from now on belong to a new test."""
        self._enter(Scope(self._shared))

    def end_test(self) -> None:
        """Let what is asked of models from now on belong to no test."""
        self._enter(self._shared)

    @contextmanager
    def shared_by_tests(self) -> Iterator[None]:
        """Let what is asked of models in this block belong to all tests, as in a fixture of wider scope."""
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
