"""Guards: a test that should have a fake and reaches for a real model fails, and is told where it did.

They hold where the environment is `MOCK_MODELS`. Nothing is imported for them: each library gets its guard when the
tests import it.
"""

from __future__ import annotations

import tempfile
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_modelenv.guards.heavy_imports import HeavyImports
from pytest_modelenv.guards.hub_addresses import HubAddresses, is_bookkeeping, is_on_this_machine, repo_id
from pytest_modelenv.guards.import_watch import HEAVY
from pytest_modelenv.guards.patches import DOORS, close_doors
from pytest_modelenv.markers import MODEL_ACCESS
from pytest_modelenv.startup import COLLECTING, ENDPOINT, ENDPOINT_OF_RUN, RUNNING, models_of

if TYPE_CHECKING:
    from modelenv.errors import UnexpectedModelAccessError

_TINY_MODELS = "modelenv-tiny-"  # the private folder of `modelenv.testing.tiny_model`
_HINT = (
    "let modelenv give the model, which is a fake here (SmartModelManager, or the fixture `model`), or make a small "
    "real one with the fixture `tiny_model`; if the test needs the real one, mark it: @pytest.mark.integration (runs "
    "with --real-models) or @pytest.mark.model_access (this test may do it in every run)"
)
_IMPORT_HINT = (
    "forbid_heavy_imports = true forbids it: import it in the function that needs it, and let modelenv give tests a "
    "fake; or import it in a test that is marked @pytest.mark.integration or @pytest.mark.model_access"
)


class ModelGuards:
    """The guards of one pytest process.

    An access is refused at once, and remembered: if the code under test swallows the error, the test fails with it
    all the same.

    Args:
        config: pytest's configuration; may be read before pytest has all its options.
    """

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._forbids_imports = bool(config.getini("forbid_heavy_imports"))
        self._real_models = bool(getattr(config.known_args_namespace, "real_models", False))
        self._hub = HubAddresses(_endpoint(config))
        self._refused: deque[UnexpectedModelAccessError] = deque()
        self.imports = HeavyImports(config.rootpath)

    @property
    def _item(self) -> pytest.Item | None:
        return self._config.stash.get(RUNNING, None)

    @contextmanager
    def importing(self, name: str) -> Iterator[None]:
        """Measure or refuse the import of a watched module, and guard it from then on."""
        __tracebackhide__ = True
        if name in HEAVY and not self._real_models and self._holds():
            if self._forbids_imports:
                what = f"{self._who()} imports {name} in a run without --real-models"
                raise self._refuse(what, None, f"import {name}", _IMPORT_HINT)
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
            error = self._refuse(f"{self._who()} asks the Hub", repo_id(url), f"{method} {shown}")
            if is_bookkeeping(url):
                self._refused.remove(error)  # refused all the same, but no fault of the test
            raise error

    def xet(self, call: str, endpoint: str | None) -> None:
        """Refuse what the native Xet client would do, which makes its requests without Python."""
        __tracebackhide__ = True
        is_own = self._hub.are_replaced() and (endpoint is None or is_on_this_machine(endpoint))
        if not is_own and self._holds():
            raise self._refuse(f"{self._who()} asks the Hub's storage", None, call)

    def weights(self, call: str, model: str | PathLike[str]) -> None:
        """Refuse weights that this run has not made itself."""
        __tracebackhide__ = True
        path = Path(model)
        is_own = self._is_made_by_this_run(path.resolve()) if path.exists() else self._hub.are_replaced()
        if not is_own and self._holds():
            raise self._refuse(f"{self._who()} loads real weights", str(model), call)

    def _holds(self) -> bool:
        """Whether the guards hold here: the environment is one of fakes, and the test has no leave."""
        from modelenv.environment.detection import detect_environment
        from modelenv.environment.sources import ModelSource

        if self._item is None and self._real_models:
            return False  # it may be for the integration tests; nobody can tell yet
        if self._item is not None and self._item.get_closest_marker(MODEL_ACCESS) is not None:
            return False
        return detect_environment() is ModelSource.MOCK_MODELS

    def _refuse(self, what: str, model: str | None, call: str, hint: str = _HINT) -> UnexpectedModelAccessError:
        from modelenv.errors import UnexpectedModelAccessError
        from pytest_modelenv.guards.callers import place_of_test, user_places

        places, root = user_places(), self._config.rootpath
        if places:
            where = places[0].told(root)
        elif self._item is not None:
            where = f"a helper thread of {place_of_test(self._item).told(root)}"
        else:
            where = "no line of a test's file"
        error = UnexpectedModelAccessError(what, model=model, found=f"{call}, at {where}", hint=hint)
        self._refused.append(error)
        return error

    def _who(self) -> str:
        if self._item is not None:
            return self._item.nodeid
        return self._config.stash.get(COLLECTING, None) or "a conftest.py or a plugin"

    def _is_made_by_this_run(self, path: Path) -> bool:
        temporary = Path(tempfile.gettempdir()).resolve()
        if any(each.parent == temporary and each.name.startswith(_TINY_MODELS) for each in path.parents):
            return True
        session = models_of(self._config)
        own = [session.tiny_models]
        factory: pytest.TempPathFactory | None = getattr(self._config, "_tmp_path_factory", None)
        if factory is not None:  # else pytest runs with -p no:tmpdir
            base = factory.getbasetemp()
            own.append(base.parent if session.is_worker else base)  # a worker's lies in the controller's
        return any(path.is_relative_to(folder.resolve()) for folder in own)

    def _swallowed(self, error: BaseException | None) -> UnexpectedModelAccessError | None:
        """Return the first refusal that the code under test has swallowed or replaced, and forget all."""
        refused = list(self._refused)
        self._refused.clear()
        return refused[0] if refused and not any(each is error for each in refused) else None

    def before_report(self, call: pytest.CallInfo[None]) -> None:
        """Let a test fail with the access that it swallowed."""
        if self._refused:
            swallowed = self._swallowed(call.excinfo.value if call.excinfo is not None else None)
            if swallowed is not None:
                call.excinfo = pytest.ExceptionInfo.from_exception(swallowed)

    def collected(self, report: pytest.CollectReport) -> None:
        """Let the collection of a file fail with the access that it swallowed."""
        if self._refused:
            refused = self._refused[0]
            self._refused.clear()
            if not report.failed:
                report.outcome, report.longrepr, report.result = "failed", str(refused), []


def _endpoint(config: pytest.Config) -> str | None:
    """Return the endpoint that the run started with: under pytest-xdist the controller's."""
    workerinput: dict[str, str | None] = getattr(config, "workerinput", {})
    return workerinput.get(ENDPOINT_OF_RUN, config.stash[ENDPOINT])
