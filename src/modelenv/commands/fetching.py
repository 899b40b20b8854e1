"""The commands that fetch models: `modelenv pull` into the cache, `modelenv pull --to` onto a volume."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from modelenv.amounts import counted, size_text
from modelenv.commands.outcome import Outcome
from modelenv.commands.places import cache_of, check_names, needed_lock, needed_lock_path
from modelenv.commands.progress import Progress
from modelenv.deadlines import Deadline
from modelenv.environment.settings import Settings
from modelenv.environment.sources import ModelSource
from modelenv.errors import ConfigurationError
from modelenv.fetching.snapshot import Fetched
from modelenv.loading.locked_folder import obtain_locked
from modelenv.loading.look_and_mend import Obtained
from modelenv.loading.unlocked_folder import find_or_fetch_model
from modelenv.locks.locked_models import lock_of, locked_model
from modelenv.locks.values import LockedModel, total_size
from modelenv.store.checks import Checks
from modelenv.store.loadable import check_locked
from modelenv.store.model_files import ModelFiles, Use
from modelenv.store.needs import check_needs
from modelenv.store.store import Store
from modelenv.store.verification import HashMemory
from modelenv.tasks import resolve_task
from modelenv.volume.filling import Volume
from modelenv.volume.layout import VolumeLayout, layout_of
from modelenv.volume.sharing import Others


def pull(settings: Settings, progress: Progress, names: Sequence[str], *, cache_dir: Path | None = None) -> Outcome:
    """Fetch the declared models into the cache: locked models at their commit, others at the Hub's current commit.

    Args:
        settings: The settings, which name the declared models and the lock.
        progress: Shows the progress.
        names: Aliases or repo ids. Empty means all models.
        cache_dir: A cache other than the detected one.

    Raises:
        ConfigurationError: There is no project, a name is unknown, or a model that must be locked is not in the lock.
        LockfileError: The lock cannot be read, or was made from another declaration of a model.
        ModelEnvError: A model could not be fetched. The models before it are in the cache.
    """
    path, store, lock = needed_lock_path(settings), cache_of(settings, cache_dir), lock_of(settings)
    locked = {} if lock is None else {model.alias: model for model in lock.models}
    wanted = _wanted(settings, locked, names)
    _check_declarations(settings, wanted)
    memory = HashMemory()
    rows: list[dict[str, Any]] = []
    for name in wanted:
        model = locked.get(name)
        if model is not None:
            with progress.bar(_label(model), total_size([model])) as advance:
                obtained = _obtain(store, model, Checks(memory, progress=advance), _seconds(settings))
        else:
            ref = settings.models[name].ref
            progress.say(f"{name}: {ref} is not locked; fetching the Hub's current commit")
            obtained = find_or_fetch_model(store, ref, Deadline(_seconds(settings)))
            task = settings.models[name].task
            if task is not None:
                use = Use(resolve_task(task).name, whole=obtained.whole, hint=obtained.hint)
                check_needs(ModelFiles.in_folder(obtained.path, ref.repo_id), use)
        rows.append(_row(name, model, obtained))
    lines = [_line(row) for row in rows]
    if not rows:
        declared = f"declared in [tool.modelenv.models] of {settings.project_file}"
        lines.append(f"no models are {declared} or locked in {path}")
    fetched = [row for row in rows if row["fetched"]]
    total = sum(row["bytes"] for row in rows)
    lines.append(f"{store.root}: {counted(len(rows), 'model')}, {len(fetched)} fetched, {size_text(total)}")
    return Outcome(lines, {"cache": str(store.root), "models": rows})


def pull_to(
    settings: Settings,
    progress: Progress,
    root: Path,
    *,
    cache_dir: Path | None = None,
    others: Others = Others.REFUSED,
    layout: VolumeLayout | None = None,
) -> Outcome:
    """Fill a volume with the locked models. They are fetched into the cache first.

    Args:
        settings: The settings, which name the lock.
        progress: Shows the progress.
        root: The volume.
        cache_dir: A cache other than the detected one.
        others: How to treat models on the volume that the lock does not name.
        layout: The layout of the volume. Default: that of the volume, else `PLAIN`.

    Raises:
        ModelEnvError: There is no lock, or a model could not be fetched or written. The volume is unchanged.
    """
    lock, store, memory = needed_lock(settings), cache_of(settings, cache_dir), HashMemory()
    _check_declarations(settings, settings.models)
    root = root.absolute()

    with progress.bars() as bar, bar(f"filling {root}", total_size(lock.models)) as copied:

        def obtain(model: LockedModel) -> Path:
            with bar(_label(model), total_size([model])) as advance:
                return _obtain(store, model, Checks(memory, progress=advance), _seconds(settings)).path

        deadline = Deadline(_seconds(settings) * (1 + len(lock.models)))
        filled = Volume(root, copied, memory).fill(lock, obtain, deadline, others=others, layout=layout)
    for placed in filled.metadata.models:  # not only those that were copied now
        check_locked(root / placed.folder, placed.locked)
    folders = {model.locked.alias: model.folder for model in filled.metadata.models}
    lines = [
        f"{alias}: {folder}, " + ("copied" if alias in filled.copied else "unchanged")
        for alias, folder in folders.items()
    ]
    lines += [f"{model.alias}: {model.repo} was dropped from this volume" for model in filled.dropped]
    lines += [f"removed {name}, which is no longer used" for name in filled.removed]
    lines.append(
        f"{root}: {counted(len(folders), 'model')}, metadata " + ("written" if filled.changed else "unchanged")
    )
    data = {
        "volume": str(root), "layout": layout_of(filled.metadata), "folders": folders, "copied": list(filled.copied),
        "removed": list(filled.removed), "changed": filled.changed,
        "dropped": [model.alias for model in filled.dropped],
    }  # fmt: skip
    return Outcome(lines, data)


def _wanted(settings: Settings, locked: Mapping[str, LockedModel], names: Sequence[str]) -> list[str]:
    """Return the aliases of the models to fetch."""
    repos = {alias: declared.ref.repo_id for alias, declared in settings.models.items()}
    repos.update((alias, model.repo) for alias, model in locked.items())
    check_names(names, {*repos, *repos.values()})
    wanted = sorted(alias for alias, repo in repos.items() if not names or alias in names or repo in names)
    for alias in wanted:
        if alias not in locked and settings.models[alias].files:
            raise ConfigurationError(
                "not locked, and its `files` patterns are resolved only by the lock",
                model=alias,
                found=", ".join(settings.models[alias].files),
                hint="run `modelenv lock` first",
            )
    return wanted


def _check_declarations(settings: Settings, aliases: Iterable[str]) -> None:
    """Check that the lock was not made from other declarations: a load would refuse what was fetched."""
    for alias in aliases:
        if alias in settings.models:
            locked_model(settings, alias, settings.models[alias].ref)


def _obtain(store: Store, model: LockedModel, checks: Checks, seconds: float) -> Obtained:
    obtained = obtain_locked(store, model, Deadline(seconds), fetches=True, checks=checks)
    check_locked(obtained.path, model)
    return obtained


def _label(model: LockedModel) -> str:
    return f"{model.alias}: {model.repo} at {model.commit[:12]}"


def _seconds(settings: Settings) -> float:
    return settings.timeout_of(ModelSource.DOWNLOAD_ON_DEMAND)


def _row(name: str, model: LockedModel | None, obtained: Obtained) -> dict[str, Any]:
    fetched: Fetched | None = obtained.fetched
    return {
        "alias": name,
        "commit": obtained.path.name if model is None else model.commit,
        "locked": model is not None,
        "path": str(obtained.path),
        "fetched": fetched is not None,
        "bytes": 0 if fetched is None else fetched.bytes,
        "requests": 0 if fetched is None else fetched.requests,
    }


def _line(row: dict[str, Any]) -> str:
    if not row["fetched"]:
        return f"{row['alias']}: in the cache"
    return f"{row['alias']}: fetched, {size_text(row['bytes'])} in {counted(row['requests'], 'request')}"
