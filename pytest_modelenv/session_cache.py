"""The state of one pytest process for its whole session."""

from __future__ import annotations

import os
import shutil
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cached_property
from typing import TYPE_CHECKING, Any

import pytest

from pytest_modelenv.locked_models import LockedModels
from pytest_modelenv.markers import allows_access
from pytest_modelenv.options import (
    DOWNLOAD_ON_DEMAND,
    LOCAL_CACHE,
    MOCK_MODELS,
    PLANS,
    ModelOptions,
    chosen_cache_dir,
    resolve_options,
    shared_cores,
)
from pytest_modelenv.shared_folders import SharedFolders
from pytest_modelenv.startup import CACHE_VARIABLE, FAKES, GUARDS_ERROR, GUARDS_OFF, HOST_OFF, runs_tests

if TYPE_CHECKING:
    from pathlib import Path

    from modelenv.environment.sources import ModelSource
    from modelenv.interception.install import Installation
    from modelenv.loading.reports import LoadReport, Notice
    from modelenv.loading.shared import Run
    from modelenv.manager import SmartModelManager
    from pytest_modelenv.hosting import Hosting
    from pytest_modelenv.hub_tasks import HubTasks


class ModelSession:
    """The plugin's state in one pytest process. Expensive parts are created on first use.

    Args:
        config: pytest's configuration.
        locked: What answers for the Hub from the lock.

    Raises:
        pytest.UsageError: An option is invalid.
    """

    def __init__(self, config: pytest.Config, locked: LockedModels) -> None:
        self.options: ModelOptions = resolve_options(config)
        chosen_cache_dir(config)  # reports an invalid option now
        self._config = config
        self._reports: deque[LoadReport | Notice] = deque()
        self.locked = locked

    def header(self) -> str:
        """Return the header line: the source and the cache folder, each with its origin."""
        options = self.options
        forced = None
        if options.forced is not None:
            forced = f"{options.forced.origin.removeprefix('variable ')} forces {options.forced.value}"
        if not options.real_models:
            return FAKES if forced is None else f"modelenv: {forced}; real models with --real-models"
        is_suite = options.suite is not None and options.suite.value != MOCK_MODELS
        in_all = " in all tests" if is_suite else ""
        parts = [f"modelenv: real models{in_all} from {options.source.value} ({options.source.origin})"]
        if options.source.value in (DOWNLOAD_ON_DEMAND, LOCAL_CACHE):
            cache = self.folders.cache
            parts.append(f"cache {cache.value} ({cache.origin})")
        if options.host.value != HOST_OFF:
            parts.append(f"held by one process ({options.host.origin})")
        if forced and not is_suite:
            parts.append(f"all other tests: {forced}")
        return ", ".join(parts)

    @property
    def is_worker(self) -> bool:
        """Whether this process is a worker of pytest-xdist."""
        return hasattr(self._config, "workerinput")

    @property
    def _owns_run(self) -> bool:
        """Whether this process created the run's folder and host. Workers and forked children did not."""
        return "folders" in vars(self) and not self.is_worker and self.folders.controller == os.getpid()

    @property
    def _workers(self) -> int:
        """The number of processes in this run that execute tests."""
        return int(getattr(self._config, "workerinput", {}).get("workercount", 1))

    @cached_property
    def folders(self) -> SharedFolders:
        """The shared folders, from the controller or chosen here."""
        return SharedFolders.of(self._config, self.options)

    @property
    def tiny_models(self) -> Path:
        """The folder for the models of the fixture `tiny_model`."""
        return self.folders.run / "tiny"

    def hand_down(self, workerinput: dict[str, Any]) -> None:
        """Pass the folders, and whether the tests are reordered, to a worker."""
        self.folders.hand_down(workerinput)
        workerinput[PLANS] = self.options.plans

    def close(self) -> None:
        """Remove the run's folder if this process created it."""
        if self._owns_run:
            shutil.rmtree(self.folders.run, ignore_errors=True)

    @cached_property
    def run(self) -> Run:
        """What the managers of this run share: pipelines within this process, and failed fetches across processes."""
        from modelenv.fetching.failures import FailureLog
        from modelenv.loading.shared import Run

        run = Run(failures=FailureLog(self._failures), on_load=self._reports.append)
        return run if self.hosting is None else self.hosting.host(run)

    @property
    def _failures(self) -> Path:
        return self.folders.run / "failures"

    @cached_property
    def hosting(self) -> Hosting | None:
        """The run's model host. None if each process loads its own models, or if no tests run."""
        if self.options.host.value == HOST_OFF or not runs_tests(self._config):
            return None
        from pytest_modelenv.hosting import Hosting

        folders, options = self.folders, self.options
        return Hosting(options.host.value, folders.run, folders.controller, options.memory, self._reports.append)

    def start_host(self) -> None:
        """Start the host now, so that it imports its libraries while pytest collects the tests."""
        if self.hosting is not None and not self.is_worker:
            from modelenv.errors import ModelHostError

            # This only saves time. If the host does not start, the tests that need it report the error.
            with self.forcing(self.options.source.value), suppress(ModelHostError):
                self.hosting.client.start()

    def prepare(self, items: Iterable[pytest.Item]) -> None:
        """Tell the host to load the models of the collected tests."""
        if self.hosting is not None:
            from pytest_modelenv.planning import planned

            source = self.options.source.value
            with self.forcing(source):  # the environment in which the host was started
                self.hosting.prepare(planned(items, source), self._failures)

    def end_host(self) -> list[LoadReport | Notice]:
        """Return what the host reports of this run. Stop the host if it is this run's."""
        if not self._owns_run or self.hosting is None:
            return []
        return self.hosting.end()

    @cached_property
    def hub_tasks(self) -> HubTasks:
        """The tasks of models, as the Hub names them."""
        from pytest_modelenv.hub_tasks import HubTasks

        return HubTasks()

    def take_reports(self) -> list[LoadReport | Notice]:
        """Return the real loads that finished since the last call, and the notices."""
        taken = []
        while self._reports:
            taken.append(self._reports.popleft())
        return taken

    @cached_property
    def own_run(self) -> Run:
        """What managers share if pipelines must be in this process and not in the host."""
        from modelenv.loading.cache import PipelineCache
        from modelenv.loading.shared import Run

        if self.hosting is None:
            return self.run
        return Run(PipelineCache(), self.run.failures, self.run.on_load)

    def installation(self, source: str, item: pytest.Item | None) -> Installation | None:
        """Return what answers for the Hub from the lock while this test runs, or None if nothing does.

        Raises:
            ConfigurationError: A setting is invalid.
            LockfileError: The lock or the volume's metadata cannot be read.
        """
        if source == MOCK_MODELS:
            return None
        from modelenv.environment.sources import ModelSource

        real = ModelSource(source)
        refuse = self.options.guards == GUARDS_ERROR and not (item is not None and allows_access(item))
        return self.locked.find(real, self._cache_dir_of(real), refuse=refuse)

    @contextmanager
    def forcing(
        self, source: ModelSource | str, *, hosted: bool = True, installation: Installation | None = None
    ) -> Iterator[None]:
        """Context manager: force a source, with the run's cache folder and pipelines.

        If not `hosted`, pipelines are in this process. `installation` answers for the Hub. Inside a block of `apart`,
        only the source is forced.
        """
        from modelenv.environment.sources import ModelSource
        from modelenv.forcing import current_forcing, force_environment

        source = ModelSource.parse(source)
        run = self.run if hosted else self.own_run
        is_apart = current_forcing().run not in (None, self.run, self.own_run)
        variables: dict[str, str | None] = {}
        if is_apart:
            installation = None
        else:
            variables.update(self.locked.variables(installation))
            variables.update(self._variables(source, in_process=not hosted or self.hosting is None))
        # In offline mode, the libraries would raise their own errors, which code under test often catches.
        offline = False if source == MOCK_MODELS and self.options.guards != GUARDS_OFF else None
        with (
            force_environment(source, variables=variables, run=None if is_apart else run, offline=offline),
            self.locked.answering(installation),
        ):
            yield
        self._keep_within_memory()

    def _keep_within_memory(self) -> None:
        """Unload the least recently used models if this process holds more than its share."""
        loading_here: Run | None = vars(self).get("run" if self.hosting is None else "own_run")
        if loading_here is not None:
            loading_here.pipelines.keep_within(self.options.memory // self._workers)

    @cached_property
    def manager(self) -> SmartModelManager:
        """The manager that all tests of this process share."""
        from modelenv.shared_manager import SharedManager

        return SharedManager(self.run)

    @contextmanager
    def apart(self, variables: Mapping[str, str | None]) -> Iterator[None]:
        """Context manager: set variables, and share loads and failures neither from nor with the rest of the run."""
        from modelenv.forcing import force_environment
        from modelenv.loading.shared import Run

        everything = {**self.locked.variables(None), **variables}
        with force_environment(variables=everything, run=Run()), self.locked.answering(None):
            yield

    def _variables(self, source: ModelSource, *, in_process: bool) -> dict[str, str]:
        if source == MOCK_MODELS:
            return {}
        variables = {"HF_HUB_DISABLE_TELEMETRY": "1"}  # saves a request to the Hub in each process
        if in_process and self._workers > 1:
            variables.update(shared_cores(self._workers))
        cache_dir = self._cache_dir_of(source)
        return variables if cache_dir is None else {**variables, CACHE_VARIABLE: cache_dir}

    def _cache_dir_of(self, source: ModelSource) -> str | None:
        """Return the folder of models that all workers share, or None if a source has its own."""
        is_shared = source == DOWNLOAD_ON_DEMAND or (source == LOCAL_CACHE and self.folders.is_chosen)
        return str(self.folders.cache.value) if is_shared else None
