"""A lock is read back as it was written. Everything else is an error with its line."""

from __future__ import annotations

import errno
import os
import tomllib
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings

from modelenv.errors import ConfigurationError, LockfileError, NoSpaceError
from modelenv.locks.project_lock import Lockfile, format_lockfile, parse_lockfile, read_lockfile, write_lockfile
from modelenv.locks.text_file import LARGEST, write_text
from modelenv.locks.toml_reader import read_toml
from modelenv.locks.values import LockedFile, LockedModel

from ..fuzz.examples import (
    BLOB,
    COMMIT,
    FINBERT,
    LOCK_TEXT,
    LOCKFILE,
    MINILM,
    OTHER_COMMIT,
    OTHER_LOCK_TEXT,
    SHA,
)
from ..fuzz.mutations import FORMATS, check, damage
from ..fuzz.strategies import LOCKFILES
from ..growth import assert_linear

FILE = LockedFile("config.json", 1, SHA, BLOB)
FILE_LINE = LOCK_TEXT.splitlines()[9]  # config.json of finbert, line 10
MEGABYTE = 2**20


def error_of(text: str) -> LockfileError:
    with pytest.raises(LockfileError) as caught:
        parse_lockfile(text, "some/modelenv.lock")
    return caught.value


def test_the_example_is_written_and_read() -> None:
    assert format_lockfile(LOCKFILE) == LOCK_TEXT
    assert parse_lockfile(LOCK_TEXT, "modelenv.lock") == LOCKFILE


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None, max_examples=60)
@given(LOCKFILES)
@pytest.mark.slow
def test_what_is_written_is_read_back_and_is_the_same_toml(lockfile: Lockfile) -> None:
    text = format_lockfile(lockfile)
    again = parse_lockfile(text, "modelenv.lock")
    assert repr(again) == repr(lockfile)  # not only ==, for which 1 is True and 1.0
    assert format_lockfile(again) == text
    assert repr(read_toml(text).value) == repr(tomllib.loads(text))


def test_an_empty_lock_is_read_back() -> None:
    assert parse_lockfile(format_lockfile(Lockfile()), "modelenv.lock") == Lockfile()


def test_the_order_of_models_files_and_facts_does_not_change_the_text() -> None:
    turned = replace(FINBERT, files=FINBERT.files[::-1], facts=dict(reversed(list(FINBERT.facts.items()))))
    assert format_lockfile(Lockfile((MINILM, turned))) == LOCK_TEXT


@pytest.mark.parametrize(
    ("old", "new", "line", "message"),
    [
        ("version = 1", "version = 2", 2, "unknown version of the file"),
        ("version = 1", "version = 0", 2, "version 1, the only one that this modelenv can read"),
        ("version = 1", "version = true", 2, "wrong version"),
        ("version = 1\n", "", 1, "the key 'version' is missing"),
        ("version = 1", "version = 1\nother = 1", 3, "unknown key"),
        ("version = 1", "version = 1\nversion = 1", 3, "duplicate key"),
        ("version = 1", "version = 1\nmodels = []", 5, "not valid TOML: Cannot mutate immutable namespace"),
        ("version = 1", "version = 1\nversion.a = 1", 3, "not valid TOML: Cannot overwrite a value"),
        ("version = 1", "version = 1\n[models.facts]", 5, "not valid TOML: Cannot overwrite a value"),
        ('"finbert"', '"minilm"', 23, "two models have the same alias"),
        ('"finbert"', '"../finbert"', 5, "a model's name must not point outside of its folder"),
        ('alias = "finbert"', "alias = 7", 5, "invalid text"),
        ('alias = "finbert"', "alias = finbert", 5, "not valid TOML: Invalid value"),
        ('alias = "finbert"', 'alias = "fin\\"', 5, "invalid value"),
        ('alias = "finbert"', 'alias = "\\uD800"', 5, "not valid TOML: Escaped character is not"),
        ('alias = "finbert"', 'alias = "\\U00110000"', 5, "not valid TOML: Escaped character is not"),
        ('alias = "finbert"', 'alias = """finbert"""', 5, "invalid value"),
        ('alias = "finbert"', "alias =", 5, "not valid TOML: Invalid value"),
        ('alias = "finbert"', "<<<<<<< HEAD", 5, "invalid line"),
        ('alias = "finbert"\n', "", 4, "the key 'alias' is missing"),
        ('"ProsusAI/finbert"', '"a/b/c"', 6, "not a valid model name"),
        ('"v2.0"', '"a b"', 25, "not a valid revision"),
        ('"v2.0"', f'"{"a" * 40}"', 26, "not the declared commit"),
        (COMMIT, COMMIT.upper(), 7, "invalid commit"),
        ('"sentiment"', '"sentimental"', 8, "unknown task 'sentimental'"),
        ('"sentiment"', '"summarization"', 8, "transformers 5 removed the task"),
        ('patterns = ["*.json", ', 'patterns = ["", ', 27, "invalid text"),
        ('patterns = ["*.json", ', 'patterns = ["*.json" ', 27, "a comma between two values"),
        ('patterns = ["*.json", ', 'patterns = [[["*.json"]], ', 27, "invalid text"),
        ('patterns = ["*.json", ', f'patterns = [{"[" * 5000}"*.json", ', 27, "nested too deeply"),
        ('patterns = ["*.json", ', f'patterns = [{"{a=" * 5000}"*.json", ', 27, "nested too deeply"),
        ('patterns = ["*.json", "1_Pooling/*"]', "patterns = 1", 27, "wrong kind of value"),
        ("758", "-1", 10, "invalid size"),
        ("758", "9223372036854775808", 10, "invalid size"),
        ("758", "1 = 2", 10, "one `=` between a key and its value"),
        ("758", "9" * 5000 + "=", 10, "one `=` between a key and its value"),
        ("758", "9" * 5000, 10, "a number with at most 500 characters"),
        ("758", "0x" + "f" * 400, 10, "an integer of 1600 bits"),
        ("758", "7.5", 10, "invalid size"),
        ("758", "true", 10, "invalid size"),
        ("size = 758, ", "", 10, "the key 'size' is missing"),
        ("size = 758", "size = 758, mode = 7", 10, "unknown key"),
        ("size = 758", "size = 758, size = 758", 10, "duplicate key"),
        ('"config.json"', '"/etc/passwd"', 10, "a path must not be absolute"),
        ('"config.json"', '"a/../../b"', 10, "a path must not point outside of its folder"),
        ('"config.json"', '"a//b"', 10, "a path must not have an empty part or a '.'"),
        ('"config.json"', '"./a"', 10, "a path must not have an empty part or a '.'"),
        ('"config.json"', '"a\\\\b"', 10, "a path must not contain a backslash"),
        ('"config.json"', '"a\\u0000b"', 10, "invalid text"),
        ('"config.json"', '"a\\u202Eb"', 10, "invalid text"),
        ('"config.json"', '""', 10, "invalid text"),
        ('"config.json"', f'"{"é" * 128}"', 10, "a path must have at most 1024 bytes, and at most 255 in each part"),
        ('"config.json"', '"model.safetensors"', 11, "two files have the same path"),
        ('"config.json"', '"model.safetensors/x"', 11, "a file and a folder have the same path"),
        (SHA, SHA[1:], 10, "invalid sha256"),
        (f'blob_id = "{BLOB}"', f'blob_id = "{"b" * 64}"', 10, "invalid blob_id"),
        (f"{FILE_LINE}\n", f"{FILE_LINE[:-1]}\n", 11, "a comma between two values"),
        (f"{FILE_LINE}\n", "    1,\n", 10, "wrong kind of value"),
        (f"{FILE_LINE}\n", f"{FILE_LINE[:-2]}\n", 10, "not valid TOML: Unclosed inline table"),
        ("\n]\n\n[models.facts]", "\n\n[models.facts]", 13, "an item of the open list, or `]`"),
        ("\n]\n\n[models.facts]", "\n", 13, "an item of the open list, or `]`"),
        ("files = [\n", "files = []\nother = [\n", 10, "unknown key"),
        ("[models.facts]", "facts = 1\n[other]", 15, "unknown key"),
        ("[models.facts]", "[other]", 14, "unknown key"),
        ("[models.facts]", "[[models.facts]]", 14, "wrong kind of value"),
        ("[models.facts]", f"[models{'.a' * 8}]", 14, "invalid line"),
        ("problems = []\n", "problems = []\n\n[[models]]\nfacts = 1\n", 22, "the key 'alias' is missing"),
        ('patterns = ["*.json", "1_Pooling/*"]', "facts = 1", 27, "wrong kind of value"),
        ("hidden_size = 768", "hidden_size = nan", 17, "invalid value of a fact"),
        ("hidden_size = 768", "hidden_size = 1979-05-27", 17, "invalid value of a fact"),
        ("hidden_size = 768", "hidden_size = 1979-05-27 07:32:00", 17, "invalid line"),
        ("hidden_size = 768", f"{'a. ' * 8}a = 768", 17, "invalid line"),
        ("hidden_size = 768", "hidden_size = 010", 17, "not valid TOML: Expected newline"),
        ("hidden_size = 768", "hidden_size = 1.0e+999", 17, "invalid value of a fact"),
        ("hidden_size = 768", "hidden_size = 9999999999999999999", 17, "invalid value of a fact"),
        ("hidden_size = 768", "null = 768", 17, "invalid name of a fact"),
        ('["positive", ', "[1, ", 19, "invalid value of a fact"),
        ("problems = []", "problems = []\n[models.facts]", 21, "duplicate key"),
        ("problems = []", "problems = []\nproblems = [\n]", 21, "duplicate key"),
        ("problems = []", "problems = []\n]", 21, "not valid TOML: Invalid statement"),
        ("Stärke", "Stär\u2028ke", 19, "the file contains an invisible character"),
        ("[models.facts]\n", "[models.facts]\r\n", 14, "the file contains an invisible character"),
    ],
)  # fmt: skip
def test_each_invalid_value_is_an_error_with_its_line(old: str, new: str, line: int, message: str) -> None:
    assert old in LOCK_TEXT
    error = error_of(LOCK_TEXT.replace(old, new, 1))
    text = str(error)
    assert text.startswith(f"some/modelenv.lock:{line}: "), text
    assert message in text
    assert "what to do: " in text
    assert len(text) < 1000


def test_the_error_says_what_was_expected_found_and_what_to_do() -> None:
    assert str(error_of(LOCK_TEXT.replace("758", "-1"))) == (
        "some/modelenv.lock:10: invalid size\n"
        "  expected: a number of bytes from 0 to 2**63 - 1\n"
        "  found: -1\n"
        "  what to do: restore it from version control, then run `modelenv lock`, which adds what is missing; or "
        "delete it and run `modelenv lock` to lock every model at its newest commit"
    )


def test_a_newer_version_needs_a_newer_modelenv_whatever_the_rest_of_the_file() -> None:
    error = error_of("# newer\nversion = 7\nmodels.a = { }\n")
    assert str(error).startswith("some/modelenv.lock:2: unknown version of the file")
    assert error.found == "version 7"
    assert error.hint == "upgrade modelenv"


def test_a_list_that_does_not_end_and_a_model_without_files() -> None:
    start = LOCK_TEXT[: LOCK_TEXT.index("    { path")]
    assert "some/modelenv.lock:10: a list is not closed" in str(error_of(start))
    assert "some/modelenv.lock:9: the model has no files" in str(error_of(start + "]\n"))


def test_the_first_of_two_problems_is_reported() -> None:
    text = LOCK_TEXT.replace('alias = "finbert"', "alias = finbert").replace("hidden_size = 768", "768")
    assert "some/modelenv.lock:5: not valid TOML" in str(error_of(text))


def test_the_same_values_in_another_layout_are_the_same_lock() -> None:
    assert parse_lockfile(OTHER_LOCK_TEXT, "modelenv.lock") == LOCKFILE


@pytest.mark.parametrize(
    ("old", "new", "line", "message"),
    [
        ("'version' = 1\n", "", 1, "the key 'version' is missing"),
        ("'version' = 1", "'version' = true", 2, "wrong version"),
        ("'sentiment'", "'sentimental'", 7, "unknown task"),
        ("facts.dropout = 1e-5", "facts.dropout = inf", 8, "invalid value of a fact"),
        ("facts.dropout", "facts.'no'", 8, "invalid name of a fact"),
        ("7_68", "7_68 # 8\nfacts.other = nan", 10, "invalid value of a fact"),
        ("'no',", "7,", 14, "invalid value of a fact"),
        ("'model.safetensors'", "'/model.safetensors'", 27, "a path must not be absolute"),
        ("437992753", "-1", 28, "invalid size"),
        ("437992753", "-1 # '\"", 28, "invalid size"),
        ("'v2.0'", "'v2 0'", 34, "not a valid revision"),
        ("'1_Pooling/*'", "''", 37, "invalid text"),
        ("size = 0 ", "size = [] ", 40, "invalid size"),
    ],
)
def test_an_invalid_value_in_another_layout_is_an_error_with_its_line(
    old: str, new: str, line: int, message: str
) -> None:
    assert old in OTHER_LOCK_TEXT
    text = str(error_of(OTHER_LOCK_TEXT.replace(old, new, 1)))
    assert text.startswith(f"some/modelenv.lock:{line}: "), text
    assert message in text


def test_the_error_for_carriage_returns_says_how_to_avoid_them() -> None:
    assert "`eol=lf` in .gitattributes" in str(error_of(LOCK_TEXT.replace("\n", "\r\n")))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"version = 1\n\n# \xff\n", ":3: not valid UTF-8"),
        (b"\xef\xbb\xbfversion = 1\n", ":1: the file starts with a byte order mark"),
        (b"version = 1\n\0", ":2: the file contains an invisible character"),
        (b"#" * (LARGEST + 1), ":1: the file is too large"),
    ],
)
def test_bytes_that_are_not_text_are_an_error_with_their_line(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "modelenv.lock"
    path.write_bytes(content)
    with pytest.raises(LockfileError) as caught:
        read_lockfile(path)
    assert str(caught.value).startswith(f"{path}{message}")


def test_a_text_has_the_same_size_limit_as_a_file() -> None:
    assert "the file is too large" in str(error_of("#" * (LARGEST + 1)))


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for name, found in (
        ("missing", "No such file"),
        (".", "not a regular file"),
        ("pipe", "not a regular file"),
    ):
        with pytest.raises(LockfileError, match="cannot be read") as caught:
            read_lockfile(tmp_path / name)
        assert found in str(caught.value)
        assert str(tmp_path) in str(caught.value)
    with pytest.raises(LockfileError, match="cannot be read"):
        read_lockfile("a\0b")


def test_the_same_lock_is_not_written_again(tmp_path: Path) -> None:
    path = tmp_path / "project" / "modelenv.lock"
    assert write_lockfile(path, LOCKFILE)
    os.utime(path, ns=(1, 1))
    assert not write_lockfile(path, LOCKFILE)
    assert path.stat().st_mtime_ns == 1
    assert write_lockfile(path, Lockfile((FINBERT,)))
    assert read_lockfile(path) == Lockfile((FINBERT,))
    assert [file.name for file in path.parent.iterdir()] == ["modelenv.lock"]


def test_a_lock_that_would_be_too_large_to_read_is_not_written(tmp_path: Path) -> None:
    path = tmp_path / "modelenv.lock"
    with pytest.raises(ConfigurationError, match="too many models for one file") as caught:
        write_text(path, "#" * (LARGEST + 1))
    assert f"{path}: {LARGEST + 1} bytes" in str(caught.value)
    assert "fewer files of each" in str(caught.value)
    assert not path.exists()


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigurationError, match="this file cannot be written") as caught:
        write_lockfile(tmp_path / "file" / "modelenv.lock", LOCKFILE)
    assert str(tmp_path / "file") in str(caught.value)
    assert "change its permissions" in str(caught.value)


def test_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("modelenv.locks.text_file.write_atomically", full)
    with pytest.raises(NoSpaceError, match="no space left to write this file") as caught:
        write_text(tmp_path / "modelenv.lock", "")
    assert "free space there" in str(caught.value)


def test_a_model_is_found_by_alias_and_by_repo_and_revision() -> None:
    other = replace(FINBERT, alias="a-pinned", revision="v1", commit=OTHER_COMMIT)
    lockfile = Lockfile((MINILM, FINBERT, other))
    assert [model.alias for model in lockfile.models] == ["a-pinned", "finbert", "minilm"]
    assert lockfile.by_alias("finbert") == FINBERT
    assert lockfile.by_alias("ProsusAI/finbert") is None
    assert lockfile.find("ProsusAI/finbert") == FINBERT  # the model of the default branch, not the first
    assert lockfile.find("ProsusAI/finbert", "v1") == other
    assert lockfile.find("ProsusAI/finbert", OTHER_COMMIT) == other
    assert lockfile.find("ProsusAI/finbert", "main") is None
    assert lockfile.find("ProsusAI/finbert", "a" * 40) is None
    assert lockfile.find(MINILM.repo) is None  # it was declared at a revision
    assert lockfile.find(MINILM.repo, MINILM.commit) == MINILM
    assert lockfile.find("ProsusAI/other") is None
    fewer = replace(FINBERT, alias="fewer", patterns=("*.json",))
    assert Lockfile((fewer, replace(FINBERT, alias="whole"))).find(FINBERT.repo).alias == "whole"  # type: ignore[union-attr]
    assert Lockfile((fewer,)).find(FINBERT.repo) == fewer


@pytest.mark.parametrize("seed", range(4))
def test_random_damage_gives_a_lock_or_a_lockfile_error(seed: int) -> None:
    random, form = Random(seed), FORMATS["lock"]
    for example in (form.example, OTHER_LOCK_TEXT.encode()):
        accepted = sum(check(form, damage(example, random)) for _ in range(500))
        assert 0 < accepted < 250


@pytest.mark.parametrize(
    "part",
    ["a.", "[", "x = [", "{a=", "1,", '"\\"', '"""\\', "'", "#", "\n", " ", "=", "a=1\n", "[[models]]\n", "\\",
     'x = "\\u0041', "files = [\n", f"{FILE_LINE}\n", "[models.facts]\n", "a = 1\n", 'x = ["", "", '],
)  # fmt: skip
@pytest.mark.slow
def test_a_megabyte_of_anything_takes_eight_times_as_long_as_an_eighth_of_it(part: str) -> None:
    end = "" if part not in ("#", "\n", " ") else "\0"
    for start in ("", "version = 1\n", LOCK_TEXT, LOCK_TEXT[: LOCK_TEXT.index("]\n\n[models.facts]")]):
        small, large = (start + part * (size // len(part)) + end for size in (MEGABYTE // 8, MEGABYTE))
        assert_linear(error_of, small, large, times=8)


def test_the_time_to_read_grows_with_the_number_of_models() -> None:
    files = tuple(replace(FILE, path=f"onnx/{index}.json") for index in range(12))
    models = [LockedModel(f"m{index}", f"a/m{index}", None, COMMIT, None, files) for index in range(200)]
    locks = [Lockfile(tuple(models[:count])) for count in (25, 200)]
    assert [parse_lockfile(format_lockfile(lock), "modelenv.lock") for lock in locks] == locks
    assert_linear(lambda text: parse_lockfile(text, "modelenv.lock"), *map(format_lockfile, locks), times=8)
