"""What the loads of one test run, or of one manager, share."""

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
    """What the managers of one test run share.

    Attributes:
        pipelines: the real pipelines, loaded once per process.
        failures: failed fetches, remembered for all processes of the run; None remembers nothing.
        on_load: called after each real load, from the loading thread.
        build: builds pipelines somewhere else, such as in a model host; None builds them in this process. Called as
            `modelenv.loading.build.load_pipeline` is.
    """

    pipelines: PipelineCache = field(default_factory=PipelineCache)
    failures: FailureLog | None = None
    on_load: Callable[[LoadReport], None] = _ignore
    build: Callable[[ModelSpec, Deadline], Any] | None = None
    view: Callable[[Any], Any] = _itself

    @cached_property
    def hashes(self) -> HashMemory:
        """What was hashed in this process; a run of fakes hashes nothing."""
        from modelenv.store.verification import HashMemory

        return HashMemory()
