"""Scripted answers: `fake.when(pattern).returns(…)` and `.raises(…)`, for every family of tasks."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from modelenv.errors import ConfigurationError

Pattern = str | re.Pattern[str] | Callable[[str], object]
"""A part of the text (case-sensitive), a compiled regular expression to search for, or a function of the text."""


@dataclass
class Script:
    """The rules of one fake. If several match, the last one applies, so a test can override its fixture."""

    rules: list[tuple[Pattern, object]] = field(default_factory=list)

    def add(self, pattern: Pattern, outcome: object) -> None:
        """Add a rule: return `outcome`, or raise it if it is an exception, for inputs that match `pattern`."""
        self.rules.append((pattern, outcome))

    def find(self, texts: Iterable[str]) -> Any:
        """Return the outcome of the last rule that matches one of `texts`, or None.

        Raises:
            BaseException: The outcome, if it was scripted with `raises`.
        """
        for pattern, outcome in reversed(self.rules):
            if any(_matches(pattern, text) for text in texts):
                if isinstance(outcome, (BaseException, type)):
                    raise outcome
                return outcome
        return None


class When:
    """A rule without its outcome. The subclass of each task adds its own `returns`."""

    def __init__(self, script: Script, pattern: Pattern) -> None:
        if not (isinstance(pattern, (str, re.Pattern)) or callable(pattern)):
            raise ConfigurationError(
                "invalid pattern of a rule",
                expected="a part of the text, a compiled regular expression, or a function of the text",
                found=repr(pattern),
                hint='write fake.when("crash") or fake.when(re.compile("crash", re.IGNORECASE))',
            )
        self._script = script
        self._pattern = pattern

    def raises(self, error: BaseException | type[BaseException]) -> None:
        """Raise `error` for every matching input.

        Raises:
            ConfigurationError: `error` is not an exception.
        """
        if not isinstance(error, BaseException) and not (
            isinstance(error, type) and issubclass(error, BaseException)
        ):
            raise ConfigurationError(
                "a rule can only raise an exception",
                expected="an exception or an exception class",
                found=repr(error),
                hint='write fake.when("crash").raises(RuntimeError("out of memory"))',
            )
        self._add(error)

    def _add(self, outcome: object) -> None:
        self._script.add(self._pattern, outcome)


def _matches(pattern: Pattern, text: str) -> bool:
    if isinstance(pattern, str):
        return pattern in text
    if isinstance(pattern, re.Pattern):
        return pattern.search(text) is not None
    return bool(pattern(text))
