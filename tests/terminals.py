"""A terminal's side of a program that a test starts on one."""

from __future__ import annotations

import os


def read_terminal(leader: int) -> str:
    """Return what is written to the terminal until its other side is closed, and close it.

    Read as it comes: a program whose terminal takes nothing more would wait.
    """
    said = b""
    while chunk := _read(leader):
        said += chunk
    os.close(leader)
    return said.decode()


def _read(leader: int) -> bytes:
    try:
        return os.read(leader, 65536)
    except OSError:  # how Linux says that the other side closed the terminal
        return b""
