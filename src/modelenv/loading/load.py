"""Loads a real model: finds or fetches its files, builds the pipeline, and reports the load."""

from __future__ import annotations

import logging
import time
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

from modelenv.deadlines import BUILDING, Deadline
from modelenv.environment.settings import Settings
from modelenv.environment.sources import ModelSource
from modelenv.errors import ModelEnvError
from modelenv.fetching.no_hub import no_hub
from modelenv.loading.build import load_pipeline
from modelenv.loading.choose_folder import FolderChoice
from modelenv.loading.look_and_mend import Obtained
from modelenv.loading.reports import LoadReport
from modelenv.loading.request import LoadRequest
from modelenv.loading.shared import Run
from modelenv.loading.spec import ModelSpec
from modelenv.store.model_files import ModelFiles, Use
from modelenv.store.needs import check_needs
from modelenv.store.records import is_unchanged
from modelenv.store.store import Store
from modelenv.volume.metadata import VolumeMetadata

logger = logging.getLogger("modelenv")
_LOOKING = "finding and checking its files"


@dataclass(frozen=True)
class Loader:
    """Loads real models from one source.

    Attributes:
        folders: Chooses the folder of each model.
        run: The objects that are shared with other managers.
    """

    folders: FolderChoice
    run: Run

    @classmethod
    def of(cls, source: ModelSource, settings: Settings, run: Run) -> Loader:
        """Return the loader for `source` under these settings."""
        return cls(FolderChoice(source, Store.of(source, settings), run), run)

    def load(self, request: LoadRequest, deadline: Deadline) -> Any:
        """Load the model and return its pipeline. `deadline.stages` shows the progress.

        Raises:
            ModelEnvError: See `SmartModelManager.load_model`.
        """
        started = time.monotonic()
        obtained: Obtained | None = None
        pipeline, message, built = None, None, started
        try:
            while True:
                deadline.stages.enter(_LOOKING)
                volume = self.folders.metadata()
                try:
                    obtained = self.folders.obtain(request, volume, deadline)
                    self._check_needs(request, volume, obtained)
                    verified = self.run.hashes.of(obtained.path)
                    built = time.monotonic()
                    deadline.stages.enter(BUILDING)
                    pipeline = self._build(request, obtained, deadline)
                    if volume is None or is_unchanged(obtained.path, verified):
                        break
                except ModelEnvError:
                    if volume == self.folders.metadata():
                        raise
                pipeline = None  # an update of the volume replaced the files during the load: load the new ones
                if not deadline.remaining:
                    doing = "loading it, because updates of the volume kept replacing its files"
                    raise deadline.passed(str(request.ref), doing)
            deadline.stages.enter("done")
        except ModelEnvError as error:
            message = error.what
            raise
        finally:
            report = self._report(request, obtained, message, built - started, time.monotonic() - built)
            logger.info("%s", report)
            self.run.on_load(report)
        return pipeline

    def _check_needs(self, request: LoadRequest, metadata: VolumeMetadata | None, obtained: Obtained) -> None:
        """Check that the folder has all files that this load needs, and that a locked model reads no others."""
        locked = None
        if request.locked is not None and metadata is None:
            locked = {file.path for file in request.locked.files}
        is_locked = request.locked is not None or metadata is not None
        use = Use(
            request.task,
            given=frozenset(request.arguments),
            allow_pickle=request.allow_pickle,
            runs_code=request.trust_remote_code,
            closed=is_locked or self.folders.source is ModelSource.PERSISTENT_VOLUME,
            whole=is_locked or obtained.whole,
            hint=None if is_locked else obtained.hint,
        )
        check_needs(ModelFiles.in_folder(obtained.path, request.ref.repo_id, locked), use)

    def _build(self, request: LoadRequest, obtained: Obtained, deadline: Deadline) -> Any:
        build = self.run.build or load_pipeline
        spec = ModelSpec(
            obtained.path, request.task, request.arguments, request.ref.repo_id, request.device,
            request.trust_remote_code,
        )  # fmt: skip
        in_production = self.folders.source is ModelSource.PERSISTENT_VOLUME
        with no_hub(request.ref.repo_id) if in_production else nullcontext():
            return build(spec, deadline)

    def _report(
        self,
        request: LoadRequest,
        obtained: Obtained | None,
        error: str | None,
        fetch_seconds: float,
        load_seconds: float,
    ) -> LoadReport:
        fetched = None if obtained is None else obtained.fetched
        return LoadReport(
            repo_id=str(request.ref),
            task=request.task,
            source=self.folders.source.value,
            fetched=fetched is not None,
            files=0 if fetched is None else fetched.files,
            bytes=0 if fetched is None else fetched.bytes,
            requests=(0 if obtained is None else obtained.requests) + (0 if fetched is None else fetched.requests),
            fetch_seconds=fetch_seconds,
            load_seconds=load_seconds,
            hosted=self.run.build is not None,
            error=error,
        )
