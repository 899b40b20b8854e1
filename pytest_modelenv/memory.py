"""The memory limit for real models: `--model-memory`."""

from __future__ import annotations

import os
import re
from pathlib import Path

_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
_FORM = re.compile(r"(\d+(?:\.\d+)?)\s*(?:(%)|([KMGT]?)(?:I?B)?)", re.IGNORECASE)
_CONTAINER_LIMIT = Path("/sys/fs/cgroup/memory.max")  # cgroup v2, as seen from inside a container


def parse_memory(text: str, machine: int) -> int:
    """Return an amount of memory in bytes.

    Args:
        text: An amount such as `4G` or `500MB` (powers of 1024), or a share of the machine's memory such as `50%`.
        machine: The machine's memory in bytes.

    Raises:
        ValueError: The text has another form, or the amount is zero.
    """
    found = _FORM.fullmatch(text.strip())
    if found is None:
        raise ValueError(f"{text!r} is not an amount of memory; use a value such as 4G, 500M or 50%")
    number, percent, unit = found.groups()
    amount = int(float(number) * (machine / 100 if percent else _UNITS[unit.upper()]))
    if amount <= 0:
        raise ValueError(f"{text!r} leaves no memory for models")
    return amount


def machine_memory(limit: Path = _CONTAINER_LIMIT) -> int:
    """Return the machine's memory in bytes, or the limit of the container if that is lower."""
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    try:
        return min(machine, int(limit.read_text(encoding="ascii")))
    except (OSError, ValueError):  # this system has no such file, or the limit is "max"
        return machine
