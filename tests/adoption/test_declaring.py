"""Which models are declared, for what was asked for and what the Hub has."""

from __future__ import annotations

import pytest

from modelenv.adoption.declaring import Contents, Use, merge_commits, names_of_commits, new_declarations, summarize
from modelenv.adoption.records import Asked
from modelenv.environment.project import Alias
from modelenv.locks.project_lock import Lockfile
from modelenv.locks.values import LockedFile, LockedModel
from modelenv.references import ModelRef

COMMIT, OTHER = "a" * 40, "b" * 40
TINY = ModelRef("acme/Tiny.v2")
MODEL = frozenset({"config.json", "model.safetensors", "tokenizer.json", "README.md", "onnx/model.onnx"})


def declared(*asked: str, ref: ModelRef = TINY, there: frozenset[str] = MODEL, **before: Alias) -> dict[str, Alias]:
    return new_declarations({ref: Use(set(asked))}, {ref: Contents(COMMIT, there)}, before)


def test_a_model_whose_weights_are_loaded_is_declared_as_a_whole() -> None:
    assert declared("config.json", "model.safetensors", "no.json") == {"tiny-v2": Alias(TINY)}


def test_a_model_whose_weights_are_not_loaded_is_declared_with_the_files() -> None:
    assert declared("tokenizer.json", "no.json") == {"tiny-v2": Alias(TINY, files=("no.json", "tokenizer.json"))}


def test_files_that_a_lock_does_not_take_by_itself_are_declared_beside_it() -> None:
    assert declared("model.safetensors", "README.md", "onnx/model.onnx") == {
        "tiny-v2": Alias(TINY),
        "tiny-v2-files": Alias(TINY, files=("README.md", "onnx/model.onnx")),
    }


def test_a_repo_that_a_lock_refuses_is_declared_with_the_files() -> None:
    there = frozenset({"a.gguf", "b.gguf", "config.json"})
    assert declared("a.gguf", there=there) == {"tiny-v2": Alias(TINY, files=("a.gguf",))}


def test_names_with_the_characters_of_patterns() -> None:
    assert declared("a[1]*.txt", there=frozenset({"a[1]*.txt"}))["tiny-v2"].files == ("a[[]1][*].txt",)


@pytest.mark.parametrize(
    ("there", "files"), [(MODEL, ("config.json",)), (frozenset({"x", "y"}), ("x",)), (frozenset[str](), None)]
)
def test_a_repo_of_which_only_the_information_is_requested(
    there: frozenset[str], files: tuple[str, ...] | None
) -> None:
    assert declared(there=there) == ({} if files is None else {"tiny-v2": Alias(TINY, files=files)})


@pytest.mark.parametrize(
    "before",
    [{"mine": Alias(TINY)}, {"mine": Alias(ModelRef(TINY.repo_id, "main"))}, {"mine": Alias(TINY, files=("*",))}],
)
def test_a_declared_model_is_not_declared_again(before: dict[str, Alias]) -> None:
    assert declared("config.json", "model.safetensors", **before) == {}


def test_files_that_a_declaration_does_not_have() -> None:
    before = Alias(TINY, files=("*.json",))
    assert declared("config.json", "README.md", mine=before) == {"tiny-v2-files": Alias(TINY, files=("README.md",))}


def test_what_was_declared_once_is_not_declared_again() -> None:
    asked = ("model.safetensors", "README.md")
    assert declared(*asked, **declared(*asked)) == {}


def test_names_that_are_taken() -> None:
    before = {"tiny-v2": Alias(ModelRef("acme/other")), "acme-tiny-v2": Alias(ModelRef("acme/third"))}
    assert list(declared("model.safetensors", **before)) == ["acme-tiny-v2-2"]


def test_each_revision_has_its_own_name() -> None:
    names = [
        name
        for revision in ("v1.0", "refs/pr/1", COMMIT)
        for name in declared("model.safetensors", ref=ModelRef("gpt2", revision))
    ]
    assert names == ["gpt2-v1-0", "gpt2-refs-pr-1", "gpt2-aaaaaaaaaaaa"]


def test_a_commit_belongs_to_the_branch_that_stands_for_it() -> None:
    by_commit, by_other = ModelRef(TINY.repo_id, COMMIT), ModelRef(TINY.repo_id, OTHER)
    names = names_of_commits(Lockfile(), {TINY: Contents(COMMIT, MODEL), by_other: Contents(OTHER, MODEL)})
    models = {
        by_commit: Use({"a"}, {"t1"}, 1),
        TINY: Use({"b"}, {"t1", "t2"}, 2),
        by_other: Use({"c"}, {"t3"}, 4),
    }
    assert merge_commits(models, names) == {
        TINY: Use({"a", "b"}, {"t1", "t2"}, 3),
        by_other: Use({"c"}, {"t3"}, 4),
    }


@pytest.mark.parametrize("revision", [None, "main"])
def test_a_locked_commit_belongs_to_what_is_declared(revision: str | None) -> None:
    """If the lock answers already, only the commit is seen."""
    files = (LockedFile("config.json", 1, "0" * 64, "1" * 40),)
    lock = Lockfile(
        (
            LockedModel("tiny", TINY.repo_id, revision, COMMIT, None, files),
            LockedModel("pinned", TINY.repo_id, OTHER, OTHER, None, files),
        )
    )
    models = {ModelRef(TINY.repo_id, COMMIT): Use({"a"}), ModelRef(TINY.repo_id, OTHER): Use({"b"})}
    merged = merge_commits(models, names_of_commits(lock, {}))
    assert merged == {TINY: Use({"a"}), ModelRef(TINY.repo_id, OTHER): Use({"b"})}


def test_what_was_asked_is_sorted_into_models_and_leftovers() -> None:
    found = summarize(
        [
            Asked("t1", "model", "acme/m", "main", "config.json", is_request=True),
            Asked("t2", "model", "acme/m", None, "config.json"),
            Asked("t2", "model", "acme/m", "v1"),
            Asked("t2", "model", "../m", "v1"),
            Asked("t2", "dataset", "acme/d", None, "a.csv"),
            Asked("t2", "dataset", "acme/d", "main", "a.csv", is_request=True),
            Asked("t2", "model", "acme/m", "main", "config.json", is_request=True, by_client=False),
            Asked("t2", url="https://huggingface.co/api/models", is_request=True),
            Asked("t2", url="https://huggingface.co/api/agent-harnesses", is_request=True),
        ]
    )
    assert found.models == {
        ModelRef("acme/m"): Use({"config.json"}, {"t1", "t2"}, 1),
        ModelRef("acme/m", "v1"): Use(set(), {"t2"}, 0),
    }
    assert found.leftovers == {
        "acme/m: requested by an HTTP client other than that of huggingface_hub": 1,
        "https://huggingface.co/api/models: only requests about one model are answered": 1,
        "the dataset acme/d: only models are locked": 1,
    }
