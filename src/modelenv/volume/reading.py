"""Reading a volume: what its metadata says it holds, and a model's folder on it, verified. Writes nothing."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from modelenv.errors import LockfileError, ModelEnvError, ModelIntegrityError, ModelNotFoundError, UnsafeModelError
from modelenv.files.integrity import check_model_folder
from modelenv.files.verification import Verified, integrity_error, verify_folder
from modelenv.locked_finding import Checks
from modelenv.locks.locked import LockedModel
from modelenv.metadata import VolumeMetadata, VolumeModel, parse_metadata
from modelenv.references import ModelRef
from modelenv.sources import VOLUME_METADATA

_OURS = ("# The models on this volume.", "version:")


def volume_metadata(root: Path) -> VolumeMetadata | None:
    """Return what the volume's metadata says; None where there is none that modelenv wrote.

    A file of that name in another form, made by hand, marks a volume and says nothing about its files.

    Raises:
        LockfileError: it is damaged, or cannot be read.
    """
    path = root / VOLUME_METADATA
    try:
        state = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise LockfileError(
            f"{path}: cannot be read", found=error.strerror, hint="give this user the right to read it"
        ) from None
    return _read(path, state.st_size, state.st_mtime_ns, state.st_ino)


# A pure function of the file's content, asked for at each load.
@lru_cache(maxsize=4)
def _read(path: Path, size: int, mtime_ns: int, inode: int) -> VolumeMetadata | None:
    from modelenv.locks.text import Origin

    del size, mtime_ns, inode  # these say which content it is
    text = Origin(path, "`modelenv pull --to` writes it anew").read()
    # One damaged byte cannot hit both of these, so no damage makes our file look like one made by hand.
    if not any(line.startswith(_OURS) for line in text.splitlines()):
        return None
    return parse_metadata(text, path)


def find_on_volume(
    root: Path,
    metadata: VolumeMetadata,
    ref: ModelRef,
    *,
    locked: LockedModel | None,
    checks: Checks,
    allow_pickle: bool = False,
) -> Path:
    """Return the model's folder on the volume, verified against the volume's metadata.

    Args:
        root: where the volume is mounted.
        metadata: what it says it holds.
        ref: the model, or one of the volume's aliases in place of a repo id.
        locked: what the project's lock says of the model, where there is one; the volume must hold that commit.
        checks: how files are checked.
        allow_pickle: whether pickled weights may be loaded.

    Raises:
        ModelNotFoundError: the volume does not hold the model.
        ModelIntegrityError: a file is missing, extra, changed or unreadable, or the volume has another commit.
        UnsafeModelError: a link is on the way, or its weights are pickled.
    """
    model = metadata.find(ref.repo_id, ref.revision) or (None if ref.revision else metadata.by_alias(ref.repo_id))
    if model is None:
        raise _not_on_volume(root, metadata, ref)
    if locked is not None and locked.commit != model.locked.commit:
        raise ModelIntegrityError(
            "the volume holds another commit than the lock names",
            model=ref.repo_id,
            expected=f"commit {locked.commit}, as in modelenv.lock",
            found=f"commit {model.locked.commit}, as in {root / VOLUME_METADATA}",
            hint=f"run `modelenv pull --to {root}` where the volume may be written",
        )
    verified = verify_on_volume(root, model, checks)
    folder = root / model.folder
    if verified.differences:
        hint = f"nothing was loaded; run `modelenv pull --to {root}` where the volume may be written"
        raise integrity_error(verified.differences, model=model.locked.repo, folder=folder, hint=hint)
    check_model_folder(folder, root=root, model=model.locked.repo, allow_pickle=allow_pickle)
    return folder


def verify_on_volume(root: Path, model: VolumeModel, checks: Checks) -> Verified:
    """Compare the model's folder with the metadata: every file, and no file besides.

    Raises:
        UnsafeModelError: the folder, or one on the way to it, is a link.
    """
    folder = root / model.folder
    for place in (folder, *folder.parents):
        if place == root:
            break
        if place.is_symlink():
            raise UnsafeModelError(
                "a link is on the way to the model's folder, and on a volume there are none",
                model=model.locked.repo,
                found=f"{place} -> {place.readlink()}",
                hint=f"run `modelenv pull --to {root}` where the volume may be written",
            )
    known = {} if checks.full else checks.memory.of(folder)
    verified = verify_folder(
        folder, model.locked, known=known, strict=True, allow_links=False,
        before_hashing=checks.before_hashing, progress=checks.progress,
    )  # fmt: skip
    if verified.hashed:
        checks.memory.remember(folder, verified.fingerprints)
    return verified


def _not_on_volume(root: Path, metadata: VolumeMetadata, ref: ModelRef) -> ModelEnvError:
    held = ", ".join(f"{model.locked.repo} ({model.locked.commit[:12]})" for model in metadata.models[:10])
    return ModelNotFoundError(
        "not on this volume",
        model=str(ref),
        found=f"{root} holds {held or 'no model'}" + (", …" if len(metadata.models) > 10 else ""),
        tried=(str(root / VOLUME_METADATA),),
        hint="declare it in [tool.modelenv.models], run `modelenv lock`, and then `modelenv pull --to` the volume",
    )
