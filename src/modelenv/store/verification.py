"""Whether a folder holds what a lock says: every difference told apart, hashed only where need be.

What a file's content was is remembered by its size, time and inode, so that an unchanged file is hashed once. A
pure comparison, and one effect: hashing.
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
from modelenv.files.links import BROKEN_LINK, is_broken_link
from modelenv.locks.values import LockedModel
from modelenv.store.needed_files import plan_files

_MOST_SHOWN = 5


class Kind(StrEnum):
    """What is wrong with a file."""

    MISSING = "missing"
    EXTRA = "extra"
    CHANGED = "changed"
    UNREADABLE = "unreadable"


@dataclass(frozen=True)
class Difference:
    """One file that is not as locked.

    Attributes:
        kind: in which way.
        path: the file, relative to the model's folder.
        expected: what the lock says, or None for a file that it does not name.
        found: what is there instead.
    """

    kind: Kind
    path: str
    expected: str | None = None
    found: str | None = None

    def __str__(self) -> str:
        sides = (f"expected {self.expected}", f"found {self.found}")
        told = ", ".join(side for side in sides if not side.endswith(" None"))
        return f"{self.kind.value} {self.path}" + (f": {told}" if told else "")


@dataclass(frozen=True)
class Verified:
    """The outcome of a verification.

    Attributes:
        differences: what is not as locked, by path; empty when all is well.
        fingerprints: of every file that is there, with the hashes that are known now.
        hashed: how many bytes had to be hashed.
        shared: files that are not locked, and that others have for the same commit in a cache that is shared: no
            damage, but nothing to load.
    """

    differences: tuple[Difference, ...]
    fingerprints: Mapping[str, Fingerprint]
    hashed: int = 0
    shared: tuple[Difference, ...] = ()


@dataclass(frozen=True)
class HashMemory:
    """What was hashed in this process, for stores that nothing can be written to."""

    _known: dict[str, dict[str, Fingerprint]] = field(default_factory=dict, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def of(self, folder: Path) -> Mapping[str, Fingerprint]:
        """Return what is known of the files in `folder`."""
        with self._lock:
            return self._known.get(str(folder), {})

    def remember(self, folder: Path, fingerprints: Mapping[str, Fingerprint]) -> None:
        """Keep what was found in `folder`."""
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
        folder: the model's folder.
        locked: what it should hold.
        known: what is remembered of its files; a file that is as remembered is not hashed again.
        strict: whether any file that is not locked is a difference; else only one that a load would read.
        allow_links: whether a file may be a link, as in the Hugging Face cache; folders never may.
        before_hashing: called with the bytes that must be hashed, if there are any.
        progress: called with the bytes that were hashed.
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
    """Tell a file that is missing behind a link from one that was never there."""
    is_link = difference.kind is Kind.MISSING and is_broken_link(folder / difference.path)
    return replace(difference, found=BROKEN_LINK) if is_link else difference


def compare(
    locked: LockedModel, found: Mapping[str, Fingerprint], broken: Mapping[str, str], *, strict: bool
) -> Iterator[Difference]:
    """Yield what differs between the lock and what was found, by path. Pure.

    Args:
        locked: what should be there.
        found: what is there and could be read.
        broken: what is there and could not be read, and why.
        strict: whether any file that is not locked counts.
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
    """Set apart what is not locked and leads to the cache's own blobs: others have it for the same commit."""
    extra = [each for each in verified.differences if each.kind is Kind.EXTRA and (snapshot / each.path).is_symlink()]
    if not extra:
        return verified
    blobs = (snapshot.parent.parent / "blobs").resolve()
    shared = tuple(each for each in extra if (snapshot / each.path).resolve().parent == blobs)
    differences = tuple(each for each in verified.differences if each not in shared)
    return replace(verified, differences=differences, shared=shared)


def integrity_error(
    differences: Iterable[Difference], *, model: str, folder: Path, hint: str, what: str = "not as locked"
) -> ModelIntegrityError:
    """Return the error for these differences: each of the first by name, with what was expected and found."""
    differences = list(differences)
    counts = {kind: sum(each.kind is kind for each in differences) for kind in Kind}
    told = ", ".join(f"{count} {kind.value}" for kind, count in counts.items() if count)
    shown = [str(each) for each in differences[:_MOST_SHOWN]]
    if len(differences) > _MOST_SHOWN:
        shown.append(f"and {len(differences) - _MOST_SHOWN} more")
    first = differences[0]
    return ModelIntegrityError(
        f"{what}: {told}",
        model=model,
        expected=None if first.expected is None else f"{first.path} with {first.expected}",
        found=f"in {folder}: " + "; ".join(shown),
        hint=hint,
    )


def scan(folder: Path, *, allow_links: bool) -> tuple[dict[str, Fingerprint], dict[str, str]]:
    """Return the fingerprints of all files below `folder`, and what is there but no file that may be read."""
    there: dict[str, Fingerprint] = {}
    broken: dict[str, str] = {}

    def report(error: OSError) -> None:
        name = os.path.relpath(error.filename, folder)
        if not isinstance(error, FileNotFoundError):  # what is not there is missing
            broken[name] = error.strerror or str(error)

    for parent, folders, names in os.walk(folder, onerror=report):
        prefix = os.path.relpath(parent, folder).replace(os.sep, "/") + "/" if parent != str(folder) else ""
        links = [name for name in folders if os.path.islink(os.path.join(parent, name))]  # noqa: PTH114, PTH118
        for name in (*names, *links):
            path = os.path.join(parent, name)  # noqa: PTH118 - ten thousand models are some hundred thousand files
            try:
                state = os.stat(path, follow_symlinks=allow_links)  # noqa: PTH116
            except FileNotFoundError:
                continue  # a link without its file, or gone meanwhile: missing
            except OSError as error:
                broken[prefix + name] = error.strerror or str(error)
                continue
            if stat.S_ISREG(state.st_mode):
                there[prefix + name] = Fingerprint.of(state)
            elif stat.S_ISLNK(state.st_mode):
                broken[prefix + name] = "a link, where only files may be"
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
        return names  # no weights among them: whatever it is, it was not locked
