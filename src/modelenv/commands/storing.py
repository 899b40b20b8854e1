"""The verbs about what lies on disk: `list` and `prune`."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Any

from modelenv.commands.outcome import Outcome, columns, counted, size_text
from modelenv.commands.places import cache_of, metadata_of, volume_of
from modelenv.deadlines import Deadline
from modelenv.environment.settings import Settings
from modelenv.environment.sources import ModelSource
from modelenv.fetching.snapshot import remove_leftovers
from modelenv.locks.locked_models import lock_of
from modelenv.references import ModelRef
from modelenv.store.snapshots import (
    Snapshot,
    remove_files,
    remove_snapshot,
    set_aside_files,
    snapshots,
    unreferenced_blobs,
)
from modelenv.store.store import Store
from modelenv.volume.filling import Volume


def list_models(settings: Settings, *, volume: Path | None = None, cache_dir: Path | None = None) -> Outcome:
    """List the models of the volume or the cache. Hashes nothing and asks no network.

    Raises:
        LockfileError: the volume's metadata cannot be read.
    """
    root = None if cache_dir is not None and volume is None else volume_of(settings, volume)
    found: list[dict[str, Any]]
    if root is not None:
        found = [
            {
                "model": model.locked.repo, "commit": model.locked.commit, "files": len(model.locked.files),
                "size": sum(file.size for file in model.locked.files), "state": "named by the metadata",
                "alias": model.locked.alias, "path": str(root / model.folder),
            }
            for model in metadata_of(root).models
        ]  # fmt: skip
    else:
        store = cache_of(settings, cache_dir)
        root, lock = store.root, lock_of(settings)
        aliases: dict[tuple[str, str], list[str]] = defaultdict(list)
        for model in lock.models if lock is not None else ():
            aliases[model.repo, model.commit].append(model.alias)
        found = [_row(each, aliases) for each in snapshots(store)]
    total = f"{root}: {counted(len(found), 'model')}, {size_text(sum(row['size'] for row in found))}"
    rows = [_cells(row) for row in found]
    table = columns(("model", "commit", "files", "size", "state", "locked as"), *rows) if rows else []
    return Outcome([*table, total], {"place": str(root), "models": found})


def prune(
    settings: Settings, *, dry_run: bool = False, volume: Path | None = None, cache_dir: Path | None = None
) -> Outcome:
    """Remove what nothing needs any more.

    From a cache: other commits of the models that the lock names, blobs of these that no snapshot leads to, parts of
    downloads, and what was set aside. Models that the lock does not name are left alone: the cache may be shared.
    From a volume: the folders that `pull --to` made and the metadata does not name.

    Args:
        settings: with the lock, and what was detected.
        dry_run: whether to say only what would be removed.
        volume: the volume, where one is meant.
        cache_dir: the cache, where another one is meant.

    Raises:
        ModelEnvError: a lock or metadata cannot be read, or the place cannot be written.
    """
    deadline = Deadline(settings.timeout_of(ModelSource.DOWNLOAD_ON_DEMAND))
    root = None if cache_dir is not None and volume is None else volume_of(settings, volume)
    if root is not None:
        metadata_of(root)
        removed = [str(root / name) for name in Volume(root).prune(deadline, dry_run=dry_run)]
    else:
        store = cache_of(settings, cache_dir)
        root, removed = store.root, _prune_cache(settings, store, deadline, dry_run=dry_run)
    verb = "would remove" if dry_run else "removed"
    lines = [f"{verb} {path}" for path in removed]
    lines.append(f"{root}: {verb} {len(removed)}" if removed else f"{root}: nothing to remove")
    return Outcome(lines, {"place": str(root), "dry_run": dry_run, "removed": removed})


def _prune_cache(settings: Settings, store: Store, deadline: Deadline, *, dry_run: bool) -> list[str]:
    lock = lock_of(settings)
    kept: dict[str, set[str]] = defaultdict(set)
    for model in lock.models if lock is not None else ():
        kept[model.repo].add(model.commit)
    aside = set_aside_files(store)
    removed = [str(path) for path in aside]
    if not dry_run:
        remove_files(store, "the cache", aside)
    held: dict[str, list[Snapshot]] = defaultdict(list)
    for snapshot in snapshots(store):
        if snapshot.ref.repo_id in kept:
            held[snapshot.ref.repo_id].append(snapshot)
    for repo, there in held.items():
        old = [snapshot for snapshot in there if snapshot.ref.revision not in kept[repo]]
        removed += [str(snapshot.found.path) for snapshot in old]
        removed += map(str, _unused_blobs(there, old))
        if not dry_run:
            _prune_model(store, ModelRef(repo), old, there, deadline)
    return removed


def _unused_blobs(there: list[Snapshot], old: list[Snapshot]) -> list[Path]:
    """Return the blobs that nothing leads to once the old snapshots are gone; parts of downloads are no blobs."""
    commits = [snapshot.ref.revision or "" for snapshot in old]
    caches = sorted({snapshot.found.path.parent.parent for snapshot in there})
    blobs = [blob for cache in caches for blob in unreferenced_blobs(cache, commits)]
    return [blob for blob in blobs if not blob.name.endswith(".incomplete")]


def _prune_model(store: Store, ref: ModelRef, old: list[Snapshot], there: list[Snapshot], deadline: Deadline) -> None:
    with store.lock(ref, deadline):
        for snapshot in old:
            remove_snapshot(store, snapshot)
        remove_leftovers(store, ref)
        remove_files(store, ref.repo_id, _unused_blobs(there, old))


def _row(snapshot: Snapshot, aliases: dict[tuple[str, str], list[str]]) -> dict[str, Any]:
    commit = snapshot.found.commit or ""
    return {
        "model": snapshot.ref.repo_id, "commit": commit, "files": snapshot.files, "size": snapshot.size,
        "state": "verified" if snapshot.found.checked else "not verified",
        "alias": ", ".join(aliases.get((snapshot.ref.repo_id, commit), ())) or None,
        "path": str(snapshot.found.path),
    }  # fmt: skip


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    numbers = (str(row["files"]), size_text(row["size"]))
    return (row["model"], row["commit"][:12], *numbers, row["state"], row["alias"] or "-")
