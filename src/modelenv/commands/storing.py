"""The commands for models on disk: `modelenv list` and `modelenv prune`."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Any

from modelenv.amounts import counted, size_text
from modelenv.commands.outcome import Outcome, columns
from modelenv.commands.places import cache_of, metadata_of, volume_of
from modelenv.deadlines import Deadline
from modelenv.environment.settings import Settings
from modelenv.environment.sources import ModelSource
from modelenv.fetching.leftovers import remove_leftovers
from modelenv.locks.locked_models import lock_of
from modelenv.references import ModelRef
from modelenv.store.pruning import Kept, remove, remove_set_aside, set_aside_files, superfluous
from modelenv.store.snapshots import Snapshot, snapshots
from modelenv.store.store import Store
from modelenv.volume.filling import Volume


def list_models(settings: Settings, *, volume: Path | None = None, cache_dir: Path | None = None) -> Outcome:
    """List the models of the volume or the cache. Hashes nothing and makes no requests.

    Raises:
        LockfileError: The volume's metadata cannot be read.
    """
    root = None if cache_dir is not None and volume is None else volume_of(settings, volume)
    found: list[dict[str, Any]]
    if root is not None:
        found = [
            {
                "model": model.locked.repo, "commit": model.locked.commit, "files": len(model.locked.files),
                "size": sum(file.size for file in model.locked.files), "state": "in the metadata",
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
    settings: Settings,
    *,
    dry_run: bool = False,
    unshared: bool = False,
    volume: Path | None = None,
    cache_dir: Path | None = None,
) -> Outcome:
    """Remove what is no longer needed.

    From a cache: other commits of the models that the lock names, the blobs that are then unused, partial files of
    modelenv's own downloads, and files that were set aside. A cache may be shared, so a commit is removed only if
    modelenv fetched it for this lock and nothing shows that others use it. Models that the lock does not name are
    left alone.
    From a volume: the folders and references that `pull --to` created and that no model in the metadata needs.

    Args:
        settings: The settings, which name the lock and the detected source.
        dry_run: Whether to report only what would be removed.
        unshared: Whether only this project uses the cache, so that commits and blobs that others fetched are removed
            too.
        volume: The volume to prune. Default: the detected volume, else the cache.
        cache_dir: A cache other than the detected one.

    Raises:
        ModelEnvError: A lock or metadata cannot be read, or the folder is not writable.
    """
    deadline = Deadline(settings.timeout_of(ModelSource.DOWNLOAD_ON_DEMAND))
    root = None if cache_dir is not None and volume is None else volume_of(settings, volume)
    kept: list[Kept] = []
    if root is not None:
        metadata_of(root)
        removed = [str(root / name) for name in Volume(root).prune(deadline, dry_run=dry_run)]
    else:
        store = cache_of(settings, cache_dir)
        root = store.root
        removed, kept = _prune_cache(settings, store, deadline, dry_run=dry_run, unshared=unshared)
    verb = "would remove" if dry_run else "removed"
    lines = [f"{verb} {path}" for path in removed]
    lines += [f"kept {each.path}: {each.reason}" for each in kept]
    lines.append(f"{root}: {verb} {len(removed)}" if removed else f"{root}: nothing to remove")
    data = [{"path": str(each.path), "reason": each.reason} for each in kept]
    return Outcome(lines, {"place": str(root), "dry_run": dry_run, "removed": removed, "kept": data})


def _prune_cache(
    settings: Settings, store: Store, deadline: Deadline, *, dry_run: bool, unshared: bool
) -> tuple[list[str], list[Kept]]:
    lock = lock_of(settings)
    needed: dict[str, set[str]] = defaultdict(set)
    for model in lock.models if lock is not None else ():
        needed[model.repo].add(model.commit)
    aside = set_aside_files(store)
    removed = [str(path) for path in aside]
    kept: list[Kept] = []
    if not dry_run:
        remove_set_aside(store, aside)
    for repo, commits in sorted(needed.items()):
        ref = ModelRef(repo)
        what = superfluous(store, ref, commits, unshared=unshared)
        if not dry_run and what.is_usable:
            with store.lock(ref, deadline):
                what = superfluous(store, ref, commits, unshared=unshared)  # again, now that nobody else changes it
                remove(store, ref, what)
                remove_leftovers(store, ref)
        removed += map(str, (*what.snapshots, *what.blobs))
        kept += what.kept
    return removed, kept


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
