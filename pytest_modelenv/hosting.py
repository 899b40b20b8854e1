"""A run's model host: one process that holds the real models for all workers (`--model-host`)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_modelenv.markers import ModelCall
from pytest_modelenv.startup import HOST_KEEP, HOST_RUN

if TYPE_CHECKING:
    from modelenv.host.client import HostClient
    from modelenv.loading.reports import LoadReport, Notice
    from modelenv.loading.shared import Run

_KEEP_SECONDS = 900.0
_KEEP_BYTES = 64 << 20  # of cached answers


@dataclass(frozen=True)
class Hosting:
    """Where this run's host is, and how long it lives.

    Attributes:
        mode: `run` stops the host with the run. `keep` leaves it running for the next runs.
        folder: The run's folder. In the mode `run`, it contains the host's folder.
        controller: The process id of the controller. The run ends when this process ends.
        memory: The maximum number of bytes of models in the host.
        on_notice: Called for each model that was loaded in this process instead of the host.
    """

    mode: str
    folder: Path
    controller: int
    memory: int
    on_notice: Callable[[Notice], None]

    @cached_property
    def client(self) -> HostClient:
        """The client that talks to the host."""
        from modelenv.host.client import HostClient
        from modelenv.host.folder import HostFolder, kept_folder

        if self.mode == HOST_KEEP:
            folder = HostFolder(kept_folder())
            return HostClient(folder, idle=_KEEP_SECONDS, memory=self.memory, answers=_KEEP_BYTES)
        return HostClient(
            HostFolder(self.folder / "host"), watch=self.controller, memory=self.memory, removes=self.folder
        )

    def host(self, run: Run) -> Run:
        """Return a copy of `run` that builds its pipelines in the host."""
        from modelenv.host.builder import HostBuilder
        from modelenv.host.proxy import own_view

        return replace(run, build=HostBuilder(self.client, self._report_local), view=own_view)

    def _report_local(self, model: str, reason: str) -> None:
        from modelenv.loading.reports import Notice

        self.on_notice(Notice(model, f"also loaded in the process of the test: {reason}"))

    def prepare(self, calls: Iterable[ModelCall], failures: Path) -> None:
        """Tell the host to fetch and load the models of these markers while other tests run."""
        from modelenv.errors import ModelHostError
        from modelenv.host.messages.protocol import PlannedModel

        planned = []
        for call in dict.fromkeys((call.name, call.task, _pickled(call)) for call in calls):
            name, task, arguments = call
            if arguments is not None:
                planned.append(PlannedModel(name, task, arguments))
        if planned or self.mode == HOST_KEEP:  # a kept host also needs this run's memory limit
            # This only saves time. If the host does not start, the tests that need it report the error.
            with suppress(ModelHostError):
                self.client.prepare(tuple(planned), str(failures))

    def end(self) -> list[LoadReport | Notice]:
        """Return what the host reports of this run. Stop the host unless it is kept."""
        from modelenv.errors import ModelHostError
        from modelenv.loading.reports import Notice

        reports: list[LoadReport | Notice] = []
        try:
            reports += self.client.take_reports()
            if self.mode == HOST_RUN:
                self.client.stop()
        except ModelHostError as error:
            reports.append(Notice("the model host", f"failed: {error.what}"))
            if self.mode == HOST_RUN:
                self.client.kill()
        return reports


def _pickled(call: ModelCall) -> bytes | None:
    """Return the marker's arguments, pickled for the host, or None if they cannot be pickled."""
    from modelenv.host.messages.pickling import CannotCrossError, crossing

    try:
        return crossing(dict(call.pipeline_kwargs))
    except CannotCrossError:
        return None  # the test loads this model itself
