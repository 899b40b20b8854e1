"""What a lock says about the repos on the Hub: which commit a revision stands for, and which files it has."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

from modelenv.environment.settings import Settings
from modelenv.environment.sources import ModelSource
from modelenv.errors import ModelEnvError
from modelenv.forks import cached_property
from modelenv.locks.locked_models import lock_of
from modelenv.locks.project_lock import Lockfile
from modelenv.locks.values import LockedFile, LockedModel

DEFAULT_BRANCH = "main"
_BRANCHES, _TAGS = "refs/heads/", "refs/tags/"
_SHORT_COMMIT = re.compile(r"[0-9a-f]{7,39}")


def lock_in(source: ModelSource, settings: Settings) -> Lockfile | None:
    """Return what is locked: by the metadata of the volume, or else by the project's lock. None without either.

    Raises:
        LockfileError: The lock or the metadata cannot be read.
    """
    if source is ModelSource.PERSISTENT_VOLUME:
        from modelenv.volume.reading import volume_metadata  # only volumes need it

        metadata = volume_metadata(settings.volume_dir)
        if metadata is not None:
            return metadata.lockfile
    return lock_of(settings)


@dataclass(frozen=True)
class LockedCommit:
    """One repo at one commit, with the files of all locked models that use it.

    Attributes:
        model: The model, with the files of all `entries`.
        entries: The models of the lock.
    """

    model: LockedModel
    entries: tuple[LockedModel, ...]

    @cached_property
    def files(self) -> Mapping[str, LockedFile]:
        """The locked files by path."""
        return {file.path: file for file in self.model.files}

    def is_absent(self, path: str) -> bool:
        """Whether the commit certainly has no file with this path.

        A lock does not list a whole commit. But `modelenv lock` would have included the file if the commit had it,
        if the file matches the declared patterns or, without patterns, if a load needs such a file.
        """
        return path not in self.files and any(_would_lock(entry, path) for entry in self.entries)


def _would_lock(entry: LockedModel, path: str) -> bool:
    if entry.patterns:
        return any(fnmatch.fnmatchcase(path, pattern) for pattern in entry.patterns)
    from modelenv.store.needed_files import plan_files  # only requests need it

    names = {path, *(file.path for file in entry.files)}
    try:
        return path in plan_files(names, model=entry.repo, allow_pickle=True, modules=True)
    except ModelEnvError:
        return False  # not known: with this file it would be another kind of model


@dataclass(frozen=True)
class LockedRepos:
    """The repos of a lock."""

    lock: Lockfile

    def find(self, repo: str, revision: str | None) -> LockedCommit | None:
        """Return the locked commit for a revision of a repo, or None if that revision is not locked.

        The default branch is taken to be `main`, because the client asks for `main` if its caller names no revision.
        As on the Hub, the full name of a branch or tag and the first digits of a commit are accepted, and the case of
        the repo id does not matter.
        """
        repo = self._spelling(repo)
        found = next((model for name in _names(revision) if (model := self.lock.find(repo, name)) is not None), None)
        if found is None and revision is not None and _SHORT_COMMIT.fullmatch(revision):
            starting = [each for each in self.lock.models if each.repo == repo and each.commit.startswith(revision)]
            found = starting[0] if len({each.commit for each in starting}) == 1 else None
        return None if found is None else self._commits[found.repo, found.commit]

    def revisions(self, repo: str) -> tuple[str, ...]:
        """Return the locked revisions of a repo, for errors."""
        repo = self._spelling(repo)
        return tuple(sorted({model.revision or DEFAULT_BRANCH for model in self.lock.models if model.repo == repo}))

    def _spelling(self, repo: str) -> str:
        return self._spellings.get(repo) or self._spellings.get(repo.lower(), repo)

    @cached_property
    def _spellings(self) -> Mapping[str, str]:
        repos = [model.repo for model in self.lock.models]
        return {**{repo.lower(): repo for repo in repos}, **{repo: repo for repo in repos}}

    @property
    def commits(self) -> tuple[LockedCommit, ...]:
        """All locked commits."""
        return tuple(self._commits.values())

    @cached_property
    def _commits(self) -> Mapping[tuple[str, str], LockedCommit]:
        entries: dict[tuple[str, str], list[LockedModel]] = {}
        for model in self.lock.models:
            entries.setdefault((model.repo, model.commit), []).append(model)
        return {key: LockedCommit(_merged(models), tuple(models)) for key, models in entries.items()}


def _names(revision: str | None) -> tuple[str | None, ...]:
    """Return the names under which a revision can be locked."""
    if revision in (None, DEFAULT_BRANCH, _BRANCHES + DEFAULT_BRANCH):
        return None, DEFAULT_BRANCH, _BRANCHES + DEFAULT_BRANCH
    return revision, revision.removeprefix(_BRANCHES).removeprefix(_TAGS)


def _merged(models: list[LockedModel]) -> LockedModel:
    """Return one model with the files of all, preferably with the name and task of one without patterns."""
    first = min(models, key=lambda model: bool(model.patterns))
    files = {file.path: file for model in models for file in model.files}
    return first if len(models) == 1 else replace(first, files=tuple(files.values()))
