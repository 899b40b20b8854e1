"""Looks up models in the project's lock, which is read once. Makes no requests."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from modelenv.environment.project import PROJECT_FILE, ProjectFile, find_project_file, read_project_file
from modelenv.errors import ConfigurationError, LockfileError

if TYPE_CHECKING:
    from modelenv.environment.settings import Settings
    from modelenv.locks.project_lock import Lockfile
    from modelenv.locks.values import Fact, LockedModel
    from modelenv.references import ModelRef

Value = TypeVar("Value")


def lock_of(project: Settings | ProjectFile) -> Lockfile | None:
    """Return the lock beside the project file, or None if it does not exist.

    Raises:
        LockfileError: The lock cannot be read.
    """
    return None if project.lock_path is None else read_once(project.lock_path, _read_lockfile)


def read_once(path: Path, read: Callable[[Path], Value]) -> Value | None:
    """Return the cached result of `read` for a small file, or None if there is no file. A changed file is read again.

    Args:
        path: The file.
        read: A module-level function that parses the file; its result must depend on the content alone.

    Raises:
        LockfileError: The file cannot be read, or `read` raised this error.
    """
    try:
        state = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        hint = "give this user permission to read it"
        raise LockfileError(f"{path}: cannot be read", found=error.strerror, hint=hint) from None
    content: Value = _read(read, path, state.st_size, state.st_mtime_ns, state.st_ino)
    return content


# Each load reads the lock, and tests create many managers.
@lru_cache(maxsize=8)
def _read(read: Callable[[Path], Any], path: Path, size: int, mtime_ns: int, inode: int) -> Any:
    del size, mtime_ns, inode  # part of the cache key: they change when the file does
    return read(path)


def _read_lockfile(path: Path) -> Lockfile:
    from modelenv.locks.project_lock import read_lockfile

    return read_lockfile(path)


def locked_model(project: Settings | ProjectFile, name: str, ref: ModelRef) -> LockedModel | None:
    """Return the model's entry in the lock, or None if the lock does not contain it.

    Args:
        project: The project, which has the aliases and the path of the lock.
        name: The requested alias or repo id.
        ref: The repo and the revision that the name stands for. A revision that is not locked matches nothing.

    Raises:
        LockfileError: The lock cannot be read, or was made from another declaration of the alias.
    """
    lock, path = lock_of(project), project.lock_path
    if lock is None or path is None:
        return None
    alias = project.models.get(name)
    if alias is None or ref != alias.ref:  # a repo id, or an alias with a revision from the call
        return lock.find(ref.repo_id, ref.revision)
    locked = lock.by_alias(name)
    if locked is not None and (locked.repo, locked.revision) != (ref.repo_id, ref.revision):
        raise LockfileError(
            f"{path}: the lock was made from another declaration of {name!r}",
            expected=f"{ref}, as in {path.with_name(PROJECT_FILE)}",
            found=locked.repo if locked.revision is None else f"{locked.repo}@{locked.revision}",
            hint="run `modelenv lock` and commit the result",
        )
    return locked


def locked_facts(name: str) -> tuple[str, Mapping[str, Fact]]:
    """Return the repo id that a name stands for in this project, and the facts about it in the lock.

    Args:
        name: An alias or a repo id. Any other text is returned unchanged, without facts.

    Raises:
        LockfileError: The lock cannot be read, or was made from another declaration of the alias.
    """
    from modelenv.references import ModelRef

    path = find_project_file(Path.cwd())
    project = read_project_file(path)
    alias = project.models.get(name)
    try:
        ref = ModelRef.parse(name) if alias is None else alias.ref
    except ConfigurationError:
        return name, {}
    locked = locked_model(project, name, ref)
    return ref.repo_id, {} if locked is None else locked.facts
