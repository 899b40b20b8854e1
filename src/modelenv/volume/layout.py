"""The two layouts of a volume: which folders it has for a set of models, and which references.

`plain` has `<org>/<name>` for people, and for programs that take a folder. `hub` is the layout of the Hugging Face
cache, so that `HF_HUB_CACHE` alone leads every Hugging Face program to the locked commits: plain files in
`models--<org>--<name>/snapshots/<commit>`, and `refs/<revision>` with the commit.

Such a program finds a commit only under that one name. So if the files that are locked of a commit change, its
snapshot must change too, whereas a folder in the metadata never does. In that case the metadata names a folder in
`sets/`, which has exactly the files of one model, and the snapshot has the files of all models at that commit.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from modelenv.locks.project_lock import Lockfile
from modelenv.locks.values import LockedFile, LockedModel
from modelenv.volume.metadata import VolumeMetadata, VolumeModel

_DEFAULT_BRANCH = "main"
_HUB_FOLDER = "models--"

Key = tuple[str, str, tuple[LockedFile, ...]]


class VolumeLayout(StrEnum):
    """The layout of a volume."""

    PLAIN = "plain"
    HUB = "hub"


@dataclass(frozen=True)
class Snapshot:
    """One commit as Hugging Face programs see it.

    Attributes:
        name: The path of the folder, relative to the volume's root.
        model: A model at that commit, with the files of all models at that commit.
    """

    name: str
    model: LockedModel


@dataclass(frozen=True)
class Reference:
    """A branch or a tag as Hugging Face programs see it.

    Attributes:
        name: The path of its file, relative to the volume's root. The file contains the commit.
        model: A model at that commit.
    """

    name: str
    model: LockedModel


def key_of(model: LockedModel) -> Key:
    """Return the values that two aliases must have in common to share a folder."""
    return model.repo, model.commit, model.files


def content_of(model: LockedModel) -> str:
    """Return an identifier of a folder's content, which is the same in every process."""
    return hashlib.sha256(repr(key_of(model)).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Plan:
    """The models that a volume will have, and its layout.

    Attributes:
        models: The models.
        layout: The layout.
    """

    models: tuple[LockedModel, ...]
    layout: VolumeLayout

    def names_of(self, model: LockedModel) -> Iterator[str]:
        """Yield the possible folders of the model, preferred first. The numbered ones never end."""
        with_commit = f"{model.repo}@{model.commit[:12]}"
        if self.layout is VolumeLayout.HUB:
            if self._is_whole_snapshot(model):
                yield _snapshot_name(model)
            with_commit = f"{_hub_folder(model)}/sets/{model.commit[:12]}"
        elif not any(other.repo.startswith(model.repo + "/") for other in self.models):  # it would be inside of it
            yield model.repo
        yield with_commit
        yield from (f"{with_commit}-{number}" for number in itertools.count(2))

    def fits(self, name: str, model: LockedModel) -> bool:
        """Whether the name of a folder that contains the model is one of this layout."""
        if self.layout is VolumeLayout.PLAIN:
            return not name.startswith(_HUB_FOLDER)
        if is_snapshot_name(name):
            return name == _snapshot_name(model) and self._is_whole_snapshot(model)
        return name.startswith(_hub_folder(model) + "/")

    def metadata(self, folders: Mapping[Key, str]) -> VolumeMetadata | None:
        """Return the metadata of the volume if every model has a folder, or None."""
        if not all(key_of(model) in folders for model in self.models):
            return None
        return VolumeMetadata(tuple(VolumeModel(model, folders[key_of(model)]) for model in self.models))

    @property
    def served(self) -> tuple[str, ...]:
        """The snapshots and references for Hugging Face programs."""
        return _served(self.models) if self.layout is VolumeLayout.HUB else ()

    @property
    def written(self) -> tuple[str, ...]:
        """The paths that will be written first of all. Each other path is in one of the same folders."""
        names = (next(self.names_of(model)) for model in self.models)
        return (*names, *self.served)

    def has_snapshot_elsewhere(self, metadata: VolumeMetadata) -> bool:
        """Whether the metadata names another folder for a model although a snapshot can have exactly its files."""
        best = (next(self.names_of(model.locked)) for model in metadata.models)
        return any(
            is_snapshot_name(name) and name != model.folder for name, model in zip(best, metadata.models, strict=True)
        )

    def _is_whole_snapshot(self, model: LockedModel) -> bool:
        """Whether the model has all files that are locked of its commit."""
        same = [other for other in self.models if other.ref == model.ref]
        return not {file for other in same for file in other.files}.difference(model.files)


def is_snapshot_name(name: str) -> bool:
    """Whether the folder is a commit for Hugging Face programs. Only such a folder can change."""
    return name.startswith(_HUB_FOLDER) and name.split("/")[1:2] == ["snapshots"]


def snapshots_of(models: Iterable[LockedModel]) -> tuple[Snapshot, ...]:
    """Return the snapshots of a volume with the layout `hub`."""
    found: dict[str, LockedModel] = {}
    for model in models:
        name = _snapshot_name(model)
        found[name] = _joined(found.get(name, model), model)
    return tuple(Snapshot(name, model) for name, model in found.items())


def references_of(models: Sequence[LockedModel]) -> tuple[Reference, ...]:
    """Return the references of a volume with the layout `hub`.

    The default branch is taken to be `main`, which programs ask for if they are given no revision. If models without
    a revision are locked at several commits, it names the one that `Lockfile.find` returns, as in a load by repo id.
    """
    lock, found = Lockfile(tuple(models)), {}
    for model in models:
        revision = model.revision or _DEFAULT_BRANCH
        meant = lock.find(model.repo) if revision == _DEFAULT_BRANCH else None
        meant = meant or lock.find(model.repo, revision) or model
        if revision != meant.commit:  # programs find a commit without a reference
            name = f"{_hub_folder(model)}/refs/{revision}"
            found[name] = Reference(name, meant)
    return tuple(found.values())


def layout_of(metadata: VolumeMetadata | None) -> VolumeLayout | None:
    """Return the layout of a filled volume, or None if it has no models."""
    if metadata is None or not metadata.models:
        return None
    return VolumeLayout.HUB if metadata.models[0].folder.startswith(_HUB_FOLDER) else VolumeLayout.PLAIN


def kept_names(metadata: VolumeMetadata | None) -> set[str]:
    """Return the folders and references that a volume with this metadata needs."""
    if metadata is None:
        return set()
    served = _served(metadata.lockfile.models) if layout_of(metadata) is VolumeLayout.HUB else ()
    return {*served, *(model.folder for model in metadata.models)}


def _served(models: Sequence[LockedModel]) -> tuple[str, ...]:
    return (*(snapshot.name for snapshot in snapshots_of(models)), *(each.name for each in references_of(models)))


def _hub_folder(model: LockedModel) -> str:
    return _HUB_FOLDER + model.repo.replace("/", "--")


def _snapshot_name(model: LockedModel) -> str:
    return f"{_hub_folder(model)}/snapshots/{model.commit}"


def _joined(one: LockedModel, other: LockedModel) -> LockedModel:
    return replace(one, files=tuple({file.path: file for file in (*one.files, *other.files)}.values()))
