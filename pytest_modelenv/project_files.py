"""The project's `pyproject.toml` and `.env`, as every test run needs them: without importing the library.

PYTEST_DONT_REWRITE: this module has no assertions, so pytest need not search it for them in every run.
"""

from __future__ import annotations

import os
from typing import Any

import pytest

# The texts of both files.
_TEXTS: pytest.StashKey[tuple[str, str]] = pytest.StashKey()
# The folder with the `pyproject.toml`, or None.
_FOLDER: pytest.StashKey[str | None] = pytest.StashKey()
# The table `[tool.modelenv]`, or None.
_TABLE: pytest.StashKey[dict[str, Any] | None] = pytest.StashKey()


def project_texts(config: pytest.Config) -> tuple[str, str]:
    """Return the texts of the project's `pyproject.toml` and `.env`, read once. A missing file is an empty text.

    `modelenv.Settings` uses the same files: the nearest `pyproject.toml`, and `.env` beside it.
    """
    if _TEXTS not in config.stash:
        config.stash[_FOLDER], config.stash[_TEXTS] = _project_files()
    return config.stash[_TEXTS]


def has_lock(config: pytest.Config) -> bool:
    """Whether the project has a `modelenv.lock`, beside its `pyproject.toml`."""
    project_texts(config)
    folder = config.stash[_FOLDER]
    return folder is not None and os.path.isfile(f"{folder}/modelenv.lock")  # noqa: PTH113 - without another import


def project_table(config: pytest.Config) -> dict[str, Any] | None:
    """Return the table `[tool.modelenv]` in the project's `pyproject.toml`, or None if there is none."""
    if _TABLE not in config.stash:
        config.stash[_TABLE] = _project_table(project_texts(config)[0])
    return config.stash[_TABLE]


def _project_table(text: str) -> dict[str, Any] | None:
    if "modelenv" not in text:
        return None
    import tomllib

    try:
        table: Any = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return None  # the programs that need the file report that
    for name in ("tool", "modelenv"):
        table = table.get(name) if isinstance(table, dict) else None
    return table if isinstance(table, dict) else None


def _project_files() -> tuple[str | None, tuple[str, str]]:
    """Return the project's folder, and the texts of its files."""
    start = os.path.realpath(".")
    folders = [start]
    while (parent := os.path.dirname(folders[-1])) != folders[-1]:  # noqa: PTH120 - without another import
        folders.append(parent)
    project = next((each for each in folders if os.path.isfile(f"{each}/pyproject.toml")), None)  # noqa: PTH113
    own = "" if project is None else _text(f"{project}/pyproject.toml")
    return project, (own, _text(f"{project or start}/.env"))


def _text(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:  # noqa: PTH123
            return file.read()
    except OSError:
        return ""
