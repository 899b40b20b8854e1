"""The locked models of one pytest process: the lock answers for the Hub while a test can have real models.

Code that names a locked model, as in `AutoTokenizer.from_pretrained("org/name")`, then gets it from the run's cache.
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_modelenv.options import HUB_CACHE_VARIABLE, hub_cache

if TYPE_CHECKING:
    from modelenv.environment.sources import ModelSource
    from modelenv.fetching.snapshot import Fetched
    from modelenv.interception.install import Installation
    from modelenv.interception.switching import InstallationSwitch

_INSTALL = "modelenv.interception.install"
_PERMISSION = "@pytest.mark.model_access (this test), --model-guards=report (all tests)"


class LockedModels:
    """The installations of one process, and what they did.

    Args:
        project_dir: The folder in which the search for the project's lock starts.
    """

    def __init__(self, project_dir: Path) -> None:
        self._project_dir = project_dir
        self._known: dict[tuple[ModelSource, str | None, bool], Installation | None] = {}
        self._answered: dict[str, None] = {}
        self._fetches: deque[dict[str, Any]] = deque()
        self._hub_cache: str | None = None

    @cached_property
    def _switch(self) -> InstallationSwitch:
        from modelenv.interception.switching import InstallationSwitch

        return InstallationSwitch(self)

    def find(self, source: ModelSource, cache_dir: str | None, *, refuse: bool) -> Installation | None:
        """Return the installation for a source, or None without a lock.

        Args:
            source: The source of the models.
            cache_dir: The folder of models that all workers share, or None for the source's own.
            refuse: Whether requests for what is not locked are refused.

        Raises:
            ConfigurationError: A setting is invalid.
            LockfileError: The lock or the volume's metadata cannot be read.
        """
        key = (source, cache_dir, refuse)
        if key not in self._known:
            from modelenv.environment.settings import Settings
            from modelenv.environment.sources import ModelSource

            settings = Settings.load(source=source, cache_dir=cache_dir, project_dir=self._project_dir)
            is_volume = source is ModelSource.PERSISTENT_VOLUME
            self._known[key] = self._switch.create(
                source, settings, refuse=refuse or is_volume, permission="" if is_volume else _PERMISSION
            )
        return self._known[key]

    def variables(self, installation: Installation | None) -> Mapping[str, str | None]:
        """Return the variables with which to force an environment in which this installation answers, or none."""
        if not self._is_answering:
            self._hub_cache = hub_cache()
        if installation is not None:
            return {HUB_CACHE_VARIABLE: str(installation.cache)}
        return {HUB_CACHE_VARIABLE: self._hub_cache} if self._is_answering else {}

    @property
    def _is_answering(self) -> bool:
        return "_switch" in vars(self) and self._switch.is_answering

    @contextmanager
    def answering(self, installation: Installation | None) -> Iterator[None]:
        """Context manager: let this installation answer, or none. What `install()` installs in it ends with it."""
        if installation is not None or _INSTALL in sys.modules:
            with self._switch.answering(installation):
                yield
            return
        try:  # the usual case of tests with fakes, in which nothing needs to be imported
            yield
        finally:
            if _INSTALL in sys.modules:
                sys.modules[_INSTALL].uninstall()

    def prepare(self) -> None:
        """Check the cache once, if the libraries are imported: they do not ask for a file that they find there.

        Raises:
            ModelIntegrityError, UnsafeModelError: A file is damaged, and cannot be fetched again.
        """
        if "_switch" in vars(self):
            self._switch.prepare()

    def answered(self, repo: str) -> None:
        """Note that the running test used a locked model."""
        from modelenv.forcing import current_scope

        current_scope().used_real_model = True
        self._answered[repo] = None

    def fetched(self, repo: str, fetched: Fetched) -> None:
        """Note that files of a locked model were fetched."""
        amounts = {"files": fetched.files, "bytes": fetched.bytes, "requests": fetched.requests}
        self._fetches.append({"repo_id": repo, **amounts, "seconds": fetched.seconds})

    def take(self) -> list[dict[str, Any]]:
        """Return what was used and fetched since the last call, as plain types."""
        facts = [self._fetches.popleft() for _ in range(len(self._fetches))]
        nothing = {"files": 0, "bytes": 0, "requests": 0, "seconds": 0.0}
        facts += [{"repo_id": self._answered.popitem()[0], **nothing} for _ in range(len(self._answered))]
        return facts

    def close(self) -> None:
        """Restore the libraries."""
        if "_switch" in vars(self):
            self._switch.close()
