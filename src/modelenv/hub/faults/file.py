"""The file of faults for `modelenv hub serve --faults FILE`: TOML, with one table `[[fault]]` for each rule."""

from __future__ import annotations

import tomllib
from dataclasses import fields
from typing import TYPE_CHECKING, cast

from modelenv.errors import ConfigurationError
from modelenv.hub.faults.rules import Rule, RuleFields

if TYPE_CHECKING:
    from pathlib import Path

_NAMES = tuple(field.name for field in fields(Rule))


def read_faults(path: Path) -> tuple[RuleFields, ...]:
    """Return the rules in the file, in order, each as the arguments of `EmbeddedHub.fail`.

    Raises:
        ConfigurationError: The file cannot be read, is not TOML, or contains something that is not a rule. The error
            starts with the path and the number of the rule.
    """
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigurationError(f"{path}: cannot read the faults", found=error.strerror or str(error)) from None
    except ValueError as error:  # not TOML, or not UTF-8
        raise ConfigurationError(f"{path}: not valid TOML", found=str(error)) from None
    tables = content.get("fault")
    if set(content) != {"fault"} or not isinstance(tables, list):
        raise ConfigurationError(
            f"{path}: not a file of faults",
            expected="tables [[fault]], and nothing else",
            found=", ".join(content) or "nothing",
        )
    return tuple(_read_rule(path, number, table) for number, table in enumerate(tables, 1))


def _read_rule(path: Path, number: int, table: object) -> RuleFields:
    where = f"{path}: fault {number}"
    if not isinstance(table, dict):
        raise ConfigurationError(f"{where} is not a table", expected="[[fault]]", found=repr(table))
    unknown = sorted(set(table) - set(_NAMES))
    if unknown:
        raise ConfigurationError(
            f"{where} has unknown keys", expected=f"keys among {', '.join(_NAMES)}", found=", ".join(unknown)
        )
    try:
        Rule(**table)
    except ConfigurationError as error:
        raise ConfigurationError(
            f"{where}: {error.what}", expected=error.expected, found=error.found, hint=error.hint
        ) from None
    return cast("RuleFields", table)
