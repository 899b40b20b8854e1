"""Counts and sizes formatted for people."""

from __future__ import annotations


def counted(number: int, what: str) -> str:
    """Return a count with its noun: `1 file`, `2 files`, `1,000 files`."""
    return f"{number:,} {what}" + ("" if number == 1 else "s")


def size_text(size: int) -> str:
    """Return a number of bytes in a readable unit, such as `91.7 MB`."""
    amount, units = float(size), ["B", "kB", "MB", "GB", "TB"]
    while amount >= 1000 and len(units) > 1:
        amount, units = amount / 1000, units[1:]
    return f"{size} B" if units[0] == "B" else f"{amount:.1f} {units[0]}"
