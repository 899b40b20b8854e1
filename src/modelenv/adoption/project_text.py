"""Adds declarations to the text of a `pyproject.toml`, and keeps its formatting and comments."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from modelenv.environment.project import Alias
from modelenv.errors import ConfigurationError

_TABLE = ("tool", "modelenv", "models")
_HEADER = "[tool.modelenv.models]"


def with_declarations(text: str, new: Mapping[str, Alias], *, path: Path) -> str:
    """Return `text` with the new models in `[tool.modelenv.models]`. Everything else stays as it is.

    Args:
        text: The text of the file, or an empty text.
        new: The models by alias. None of the aliases is declared yet.
        path: The file, for errors.

    Raises:
        ConfigurationError: The text is not valid TOML, or has another value in place of a table.
    """
    before = _parsed(text, path)
    if not new:
        return text
    after = _added(text.replace("\r\n", "\n"), before, {name: _value(alias) for name, alias in new.items()}, path)
    return after.replace("\n", "\r\n") if "\r\n" in text else after


def _added(text: str, before: Mapping[str, Any], values: Mapping[str, Any], path: Path) -> str:
    import tomlkit

    if "modelenv" not in before.get("tool", {}):
        lines = [f"{_key(name)} = {_inline(value)}\n" for name, value in values.items()]
        text = text if not text or text.endswith("\n") else text + "\n"
        after = "".join([text, "\n" if text else "", f"{_HEADER}\n", *lines])
    else:
        document = tomlkit.parse(text)
        table: Any = document
        for name in _TABLE:
            if name not in table:
                table[name] = tomlkit.table()
            table = table[name]
        _add(table, {name: tomlkit.value(_inline(value)) for name, value in values.items()})
        after = tomlkit.dumps(document)
    if not _is(after, _with(before, values)):
        raise ConfigurationError(
            "models cannot be added to this file without changing something else in it",
            expected="\n".join([_HEADER, *(f"{_key(name)} = {_inline(value)}" for name, value in values.items())]),
            found=str(path),
            hint="add these lines by hand, then run `modelenv lock`",
        )
    return after


def _add(table: Any, items: Mapping[str, Any]) -> None:
    """Add items before the blank lines and comments at the end of a table, which belong to what follows."""
    from tomlkit.items import Comment, Table, Whitespace

    last = []
    if isinstance(table, Table):
        body = table.value.body
        while body and isinstance(body[-1][1], Comment | Whitespace):
            last.append(body.pop()[1])
    for name, item in items.items():
        table[name] = item
    for trivia in reversed(last):
        table.add(trivia)


def _parsed(text: str, path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError("not valid TOML", found=f"{path}: {error}") from None


def _is(text: str, expected: Mapping[str, Any]) -> bool:
    try:
        return tomllib.loads(text) == expected
    except tomllib.TOMLDecodeError:  # such as a second table `tool`
        return False


def _with(document: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the document with the models added."""
    tool = dict(document.get("tool", {}))
    modelenv = dict(tool.get("modelenv", {}))
    modelenv["models"] = {**modelenv.get("models", {}), **values}
    return {**document, "tool": {**tool, "modelenv": modelenv}}


def _value(alias: Alias) -> str | dict[str, Any]:
    """Return the value of a declaration: the repo id alone if that says everything."""
    table: dict[str, Any] = {"repo": alias.ref.repo_id}
    if alias.ref.revision is not None:
        table["revision"] = alias.ref.revision
    if alias.task is not None:
        table["task"] = alias.task
    if alias.files:
        table["files"] = list(alias.files)
    return table["repo"] if len(table) == 1 else table


def _inline(value: str | list[str] | dict[str, Any]) -> str:
    from modelenv.locks.scalars import quote

    if isinstance(value, str):
        return quote(value)
    if isinstance(value, list):
        return "[" + ", ".join(map(quote, value)) + "]"
    return "{ " + ", ".join(f"{name} = {_inline(each)}" for name, each in value.items()) + " }"


def _key(name: str) -> str:
    from modelenv.locks.scalars import quote

    return name if name.replace("-", "").replace("_", "").isalnum() and name.isascii() else quote(name)
