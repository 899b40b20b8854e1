"""Installations for a test run: at most one of them answers, and to switch to another one costs nothing.

The factories of the clients are wrapped once for all installations. The variables belong to the environment that the
run forces, so this changes none.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

from modelenv.environment.libraries import is_offline
from modelenv.environment.settings import Settings
from modelenv.environment.sources import ModelSource
from modelenv.interception.counts import Counts, Watcher
from modelenv.interception.install import DOWNLOADS, FACTORIES, Installation, separate_installations
from modelenv.interception.locked_repos import lock_in
from modelenv.interception.on_import import OnImport

if TYPE_CHECKING:
    from modelenv.interception.replies import Reply


class InstallationSwitch:
    """Chooses which installation of this process answers the requests of `huggingface_hub`'s client.

    Args:
        watcher: Is told what the installations do.
    """

    def __init__(self, watcher: Watcher) -> None:
        self._watcher = watcher
        self._current: Installation | None = None
        self._prepared = set[tuple[Installation, bool]]()
        self._undo = ExitStack()
        self._is_watching = False

    @property
    def is_answering(self) -> bool:
        """Whether an installation answers now."""
        return self._current is not None

    def create(
        self, source: ModelSource, settings: Settings, *, refuse: bool, permission: str = ""
    ) -> Installation | None:
        """Return an installation that does not answer yet, or None without a lock.

        Args:
            source: The source of the models.
            settings: The settings to use.
            refuse: Whether requests for what is not locked are refused.
            permission: How to allow what is refused, for errors.

        Raises:
            LockfileError: The lock or the volume's metadata cannot be read.
        """
        if lock_in(source, settings) is None:
            return None
        installation = Installation(
            source, refuse, is_active=True, _settings=settings, _counts=Counts(self._watcher), _permission=permission
        )
        self._undo.callback(installation.uninstall)
        return installation

    @contextmanager
    def answering(self, installation: Installation | None) -> Iterator[None]:
        """Context manager: let this installation answer, or none. What `install()` installs in it ends with it."""
        before = self._current
        if installation is not None and not self._is_watching:
            self._watch()
        with separate_installations(self._watcher):
            self._current = installation
            try:
                yield
            finally:
                self._current = before

    def prepare(self) -> None:
        """Check the cache of the current installation once, if `huggingface_hub` can download; again in offline mode.

        Raises:
            ModelIntegrityError, UnsafeModelError: See `Installation.prepare`.
        """
        installation = self._current
        if installation is None or DOWNLOADS not in sys.modules:
            return
        state = installation, is_offline()
        if state not in self._prepared:
            installation.prepare()
            self._prepared.add(state)

    def close(self) -> None:
        """Restore the factories."""
        self._undo.close()

    def _watch(self) -> None:
        self._is_watching = True
        watch = OnImport({FACTORIES: self._wrap_factories, DOWNLOADS: self.prepare})
        self._undo.callback(watch.uninstall)
        watch.install()

    def _wrap_factories(self) -> None:
        from modelenv.interception.factories import wrap_factories

        self._undo.callback(wrap_factories(self._answer))

    def _answer(self, request: Any) -> Reply | str | None:
        installation = self._current
        return None if installation is None else installation.answer(request)
