"""A folder of models on disk: found in every layout, checked, locked while it changes.

What modelenv fetched lies in the Hugging Face cache layout, so that every other tool can use it. Beside it, under
`.locks/modelenv/` (a place that the cache's own tools skip), lie one lock per model, and one record per snapshot
that was checked: the record is written last, so a snapshot with a record is undamaged, and the record says whether it
is complete.
"""

from __future__ import annotations

import hashlib
import logging
import os
import shutil
import threading
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from modelenv.deadlines import Deadline
from modelenv.errors import ModelIntegrityError
from modelenv.files.claims import Claims
from modelenv.files.disk import check_space, make_private, mark_as_cache, write_atomically, writing
from modelenv.files.hashing import Fingerprint
from modelenv.files.layouts import Layout, hub_cache_folders, is_organisation, plain_folders, stated_owner
from modelenv.files.ownership import check_no_linked_folder, check_owned, commit_named_by
from modelenv.references import ModelRef, is_commit
from modelenv.store.integrity import check_links, matches_blob_name
from modelenv.store.records import Record, fingerprints_of, format_record, is_unchanged, read_record

logger = logging.getLogger("modelenv")
_DEFAULT_REVISION = "main"
_FIRST_NOTICE = 5.0  # seconds of waiting for a lock before we say so
# Whose model each plain folder holds, for this process: who asked for it first. By device and inode, so that another
# folder in its place may be another's.
_plain_owners: dict[tuple[int, int], str] = {}
_claiming = threading.Lock()


@dataclass(frozen=True)
class FoundModel:
    """A model's folder in a store.

    Attributes:
        path: the folder with the model's files.
        layout: how it was found.
        commit: the commit, where the layout tells it.
        checked: whether a record says that its files matched their hashes, and they did not change since.
        whole: whether the record says too that a load needs no further file.
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
        root: the folder; it need not exist.
        private: whether to make the root and its parent for this user alone (0700).
        claimant: the lock for which snapshots are claimed here, as `claimant_of` names it.
        setting: the variable, option or argument that names another root, for the hints of errors.
    """

    root: Path
    private: bool = False
    claimant: str | None = None
    setting: str = "MODEL_CACHE_DIR"

    def writing(self, model: str) -> AbstractContextManager[None]:
        """Turn what the disk refuses, in a block that writes files of the model here, into our errors.

        Raises:
            NoSpaceError: the disk is full.
            ConfigurationError: the folder cannot be written.
        """
        return writing(self.root, model, setting=self.setting)

    def check_space(self, model: str, needed: int) -> None:
        """Check that `needed` bytes of the model's files can be written here.

        Raises:
            NoSpaceError: the disk has less room.
        """
        check_space(self.root, needed, model, setting=self.setting)

    def places(self, ref: ModelRef) -> tuple[str, ...]:
        """Return every folder in which `ref` is looked for, in order."""
        snapshot = ref.revision if ref.is_commit else f"<{ref.revision or _DEFAULT_REVISION}>"
        caches = (f"{folder}/snapshots/{snapshot}" for folder in hub_cache_folders(self.root, ref))
        return (*caches, *(str(folder) for _, folder in plain_folders(self.root, ref)))

    def find(self, ref: ModelRef) -> FoundModel | None:
        """Return the model's folder, or None. Asks no network and writes nothing.

        Raises:
            ModelIntegrityError: the only folder of that name belongs to another organisation's model.
        """
        for folder in hub_cache_folders(self.root, ref):
            commit = _commit_of(folder, ref)
            if commit is not None and (folder / "snapshots" / commit).is_dir():
                path = folder / "snapshots" / commit
                record = read_record(self._record_path(folder.name, commit))
                checked = is_unchanged(path, record.files)
                return FoundModel(path, Layout.HUB_CACHE, commit, checked, checked and record.whole)
        for layout, path in plain_folders(self.root, ref):
            if path.is_dir() and not (ref.organisation is None and is_organisation(path)):
                if layout is Layout.PLAIN and ref.organisation is not None:
                    self._claim_plain(path, ref)
                if ref.revision is not None:
                    logger.warning(
                        "%s: the folder %s does not say which revision it holds; it is used as it is", ref, path
                    )
                return FoundModel(path, layout)
        return None

    def _claim_plain(self, path: Path, ref: ModelRef) -> None:
        """A plain folder does not say whose model it holds, so it serves one organisation only."""
        state = path.stat()
        with _claiming:
            owner = stated_owner(path, ref) or _plain_owners.setdefault((state.st_dev, state.st_ino), ref.repo_id)
        if owner != ref.repo_id:
            raise ModelIntegrityError(
                "the folder of that name holds another organisation's model",
                model=ref.repo_id,
                found=f"{path} holds {owner}",
                hint=f"put each model into a folder of its own: {self.root / ref.repo_id}",
            )

    @contextmanager
    def lock(self, ref: ModelRef, deadline: Deadline) -> Iterator[None]:
        """Hold the model's lock, which every process that changes this model takes. It dies with its process.

        Raises:
            ModelLoadTimeoutError: another process held it until the deadline.
            ConfigurationError: the store cannot be written.
            UnsafeModelError: a folder of the model is a link.
        """
        from filelock import FileLock, Timeout

        check_no_linked_folder(self.root, ref)
        with self.writing(ref.repo_id):
            path = self._side_folder() / f"{_cache_name(ref)}.lock"
            path.touch()
        lock = FileLock(path)
        notice = min(_FIRST_NOTICE, deadline.remaining)
        try:
            try:
                lock.acquire(timeout=notice)
            except Timeout:
                logger.warning(
                    "Another process is fetching %s; waiting for it at most %.0f s more (lock %s)",
                    ref, deadline.remaining, path,
                )  # fmt: skip
                lock.acquire(timeout=deadline.remaining)
        except Timeout:
            raise deadline.passed(ref.repo_id, f"waiting for another process to fetch it (lock {path})") from None
        try:
            yield
        finally:
            lock.release()

    def damaged_blobs(self, ref: ModelRef, found: FoundModel) -> tuple[Path, ...]:
        """Return the blobs behind the snapshot's links whose bytes do not match the hash in their name.

        Raises:
            UnsafeModelError: a link leads out of the store; nothing behind it was read.
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
        """Write down that the snapshot was checked; from now on it is found as such.

        Args:
            ref: the model.
            found: its snapshot.
            fingerprints: what is known of its files; by default what their names say, once they were checked.
            whole: whether a load needs no further file. What an earlier record says of the same files stays.
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
        """Return what the record of that snapshot says of its files; nothing without one."""
        return read_record(self._record_path(_cache_name(ref), commit)).files

    def claims(self, ref: ModelRef, commit: str) -> Claims:
        """Return the claims on that snapshot."""
        return Claims(self.side(ref), commit)

    def claim(self, ref: ModelRef, commit: str) -> None:
        """Note that this store's lock needs the snapshot. A store that cannot be written is used without a note."""
        claims = self.claims(ref, commit)
        if self.claimant is None or claims.holds(self.claimant) or self.is_read_only():
            return
        try:
            claims.claim(self.claimant)
        except OSError as error:
            logger.info("%s: that this project needs commit %s cannot be noted: %s", ref, commit[:12], error)

    def set_aside(self, ref: ModelRef, path: Path) -> Path:
        """Move a file that is not what it should be out of the way, and return where it is now.

        Nothing loads it from there; of each name the latest is kept. The caller holds the model's lock.

        Raises:
            UnsafeModelError: the file is not the model's own.
        """
        check_owned(self.root, ref, path)
        aside = self.root / ".locks" / "modelenv" / "damaged" / _cache_name(ref) / path.name
        with self.writing(ref.repo_id):
            aside.parent.mkdir(parents=True, exist_ok=True)
            path.replace(aside)
        return aside

    def side(self, ref: ModelRef) -> Path:
        """Return the folder with what modelenv itself keeps of the model; it need not be there."""
        return self.root / ".locks" / "modelenv" / _cache_name(ref)

    def staging(self, ref: ModelRef) -> Path:
        """Return the folder in which a snapshot of the model is put together, under the model's lock."""
        return self.root / ".locks" / "modelenv" / "staging" / _cache_name(ref)

    def view(self, ref: ModelRef, commit: str, files: str) -> Path:
        """Return the folder for links to some of a snapshot's files alone; it need not be there."""
        name = f"{commit}-{hashlib.sha256(files.encode()).hexdigest()[:12]}"
        return self.side(ref) / name

    def forget(self, ref: ModelRef, commit: str) -> None:
        """Remove what lies under `.locks` for a snapshot that is gone: its record, and the links to its files."""
        self.claims(ref, commit).forget()
        record = self._record_path(_cache_name(ref), commit)
        record.unlink(missing_ok=True)
        for view in record.parent.glob(f"{commit}-*"):
            shutil.rmtree(view)

    def remember_revision(self, ref: ModelRef, commit: str) -> None:
        """Write which commit the revision is now, as the Hugging Face cache does."""
        revision = ref.revision or _DEFAULT_REVISION
        if not ref.is_commit:
            with self.writing(ref.repo_id):
                write_atomically(hub_cache_folders(self.root, ref)[0] / "refs" / revision, commit)

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


def _commit_of(folder: Path, ref: ModelRef) -> str | None:
    if ref.is_commit:
        return ref.revision
    reference = folder / "refs" / (ref.revision or _DEFAULT_REVISION)
    if os.path.lexists(reference) and not reference.is_dir():
        return commit_named_by(reference)
    if ref.revision is None and (folder / "snapshots").is_dir():
        snapshots = sorted(path.name for path in (folder / "snapshots").iterdir() if is_commit(path.name))
        return snapshots[0] if len(snapshots) == 1 else None  # copied without refs: only one can be meant
    return None
