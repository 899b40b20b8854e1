"""Finds, reads and validates `[tool.modelenv]` in `pyproject.toml`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

from modelenv.errors import ConfigurationError
from modelenv.references import ModelRef
from modelenv.tasks import resolve_task

PROJECT_FILE = "pyproject.toml"
_SETTINGS = frozenset({"source", "cache_dir", "volume_dir", "timeout", "device"})
_ALIAS_KEYS = frozenset({"repo", "task", "revision", "files"})


@dataclass(frozen=True)
class Alias:
    """A model that the project declares under its own name.

    Attributes:
        ref: The repo and the revision.
        task: The model's task, or None if each call names it.
        files: Patterns of the files to lock, such as `onnx/*`; empty for the files that transformers loads.
    """

    ref: ModelRef
    task: str | None = None
    files: tuple[str, ...] = ()


@dataclass(frozen=True)
class ProjectFile:
    """The `[tool.modelenv]` table of a `pyproject.toml`; empty if there is no such file.

    Attributes:
        path: The path of the file, or None.
        settings: The plain settings, not yet validated.
        models: The models by alias, validated.
    """

    path: Path | None = None
    settings: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    models: Mapping[str, Alias] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def folder(self) -> Path | None:
        """The project's folder. Paths in the project file are relative to it."""
        return None if self.path is None else self.path.parent

    @property
    def lock_path(self) -> Path | None:
        """The path of the lock, which need not exist, beside the project file; None without a project file."""
        return lock_beside(self.path)


def lock_beside(file: Path | None) -> Path | None:
    """Return the path of the lock, which need not exist, beside a project file; None for None."""
    return None if file is None else file.with_name("modelenv.lock")


def find_project_file(folder: Path) -> Path | None:
    """Return the nearest `pyproject.toml` in `folder` or a folder above it, or None."""
    parent, last = str(folder.absolute()), ""
    while parent != last:
        path = os.path.join(parent, PROJECT_FILE)  # noqa: PTH118 - faster than pathlib, for every test
        if os.path.isfile(path):  # noqa: PTH113 - pathlib raises if this user may not search the folder
            return Path(path)
        parent, last = os.path.dirname(parent), parent  # noqa: PTH120 - faster than pathlib
    return None


def read_project_file(path: Path | None) -> ProjectFile:
    """Read `[tool.modelenv]` from `path`.

    Raises:
        ConfigurationError: The file cannot be read or is not TOML, or the table has an unknown key or an invalid
            value.
    """
    if path is None:
        return ProjectFile()
    try:
        state = path.stat()
        return _read(path, state.st_size, state.st_mtime_ns, state.st_ino)
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError("the project file cannot be read", found=f"{path}: {error}") from None


@lru_cache(maxsize=8)  # each new manager reads it, and tests create many
def _read(path: Path, size: int, mtime_ns: int, inode: int) -> ProjectFile:
    del size, mtime_ns, inode  # part of the cache key: they change when the file does
    text = path.read_text(encoding="utf-8")
    if "modelenv" not in text:
        return ProjectFile(path)  # no need to parse it
    import tomllib

    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError("not valid TOML", found=f"{path}: {error}") from None
    tools = _table(document.get("tool", {}), f"{path}: tool")
    table = _table(tools.get("modelenv", {}), f"{path}: [tool.modelenv]")
    models = _table(table.pop("models", {}), f"{path}: [tool.modelenv.models]")
    _check_keys(table, _SETTINGS, f"{path}: [tool.modelenv]")
    aliases = {name: _alias(name, value, path) for name, value in models.items()}
    return ProjectFile(path, MappingProxyType(table), MappingProxyType(aliases))


def _alias(name: str, value: Any, path: Path) -> Alias:
    place = f"{path}: [tool.modelenv.models] {name}"
    table = {"repo": value} if isinstance(value, str) else _table(value, place, "the repo id as text, or a table")
    _check_keys(table, _ALIAS_KEYS, place)
    if "repo" not in table:
        raise ConfigurationError("the model has no repo", expected=f'{name} = {{ repo = "org/name" }}', found=place)
    try:
        ModelRef.parse(name)  # an alias must be a valid model name too, as locks and calls use it like one
        ref = ModelRef.parse(table["repo"], table.get("revision"))
        return Alias(ref, _task(table.get("task")), _patterns(table.get("files", [])))
    except ConfigurationError as error:
        raise ConfigurationError(
            f"{error.what} (in {place})", expected=error.expected, found=error.found, hint=error.hint
        ) from None


def _task(value: Any) -> str | None:
    if not isinstance(value, str | None):
        raise ConfigurationError("a task must be text", found=repr(value))
    if value is not None:
        resolve_task(value)
    return value


def _patterns(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(item, str) and item.strip() for item in value):
        raise ConfigurationError(
            "files must be a list of patterns", expected='["*.json", "onnx/*"]', found=repr(value)
        )
    return tuple(value)


def _table(value: Any, place: str, expected: str = "a table") -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ConfigurationError(f"wrong value for {place}", expected=expected, found=repr(value))
    return dict(value)


def _check_keys(table: Mapping[str, Any], known: frozenset[str], place: str) -> None:
    unknown = sorted(set(table) - known)
    if unknown:
        raise ConfigurationError(
            f"unknown key {unknown[0]!r} in {place}", expected="one of " + ", ".join(sorted(known))
        )
