"""Guards: a test that should have a fake and reaches for a real model fails, and is told where it did.

They hold where the environment is `MOCK_MODELS`. Nothing is imported for them: each library gets its guard when the
tests import it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_modelenv.guards.heavy_imports import HeavyImports
from pytest_modelenv.guards.hub_addresses import HubAddresses, is_bookkeeping, is_on_this_machine, repo_id
from pytest_modelenv.guards.import_watch import HEAVY
from pytest_modelenv.guards.own_models import OwnModels, is_in_hub_cache
from pytest_modelenv.guards.patches import DOORS, close_doors
from pytest_modelenv.markers import LEFT_ALONE, MODEL_ACCESS
from pytest_modelenv.startup import (
    COLLECTING,
    ENDPOINT,
    ENDPOINT_OF_RUN,
    RUNNING,
    START_OF_RUN,
    STARTED,
    gate_marker,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from modelenv.errors import UnexpectedModelAccessError
    from pytest_modelenv.session_cache import ModelSession

_SOURCE_LINE = 100  # characters of a line of code that are shown
_SHORTENED = ("auto", "short")  # values of --tb; whoever asks for another one gets it


class ModelGuards:
    """The guards of one pytest process.

    An access is refused at once, and remembered: if the code under test swallows the error, the test fails with it
    all the same.

    Args:
        config: pytest's configuration; may be read before pytest has all its options.
        models: gives the models of this process.
    """

    def __init__(self, config: pytest.Config, models: Callable[[], ModelSession]) -> None:
        self._config = config
        self._models = models
        self._forbids_imports = bool(config.getini("forbid_heavy_imports"))
        self._real_models = bool(getattr(config.known_args_namespace, "real_models", False))
        # Under pytest-xdist the controller's: a worker starts later, and a conftest.py may set variables before.
        of_run: dict[str, Any] = getattr(config, "workerinput", {})
        self._hub = HubAddresses(of_run.get(ENDPOINT_OF_RUN, config.stash[ENDPOINT]))
        test_paths = tuple((config.rootpath / path).resolve() for path in config.getini("testpaths"))
        started = of_run.get(START_OF_RUN, config.stash[STARTED])
        self._own_models = OwnModels(config.rootpath, test_paths, started, self._folders_of_this_run)
        self._refused: deque[UnexpectedModelAccessError] = deque()
        self.imports = HeavyImports(config.rootpath)

    @property
    def _item(self) -> pytest.Item | None:
        return self._config.stash.get(RUNNING, None)

    @contextmanager
    def importing(self, name: str) -> Iterator[None]:
        """Measure or refuse the import of a watched module, and guard it from then on."""
        __tracebackhide__ = True
        if name not in HEAVY or self._real_models:
            yield
        elif self._forbids_imports:
            if self._holds():
                what = f"{self._who()} imports {name} in a run without --real-models"
                raise self._refuse(what, None, self._import_hint())
            yield
        elif self._item is None or self._holds():
            # While files are collected nobody asks which environment holds: that would import modelenv, and look as
            # if the project used it. See `collection_ended`.
            with self.imports.measured(name):
                yield
        else:
            yield
        if name in DOORS:
            for closed in close_doors(name, self):
                self._config.add_cleanup(closed.reopen)

    def request(self, method: str, url: str) -> None:
        """Refuse a request to the Hub."""
        __tracebackhide__ = True
        if self._hub.include(url) and self._holds():
            shown = url.partition("?")[0]  # a query may hold a secret
            error = self._refuse(f"{self._who()} asks the Hub: {method} {shown}", repo_id(url))
            if is_bookkeeping(url):
                self._refused.remove(error)  # refused all the same, but no fault of the test
            raise error

    def xet(self, call: str, endpoint: str | None) -> None:
        """Refuse what the native Xet client would do, which makes its requests without Python."""
        __tracebackhide__ = True
        is_own = self._hub.are_replaced() and (endpoint is None or is_on_this_machine(endpoint))
        if not is_own and self._holds():
            raise self._refuse(f"{self._who()} asks the Hub's storage: {call}", None)

    def weights(self, call: str, model: str | PathLike[str]) -> None:
        """Refuse weights that are not the tests' own."""
        __tracebackhide__ = True
        path = Path(model)
        is_own = path.exists() and self._own_models.include(path)
        if not is_own and (not path.exists() or is_in_hub_cache(path.resolve())):
            is_own = self._hub.are_replaced()  # then it comes from a Hub that the tests serve
        if not is_own and self._holds():
            raise self._refuse(f"{self._who()} loads real weights: {call}", str(model))

    def _holds(self) -> bool:
        """Whether the guards hold here: the environment is one of fakes, and the test has no leave."""
        from modelenv.environment.detection import detect_environment
        from modelenv.environment.sources import ModelSource
        from modelenv.errors import ConfigurationError

        if self._item is None and self._real_models:
            return False  # it may be for the integration tests; nobody can tell yet
        if self._item is not None and self._has_leave(self._item):
            return False
        try:
            return detect_environment() is ModelSource.MOCK_MODELS
        except ConfigurationError:
            return False  # a setting that is not valid, or not meant for modelenv: whoever asks for a model is told

    def _has_leave(self, item: pytest.Item) -> bool:
        mark = item.get_closest_marker(MODEL_ACCESS)
        return LEFT_ALONE in item.stash or (mark is not None and not mark.args and not mark.kwargs)

    def _refuse(self, what: str, model: str | None, hint: str | None = None) -> UnexpectedModelAccessError:
        from modelenv.errors import UnexpectedModelAccessError
        from pytest_modelenv.guards.callers import place_of_test, user_places

        places, root = user_places(), self._config.rootpath
        if places:
            where = f"{places[0].told(root)}: {places[0].source()[:_SOURCE_LINE]}"
        elif self._item is not None:
            where = f"a helper thread of {place_of_test(self._item).told(root)}"
        else:
            where = "no line of a test's file"
        error = UnexpectedModelAccessError(what, model=model, found=where, hint=hint or self._hint())
        self._refused.append(error)
        return error

    def _hint(self) -> str:
        return (
            "use a fake (the fixture `model`, or SmartModelManager) or the fixture `tiny_model`; or let it through: "
            f"@pytest.mark.{gate_marker(self._config)} (with --real-models), @pytest.mark.model_access (this test), "
            "--model-guards=off (all tests)"
        )

    def _import_hint(self) -> str:
        return (
            "import it in the function that needs it, and give the test a fake; or let it through: "
            f"@pytest.mark.{gate_marker(self._config)} (with --real-models), @pytest.mark.model_access (this test), "
            "forbid_heavy_imports = false (all tests)"
        )

    def _who(self) -> str:
        if self._item is not None:
            return self._item.nodeid
        return self._config.stash.get(COLLECTING, None) or "a conftest.py or a plugin"

    def _folders_of_this_run(self) -> Iterator[Path]:
        session = self._models()
        yield session.tiny_models
        factory: pytest.TempPathFactory | None = getattr(self._config, "_tmp_path_factory", None)
        if factory is not None:  # else pytest runs with -p no:tmpdir
            base = factory.getbasetemp()
            yield base.parent if session.is_worker else base  # a worker's is in the controller's

    def _swallowed(self, error: BaseException | None) -> UnexpectedModelAccessError | None:
        """Return the first refusal that the code under test has swallowed or replaced, and forget all."""
        refused = list(self._refused)
        self._refused.clear()
        return refused[0] if refused and not any(each is error for each in refused) else None

    def before_report(self, call: pytest.CallInfo[Any]) -> bool:
        """Let a test fail with the access that it swallowed; return whether it fails with an access."""
        if not self._refused:
            return False
        raised = None if call.excinfo is None else call.excinfo.value
        is_refusal = any(each is raised for each in self._refused)
        swallowed = self._swallowed(raised)
        if swallowed is not None:
            call.excinfo = pytest.ExceptionInfo.from_exception(swallowed)
        return is_refusal or swallowed is not None

    def shorten(self, report: pytest.TestReport, call: pytest.CallInfo[Any]) -> None:
        """Show the message of a refused access without the lines of code that led to it, most of them libraries'."""
        if report.failed and call.excinfo is not None and self._shortens:
            report.longrepr = call.excinfo.getrepr(style="value", chain=False)

    @property
    def _shortens(self) -> bool:
        option = self._config.option
        return option.tbstyle in _SHORTENED and not option.fulltrace

    def collected(self, report: pytest.CollectReport) -> None:
        """Let the collection of a file fail with the access that it swallowed."""
        if self._refused:
            refused = self._refused[0]
            self._refused.clear()
            if not report.failed or self._shortens:
                report.outcome, report.longrepr, report.result = "failed", str(refused), []

    def collection_ended(self) -> None:
        """Forget the imports that were measured during collection, if the environment is not one of fakes."""
        if self.imports.found and not self._holds():
            self.imports.take()
