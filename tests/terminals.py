"""Reads the terminal of a program that a test starts."""

from __future__ import annotations

import os


def read_terminal(leader: int) -> str:
    """Return what is written to the terminal until the other side is closed. Then close the terminal.

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
    except OSError:  # on Linux: the other side has closed the terminal
        return b""
