"""Writing to disk: small files at once, folders of our own, and what a disk refuses as one of our errors."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from modelenv.errors import ConfigurationError, ModelEnvError, NoSpaceError


@contextmanager
def writing(root: Path, model: str, *, hint: str | None = None) -> Iterator[None]:
    """Turn what a disk refuses into our errors; `hint` says what to do, where that is not about the cache.

    Raises:
        NoSpaceError: the disk is full.
        ConfigurationError: the folder cannot be written.
    """
    try:
        yield
    except OSError as error:
        if isinstance(error, ModelEnvError):
            raise
        raise disk_error(root, model, error, hint=hint) from error


def disk_error(root: Path, model: str, error: OSError, *, hint: str | None = None) -> ModelEnvError:
    """Return our error for one with which the disk under `root` answered."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return NoSpaceError(
            "no space left for the model's files",
            model=model,
            found=str(root),
            hint=hint or "free space, or set MODEL_CACHE_DIR to a larger disk",
        )
    return ConfigurationError(
        "models cannot be written here",
        model=model,
        found=f"{root}: {error.strerror or error}",
        hint=hint or "set MODEL_CACHE_DIR to a folder that this user may write, or fill the store beforehand",
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


def write_atomically(path: Path, text: str, *, mode: int | None = None) -> None:
    """Write a small file so that every reader sees the old text or the new, never a part.

    Args:
        path: the file; its folder is made if need be.
        text: the whole content.
        mode: the file's rights; by default what this process gives to new files.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}.tmp")
    try:
        temporary.write_text(text, encoding="utf-8")
        if mode is not None:
            temporary.chmod(mode)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def mark_as_cache(root: Path) -> None:
    """Tell backup programs to skip the folder (https://bford.info/cachedir/)."""
    tag = root / "CACHEDIR.TAG"
    if not tag.exists():
        write_atomically(
            tag, "Signature: 8a477f597d28d172789f06886806bc55\n# Models that modelenv can fetch again.\n"
        )
