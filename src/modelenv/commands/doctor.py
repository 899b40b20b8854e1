"""`modelenv doctor`: find problems of the setup, and say how to fix them."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from modelenv.amounts import counted, size_text
from modelenv.commands.outcome import Outcome, code_of, columns
from modelenv.commands.places import cache_of
from modelenv.environment.detection import explain_environment, is_true
from modelenv.environment.hub_client import hub_constants, mistakes, proxy_variable
from modelenv.environment.libraries import is_offline, offline_variable
from modelenv.environment.settings import Settings
from modelenv.environment.sources import ModelSource
from modelenv.errors import LockfileError, ModelEnvError, redact
from modelenv.files.disk import reading
from modelenv.loading.locked_folder import snapshot_of
from modelenv.locks.declarations import disagreements
from modelenv.locks.locked_models import lock_of
from modelenv.locks.project_lock import Lockfile
from modelenv.locks.values import LockedModel, total_size
from modelenv.store.integrity import check_links
from modelenv.store.pruning import set_aside_files
from modelenv.store.store import Store
from modelenv.store.verification import scan
from modelenv.volume.reading import volume_metadata

_NEEDED = (("huggingface_hub", "huggingface_hub"), ("filelock", "filelock"))
_FOR_REAL_MODELS = ("transformers", "torch")


@dataclass(frozen=True)
class Examined:
    """The result of one check.

    Attributes:
        what: The subject of the check.
        state: The result: `fine`, `note` (not a problem, but good to know) or `wrong`.
        found: What was found.
        mend: How to fix the problem, or None.
    """

    what: str
    state: str
    found: str
    mend: str | None = None


def doctor(read_settings: Callable[[], Settings], *, cache_dir: Path | None = None) -> Outcome:
    """Check permissions, disk space, locks, versions and variables. Changes nothing, makes no requests.

    The checks are independent: if one fails, its failure is a finding, and the others still run.

    Args:
        read_settings: Reads the settings. Its failure is a finding too.
        cache_dir: A cache other than the detected one.
    """
    examined = [*_isolated("versions", _versions), *_isolated("the Hub's client", _client)]
    try:
        settings = read_settings()
    except ModelEnvError as error:
        examined.append(_wrong("the settings", error))
    else:
        examined += _isolated("the environment", lambda: _variables(settings))
        examined += _isolated("the project", lambda: _project(settings))
        examined += _isolated("the cache", lambda: _store(settings, cache_dir))
        examined += _isolated("the volume", lambda: _volume(settings))
    wrong = [each for each in examined if each.state == "wrong"]
    again = [each for at, each in enumerate(wrong) if any(each.found == other.found for other in wrong[:at])]
    examined = [each for each in examined if each not in again]  # one mistake can fail several checks
    wrong = [each for each in wrong if each not in again]
    lines = columns(*((each.state, each.what, each.found) for each in examined))
    lines += [f"to fix {each.what}: {each.mend}" for each in wrong if each.mend is not None]
    lines.append(f"found {counted(len(wrong), 'problem')}" if wrong else "no problems found")
    return Outcome(lines, {"examined": [asdict(each) for each in examined]}, code_of(wrong))


def _isolated(what: str, check: Callable[[], Iterable[Examined]]) -> list[Examined]:
    """Return the findings of a check. If it fails, the failure is its last finding."""
    found: list[Examined] = []
    try:
        for each in check():
            found.append(each)  # noqa: PERF402 - findings from before a failure are kept
    except ModelEnvError as error:
        found.append(_wrong(what, error))
    except Exception as error:  # noqa: BLE001 - a check that crashes must not hide the findings of the others
        text = redact(f"this check failed: {type(error).__name__}: {error}")
        found.append(Examined(what, "wrong", text, "fix the cause of this error, and run `modelenv doctor` again"))
    return found


def _wrong(what: str, error: ModelEnvError) -> Examined:
    found = error.what if error.found is None else f"{error.what}: {error.found}"
    return Examined(what, "wrong", found, error.hint or "correct it, and run `modelenv doctor` again")


def _client() -> Iterator[Examined]:
    """Check the variables that `huggingface_hub` and its HTTP client read."""
    wrong = [_wrong("the Hub's client", mistake) for mistake in mistakes()]
    yield from wrong
    if not wrong:
        endpoint = str(hub_constants().ENDPOINT)
        proxy = proxy_variable(endpoint)
        yield Examined("the Hub's client", "fine", redact(endpoint) + (f", proxy from {proxy}" if proxy else ""))


def _store(settings: Settings, cache_dir: Path | None) -> Iterator[Examined]:
    store = cache_of(settings, cache_dir)
    yield from _isolated("the cache", lambda: _cache(store))
    yield from _isolated("the models", lambda: _models(settings, store))
    yield from _isolated("space", lambda: _space(settings, store))
    yield from _isolated("locks", lambda: _held_locks(store))


def _versions() -> Iterator[Examined]:
    yield Examined("Python", "fine", sys.version.split()[0])
    for package, name in _NEEDED:
        found = _version(package)
        if found is None:
            yield Examined(name, "wrong", "not installed", f"pip install {package}")
        else:
            yield Examined(name, "fine", found)
    for package in _FOR_REAL_MODELS:
        found = _version(package)
        yield Examined(package, "fine" if found else "note", found or "not installed: fakes only")


def _variables(settings: Settings) -> Iterator[Examined]:
    """Check for variables that contradict each other."""
    source = explain_environment(settings=settings).source
    yield Examined("the environment", "fine", f"{source.value}, by {explain_environment(settings=settings).reason}")
    variables = settings.variables
    if source.downloads and is_offline():
        variable = offline_variable()
        yield Examined(
            variable, "note" if lock_is_warm(settings) else "wrong",
            f"set, while {source.value} downloads what is missing",
            f"unset {variable}, or run `modelenv pull` while the Hub can be reached",
        )  # fmt: skip
    if settings.source is ModelSource.MOCK_MODELS and is_true(variables.get("GITHUB_ACTIONS")):
        yield Examined("MODEL_SOURCE", "note", f"mock_models from {settings.origins['source']}: no real model in CI")
    if is_true(variables.get("TESTING")) and settings.source not in (None, ModelSource.MOCK_MODELS):
        forced = settings.source.value if settings.source is not None else ""
        yield Examined(
            "TESTING", "wrong", f"true, while {settings.origins['source']} forces {forced}",
            "unset TESTING, or MODEL_SOURCE: the forced source wins, and tests then load real models",
        )  # fmt: skip
    if settings.environment == "production" and source is not ModelSource.PERSISTENT_VOLUME:
        yield Examined(
            "ENVIRONMENT", "wrong", f"production, while models come from {source.value}",
            "mount the volume at MODEL_VOLUME_DIR, and fill it with `modelenv pull --to`",
        )  # fmt: skip


def lock_is_warm(settings: Settings) -> bool:
    """Whether the lock names models and all of them are in the cache."""
    try:
        lock = lock_of(settings)
    except LockfileError:
        return False
    store = cache_of(settings, None)
    return bool(lock and lock.models) and all(_is_there(store, model) for model in (lock or Lockfile()).models)


def _is_there(store: Store, model: LockedModel) -> bool:
    """Whether the locked commit is in the cache, as far as this user can see."""
    return os.path.isdir(snapshot_of(store, model))  # noqa: PTH112 - pathlib raises if access is denied


def _project(settings: Settings) -> Iterator[Examined]:
    if settings.project_file is None:
        yield Examined("the project", "note", "no pyproject.toml here or above")
        return
    yield Examined("the project", "fine", f"{settings.project_file}, {counted(len(settings.models), 'model')}")
    try:
        lock = lock_of(settings)
    except LockfileError as error:
        yield Examined("modelenv.lock", "wrong", error.what, error.hint)
        return
    if lock is None:
        state = "note" if settings.models else "fine"
        yield Examined("modelenv.lock", state, "none: models are whatever the Hub serves today")
        return
    found = disagreements(settings.models, lock)
    if found:
        yield Examined("modelenv.lock", "wrong", "; ".join(map(str, found)), "run `modelenv lock`, and commit it")
    else:
        yield Examined("modelenv.lock", "fine", f"as declared, {counted(len(lock.models), 'model')}")


def _cache(store: Store) -> Iterator[Examined]:
    root = store.root
    place = _nearest(root)
    owner = place.stat().st_uid
    whose = "" if owner == os.getuid() else f", owned by user {owner} (this is user {os.getuid()})"
    if not place.is_dir():
        yield Examined("the cache", "wrong", f"{place} is not a folder", f"move it away, or set {store.setting}")
    elif place != root and os.access(place, os.W_OK | os.X_OK):
        yield Examined("the cache", "fine", f"{root}, does not exist yet")
    elif not os.access(place, os.W_OK | os.X_OK):
        mend = f"give this user permission to write it, or set {store.setting} to a folder of its own"
        yield Examined("the cache", "wrong", f"{root} is not writable{whose}", mend)
    else:
        yield Examined("the cache", "fine", f"{root}{whose}")
    aside = set_aside_files(store)
    if aside:
        found = f"{len(aside)} set aside, {size_text(sum(path.lstat().st_size for path in aside))}"
        yield Examined("damaged files", "note", f"{found}: `modelenv prune` removes them")


def _nearest(root: Path) -> Path:
    """Return the folder or its nearest parent that exists, as far as this user can see."""
    return next((path for path in (root, *root.parents) if os.path.exists(path)), root)  # noqa: PTH110 - never raises


def _models(settings: Settings, store: Store) -> Iterator[Examined]:
    """Find locked models in the cache that this user cannot read, or whose links lead out of the cache."""
    try:
        lock = lock_of(settings) or Lockfile()
    except LockfileError:
        return  # reported by `_project`
    for model in lock.models if os.access(store.root, os.R_OK | os.X_OK) else ():
        folder = snapshot_of(store, model)
        try:
            with reading(model.repo):
                closed = scan(folder, allow_links=True)[1] if folder.is_dir() else {}
                check_links(folder, root=store.root, model=model.repo)
        except ModelEnvError as error:
            yield Examined(model.alias, "wrong", f"{error.what}: {error.found}", error.hint)
            continue
        for path, reason in sorted(closed.items()):
            yield Examined(model.alias, "wrong", f"{folder / path}: {reason}", "give this user permission to read it")


def _space(settings: Settings, store: Store) -> Iterator[Examined]:
    free = shutil.disk_usage(_nearest(store.root)).free
    try:
        lock = lock_of(settings) or Lockfile()
    except LockfileError:
        lock = Lockfile()
    needed = total_size(model for model in lock.models if not _is_there(store, model))
    found = f"{size_text(free)} free, {size_text(needed)} still to fetch"
    if needed > free:
        yield Examined("space", "wrong", found, f"free space, or set {store.setting} to a folder on a larger disk")
    else:
        yield Examined("space", "fine", found)


def _held_locks(store: Store) -> Iterator[Examined]:
    """Find model locks that another process holds. A lock ends with its process, so it is never stale."""
    from filelock import FileLock, Timeout

    folder = store.root / ".locks" / "modelenv"
    for path in sorted(folder.glob("*.lock")) if os.access(folder, os.W_OK) else ():
        try:
            with FileLock(path, timeout=0):
                pass
        except Timeout:
            yield Examined("a lock", "note", f"{path} is held: another process is fetching this model")


def _volume(settings: Settings) -> Iterator[Examined]:
    root = settings.volume_dir
    if not root.exists():
        return
    try:
        metadata = volume_metadata(root)
    except LockfileError as error:
        found = error.what if error.found is None else f"{error.what}: {error.found}"
        yield Examined("the volume", "wrong", found, error.hint)
        return
    if metadata is None:
        mend = f"fill it with `modelenv pull --to {root}`; without its metadata nothing on it can be verified"
        yield Examined("the volume", "wrong", f"{root} has no modelenv metadata", mend)
        return
    closed = [model.folder for model in metadata.models if not os.access(root / model.folder, os.R_OK | os.X_OK)]
    if closed:
        mend = "give this user permission to read it"
        yield Examined("the volume", "wrong", f"{root}/{closed[0]} is missing or not readable", mend)
    else:
        yield Examined("the volume", "fine", f"{root}, {counted(len(metadata.models), 'model')}")


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
