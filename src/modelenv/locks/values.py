"""What a lock holds: models at a commit, with every file's size and hash. Values only; there is none that is wrong.

`modelenv.locks.project_lock` and `modelenv.volume.metadata` turn them into text and back.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from modelenv.errors import ConfigurationError
from modelenv.references import ModelRef
from modelenv.tasks import resolve_task

Fact = str | bool | int | float | Sequence[str]
Where = tuple[str | int, ...]

# What nobody sees in a review: controls, directions, joiners, private and unpaired characters. Named one by one, for
# `unicodedata` changes with the Python version, and the same lock must give the same text everywhere.
INVISIBLE = "\x00-\x1f\x7f-\x9f\xad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ud800-\uf8ff\ufeff" \
    "\ufff0-\uffff\U000e0000-\U0010ffff"  # fmt: skip
_INVISIBLE = re.compile(f"[{INVISIBLE}]")
_UNPAIRED = re.compile("[\ud800-\udfff]")
_SHA256 = re.compile(r"[0-9a-f]{64}")
SHA1 = re.compile(r"[0-9a-f]{40}")
_FACT_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")
_YAML_WORDS = frozenset({"y", "n", "yes", "no", "on", "off", "true", "false", "null"})  # YAML 1.1 reads no text there
_LONGEST_PART = 255  # NAME_MAX of the file systems in use, in bytes
_LONGEST_PATH = 1024  # leaves room for the root within PATH_MAX, 4096
_LONGEST_TEXT = 255  # of a name, a task, a pattern
_LARGEST = 2**63 - 1  # what TOML guarantees, and what a file's size can be
_LONGEST_SHOWN = 80


class LockedValueError(ConfigurationError):
    """A value that a lock must not hold.

    Attributes:
        where: the way to it from the value that was to be built, such as `("files", 3, "size")`.
    """

    def __init__(
        self,
        what: str,
        *,
        expected: str | None = None,
        found: str | None = None,
        hint: str | None = None,
        where: Where = (),
    ) -> None:
        super().__init__(what, expected=expected, found=found, hint=hint)
        self.where = where


@contextmanager
def within(*where: str | int) -> Iterator[None]:
    """Say of every `LockedValueError` from the block that it lies behind `where`."""
    try:
        yield
    except LockedValueError as error:
        error.where = (*where, *error.where)
        raise


def show(value: object) -> str:
    """Return a short text for a value of any kind and size."""
    if isinstance(value, Mapping):
        return "a table"
    if isinstance(value, list | tuple):
        return f"a list of {len(value)}"
    if isinstance(value, int) and abs(value) > _LARGEST:
        return f"an integer of {value.bit_length()} bits"  # beyond 4300 digits Python refuses to print it
    return shorten(repr(value[: _LONGEST_SHOWN + 1] if isinstance(value, str) else value))


def shorten(text: str) -> str:
    """Return the start of a text, with `…` behind it if there is more."""
    return text if len(text) <= _LONGEST_SHOWN else text[:_LONGEST_SHOWN] + "…"


def check_path(value: object, where: str) -> None:
    """Check that `value` names a file or folder below a root, and nothing else.

    Raises:
        LockedValueError: it is absolute, leaves the root, is not in its shortest form, is too long for a file
            system, or has a backslash or characters that nobody sees.
    """
    text = _text(value, where, _LONGEST_PATH)
    parts = text.split("/")
    problem = None
    if text.startswith("/"):
        problem = "a path must not be absolute"
    elif ".." in parts:
        problem = "a path must not leave its folder"
    elif "" in parts or "." in parts:
        problem = "a path must have no empty part and no '.'"
    elif "\\" in text:
        problem = "a path must not hold a backslash"
    elif len(text.encode()) > _LONGEST_PATH or any(len(part.encode()) > _LONGEST_PART for part in parts):
        problem = f"a path has at most {_LONGEST_PATH} bytes, and {_LONGEST_PART} in each part"
    if problem is not None:
        raise LockedValueError(
            problem, expected="a relative path such as 'onnx/model.json'", found=show(text), where=(where,)
        )


@dataclass(frozen=True)
class LockedFile:
    """One file of a model.

    Attributes:
        path: relative to the model's folder, with `/` between its parts.
        size: in bytes.
        sha256: of its content, 64 lowercase hexadecimal digits.
        blob_id: the name of its blob in the Hugging Face cache: the sha256 of a file in large file storage, else the
            git blob id, 40 digits.

    Raises:
        LockedValueError: one of them is wrong.
    """

    path: str
    size: int
    sha256: str
    blob_id: str

    def __post_init__(self) -> None:
        check_path(self.path, "path")
        if type(self.size) is not int or not 0 <= self.size <= _LARGEST:
            raise LockedValueError(
                "wrong size", expected="a number of bytes from 0 to 2**63 - 1", found=show(self.size), where=("size",)
            )
        _digits(self.sha256, _SHA256, "64 lowercase hexadecimal digits", "sha256")
        if self.blob_id != self.sha256:
            _digits(self.blob_id, SHA1, "a git blob id of 40 lowercase hexadecimal digits, or the sha256", "blob_id")


class Facts(Mapping[str, Fact]):
    """What a fake needs to know of a model: text, numbers, truth values, lists of text; sorted, hashable.

    Args:
        facts: the names, in small letters, digits and underscores, with their values.

    Raises:
        LockedValueError: a name or a value is of another kind.
    """

    def __init__(self, facts: Mapping[str, Fact] | None = None) -> None:
        for name in facts or {}:
            is_name = isinstance(name, str) and _FACT_NAME.fullmatch(name) and name not in _YAML_WORDS
            if not is_name:
                expected = "small letters, digits and underscores, and no word such as 'yes' or 'null'"
                raise LockedValueError("wrong name of a fact", expected=expected, found=show(name), where=(name,))
        self._values = {name: _fact(name, value) for name, value in sorted((facts or {}).items())}

    def __getitem__(self, name: str) -> Fact:
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __hash__(self) -> int:
        return hash(tuple(self._values.items()))

    def __repr__(self) -> str:
        return f"Facts({self._values!r})"


@dataclass(frozen=True)
class LockedModel:
    """One model at one commit.

    Attributes:
        alias: its name in the project.
        repo: its repo id on the Hub.
        revision: the declared branch, tag or commit; None means the default branch.
        commit: what that was when it was locked.
        task: the declared task, or None.
        files: what is loaded, sorted by path.
        patterns: the declared file patterns.
        facts: what a fake needs.

    Raises:
        LockedValueError: one of them is wrong, there is no file, or two files have the same place.
    """

    alias: str
    repo: str
    revision: str | None
    commit: str
    task: str | None
    files: tuple[LockedFile, ...]
    patterns: tuple[str, ...] = ()
    facts: Mapping[str, Fact] = field(default_factory=Facts)

    def __post_init__(self) -> None:
        _digits(self.commit, SHA1, "a commit of 40 lowercase hexadecimal digits", "commit")
        self._check_names()
        for index, pattern in enumerate(self.patterns):
            with within("patterns"):
                _text(pattern, index, _LONGEST_TEXT)
        _check_places(self.files)
        with within("facts"):
            object.__setattr__(self, "facts", Facts(self.facts))
        object.__setattr__(self, "patterns", tuple(self.patterns))
        object.__setattr__(self, "files", tuple(sorted(self.files, key=lambda file: file.path)))

    @property
    def ref(self) -> ModelRef:
        """The repo at the locked commit."""
        return ModelRef(self.repo, self.commit)

    def _check_names(self) -> None:
        with _as_locked("alias"):
            ModelRef.parse(_text(self.alias, "alias", _LONGEST_TEXT))
        with _as_locked("repo"):
            ModelRef.parse(_text(self.repo, "repo", _LONGEST_TEXT))
        if self.task is not None:
            with _as_locked("task"):
                resolve_task(_text(self.task, "task", _LONGEST_TEXT))
        if self.revision is not None:
            with _as_locked("revision"):
                ref = ModelRef.parse(self.repo, _text(self.revision, "revision", _LONGEST_TEXT))
            if ref.is_commit and self.revision != self.commit:
                expected = f"the declared commit, {self.revision}"
                raise LockedValueError("another commit", expected=expected, found=self.commit, where=("commit",))


def _check_places(files: Sequence[LockedFile]) -> None:
    if not files:
        raise LockedValueError("a model needs files", expected="at least one", found="none", where=("files",))
    places = sorted((file.path.split("/"), index) for index, file in enumerate(files))
    for (first, one), (second, other) in pairwise(places):
        if second[: len(first)] == first:
            problem = "two files have the same path" if first == second else "a file and a folder have the same path"
            index = max(one, other)
            raise LockedValueError(problem, found=show(files[index].path), where=("files", index, "path"))


@contextmanager
def _as_locked(where: str) -> Iterator[None]:
    try:
        yield
    except LockedValueError:
        raise
    except ConfigurationError as error:
        raise LockedValueError(
            error.what, expected=error.expected or error.hint, found=error.found, where=(where,)
        ) from None


def _text(value: object, where: str | int, longest: int) -> str:
    expected = f"text of 1 to {longest} visible characters"
    if not isinstance(value, str) or not 1 <= len(value) <= longest or _INVISIBLE.search(value):
        raise LockedValueError("wrong text", expected=expected, found=show(value), where=(where,))
    return value


def _digits(value: object, form: re.Pattern[str], expected: str, where: str) -> None:
    if not isinstance(value, str) or not form.fullmatch(value):
        raise LockedValueError(f"wrong {where}", expected=expected, found=show(value), where=(where,))


def _fact(name: str, value: Any) -> Fact:
    if isinstance(value, list | tuple):
        for index, item in enumerate(value):
            if not isinstance(item, str) or _UNPAIRED.search(item):
                raise LockedValueError(
                    "wrong value of a fact", expected="text", found=show(item), where=(name, index)
                )
        return tuple(value)
    if isinstance(value, str) and not _UNPAIRED.search(value):
        return value
    if isinstance(value, float) and math.isfinite(value):
        return value
    if isinstance(value, int) and -_LARGEST <= value <= _LARGEST:
        return value
    expected = "text, a list of text, true or false, or a finite number"
    raise LockedValueError("wrong value of a fact", expected=expected, found=show(value), where=(name,))


def total_size(models: Iterable[LockedModel]) -> int:
    """Return the bytes of all files of the models."""
    return sum(file.size for model in models for file in model.files)
