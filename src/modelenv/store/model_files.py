"""The files of one model: their names, and a way to read the small ones.

All checks before a load use this view, so that a folder on disk, a volume and the listing of a repo whose files have
not been fetched are checked in the same way.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from modelenv.files.layouts import CacheFolder, is_snapshot
from modelenv.store.integrity import read_json


@dataclass(frozen=True)
class ModelFiles:
    """The files of one model that a load can read.

    Attributes:
        model: The model's name, for errors.
        place: The folder or the repo that contains the files, for errors.
        names: The paths of the files, with `/` between folders.
        read: A function that returns the content of a JSON file, which must have the given type (dict or list). It
            raises `ModelIntegrityError`.
        absent: The paths of files that this commit does not have, according to the Hub.
    """

    model: str
    place: str
    names: frozenset[str]
    read: Callable[[str, type[Any]], Any]
    absent: frozenset[str] = frozenset()

    @classmethod
    def in_folder(cls, folder: Path, model: str, locked: Collection[str] | None = None) -> ModelFiles:
        """Return the files of a folder. If `locked` is given, files that it does not contain are left out."""
        names = frozenset(_names(folder))
        if locked is not None:
            names &= frozenset(locked)
        return cls(model, str(folder), names, partial(_read, folder, model), _absent(folder))

    @property
    def top(self) -> frozenset[str]:
        """The names of the files that are not in a subfolder."""
        return frozenset(name for name in self.names if "/" not in name)

    def object(self, name: str) -> dict[str, Any]:
        """Return the JSON object in a file, or an empty one if the file does not exist.

        Raises:
            ModelIntegrityError: The file cannot be read, or is not a JSON object.
        """
        content: dict[str, Any] = self.read(name, dict) if name in self.names else {}
        return content

    def below(self, folder: str) -> ModelFiles:
        """Return the files in a subfolder, with paths relative to it. An empty name returns all files."""
        if not folder:
            return self
        start = f"{folder}/"
        names = frozenset(name.removeprefix(start) for name in self.names if name.startswith(start))
        return ModelFiles(
            self.model, f"{self.place}/{folder}", names, lambda name, kind: self.read(start + name, kind)
        )


@dataclass(frozen=True)
class Use:
    """The purpose for which a set of files is loaded.

    Attributes:
        task: The task of a transformers pipeline. None if it is unknown: then the files that sentence-transformers
            reads are required too.
        given: The parts of the pipeline that the caller passes, such as `tokenizer`.
        allow_pickle: Whether pickled weights are allowed.
        runs_code: Whether code that comes with the model is allowed to run.
        closed: Whether only these files are allowed to be read, because everything that is loaded must be locked.
        whole: Whether the set is known to be complete, from the Hub or the lock. If not, the files that transformers
            saves with every such model are required too.
        hint: How to get missing files.
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
    """Yield the paths of the files below the folder. Follows links, but visits each real folder only once."""
    visited: set[str] = set()
    for parent, folders, names in os.walk(folder, followlinks=True):
        real = os.path.realpath(parent)
        if real in visited:
            folders.clear()
            continue
        visited.add(real)
        for name in names:
            path = os.path.join(parent, name)  # noqa: PTH118 - faster than pathlib
            if os.path.isfile(path):  # noqa: PTH113 - pathlib raises on a lack of permission
                yield os.path.relpath(path, folder).replace(os.sep, "/")


def _absent(folder: Path) -> frozenset[str]:
    if not is_snapshot(folder):
        return frozenset()
    return frozenset(_names(CacheFolder.of_snapshot(folder).absent(folder.name)))
