"""The harness prints a summary, is deterministic, and fails if a reader fails."""

from __future__ import annotations

import sys
from dataclasses import replace
from random import Random

import pytest

from .__main__ import main
from .mutations import FORMATS, check, damage


def test_the_program_prints_a_summary(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["fuzz", "--count", "40", "--seed", "3"])
    main()
    lock, metadata = capsys.readouterr().out.splitlines()
    assert lock.startswith("lock: 20 texts in ")
    assert metadata.startswith("metadata: 20 texts in ")


def test_the_same_seed_causes_the_same_damage() -> None:
    example = FORMATS["lock"].example
    assert damage(example, Random(5)) == damage(example, Random(5)) != damage(example, Random(6))


@pytest.mark.parametrize("name", FORMATS)
def test_the_examples_are_accepted_and_random_bytes_are_not(name: str) -> None:
    assert check(FORMATS[name], FORMATS[name].example)
    assert not check(FORMATS[name], b"\xff\x00")


def broken(text: str, path: str) -> object:
    raise RecursionError(f"{path}: {len(text)}")


@pytest.mark.parametrize("name", FORMATS)
def test_wrong_errors_and_wrong_data_of_a_reader_are_found(name: str) -> None:
    form = FORMATS[name]
    with pytest.raises(RecursionError):
        check(replace(form, parse=broken), form.example)
    with pytest.raises(AssertionError):
        check(replace(form, other_reader=lambda _: {}), form.example)
    with pytest.raises(AssertionError, match="elsewhere:"):
        check(replace(form, parse=lambda text, _: form.parse(text, "elsewhere")), b"no such text")
