"""A folder of models on disk: finds models in every layout, records checks, and locks a model while it changes.

modelenv fetches models into the Hugging Face cache layout, so that every other tool can use them. `.locks/modelenv/`
beside them, which the cache's own tools skip, contains one lock per model, and one record per checked snapshot. The
record is written last, so a snapshot with a record is undamaged. The record says whether the snapshot is complete.
"""

from __future__ import annotations

import hashlib
import logging
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from modelenv.deadlines import Deadline
from modelenv.environment.sources import ModelSource
from modelenv.errors import ModelIntegrityError
from modelenv.files.claims import Claims, claimant_of
from modelenv.files.disk import check_private, check_space, make_private, mark_as_cache, write_atomically, writing
from modelenv.files.hashing import Fingerprint
from modelenv.files.layouts import CacheFolder, Layout, cache_folders, is_organisation, plain_folders, stated_owner
from modelenv.files.ownership import check_no_linked_folder, check_owned, commit_named_by
from modelenv.forks import new_lock
from modelenv.references import ModelRef, is_commit
from modelenv.store.integrity import check_links, matches_blob_name
from modelenv.store.model_lock import holding
from modelenv.store.records import Record, fingerprints_of, format_record, is_unchanged, read_record

if TYPE_CHECKING:
    from modelenv.environment.settings import Settings

logger = logging.getLogger("modelenv")
_DEFAULT_REVISION = "main"
# The repo id whose model each plain folder contains, for this process: the first one that was requested. The keys are
# device and inode, so that a new folder at the same path can belong to another model.
_plain_owners: dict[tuple[int, int], str] = {}
_claiming = new_lock()


@dataclass(frozen=True)
class FoundModel:
    """A model's folder in a store.

    Attributes:
        path: The folder with the model's files.
        layout: The layout in which the model was found.
        commit: The commit, or None if the layout does not record it.
        checked: Whether the files matched their hashes according to a record, and have not changed since.
        whole: Whether a load needs no further file according to that record.
    """

    path: Path
    layout: Layout
    commit: str | None = None
    checked: bool = False
    whole: bool = False


@dataclass(frozen=True)
class Store:
    """The models under one root.

    Attributes:
        root: The folder, which need not exist.
        private: Whether to create the root and its parent for this user only (0700).
        claimant: The name of the lock for which snapshots are claimed, from `claimant_of`.
        setting: The variable, option or argument that sets the root, for the hints of errors.
    """

    root: Path
    private: bool = False
    claimant: str | None = None
    setting: str = "MODEL_CACHE_DIR"

    @classmethod
    def of(cls, source: ModelSource, settings: Settings) -> Store:
        """Return the store of a source, which must not be `MOCK_MODELS`."""
        root = settings.root_of(source)
        assert root is not None  # noqa: S101 - every source but the fakes has a folder
        private = source is ModelSource.DOWNLOAD_ON_DEMAND and settings.origins["cache_dir"] == "default"
        return cls(root, private, claimant_of(settings.lock_path), settings.cache_setting(source))

    def writing(self, model: str) -> AbstractContextManager[None]:
        """Context manager: turn the OSErrors of writing the model's files into our errors.

        Raises:
            NoSpaceError: The disk is full.
            ConfigurationError: The folder cannot be written.
        """
        return writing(self.root, model, setting=self.setting)

    def check_space(self, model: str, needed: int) -> None:
        """Check that the disk has `needed` bytes of free space for the model's files.

        Raises:
            NoSpaceError: The disk has less free space.
        """
        check_space(self.root, needed, model, setting=self.setting)

    def places(self, ref: ModelRef) -> tuple[str, ...]:
        """Return every folder in which `find` looks for the model, in order."""
        revision = ref.revision or _DEFAULT_REVISION
        snapshot = revision if ref.is_commit else f"<{revision}>"
        caches = (str(folder.snapshot(snapshot)) for folder in cache_folders(self.root, ref))
        return (*caches, *(str(folder) for _, folder in plain_folders(self.root, ref)))

    def find(self, ref: ModelRef) -> FoundModel | None:
        """Return the model's folder, or None. Makes no requests and writes nothing.

        Raises:
            ModelIntegrityError: The only folder with the model's name contains another organisation's model.
            ConfigurationError: Another user created the private root.
        """
        if self.private:
            check_private(self.root.parent)
            check_private(self.root)
        for folder in cache_folders(self.root, ref):
            commit = _commit_of(folder, ref)
            if commit is not None and (path := folder.snapshot(commit)).is_dir():
                record = read_record(self._record_path(folder.path.name, commit))
                checked = is_unchanged(path, record.files)
                return FoundModel(path, Layout.HUB_CACHE, commit, checked, checked and record.whole)
        for layout, path in plain_folders(self.root, ref):
            if path.is_dir() and not (ref.organisation is None and is_organisation(path)):
                if layout is Layout.PLAIN and ref.organisation is not None:
                    self._claim_plain(path, ref)
                if ref.revision is not None:
                    logger.warning("%s: the folder %s does not record its revision; it is used as it is", ref, path)
                return FoundModel(path, layout)
        return None

    def _claim_plain(self, path: Path, ref: ModelRef) -> None:
        """Claim a plain folder for one organisation, since the folder does not record whose model it contains."""
        state = path.stat()
        with _claiming:
            owner = stated_owner(path, ref) or _plain_owners.setdefault((state.st_dev, state.st_ino), ref.repo_id)
        if owner != ref.repo_id:
            raise ModelIntegrityError(
                "the folder with this name contains another organisation's model",
                model=ref.repo_id,
                found=f"{path} contains {owner}",
                hint=f"put each model into a folder of its own: {self.root / ref.repo_id}",
            )

    @contextmanager
    def lock(self, ref: ModelRef, deadline: Deadline) -> Iterator[None]:
        """Context manager: hold the model's lock, which every process that changes this model takes.

        The lock is released if the process dies.

        Raises:
            ModelLoadTimeoutError: Another process held the lock until the deadline.
            ConfigurationError: The store cannot be written.
            UnsafeModelError: A folder of the model is a link.
        """
        check_no_linked_folder(self.root, ref)
        with self.writing(ref.repo_id):
            path = self._side_folder() / f"{_cache_name(ref)}.lock"
            path.touch()
        with holding(path, ref, deadline):
            yield

    def damaged_blobs(self, ref: ModelRef, found: FoundModel) -> tuple[Path, ...]:
        """Return the blobs that the snapshot links to and whose content does not match the hash in their name.

        Raises:
            UnsafeModelError: A link leads out of the store; its target was not read.
        """
        check_links(found.path, root=self.root, model=ref.repo_id)
        links = (file for file in found.path.rglob("*") if file.is_symlink() and file.is_file())
        blobs = {Path(os.path.normpath(link.parent / link.readlink())) for link in links}
        return tuple(sorted(blob for blob in blobs if not matches_blob_name(blob)))

    def is_read_only(self) -> bool:
        """Whether nothing can be written here, as on a volume that was filled beforehand."""
        return self.root.exists() and not os.access(self.root, os.W_OK)

    def record(
        self,
        ref: ModelRef,
        found: FoundModel,
        fingerprints: Mapping[str, Fingerprint] | None = None,
        *,
        whole: bool = True,
    ) -> FoundModel:
        """Record that the snapshot was checked, so that `find` returns it as checked.

        Args:
            ref: The model.
            found: Its snapshot.
            fingerprints: The fingerprints of its files; by default they are read from the disk and the blobs' names.
            whole: Whether a load needs no further file. A record that is already whole for these files stays whole.
        """
        assert found.commit is not None  # noqa: S101 - only snapshots are recorded
        path = self._record_path(_cache_name(ref), found.commit)
        if not whole:
            before = read_record(path)
            whole = before.whole and is_unchanged(found.path, before.files)
        text = format_record(Record(fingerprints_of(found.path) if fingerprints is None else fingerprints, whole))
        with self.writing(ref.repo_id):
            write_atomically(path, text)
        return FoundModel(found.path, found.layout, found.commit, checked=True, whole=whole)

    def known(self, ref: ModelRef, commit: str) -> Mapping[str, Fingerprint]:
        """Return the recorded fingerprints of the snapshot's files, or an empty mapping without a record."""
        return read_record(self._record_path(_cache_name(ref), commit)).files

    def claims(self, ref: ModelRef, commit: str) -> Claims:
        """Return the claims on the snapshot."""
        return Claims(self.side(ref), commit)

    def claim(self, ref: ModelRef, commit: str) -> None:
        """Record that this store's lock needs the snapshot. If the store cannot be written, nothing is recorded."""
        claims = self.claims(ref, commit)
        if self.claimant is None or claims.holds(self.claimant) or self.is_read_only():
            return
        try:
            claims.claim(self.claimant)
        except OSError as error:
            logger.info("%s: cannot record that this project needs commit %s: %s", ref, commit[:12], error)

    def set_aside(self, ref: ModelRef, path: Path) -> Path:
        """Move a damaged file out of the way, and return its new path.

        Nothing loads it from there. Only the latest file of each name is kept. The caller holds the model's lock.

        Raises:
            UnsafeModelError: The file does not belong to the model.
        """
        check_owned(self.root, ref, path)
        aside = self.root / ".locks" / "modelenv" / "damaged" / _cache_name(ref) / path.name
        with self.writing(ref.repo_id):
            aside.parent.mkdir(parents=True, exist_ok=True)
            path.replace(aside)
        return aside

    def side(self, ref: ModelRef) -> Path:
        """Return the folder in which modelenv keeps its own files about the model. It need not exist."""
        return self.root / ".locks" / "modelenv" / _cache_name(ref)

    def staging(self, ref: ModelRef) -> Path:
        """Return the folder in which a snapshot of the model is assembled, under the model's lock."""
        return self.root / ".locks" / "modelenv" / "staging" / _cache_name(ref)

    def view(self, ref: ModelRef, commit: str, files: str) -> Path:
        """Return the folder for links to a subset of a snapshot's files. It need not exist."""
        name = f"{commit}-{hashlib.sha256(files.encode()).hexdigest()[:12]}"
        return self.side(ref) / name

    def forget(self, ref: ModelRef, commit: str) -> None:
        """Remove our files about a removed snapshot: its claims, its record, and the links to its files."""
        self.claims(ref, commit).forget()
        record = self._record_path(_cache_name(ref), commit)
        record.unlink(missing_ok=True)
        for view in record.parent.glob(f"{commit}-*"):
            shutil.rmtree(view)

    def remember_revision(self, ref: ModelRef, commit: str) -> None:
        """Write the current commit of the revision to `refs`, as in the Hugging Face cache."""
        revision = ref.revision or _DEFAULT_REVISION
        if not ref.is_commit:
            with self.writing(ref.repo_id):
                write_atomically(cache_folders(self.root, ref)[0].refs / revision, commit)

    def _record_path(self, folder_name: str, commit: str) -> Path:
        return self.root / ".locks" / "modelenv" / folder_name / f"{commit}.json"

    def _side_folder(self) -> Path:
        folder = self.root / ".locks" / "modelenv"
        if self.private:
            make_private(self.root.parent)
            make_private(self.root)
        folder.mkdir(parents=True, exist_ok=True)
        mark_as_cache(self.root)
        return folder


def _cache_name(ref: ModelRef) -> str:
    return "models--" + ref.repo_id.replace("/", "--")


def _commit_of(folder: CacheFolder, ref: ModelRef) -> str | None:
    if ref.is_commit:
        return ref.revision
    reference = folder.refs / (ref.revision or _DEFAULT_REVISION)
    if os.path.lexists(reference) and not reference.is_dir():
        return commit_named_by(reference)
    if ref.revision is None and folder.snapshots.is_dir():
        snapshots = sorted(path.name for path in folder.snapshots.iterdir() if is_commit(path.name))
        return snapshots[0] if len(snapshots) == 1 else None  # copied without refs: a single snapshot is unambiguous
    return None
