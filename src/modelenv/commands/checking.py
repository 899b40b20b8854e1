"""`modelenv verify`: compare a cache or a volume with the lock, byte for byte."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from modelenv.amounts import counted, size_text
from modelenv.commands.outcome import Outcome, code_of
from modelenv.commands.places import cache_of, check_names, chosen, metadata_of, volume_of
from modelenv.commands.progress import Progress
from modelenv.environment.settings import Settings
from modelenv.errors import ModelEnvError
from modelenv.files.disk import reading
from modelenv.files.hashing import Progress as Advance
from modelenv.loading.locked_folder import find_locked, snapshot_of
from modelenv.locks.locked_models import lock_of
from modelenv.locks.project_lock import Lockfile
from modelenv.locks.values import LockedModel, total_size
from modelenv.references import ModelRef
from modelenv.store.checks import Checks
from modelenv.store.integrity import check_links
from modelenv.store.loadable import check_locked
from modelenv.store.model_files import ModelFiles
from modelenv.store.model_folder import check_dangling
from modelenv.store.snapshots import snapshots
from modelenv.store.store import FoundModel, Store
from modelenv.store.verification import Difference, Kind
from modelenv.store.weights import check_weights
from modelenv.volume.hub_cache import lacking, separate_snapshots, wrong_references
from modelenv.volume.metadata import VolumeMetadata, VolumeModel
from modelenv.volume.reading import verify_on_volume


@dataclass(frozen=True)
class Checked:
    """The result of verifying one model.

    Attributes:
        name: The model's alias, or its repo id if there is no lock.
        commit: The expected commit.
        folder: The folder that was verified.
        differences: The files that differ from the lock.
        problem: Any other problem, or None.
        mend: How to fix the problem, or None if `modelenv pull` fixes it.
        hashed: The number of bytes that were hashed, or 0 if nothing had changed since the last time.
    """

    name: str
    commit: str
    folder: str
    differences: tuple[Difference, ...] = ()
    problem: str | None = None
    mend: str | None = None
    hashed: int = 0

    @property
    def is_fine(self) -> bool:
        """Whether the model has no differences and no problem."""
        return not self.differences and self.problem is None

    def lines(self) -> Iterator[str]:
        """Yield the lines of the text output."""
        name = f"{self.name} ({self.commit[:12]})"
        if self.is_fine:
            yield f"{name}: as locked" + (f", {size_text(self.hashed)} hashed" if self.hashed else ", unchanged")
            return
        yield f"{name}: {self.problem or counted(len(self.differences), 'difference')} in {self.folder}"
        yield from (f"  {difference}" for difference in self.differences)
        if self.mend is not None:
            yield f"  to fix: {self.mend}"


def verify(
    settings: Settings,
    progress: Progress,
    names: Sequence[str],
    *,
    full: bool = False,
    volume: Path | None = None,
    cache_dir: Path | None = None,
) -> Outcome:
    """Compare a cache with the lock, or a volume with its metadata and the lock, if there is one.

    If there is no lock, the files of the cache are compared with the hashes in their blob names, which come from the
    Hub.

    Args:
        settings: The settings, which name the lock and the detected source.
        progress: Shows the progress.
        names: Aliases or repo ids. Empty means all models.
        full: Whether all files are hashed, even those that have not changed since the last time.
        volume: The volume to verify. Default: the detected volume, else the cache.
        cache_dir: A cache other than the detected one.

    Raises:
        ModelEnvError: A lock or metadata cannot be read, or a name is unknown.
    """
    root = None if cache_dir is not None and volume is None else volume_of(settings, volume)
    lock = lock_of(settings)
    is_volume = root is not None
    if root is not None:
        found = _on_volume(root, lock, names, progress, full=full)
    else:
        store = cache_of(settings, cache_dir)
        root = store.root
        found = _in_cache(store, lock, names, progress, full=full) if lock else _unlocked(store, names, progress)
    wrong = [checked for checked in found if not checked.is_fine]
    lines = [line for checked in found for line in checked.lines()]
    lines.append(
        f"{root}: {counted(len(found), 'model')}, " + (f"{len(wrong)} with problems" if wrong else "all fine")
    )
    if lock is not None and any(checked.mend is None for checked in wrong):
        options = f" --to {root}" if is_volume else f" --cache-dir {root}" if cache_dir is not None else ""
        lines.append(f"to fix: modelenv pull{options}")
    if not found:
        lines = [f"{root}: no models to verify"]
    models = [{**asdict(checked), "fine": checked.is_fine} for checked in found]
    return Outcome(lines, {"place": str(root), "models": models}, code_of(wrong))


def _in_cache(store: Store, lock: Lockfile, names: Sequence[str], progress: Progress, *, full: bool) -> list[Checked]:
    models = chosen(lock.models, names)
    with progress.bar(f"verifying {store.root}", total_size(models)) as advance:
        return [_cached(store, model, Checks(full=full, progress=advance)) for model in models]


def _cached(store: Store, model: LockedModel, checks: Checks) -> Checked:
    try:
        with reading(model.repo):
            folder, verified = find_locked(store, model, checks)
    except ModelEnvError as error:
        folder = snapshot_of(store, model)
        return Checked(model.alias, model.commit, str(folder), problem=error.what, mend=error.hint)
    where = (model.alias, model.commit, str(folder))
    if not folder.is_dir():
        return Checked(*where, problem="missing")
    return _loadable(Checked(*where, verified.differences, hashed=verified.hashed), model)


def _loadable(checked: Checked, model: LockedModel) -> Checked:
    """Return the result. If the files match the lock, also check that they can be loaded."""
    if not checked.is_fine:
        return checked
    try:
        check_locked(Path(checked.folder), model)
    except ModelEnvError as error:
        return replace(checked, problem=_problem(error), mend=error.hint)
    return checked


def _problem(error: ModelEnvError) -> str:
    """Return what is wrong and what was expected. The output line adds the folder."""
    return error.what if error.expected is None else f"{error.what} (expected {error.expected})"


def _on_volume(
    root: Path, lock: Lockfile | None, names: Sequence[str], progress: Progress, *, full: bool
) -> list[Checked]:
    metadata = metadata_of(root)
    wanted = {model.alias for model in chosen([model.locked for model in metadata.models], names)}
    models = [model for model in metadata.models if model.locked.alias in wanted]
    with progress.bar(f"verifying {root}", total_size(model.locked for model in models)) as advance:
        found = [_placed(root, model, lock, Checks(full=full, progress=advance)) for model in models]
        found += _for_other_programs(root, metadata, {model.locked.repo for model in models}, full=full)
    held = {model.locked.alias for model in metadata.models}
    missing = [] if lock is None or names else [model for model in lock.models if model.alias not in held]
    return found + [Checked(model.alias, model.commit, str(root), problem="missing") for model in missing]


def _placed(root: Path, model: VolumeModel, lock: Lockfile | None, checks: Checks) -> Checked:
    where = (model.locked.alias, model.locked.commit, str(root / model.folder))
    locked = None if lock is None else lock.by_alias(model.locked.alias)
    try:
        verified = verify_on_volume(root, model, checks)
    except ModelEnvError as error:
        return Checked(*where, problem=error.what, mend=error.hint)
    stale = None
    if locked is not None and locked.commit != model.locked.commit:
        stale = f"stale (the lock names commit {locked.commit[:12]})"
    return _loadable(Checked(*where, verified.differences, stale, hashed=verified.hashed), model.locked)


def _for_other_programs(root: Path, metadata: VolumeMetadata, repos: set[str], *, full: bool) -> Iterator[Checked]:
    """Yield what Hugging Face programs would not read as locked, although the folders in the metadata are."""
    for snapshot in separate_snapshots(metadata):
        model = snapshot.model
        where = (model.repo, model.commit, str(root / snapshot.name))
        if model.repo in repos:
            try:
                differences = lacking(root, snapshot, Checks(full=full))
            except ModelEnvError as error:
                yield Checked(*where, problem=error.what, mend=error.hint)
                continue
            if differences:
                yield Checked(*where, differences)
    for reference, commit in wrong_references(root, metadata):
        model = reference.model
        if model.repo in repos:
            problem = f"the reference names {commit or 'no commit'}"
            yield Checked(model.repo, model.commit, str(root / reference.name), problem=problem)


def _unlocked(store: Store, names: Sequence[str], progress: Progress) -> list[Checked]:
    found = list(snapshots(store))
    check_names(names, {each.ref.repo_id for each in found})
    found = [each for each in found if not names or each.ref.repo_id in names]
    with progress.bar(f"verifying {store.root}", sum(each.size for each in found)) as advance:
        return [_named_by_hash(store, each.ref, each.found, each.size, advance) for each in found]


def _named_by_hash(store: Store, ref: ModelRef, found: FoundModel, size: int, advance: Advance) -> Checked:
    where = (ref.repo_id, found.commit or "", str(found.path))
    try:
        check_links(found.path, root=store.root, model=ref.repo_id)
        damaged = store.damaged_blobs(ref, found)
        if not damaged:
            check_dangling(found.path, ref.repo_id)
            check_weights(ModelFiles.in_folder(found.path, ref.repo_id), allow_pickle=True)
    except (ModelEnvError, OSError) as error:
        return Checked(*where, problem=getattr(error, "what", None) or str(error))
    advance(size)
    differences = [
        Difference(Kind.CHANGED, f"blobs/{blob.name}", f"hash {blob.name}", "other bytes") for blob in damaged
    ]
    return Checked(*where, tuple(differences), hashed=size)
