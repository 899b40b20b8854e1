"""Builds the models of a lock or of a volume's metadata from the plain values of the text."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from modelenv.locks.values import LockedFile, LockedModel, LockedValueError, show, within

VERSION = 1
_FILE_KEYS = ("path", "size", "sha256", "blob_id")
_MODEL_KEYS = ("alias", "repo", "commit", "files")
_OPTIONAL_KEYS = ("revision", "task", "patterns", "facts")

Value = TypeVar("Value")


def models_from(document: Any, model_from: Callable[[Any], Value]) -> tuple[Value, ...]:
    """Return the models of a document with the keys `version` and `models`.

    Raises:
        LockedValueError: A value in the document is invalid.
    """
    version = document.get("version") if isinstance(document, dict) else None
    if type(version) is int and version != VERSION:
        raise unknown_version(version)
    table = take(document, ("version",), ("models",))
    if type(version) is not int:
        raise LockedValueError("wrong version", expected=f"{VERSION}", found=show(version), where=("version",))
    return _each(table, "models", model_from)


def unknown_version(version: int) -> LockedValueError:
    """Return the error for a version that this modelenv cannot read."""
    return LockedValueError(
        "unknown version of the file",
        expected=f"version {VERSION}, the only one that this modelenv can read",
        found=f"version {show(version)}",
        hint="upgrade modelenv" if version > VERSION else None,
        where=("version",),
    )


def locked_model_from(table: Any, *other_keys: str) -> LockedModel:
    """Return the model of a table of plain values. The table must also have `other_keys`.

    Raises:
        LockedValueError: A value in the table is invalid.
    """
    table = take(table, (*_MODEL_KEYS, *other_keys), _OPTIONAL_KEYS)
    facts = table.get("facts", {})
    with within("facts"):
        take(facts, (), tuple(facts) if isinstance(facts, dict) else ())
    return LockedModel(
        alias=table["alias"],
        repo=table["repo"],
        revision=table.get("revision"),
        commit=table["commit"],
        task=table.get("task"),
        files=_each(table, "files", _file_from),
        patterns=_each(table, "patterns", lambda pattern: pattern),
        facts=facts,
    )


def take(table: Any, required: tuple[str, ...], optional: tuple[str, ...] = ()) -> dict[str, Any]:
    """Return `table` after checking that it is a table with these keys.

    Raises:
        LockedValueError: `table` is not a table, or a key is missing or unknown.
    """
    if not isinstance(table, dict):
        raise LockedValueError("wrong kind of value", expected="a table", found=show(table))
    for key in table:
        if key not in required and key not in optional:
            known = ", ".join((*required, *optional))
            raise LockedValueError("unknown key", expected=f"one of {known}", found=show(key), where=(key,))
    for key in required:
        if key not in table:
            raise LockedValueError(f"the key {key!r} is missing", found=", ".join(table) or "no key")
    return table


def _each(table: dict[str, Any], key: str, build: Callable[[Any], Value]) -> tuple[Value, ...]:
    items = table.get(key, [])
    if not isinstance(items, list):
        raise LockedValueError("wrong kind of value", expected="a list", found=show(items), where=(key,))
    built = []
    for index, item in enumerate(items):
        with within(key, index):
            built.append(build(item))
    return tuple(built)


def _file_from(table: Any) -> LockedFile:
    return LockedFile(**take(table, _FILE_KEYS))
