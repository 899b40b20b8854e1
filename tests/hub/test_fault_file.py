from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from modelenv.errors import ConfigurationError
from modelenv.hub.fault_file import read_faults
from modelenv.hub.faults import Rule

if TYPE_CHECKING:
    from pathlib import Path


def write(folder: Path, text: str) -> Path:
    path = folder / "faults.toml"
    path.write_text(text)
    return path


def test_a_file_holds_the_rules_that_a_test_would_set(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        """
        [[fault]]
        kind = "resolve"
        file = "*.safetensors"
        times = 2
        status = 429
        headers = { Retry-After = "3" }

        [[fault]]
        share = 0.25
        seed = 7
        cut_after = 1000
        reset = true
        """,
    )
    assert read_faults(path) == (
        Rule(kind="resolve", file="*.safetensors", times=2, status=429, headers={"Retry-After": "3"}),
        Rule(share=0.25, seed=7, cut_after=1000, reset=True),
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[[fault]\n", ": this is no TOML\n  found: Expected ']]' at the end of an array declaration (at line 1"),
        ("", ": this is no file of faults\n  expected: tables [[fault]], and nothing else\n  found: nothing"),
        ("[fault]\nstatus = 500\n", ": this is no file of faults"),
        ("seed = 3\n[[fault]]\nstatus = 500\n", ": this is no file of faults\n  expected: tables [[fault]], and "),
        ("fault = [1]\n", ": fault 1 is no table\n  expected: [[fault]]\n  found: 1"),
        (
            "[[fault]]\nstatus = 500\n[[fault]]\nstatsu = 500\n",
            ": fault 2 says what no fault knows\n  expected: names among method, kind, repo, file, nth,",
        ),
        (
            "[[fault]]\nstatus = 'no'\n",
            ": fault 1: a fault's status cannot be this\n  expected: a number\n  found: 'no'",
        ),
    ],
)
def test_what_is_wrong_with_a_file_is_said_with_its_path(tmp_path: Path, text: str, message: str) -> None:
    path = write(tmp_path, text)
    with pytest.raises(ConfigurationError) as caught:
        read_faults(path)
    assert str(caught.value).startswith(str(path))
    assert message in str(caught.value)


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="none.toml: the faults cannot be read\n  found: No such file"):
        read_faults(tmp_path / "none.toml")
    (tmp_path / "binary.toml").write_bytes(b"\xff")
    with pytest.raises(ConfigurationError, match="binary.toml: this is no TOML"):
        read_faults(tmp_path / "binary.toml")
