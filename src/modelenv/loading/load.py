"""Loads a real model: finds or fetches its files, builds the pipeline, and reports the load."""

from __future__ import annotations

import logging
import threading
import time
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from typing import Any

from modelenv.deadlines import BUILDING, Deadline
from modelenv.environment.settings import Settings
from modelenv.environment.sources import ModelSource
from modelenv.errors import ConfigurationError, ModelEnvError, ModelNotFoundError
from modelenv.fetching.forbidden import no_hub
from modelenv.loading.build import import_libraries, load_pipeline
from modelenv.loading.folders import Obtained
from modelenv.loading.locked_folder import obtain_locked
from modelenv.loading.reports import LoadReport
from modelenv.loading.request import LoadRequest
from modelenv.loading.shared import Run
from modelenv.loading.spec import ModelSpec
from modelenv.loading.unlocked_folder import find_model, find_or_fetch_model
from modelenv.store.checks import Checks
from modelenv.store.model_files import ModelFiles, Use
from modelenv.store.model_folder import check_model_folder
from modelenv.store.needs import check_needs
from modelenv.store.records import is_unchanged
from modelenv.store.store import Store
from modelenv.volume.metadata import VolumeMetadata
from modelenv.volume.reading import check_put_there_by_hand, find_on_volume, volume_metadata

logger = logging.getLogger("modelenv")
_LOOKING, _HASHING = "finding and checking its files", "hashing its files"
_LONG_HASHING = 4 << 20  # bytes: hashing fewer is too fast for an import at the same time to be useful


@dataclass(frozen=True)
class Loader:
    """Loads real models from one source.

    Attributes:
        source: The source of the models; never `MOCK_MODELS`.
        store: The folder that contains the models.
        run: The objects that are shared with other managers.
    """

    source: ModelSource
    store: Store
    run: Run

    @classmethod
    def of(cls, source: ModelSource, settings: Settings, run: Run) -> Loader:
        """Return the loader for `source` under these settings."""
        return cls(source, Store.of(source, settings), run)

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
                volume = self._metadata()
                try:
                    obtained = self._obtain(request, volume, deadline)
                    self._check_needs(request, volume, obtained)
                    verified = self.run.hashes.of(obtained.path)
                    built = time.monotonic()
                    deadline.stages.enter(BUILDING)
                    pipeline = self._build(request, obtained, deadline)
                    if volume is None or is_unchanged(obtained.path, verified):
                        break
                except ModelEnvError:
                    if volume == self._metadata():
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

    def _metadata(self) -> VolumeMetadata | None:
        """Return the metadata of the volume, or None if it has none or the source is not a volume."""
        return volume_metadata(self.store.root) if self.source is ModelSource.PERSISTENT_VOLUME else None

    def _obtain(self, request: LoadRequest, metadata: VolumeMetadata | None, deadline: Deadline) -> Obtained:
        def begin_hashing(size: int) -> None:
            deadline.stages.enter(_HASHING)
            if self.run.build is None:
                _import_meanwhile(size)

        checks = Checks(self.run.hashes, remembers=self.source.downloads, before_hashing=begin_hashing)
        if self.source is not ModelSource.PERSISTENT_VOLUME:
            return self._from_store(request, checks, deadline)
        if metadata is None:
            return self._from_volume_filled_by_hand(request, checks, deadline)
        folder = find_on_volume(
            self.store.root, metadata, request.ref,
            locked=request.locked, checks=checks, allow_pickle=request.allow_pickle,
        )  # fmt: skip
        return Obtained(folder)

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
            closed=is_locked or self.source is ModelSource.PERSISTENT_VOLUME,
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
        in_production = self.source is ModelSource.PERSISTENT_VOLUME
        with no_hub(request.ref.repo_id) if in_production else nullcontext():
            return build(spec, deadline)

    def _from_volume_filled_by_hand(self, request: LoadRequest, checks: Checks, deadline: Deadline) -> Obtained:
        """Return the model on a volume without our metadata, unless it is part of an incomplete `pull --to`."""
        root, model = self.store.root, request.ref.repo_id
        try:
            obtained = self._from_store(request, checks, deadline)
        except ModelNotFoundError:
            check_put_there_by_hand(root, None, model=model)
            raise
        check_put_there_by_hand(root, obtained.path, model=model)
        return obtained

    def _from_store(self, request: LoadRequest, checks: Checks, deadline: Deadline) -> Obtained:
        if request.locked is not None:
            obtained = obtain_locked(
                self.store,
                request.locked,
                deadline,
                fetches=self.source.downloads,
                checks=checks,
                failures=self.run.failures,
            )
            check_model_folder(
                obtained.path, root=self.store.root, model=request.locked.repo, allow_pickle=request.allow_pickle,
                locked={file.path for file in request.locked.files},
            )  # fmt: skip
            return obtained
        if not self.source.downloads:
            return find_model(self.store, request.ref, allow_pickle=request.allow_pickle)
        return find_or_fetch_model(
            self.store,
            request.ref,
            deadline,
            allow_pickle=request.allow_pickle,
            failures=self.run.failures,
        )

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
            source=self.source.value,
            fetched=fetched is not None,
            files=0 if fetched is None else fetched.files,
            bytes=0 if fetched is None else fetched.bytes,
            requests=(0 if obtained is None else obtained.requests) + (0 if fetched is None else fetched.requests),
            fetch_seconds=fetch_seconds,
            load_seconds=load_seconds,
            hosted=self.run.build is not None,
            error=error,
        )


def _import_meanwhile(size: int) -> None:
    """Import torch and transformers while files are hashed, which does not hold the interpreter's lock.

    The thread is not a daemon, so a program that ends early, such as after finding a damaged file, waits for it. An
    interpreter that shuts down in the middle of this import can crash.
    """
    if size >= _LONG_HASHING:
        threading.Thread(target=_import, name="modelenv-import").start()


def _import() -> None:
    with suppress(ConfigurationError):  # the build of the pipeline reports a missing library
        import_libraries()
