"""Writes a lock or a volume's metadata to a file, which appears atomically and is never too large to be read."""

from __future__ import annotations

import errno
from pathlib import Path

from modelenv.errors import ConfigurationError, NoSpaceError
from modelenv.files.disk import write_atomically

LARGEST = 16 * 2**20  # bytes: about 5000 models with a dozen files each


def write_text(path: Path, text: str, *, mode: int | None = None) -> bool:
    """Write `text` atomically, and return whether the file changed. An unchanged file is not touched.

    Raises:
        NoSpaceError: The disk is full.
        ConfigurationError: The file cannot be written, or would be too large to be read again.
    """
    content = text.encode()
    if len(content) > LARGEST:
        raise ConfigurationError(
            "too many models for one file",
            expected=f"at most {LARGEST} bytes",
            found=f"{path}: {len(content)} bytes",
            hint="declare fewer models, or use patterns to lock fewer files of each",
        )
    try:
        with path.open("rb") as file:
            if file.read(LARGEST + 1) == content:
                return False
    except OSError:
        pass  # missing or unreadable: write it
    try:
        write_atomically(path, text, mode=mode, durable=True)
    except OSError as error:
        found = f"{path}: {error.strerror or error}"
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise NoSpaceError("no space left to write this file", found=found, hint="free space there") from error
        raise ConfigurationError(
            "this file cannot be written",
            found=found,
            hint="run this where this user can write the file, or change its permissions",
        ) from error
    return True
