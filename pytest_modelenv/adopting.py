"""A plugin for the runs of `modelenv adopt`, which names it in PYTEST_PLUGINS: it records the outcomes of the tests.

PYTEST_DONT_REWRITE: this module has no assertions.
"""

from __future__ import annotations

import os
from dataclasses import asdict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest


def pytest_configure(config: pytest.Config) -> None:
    """Record the outcomes, unless this is a worker, whose controller does it, or a run inside of a test."""
    from modelenv.adoption.records import Adoption

    adoption = Adoption.of(os.environ)
    is_outermost = "PYTEST_CURRENT_TEST" not in os.environ and not hasattr(config, "workerinput")
    if adoption is not None and is_outermost:
        config.pluginmanager.register(_Outcomes(adoption.folder, str(config.rootpath)))


class _Outcomes:
    def __init__(self, folder: str, root: str) -> None:
        self._folder = folder
        self._root = root

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._add(report.nodeid, report.outcome)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self._add(report.nodeid, report.outcome)

    def _add(self, node: str, outcome: str) -> None:
        from modelenv.adoption.records import Finished, append

        test = os.path.join(self._root, node)  # noqa: PTH118 - a node id is not only a path
        append(self._folder, "finished", [asdict(Finished(test, outcome))])
