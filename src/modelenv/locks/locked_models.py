"""The project's lock, as loads use it: read once, and asked for one model. No network."""

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
    """Return the lock beside the project's file, or None where there is none.

    Raises:
        LockfileError: it cannot be read.
    """
    return None if project.lock_path is None else read_once(project.lock_path, _read_lockfile)


def read_once(path: Path, read: Callable[[Path], Value]) -> Value | None:
    """Return what `read` makes of a small file, or None where there is none; it is read again once it changed.

    Args:
        path: the file.
        read: a pure function of its content, defined in a module.

    Raises:
        LockfileError: it cannot be looked at, or what `read` raises.
    """
    try:
        state = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        hint = "give this user the right to read it"
        raise LockfileError(f"{path}: cannot be read", found=error.strerror, hint=hint) from None
    content: Value = _read(read, path, state.st_size, state.st_mtime_ns, state.st_ino)
    return content


# Each load asks, and tests make many managers.
@lru_cache(maxsize=8)
def _read(read: Callable[[Path], Any], path: Path, size: int, mtime_ns: int, inode: int) -> Any:
    del size, mtime_ns, inode  # these say which content it is
    return read(path)


def _read_lockfile(path: Path) -> Lockfile:
    from modelenv.locks.project_lock import read_lockfile

    return read_lockfile(path)


def locked_model(project: Settings | ProjectFile, name: str, ref: ModelRef) -> LockedModel | None:
    """Return what the lock says of a model, or None where it does not name it.

    Args:
        project: with the aliases, and the place of the lock.
        name: the alias, or the repo id, by which the model was asked for.
        ref: what that stands for. A revision that the lock does not know is none of its models.

    Raises:
        LockfileError: the lock cannot be read, or was made from another declaration of the alias.
    """
    lock, path = lock_of(project), project.lock_path
    if lock is None or path is None:
        return None
    alias = project.models.get(name)
    if alias is None or ref != alias.ref:  # a repo id, or an alias at a revision of the call's own
        return lock.find(ref.repo_id, ref.revision)
    locked = lock.by_alias(name)
    if locked is not None and (locked.repo, locked.revision) != (ref.repo_id, ref.revision):
        raise LockfileError(
            f"{path}: the lock was made from another declaration of {name!r}",
            expected=f"{ref}, as in {path.with_name(PROJECT_FILE)}",
            found=locked.repo if locked.revision is None else f"{locked.repo}@{locked.revision}",
            hint="run `modelenv lock`, and commit what it writes",
        )
    return locked


def locked_facts(name: str) -> tuple[str, Mapping[str, Fact]]:
    """Return which model a name stands for in this project, and what the lock knows of it.

    Args:
        name: an alias or a repo id; any other text stands for itself, and nothing is known of it.

    Raises:
        LockfileError: the lock cannot be read, or was made from another declaration of the alias.
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
