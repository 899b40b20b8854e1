"""Checks after a kill, and after the normal run that follows it."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Iterator
from pathlib import Path

from modelenv.deadlines import Deadline
from modelenv.errors import LockfileError, ModelEnvError, ModelIntegrityError
from modelenv.loading.locked_folder import obtain_locked
from modelenv.locks.project_lock import Lockfile, read_lockfile
from modelenv.references import ModelRef
from modelenv.store.checks import Checks
from modelenv.store.store import Store
from modelenv.volume.reading import check_put_there_by_hand, find_on_volume, volume_metadata

from .bench import Bench, Case, Place

_SECONDS = 200.0
_NUMBERS = re.compile(r"[0-9a-f]{6,}|\d+")
_TEMPORARY = ("*.tmp", "*.incomplete", ".modelenv/staging/*", ".locks/modelenv/staging/*")


def wrong_after_kill(bench: Bench, case: Case, place: Place) -> Iterator[str]:
    """Yield the problems after a kill: everything that loads must be right, and nothing can be incomplete."""
    before = {"none": (), "a": ("a",), "b": ("b",)}[case.project]
    allowed = [bench.locks[which] for which in before]
    yield from _wrong_lock(place.lock, [*allowed, bench.locks["b"]], can_lack=case.project == "none")
    if case.damaged != "cache":
        yield from _wrong_snapshots(bench, place.cache)
    yield from _wrong_loads(bench, place, bench.locked("b"), must=False)
    if "VOLUME" in case.arguments:
        sets = {"b"} if case.volume is None else {case.volume, "b"}
        yield from _wrong_volume(bench, place, sets, must=case.volume is not None, damaged=case.damaged == "volume")
        if case.damaged != "volume":
            yield from _wrong_snapshots(bench, place.volume, whole=True)
        yield from _wrong_references(place.volume)


def wrong_after_run(bench: Bench, case: Case, place: Place) -> Iterator[str]:
    """Yield the problems after the normal run: the result must be the same as without a kill."""
    yield from _wrong_lock(place.lock, [bench.locks["b"]], can_lack=False)
    yield from _wrong_snapshots(bench, place.cache)
    if case.arguments == ("pull",):
        yield from _wrong_loads(bench, place, bench.locked("b"), must=True)
    if "VOLUME" in case.arguments:
        yield from _wrong_volume(bench, place, {"b"}, must=True, damaged=False)
        yield from _wrong_snapshots(bench, place.volume, whole=True)
    if case.is_hub:
        yield from _wrong_references(place.volume, bench.locked("b"))


def litter(place: Place) -> list[str]:
    """Return the temporary files that are left, without the numbers in their names."""
    found = {path for pattern in _TEMPORARY for path in place.root.rglob(pattern)}
    return sorted({_NUMBERS.sub("N", str(path.relative_to(place.root))) for path in found})


def _wrong_lock(path: Path, allowed: Collection[bytes], *, can_lack: bool) -> Iterator[str]:
    if not path.exists():
        if not can_lack:
            yield "the lock is missing"
        return
    try:
        read_lockfile(path)
    except LockfileError as error:
        yield f"the lock cannot be read: {error}"
    if path.read_bytes() not in allowed:
        yield f"the lock is neither the old one nor the new one: {path.read_text()[:300]}"


def _wrong_snapshots(bench: Bench, root: Path, *, whole: bool = False) -> Iterator[str]:
    """Every file in a snapshot must be right, because other programs might not verify it."""
    for snapshot in root.rglob("snapshots/*"):
        owner = snapshot.parent.parent.name.removeprefix("models--").replace("--", "/")
        truth = bench.truth[f"{owner}@{snapshot.name}"]
        for path in snapshot.rglob("*"):
            if path.is_file() and not path.name.endswith(".tmp"):
                name = path.relative_to(snapshot).as_posix()
                if truth.get(name) != _sha256(path):
                    yield f"a snapshot contains wrong bytes: {path.relative_to(root)}"
        if whole and any(not (snapshot / name).is_file() for name in truth):
            yield f"a snapshot is not complete: {snapshot.relative_to(root)}"


def _wrong_references(volume: Path, lock: Lockfile | None = None) -> Iterator[str]:
    """Every reference on a volume must name a snapshot, and with a lock that of its commit."""
    for path in volume.rglob("refs/*"):
        if not (path.parent.parent / "snapshots" / path.read_text()).is_dir():
            yield f"a reference names no snapshot: {path}"
    for model in () if lock is None else lock.models:
        path = volume / f"models--{model.repo.replace('/', '--')}" / "refs/main"
        if not path.is_file() or path.read_text() != model.commit:
            yield f"the reference of {model.alias} is not that of the lock"


def _wrong_loads(bench: Bench, place: Place, lock: Lockfile, *, must: bool) -> Iterator[str]:
    for model in lock.models:
        try:
            deadline = Deadline(_SECONDS)
            path = obtain_locked(Store(place.cache), model, deadline, fetches=False, checks=Checks()).path
        except ModelEnvError as error:
            if must:
                yield f"{model.alias} does not load from the cache: {error}"
            continue
        yield from _wrong_files(bench.truth[f"{model.repo}@{model.commit}"], path, "the model in the cache")


def _wrong_volume(bench: Bench, place: Place, sets: set[str], *, must: bool, damaged: bool) -> Iterator[str]:
    try:
        metadata = volume_metadata(place.volume)
    except LockfileError as error:
        yield f"the volume's metadata cannot be read: {error}"
        return
    if metadata is None:
        if must or (place.volume / "model-metadata.yaml").exists():
            yield "the volume has no metadata"
        yield from _loaded_without_metadata(place.volume, bench.locked("b"))
        return
    found = {(model.locked.alias, model.locked.commit) for model in metadata.models}
    if found not in [{(model.alias, model.commit) for model in bench.locked(which).models} for which in sets]:
        yield f"the metadata of the volume mixes two sets: {found}"
    for model in metadata.models:
        ref = ModelRef(model.locked.repo)
        try:
            path = find_on_volume(place.volume, metadata, ref, locked=None, checks=Checks())
        except ModelEnvError as error:
            if not damaged:
                yield f"{model.locked.alias} does not load from the volume: {error}"
            continue
        truth = bench.truth[f"{model.locked.repo}@{model.locked.commit}"]
        yield from _wrong_files(truth, path, "the model on the volume")


def _loaded_without_metadata(volume: Path, lock: Lockfile) -> Iterator[str]:
    """No model must load from a set that is not complete."""
    for model in lock.models:
        snapshot = volume / f"models--{model.repo.replace('/', '--')}" / "snapshots" / model.commit
        folder = snapshot if snapshot.is_dir() else volume / model.repo
        try:
            check_put_there_by_hand(volume, folder if folder.is_dir() else None, model=model.repo)
        except ModelIntegrityError:
            continue
        if folder.exists():
            yield f"{model.alias} would load from an incomplete volume"


def _wrong_files(truth: dict[str, str] | object, folder: Path, what: str) -> Iterator[str]:
    found = {path.relative_to(folder).as_posix(): _sha256(path) for path in folder.rglob("*") if path.is_file()}
    if found != truth:
        yield f"{what} is wrong: {folder}"


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
