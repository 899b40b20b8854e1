"""The lines of the summary about requests to the Hub: which tests sent them, and what they cost."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from pytest_modelenv.startup import COLLECTED, OTHER_CODE, TEST

WHAT_TO_DO = (
    "run `modelenv adopt -- pytest ...` to lock these models (docs/existing-code.md); --model-guards=error makes a "
    "test that should use a fake fail instead, and names the line (docs/guards.md)"
)
_SHOWN = 10  # how many of the tests are named
_REPOS = 3  # how many repos of each are named


def request_lines(facts: Iterable[dict[str, Any]]) -> list[str]:
    """Return the lines for the facts of all processes: the total, and the tests that took the most seconds."""
    # By the seconds as they are shown: smaller differences mean nothing.
    senders = sorted(
        _by_sender(facts), key=lambda fact: (-round(fact["seconds"], 1), -fact["requests"], fact["name"])
    )
    total: dict[str, Any] = {what: sum(fact[what] for fact in senders) for what in _AMOUNTS}
    lines = [f"{_named(senders)} sent {_amounts(total, ' to the Hub:')}", *map(_line, senders[:_SHOWN])]
    if len(senders) > _SHOWN:
        lines.append(f"and {len(senders) - _SHOWN} more")
    return [*lines, WHAT_TO_DO]


_AMOUNTS = ("requests", "transfers", "bytes", "seconds")


def _by_sender(facts: Iterable[dict[str, Any]]) -> Iterable[dict[str, Any]]:
    """Return one fact for each sender. Several processes can collect the same file, or repeat a test."""
    added: dict[tuple[str, str], dict[str, Any]] = {}
    for fact in facts:
        of_sender = added.setdefault(
            (fact["kind"], fact["name"]), {**fact, **dict.fromkeys(_AMOUNTS, 0), "repos": []}
        )
        for what in _AMOUNTS:
            of_sender[what] += fact[what]
        of_sender["repos"] += [repo for repo in fact["repos"] if repo not in of_sender["repos"]]
    return added.values()


def _named(senders: Iterable[dict[str, Any]]) -> str:
    """Return how many tests, and what other code, sent the requests."""
    from modelenv.amounts import counted

    kinds = [fact["kind"] for fact in senders]
    parts = [counted(kinds.count(TEST), "test")] if TEST in kinds else []
    if COLLECTED in kinds:
        parts.append(f"{counted(kinds.count(COLLECTED), 'test file')} at collection")
    if OTHER_CODE in kinds:
        parts.append("a conftest.py or a plugin")
    return " and ".join(parts)


def _line(fact: dict[str, Any]) -> str:
    repos = sorted(fact["repos"])
    more = [f"{len(repos) - _REPOS} more"] if len(repos) > _REPOS else []
    named = ", ".join([*repos[:_REPOS], *more])
    where = " at collection" if fact["kind"] == COLLECTED else ""
    return f"{fact['name']}{where}: {_amounts(fact, ',')}" + (f" ({named})" if named else "")


def _amounts(fact: dict[str, Any], after_requests: str) -> str:
    return ", ".join(_parts(fact, after_requests))


def _parts(fact: dict[str, Any], after_requests: str) -> Iterator[str]:
    from modelenv.amounts import counted, size_text

    yield f"{counted(fact['requests'], 'request')}{after_requests} {size_text(fact['bytes'])}"
    yield f"{fact['seconds']:.1f} s"
    if fact["transfers"]:
        yield f"{counted(fact['transfers'], 'transfer')} over Xet, not measured"
