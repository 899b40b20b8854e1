"""Filling a volume: plain files for anybody to read, every byte checked, the metadata last of all and at once.

What readers see is what the metadata names. A folder that it names is never changed: another commit goes into a
folder of its own, whose name no other content ever had, and the one before stays until the next update or `prune`: a
reader that began with the metadata before is then done, or finds out and begins anew. Our own things lie in
`.modelenv/` on the volume: the lock, what is being copied, and which folders we made.
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
from modelenv.volume.copying import copy_checked, sync_folder
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
"""Returns a folder that holds the model as locked, from which it is copied."""


@dataclass(frozen=True)
class Filled:
    """What filling a volume did.

    Attributes:
        metadata: what the volume holds now.
        copied: the aliases whose files were copied.
        removed: the folders that were removed, as no metadata names them any more.
        changed: whether the metadata is another one than before.
        dropped: the models that another lock had put there, and that the volume does not hold any more.
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
        root: its folder; it need not exist.
        progress: called with the bytes that were dealt with.
        memory: what was hashed in this process.
    """

    root: Path
    progress: Progress | None = None
    memory: HashMemory = field(default_factory=HashMemory)

    def fill(self, lock: Lockfile, obtain: Obtain, deadline: Deadline, *, others: Others = Others.REFUSED) -> Filled:
        """Let the volume hold what the lock says; then say so in its metadata.

        A process that is killed leaves the volume with the metadata it had, and all that this names.

        Args:
            lock: the models.
            obtain: gives the files of each.
            deadline: of the whole.
            others: what becomes of the models there that the lock does not name.

        Raises:
            ConfigurationError: the volume holds what modelenv, or this lock, did not put there.
            LockfileError: the volume's metadata cannot be read, so that it is not known what it holds.
            ModelEnvError: what `obtain` raises.
            ModelLoadTimeoutError: another process is filling the volume.
            NoSpaceError, ConfigurationError: it cannot be written; it then holds what it held.
            ModelIntegrityError: a file changed while it was copied.
            UnsafeModelError: a link is on the way to where a model would be written.
        """
        self._plan(lock, others)  # a folder that is not for us to fill gets not even a lock
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
            assert metadata is not None  # noqa: S101 - every model has its folder now
            changed = write_metadata(self.root / VOLUME_METADATA, metadata)
            sync_folder(self.root)
        return Filled(metadata, tuple(copied), removed, changed, dropped(before, metadata))

    def prune(self, deadline: Deadline, *, dry_run: bool = False) -> tuple[str, ...]:
        """Remove the folders that we made and the metadata does not name; return them.

        Without metadata of ours nothing is known to be superfluous, and nothing is removed.

        Raises:
            ModelLoadTimeoutError: another process is filling the volume.
            LockfileError: the metadata cannot be read.
            ConfigurationError: the volume cannot be written.
            UnsafeModelError: a link is on the way to a folder of ours.
        """
        self._check_links(())
        if dry_run:
            return self._superfluous()
        with self._locked(deadline), writing(self.root, _NO_MODEL, hint=_HINT):
            superfluous = self._superfluous()  # as it is now that nobody fills the volume
            for name in superfluous:
                self._discard(name)
        return superfluous

    def _check_links(self, names: Iterable[str]) -> None:
        """Check that what is written and removed lies on the volume, before anything is."""
        for name in (f"{SIDE}/staging", *names, *self._owned()):
            place = self.root / name
            check_no_link(self.root, place if name.startswith(SIDE) else place.parent, model=_NO_MODEL)

    def _plan(self, lock: Lockfile, others: Others) -> tuple[VolumeMetadata | None, Lockfile]:
        """Return what the volume holds, and what it is to hold."""
        before = held_before(self.root, others)
        lock = joined(before, lock, self.root, others)
        self._check_links(model.repo for model in lock.models)
        return before, lock

    def _superfluous(self) -> tuple[str, ...]:
        metadata = volume_metadata(self.root)
        return () if metadata is None else self._all_but({model.folder for model in metadata.models})

    def _held(self, models: Sequence[LockedModel], named: Mapping[_Key, str]) -> dict[_Key, str]:
        """Return for each model that is there already, every byte of it, in which folder: best where it is named."""
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
        """Whether the folder may be made: nothing is there, and no other content ever was."""
        return not os.path.lexists(self.root / name) and owned.get(name, _content(model)) == _content(model)

    def _copy(self, model: LockedModel, source: Path, name: str) -> None:
        """Copy the model beside the others, and give it its name once every byte is right."""
        staged = self.root / SIDE / "staging" / uuid.uuid4().hex
        try:
            self._stage(model, source, staged)
            self._own(name, _content(model))
            target = self.root / name
            for parent in reversed([place for place in target.parents if self.root in place.parents]):
                parent.mkdir(mode=_FOLDER_MODE, exist_ok=True)
                if stat.S_IMODE(parent.stat().st_mode) & _FOR_ANYBODY != _FOR_ANYBODY:  # it may be somebody else's
                    parent.chmod(_FOLDER_MODE)
            staged.rename(target)
            sync_folder(target.parent)
        finally:
            shutil.rmtree(staged, ignore_errors=True)  # of a copy that failed; else it is gone

    def _stage(self, model: LockedModel, source: Path, staged: Path) -> None:
        for file in model.files:
            copy_checked(source / file.path, staged / file.path, file, model=model.repo, progress=self.progress)
        for folder in (staged, *(path for path in staged.rglob("*") if path.is_dir())):
            folder.chmod(_FOLDER_MODE)
            sync_folder(folder)
        differences = verify_folder(staged, model, strict=True, allow_links=False).differences
        if differences:
            hint = "check the disk under the volume, and run again"
            raise integrity_error(
                differences, model=model.repo, folder=staged, hint=hint, what="what was copied is not what was locked"
            )

    def _owned(self) -> Mapping[str, str]:
        """Return the folders that we ever made, with their content; what cannot be told to be ours is left alone."""
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
        """Take the folder away at once, and then its files: no reader ever sees half of it."""
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
                raise deadline.passed(str(self.root), "waiting for another process that fills the volume") from None
        try:
            with writing(self.root, _NO_MODEL, hint=_HINT):
                shutil.rmtree(self.root / SIDE / "staging", ignore_errors=True)  # what a killed process left
            yield
        finally:
            lock.release()


def _key(model: LockedModel) -> _Key:
    """Return what two aliases must have in common to share a folder."""
    return model.repo, model.commit, model.files


def _content(model: LockedModel) -> str:
    """Return what tells one content of a folder from another, in every process."""
    return hashlib.sha256(repr(_key(model)).encode()).hexdigest()[:16]


def _metadata(lock: Lockfile, folders: Mapping[_Key, str]) -> VolumeMetadata | None:
    """Return what the volume holds once every model has its folder; None before."""
    if not all(_key(model) in folders for model in lock.models):
        return None
    return VolumeMetadata(tuple(VolumeModel(model, folders[_key(model)]) for model in lock.models))


def _names(model: LockedModel, models: Sequence[LockedModel]) -> Iterator[str]:
    """Yield the folders in which the model may lie, best first: its repo id, then with the commit, then numbered."""
    if not any(other.repo.startswith(model.repo + "/") for other in models):  # else it would lie within this folder
        yield model.repo
    with_commit = f"{model.repo}@{model.commit[:12]}"
    yield with_commit
    yield from (f"{with_commit}-{number}" for number in itertools.count(2))
