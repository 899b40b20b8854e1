"""Fills a volume with plain files that everyone can read. Every byte is checked, and the metadata is written last.

Readers see only what the metadata names. A folder in the metadata never changes: another commit goes into a new
folder, whose name never had other content. The old folder stays until the next update or `prune`. By then, a reader
that began with the old metadata has finished, or it notices the change and starts again. `.modelenv/` on the volume
contains our own files: the lock, the files being copied, and the list of folders that we created.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import shutil
import stat
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from modelenv.deadlines import Deadline
from modelenv.environment.sources import VOLUME_METADATA
from modelenv.errors import UnsafeModelError
from modelenv.files.disk import check_space, write_atomically, writing
from modelenv.files.hashing import Progress
from modelenv.locks.project_lock import Lockfile
from modelenv.locks.values import LockedFile, LockedModel, total_size
from modelenv.store.checks import Checks
from modelenv.store.verification import HashMemory, integrity_error, verify_folder
from modelenv.volume.copying import copy_file, sync_folder
from modelenv.volume.metadata import VolumeMetadata, VolumeModel, write_metadata
from modelenv.volume.reading import (
    OWN_FOLDERS,
    SIDE,
    check_no_link,
    own_folders,
    verify_on_volume,
    volume_metadata,
)
from modelenv.volume.sharing import Others, dropped, held_before, joined

_FOLDER_MODE = 0o755
_FOR_ANYBODY = 0o555
_NO_MODEL = "the volume"
_HINT = "free space or change the rights there; what the volume held before still loads"

_Key = tuple[str, str, tuple[LockedFile, ...]]
Obtain = Callable[[LockedModel], Path]
"""Returns a folder with the locked files of the model, from which they are copied."""


@dataclass(frozen=True)
class Filled:
    """The result of filling a volume.

    Attributes:
        metadata: The new metadata of the volume.
        copied: The aliases of the models whose files were copied.
        removed: The folders that were removed because the metadata no longer names them.
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

    def fill(self, lock: Lockfile, obtain: Obtain, deadline: Deadline, *, others: Others = Others.REFUSED) -> Filled:
        """Copy the models of the lock to the volume, then write its metadata.

        A killed process leaves the volume with its previous metadata, and with everything that this names.

        Args:
            lock: The models.
            obtain: Returns the folder with the files of a model.
            deadline: The deadline for all models.
            others: What to do with models on the volume that the lock does not name.

        Raises:
            ConfigurationError: The volume contains models that modelenv, or this lock, did not put there.
            LockfileError: The volume's metadata cannot be read, so its content is unknown.
            ModelEnvError: `obtain` failed.
            ModelLoadTimeoutError: Another process is filling the volume.
            NoSpaceError, ConfigurationError: The volume cannot be written. Its content is unchanged.
            ModelIntegrityError: A file changed while it was copied.
            UnsafeModelError: A link is in the path to which a model would be written.
        """
        self._plan(lock, others)  # before the lock file, so that nothing is written to a folder that we must not fill
        with self._locked(deadline), writing(self.root, _NO_MODEL, hint=_HINT):
            before, lock = self._plan(lock, others)
            named = {} if before is None else {_key(model.locked): model.folder for model in before.models}
            folders = self._held(lock.models, named)
            if before is not None and _metadata(lock, folders) == before:
                return Filled(before, (), (), changed=False)
            removed = self._remove_but({*named.values(), *folders.values()})
            lacking = {_key(model): model for model in lock.models if _key(model) not in folders}
            check_space(self.root, total_size(lacking.values()), _NO_MODEL, hint=_HINT)
            copied = []
            for model in lock.models:
                if _key(model) not in folders:
                    owned = self._owned()
                    name = next(name for name in _names(model, lock.models) if self._is_free(name, model, owned))
                    self._copy(model, obtain(model), name)
                    folders[_key(model)] = name
                    copied.append(model.alias)
            metadata = _metadata(lock, folders)
            assert metadata is not None  # noqa: S101 - every model has a folder now
            changed = write_metadata(self.root / VOLUME_METADATA, metadata)
            sync_folder(self.root)
        return Filled(metadata, tuple(copied), removed, changed, dropped(before, metadata))

    def prune(self, deadline: Deadline, *, dry_run: bool = False) -> tuple[str, ...]:
        """Remove the folders that we created and that the metadata does not name, and return them.

        Without our metadata nothing is removed, since nothing is known to be superfluous.

        Raises:
            ModelLoadTimeoutError: Another process is filling the volume.
            LockfileError: The metadata cannot be read.
            ConfigurationError: The volume cannot be written.
            UnsafeModelError: A link is in the path of one of our folders.
        """
        self._check_links(())
        if dry_run:
            return self._superfluous()
        with self._locked(deadline), writing(self.root, _NO_MODEL, hint=_HINT):
            superfluous = self._superfluous()  # now that no other process is filling the volume
            for name in superfluous:
                self._discard(name)
        return superfluous

    def _check_links(self, names: Iterable[str]) -> None:
        """Check that no link is in a path that will be written or removed."""
        for name in (f"{SIDE}/staging", *names, *self._owned()):
            place = self.root / name
            check_no_link(self.root, place if name.startswith(SIDE) else place.parent, model=_NO_MODEL)

    def _plan(self, lock: Lockfile, others: Others) -> tuple[VolumeMetadata | None, Lockfile]:
        """Return the current metadata of the volume, and the lock that it will have."""
        before = held_before(self.root, others)
        lock = joined(before, lock, self.root, others)
        self._check_links(model.repo for model in lock.models)
        return before, lock

    def _superfluous(self) -> tuple[str, ...]:
        metadata = volume_metadata(self.root)
        return () if metadata is None else self._all_but({model.folder for model in metadata.models})

    def _held(self, models: Sequence[LockedModel], named: Mapping[_Key, str]) -> dict[_Key, str]:
        """Return the folder of each model that is complete on the volume, preferably the one in the metadata."""
        folders: dict[_Key, str] = {}
        owned = self._owned()
        for model in models:
            if _key(model) not in folders:
                ours = [name for name, content in owned.items() if content == _content(model)]
                names = dict.fromkeys([named.get(_key(model)), next(_names(model, models)), *ours])
                there = (name for name in names if name is not None and os.path.lexists(self.root / name))
                right = next((name for name in there if self._holds(name, model)), None)
                if right is not None:
                    folders[_key(model)] = right
        return folders

    def _holds(self, name: str, model: LockedModel) -> bool:
        try:
            checks = Checks(self.memory, full=True, progress=self.progress)
            return not verify_on_volume(self.root, VolumeModel(model, name), checks).differences
        except UnsafeModelError:
            return False

    def _is_free(self, name: str, model: LockedModel, owned: Mapping[str, str]) -> bool:
        """Whether the folder can be created: it does not exist, and never had other content."""
        return not os.path.lexists(self.root / name) and owned.get(name, _content(model)) == _content(model)

    def _copy(self, model: LockedModel, source: Path, name: str) -> None:
        """Copy the model to a temporary folder, and rename the folder once every byte is checked."""
        staged = self.root / SIDE / "staging" / uuid.uuid4().hex
        try:
            self._stage(model, source, staged)
            self._own(name, _content(model))
            target = self.root / name
            for parent in reversed([place for place in target.parents if self.root in place.parents]):
                parent.mkdir(mode=_FOLDER_MODE, exist_ok=True)
                if stat.S_IMODE(parent.stat().st_mode) & _FOR_ANYBODY != _FOR_ANYBODY:  # created by others
                    parent.chmod(_FOLDER_MODE)
            staged.rename(target)
            sync_folder(target.parent)
        finally:
            shutil.rmtree(staged, ignore_errors=True)  # still exists if the copy failed

    def _stage(self, model: LockedModel, source: Path, staged: Path) -> None:
        for file in model.files:
            copy_file(source / file.path, staged / file.path)
        for folder in (staged, *(path for path in staged.rglob("*") if path.is_dir())):
            folder.chmod(_FOLDER_MODE)
            sync_folder(folder)
        copied = verify_folder(staged, model, strict=True, allow_links=False, progress=self.progress)
        if copied.differences:
            raise integrity_error(
                copied.differences,
                model=model.repo,
                folder=staged,
                hint=f"run `modelenv verify --full`, which checks the files in {source}; check the volume's disk; "
                "run this again",
                what="the copied files do not match the lock",
            )

    def _owned(self) -> Mapping[str, str]:
        """Return the folders that we have ever created, with their content. Empty if the list cannot be read."""
        return own_folders(self.root) or {}

    def _own(self, name: str, content: str) -> None:
        owned = {**self._owned(), name: content}
        write_atomically(self.root / OWN_FOLDERS, json.dumps(owned, indent=1, sort_keys=True) + "\n")

    def _all_but(self, kept: set[str]) -> tuple[str, ...]:
        there = [name for name in sorted(self._owned()) if (self.root / name).is_dir()]
        return tuple(name for name in there if name not in kept and not (self.root / name).is_symlink())

    def _remove_but(self, kept: set[str]) -> tuple[str, ...]:
        removed = self._all_but(kept)
        for name in removed:
            self._discard(name)
        return removed

    def _discard(self, name: str) -> None:
        """Move the folder away, and then remove its files, so that no reader sees a part of it."""
        away = self.root / SIDE / "staging" / uuid.uuid4().hex
        away.parent.mkdir(parents=True, exist_ok=True)
        (self.root / name).rename(away)
        shutil.rmtree(away)

    @contextmanager
    def _locked(self, deadline: Deadline) -> Iterator[None]:
        from filelock import FileLock, Timeout

        with writing(self.root, _NO_MODEL, hint=_HINT):
            is_new = not self.root.exists()
            (self.root / SIDE).mkdir(parents=True, exist_ok=True)
            if is_new:
                self.root.chmod(_FOLDER_MODE)
            lock = FileLock(self.root / SIDE / "lock")
            try:
                lock.acquire(timeout=deadline.remaining)
            except Timeout:
                raise deadline.passed(str(self.root), "waiting for another process to fill the volume") from None
        try:
            with writing(self.root, _NO_MODEL, hint=_HINT):
                shutil.rmtree(self.root / SIDE / "staging", ignore_errors=True)  # left by a killed process
            yield
        finally:
            lock.release()


def _key(model: LockedModel) -> _Key:
    """Return the values that two aliases must have in common to share a folder."""
    return model.repo, model.commit, model.files


def _content(model: LockedModel) -> str:
    """Return an identifier of a folder's content, which is the same in every process."""
    return hashlib.sha256(repr(_key(model)).encode()).hexdigest()[:16]


def _metadata(lock: Lockfile, folders: Mapping[_Key, str]) -> VolumeMetadata | None:
    """Return the metadata of the volume if every model has a folder, or None."""
    if not all(_key(model) in folders for model in lock.models):
        return None
    return VolumeMetadata(tuple(VolumeModel(model, folders[_key(model)]) for model in lock.models))


def _names(model: LockedModel, models: Sequence[LockedModel]) -> Iterator[str]:
    """Yield the possible folders of the model, preferred first: its repo id, then with the commit, then numbered."""
    if not any(other.repo.startswith(model.repo + "/") for other in models):  # it would be inside of this folder
        yield model.repo
    with_commit = f"{model.repo}@{model.commit[:12]}"
    yield with_commit
    yield from (f"{with_commit}-{number}" for number in itertools.count(2))
