"""Guards: a test that should use a fake but accesses a real model fails, and the error names the line.

Guards are active if the environment is `MOCK_MODELS`. They import nothing: each library is guarded when the tests
import it.
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_modelenv.gate import LEFT_ALONE
from pytest_modelenv.guards.heavy_imports import HeavyImports
from pytest_modelenv.guards.hub_addresses import HubAddresses, is_bookkeeping, is_on_this_machine, repo_id
from pytest_modelenv.guards.own_models import OwnModels, is_in_hub_cache
from pytest_modelenv.markers import allows_access
from pytest_modelenv.option_names import ini_of, option_of
from pytest_modelenv.startup import (
    GUARDS_ERROR,
    RUNNING,
    endpoint_of,
    gate_marker,
    guards_mode,
    running_code,
    start_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from modelenv.errors import UnexpectedModelAccessError
    from pytest_modelenv.session_cache import ModelSession

_SOURCE_LINE = 100  # the maximum number of characters shown from a line of code
_SHORTENED = ("auto", "short")  # values of --tb; with any other value, nothing is shortened


class ModelGuards:
    """The guards of one pytest process.

    An access is refused immediately and recorded: if the code under test swallows the error, the test still fails
    with it.

    Args:
        config: pytest's configuration. It is used before pytest has parsed all its options.
        models: Returns the models of this process.
    """

    def __init__(self, config: pytest.Config, models: Callable[[], ModelSession]) -> None:
        self._config = config
        self._models = models
        self._forbids_imports = bool(ini_of(config, "forbid_heavy_imports"))
        test_paths = tuple((config.rootpath / path).resolve() for path in config.getini("testpaths"))
        self._own_models = OwnModels(config.rootpath, test_paths, lambda: start_of(config), self._folders_of_this_run)
        self._refused: deque[UnexpectedModelAccessError] = deque()
        self.imports = HeavyImports(config.rootpath)

    @property
    def _real_models(self) -> bool:
        return bool(option_of(self._config, "real_models"))

    @property
    def _hub(self) -> HubAddresses:
        return HubAddresses(endpoint_of(self._config))

    @property
    def _item(self) -> pytest.Item | None:
        return self._config.stash.get(RUNNING, None)

    @contextmanager
    def importing(self, name: str) -> Iterator[None]:
        """Context manager: measure or refuse the import of a heavy module."""
        __tracebackhide__ = True
        if self._real_models:
            yield
        elif self._forbids_imports:
            if self._are_active():
                what = f"{self._subject()} imports {name} in a run without --real-models"
                raise self._refuse(what, None, self._import_hint())
            yield
        elif self._item is None or self._reports():
            # Do not detect the environment during collection: that would import modelenv, as if the project used it.
            # See `collection_ended`.
            with self.imports.measured(name):
                yield
        else:
            yield

    def request(self, method: str, url: str) -> None:
        """Refuse a request to the Hub."""
        __tracebackhide__ = True
        if self._hub.include(url) and self._are_active():
            shown = url.partition("?")[0]  # the query can contain a secret
            error = self._refuse(f"{self._subject()} sends a request to the Hub: {method} {shown}", repo_id(url))
            if is_bookkeeping(url):
                self._refused.remove(error)  # refused too, but the test does not fail
            raise error

    def xet(self, call: str, endpoint: str | None) -> None:
        """Refuse a call of the native Xet client, which sends its requests without Python."""
        __tracebackhide__ = True
        is_own = self._hub.are_replaced() and (endpoint is None or is_on_this_machine(endpoint))
        if not is_own and self._are_active():
            raise self._refuse(f"{self._subject()} sends a request to the Hub's storage: {call}", None)

    def weights(self, call: str, model: str | PathLike[str]) -> None:
        """Refuse to load weights that do not belong to the tests."""
        __tracebackhide__ = True
        path = Path(model)
        is_own = path.exists() and self._own_models.include(path)
        if not is_own and (not path.exists() or is_in_hub_cache(path.resolve())):
            is_own = self._hub.are_replaced()  # then the model comes from a Hub that the tests serve
        if not is_own and self._are_active():
            raise self._refuse(f"{self._subject()} loads real weights: {call}", str(model))

    def _are_active(self) -> bool:
        """Whether the guards are active: the environment is `MOCK_MODELS`, and the test is not exempt."""
        from modelenv.environment.detection import detect_environment
        from modelenv.environment.sources import ModelSource
        from modelenv.errors import ConfigurationError

        if self._item is None and self._real_models:
            return False  # an integration test could need it; that is not known yet
        if self._is_exempt(self._item):
            return False
        try:
            return detect_environment() is ModelSource.MOCK_MODELS
        except ConfigurationError:
            return False  # an invalid setting, possibly not modelenv's: loading a model reports it

    def _reports(self) -> bool:
        """Whether heavy imports are reported. A project that does not use modelenv has no environment to detect."""
        is_unused = guards_mode(self._config) != GUARDS_ERROR and "modelenv" not in sys.modules
        return (is_unused and not self._is_exempt(self._item)) or self._are_active()

    def _is_exempt(self, item: pytest.Item | None) -> bool:
        if item is None:
            return False
        return LEFT_ALONE in item.stash or allows_access(item)

    def _refuse(self, what: str, model: str | None, hint: str | None = None) -> UnexpectedModelAccessError:
        from modelenv.errors import UnexpectedModelAccessError
        from pytest_modelenv.guards.callers import place_of_test, user_places

        places, root = user_places(), self._config.rootpath
        if places:
            where = f"{places[0].describe(root)}: {places[0].source()[:_SOURCE_LINE]}"
        elif self._item is not None:
            where = f"a helper thread of {place_of_test(self._item).describe(root)}"
        else:
            where = "no line in a test file"
        error = UnexpectedModelAccessError(what, model=model, found=where, hint=hint or self._hint())
        self._refused.append(error)
        return error

    def _hint(self) -> str:
        return (
            "use a fake (the fixture `model`, or SmartModelManager) or the fixture `tiny_model`; or allow it: "
            f"@pytest.mark.{gate_marker(self._config)} (with --real-models), @pytest.mark.model_access (this test), "
            "--model-guards=off (all tests)"
        )

    def _import_hint(self) -> str:
        return (
            "import it in the function that needs it, and use a fake in the test; or allow it: "
            f"@pytest.mark.{gate_marker(self._config)} (with --real-models), @pytest.mark.model_access (this test), "
            "forbid_heavy_imports = false (all tests)"
        )

    def _subject(self) -> str:
        return running_code(self._config)[1]

    def _folders_of_this_run(self) -> Iterator[Path]:
        session = self._models()
        yield session.tiny_models
        factory: pytest.TempPathFactory | None = getattr(self._config, "_tmp_path_factory", None)
        if factory is not None:  # None with -p no:tmpdir
            base = factory.getbasetemp()
            yield base.parent if session.is_worker else base  # a worker's folder is inside the controller's

    def _swallowed(self, error: BaseException | None) -> UnexpectedModelAccessError | None:
        """Return the first refusal if the code under test swallowed or replaced it. Clear the record."""
        refused = list(self._refused)
        self._refused.clear()
        return refused[0] if refused and not any(each is error for each in refused) else None

    def before_report(self, call: pytest.CallInfo[Any]) -> bool:
        """Fail a test that swallowed a refusal. Return whether the test fails with a refusal."""
        if not self._refused:
            return False
        raised = None if call.excinfo is None else call.excinfo.value
        is_refusal = any(each is raised for each in self._refused)
        swallowed = self._swallowed(raised)
        if swallowed is not None:
            call.excinfo = pytest.ExceptionInfo.from_exception(swallowed)
        return is_refusal or swallowed is not None

    def shorten(self, report: pytest.TestReport, call: pytest.CallInfo[Any]) -> None:
        """Show only the message of a refusal, without the traceback, which is mostly library code."""
        if report.failed and call.excinfo is not None and self._shortens:
            report.longrepr = call.excinfo.getrepr(style="value", chain=False)

    @property
    def _shortens(self) -> bool:
        option = self._config.option
        return option.tbstyle in _SHORTENED and not option.fulltrace

    def collected(self, report: pytest.CollectReport) -> None:
        """Fail the collection of a file that swallowed a refusal."""
        if self._refused:
            refused = self._refused[0]
            self._refused.clear()
            if not report.failed or self._shortens:
                report.outcome, report.longrepr, report.result = "failed", str(refused), []

    def collection_ended(self) -> None:
        """Discard the imports measured during collection if the environment is not `MOCK_MODELS`."""
        if self.imports.found and not self._reports():
            self.imports.take()
