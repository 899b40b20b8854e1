"""The files of one model, as what decides on a load sees them: their names, and what the small ones say.

The same decision is made of a folder on disk, of a volume, and, before anything is there, of a repo's listing.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from modelenv.store.integrity import read_json

_MARKERS = ".no_exist"  # where `huggingface_hub` notes the files that a commit does not have


@dataclass(frozen=True)
class ModelFiles:
    """The files of one model that a load may read.

    Attributes:
        model: the model's name, for errors.
        place: where the files are, for errors.
        names: their names, with `/` between folders.
        read: returns what a JSON file holds: an object, or the type given. Raises `ModelIntegrityError`.
        absent: names of files that the Hub said this commit does not have.
    """

    model: str
    place: str
    names: frozenset[str]
    read: Callable[[str, type[Any]], Any]
    absent: frozenset[str] = frozenset()

    @classmethod
    def in_folder(cls, folder: Path, model: str, locked: Collection[str] | None = None) -> ModelFiles:
        """Return the files of a folder; of a locked model only those that the lock names."""
        names = frozenset(_names(folder))
        if locked is not None:
            names &= frozenset(locked)
        return cls(model, str(folder), names, partial(_read, folder, model), _absent(folder))

    @property
    def top(self) -> frozenset[str]:
        """The names of the files that are not in a subfolder."""
        return frozenset(name for name in self.names if "/" not in name)

    def object(self, name: str) -> dict[str, Any]:
        """Return the JSON object in a file; an empty one if there is no such file.

        Raises:
            ModelIntegrityError: the file cannot be read, or does not hold a JSON object.
        """
        content: dict[str, Any] = self.read(name, dict) if name in self.names else {}
        return content

    def below(self, folder: str) -> ModelFiles:
        """Return the files in a subfolder, with names relative to it; all of them for an empty name."""
        if not folder:
            return self
        start = f"{folder}/"
        names = frozenset(name.removeprefix(start) for name in self.names if name.startswith(start))
        return ModelFiles(
            self.model, f"{self.place}/{folder}", names, lambda name, kind: self.read(start + name, kind)
        )


@dataclass(frozen=True)
class Use:
    """What a set of files is to be loaded for.

    Attributes:
        task: the task of a transformers pipeline, or None for anything: then also what sentence-transformers reads.
        given: the parts of the pipeline that the caller gives, such as `tokenizer`.
        allow_pickle: whether pickled weights may be loaded.
        runs_code: whether code that comes with the model may run.
        closed: whether nothing but these files may be read, as everything that is loaded is locked.
        whole: whether the Hub, or the lock, says that these are all files. Else what transformers saves with every
            such model is demanded too.
        hint: how to get what is missing.
    """

    task: str | None = None
    given: Collection[str] = ()
    allow_pickle: bool = False
    runs_code: bool = False
    closed: bool = False
    whole: bool = True
    hint: str | None = None


def _read(folder: Path, model: str, name: str, kind: type[Any]) -> Any:
    return read_json(folder / name, model, kind)


def _names(folder: Path) -> Iterator[str]:
    """Yield the names of the files below the folder, behind links too; a folder that is met again is left out."""
    met: set[str] = set()
    for parent, folders, names in os.walk(folder, followlinks=True):
        real = os.path.realpath(parent)
        if real in met:
            folders.clear()
            continue
        met.add(real)
        for name in names:
            path = os.path.join(parent, name)  # noqa: PTH118 - as os.walk gives it
            if os.path.isfile(path):  # noqa: PTH113 - says no to what it may not look at, where pathlib raises
                yield os.path.relpath(path, folder).replace(os.sep, "/")


def _absent(folder: Path) -> frozenset[str]:
    if folder.parent.name != "snapshots":
        return frozenset()
    return frozenset(_names(folder.parent.parent / _MARKERS / folder.name))
