"""`install()` and `uninstall()`: unchanged code that names a locked model gets the locked commit."""

from __future__ import annotations

import atexit
import logging
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modelenv.environment.detection import explain_environment
from modelenv.environment.libraries import environment, is_set_offline
from modelenv.environment.settings import Settings
from modelenv.environment.sources import VOLUME_METADATA, ModelSource
from modelenv.errors import ConfigurationError, LockfileError
from modelenv.forks import cached_property, new_lock, only_here
from modelenv.interception.counts import Counts, Unlocked, Watcher
from modelenv.interception.locked_repos import LockedRepos, lock_in
from modelenv.interception.on_import import OnImport
from modelenv.locks.project_lock import Lockfile

if TYPE_CHECKING:
    from typing import Self

    from modelenv.interception.files import Files
    from modelenv.interception.replies import Reply
    from modelenv.interception.responder import Responder

logger = logging.getLogger("modelenv")
FACTORIES = "huggingface_hub.utils._http"  # the module with the factories of the clients
DOWNLOADS = "huggingface_hub.file_download"  # the module that every load imports


@dataclass(eq=False)
class Installation:
    """What `install()` has installed. As a context manager, it is uninstalled at the end of the block.

    The exception is `with install():` if it was installed before, so that such code leaves the program's own
    installation alone.

    Attributes:
        source: The source of the models.
        refuses: Whether requests for what is not locked are refused.
        is_active: Whether requests are answered: not under `MOCK_MODELS`, and not after `uninstall()`.
    """

    source: ModelSource
    refuses: bool
    is_active: bool
    _settings: Settings = field(repr=False)
    _counts: Counts = field(default_factory=Counts, repr=False)
    _undo: ExitStack = field(default_factory=ExitStack, repr=False)
    _known: LockedRepos | None = field(default=None, repr=False)
    _permission: str = field(default="", repr=False)
    _was_there: bool = field(default=False, repr=False)  # whether the last call of `install()` found this installed
    _blocks: list[bool] = field(default_factory=list, repr=False)  # for each block: whether its end uninstalls this

    @property
    def answered(self) -> int:
        """The number of requests to the Hub that were answered without it."""
        return self._counts.answered

    @property
    def passed_through(self) -> Mapping[Unlocked, int]:
        """What was requested from the Hub because it is not locked, with the number of requests."""
        return self._counts.passed_through

    @property
    def refused(self) -> Mapping[Unlocked, int]:
        """What was refused because it is not locked, with the number of requests."""
        return self._counts.refused

    @property
    def cache(self) -> Path | None:
        """The folder to which `HF_HUB_CACHE` is set, or None if this is not active."""
        return self._cache if self.is_active else None

    def uninstall(self) -> None:
        """Restore the client factories, the variable and the constants. Safe to call again."""
        with _installing:
            self._uninstall()

    def _uninstall(self) -> None:
        global _current
        self.is_active = False
        if _current is self:
            _current = None
        self._undo.close()

    def __enter__(self) -> Self:
        self._blocks.append(not self._was_there)
        self._was_there = False
        return self

    def __exit__(self, *_: object) -> None:
        with _installing:
            if self._blocks.pop():
                self._uninstall()

    @property
    def _cache(self) -> Path | None:
        if self.source is ModelSource.PERSISTENT_VOLUME:
            return self._files.cache
        return self._settings.root_of(self.source)  # without the imports that files need

    @cached_property
    def _files(self) -> Files:
        seconds = self._settings.timeout_of(ModelSource.DOWNLOAD_ON_DEMAND)  # as `modelenv pull`
        if self.source is not ModelSource.PERSISTENT_VOLUME:
            from modelenv.interception.files import CacheFiles
            from modelenv.store.store import Store

            return CacheFiles(Store.of(self.source, self._settings), seconds, self._counts.note_fetch)
        from modelenv.interception.links import new_cache
        from modelenv.interception.volume_files import VolumeFiles
        from modelenv.store.checks import Checks

        files = VolumeFiles(self._settings.volume_dir, new_cache(), Checks(remembers=False))
        close = only_here(files.close)
        atexit.register(close)
        self._undo.callback(atexit.unregister, close)
        self._undo.callback(close)
        return files

    @cached_property
    def _responder(self) -> Responder:
        from modelenv.interception.responder import Responder

        return Responder(self._files, self._repos, self._origin, self.refuses, self._counts, self._permission)

    @property
    def _origin(self) -> str:
        if self.source is ModelSource.PERSISTENT_VOLUME:
            return str(self._settings.volume_dir / VOLUME_METADATA)
        return str(self._settings.lock_path or "modelenv.lock")

    @property
    def _key(self) -> tuple[object, ...]:
        return _key(self.source, self.refuses, self._settings)

    def _repos(self) -> LockedRepos:
        lock = lock_in(self.source, self._settings)
        if lock is None and self._known is not None and self._known.lock.models:
            raise LockfileError(
                f"{self._origin}: the lock was removed while modelenv.install() answers from it",
                hint="restore it, or call modelenv.uninstall()",
            )
        lock = lock or Lockfile()
        if self._known is None or self._known.lock is not lock:
            self._known = LockedRepos(lock)
        return self._known

    def _start(self) -> None:
        self._repos()  # a lock that is removed after this is an error
        if lock_in(self.source, self._settings) is None:
            logger.warning("%s: there is no lock, so install() answers for no model", self._origin)
        elif self.source is not ModelSource.PERSISTENT_VOLUME:
            from modelenv.locks.declarations import not_as_declared

            stale = not_as_declared(self._settings.models, self._repos().lock)
            if stale:
                found = "; ".join(map(str, stale))
                logger.warning("%s: not as declared, run `modelenv lock`: %s", self._origin, found)
        if self.source is not ModelSource.HUGGINGFACE_HUB:  # else the store is the client's own cache
            self._undo.enter_context(environment({"HF_HUB_CACHE": str(self._cache)}))
        actions = {FACTORIES: self._wrap_factories}
        if is_set_offline():
            self.prepare()  # now, so that an error is raised by install() and not by the import of huggingface_hub
        else:
            actions[DOWNLOADS] = self.prepare
        watch = OnImport(actions)
        self._undo.callback(watch.uninstall)
        watch.install()

    def prepare(self) -> None:
        """Check what is in the cache. `install()` does it as soon as `huggingface_hub` can download."""
        self._files.prepare(self._repos().commits)

    def _wrap_factories(self) -> None:
        from modelenv.interception.factories import wrap_factories

        self._undo.callback(wrap_factories(self.answer))

    def answer(self, request: Any) -> Reply | str | None:
        """Return the response to a request, the path to request instead, or None to send the request as it is."""
        from modelenv.interception.requests import answer_request

        return answer_request(request, self._responder) if self.is_active else None


def _key(source: ModelSource, refuses: bool, settings: Settings) -> tuple[object, ...]:
    """Return what makes two installations the same. Imports nothing."""
    is_own = source not in (ModelSource.MOCK_MODELS, ModelSource.HUGGINGFACE_HUB)
    root = settings.root_of(source) if is_own else None
    return source, refuses, root, settings.lock_path, settings.timeout


_installing = new_lock()
_current: Installation | None = None
_watcher: Watcher | None = None


@contextmanager
def separate_installations(watcher: Watcher | None) -> Iterator[None]:
    """Context manager: `install()` ignores earlier installations in this block, and what it installs ends with it.

    A test run has a block for each environment that it forces, so that code which calls `install()` in several of
    them gets an installation for each.

    Args:
        watcher: Is told what the installations of the block do.
    """
    global _current, _watcher
    before = _current, _watcher
    _current, _watcher = None, watcher
    try:
        yield
    finally:
        uninstall()
        _current, _watcher = before


def install(
    source: ModelSource | str | None = None, *, settings: Settings | None = None, refuse: bool | None = None
) -> Installation:
    """Answer the requests of `huggingface_hub`'s client for locked models, so that unchanged code loads them.

    Code that loads a locked model by its repo id, its branch or tag, or its commit then gets the locked commit, each
    file verified: without requests if the files are in the store, else with one request per missing file. Everything
    that is not locked is requested from the Hub and counted, or refused.

    `HF_HUB_CACHE` becomes the store. Does not import `huggingface_hub`. Under `MOCK_MODELS` nothing is changed. A
    second call with the same arguments returns the same installation.

    Args:
        source: Forces this source, like the variable MODEL_SOURCE.
        settings: The settings to use; by default those of this process.
        refuse: Whether requests for what is not locked are refused. By default only for `PERSISTENT_VOLUME`.

    Raises:
        ConfigurationError: A setting is invalid, or other arguments are installed already.
        LockfileError: The lock or the volume's metadata cannot be read.
        ModelIntegrityError: A file in the store is damaged, and the store cannot be changed.
        ModelNotFoundError: In offline mode, the store has another commit of a locked model, but not the locked one.
    """
    global _current
    if source is not None:
        source = ModelSource.parse(source)
    with _installing:
        if settings is None:
            settings = Settings.load(source=source)
        found = explain_environment(source, settings=settings).source
        refuses = found is ModelSource.PERSISTENT_VOLUME if refuse is None else refuse
        if _current is not None:
            if _current._key == _key(found, refuses, settings):  # noqa: SLF001
                _current._was_there = True  # noqa: SLF001
                return _current
            raise ConfigurationError(
                "modelenv.install() was called before with other arguments or settings",
                expected=f"source {_current.source.value}, refuse={_current.refuses}",
                found=f"source {found.value}, refuse={refuses}",
                hint="call modelenv.uninstall() first",
            )
        is_active = found is not ModelSource.MOCK_MODELS
        installation = Installation(found, refuses, is_active, settings, Counts(_watcher))
        if is_active:
            try:
                installation._start()  # noqa: SLF001
            except BaseException:
                installation._uninstall()  # noqa: SLF001
                raise
        _current = installation
        return installation


def uninstall() -> None:
    """Undo `install()`: restore the client factories, the variable and the constants. Does nothing without it."""
    current = _current
    if current is not None:
        current.uninstall()
