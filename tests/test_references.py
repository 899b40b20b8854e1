"""Model names: which are rejected, and that no accepted name leads out of its folder."""

from __future__ import annotations

import importlib
import os
import string
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelenv.errors import ConfigurationError
from modelenv.files.layouts import cache_folders, plain_folders
from modelenv.references import ModelRef

COMMIT = "0123456789abcdef0123456789abcdef01234567"
# Mostly characters that are valid or invalid in names, and sometimes any text.
ALPHABET = st.sampled_from(string.ascii_letters + string.digits + "-_./" + "..//--__~\\\0\n é")
NAMES = st.text(ALPHABET, max_size=12) | st.text(max_size=8) | st.sampled_from(["x.git", "a" * 96, "a" * 97])
ROOT = Path("/srv/models")
fuzz = settings(deadline=None, database=None, max_examples=200)


def refuse(name: object, revision: object = None) -> str:
    with pytest.raises(ConfigurationError) as caught:
        ModelRef.parse(name, revision)  # type: ignore[arg-type]
    return str(caught.value)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("", "a model's name must not be empty"),
        (" \t", "a model's name must not be empty"),
        ("a\0b", "a model's name must not contain NUL or a backslash"),
        ("..\\etc", "a model's name must not contain NUL or a backslash"),
        ("../etc", "a model's name must not point outside of its folder"),
        ("org/..", "a model's name must not point outside of its folder"),
        ("a..b", "a model's name must not point outside of its folder"),
        ("/etc/passwd", "a model's name must not point outside of its folder"),
        ("~/models", "a model's name must not point outside of its folder"),
        ("a" * 97, "a model's name must have at most 96 characters"),
        ("a/b/c", "not a valid model name"),
        ("a--b", "not a valid model name"),
        ("org/", "not a valid model name"),
        ("a//b", "not a valid model name"),
        ("./a", "not a valid model name"),
        (".", "not a valid model name"),
        ("trailing.", "not a valid model name"),
        ("org./name", "not a valid model name"),
        ("trailing-", "not a valid model name"),
        ("-option", "not a valid model name"),
        (".hidden", "not a valid model name"),
        ("org/name.git", "not a valid model name"),
        ("café", "not a valid model name"),
        ("文件夹/模型", "not a valid model name"),
        ("a b", "not a valid model name"),
        ("name\n", "not a valid model name"),
        ("org/name@main", "not a valid model name"),
        ("https:name", "not a valid model name"),
        ("C:name", "not a valid model name"),
        (None, "a model's name must be text"),
        (7, "a model's name must be text"),
        (Path("org/name"), "a model's name must be text"),
    ],
)
def test_an_invalid_name_is_rejected_with_a_reason(name: object, text: str) -> None:
    message = refuse(name)
    assert message.splitlines() == [
        text,
        f"  found: {name!r}",
        "  what to do: use the model's name on the Hub, 'organisation/name' or 'name', or an alias from "
        "[tool.modelenv.models]",
    ]


@pytest.mark.parametrize(
    "name",
    [
        "gpt2",
        "ProsusAI/finbert",
        "sentence-transformers/all-MiniLM-L6-v2",
        "mistralai/Mistral-7B-v0.1",
        "_leading/name_",
        "a",
        "a" * 96,
        "org/x.y_z-1",
    ],
)
def test_a_valid_name_is_accepted(name: str) -> None:
    assert str(ModelRef.parse(name)) == name


def test_a_reference_cannot_have_an_invalid_name() -> None:
    with pytest.raises(ConfigurationError, match="point outside of its folder"):
        ModelRef("../etc")
    with pytest.raises(ConfigurationError, match="not a valid revision"):
        ModelRef("org/name", "../etc")


@pytest.mark.parametrize("revision", ["", "../x", "a..b", "/main", "-x", ".x", "x/", "a b", "a\0", "é", "r" * 201, 7])
def test_an_invalid_revision_is_rejected(revision: object) -> None:
    assert refuse("org/name", revision).splitlines() == [
        "org/name: not a valid revision",
        "  expected: a branch, a tag, or a commit of 40 hexadecimal digits",
        f"  found: {revision!r}",
    ]


@pytest.mark.parametrize("revision", ["main", "v1.0", "refs/pr/1", "feature/a-b_c", "v1.0+cpu", "r" * 200])
def test_a_branch_or_a_tag_can_move(revision: str) -> None:
    ref = ModelRef.parse("org/name", revision)
    assert (str(ref), ref.is_commit) == (f"org/name@{revision}", False)


def test_only_a_full_commit_id_never_moves() -> None:
    assert ModelRef.parse("org/name", COMMIT).is_commit
    assert not ModelRef.parse("org/name", COMMIT[:7]).is_commit
    assert not ModelRef.parse("org/name").is_commit


def test_the_parts_of_a_name() -> None:
    assert (ModelRef.parse("org/name").organisation, ModelRef.parse("org/name").name) == ("org", "name")
    assert (ModelRef.parse("name").organisation, ModelRef.parse("name").name) == (None, "name")


def accepted(name: str) -> ModelRef | None:
    try:
        return ModelRef.parse(name)
    except ConfigurationError:
        return None


@fuzz
@given(NAMES)
def test_no_accepted_name_leads_out_of_a_folder(name: str) -> None:
    ref = accepted(name)
    if ref is None:
        return
    for folder in (
        *(cache.path for cache in cache_folders(ROOT, ref)),
        *(path for _, path in plain_folders(ROOT, ref)),
    ):
        assert os.path.normpath(folder) == str(folder)
        assert folder.is_relative_to(ROOT)
        assert folder != ROOT


@fuzz
@given(st.text(ALPHABET, max_size=12))
def test_no_accepted_revision_leads_out_of_its_folder(revision: str) -> None:
    try:
        ref = ModelRef.parse("org/name", revision)
    except ConfigurationError:
        return
    assert Path(os.path.normpath(ROOT / str(ref.revision))).is_relative_to(ROOT)


@pytest.fixture(scope="module")
def hub_accepts() -> object:
    """The name check of the Hub's client."""
    validators = importlib.import_module("huggingface_hub.utils._validators")

    def accepts(name: str) -> bool:
        try:
            validators.validate_repo_id(name)
        except validators.HFValidationError:
            return False
        return True

    return accepts


@fuzz
@given(name=NAMES)
def test_we_and_the_client_of_the_hub_agree(hub_accepts: object, name: str) -> None:
    assert callable(hub_accepts)
    if len(name) <= 96:
        assert (accepted(name) is not None) == hub_accepts(name)
    else:
        assert accepted(name) is None
