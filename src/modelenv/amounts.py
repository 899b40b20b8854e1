"""Numbers as people read them."""

from __future__ import annotations


def counted(number: int, what: str) -> str:
    """Return `1 file`, `2 files`, `1,000 files`."""
    return f"{number:,} {what}" + ("" if number == 1 else "s")


def size_text(size: int) -> str:
    """Return a number of bytes as people read it."""
    amount, units = float(size), ["B", "kB", "MB", "GB", "TB"]
    while amount >= 1000 and len(units) > 1:
        amount, units = amount / 1000, units[1:]
    return f"{size} B" if units[0] == "B" else f"{amount:.1f} {units[0]}"
