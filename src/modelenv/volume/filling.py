"""Fills a volume with plain files that everyone can read. Every byte is checked, and the metadata is written last.

Readers see only what the metadata names. A folder in the metadata never changes: another commit goes into a new
folder, whose name never had other content. The old folder stays until the next update or `prune`. By then, a reader
that began with the old metadata has finished, or it notices the change and starts again. `.modelenv/` on the volume
contains our own files: the lock, the files being copied, and the list of what we created.

With the layout `hub`, a folder in the metadata is usually a snapshot. If the files of its commit must change, the
metadata first names another folder, and then the snapshot again, once it is complete. See `modelenv.volume.layout`.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from modelenv.deadlines import Deadline
from modelenv.environment.sources import VOLUME_METADATA
from modelenv.errors import UnsafeModelError
from modelenv.files.disk import check_space, writing
from modelenv.files.hashing import Progress
from modelenv.locks.project_lock import Lockfile
from modelenv.locks.values import LockedModel, total_size
from modelenv.store.checks import Checks
from modelenv.store.verification import HashMemory
from modelenv.volume.copying import sync_folder
from modelenv.volume.hub_cache import check_not_of_others, serve
from modelenv.volume.layout import (
    Key,
    Plan,
    VolumeLayout,
    content_of,
    is_snapshot_name,
    kept_names,
    key_of,
    layout_of,
)
from modelenv.volume.metadata import VolumeMetadata, VolumeModel, write_metadata
from modelenv.volume.placing import FOLDER_MODE, NO_MODEL, OwnFiles
from modelenv.volume.reading import SIDE, verify_on_volume, volume_metadata
from modelenv.volume.sharing import Others, dropped, held_before, joined

_HINT = "free space or change the rights there; what the volume held before still loads"

Obtain = Callable[[LockedModel], Path]
"""Returns a folder with the locked files of the model, from which they are copied."""


@dataclass(frozen=True)
class Filled:
    """The result of filling a volume.

    Attributes:
        metadata: The new metadata of the volume.
        copied: The aliases of the models whose files were copied.
        removed: The folders and references that were removed because nothing needs them any more.
        changed: Whether the metadata changed.
        dropped: The models that were on the volume before, and are no longer.
    """

    metadata: VolumeMetadata
    copied: tuple[str, ...]
    removed: tuple[str, ...]
    changed: bool
    dropped: tuple[LockedModel, ...] = ()


@dataclass(frozen=True)
class Volume:
    """A volume that is being written.

    Attributes:
        root: The folder of the volume, which need not exist.
        progress: Called with the number of bytes that were just processed.
        memory: The hashes that this process has computed.
    """

    root: Path
    progress: Progress | None = None
    memory: HashMemory = field(default_factory=HashMemory)

    def fill(
        self,
        lock: Lockfile,
        obtain: Obtain,
        deadline: Deadline,
        *,
        others: Others = Others.REFUSED,
        layout: VolumeLayout | None = None,
    ) -> Filled:
        """Copy the models of the lock to the volume, then write its metadata.

        A killed process leaves the volume with its previous metadata, and with everything that this names.

        Args:
            lock: The models.
            obtain: Returns the folder with the files of a model.
            deadline: The deadline for all models.
            others: What to do with models on the volume that the lock does not name.
            layout: The layout that the volume will have. Default: that of the volume, else `PLAIN`.

        Raises:
            ConfigurationError: The volume contains models that modelenv, or this lock, did not put there; or another
                program's cache is where the layout `HUB` needs its own.
            LockfileError: The volume's metadata cannot be read, so its content is unknown.
            ModelEnvError: `obtain` failed.
            ModelLoadTimeoutError: Another process is filling the volume.
            NoSpaceError, ConfigurationError: The volume cannot be written. Its content is unchanged.
            ModelIntegrityError: A file changed while it was copied.
            UnsafeModelError: A link is in the path to which a model would be written.
        """
        self._plan(lock, others, layout)  # before the lock file: nothing is written to a folder that we must not fill
        with self._locked(deadline), writing(self.root, NO_MODEL, hint=_HINT):
            before, plan = self._plan(lock, others, layout)
            folders = self._held(plan, before)
            metadata = plan.metadata(folders)
            copied: tuple[str, ...] = ()
            removed: tuple[str, ...] = ()
            if metadata is None or metadata != before:
                removed = self._own.superfluous({*kept_names(before), *plan.served, *folders.values()})
                self._own.discard(removed)
                copied = self._copy(plan, folders, before, obtain)
                metadata = plan.metadata(folders)
                assert metadata is not None  # noqa: S101 - every model has a folder now
                self._serve(metadata, unchanged=before)
                self._write(metadata)
            self._serve(metadata)
            if plan.has_snapshot_elsewhere(metadata):
                settled = plan.metadata(self._held(plan, metadata))
                if settled is not None and settled != metadata:
                    metadata = settled
                    self._write(metadata)
        return Filled(metadata, copied, removed, metadata != before, dropped(before, metadata))

    def prune(self, deadline: Deadline, *, dry_run: bool = False) -> tuple[str, ...]:
        """Remove the folders and references that we created and that nothing needs, and return them.

        Without our metadata nothing is removed, since nothing is known to be superfluous.

        Raises:
            ModelLoadTimeoutError: Another process is filling the volume.
            LockfileError: The metadata cannot be read.
            ConfigurationError: The volume cannot be written.
            UnsafeModelError: A link is in the path of one of our folders.
        """
        self._own.check_links(())
        if dry_run:
            return self._superfluous()
        with self._locked(deadline), writing(self.root, NO_MODEL, hint=_HINT):
            superfluous = self._superfluous()  # now that no other process is filling the volume
            self._own.discard(superfluous)
        return superfluous

    @property
    def _own(self) -> OwnFiles:
        return OwnFiles(self.root, self.progress)

    @property
    def _checks(self) -> Checks:
        return Checks(self.memory, full=True, progress=self.progress)

    def _plan(
        self, lock: Lockfile, others: Others, layout: VolumeLayout | None
    ) -> tuple[VolumeMetadata | None, Plan]:
        """Return the current metadata of the volume, and what it will have."""
        before = held_before(self.root, others)
        lock = joined(before, lock, self.root, others)
        plan = Plan(lock.models, layout or layout_of(before) or VolumeLayout.PLAIN)
        self._own.check_links(plan.written)
        if plan.layout is VolumeLayout.HUB:
            ours = {*self._own.listed(), *kept_names(before)}
            check_not_of_others(self.root, plan.models, ours, self._checks)
        return before, plan

    def _serve(self, metadata: VolumeMetadata, *, unchanged: VolumeMetadata | None = None) -> None:
        named = set() if unchanged is None else {model.folder for model in unchanged.models}
        serve(self._own, metadata, unchanged=named, checks=self._checks)

    def _write(self, metadata: VolumeMetadata) -> None:
        write_metadata(self.root / VOLUME_METADATA, metadata)
        sync_folder(self.root)

    def _superfluous(self) -> tuple[str, ...]:
        metadata = volume_metadata(self.root)
        return () if metadata is None else self._own.superfluous(kept_names(metadata))

    def _held(self, plan: Plan, before: VolumeMetadata | None) -> dict[Key, str]:
        """Return the folder of each model that is complete on the volume, preferably the one in the metadata."""
        folders: dict[Key, str] = {}
        owned = self._own.listed()
        for model in plan.models:
            if key_of(model) not in folders:
                ours = [name for name, content in owned.items() if content == content_of(model)]
                best = next(plan.names_of(model))
                names = [_named(before, model), best, *ours]
                if is_snapshot_name(best):
                    names.insert(0, best)
                there = (
                    name for name in dict.fromkeys(names) if name is not None and os.path.lexists(self.root / name)
                )
                right = next((name for name in there if plan.fits(name, model) and self._holds(name, model)), None)
                if right is not None:
                    folders[key_of(model)] = right
        return folders

    def _holds(self, name: str, model: LockedModel) -> bool:
        try:
            return not verify_on_volume(self.root, VolumeModel(model, name), self._checks).differences
        except UnsafeModelError:
            return False

    def _copy(
        self, plan: Plan, folders: dict[Key, str], before: VolumeMetadata | None, obtain: Obtain
    ) -> tuple[str, ...]:
        """Copy each model that has no folder yet, add its folder, and return the aliases."""
        lacking = {key_of(model): model for model in reversed(plan.models) if key_of(model) not in folders}
        there = {key: name for key, model in lacking.items() if (name := _named(before, model)) is not None}
        here = {key: name for key, name in there.items() if self._holds(name, lacking[key])}  # in the other layout
        new = (model for key, model in lacking.items() if key not in here)
        check_space(self.root, total_size(new), NO_MODEL, hint=_HINT)
        for key, model in reversed(lacking.items()):
            owned = self._own.listed()
            name = next(name for name in plan.names_of(model) if self._is_free(name, model, owned))
            source = self.root / here[key] if key in here else obtain(model)
            sources = {file.path: source for file in model.files}
            self._own.place_model(model, sources, name, link=key in here)
            folders[key] = name
        return tuple(model.alias for model in reversed(lacking.values()))

    def _is_free(self, name: str, model: LockedModel, owned: Mapping[str, str]) -> bool:
        """Whether the folder can be created: it does not exist and, if it is no snapshot, never had other content."""
        if os.path.lexists(self.root / name):
            return False
        return is_snapshot_name(name) or owned.get(name, content_of(model)) == content_of(model)

    @contextmanager
    def _locked(self, deadline: Deadline) -> Iterator[None]:
        from filelock import FileLock, Timeout

        with writing(self.root, NO_MODEL, hint=_HINT):
            is_new = not self.root.exists()
            (self.root / SIDE).mkdir(parents=True, exist_ok=True)
            if is_new:
                self.root.chmod(FOLDER_MODE)
            lock = FileLock(self.root / SIDE / "lock")
            try:
                lock.acquire(timeout=deadline.remaining)
            except Timeout:
                raise deadline.passed(str(self.root), "waiting for another process to fill the volume") from None
        try:
            with writing(self.root, NO_MODEL, hint=_HINT):
                shutil.rmtree(self.root / SIDE / "staging", ignore_errors=True)  # left by a killed process
            yield
        finally:
            lock.release()


def _named(metadata: VolumeMetadata | None, model: LockedModel) -> str | None:
    """Return the folder of exactly this model in the metadata, or None."""
    models = () if metadata is None else metadata.models
    return next((each.folder for each in models if key_of(each.locked) == key_of(model)), None)
