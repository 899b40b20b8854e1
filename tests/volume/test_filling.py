"""A volume is filled completely or not at all, is readable for everyone, and never mixes two sets."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from modelenv.deadlines import Deadline
from modelenv.errors import (
    ModelIntegrityError,
    ModelLoadTimeoutError,
    UnsafeModelError,
)
from modelenv.hub import EmbeddedHub
from modelenv.locks.project_lock import Lockfile, write_lockfile
from modelenv.locks.values import LockedModel
from modelenv.references import ModelRef
from modelenv.store.checks import Checks
from modelenv.store.store import Store
from modelenv.volume.filling import Volume
from modelenv.volume.reading import find_on_volume, volume_metadata

from .conftest import REF, Fill, Lock, MakeModel, read

DROP = ("setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", "--bounding-set=-all", "--inh-caps=-all")
FILL = """
import sys
from pathlib import Path
from modelenv.deadlines import Deadline
from modelenv.locks.project_lock import read_lockfile
from modelenv.volume.filling import Volume
root, lock, source = map(Path, sys.argv[1:])
Volume(root).fill(read_lockfile(lock), lambda model: source, Deadline(20))
"""


@pytest.fixture
def tmp_path(open_tmp_path: Path) -> Path:
    """The test's folder. Other users can enter it."""
    return open_tmp_path


def test_a_new_volume_has_plain_files_that_everyone_can_read(fill: Fill, first: LockedModel, root: Path) -> None:
    before = os.umask(0o077)
    try:
        filled = fill(first)
    finally:
        os.umask(before)
    assert (filled.copied, filled.removed, filled.changed) == (("m",), (), True)
    assert read(root) == root / "acme/model"
    visible = [root, *(path for path in root.rglob("*") if ".modelenv" not in path.parts)]
    assert {stat.S_IMODE(path.stat().st_mode) for path in visible if path.is_dir()} == {0o755}
    assert {stat.S_IMODE(path.stat().st_mode) for path in visible if path.is_file()} == {0o644}
    assert not any(path.is_symlink() for path in root.rglob("*"))


def test_a_second_pull_copies_and_writes_nothing(fill: Fill, first: LockedModel, root: Path) -> None:
    fill(first)
    before = {path: path.stat().st_mtime_ns for path in root.rglob("*") if ".modelenv" not in path.parts}
    filled = fill(first)
    assert (filled.copied, filled.removed, filled.changed) == ((), (), False)
    assert {path: path.stat().st_mtime_ns for path in root.rglob("*") if ".modelenv" not in path.parts} == before


def test_an_update_shows_the_old_set_or_the_new(
    fill: Fill, first: LockedModel, second: LockedModel, root: Path
) -> None:
    fill(first)
    held = volume_metadata(root)  # a reader that began before the update
    assert held is not None
    filled = fill(second)
    assert filled.removed == ()
    old = find_on_volume(root, held, REF, locked=None, checks=Checks())
    assert (old, read(root)) == (root / "acme/model", root / f"acme/model@{second.commit[:12]}")
    assert fill(second).removed == ()  # no update: readers of the old set can continue
    assert find_on_volume(root, held, REF, locked=None, checks=Checks()) == old
    assert (fill(second).copied, read(root).name) == ((), f"model@{second.commit[:12]}")


def test_no_folder_is_ever_reused_for_other_content(
    fill: Fill, first: LockedModel, second: LockedModel, third: LockedModel, root: Path
) -> None:
    folders = []
    for model in (first, second, third, third, first):
        fill(model)
        folders.append(read(root, locked=model).name)
    assert folders == ["model", *[f"model@{each.commit[:12]}" for each in (second, third, third)], "model"]
    again = fill(replace(first, files=first.files[:2]))  # other files of that commit
    assert again.metadata.models[0].folder == f"acme/model@{first.commit[:12]}"


def test_an_update_keeps_the_previous_set_and_removes_the_one_before(
    fill: Fill, first: LockedModel, second: LockedModel, third: LockedModel, root: Path
) -> None:
    assert [fill(model).removed for model in (first, second, second, third)] == [(), (), (), ("acme/model",)]
    assert (root / f"acme/model@{second.commit[:12]}").is_dir()


def test_prune_removes_what_the_metadata_no_longer_names(
    fill: Fill, first: LockedModel, second: LockedModel, root: Path
) -> None:
    fill(first)
    fill(second)
    (root / "somebody").mkdir()
    assert Volume(root).prune(Deadline(5), dry_run=True) == ("acme/model",)
    assert (root / "acme/model").exists()
    assert Volume(root).prune(Deadline(5)) == ("acme/model",)
    assert (root / "somebody").exists()
    assert read(root)


def test_going_back_uses_the_folder_that_still_exists(
    fill: Fill, first: LockedModel, second: LockedModel, root: Path
) -> None:
    fill(first)
    fill(second)
    assert fill(first).copied == ()
    assert read(root) == root / "acme/model"


def test_a_killed_pull_leaves_the_old_set_and_the_next_pull_completes_it(
    fill: Fill, first: LockedModel, second: LockedModel, root: Path, store: Store
) -> None:
    fill(first)

    class KilledError(BaseException):
        pass

    def killed(model: LockedModel) -> Path:
        raise KilledError

    with pytest.raises(KilledError):
        Volume(root).fill(Lockfile((second,)), killed, Deadline(5))
    (root / ".modelenv/staging/half").mkdir(parents=True)  # as SIGKILL would leave it
    (root / ".modelenv/staging/half/config.json").write_text("{")
    assert read(root) == root / "acme/model"
    fill(second)
    assert not (root / ".modelenv/staging/half").exists()
    assert read(root, locked=second)


def test_a_damaged_folder_is_replaced_and_never_changed(fill: Fill, first: LockedModel, root: Path) -> None:
    fill(first)
    (root / "acme/model/config.json").write_text("[]")
    with pytest.raises(ModelIntegrityError):
        read(root)
    assert fill(first).copied == ("m",)
    assert read(root) == root / f"acme/model@{first.commit[:12]}"
    assert fill(first).removed == ()
    assert Volume(root).prune(Deadline(5)) == ("acme/model",)


def test_aliases_of_one_set_share_a_folder_and_other_sets_do_not(fill: Fill, first: LockedModel, root: Path) -> None:
    fewer = replace(first, alias="fewer", files=first.files[:2], patterns=("config.json", "model.safetensors"))
    filled = fill(first, replace(first, alias="same"), fewer)
    folders = {model.locked.alias: model.folder for model in filled.metadata.models}
    assert folders["m"] == folders["same"] != folders["fewer"]
    assert filled.copied == ("fewer", "same") or filled.copied == ("fewer", "m")


def test_a_model_without_organisation_does_not_contain_another_models_folder(
    fill: Fill, hub: EmbeddedHub, make_model: MakeModel, lock: Lock, first: LockedModel, root: Path
) -> None:
    hub.add(make_model("alone"), "acme")
    alone = lock("acme", alias="alone")
    fill(first, alone)
    assert read(root) == root / "acme/model"
    assert read(root, ModelRef("acme")) == root / f"acme@{alone.commit[:12]}"


@pytest.mark.parametrize("link", ["acme", ".modelenv", ".modelenv/staging"])
def test_nothing_is_written_through_a_link_out_of_the_volume(
    fill: Fill, first: LockedModel, root: Path, tmp_path: Path, link: str
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (root / link).parent.mkdir(parents=True)
    (root / link).symlink_to(outside)
    with pytest.raises(UnsafeModelError) as caught:
        fill(first)
    assert str(caught.value) == (
        "the volume: a link is in the path of the model's folder, and links are not allowed on a volume\n"
        f"  found: {root / link} -> {outside}\n"
        f"  what to do: remove the link, and run `modelenv pull --to {root}` where the volume can be written"
    )
    assert list(outside.iterdir()) == []
    assert [path for path in root.rglob("*") if not path.is_symlink() and path.is_file()] == []


def test_nothing_is_removed_through_a_link_out_of_the_volume(
    fill: Fill, first: LockedModel, second: LockedModel, root: Path, tmp_path: Path
) -> None:
    fill(first)
    fill(second)
    (root / "acme").rename(tmp_path / "outside")
    (root / "acme").symlink_to(tmp_path / "outside")
    for dry_run in (True, False):
        with pytest.raises(UnsafeModelError, match="a link is in the path"):
            Volume(root).prune(Deadline(5), dry_run=dry_run)
    assert (tmp_path / "outside/model/config.json").exists()


@pytest.mark.skipif(os.getuid() != 0, reason="only root may give folders away")
def test_another_users_folder_is_used_as_it_is(
    first: LockedModel, root: Path, tmp_path: Path, nobody_runs_python: None
) -> None:
    (root / "acme").mkdir(parents=True)
    for folder, owner in ((root, 65534), (root / "acme", 0)):
        folder.chmod(0o775)
        os.chown(folder, owner, 65534)
    write_lockfile(tmp_path / "lock", Lockfile((first,)))
    (tmp_path / "lock").chmod(0o644)
    done = subprocess.run(
        [*DROP, sys.executable, "-c", FILL, str(root), str(tmp_path / "lock"), str(tmp_path / "repos/model")],
        capture_output=True, text=True, timeout=60, cwd=tmp_path,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert read(root) == root / "acme/model"


def test_two_pulls_at_once_wait_for_each_other(first: LockedModel, root: Path) -> None:
    from filelock import FileLock

    (root / ".modelenv").mkdir(parents=True)
    with FileLock(root / ".modelenv/lock"), pytest.raises(ModelLoadTimeoutError, match="another process to fill"):
        Volume(root).fill(Lockfile((first,)), lambda model: root, Deadline(0.2))


def test_a_source_that_does_not_match_the_lock_is_not_copied(first: LockedModel, root: Path, tmp_path: Path) -> None:
    source = tmp_path / "source"
    shutil.copytree(tmp_path / "repos/model", source)
    content = (source / "model.safetensors").read_bytes()
    (source / "model.safetensors").write_bytes(content[:-1] + b"x")
    with pytest.raises(ModelIntegrityError, match="the copied files do not match the lock") as raised:
        Volume(root).fill(Lockfile((first,)), lambda model: source, Deadline(5))
    assert f"`modelenv verify --full`, which checks the files in {source}" in str(raised.value)
    assert not (root / "model-metadata.yaml").exists()
    assert not list((root / ".modelenv/staging").glob("*"))
