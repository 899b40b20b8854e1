"""A load is logged as a sentence with the right plurals."""

from __future__ import annotations

import pytest

from modelenv import LoadReport
from modelenv.amounts import counted, size_text

FETCHED = {"fetched": True, "fetch_seconds": 0.42}


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"load_seconds": 2.04}, "loaded acme/m for fill-mask from local_cache in 2.0 s"),
        (
            {**FETCHED, "files": 1, "bytes": 1, "requests": 1},
            "loaded acme/m for fill-mask from local_cache in 0.0 s after fetching it in 0.4 s "
            "(1 file, 1 B, 1 request)",
        ),
        (
            {**FETCHED, "files": 5, "bytes": 91_000_000, "requests": 12, "hosted": True, "load_seconds": 3},
            "loaded acme/m for fill-mask from local_cache into the model host in 3.0 s after fetching it in 0.4 s "
            "(5 files, 91.0 MB, 12 requests)",
        ),
        ({"error": "not in this store"}, "could not load acme/m for fill-mask from local_cache: not in this store"),
    ],
)
def test_a_report_is_a_sentence(fields: dict[str, object], sentence: str) -> None:
    assert str(LoadReport("acme/m", "fill-mask", "local_cache", **fields)) == sentence  # type: ignore[arg-type]


def test_numbers_are_formatted_for_readers() -> None:
    assert [counted(number, "file") for number in (0, 1, 2, 12_345)] == [
        "0 files",
        "1 file",
        "2 files",
        "12,345 files",
    ]
    assert [size_text(size) for size in (0, 999, 1000, 91_000_000, 10**16)] == [
        "0 B", "999 B", "1.0 kB", "91.0 MB", "10000.0 TB",
    ]  # fmt: skip
