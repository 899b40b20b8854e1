"""The command `modelenv adopt`: from a suite or program that asks the Hub to one that finds locked models."""

from __future__ import annotations

import difflib
import shutil
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from modelenv.adoption.declaring import (
    Contents,
    Use,
    aliases_of,
    merge_commits,
    names_of_commits,
    new_declarations,
    summarize,
)
from modelenv.adoption.project_text import with_declarations
from modelenv.adoption.runs import Run, run_command
from modelenv.amounts import counted, size_text
from modelenv.commands.fetching import pull
from modelenv.commands.locks import locker_of, write_lock
from modelenv.commands.outcome import Outcome, columns
from modelenv.commands.places import cache_of, needed_lock
from modelenv.commands.progress import Progress
from modelenv.environment.project import PROJECT_FILE, Alias
from modelenv.environment.settings import Settings
from modelenv.environment.sources import ModelSource
from modelenv.errors import ConfigurationError, ModelNotFoundError
from modelenv.locks.locked_models import lock_of
from modelenv.locks.project_lock import Lockfile
from modelenv.locks.text_file import write_text
from modelenv.references import ModelRef, is_commit

_TESTS_FAILED = 1  # pytest's exit code if tests failed, and nothing else is wrong
_SHOWN = 10  # how many tests are named


@dataclass(frozen=True)
class _Adopted:
    """What is declared for what the command asked for."""

    models: Mapping[ModelRef, Use]
    names: Mapping[tuple[str, str], ModelRef]
    new: Mapping[str, Alias]
    leftovers: Sequence[str]


def adopt(
    settings: Settings,
    progress: Progress,
    command: Sequence[str],
    *,
    dry_run: bool = False,
    cache_dir: Path | None = None,
) -> Outcome:
    """Run a command, declare, lock and fetch the models that it asks for, and run it again without the Hub.

    Args:
        settings: The settings, which name the project.
        progress: Shows the progress.
        command: The command and its arguments.
        dry_run: Whether to run the command once, and only show how `pyproject.toml` would change.
        cache_dir: A cache other than the detected one.

    Returns:
        The outcome. Its exit code is that of the command in its last run.

    Raises:
        ConfigurationError: There is no such command, or `pyproject.toml` cannot be changed.
        ModelEnvError: A model cannot be locked or fetched. What was written before stays.
    """
    program = shutil.which(command[0])
    if program is None:
        raise ConfigurationError("there is no such command", found=command[0], hint="check its name and PATH")
    output = sys.stderr if progress.quiet else sys.stdout  # with --json, stdout is for the object alone
    progress.say("first run: recording what the command asks the Hub for")
    first = run_command(program, command, output)
    stopped = _why_to_stop(first)
    if stopped is not None:
        return Outcome([stopped], {"stopped": stopped}, first.code or 1)
    adopted = _what_to_declare(settings, progress, first, cache_dir)
    path = settings.project_file or Path.cwd() / PROJECT_FILE
    before = path.read_bytes().decode() if path.exists() else ""  # with the line endings that it has
    after = with_declarations(before, adopted.new, path=path)
    if dry_run:
        return _dry(path, before, after, adopted, first.code)
    if not adopted.models:
        lines = ["the command asked for no model on the Hub: nothing to declare", *_leftover_lines(adopted.leftovers)]
        return Outcome(lines, {"models": [], "leftovers": list(adopted.leftovers)}, first.code)
    if after != before:
        mode = path.stat().st_mode & 0o777 if path.exists() else None
        write_text(path.resolve(), after, mode=mode)
    settings = settings.read_again()
    write_lock(settings, progress, cache_dir=cache_dir)
    aliases = [name for ref in adopted.models for name in aliases_of(ref, settings.models)]
    pull(settings, progress, aliases, cache_dir=cache_dir)
    progress.say("second run: the lock answers, and the Hub is out of reach")
    cache = cache_of(settings, cache_dir).root
    second = run_command(program, command, output, project=path.parent, cache=cache)
    outcome = _outcome(path, adopted, needed_lock(settings), settings.models, (first, second))
    if not first.seen.finished:
        return outcome
    is_users = cache == settings.root_of(ModelSource.HUGGINGFACE_HUB)
    source = ModelSource.HUGGINGFACE_HUB if is_users else ModelSource.DOWNLOAD_ON_DEMAND
    how = (
        f"pytest runs like this with model_source = {source.value} in its ini file, or -o model_source={source.value}"
    )
    return replace(outcome, lines=[*outcome.lines, how], data={**outcome.data, "model_source": source.value})


def _why_to_stop(first: Run) -> str | None:
    """Return why the first run is not enough to go on, or None. Failed tests are no reason: they ask, too."""
    if not first.seen.processes:
        return (
            "first run: no Python process of the command could be observed, so nothing was written; install modelenv "
            "in the environment of the command, and do not start Python with -I, -E or -S"
        )
    if first.code and not (first.code == _TESTS_FAILED and first.seen.failed):
        return f"first run: the command failed with exit code {first.code}, so nothing was written"
    return None


def _what_to_declare(settings: Settings, progress: Progress, first: Run, cache_dir: Path | None) -> _Adopted:
    found, locker = summarize(first.seen.asked), locker_of(settings, progress, cache_dir)
    lock = lock_of(settings) or Lockfile()
    contents: dict[ModelRef, Contents] = {}
    leftovers = [f"{what} ({counted(requests, 'request')})" for what, requests in found.leftovers.items()]
    for ref, use in sorted(found.models.items(), key=lambda item: is_commit(item[0].revision)):
        name = names_of_commits(lock, contents).get((ref.repo_id, ref.revision or ""), ref)
        if name in contents:
            continue
        progress.say(f"{ref}: asking the Hub")
        try:
            commit, files = locker.contents(ref)
        except ModelNotFoundError:
            leftovers.append(f"{ref}: not on the Hub, or not accessible ({counted(use.requests, 'request')})")
        else:
            contents[name] = Contents(commit, frozenset(files))
    names = names_of_commits(lock, contents)
    models = {ref: use for ref, use in merge_commits(found.models, names).items() if ref in contents}
    return _Adopted(models, names, new_declarations(models, contents, settings.models), leftovers)


def _dry(path: Path, before: str, after: str, adopted: _Adopted, code: int) -> Outcome:
    name = path.name
    diff = difflib.unified_diff(before.splitlines(), after.splitlines(), f"a/{name}", f"b/{name}", lineterm="")
    lines = list(diff) or [f"{path}: nothing to declare"]
    return Outcome([*lines, *_leftover_lines(adopted.leftovers)], {"diff": "\n".join(lines)}, code)


def _outcome(
    path: Path, adopted: _Adopted, lock: Lockfile, declared: Mapping[str, Alias], runs: tuple[Run, Run]
) -> Outcome:
    first, second = runs
    after = summarize(second.seen.asked)
    again = merge_commits(after.models, adopted.names)
    rows = [
        _row(ref, use, again.get(ref, Use()), lock, aliases_of(ref, declared)) for ref, use in adopted.models.items()
    ]
    header = ("model", "commit", "size", "tests", "requests", "without the Hub")
    lines = columns(header, *map(_cells, rows))
    lines += [f"{path}: " + (f"{counted(len(adopted.new), 'model')} added" if adopted.new else "unchanged")]
    lines += _leftover_lines(adopted.leftovers)
    lines += [f"not answered by the lock: {each}" for each in second.seen.problems]
    new_failures, old_failures = second.seen.failed - first.seen.failed, second.seen.failed & first.seen.failed
    if old_failures:
        lines.append(f"{counted(len(old_failures), 'test')} failed in both runs")
    if new_failures:
        lines += _failure_lines(new_failures, path)
    if second.code:
        lines.append(f"second run: the command failed with exit code {second.code}" + _same(first, second))
    elif not second.seen.problems:
        lines.append(f"second run: 0 failed; commit {path.name} and modelenv.lock")
    data = {
        "models": rows, "added": sorted(adopted.new), "leftovers": list(adopted.leftovers),
        "codes": [first.code, second.code], "failed_without_the_hub": _shown_tests(new_failures),
        "problems": list(second.seen.problems),
    }  # fmt: skip
    return Outcome(lines, data, second.code or int(bool(second.seen.problems)))


def _row(ref: ModelRef, use: Use, again: Use, lock: Lockfile, aliases: Sequence[str]) -> dict[str, Any]:
    locked = [model for name in aliases if (model := lock.by_alias(name)) is not None]
    files = {(model.commit, file.path): file.size for model in locked for file in model.files}
    return {
        "model": str(ref), "aliases": list(aliases), "commit": locked[0].commit, "bytes": sum(files.values()),
        "tests": len(use.tests - {""}), "requests": use.requests, "requests_without_the_hub": again.requests,
    }  # fmt: skip


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    counts = (str(row[name]) for name in ("tests", "requests", "requests_without_the_hub"))
    return (row["model"], row["commit"][:12], size_text(row["bytes"]), *counts)


def _leftover_lines(leftovers: Iterable[str]) -> list[str]:
    return [f"not locked: {each}" for each in leftovers]


def _failure_lines(tests: Iterable[str], path: Path) -> list[str]:
    shown = _shown_tests(tests)
    more = [f"  and {len(shown) - _SHOWN} more"] if len(shown) > _SHOWN else []
    return [
        f"{counted(len(shown), 'test')} failed only without the Hub:",
        *(f"  {test}" for test in shown[:_SHOWN]),
        *more,
        f"  what to do: their errors name what is not locked. Declare it in {path.name} and run `modelenv lock`, or "
        "see docs/existing-code.md, What is not locked",
    ]


def _shown_tests(tests: Iterable[str]) -> list[str]:
    here = f"{Path.cwd()}/"
    return sorted(test.removeprefix(here) for test in tests)


def _same(first: Run, second: Run) -> str:
    same = first.code == second.code and first.seen.failed == second.seen.failed
    return ", as in the first run" if same else f" (first run: {first.code})"
