"""The layouts in which a folder can contain models.

Three layouts are recognised under a root, in this order: the Hugging Face cache
(`models--<org>--<name>/snapshots/<commit>`, also one level down in `hub/`, as under `HF_HOME`),
`<root>/<org>/<name>`, and the plain `<root>/<name>`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from modelenv.references import ModelRef

CONFIG = "config.json"
_SNAPSHOTS = "snapshots"


class Layout(StrEnum):
    """The layout of a model's folder under its root."""

    HUB_CACHE = "Hugging Face cache"
    ORGANISATION = "<root>/<org>/<name>"
    PLAIN = "<root>/<name>"


@dataclass(frozen=True)
class CacheFolder:
    """A model's folder in the Hugging Face cache layout, `models--<org>--<name>`.

    Attributes:
        path: The path of the folder. It need not exist.
    """

    path: Path

    @classmethod
    def of_snapshot(cls, snapshot: Path) -> CacheFolder:
        """Return the folder that contains this snapshot."""
        return cls(snapshot.parent.parent)

    @property
    def blobs(self) -> Path:
        """The folder of the files, named by their ETags."""
        return self.path / "blobs"

    @property
    def snapshots(self) -> Path:
        """The folder of the snapshots, which link to the blobs."""
        return self.path / _SNAPSHOTS

    def snapshot(self, commit: str) -> Path:
        """Return the folder of one commit."""
        return self.snapshots / commit

    @property
    def refs(self) -> Path:
        """The folder of the references. Each is a file with the commit of a branch or a tag."""
        return self.path / "refs"

    def absent(self, commit: str) -> Path:
        """Return the folder of the empty files that mark which files a commit does not have."""
        return self.path / ".no_exist" / commit

    def listing(self, commit: str) -> Path:
        """Return the file in which `huggingface_hub` keeps the listing of a commit."""
        return self.path / "trees" / f"{commit}.json"


def is_snapshot(folder: Path) -> bool:
    """Whether the folder is a snapshot in the Hugging Face cache layout."""
    return folder.parent.name == _SNAPSHOTS


def cache_folders(root: Path, ref: ModelRef) -> tuple[CacheFolder, CacheFolder]:
    """Return the possible folders of the model under `root` in the Hugging Face cache layout, preferred first."""
    name = "models--" + ref.repo_id.replace("/", "--")
    return CacheFolder(root / name), CacheFolder(root / "hub" / name)


def plain_folders(root: Path, ref: ModelRef) -> tuple[tuple[Layout, Path], ...]:
    """Return the possible folders of the model under `root` in the plain layouts, preferred first."""
    if ref.organisation is None:
        return ((Layout.PLAIN, root / ref.name),)
    return (
        (Layout.ORGANISATION, root / ref.organisation / ref.name),
        (Layout.PLAIN, root / ref.name),
    )


def first_model(root: Path) -> Path | None:
    """Return the first folder under `root` that contains a model in any layout, or None."""
    return next(model_folders(root), None)


def model_folders(root: Path) -> Iterator[Path]:
    """Yield the folders under `root` that contain a model in any layout."""
    return (folder for folder in _candidates(root) if _is_model(folder))


def _candidates(root: Path) -> Iterator[Path]:
    for folder in _folders(root):
        if folder.name.startswith("models--"):
            yield from _folders(folder / _SNAPSHOTS)
        else:
            yield folder
            yield from _folders(folder)
    for folder in _folders(root / "hub"):
        if folder.name.startswith("models--"):
            yield from _folders(folder / _SNAPSHOTS)


def _is_model(folder: Path) -> bool:
    return os.path.isfile(folder / CONFIG)  # noqa: PTH113 - pathlib raises on a lack of permission


def _folders(folder: Path) -> Iterator[Path]:
    try:
        children = sorted(folder.iterdir())
    except OSError:
        return  # missing, forbidden or a loop of links: it contains no model that we can use
    yield from (child for child in children if not child.name.startswith("."))


def is_organisation(path: Path) -> bool:
    """Whether the folder contains an organisation's models: it has no `config.json`, but some subfolder has one."""
    return not (path / CONFIG).exists() and any((child / CONFIG).exists() for child in path.iterdir())


def stated_owner(path: Path, ref: ModelRef) -> str | None:
    """Return the repo id that transformers 4 wrote to the configuration, if its name matches, or None."""
    import json

    try:
        stated = json.loads((path / CONFIG).read_bytes()).get("_name_or_path")
    except (OSError, ValueError, AttributeError):
        return None  # a damaged configuration is reported by the check that follows
    same_name = isinstance(stated, str) and stated.count("/") == 1 and stated.endswith("/" + ref.name)
    return stated if same_name else None
