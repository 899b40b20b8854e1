"""The commands for the lock: `lock`, `lock --check`, `lock --upgrade`, `outdated`, `cache-key`."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from modelenv.amounts import counted
from modelenv.commands.outcome import FINDING, Outcome, code_of, columns
from modelenv.commands.places import cache_of, check_names, needed_lock, needed_lock_path
from modelenv.commands.progress import Progress
from modelenv.environment.settings import Settings
from modelenv.environment.sources import ModelSource
from modelenv.fetching.resolving import Locker
from modelenv.locks.declarations import changes, disagreements
from modelenv.locks.locked_models import lock_of
from modelenv.locks.project_lock import Lockfile, write_lockfile


def write_lock(
    settings: Settings, progress: Progress, *, upgrade: Sequence[str] | None = None, cache_dir: Path | None = None
) -> Outcome:
    """Write the lock of the declared models.

    Args:
        settings: The settings, which name the declared models.
        progress: Shows each model for which the Hub is asked.
        upgrade: The aliases to move to the newest commit. Empty means all, None means none.
        cache_dir: The cache into which files are fetched that must be hashed.

    Raises:
        ModelEnvError: See `Locker.lock`.
    """
    path = needed_lock_path(settings)
    before = lock_of(settings) or Lockfile()
    check_names(upgrade or (), set(settings.models))
    moved = set() if upgrade is None else set(upgrade or settings.models)
    after = locker_of(settings, progress, cache_dir).lock(settings.models, before, upgrade=moved)
    changed = changes(before, after)
    written = write_lockfile(path, after)
    total = counted(len(after.models), "model")
    lines = [*map(str, changed), f"{path}: {total}, " + ("written" if written else "unchanged")]
    return Outcome(lines, {"lock": str(path), "written": written, "changes": [asdict(each) for each in changed]})


def check_lock(settings: Settings) -> Outcome:
    """Compare the lock with the declared models. Makes no requests.

    Raises:
        LockfileError: The lock cannot be read.
    """
    path = needed_lock_path(settings)
    found = disagreements(settings.models, lock_of(settings) or Lockfile())
    lines = [*map(str, found)]
    lines.append(
        f"{path}: run `modelenv lock`, and commit what it writes"
        if found
        else f"{path}: as declared, {counted(len(settings.models), 'model')}"
    )
    return Outcome(lines, {"lock": str(path), "disagreements": [asdict(each) for each in found]}, code_of(found))


def outdated(settings: Settings, progress: Progress) -> Outcome:
    """Ask the Hub which locked models have a newer commit: one request for each model not pinned to a commit.

    Raises:
        ModelEnvError: There is no lock, or the Hub cannot be asked.
    """
    lock = needed_lock(settings)
    locker = locker_of(settings, progress, None)
    movable = [model for model in lock.models if model.revision != model.commit]
    newest = {model.alias: locker.newest(model) for model in movable}
    moved = [model for model in movable if newest[model.alias] != model.commit]
    data = [
        {"alias": each.alias, "repo": each.repo, "commit": each.commit, "newest": newest[each.alias]}
        for each in moved
    ]
    if not moved:
        return Outcome([f"{counted(len(lock.models), 'model')}, all up to date"], {"outdated": []})
    rows = [(each.alias, each.repo, each.commit[:12], newest[each.alias][:12]) for each in moved]
    lines = [*columns(("alias", "repo", "locked", "newest"), *rows), "to upgrade: modelenv lock --upgrade [NAME]"]
    return Outcome(lines, {"outdated": data}, FINDING)


def cache_key(settings: Settings) -> Outcome:
    """Return a key that changes if and only if a locked file changes.

    Raises:
        ModelEnvError: There is no lock.
    """
    files = (
        f"{model.repo} {model.commit} {file.path} {file.sha256}\n"
        for model in needed_lock(settings).models
        for file in model.files
    )
    key = f"modelenv-{hashlib.sha256(''.join(sorted(set(files))).encode()).hexdigest()[:32]}"
    return Outcome([key], {"cache_key": key})


def locker_of(settings: Settings, progress: Progress, cache_dir: Path | None) -> Locker:
    """Return what asks the Hub about models, and shows that it does."""
    seconds = settings.timeout_of(ModelSource.DOWNLOAD_ON_DEMAND)
    return Locker(
        cache_of(settings, cache_dir), seconds, starting=lambda alias: progress.say(f"{alias}: asking the Hub")
    )
