"""The project's files, as far as every test run needs them: read without importing the library.

PYTEST_DONT_REWRITE: this module has no assertions, so pytest need not search it for them in every run.
"""

from __future__ import annotations

import os
from typing import Any

import pytest

# The values of `modelenv.environment.sources.ModelSource`.
SOURCES = ("persistent_volume", "mock_models", "download_on_demand", "local_cache", "huggingface_hub")
SOURCE_VARIABLE = "MODEL_SOURCE"

# The texts of the project's `pyproject.toml` and `.env`.
PROJECT_TEXTS: pytest.StashKey[tuple[str, str]] = pytest.StashKey()
# The folder of that `pyproject.toml`, or None.
_PROJECT_FOLDER: pytest.StashKey[str | None] = pytest.StashKey()
# The table `[tool.modelenv]` in the project's `pyproject.toml`, or None.
PROJECT_TABLE: pytest.StashKey[dict[str, Any] | None] = pytest.StashKey()


def a_file_may_force(config: pytest.Config) -> bool:
    """Whether the project's `pyproject.toml` or `.env` could name a source.

    If not, `modelenv.Settings` is not needed, nor its import. A MODEL_SOURCE in `.env` that is not one of modelenv's
    sources could belong to another program. It is ignored unless the user asks for real models.
    """
    project, variables = project_texts(config)
    if "tool.modelenv" in project and "source" in project:
        return True
    return SOURCE_VARIABLE in variables and (
        config.known_args_namespace.modelenv_real_models or _names_a_source(variables)
    )


def forces_a_source(config: pytest.Config) -> bool:
    """Whether MODEL_SOURCE, or a file of the project, names one of modelenv's sources."""
    return _names_a_source(os.environ.get(SOURCE_VARIABLE, "")) or a_file_may_force(config)


def _names_a_source(text: str) -> bool:
    text = text.lower()
    return any(source in text for source in SOURCES)


def project_texts(config: pytest.Config) -> tuple[str, str]:
    """Return the texts of the project's `pyproject.toml` and `.env`, read once. A missing file is an empty text.

    `modelenv.Settings` uses the same files: the nearest `pyproject.toml`, and `.env` beside it.
    """
    if PROJECT_TEXTS not in config.stash:
        folder, *texts = _project_texts()
        config.stash[_PROJECT_FOLDER], config.stash[PROJECT_TEXTS] = folder, (texts[0], texts[1])
    return config.stash[PROJECT_TEXTS]


def project_table(config: pytest.Config) -> dict[str, Any] | None:
    """Return the table `[tool.modelenv]` in the project's `pyproject.toml`, or None if there is none."""
    if PROJECT_TABLE not in config.stash:
        config.stash[PROJECT_TABLE] = _project_table(project_texts(config)[0])
    return config.stash[PROJECT_TABLE]


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


def has_lock(config: pytest.Config) -> bool:
    """Whether the project has a `modelenv.lock`, beside its `pyproject.toml`."""
    project_texts(config)
    folder = config.stash[_PROJECT_FOLDER]
    return folder is not None and os.path.isfile(f"{folder}/modelenv.lock")  # noqa: PTH113 - without another import


def _project_texts() -> tuple[str | None, str, str]:
    start = os.path.realpath(".")
    folders = [start]
    while (parent := os.path.dirname(folders[-1])) != folders[-1]:  # noqa: PTH120 - without another import
        folders.append(parent)
    project = next((each for each in folders if os.path.isfile(f"{each}/pyproject.toml")), None)  # noqa: PTH113
    own = "" if project is None else _text(f"{project}/pyproject.toml")
    return project, own, _text(f"{project or start}/.env")


def _text(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:  # noqa: PTH123
            return file.read()
    except OSError:
        return ""
