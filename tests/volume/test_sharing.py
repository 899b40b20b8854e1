"""Several projects and one volume: other models are refused, added to or replaced, and never lost by default."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from modelenv.deadlines import Deadline
from modelenv.errors import ConfigurationError, LockfileError, ModelIntegrityError
from modelenv.hub import EmbeddedHub
from modelenv.locks.values import LockedModel
from modelenv.references import ModelRef
from modelenv.volume.filling import Volume
from modelenv.volume.metadata import VolumeMetadata
from modelenv.volume.reading import volume_metadata
from modelenv.volume.sharing import Others

from .conftest import REF, Fill, Lock, MakeModel, read

METADATA = "model-metadata.yaml"


@pytest.fixture
def other(hub: EmbeddedHub, make_model: MakeModel, lock: Lock) -> LockedModel:
    """A model of another project."""
    hub.add(make_model("other", other=True), "acme/other")
    return lock("acme/other", alias="theirs")


def held(root: Path) -> dict[str, str]:
    metadata = volume_metadata(root)
    assert metadata is not None
    return {model.locked.alias: model.locked.repo for model in metadata.models}


def tree(root: Path) -> dict[str, bytes]:
    """Every file of the volume except the lock file."""
    paths = [path for path in root.rglob("*") if path.is_file() and path != root / ".modelenv/lock"]
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in paths}


def refused(fill: Fill, root: Path, *models: LockedModel, others: Others = Others.REFUSED) -> ConfigurationError:
    """Return the error, after checking that the volume did not change."""
    before = tree(root)
    with pytest.raises(ConfigurationError) as caught:
        fill(*models, others=others)
    assert tree(root) == before
    return caught.value


def test_a_second_project_is_refused_and_both_options_are_named(
    fill: Fill, first: LockedModel, other: LockedModel, root: Path
) -> None:
    fill(first)
    assert str(refused(fill, root, other)) == (
        "the volume has models that this lock does not name\n"
        "  expected: only models of this lock, at any commit\n"
        "  found: m (acme/model)\n"
        f"  what to do: to keep them, run `modelenv pull --to {root} --add`; "
        f"to remove them, run `modelenv pull --to {root} --replace`"
    )
    assert read(root) == root / "acme/model"


def test_added_models_load_and_are_updated_separately(
    fill: Fill, first: LockedModel, second: LockedModel, third: LockedModel, other: LockedModel, root: Path
) -> None:
    fill(first)
    filled = fill(other, others=Others.ADDED_TO)
    assert (filled.copied, filled.removed, filled.dropped) == (("theirs",), (), ())
    assert held(root) == {"m": "acme/model", "theirs": "acme/other"}
    assert read(root, locked=first) == root / "acme/model"
    assert read(root, ModelRef("acme/other"), other) == root / "acme/other"
    assert not fill(first, others=Others.ADDED_TO).changed
    for model in (second, third):
        fill(model, others=Others.ADDED_TO)
    assert held(root) == {"m": "acme/model", "theirs": "acme/other"}
    assert Volume(root).prune(Deadline(5)) == (f"acme/model@{second.commit[:12]}",)
    assert read(root, locked=third)
    assert read(root, ModelRef("acme/other"), other)
    assert not (root / "acme/model").exists()  # removed by the second update after it was replaced


def test_added_two_commits_of_one_model_each_match_their_lock(
    fill: Fill, first: LockedModel, second: LockedModel, root: Path
) -> None:
    theirs = replace(second, alias="theirs")
    fill(first)
    fill(theirs, others=Others.ADDED_TO)
    newer = root / f"acme/model@{second.commit[:12]}"
    assert (read(root, locked=first), read(root, locked=theirs)) == (root / "acme/model", newer)
    assert read(root, ModelRef("theirs")) == newer
    assert Volume(root).prune(Deadline(5)) == ()
    fewer = replace(first, alias="fewer", files=first.files[:2], patterns=("a", "b"))
    fill(fewer, others=Others.ADDED_TO)
    assert read(root, locked=first) == root / "acme/model"
    assert read(root, locked=fewer) != root / "acme/model"


def test_added_models_are_repaired_too(fill: Fill, first: LockedModel, other: LockedModel, root: Path) -> None:
    fill(first)
    (root / "acme/model/config.json").write_text("damaged")
    assert fill(other, others=Others.ADDED_TO).copied == ("m", "theirs")
    assert read(root, locked=first) == root / f"acme/model@{first.commit[:12]}"


def test_replaced_models_are_removed_by_the_next_update(
    fill: Fill, first: LockedModel, other: LockedModel, root: Path
) -> None:
    fill(first)
    filled = fill(other, others=Others.REPLACED)
    assert ([model.alias for model in filled.dropped], filled.removed) == (["m"], ())
    assert held(root) == {"theirs": "acme/other"}
    assert (root / "acme/model").exists()  # for readers of the old set
    assert Volume(root).prune(Deadline(5)) == ("acme/model",)


def test_one_alias_for_two_models_cannot_be_added(
    fill: Fill, first: LockedModel, other: LockedModel, root: Path
) -> None:
    same = replace(other, alias="m")
    fill(first)
    assert refused(fill, root, same).found == "m (acme/model)"
    assert str(refused(fill, root, same, others=Others.ADDED_TO)) == (
        "m: the volume has another model with the same alias\n"
        "  expected: acme/other, as in this lock\n"
        "  found: acme/model\n"
        "  what to do: give the model another alias in [tool.modelenv.models] and run `modelenv lock`, "
        f"or remove the models of other locks with `modelenv pull --to {root} --replace`"
    )
    assert [model.repo for model in fill(same, others=Others.REPLACED).dropped] == ["acme/model"]


def test_only_a_lock_that_shrinks_needs_an_option(
    fill: Fill, first: LockedModel, second: LockedModel, other: LockedModel, root: Path
) -> None:
    fill(first)
    fill(second, other)
    assert refused(fill, root, second).found == "theirs (acme/other)"
    assert [model.alias for model in fill(second, others=Others.REPLACED).dropped] == ["theirs"]
    many = [replace(other, alias=f"alias-{number}") for number in range(7)]
    fill(second, *many)
    assert (refused(fill, root, second).found or "").endswith("alias-4 (acme/other), …")


def cut(text: str) -> str:
    return text[: len(text) // 2]


def of_another_version(text: str) -> str:
    return text.replace("version: 1", "version: 99")


def damaged(text: str) -> str:
    return text.replace("commit:", "komit:")


@pytest.mark.parametrize("others", [Others.REFUSED, Others.ADDED_TO])
@pytest.mark.parametrize("change", [cut, of_another_version, damaged])
def test_unreadable_metadata_is_replaced_only_with_the_option(
    fill: Fill, first: LockedModel, root: Path, change: Callable[[str], str], others: Others
) -> None:
    fill(first)
    path = root / METADATA
    path.write_text(change(path.read_text()))
    before = tree(root)
    with pytest.raises(LockfileError) as caught:
        fill(first, others=others)
    assert caught.value.what.startswith(f"{path}:")
    assert caught.value.what.endswith(", so the content of the volume is unknown")
    assert caught.value.hint == (
        f"fix or restore the file, or run `modelenv pull --to {root} --replace`, which writes a new one"
    )
    assert tree(root) == before
    with pytest.raises(LockfileError):
        Volume(root).prune(Deadline(5))
    assert fill(first, others=Others.REPLACED).changed
    assert read(root) == root / "acme/model"


@pytest.mark.parametrize("others", [Others.REFUSED, Others.ADDED_TO])
@pytest.mark.parametrize("content", ["models:\n  - acme/model\n", ""])
def test_metadata_that_was_written_by_hand_is_replaced_only_with_the_option(
    fill: Fill, first: LockedModel, root: Path, content: str, others: Others
) -> None:
    root.mkdir()
    (root / METADATA).write_text(content)
    assert str(refused(fill, root, first, others=others)) == (
        "the volume has a model-metadata.yaml that modelenv did not write\n"
        f"  found: {root}/model-metadata.yaml\n"
        f"  what to do: use another folder, or run `modelenv pull --to {root} --replace`, which writes a new one; "
        "models that were put there by hand are then no longer loaded"
    )
    assert [path.name for path in root.iterdir()] == [METADATA]  # and no folder of ours
    fill(first, others=Others.REPLACED)
    assert read(root) == root / "acme/model"


@pytest.mark.parametrize("folder", ["acme/by-hand", "by-hand", "models--acme--m/snapshots/x", "acme/model"])
def test_models_that_were_put_there_by_hand_are_hidden_only_with_the_option(
    fill: Fill, first: LockedModel, root: Path, folder: str
) -> None:
    (root / folder).mkdir(parents=True)
    (root / folder / "config.json").write_text("of somebody")
    assert str(refused(fill, root, first)) == (
        "the folder contains models that modelenv did not put there\n"
        f"  found: {root / folder}\n"
        f"  what to do: use another folder, or run `modelenv pull --to {root} --replace`: they stay there, but are "
        "no longer loaded, because the metadata does not name them"
    )
    fill(first, others=Others.REPLACED)
    assert read(root) == root / ("acme/model" if folder != "acme/model" else f"acme/model@{first.commit[:12]}")
    assert (root / folder / "config.json").read_text() == "of somebody"
    fill(first)  # the metadata exists now, and already hides them


def test_an_incomplete_set_of_ours_is_completed(fill: Fill, first: LockedModel, root: Path) -> None:
    fill(first)
    (root / METADATA).unlink()  # as a pull that was killed before its last step leaves it
    assert Volume(root).prune(Deadline(5)) == ()  # without metadata, nothing is known to be superfluous
    assert fill(first).copied == ()
    assert read(root) == root / "acme/model"


def test_prune_keeps_what_a_concurrent_pull_has_named(
    fill: Fill, first: LockedModel, second: LockedModel, root: Path
) -> None:
    fill(first)
    fill(second)
    volume = Volume(root)
    assert volume.prune(Deadline(5), dry_run=True) == ("acme/model",)
    fill(first)
    assert volume.prune(Deadline(5)) == (f"acme/model@{second.commit[:12]}",)
    assert read(root, REF, first)
    with pytest.raises(ModelIntegrityError):
        read(root, REF, second)
    assert volume_metadata(root) != VolumeMetadata()
