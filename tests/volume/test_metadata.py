"""A volume's metadata is read back as it was written. Everything else is an error with its line."""

from __future__ import annotations

import os
import pickle
import stat
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest
import yaml
from hypothesis import HealthCheck, given, settings

from modelenv.errors import LockfileError
from modelenv.locks.text_file import LARGEST
from modelenv.locks.values import LockedFile, LockedModel, LockedValueError
from modelenv.volume.metadata import (
    VolumeMetadata,
    VolumeModel,
    format_metadata,
    parse_metadata,
    read_metadata,
    write_metadata,
)
from modelenv.volume.yaml_reader import read_yaml

from ..fuzz.examples import (
    BLOB,
    COMMIT,
    FINBERT,
    LOCKFILE,
    METADATA,
    METADATA_TEXT,
    MINILM,
    OTHER_COMMIT,
    OTHER_METADATA_TEXT,
    SHA,
    WEIGHTS,
)
from ..fuzz.mutations import FORMATS, check, damage
from ..fuzz.strategies import metadata
from ..growth import assert_linear

MEGABYTE = 2**20


def error_of(text: str) -> LockfileError:
    with pytest.raises(LockfileError) as caught:
        parse_metadata(text, "/app/models/model-metadata.yaml")
    return caught.value


def test_the_example_is_written_and_read() -> None:
    assert format_metadata(METADATA) == METADATA_TEXT
    assert parse_metadata(METADATA_TEXT, "model-metadata.yaml") == METADATA


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None, max_examples=60)
@given(metadata())
@pytest.mark.slow
def test_what_is_written_is_read_back_and_is_the_same_yaml(volume: VolumeMetadata) -> None:
    text = format_metadata(volume)
    again = parse_metadata(text, "model-metadata.yaml")
    assert repr(again) == repr(volume)  # not only ==, for which 1 is True and 1.0
    assert format_metadata(again) == text
    assert repr(read_yaml(text).value) == repr(yaml.safe_load(text))


def test_an_empty_volume_is_read_back() -> None:
    assert parse_metadata(format_metadata(VolumeMetadata()), "model-metadata.yaml") == VolumeMetadata()


def test_blank_lines_and_comments_are_ignored() -> None:
    text = METADATA_TEXT.replace("models:\n", "\n# ours\nmodels:\n    # the first\n\n", 1)
    assert parse_metadata(text, "model-metadata.yaml") == METADATA


def test_the_same_values_in_another_layout_are_the_same_metadata() -> None:
    assert parse_metadata(OTHER_METADATA_TEXT, "model-metadata.yaml") == METADATA


@pytest.mark.parametrize(
    ("old", "new", "line", "message"),
    [
        ("version: 1\n", "", 2, "the key 'version' is missing"),
        ('"ProsusAI/finbert"\n  task', '"/finbert"\n  task', 6, "a path must not be absolute"),
        ("768", "768, other: .inf", 8, "invalid value"),
        ("768", "768, no: 1", 8, "invalid name of a fact"),
        ("'positive'", "1", 9, "invalid value of a fact"),
        (f"'{BLOB}'", "'b'", 15, "invalid blob_id"),
        (f"\n    sha256: '{WEIGHTS}'", "\n    sha256: ''", 19, "invalid sha256"),
        ("alias: 'minilm'", "alias: ''", 22, "invalid text"),
        ('"size": 0', '"size": -1', 31, "invalid size"),
    ],
)
def test_an_invalid_value_in_another_layout_is_an_error_with_its_line(
    old: str, new: str, line: int, message: str
) -> None:
    assert old in OTHER_METADATA_TEXT
    text = str(error_of(OTHER_METADATA_TEXT.replace(old, new, 1)))
    assert text.startswith(f"/app/models/model-metadata.yaml:{line}: "), text
    assert message in text


@pytest.mark.parametrize(
    ("old", "new", "line", "message"),
    [
        ("version: 1", "version: 2", 3, "unknown version of the file"),
        ("version: 1", 'version: "1"', 3, "wrong version"),
        ("version: 1\n", "", 3, "the key 'version' is missing"),
        ("version: 1", "%YAML 1.1", 4, "not valid YAML: did not find expected <document start>"),
        ("version: 1", "version: 1\n---\nversion: 1", 4, "a second document"),
        ("version: 1", " version: 1", 4, "not valid YAML: did not find expected <document start>"),
        ("version: 1", "version: 1.0 # ours", 3, "wrong version"),
        ("version: 1", "version: 2 # ours", 3, "unknown version of the file"),
        ("models:", "models: &anchor", 4, "invalid value"),
        ("models:", "models: !!seq", 4, "invalid value"),
        ("models:", "models: *anchor", 4, "invalid value"),
        ("models:", "models: " + "[" * 5000, 4, "not valid YAML: exceeded maximum nesting depth"),
        ("models:", "models: " + "[" * 8, 4, "nested too deeply"),
        ("models:", "other:", 4, "unknown key"),
        ("models:", "models: 1\nother:", 5, "unknown key"),
        ("models:", "models:\n  finbert:", 4, "wrong kind of value"),
        ("models:", "models: 1\n? [1]\n:", 5, "invalid key"),
        ("models:", "models:\n  - 7", 5, "wrong kind of value"),
        ("models:", "models:\n  - - 7", 5, "wrong kind of value"),
        ('  - alias: "finbert"', '  - <<: "x"\n    alias: "finbert"', 5, "unknown key"),
        ('  - alias: "finbert"', '  - ! alias: "finbert"', 5, "no anchor, no alias and no tag"),
        ('  - alias: "finbert"', '  - &a alias: "finbert"', 5, "no anchor, no alias and no tag"),
        ('alias: "finbert"', "alias: finbert", 5, "invalid value"),
        ('alias: "finbert"', "alias: |\n      finbert", 5, "invalid value"),
        ('alias: "finbert"', 'alias: "minilm"', 31, "two models have the same alias"),
        ('alias: "finbert"', 'alias: "fin bert"', 5, "not a valid model name"),
        ('"ProsusAI/finbert"', '"ProsusAI/"', 6, "not a valid model name"),
        ('folder: "ProsusAI/finbert"', 'folder: "../finbert"', 7, "a path must not point outside of its folder"),
        ('folder: "ProsusAI/finbert"', 'folder: "/etc"', 7, "a path must not be absolute"),
        ('folder: "ProsusAI/finbert"', f'folder: "{MINILM.repo}"', 33, "one folder cannot contain two models"),
        ('    folder: "ProsusAI/finbert"\n', "", 5, "the key 'folder' is missing"),
        (COMMIT, COMMIT[:-1], 8, "invalid commit"),
        ('    task: "sentiment"\n', '    task: "sentiment"\n    task: "ner"\n', 10, "duplicate key"),
        ('"sentiment"', '"sentimental"', 9, "unknown task"),
        ('"sentiment"', "null", 9, "invalid value"),
        ('"sentiment"', '"sentiment', 9, "invalid value"),
        ('"sentiment"', '"\\x41"', 9, "unknown task 'A'"),
        ('"sentiment"', '"\\z"', 9, "not valid YAML: found unknown escape character"),
        ('"sentiment"', '"sentiment" "ner"', 9, "not valid YAML: did not find expected key"),
        ('"sentiment"', "@", 9, "not valid YAML: found character that cannot start any token"),
        ('"sentiment"', '"\\uD800"', 9, "not valid YAML: found invalid Unicode character escape code"),
        ('task: "sentiment"', "task:", 9, "invalid value"),
        ('task: "sentiment"', 'task:\n      - "ner"', 9, "invalid text"),
        ("facts:", "facts: []", 11, "not valid YAML: did not find expected key"),
        ("1.0e-05", ".nan", 13, "invalid value"),
        ("1.0e-05", "1.0e+999", 13, "invalid value of a fact"),
        ("hidden_size: 768", "hidden_size: 1979-05-27", 14, "invalid value"),
        ("hidden_size: 768", "hidden_size:\n        a: 1", 14, "invalid value of a fact"),
        ("hidden_size: 768", "no: 768", 14, "invalid name of a fact"),
        ('- "positive"', "- 1", 17, "invalid value of a fact"),
        ("problems: []", "problems: {}", 21, "invalid value of a fact"),
        ('"config.json"', '"a/../../b"', 23, "a path must not point outside of its folder"),
        ("758", "-1", 24, "invalid size"),
        ("758", "9" * 5000, 24, "invalid value"),
        ("758", "0x10", 24, "invalid value"),
        ("758", "12:30", 24, "invalid value"),
        ("        size: 758", "       size: 758", 24, "not valid YAML: did not find expected '-' indicator"),
        ("        size: 758", "\tsize: 758", 24, "the file contains an invisible character"),
        (SHA, SHA.upper(), 25, "invalid sha256"),
        (BLOB, "g" * 40, 26, "invalid blob_id"),
        ('"model.safetensors"', '"config.json"', 27, "two files have the same path"),
        ('"v2.0"', '"v2 0"', 34, "not a valid revision"),
        ("Stärke", "Stär\u2028ke", 20, "the file contains an invisible character"),
        ("version: 1\n", "version: 1\r\n", 3, "the file contains an invisible character"),
    ],
)  # fmt: skip
def test_each_invalid_value_is_an_error_with_its_line(old: str, new: str, line: int, message: str) -> None:
    assert old in METADATA_TEXT
    text = str(error_of(METADATA_TEXT.replace(old, new, 1)))
    assert text.startswith(f"/app/models/model-metadata.yaml:{line}: "), text
    assert message in text
    assert "what to do: " in text
    assert len(text) < 1000


def test_the_error_says_what_was_expected_found_and_what_to_do() -> None:
    assert str(error_of(METADATA_TEXT.replace("758", "0o7"))) == (
        "/app/models/model-metadata.yaml:24: invalid value\n"
        "  expected: text in double quotes, a number, true or false\n"
        "  found: '0o7'\n"
        "  what to do: run `modelenv pull --to` to write a new one"
    )


@pytest.mark.parametrize("text", ["", "\n\n", "# nothing\n"])
def test_an_empty_file_is_an_error(text: str) -> None:
    assert str(error_of(text)).startswith("/app/models/model-metadata.yaml:1: the file is empty")


def test_a_text_that_ends_within_a_value_is_an_error_with_its_last_line() -> None:
    for rest in ("{a:", "[", '"'):
        error = error_of(f"version: 1\nmodels: {rest}")
        assert str(error).startswith("/app/models/model-metadata.yaml:2: not valid YAML"), rest


def test_a_newer_version_needs_a_newer_modelenv_whatever_the_rest_of_the_file() -> None:
    error = error_of("# newer\nversion: 7\nmodels: {a: b}\n")
    assert str(error).startswith("/app/models/model-metadata.yaml:2: unknown version of the file")
    assert error.hint == "upgrade modelenv"


def test_deeply_nested_keys_are_refused() -> None:
    assert "nested too deeply" in str(error_of("\n".join("  " * level + "a:" for level in range(1000))))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"version: 1\n\n# \xff\n", ":3: not valid UTF-8"),
        (b"\xef\xbb\xbf#\nversion: 1\n", ":1: the file starts with a byte order mark"),
        (b"#" * (LARGEST + 1), ":1: the file is too large"),
        (b"version: 1\nmodels:\n  - alias: \x1b[31m\n", ":3: the file contains an invisible character"),
    ],
)
def test_bytes_that_are_not_text_are_an_error_with_their_line(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "model-metadata.yaml"
    path.write_bytes(content)
    with pytest.raises(LockfileError) as caught:
        read_metadata(path)
    assert str(caught.value).startswith(f"{path}{message}")
    assert "run `modelenv pull --to` to write a new one" in str(caught.value)


def test_the_same_metadata_is_not_written_again(tmp_path: Path) -> None:
    path = tmp_path / "model-metadata.yaml"
    assert write_metadata(path, METADATA)
    os.utime(path, ns=(1, 1))
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    assert not write_metadata(path, METADATA)
    assert path.stat().st_mtime_ns == 1
    assert read_metadata(path) == METADATA


def test_a_model_is_found_as_in_the_lock() -> None:
    finbert, minilm = METADATA.models
    assert METADATA.lockfile == LOCKFILE
    assert METADATA.by_alias("minilm") == minilm
    assert METADATA.by_alias("other") is None
    assert METADATA.find("ProsusAI/finbert") == finbert
    assert METADATA.find(MINILM.repo, OTHER_COMMIT) == minilm
    assert METADATA.find("ProsusAI/finbert", "main") is None


def test_two_aliases_can_share_a_folder_only_at_one_commit() -> None:
    one, other = VolumeModel(FINBERT, "a"), VolumeModel(replace(FINBERT, alias="other"), "a")
    assert VolumeMetadata((other, one)).models == (one, other)
    with pytest.raises(LockedValueError, match="one folder cannot contain two models") as caught:
        VolumeMetadata((one, VolumeModel(replace(FINBERT, alias="other", commit="a" * 40), "a")))
    assert caught.value.where == ("models", 1, "folder")


def test_values_are_hashable_and_cross_processes() -> None:
    again = pickle.loads(pickle.dumps(METADATA))
    assert again == METADATA
    assert hash(again) == hash(METADATA)


@pytest.mark.parametrize("seed", range(4))
def test_random_damage_gives_metadata_or_a_lockfile_error(seed: int) -> None:
    random, form = Random(seed), FORMATS["metadata"]
    for example in (form.example, OTHER_METADATA_TEXT.encode()):
        accepted = sum(check(form, damage(example, random)) for _ in range(500))
        assert 0 < accepted < 250


@pytest.fixture
def loader_in_python(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(yaml, "CSafeLoader", raising=False)


@pytest.mark.usefixtures("loader_in_python")
def test_a_pyyaml_without_the_c_loader_reads_the_same() -> None:
    assert parse_metadata(METADATA_TEXT, "model-metadata.yaml") == METADATA
    assert parse_metadata(OTHER_METADATA_TEXT, "model-metadata.yaml") == METADATA
    random, form = Random(5), FORMATS["metadata"]
    assert sum(check(form, damage(form.example, random)) for _ in range(100)) < 50


@pytest.mark.usefixtures("loader_in_python")
@pytest.mark.parametrize(
    ("old", "new", "line", "message"),
    [
        ("models:", "models: " + "[" * 5000, 4, "nested too deeply"),
        ('"sentiment"', '"\\uD800"', 9, "invalid text"),
        ('"sentiment"', '"\\U00110000"', 9, "not valid YAML: chr() arg not in range"),
        ('"sentiment"', '"\\UFFFFFFFF"', 9, "not valid YAML: "),
        ('- "positive"', '- "\\UFFFFFFFF"', 17, "not valid YAML: "),
        ("version: 1", f"%YAML {'9' * 5000}.1\n---\nversion: 1", 3, "not valid YAML: Exceeds the limit"),
    ],
)
def test_each_error_of_the_python_loader_is_an_error_with_its_line(
    old: str, new: str, line: int, message: str
) -> None:
    text = str(error_of(METADATA_TEXT.replace(old, new, 1)))
    assert text.startswith(f"/app/models/model-metadata.yaml:{line}: "), text
    assert message in text
    assert len(text) < 1000


@pytest.mark.parametrize(
    "part",
    ["- ", "a:\n", "a: 1\n", '"', "[", "{a: ", "&a ", "*a ", "\\", "  ", "\n", "#", '  - "a"\n', "  - a: 1\n", "1",
     '  - alias: "\\u0041"\n', '      - path: "a"\n', '        - "x"\n'],
)  # fmt: skip
@pytest.mark.slow
def test_a_megabyte_of_anything_takes_eight_times_as_long_as_an_eighth_of_it(part: str) -> None:
    ends = ("", "\0") if part not in ("  ", "\n", "#") else ("\0",)
    for start in ("", "version: 1\nmodels:\n", METADATA_TEXT, METADATA_TEXT[: METADATA_TEXT.index('        - "no"')]):
        for end in ends:
            small, large = (start + part * (size // len(part)) + end for size in (MEGABYTE // 8, MEGABYTE))
            assert_linear(error_of, small, large, times=8)


def test_the_time_to_read_grows_with_the_number_of_models() -> None:
    files = tuple(LockedFile(f"onnx/{index}.json", 1, SHA, BLOB) for index in range(12))
    models = [LockedModel(f"m{index}", f"a/m{index}", None, COMMIT, None, files) for index in range(200)]
    volumes = [
        VolumeMetadata(tuple(VolumeModel(model, model.repo) for model in models[:count])) for count in (25, 200)
    ]
    assert [parse_metadata(format_metadata(volume), "model-metadata.yaml") for volume in volumes] == volumes
    assert_linear(lambda text: parse_metadata(text, "model-metadata.yaml"), *map(format_metadata, volumes), times=8)
