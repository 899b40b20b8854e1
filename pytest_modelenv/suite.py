"""The environment outside of tests that force another one: while conftest.py and test files are imported, and of a
whole suite by the ini-option `model_source`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

import pytest

from pytest_modelenv.locked_models import LockedModels
from pytest_modelenv.options import (
    MOCK_MODELS,
    Resolved,
    real_source,
    suite_source,
)
from pytest_modelenv.project_files import has_lock
from pytest_modelenv.shared_folders import early_cache_dir
from pytest_modelenv.startup import CACHE_VARIABLE, GUARDS_ERROR, guards_mode

if TYPE_CHECKING:
    from modelenv.interception.install import Installation
    from pytest_modelenv.session_cache import ModelSession

_VOLUME = "persistent_volume"


class SuiteEnvironment:
    """The environment of one process outside of tests that force another one.

    By the ini-option `model_source`, its source is forced, and the lock answers for the Hub. With `--real-models`,
    the lock answers until the tests are collected, because their files can load models for integration tests.

    Args:
        config: pytest's configuration. It is used before pytest has parsed all its options.
    """

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._undo = ExitStack()
        self.locked = LockedModels(config.invocation_params.dir)

    @property
    def _source(self) -> str | None:
        """The source that is forced for all tests, or None."""
        suite = suite_source(self._config)
        return None if suite is None else suite.value

    def begin(self) -> None:
        """Begin before the first conftest.py is imported.

        Raises:
            pytest.UsageError: An option or a setting is invalid, or a whole suite cannot use the lock.
        """
        source = real_source(self._config).value
        is_wanted = self._source is not None or source == _VOLUME or has_lock(self._config)
        if self._source == MOCK_MODELS or not is_wanted:
            return
        cache = early_cache_dir(self._config, source)
        if cache is None:
            return  # pytest has no cache folder: the run's own folder is not known yet
        with self._reporting_mistakes():
            installation = self._installation(source, cache)
            if installation is not None or self._source is not None:
                self._enter(installation, cache)

    def conftests_imported(self) -> None:
        """End before the options are resolved, because they can come from the variables that are set here."""
        if self._source is not None or self._config.getoption("tx", None):
            self._undo.close()

    def configure(self, models: ModelSession) -> None:
        """Begin again with the folders of the run, except in the controller of pytest-xdist, which runs no tests.

        Raises:
            pytest.UsageError: A setting is invalid, or the lock cannot be used.
        """
        suite = models.options.suite
        if suite is None or self._config.getoption("tx", None):
            return
        with self._reporting_mistakes():
            installation = models.installation(suite.value, None)
            self._undo.enter_context(models.forcing(suite.value, installation=installation))
            self.locked.prepare()

    def collected(self) -> None:
        """End after the collection, unless all tests have real models."""
        if self._source is None:
            self._undo.close()

    def close(self) -> None:
        """Restore everything."""
        self._undo.close()
        self.locked.close()

    def _installation(self, source: str, cache: Resolved[str | None]) -> Installation | None:
        from modelenv.environment.sources import ModelSource

        # Until the tests are collected, it is not known which of them can reach the Hub.
        refuse = self._source is not None and guards_mode(self._config) == GUARDS_ERROR
        return self.locked.find(ModelSource(source), cache.value, refuse=refuse)

    def _enter(self, installation: Installation | None, cache: Resolved[str | None]) -> None:
        from modelenv.forcing import force_environment

        variables = dict(self.locked.variables(installation))
        if self._source is not None and cache.value is not None:
            variables[CACHE_VARIABLE] = cache.value
        self._undo.enter_context(force_environment(self._source, variables=variables))
        self._undo.enter_context(self.locked.answering(installation))
        self.locked.prepare()

    @contextmanager
    def _reporting_mistakes(self) -> Iterator[None]:
        from modelenv.errors import ModelEnvError

        try:
            yield
        except ModelEnvError as error:
            self._undo.close()
            if self._source is not None:
                raise pytest.UsageError(str(error)) from None
            # Otherwise each test that needs real models reports it.
