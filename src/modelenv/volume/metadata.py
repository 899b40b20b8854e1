"""Reads and writes `model-metadata.yaml`, which lists the models on a volume as text for people.

It is YAML in a form that every YAML library reads as the same data: blocks, with text in double quotes, so that no
library reads a commit as a number or the label `no` as false.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modelenv.forks import cached_property
from modelenv.locks.line_numbers import Origin
from modelenv.locks.project_lock import Lockfile, check_unique_aliases
from modelenv.locks.scalars import quote, scalar
from modelenv.locks.tables import VERSION, locked_model_from, models_from
from modelenv.locks.text_file import write_text
from modelenv.locks.values import LockedFile, LockedModel, LockedValueError, check_path, show

_HEADER = """\
# The models on this volume. Written by `modelenv pull --to`, last of all: that this file is here means that the
# volume is complete. It is read and checked at every load; do not edit it.
"""
_HINT = "run `modelenv pull --to` to write a new one"
_OURS = (_HEADER.partition(".")[0], "version:")


@dataclass(frozen=True)
class VolumeModel:
    """A model on a volume.

    Attributes:
        locked: The locked model.
        folder: The path of its folder, relative to the volume's root.

    Raises:
        LockedValueError: The folder is not below the root.
    """

    locked: LockedModel
    folder: str

    def __post_init__(self) -> None:
        check_path(self.folder, "folder")


@dataclass(frozen=True)
class VolumeMetadata:
    """All models on a volume, sorted by alias.

    Raises:
        LockedValueError: Two models have the same alias, or one folder has two models or two commits.
    """

    models: tuple[VolumeModel, ...] = ()

    def __post_init__(self) -> None:
        check_unique_aliases([model.locked.alias for model in self.models])
        owners: dict[str, tuple[str, str]] = {}
        for index, model in enumerate(self.models):
            owner = (model.locked.repo, model.locked.commit)
            if owners.setdefault(model.folder, owner) != owner:
                raise LockedValueError(
                    "one folder cannot contain two models or two commits",
                    found=show(model.folder),
                    where=("models", index, "folder"),
                )
        object.__setattr__(self, "models", tuple(sorted(self.models, key=lambda model: model.locked.alias)))

    @cached_property
    def lockfile(self) -> Lockfile:
        """The lock of the models on the volume."""
        return Lockfile(tuple(model.locked for model in self.models))

    def by_alias(self, alias: str) -> VolumeModel | None:
        """Return the model with this alias, or None."""
        return self._aliases.get(alias)

    def find(self, repo_id: str, revision: str | None = None) -> VolumeModel | None:
        """Return the model that `Lockfile.find` finds, or None."""
        locked = self.lockfile.find(repo_id, revision)
        return None if locked is None else self._aliases[locked.alias]

    def holding(self, locked: LockedModel) -> VolumeModel | None:
        """Return the model at the commit of a project's lock, or None. Several locks can share a volume.

        A model with the same files is preferred.
        """
        same = [
            each for each in self.models if (each.locked.repo, each.locked.commit) == (locked.repo, locked.commit)
        ]
        return min(same, key=lambda each: each.locked.files != locked.files, default=None)

    @cached_property
    def _aliases(self) -> Mapping[str, VolumeModel]:
        return {model.locked.alias: model for model in self.models}


def parse_metadata(text: str, path: Path | str) -> VolumeMetadata:
    """Parse the text of a volume's metadata; `path` is used in errors.

    Raises:
        LockfileError: The text is not valid metadata; the message starts with `path:line`.
    """
    from modelenv.volume.yaml_reader import read_yaml  # imports PyYAML, which only volumes need

    return Origin(path, _HINT).parse(text, read_yaml, lambda value: VolumeMetadata(models_from(value, _model_from)))


def format_metadata(metadata: VolumeMetadata) -> str:
    """Return the text of `metadata`. The same models always give the same text, and vice versa."""
    models = [line for model in metadata.models for line in _format_model(model)]
    return "\n".join([f"{_HEADER}version: {VERSION}", "models:" if models else "models: []", *models]) + "\n"


def read_metadata(path: Path | str) -> VolumeMetadata | None:
    """Read a volume's metadata from a file, or return None if the file was written by hand in another form.

    Raises:
        LockfileError: The file cannot be read, or is damaged.
    """
    text = Origin(path, _HINT).read()
    # One damaged byte cannot hit both lines, so a damaged file of ours is not mistaken for one written by hand.
    if not any(line.startswith(_OURS) for line in text.splitlines()):
        return None
    return parse_metadata(text, path)


def write_metadata(path: Path, metadata: VolumeMetadata) -> bool:
    """Write the file atomically, readable for everyone, and return whether it changed.

    Raises:
        NoSpaceError: The disk is full.
        ConfigurationError: The file cannot be written, or would be too large to be read again.
    """
    return write_text(path, format_metadata(metadata), mode=0o644)


def _model_from(table: Any) -> VolumeModel:
    locked = locked_model_from(table, "folder")
    return VolumeModel(locked, table["folder"])


def _format_model(model: VolumeModel) -> list[str]:
    locked = model.locked
    named = [
        ("alias", locked.alias),
        ("repo", locked.repo),
        ("folder", model.folder),
        ("revision", locked.revision),
        ("commit", locked.commit),
        ("task", locked.task),
        ("patterns", locked.patterns or None),
    ]
    lines = [line for key, value in named if value is not None for line in _format_entry(key, value)]
    if locked.facts:
        lines.append("facts:")
        lines += ["  " + line for key, value in locked.facts.items() for line in _format_entry(key, value)]
    lines += ["files:", *(line for file in locked.files for line in _format_file(file))]
    return ["  - " + lines[0], *("    " + line for line in lines[1:])]


def _format_entry(key: str, value: Any) -> list[str]:
    if not isinstance(value, tuple):
        return [f"{key}: {scalar(value)}"]
    return [f"{key}:", *(f"  - {quote(item)}" for item in value)] if value else [f"{key}: []"]


def _format_file(file: LockedFile) -> list[str]:
    return [
        f"  - path: {quote(file.path)}",
        f"    size: {file.size}",
        f"    sha256: {quote(file.sha256)}",
        f"    blob_id: {quote(file.blob_id)}",
    ]
