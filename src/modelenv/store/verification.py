"""Compares a folder with a lock, and lists every difference.

The hash of a file is remembered together with its size, time and inode, so an unchanged file is hashed only once.
"""

from __future__ import annotations

import os
import stat
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path

from modelenv.amounts import counted
from modelenv.errors import ModelIntegrityError
from modelenv.files.hashing import Fingerprint, Progress, hash_files
from modelenv.files.layouts import CacheFolder
from modelenv.files.links import BROKEN_LINK, is_broken_link
from modelenv.forks import new_lock
from modelenv.locks.values import LockedModel
from modelenv.store.needed_files import plan_files

_MOST_SHOWN = 5


class Kind(StrEnum):
    """The kinds of differences."""

    MISSING = "missing"
    EXTRA = "extra"
    CHANGED = "changed"
    UNREADABLE = "unreadable"


@dataclass(frozen=True)
class Difference:
    """One file that differs from the lock.

    Attributes:
        kind: The kind of difference.
        path: The path of the file, relative to the model's folder.
        expected: The size or the hash in the lock, or None for a file that is not locked.
        found: What was found instead.
    """

    kind: Kind
    path: str
    expected: str | None = None
    found: str | None = None

    def __str__(self) -> str:
        sides = (f"expected {self.expected}", f"found {self.found}")
        details = ", ".join(side for side in sides if not side.endswith(" None"))
        return f"{self.kind.value} {self.path}" + (f": {details}" if details else "")


@dataclass(frozen=True)
class Verified:
    """The result of a verification.

    Attributes:
        differences: The differences from the lock, sorted by path; empty if there are none.
        fingerprints: The fingerprints of all readable files, with their hashes if these are known.
        hashed: The number of bytes that were hashed.
        shared: Files that are not locked, but that other users of a shared cache have for the same commit. They are
            not damage, and are not loaded.
    """

    differences: tuple[Difference, ...]
    fingerprints: Mapping[str, Fingerprint]
    hashed: int = 0
    shared: tuple[Difference, ...] = ()


@dataclass(frozen=True)
class HashMemory:
    """The hashes that this process has computed, for stores that cannot be written."""

    _known: dict[str, dict[str, Fingerprint]] = field(default_factory=dict, repr=False)
    _lock: threading.Lock = field(default_factory=new_lock, repr=False)

    def of(self, folder: Path) -> Mapping[str, Fingerprint]:
        """Return the known fingerprints of the files in `folder`."""
        with self._lock:
            return self._known.get(str(folder), {})

    def remember(self, folder: Path, fingerprints: Mapping[str, Fingerprint]) -> None:
        """Store the fingerprints of the files in `folder`."""
        with self._lock:
            self._known[str(folder)] = dict(fingerprints)


def verify_folder(
    folder: Path,
    locked: LockedModel,
    *,
    known: Mapping[str, Fingerprint] | None = None,
    strict: bool,
    allow_links: bool,
    before_hashing: Callable[[int], None] | None = None,
    progress: Progress | None = None,
) -> Verified:
    """Compare every file below `folder` with the lock.

    Args:
        folder: The model's folder.
        locked: The files that the folder should contain.
        known: Fingerprints from an earlier verification; a file that has not changed since is not hashed again.
        strict: Whether every file that is not locked is a difference. Else only those that a load would read.
        allow_links: Whether files can be links, as in the Hugging Face cache. Folders cannot be links.
        before_hashing: Called with the number of bytes to hash, if there are any.
        progress: Called with the number of bytes that were just hashed.
    """
    there, broken = scan(folder, allow_links=allow_links)
    wanted = {file.path: file for file in locked.files}
    right_size = {path for path in there if path in wanted and there[path].size == wanted[path].size}
    known = known or {}
    fresh = [path for path in right_size if path not in known or not known[path].is_same_file(there[path])]
    fresh += [path for path in right_size.difference(fresh) if known[path].sha256 is None]
    fingerprints = {path: known.get(path, seen) if path in right_size else seen for path, seen in there.items()}
    size = sum(there[path].size for path in fresh)
    if fresh:
        if before_hashing is not None:
            before_hashing(size)
        for path, result in hash_files([folder / path for path in fresh], progress=progress).items():
            name = path.relative_to(folder).as_posix()
            if isinstance(result, OSError):
                broken[name] = result.strerror or str(result)
                del fingerprints[name]
            else:
                fingerprints[name] = result
    differences = compare(locked, fingerprints, broken, strict=strict)
    return Verified(tuple(_of_a_link(folder, each) for each in differences), fingerprints, size)


def _of_a_link(folder: Path, difference: Difference) -> Difference:
    """Add to the difference of a missing file that there is a broken link at its path, if so."""
    is_link = difference.kind is Kind.MISSING and is_broken_link(folder / difference.path)
    return replace(difference, found=BROKEN_LINK) if is_link else difference


def compare(
    locked: LockedModel, found: Mapping[str, Fingerprint], broken: Mapping[str, str], *, strict: bool
) -> Iterator[Difference]:
    """Yield the differences between the lock and a folder, sorted by path. Pure.

    Args:
        locked: The files that the folder should contain.
        found: The fingerprints of the readable files, by path.
        broken: The reasons why other files could not be read, by path.
        strict: Whether every file that is not locked is a difference.
    """
    wanted = {file.path: file for file in locked.files}
    around = {parent for path in wanted for parent in _parents(path)}
    extra = {*found, *broken}.difference(wanted, around)
    if not strict:
        extra &= _loaded({*extra, *wanted}, locked)
    for path in sorted({*wanted, *extra}):
        if path not in wanted:
            yield Difference(Kind.EXTRA, path, None, broken.get(path, "a file that is not locked"))
            continue
        file = wanted[path]
        reason = next((broken[place] for place in (path, *_parents(path)) if place in broken), None)
        if reason is not None:
            yield Difference(Kind.UNREADABLE, path, f"sha256 {file.sha256}", reason)
        elif path not in found:
            yield Difference(Kind.MISSING, path, counted(file.size, "byte"))
        elif found[path].size != file.size:
            yield Difference(Kind.CHANGED, path, counted(file.size, "byte"), counted(found[path].size, "byte"))
        elif found[path].sha256 != file.sha256:
            yield Difference(Kind.CHANGED, path, f"sha256 {file.sha256}", f"sha256 {found[path].sha256}")


def with_shared(snapshot: Path, verified: Verified) -> Verified:
    """Move extra files that link to the cache's own blobs from `differences` to `shared`: others fetched them."""
    extra = [each for each in verified.differences if each.kind is Kind.EXTRA and (snapshot / each.path).is_symlink()]
    if not extra:
        return verified
    blobs = CacheFolder.of_snapshot(snapshot).blobs.resolve()
    shared = tuple(each for each in extra if (snapshot / each.path).resolve().parent == blobs)
    differences = tuple(each for each in verified.differences if each not in shared)
    return replace(verified, differences=differences, shared=shared)


def integrity_error(
    differences: Iterable[Difference],
    *,
    model: str,
    folder: Path,
    hint: str,
    what: str = "its files do not match the lock",
) -> ModelIntegrityError:
    """Return the error for these differences. It lists the first few, each with what was expected and found."""
    differences = list(differences)
    counts = {kind: sum(each.kind is kind for each in differences) for kind in Kind}
    summary = ", ".join(f"{count} {kind.value}" for kind, count in counts.items() if count)
    shown = [str(each) for each in differences[:_MOST_SHOWN]]
    if len(differences) > _MOST_SHOWN:
        shown.append(f"and {len(differences) - _MOST_SHOWN} more")
    first = differences[0]
    return ModelIntegrityError(
        f"{what}: {summary}",
        model=model,
        expected=None if first.expected is None else f"{first.path} with {first.expected}",
        found=f"in {folder}: " + "; ".join(shown),
        hint=hint,
    )


def scan(folder: Path, *, allow_links: bool) -> tuple[dict[str, Fingerprint], dict[str, str]]:
    """Return the fingerprints of all files below `folder`, and why other entries cannot be read."""
    there: dict[str, Fingerprint] = {}
    broken: dict[str, str] = {}

    def report(error: OSError) -> None:
        name = os.path.relpath(error.filename, folder)
        if not isinstance(error, FileNotFoundError):  # reported as missing
            broken[name] = error.strerror or str(error)

    for parent, folders, names in os.walk(folder, onerror=report):
        prefix = os.path.relpath(parent, folder).replace(os.sep, "/") + "/" if parent != str(folder) else ""
        links = [name for name in folders if os.path.islink(f"{parent}/{name}")]  # noqa: PTH114 - faster than pathlib
        for name in (*names, *links):
            path = os.path.join(parent, name)  # noqa: PTH118 - faster than pathlib, for many files
            try:
                state = os.stat(path, follow_symlinks=allow_links)  # noqa: PTH116 - faster than pathlib
            except FileNotFoundError:
                continue  # a broken link, or just removed: reported as missing
            except OSError as error:
                broken[prefix + name] = error.strerror or str(error)
                continue
            if stat.S_ISREG(state.st_mode):
                there[prefix + name] = Fingerprint.of(state)
            elif stat.S_ISLNK(state.st_mode):
                broken[prefix + name] = "a link, but only files are allowed here"
            else:
                broken[prefix + name] = "not a regular file"
    return there, broken


def _parents(path: str) -> Iterator[str]:
    while "/" in path:
        path = path.rpartition("/")[0]
        yield path
    yield "."


def _loaded(names: set[str], locked: LockedModel) -> set[str]:
    """Return those of `names` that a load would read."""
    try:
        return set(plan_files(names, model=locked.repo, allow_pickle=True))
    except ModelIntegrityError:
        return names  # no weights among them: report every file that is not locked
