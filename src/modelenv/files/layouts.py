"""The layouts in which a folder can contain models.

Three layouts are recognised under a root, in this order: the Hugging Face cache
(`models--<org>--<name>/snapshots/<commit>`, also one level down in `hub/`, as under `HF_HOME`),
`<root>/<org>/<name>`, and the plain `<root>/<name>`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path

from modelenv.references import ModelRef

CONFIG = "config.json"


class Layout(StrEnum):
    """The layout of a model's folder under its root."""

    HUB_CACHE = "Hugging Face cache"
    ORGANISATION = "<root>/<org>/<name>"
    PLAIN = "<root>/<name>"


def hub_cache_folders(root: Path, ref: ModelRef) -> tuple[Path, ...]:
    """Return the possible folders of the model under `root` in the Hugging Face cache layout."""
    name = "models--" + ref.repo_id.replace("/", "--")
    return root / name, root / "hub" / name


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
            yield from _folders(folder / "snapshots")
        else:
            yield folder
            yield from _folders(folder)
    for folder in _folders(root / "hub"):
        if folder.name.startswith("models--"):
            yield from _folders(folder / "snapshots")


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
