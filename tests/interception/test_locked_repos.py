"""Which revisions a lock answers for, and which files a locked commit certainly lacks."""

from __future__ import annotations

import pytest

from modelenv.interception.locked_repos import LockedRepos
from modelenv.locks.project_lock import Lockfile
from modelenv.locks.values import LockedFile, LockedModel

ONE, TWO = "1" * 40, "2" * 40


def model(alias: str, commit: str, revision: str | None, *paths: str, patterns: tuple[str, ...] = ()) -> LockedModel:
    files = tuple(LockedFile(path, 1, "a" * 64, "b" * 40) for path in paths)
    return LockedModel(alias, "acme/model", revision, commit, None, files, patterns)


@pytest.mark.parametrize("revision", [None, "main"])
def test_the_default_branch_is_main(revision: str | None) -> None:
    repos = LockedRepos(Lockfile((model("a", ONE, revision, "config.json"),)))
    for asked in (None, "main", ONE):
        found = repos.find("acme/model", asked)
        assert found is not None
        assert found.model.commit == ONE
    assert repos.find("acme/model", "v1") is None
    assert repos.find("acme/model", TWO) is None
    assert repos.find("acme/other", None) is None
    assert repos.revisions("acme/model") == ("main",)


def test_each_locked_revision_has_its_commit() -> None:
    repos = LockedRepos(Lockfile((model("a", ONE, "v1", "config.json"), model("b", TWO, None, "config.json"))))
    found = {revision: repos.find("acme/model", revision) for revision in (None, "main", "v1", ONE, TWO)}
    commits = {revision: each and each.model.commit for revision, each in found.items()}
    assert commits == {None: TWO, "main": TWO, "v1": ONE, ONE: ONE, TWO: TWO}
    assert repos.revisions("acme/model") == ("main", "v1")


def test_full_names_and_short_commits_are_the_same_revisions() -> None:
    other = "1" * 7 + "3" * 33
    locked = (("a", ONE, "v1"), ("b", TWO, None), ("c", other, "1111111"))
    repos = LockedRepos(Lockfile(tuple(model(*each, "config.json") for each in locked)))
    found = {
        revision: (each := repos.find("acme/model", revision)) and each.model.commit
        for revision in (
            "refs/heads/main", "refs/heads/v1", "refs/tags/v1", "refs/tags/main", "2" * 7, "2" * 6, "1" * 8,
            "1" * 7, "1" * 7 + "3", "2" * 7 + "x", "refs/pr/1",
        )
    }  # fmt: skip
    assert found == {
        "refs/heads/main": TWO, "refs/heads/v1": ONE, "refs/tags/v1": ONE, "refs/tags/main": None, "2" * 7: TWO,
        "2" * 6: None, "1" * 8: ONE, "1" * 7: other, "1" * 7 + "3": other, "2" * 7 + "x": None, "refs/pr/1": None,
    }  # fmt: skip


def test_the_case_of_a_repo_id_does_not_matter() -> None:
    repos = LockedRepos(Lockfile((model("a", ONE, None, "config.json"),)))
    for spelling in ("Acme/Model", "acme/MODEL"):
        found = repos.find(spelling, ONE[:9])
        assert found is not None
        assert found.model.repo == "acme/model"
        assert repos.revisions(spelling) == ("main",)


def test_models_at_the_same_commit_share_their_files() -> None:
    models = model("a", ONE, None, "config.json"), model("b", ONE, None, "x.onnx", patterns=("*.onnx",))
    found = LockedRepos(Lockfile(models)).find("acme/model", None)
    assert found is not None
    assert sorted(found.files) == ["config.json", "x.onnx"]


@pytest.mark.parametrize(
    ("files", "absent", "unknown"),
    [
        (
            ("config.json", "model.safetensors"),
            ("adapter_config.json", "chat_template.jinja", "a/config.json", "tokenizer.model"),
            ("README.md", "pytorch_model.bin", "model.safetensors.index.json", "a/model.safetensors", "x.onnx"),
        ),
        (
            ("config.json", "model.safetensors.index.json", "model-00001-of-00001.safetensors"),
            ("model.safetensors", "adapter_model.safetensors"),
            ("pytorch_model.bin", "tf_model.h5", "onnx/config.json"),
        ),
        (("config.json", "modules.json", "0/model.safetensors"), ("model.safetensors",), ("1/model.safetensors",)),
        (("config.json", "weights.gguf"), (), ("README.md",)),
    ],
)
def test_a_file_is_absent_if_the_lock_would_have_it(
    files: tuple[str, ...], absent: tuple[str, ...], unknown: tuple[str, ...]
) -> None:
    found = LockedRepos(Lockfile((model("a", ONE, None, *files),))).find("acme/model", None)
    assert found is not None
    assert {path: found.is_absent(path) for path in (*files, *absent, *unknown)} == {
        **dict.fromkeys(files, False), **dict.fromkeys(absent, True), **dict.fromkeys(unknown, False),
    }  # fmt: skip


def test_with_patterns_a_file_is_absent_if_it_matches_one() -> None:
    models = (model("a", ONE, None, "x.onnx", patterns=("*.onnx",)),)
    found = LockedRepos(Lockfile(models)).find("acme/model", None)
    assert found is not None
    assert [found.is_absent(path) for path in ("y.onnx", "x.onnx", "config.json")] == [True, False, False]
