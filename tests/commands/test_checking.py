"""The output of `modelenv verify`, `list`, `prune` and `doctor`."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

import pytest

from modelenv.locks.project_lock import read_lockfile

from .conftest import Project


def commit(project: Project, alias: str = "first") -> str:
    locked = read_lockfile(project.folder / "modelenv.lock").by_alias(alias)
    assert locked is not None
    return locked.commit


def snapshot(project: Project, alias: str = "first") -> Path:
    return project.cache / f"models--acme--{alias}" / "snapshots" / commit(project, alias)


@pytest.mark.slow
def test_verify_a_cache(filled: Project) -> None:
    short = commit(filled)[:12]
    second = commit(filled, "second")[:12]
    assert filled.lines("verify") == [
        f"first ({short}): as locked, unchanged",
        f"second ({second}): as locked, unchanged",
        "PROJECT/cache: 2 models, all fine",
    ]
    size = sum(path.stat().st_size for path in snapshot(filled).iterdir())
    assert filled.lines("verify", "--full", "first")[0] == f"first ({short}): as locked, {size} B hashed"
    (snapshot(filled) / "model.safetensors").resolve().write_bytes(b"damaged")
    (snapshot(filled, "second") / "config.json").unlink()
    [damaged, missing] = filled.json("verify", code=1)["models"]
    assert [(each["kind"], each["path"]) for each in damaged["differences"]] == [("changed", "model.safetensors")]
    assert [(each["kind"], each["path"]) for each in missing["differences"]] == [("missing", "config.json")]
    lines = filled.lines("verify", code=1)
    where = str(snapshot(filled)).replace(str(filled.folder), "PROJECT")
    assert lines[:2] == [
        f"first ({short}): 1 difference in {where}",
        "  changed model.safetensors: expected 134 bytes, found 7 bytes",
    ]
    assert lines[-2:] == ["PROJECT/cache: 2 models, 2 with problems", "to fix: modelenv pull"]
    filled.run("pull")
    assert filled.lines("verify")[-1] == "PROJECT/cache: 2 models, all fine"


def test_verify_reports_missing_models(locked: Project) -> None:
    lines = locked.lines("verify", "second", code=1)
    assert lines[0].startswith(
        f"second ({commit(locked, 'second')[:12]}): missing in PROJECT/cache/models--acme--second"
    )
    shutil.copytree(locked.repos / "second", locked.folder / "other/acme/second")  # a folder copied by hand
    lines = locked.lines("verify", "--cache-dir", str(locked.folder / "other"), code=1)
    assert lines[1].startswith(f"second ({commit(locked, 'second')[:12]}): as locked, ")
    assert lines[2:] == [
        "PROJECT/other: 2 models, 1 with problems",
        "to fix: modelenv pull --cache-dir PROJECT/other",
    ]


@pytest.mark.slow
def test_verify_full_finds_a_change_that_kept_size_and_time(filled: Project) -> None:
    blob = (snapshot(filled) / "model.safetensors").resolve()
    state, content = blob.stat(), blob.read_bytes()
    blob.write_bytes(content[:-1] + b"x")
    os.utime(blob, ns=(state.st_atime_ns, state.st_mtime_ns))
    filled.run("verify")  # not found, as documented: size, time and inode are unchanged
    assert filled.lines("verify", "--full", code=1)[-2] == "PROJECT/cache: 2 models, 1 with problems"


@pytest.mark.slow
def test_verify_a_volume(filled: Project, tmp_path: Path) -> None:
    volume = str(tmp_path / "volume")
    assert filled.run("verify", "--volume", volume, code=1) == (
        f"error: {volume}/model-metadata.yaml: modelenv's metadata is missing, so this volume is not complete\n"
        f"  what to do: fill it with `modelenv pull --to {volume}`\n"
    )
    filled.run("pull", "--to", volume)
    assert filled.lines("verify", "--volume", volume)[-1] == f"{volume}: 2 models, all fine"
    (tmp_path / "volume/acme/first/extra.py").write_text("print('not locked')")
    lines = filled.lines("verify", "--volume", volume, code=1)
    assert lines[1] == "  extra extra.py: found a file that is not locked"
    assert lines[-1] == f"to fix: modelenv pull --to {volume}"
    filled.push("second", newer=True)
    filled.run("lock", "--upgrade", "second")
    found = filled.json("verify", "--volume", volume, code=1)["models"]
    new = commit(filled, "second")
    assert [each["problem"] for each in found] == [None, f"stale (the lock names commit {new[:12]})"]


@pytest.mark.slow
def test_verify_without_a_lock_compares_with_the_hubs_hashes(project: Project) -> None:
    assert project.lines("verify") == ["PROJECT/cache: no models to verify"]
    project.run("pull")
    assert project.lines("verify")[-1] == "PROJECT/cache: 2 models, all fine"
    [folder] = (project.cache / "models--acme--first/snapshots").iterdir()
    (folder / "config.json").resolve().write_text("[]")
    assert re.match("  changed blobs/[0-9a-f]{40}: expected hash ", project.lines("verify", code=1)[1])


@pytest.mark.slow
def test_verify_without_a_lock_takes_repo_ids_in_the_cache(project: Project) -> None:
    project.run("pull", "second")
    assert project.lines("verify", "acme/second")[-1] == "PROJECT/cache: 1 model, all fine"
    assert project.lines("verify", "nosuch", code=1) == [
        "error: unknown model name",
        "  expected: one of acme/second",
        "  found: nosuch",
    ]


@pytest.mark.slow
def test_every_command_reports_a_link_out_of_the_cache(filled: Project, tmp_path: Path) -> None:
    link = snapshot(filled) / "config.json"
    (tmp_path / "outside.json").write_bytes(link.read_bytes())
    link.unlink()
    link.symlink_to(tmp_path / "outside.json")
    mend = "copy the files into the store, or use the folder that contains the real files as the store"
    assert filled.lines("verify", code=1)[:2] == [
        f"first ({link.parent.name[:12]}): a link leads out of the store in {link.parent}".replace(
            str(filled.folder), "PROJECT"
        ),
        f"  to fix: {mend}",
    ]
    assert not any("modelenv pull" in line for line in filled.lines("verify", code=1))
    assert "error: acme/first: a link leads out of the store" in filled.lines("pull", code=1)
    assert examined(filled, code=1)["first"][1].startswith("a link leads out of the store: ")
    assert f"to fix first: {mend}" in filled.lines("doctor", code=1)


@pytest.mark.slow
def test_list(filled: Project, tmp_path: Path) -> None:
    size = sum(path.stat().st_size for path in snapshot(filled).iterdir())
    rows = [re.split(" {2,}", line) for line in filled.lines("list")]
    assert rows[:2] == [
        ["model", "commit", "files", "size", "state", "locked as"],
        ["acme/first", commit(filled)[:12], "3", f"{size} B", "verified", "first"],
    ]
    assert rows[3][0].startswith("PROJECT/cache: 2 models, ")
    (snapshot(filled) / "config.json").resolve().write_text("[]")
    states = [each["state"] for each in filled.json("list")["models"]]
    assert states == ["not verified", "verified"]
    filled.run("pull", "--to", str(tmp_path / "volume"))
    listed = filled.json("list", "--volume", str(tmp_path / "volume"))["models"]
    assert [(each["alias"], each["path"]) for each in listed] == [
        (name, f"{tmp_path}/volume/acme/{name}") for name in ("first", "second")
    ]
    assert filled.lines("list", "--cache-dir", str(tmp_path / "empty")) == [f"{tmp_path}/empty: 0 models, 0 B"]


@pytest.mark.slow
def test_prune_a_cache(filled: Project) -> None:
    assert filled.lines("prune") == ["PROJECT/cache: nothing to remove"]
    old = snapshot(filled)
    old_blob = (old / "config.json").resolve()
    weights = (old / "model.safetensors").resolve()
    filled.push("first", newer=True)
    filled.run("lock", "--upgrade")
    filled.run("pull")
    other = filled.cache / "models--acme--other" / "snapshots" / ("a" * 40)
    other.mkdir(parents=True)  # the cache may be shared: models that the lock does not name are kept
    foreign = filled.cache / "models--acme--first/blobs/0123.incomplete"
    foreign.write_bytes(b"from another program")
    ours = filled.cache / "models--acme--first/blobs/0123.4567.modelenv.incomplete"
    ours.write_bytes(b"left by a killed process")
    expected = [str(old), str(old_blob)]
    assert filled.json("prune", "--dry-run")["removed"] == expected
    assert old.exists()
    assert filled.json("prune")["removed"] == expected
    assert not old.exists()
    assert not old_blob.exists()
    assert weights.exists()  # the new commit has the same weights
    assert other.exists()
    assert list(filled.cache.rglob("*.incomplete")) == [foreign]
    assert filled.lines("verify")[-1].endswith("all fine")


@pytest.mark.slow
def test_prune_removes_damaged_files_and_old_folders_of_a_volume(filled: Project, tmp_path: Path) -> None:
    (snapshot(filled) / "config.json").resolve().write_text("[]")
    filled.run("pull")
    assert "damaged files" in filled.run("doctor")
    [aside] = filled.json("prune")["removed"]
    assert "/.locks/modelenv/damaged/models--acme--first/" in aside
    volume = tmp_path / "volume"
    filled.run("pull", "--to", str(volume))
    filled.push("first", newer=True)
    filled.run("lock", "--upgrade")
    filled.run("pull", "--to", str(volume))
    assert filled.lines("prune", "--volume", str(volume))[0] == f"removed {volume}/acme/first"


def examined(project: Project, *arguments: str, code: int = 0, **variables: str) -> dict[str, tuple[str, str]]:
    found = project.json("doctor", *arguments, code=code, **variables)["examined"]
    assert all(each["mend"] for each in found if each["state"] == "wrong")
    return {each["what"]: (each["state"], each["found"].replace(str(project.folder), "PROJECT")) for each in found}


@pytest.mark.slow
def test_doctor_finds_no_problems(filled: Project) -> None:
    found = examined(filled)
    assert found["modelenv.lock"] == ("fine", "as declared, 2 models")
    assert found["the cache"] == ("fine", "PROJECT/cache")
    assert found["space"][1].endswith("free, 0 B still to fetch")
    assert filled.lines("doctor")[-1] == "no problems found"
    filled.hub.assert_no_requests()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("variables", "what", "said"),
    [
        ({"HF_HUB_OFFLINE": "1"}, "HF_HUB_OFFLINE", "set, while huggingface_hub downloads what is missing"),
        (
            {"TESTING": "true", "MODEL_SOURCE": "local_cache"},
            "TESTING",
            "true, while variable MODEL_SOURCE forces local_cache",
        ),
        ({"ENVIRONMENT": "production"}, "ENVIRONMENT", "production, while models come from huggingface_hub"),
    ],
)
def test_doctor_finds_variables_that_contradict_each_other(
    locked: Project, variables: dict[str, str], what: str, said: str, tmp_path: Path
) -> None:
    empty = {"MODEL_CACHE_DIR": str(tmp_path / "empty")}
    assert examined(locked, code=1, **empty, **variables)[what] == ("wrong", said)


@pytest.mark.slow
def test_doctor_finds_an_outdated_or_unreadable_lock(locked: Project) -> None:
    path = locked.folder / "pyproject.toml"
    path.write_text(path.read_text().replace("acme/second", "acme/third"))
    assert examined(locked, code=1)["modelenv.lock"][0] == "wrong"
    (locked.folder / "modelenv.lock").write_text("version = 99\n")
    state, found = examined(locked, code=1)["modelenv.lock"]
    assert (state, found) == ("wrong", "PROJECT/modelenv.lock:1: unknown version of the file")
    (locked.folder / "modelenv.lock").unlink()
    assert examined(locked)["modelenv.lock"] == ("note", "none: models are whatever the Hub serves today")


@pytest.mark.slow
def test_doctor_finds_a_volume_without_metadata_and_a_held_lock(filled: Project, tmp_path: Path) -> None:
    from filelock import FileLock

    volume = tmp_path / "volume"
    volume.mkdir()
    assert examined(filled, code=1, MODEL_VOLUME_DIR=str(volume))["the volume"][0] == "wrong"
    filled.run("pull", "--to", str(volume))
    assert examined(filled, MODEL_VOLUME_DIR=str(volume))["the volume"] == ("fine", f"{volume}, 2 models")
    path = filled.cache / ".locks/modelenv/models--acme--first.lock"
    with FileLock(path):
        state, found = examined(filled)["a lock"]
    assert (state, "is held: another process is fetching this model" in found) == ("note", True)
    (filled.folder / "not a folder").write_text("")
    lines = filled.lines("doctor", "--cache-dir", "not a folder/cache", code=1)
    assert any(line.startswith("to fix the cache: ") for line in lines)
