"""Decides which models to declare, from what a command asked for and what the Hub has. Pure functions."""

from __future__ import annotations

import fnmatch
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from modelenv.adoption.records import Asked
from modelenv.environment.project import Alias
from modelenv.errors import ConfigurationError, ModelEnvError
from modelenv.files.layouts import CONFIG
from modelenv.interception.locked_repos import DEFAULT_BRANCH
from modelenv.interception.routes import is_about_users
from modelenv.locks.project_lock import Lockfile
from modelenv.references import ModelRef, is_commit
from modelenv.store.needed_files import plan_files
from modelenv.store.weights import PICKLES

_WEIGHTS = (".safetensors", *PICKLES)


@dataclass(frozen=True)
class Contents:
    """What the Hub has for a revision: its commit, and the paths of the files."""

    commit: str
    files: frozenset[str]


@dataclass
class Use:
    """What was asked of one revision of a repo.

    Attributes:
        files: The files, also those that do not exist.
        tests: The tests that asked. An empty name stands for code outside of tests.
        requests: The number of requests.
    """

    files: set[str] = field(default_factory=set)
    tests: set[str] = field(default_factory=set)
    requests: int = 0

    def add(self, other: Use) -> None:
        """Add what was asked of another name of the same commit."""
        self.files |= other.files
        self.tests |= other.tests
        self.requests += other.requests


@dataclass(frozen=True)
class Found:
    """What a command asked for.

    Attributes:
        models: What `huggingface_hub` asked of models, by revision. The default branch is None.
        leftovers: What a lock cannot answer, with the number of requests.
    """

    models: Mapping[ModelRef, Use]
    leftovers: Mapping[str, int]


def summarize(asked: Iterable[Asked]) -> Found:
    """Sort what was asked into models and leftovers."""
    models: dict[ModelRef, Use] = {}
    leftovers: Counter[str] = Counter()
    for each in asked:
        ref = None
        if each.repo_type in ("dataset", "space"):
            leftovers[f"the {each.repo_type} {each.repo}: only models are locked"] += each.is_request
        elif not each.repo_type and is_about_users(urlsplit(each.url).path):
            pass  # a request of the client's own, which is not missed
        elif not each.repo_type:
            leftovers[f"{each.url}: only requests about one model are answered"] += each.is_request
        elif not each.by_client:
            leftovers[f"{each.repo}: requested by an HTTP client other than that of huggingface_hub"] += 1
        else:
            ref = _ref(each)
        if ref is not None:
            use = models.setdefault(ref, Use())
            use.tests.add(each.test)
            use.requests += each.is_request
            use.files |= {each.file} - {""}
    return Found(models, dict(sorted(leftovers.items())))


def _ref(asked: Asked) -> ModelRef | None:
    try:
        return _named(asked.repo, asked.revision)
    except ConfigurationError:  # the client library refuses it, too
        return None


def _named(repo: str, revision: str | None) -> ModelRef:
    return ModelRef(repo, None if revision in ("", DEFAULT_BRANCH) else revision)


def names_of_commits(lock: Lockfile, contents: Mapping[ModelRef, Contents]) -> dict[tuple[str, str], ModelRef]:
    """Return the branch or tag that stands for a commit of a repo, in the lock or on the Hub.

    Libraries ask for a branch, and then for files of the commit that it stands for.
    """
    locked = {(each.repo, each.commit): _named(each.repo, each.revision) for each in lock.models}
    there = {(ref.repo_id, each.commit): ref for ref, each in contents.items()}
    return {commit: ref for commit, ref in (*locked.items(), *there.items()) if not is_commit(ref.revision)}


def merge_commits(models: Mapping[ModelRef, Use], names: Mapping[tuple[str, str], ModelRef]) -> dict[ModelRef, Use]:
    """Join what was asked of a branch or tag and of the commit that it stands for."""
    merged: dict[ModelRef, Use] = {}
    for ref, use in models.items():
        merged.setdefault(names.get((ref.repo_id, ref.revision or ""), ref), Use()).add(use)
    return dict(sorted(merged.items(), key=lambda item: (item[0].repo_id, item[0].revision or "")))


def new_declarations(
    models: Mapping[ModelRef, Use], contents: Mapping[ModelRef, Contents], declared: Mapping[str, Alias]
) -> dict[str, Alias]:
    """Return the declarations that are missing, by alias. Nothing that is declared changes."""
    new: dict[str, Alias] = {}
    for ref, use in models.items():
        for alias in _missing(ref, use, contents[ref].files, [*declared.values(), *new.values()]):
            suffix = "-files" if alias.files and _is_declared(ref, {**declared, **new}.values()) else ""
            new[_name(ref, suffix, lambda name: name in declared or name in new)] = alias
    return new


def aliases_of(ref: ModelRef, declared: Mapping[str, Alias]) -> list[str]:
    """Return the aliases that are declared for a revision."""
    return [name for name, alias in declared.items() if _is_same(alias.ref, ref)]


def _missing(ref: ModelRef, use: Use, there: frozenset[str], declared: Iterable[Alias]) -> list[Alias]:
    """Return what to declare so that all files that were asked for, and exist, are locked."""
    plan = _plan(ref, there)
    covered = set[str]()
    for alias in declared:
        if _is_same(alias.ref, ref):
            covered |= _matching(alias.files, there) if alias.files else plan
    wanted = use.files & there
    missing = []
    if not _is_declared(ref, declared):
        if any(name.endswith(_WEIGHTS) for name in wanted & plan):
            missing.append(Alias(ref))
            covered |= plan
        else:  # no weights: only what was asked for. With the other names, the lock knows that they do not exist
            files = use.files if wanted else {CONFIG} & there or set(sorted(there)[:1])
            return [Alias(ref, files=_patterns(files))] if files else []
    if wanted - covered:
        missing.append(Alias(ref, files=_patterns(wanted - covered)))
    return missing


def _plan(ref: ModelRef, there: frozenset[str]) -> set[str]:
    """Return the files that a lock without `files` takes, or nothing if it would refuse the repo."""
    try:
        return set(plan_files(there, model=ref.repo_id, modules=True))
    except ModelEnvError:
        return set()


def _patterns(files: Iterable[str]) -> tuple[str, ...]:
    return tuple(re.sub(r"([*?[])", r"[\1]", name) for name in sorted(files))


def _matching(patterns: Iterable[str], names: Iterable[str]) -> set[str]:
    return {name for name in names if any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)}


def _is_declared(ref: ModelRef, declared: Iterable[Alias]) -> bool:
    return any(_is_same(alias.ref, ref) for alias in declared)


def _is_same(one: ModelRef, other: ModelRef) -> bool:
    return (one.repo_id, one.revision or DEFAULT_BRANCH) == (other.repo_id, other.revision or DEFAULT_BRANCH)


def _name(ref: ModelRef, suffix: str, is_taken: Callable[[str], bool]) -> str:
    """Return an alias that is not taken: the name, else with the organisation, else with a number."""
    revision = "" if ref.revision is None else "-" + (ref.revision[:12] if is_commit(ref.revision) else ref.revision)
    name, organisation = _slug(ref.name + revision) + suffix, _slug(ref.organisation or "")
    if not is_taken(name):
        return name
    base = f"{organisation}-{name}" if organisation else name
    numbered = (base if number == 1 else f"{base}-{number}" for number in range(1, 1_000_000))
    return next(each for each in numbered if not is_taken(each))


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9_-]+", "-", text.lower()).strip("-_")
