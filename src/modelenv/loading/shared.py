"""The objects that all loads of a test run, or of a manager, share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from modelenv.forks import cached_property
from modelenv.loading.cache import PipelineCache

if TYPE_CHECKING:
    from modelenv.deadlines import Deadline
    from modelenv.fetching.failures import FailureLog
    from modelenv.loading.reports import LoadReport
    from modelenv.loading.spec import ModelSpec
    from modelenv.store.verification import HashMemory


def _ignore(report: LoadReport) -> None:
    del report


def _itself(pipeline: Any) -> Any:
    return pipeline


@dataclass(frozen=True, eq=False)
class Run:
    """The objects that the managers of one test run share.

    Attributes:
        pipelines: The real pipelines, each loaded once per process.
        failures: The failed fetches of all processes of the run, or None to remember none.
        on_load: Called after each load of a real model, from the thread that loaded it.
        build: Builds pipelines elsewhere, such as in a model host, with the signature of
            `modelenv.loading.build.load_pipeline`. None builds them in this process.
        view: Returns the object that a manager returns for a shared pipeline.
    """

    pipelines: PipelineCache = field(default_factory=PipelineCache)
    failures: FailureLog | None = None
    on_load: Callable[[LoadReport], None] = _ignore
    build: Callable[[ModelSpec, Deadline], Any] | None = None
    view: Callable[[Any], Any] = _itself

    @cached_property
    def hashes(self) -> HashMemory:
        """The hashes that this process has computed; created on first use, because a run of fakes needs none."""
        from modelenv.store.verification import HashMemory

        return HashMemory()
