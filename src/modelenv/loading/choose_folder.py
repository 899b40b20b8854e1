"""Chooses the folder that a model is loaded from: on a volume or in a store, locked or not, fetched if necessary."""

from __future__ import annotations

import threading
from contextlib import suppress
from dataclasses import dataclass

from modelenv.deadlines import Deadline
from modelenv.environment.sources import ModelSource
from modelenv.errors import ConfigurationError, ModelNotFoundError
from modelenv.loading.build import import_libraries
from modelenv.loading.locked_folder import obtain_locked
from modelenv.loading.look_and_mend import Obtained
from modelenv.loading.request import LoadRequest
from modelenv.loading.shared import Run
from modelenv.loading.unlocked_folder import find_model, find_or_fetch_model
from modelenv.store.checks import Checks
from modelenv.store.model_folder import check_model_folder
from modelenv.store.store import Store
from modelenv.volume.metadata import VolumeMetadata
from modelenv.volume.reading import check_put_there_by_hand, find_on_volume, volume_metadata

_HASHING = "hashing its files"
_LONG_HASHING = 4 << 20  # bytes: hashing fewer is too fast for an import at the same time to be useful


@dataclass(frozen=True)
class FolderChoice:
    """Chooses the folder to load, for one source.

    Attributes:
        source: The source of the models; never `MOCK_MODELS`.
        store: The folder that contains the models.
        run: The objects that are shared with other managers.
    """

    source: ModelSource
    store: Store
    run: Run

    def metadata(self) -> VolumeMetadata | None:
        """Return the metadata of the volume, or None if it has none or the source is not a volume."""
        return volume_metadata(self.store.root) if self.source is ModelSource.PERSISTENT_VOLUME else None

    def obtain(self, request: LoadRequest, metadata: VolumeMetadata | None, deadline: Deadline) -> Obtained:
        """Return a folder with verified files. Missing files are fetched if the source downloads.

        Raises:
            ModelEnvError: See `SmartModelManager.load_model`.
        """

        def begin_hashing(size: int) -> None:
            deadline.stages.enter(_HASHING)
            if self.run.build is None:
                _import_during_hashing(size)

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


def _import_during_hashing(size: int) -> None:
    """Import torch and transformers while files are hashed, which does not hold the interpreter's lock.

    The thread is not a daemon, so a program that ends early, such as after finding a damaged file, waits for it. An
    interpreter that shuts down in the middle of this import can crash.
    """
    if size >= _LONG_HASHING:
        threading.Thread(target=_import, name="modelenv-import").start()


def _import() -> None:
    with suppress(ConfigurationError):  # the build of the pipeline reports a missing library
        import_libraries()
