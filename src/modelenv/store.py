"""A folder of models on disk: found in every layout, checked, locked while it changes.

What modelenv fetched lies in the Hugging Face cache layout, so that every other tool can use it. Beside it, under
`.locks/modelenv/` (a place that the cache's own tools skip), lie one lock per model, and one record per snapshot
that was checked: the record is written last, so a snapshot with a record is complete and undamaged.
"""

from __future__ import annotations

import errno
import json
import logging
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from modelenv.deadlines import Deadline
from modelenv.errors import ConfigurationError, ModelEnvError, ModelIntegrityError, NoSpaceError
from modelenv.integrity import matches_blob_name
from modelenv.layouts import CONFIG, Layout, hub_cache_folders, plain_folders
from modelenv.references import ModelRef

logger = logging.getLogger("modelenv")
_DEFAULT_REVISION = "main"
_FIRST_NOTICE = 5.0  # seconds of waiting for a lock before we say so


@dataclass(frozen=True)
class FoundModel:
    """A model's folder in a store.

    Attributes:
        path: the folder with the model's files.
        layout: how it was found.
        commit: the commit, where the layout tells it.
        checked: whether a record says that its files were complete and matched their hashes.
    """

    path: Path
    layout: Layout
    commit: str | None = None
    checked: bool = False


@dataclass(frozen=True)
class Store:
    """The models under one root.

    Attributes:
        root: the folder; it need not exist.
        private: whether to make the root and its parent for this user alone (0700).
    """

    root: Path
    private: bool = False
    _plain_owners: dict[Path, str] = field(default_factory=dict, repr=False, compare=False)
    _plain_lock: threading.Lock = field(default_factory=threading.Lock, repr=False, compare=False)

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
                checked = self._matches_record(folder.name, commit, path)
                return FoundModel(path, Layout.HUB_CACHE, commit, checked)
        for layout, path in plain_folders(self.root, ref):
            if path.is_dir() and not (ref.organisation is None and _is_organisation(path)):
                if layout is Layout.PLAIN and ref.organisation is not None:
                    self._claim_plain(path, ref)
                return FoundModel(path, layout)
        return None

    def _claim_plain(self, path: Path, ref: ModelRef) -> None:
        """A plain folder does not say whose model it holds, so it serves one organisation only."""
        with self._plain_lock:
            owner = _stated_owner(path, ref) or self._plain_owners.setdefault(path, ref.repo_id)
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
        """
        from filelock import FileLock, Timeout

        with writing(self.root, ref.repo_id):
            path = self._side_folder() / f"{_cache_name(ref)}.lock"
            path.touch()
        lock = FileLock(path)
        notice = min(_FIRST_NOTICE, deadline.remaining)
        try:
            try:
                lock.acquire(timeout=notice)
            except Timeout:
                logger.warning(
                    "waiting for another process to fetch %s (lock %s, at most %.0f s more)",
                    ref, path, deadline.remaining,
                )  # fmt: skip
                lock.acquire(timeout=deadline.remaining)
        except Timeout:
            raise deadline.passed(ref.repo_id, f"waiting for another process to fetch it (lock {path})") from None
        try:
            yield
        finally:
            lock.release()

    def damaged_blobs(self, found: FoundModel) -> tuple[Path, ...]:
        """Return the blobs behind the snapshot's links whose bytes do not match the hash in their name."""
        links = (file for file in _files(found.path) if file.is_symlink() and file.exists())
        blobs = {Path(os.path.normpath(link.parent / link.readlink())) for link in links}
        return tuple(sorted(blob for blob in blobs if not matches_blob_name(blob)))

    def is_read_only(self) -> bool:
        """Return whether nothing can be written here, as on a volume that was filled beforehand."""
        return self.root.exists() and not os.access(self.root, os.W_OK)

    def record(self, ref: ModelRef, found: FoundModel) -> FoundModel:
        """Write down that the snapshot is complete and was checked; from now on it is found as such."""
        assert found.commit is not None  # noqa: S101 - only snapshots are recorded
        path = self._record_path(_cache_name(ref), found.commit)
        text = json.dumps(_record(found.path), indent=1, sort_keys=True)
        with writing(self.root, ref.repo_id):
            write_atomically(path, text + "\n")
        return FoundModel(found.path, found.layout, found.commit, checked=True)

    def remember_revision(self, ref: ModelRef, commit: str) -> None:
        """Write which commit the revision is now, as the Hugging Face cache does."""
        revision = ref.revision or _DEFAULT_REVISION
        if not ref.is_commit:
            with writing(self.root, ref.repo_id):
                write_atomically(hub_cache_folders(self.root, ref)[0] / "refs" / revision, commit)

    def _record_path(self, folder_name: str, commit: str) -> Path:
        return self.root / ".locks" / "modelenv" / folder_name / f"{commit}.json"

    def _matches_record(self, folder_name: str, commit: str, snapshot: Path) -> bool:
        try:
            record: Any = json.loads(self._record_path(folder_name, commit).read_bytes())
        except (FileNotFoundError, NotADirectoryError, PermissionError, ValueError):
            return False  # a missing or broken record only costs another check
        return bool(record == _record(snapshot))

    def _side_folder(self) -> Path:
        folder = self.root / ".locks" / "modelenv"
        if self.private:
            make_private(self.root.parent)
            make_private(self.root)
        folder.mkdir(parents=True, exist_ok=True)
        _mark_as_cache(self.root)
        return folder


@contextmanager
def writing(root: Path, model: str) -> Iterator[None]:
    """Turn what a disk refuses into our errors.

    Raises:
        NoSpaceError: the disk is full.
        ConfigurationError: the folder cannot be written.
    """
    try:
        yield
    except OSError as error:
        if isinstance(error, ModelEnvError):
            raise
        raise disk_error(root, model, error) from error


def disk_error(root: Path, model: str, error: OSError) -> ModelEnvError:
    """Return our error for one with which the disk under `root` answered."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return NoSpaceError(
            "no space left for the model's files",
            model=model,
            found=str(root),
            hint="free space, or set MODEL_CACHE_DIR to a larger disk",
        )
    return ConfigurationError(
        "models cannot be written here",
        model=model,
        found=f"{root}: {error.strerror or error}",
        hint="set MODEL_CACHE_DIR to a folder that this user may write, or fill the store beforehand",
    )


def make_private(folder: Path) -> None:
    """Make `folder` for this user alone, and refuse one that another user made in its place.

    Raises:
        ConfigurationError: the folder is a link, or belongs to another user.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    state = folder.lstat()
    if folder.is_symlink() or state.st_uid != os.getuid():
        raise ConfigurationError(
            "the private folder for downloads belongs to somebody else",
            expected=f"a folder of user {os.getuid()}",
            found=f"{folder}, of user {state.st_uid}",
            hint="remove it, or set MODEL_CACHE_DIR to a folder of your own",
        )
    if state.st_mode & 0o077:
        folder.chmod(0o700)


def write_atomically(path: Path, text: str) -> None:
    """Write a small file so that every reader sees the old text or the new, never a part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}.tmp")
    try:
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _mark_as_cache(root: Path) -> None:
    """Tell backup programs to skip the folder (https://bford.info/cachedir/)."""
    tag = root / "CACHEDIR.TAG"
    if not tag.exists():
        write_atomically(
            tag, "Signature: 8a477f597d28d172789f06886806bc55\n# Models that modelenv can fetch again.\n"
        )


def _cache_name(ref: ModelRef) -> str:
    return "models--" + ref.repo_id.replace("/", "--")


def _commit_of(folder: Path, ref: ModelRef) -> str | None:
    if ref.is_commit:
        return ref.revision
    reference = folder / "refs" / (ref.revision or _DEFAULT_REVISION)
    try:
        return reference.read_text(encoding="utf-8").strip() or None
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        pass
    if ref.revision is None and (folder / "snapshots").is_dir():
        snapshots = sorted(path.name for path in (folder / "snapshots").iterdir())
        return snapshots[0] if len(snapshots) == 1 else None  # copied without refs: only one can be meant
    return None


def _files(folder: Path) -> Iterator[Path]:
    for parent, _, names in os.walk(folder):
        yield from (Path(parent) / name for name in sorted(names))


def _record(folder: Path) -> dict[str, Any]:
    """Return, for each file, what changes when its content does: size, mtime in ns, inode."""
    fingerprint: dict[str, list[int]] = {}
    for file in _files(folder):
        try:
            state = file.stat()
        except FileNotFoundError:
            continue  # a link without its blob: then the record does not match
        fingerprint[file.relative_to(folder).as_posix()] = [state.st_size, state.st_mtime_ns, state.st_ino]
    return {"format": 1, "files": fingerprint}


def _is_organisation(path: Path) -> bool:
    """A folder without a configuration, whose children have one, holds an organisation's models."""
    return not (path / CONFIG).exists() and any((child / CONFIG).exists() for child in path.iterdir())


def _stated_owner(path: Path, ref: ModelRef) -> str | None:
    """Return the repo id in the configuration, if it is of the same name: transformers 4 wrote it there."""
    try:
        stated = json.loads((path / CONFIG).read_bytes()).get("_name_or_path")
    except (OSError, ValueError, AttributeError):
        return None  # a damaged configuration is reported by the check that follows
    same_name = isinstance(stated, str) and stated.count("/") == 1 and stated.endswith("/" + ref.name)
    return stated if same_name else None
