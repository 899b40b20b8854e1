"""Writing to disk: atomic writes of small files, private folders, and disk errors as our errors."""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO

from modelenv.amounts import size_text
from modelenv.errors import ConfigurationError, ModelEnvError, ModelIntegrityError, NoSpaceError


@contextmanager
def writing(root: Path, model: str, *, setting: str = "MODEL_CACHE_DIR", hint: str | None = None) -> Iterator[None]:
    """Context manager: turn the OSErrors of writing into our errors.

    Args:
        root: The folder that is written to.
        model: The model's name, for errors.
        setting: The name of the setting that sets the folder.
        hint: What to do, if the folder is not a cache.

    Raises:
        NoSpaceError: The disk is full.
        ConfigurationError: The folder cannot be written.
    """
    try:
        yield
    except OSError as error:
        if isinstance(error, ModelEnvError):
            raise
        raise disk_error(root, model, error, setting=setting, hint=hint) from error


@contextmanager
def reading(model: str) -> Iterator[None]:
    """Context manager: turn a PermissionError for a model's files into our error.

    Raises:
        ModelIntegrityError: This user may not read or search a folder.
    """
    try:
        yield
    except PermissionError as error:
        raise ModelIntegrityError(
            "no permission to read its folder",
            model=model,
            found=f"{error.filename}: {error.strerror}",
            hint="give this user permission to read it",
        ) from None


def disk_error(
    root: Path, model: str, error: OSError, *, setting: str = "MODEL_CACHE_DIR", hint: str | None = None
) -> ModelEnvError:
    """Return our error for an OSError that occurred while writing below `root`."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return NoSpaceError(
            "no space left for the model's files",
            model=model,
            found=str(root),
            hint=hint or f"free space, or set {setting} to a folder on a larger disk",
        )
    return ConfigurationError(
        "models cannot be written to this folder",
        model=model,
        found=f"{root}: {error.strerror or error}",
        hint=hint or f"set {setting} to a folder that this user can write, or fill the store beforehand",
    )


def check_space(
    root: Path, needed: int, model: str, *, setting: str = "MODEL_CACHE_DIR", hint: str | None = None
) -> None:
    """Check that the disk has `needed` bytes of free space below `root`, which need not exist.

    Raises:
        NoSpaceError: The disk has less free space.
    """
    import shutil

    parents = (path for path in (root, *root.parents) if os.path.exists(path))  # noqa: PTH110 - pathlib can raise
    place = next(parents, root)
    try:
        usage = shutil.disk_usage(place)
    except OSError:
        return  # unknown; writing will fail if there is too little
    if usage.total and needed > usage.free:  # some network file systems report a size of 0
        lacking = size_text(needed - usage.free)
        raise NoSpaceError(
            "the model's files do not fit on the disk",
            model=model,
            expected=f"{size_text(needed)} of free space for the missing files",
            found=f"{size_text(usage.free)} free in {root}: {lacking} too little",
            hint=hint or f"free {lacking}, or set {setting} to a folder on a larger disk",
        )


def make_private(folder: Path) -> None:
    """Create `folder` for this user only, and refuse a folder that another user created.

    Raises:
        ConfigurationError: The folder is a link, or belongs to another user.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    check_private(folder)
    if folder.stat().st_mode & 0o077:
        folder.chmod(0o700)


def check_private(folder: Path) -> None:
    """Check that no other user created `folder`, which need not exist.

    Raises:
        ConfigurationError: The folder is a link, or belongs to another user.
    """
    try:
        state = folder.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return
    if folder.is_symlink() or state.st_uid != os.getuid():
        raise ConfigurationError(
            "the private download folder belongs to another user",
            expected=f"a folder of user {os.getuid()}",
            found=f"{folder}, of user {state.st_uid}",
            hint="remove it, or set MODEL_CACHE_DIR to a folder of your own",
        )


def write_atomically(path: Path, text: str, *, mode: int | None = None, durable: bool = False) -> None:
    """Write a small file so that every reader sees either the old text or the new text, never a part.

    Args:
        path: The file. Its folder is created if necessary. Temporary files of killed writes are removed.
        text: The whole content.
        mode: The file's permissions; by default those that this process gives to new files.
        durable: Whether this must also hold after a power failure.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    _remove_abandoned(path)
    temporary, file = _open_beside(path)
    try:
        with file:
            file.write(text)
            file.flush()
            if mode is not None:
                os.fchmod(file.fileno(), mode)
            if durable:
                os.fsync(file.fileno())
            temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _open_beside(path: Path) -> tuple[Path, TextIO]:
    """Create a temporary file beside `path`, locked until it is closed or this process ends."""
    while True:
        temporary = path.with_name(f".{path.name}.{os.urandom(8).hex()}.tmp")
        file = temporary.open("x", encoding="utf-8")
        with suppress(OSError):  # no file locks here, so no process removes it either
            fcntl.flock(file, fcntl.LOCK_EX)
        if os.fstat(file.fileno()).st_nlink:
            return temporary, file
        file.close()  # another process removed it as abandoned before it was locked


def _remove_abandoned(path: Path) -> None:
    """Remove the temporary files of killed writes of `path`: no process holds their locks."""
    for name in os.listdir(path.parent):  # noqa: PTH208 - only names
        if name.startswith(f".{path.name}.") and name.endswith(".tmp"):
            temporary = path.with_name(name)
            with suppress(OSError), temporary.open("r+b") as file:  # locked, removed, or not ours
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                temporary.unlink(missing_ok=True)


def mark_as_cache(root: Path) -> None:
    """Mark the folder as a cache that backup programs skip (https://bford.info/cachedir/)."""
    tag = root / "CACHEDIR.TAG"
    if not tag.exists():
        write_atomically(
            tag, "Signature: 8a477f597d28d172789f06886806bc55\n# Models that modelenv can fetch again.\n"
        )
