"""Compares a project's declarations with its lock, and one lock with another. Pure functions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from modelenv.amounts import counted
from modelenv.environment.project import Alias
from modelenv.locks.project_lock import Lockfile
from modelenv.locks.values import LockedModel


@dataclass(frozen=True)
class Disagreement:
    """A difference between the declaration of a model and the lock.

    Attributes:
        alias: The model's name in the project.
        what: A description of the difference, such as `not locked` or `another revision`.
        declared: The declared value, or None.
        locked: The locked value, or None.
    """

    alias: str
    what: str
    declared: str | None = None
    locked: str | None = None

    def __str__(self) -> str:
        sides = [f"{name} {value}" for name, value in (("declared", self.declared), ("locked", self.locked)) if value]
        return f"{self.alias}: {self.what}" + (f" ({', '.join(sides)})" if sides else "")


@dataclass(frozen=True)
class Change:
    """The change of one model between two locks.

    Attributes:
        alias: The model's name in the project.
        before, after: The model's commit in each lock, or None if the lock does not contain the model.
        files: The paths that differ, each with the prefix `+` (added), `-` (removed) or `~` (changed).
        other: Whether something other than the commit and the files differs, such as the task or a fact.
    """

    alias: str
    before: str | None
    after: str | None
    files: tuple[str, ...] = ()
    other: bool = False

    def __str__(self) -> str:
        if self.before is None:
            return f"{self.alias}: new, commit {(self.after or '')[:12]}, {counted(len(self.files), 'file')}"
        if self.after is None:
            return f"{self.alias}: removed, was commit {self.before[:12]}"
        commits = f"commit {self.before[:12]}"
        commits += f" -> {self.after[:12]}" if self.after != self.before else " as before"
        return "\n".join([f"{self.alias}: {commits}", *(f"  {file}" for file in self.files)])


def disagreements(declared: Mapping[str, Alias], lock: Lockfile) -> tuple[Disagreement, ...]:
    """Return every difference between the declarations and the lock, sorted by alias."""
    found = []
    for name in sorted({*declared, *(model.alias for model in lock.models)}):
        alias, locked = declared.get(name), lock.by_alias(name)
        if locked is None:
            found.append(Disagreement(name, "not locked", declared=str(declared[name].ref)))
        elif alias is None:
            found.append(Disagreement(name, "locked, but not declared", locked=locked.repo))
        else:
            found += _differences(name, alias, locked)
    return tuple(found)


def not_as_declared(declared: Mapping[str, Alias], lock: Lockfile) -> tuple[Disagreement, ...]:
    """Return the differences of the declared models. A model that is only locked is none."""
    return tuple(found for found in disagreements(declared, lock) if found.alias in declared)


def is_as_declared(alias: Alias, locked: LockedModel) -> bool:
    """Whether the locked commit and files still match the declaration."""
    declared = (alias.ref.repo_id, alias.ref.revision, alias.files)
    return declared == (locked.repo, locked.revision, tuple(locked.patterns))


def changes(before: Lockfile, after: Lockfile) -> tuple[Change, ...]:
    """Return the changes between two locks, sorted by alias."""
    names = sorted({model.alias for lock in (before, after) for model in lock.models})
    pairs = ((name, before.by_alias(name), after.by_alias(name)) for name in names)
    return tuple(_change(name, old, new) for name, old, new in pairs if old != new)


def _differences(name: str, alias: Alias, locked: LockedModel) -> Iterator[Disagreement]:
    sides = (
        ("another repo", alias.ref.repo_id, locked.repo),
        ("another revision", alias.ref.revision or "the default branch", locked.revision or "the default branch"),
        ("another task", alias.task or "no task", locked.task or "no task"),
        ("other files", ", ".join(alias.files) or "no patterns", ", ".join(locked.patterns) or "no patterns"),
    )
    for what, declared, held in sides:
        if declared != held:
            yield Disagreement(name, what, declared, held)


def _change(alias: str, old: LockedModel | None, new: LockedModel | None) -> Change:
    had = {} if old is None else {file.path: file for file in old.files}
    has = {} if new is None else {file.path: file for file in new.files}
    files = [f"+ {path}" for path in has if path not in had]
    files += [f"- {path}" for path in had if path not in has]
    files += [f"~ {path}" for path in has if path in had and has[path] != had[path]]
    commits = (None if old is None else old.commit, None if new is None else new.commit)
    other = bool(old and new and (old.task, old.facts, old.revision) != (new.task, new.facts, new.revision))
    return Change(alias, *commits, tuple(sorted(files, key=lambda line: line[2:])), other)
