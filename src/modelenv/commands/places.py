"""The lock, the models and the folder that a command works on."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from modelenv.environment.detection import explain_environment
from modelenv.environment.settings import Settings
from modelenv.environment.sources import VOLUME_METADATA, ModelSource
from modelenv.errors import ConfigurationError, LockfileError
from modelenv.files.claims import claimant_of
from modelenv.locks.locked_models import lock_of
from modelenv.locks.project_lock import Lockfile
from modelenv.locks.values import LockedModel
from modelenv.store.store import Store
from modelenv.volume.metadata import VolumeMetadata
from modelenv.volume.reading import volume_metadata


def cache_of(settings: Settings, cache_dir: Path | None) -> Store:
    """Return the cache: `cache_dir`, else the folder in the settings, else that of the detected source."""
    claimant = claimant_of(settings.lock_path)
    if cache_dir is not None:
        return Store(cache_dir.absolute(), claimant=claimant, setting="--cache-dir")
    if settings.origins["cache_dir"] != "default":
        setting = settings.cache_setting(ModelSource.LOCAL_CACHE)
        return Store(settings.cache_dir.absolute(), claimant=claimant, setting=setting)
    source = explain_environment(settings=settings).source
    source = source if source.downloads else ModelSource.LOCAL_CACHE
    return Store.of(source, settings)


def volume_of(settings: Settings, volume: Path | None) -> Path | None:
    """Return `volume`, else the detected volume. Returns None if the source is not a volume."""
    if volume is not None:
        return volume.absolute()
    is_detected = explain_environment(settings=settings).source is ModelSource.PERSISTENT_VOLUME
    return settings.volume_dir if is_detected else None


def metadata_of(volume: Path) -> VolumeMetadata:
    """Return the volume's metadata.

    Raises:
        LockfileError: The metadata is missing or damaged.
    """
    metadata = volume_metadata(volume)
    if metadata is None:
        raise LockfileError(
            f"{volume / VOLUME_METADATA}: modelenv's metadata is missing, so this volume is not complete",
            hint=f"fill it with `modelenv pull --to {volume}`",
        )
    return metadata


def needed_lock(settings: Settings) -> Lockfile:
    """Return the project's lock.

    Raises:
        ConfigurationError: There is no project.
        LockfileError: There is no lock.
    """
    lock = lock_of(settings)
    if lock is None:
        raise LockfileError(f"{needed_lock_path(settings)}: there is no lock", hint="run `modelenv lock`")
    return lock


def needed_lock_path(settings: Settings) -> Path:
    """Return the path of the project's lock, whether or not the file exists.

    Raises:
        ConfigurationError: There is no project.
    """
    if settings.lock_path is None:
        raise ConfigurationError(
            "no pyproject.toml in this folder or above it",
            expected="a project that declares its models in [tool.modelenv.models]",
            found=str(Path.cwd()),
        )
    return settings.lock_path


def chosen(models: Iterable[LockedModel], names: Sequence[str]) -> tuple[LockedModel, ...]:
    """Return the models with these aliases or repo ids, or all models if `names` is empty.

    Raises:
        ConfigurationError: A name is unknown.
    """
    models = tuple(models)
    known = {name for model in models for name in (model.alias, model.repo)}
    check_names(names, known)
    return tuple(model for model in models if not names or model.alias in names or model.repo in names)


def check_names(names: Iterable[str], known: set[str]) -> None:
    """Check that every name is known.

    Raises:
        ConfigurationError: A name is unknown.
    """
    unknown = [name for name in names if name not in known]
    if unknown:
        raise ConfigurationError(
            "unknown model name", expected="one of " + (", ".join(sorted(known)) or "none"), found=unknown[0]
        )
