"""The values in a lock: models at a commit, with the size and hash of every file. They are validated when created.

`modelenv.locks.project_lock` and `modelenv.volume.metadata` convert them to text and back.
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

# The characters that are invisible in a review: controls, directions, joiners, private and unpaired characters. They
# are listed here because `unicodedata` changes with the Python version, and a lock's text must not.
INVISIBLE = "\x00-\x1f\x7f-\x9f\xad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ud800-\uf8ff\ufeff" \
    "\ufff0-\uffff\U000e0000-\U0010ffff"  # fmt: skip
_INVISIBLE = re.compile(f"[{INVISIBLE}]")
_UNPAIRED = re.compile("[\ud800-\udfff]")
_SHA256 = re.compile(r"[0-9a-f]{64}")
SHA1 = re.compile(r"[0-9a-f]{40}")
_FACT_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")
_YAML_WORDS = frozenset({"y", "n", "yes", "no", "on", "off", "true", "false", "null"})  # not text in YAML 1.1
_LONGEST_PART = 255  # NAME_MAX of the file systems in use, in bytes
_LONGEST_PATH = 1024  # leaves room for the root within PATH_MAX, 4096
_LONGEST_TEXT = 255  # characters in a name, a task or a pattern
_LARGEST = 2**63 - 1  # the largest integer that TOML guarantees, and the largest possible file size
_LONGEST_SHOWN = 80


class LockedValueError(ConfigurationError):
    """A value that is not valid in a lock.

    Attributes:
        where: The path to the invalid value from the object that was being built, such as `("files", 3, "size")`.
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
    """Context manager: put `where` in front of the path of every `LockedValueError` that the block raises."""
    try:
        yield
    except LockedValueError as error:
        error.where = (*where, *error.where)
        raise


def show(value: object) -> str:
    """Return a short description of a value of any type and size."""
    if isinstance(value, Mapping):
        return "a table"
    if isinstance(value, list | tuple):
        return f"a list of {len(value)}"
    if isinstance(value, int) and abs(value) > _LARGEST:
        return f"an integer of {value.bit_length()} bits"  # Python refuses to print more than 4300 digits
    return shorten(repr(value[: _LONGEST_SHOWN + 1] if isinstance(value, str) else value))


def shorten(text: str) -> str:
    """Return the text, or its start followed by `…` if it is too long."""
    return text if len(text) <= _LONGEST_SHOWN else text[:_LONGEST_SHOWN] + "…"


def check_path(value: object, where: str) -> None:
    """Check that `value` is the relative path of a file or folder below a root.

    Raises:
        LockedValueError: The path is absolute, points outside of the root, is not normalised, is too long for a file
            system, or contains a backslash or invisible characters.
    """
    text = _text(value, where, _LONGEST_PATH)
    parts = text.split("/")
    problem = None
    if text.startswith("/"):
        problem = "a path must not be absolute"
    elif ".." in parts:
        problem = "a path must not point outside of its folder"
    elif "" in parts or "." in parts:
        problem = "a path must not have an empty part or a '.'"
    elif "\\" in text:
        problem = "a path must not contain a backslash"
    elif len(text.encode()) > _LONGEST_PATH or any(len(part.encode()) > _LONGEST_PART for part in parts):
        problem = f"a path must have at most {_LONGEST_PATH} bytes, and at most {_LONGEST_PART} in each part"
    if problem is not None:
        raise LockedValueError(
            problem, expected="a relative path such as 'onnx/model.json'", found=show(text), where=(where,)
        )


@dataclass(frozen=True)
class LockedFile:
    """One file of a model.

    Attributes:
        path: The path relative to the model's folder, with `/` between its parts.
        size: The size in bytes.
        sha256: The sha256 of the content, as 64 lowercase hexadecimal digits.
        blob_id: The name of the file's blob in the Hugging Face cache. It is the sha256 if the file is in large file
            storage, else the git blob id, as 40 lowercase hexadecimal digits.

    Raises:
        LockedValueError: A value is invalid.
    """

    path: str
    size: int
    sha256: str
    blob_id: str

    def __post_init__(self) -> None:
        check_path(self.path, "path")
        if type(self.size) is not int or not 0 <= self.size <= _LARGEST:
            raise LockedValueError(
                "invalid size",
                expected="a number of bytes from 0 to 2**63 - 1",
                found=show(self.size),
                where=("size",),
            )
        _digits(self.sha256, _SHA256, "64 lowercase hexadecimal digits", "sha256")
        if self.blob_id != self.sha256:
            _digits(self.blob_id, SHA1, "a git blob id of 40 lowercase hexadecimal digits, or the sha256", "blob_id")


class Facts(Mapping[str, Fact]):
    """The facts about a model that a fake needs: a sorted, hashable mapping.

    Args:
        facts: The values by name. A name has lowercase letters, digits and underscores. A value is text, a number, a
            truth value or a list of text.

    Raises:
        LockedValueError: A name or a value is invalid.
    """

    def __init__(self, facts: Mapping[str, Fact] | None = None) -> None:
        for name in facts or {}:
            is_name = isinstance(name, str) and _FACT_NAME.fullmatch(name) and name not in _YAML_WORDS
            if not is_name:
                expected = "lowercase letters, digits and underscores, and not a word such as 'yes' or 'null'"
                raise LockedValueError("invalid name of a fact", expected=expected, found=show(name), where=(name,))
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
        alias: The model's name in the project.
        repo: The model's repo id on the Hub.
        revision: The declared branch, tag or commit; None means the default branch.
        commit: The commit of that revision when the model was locked.
        task: The declared task, or None.
        files: The model's files, sorted by path.
        patterns: The declared file patterns.
        facts: The facts about the model that a fake needs.

    Raises:
        LockedValueError: A value is invalid, there are no files, or two files have the same path.
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
                raise LockedValueError(
                    "not the declared commit",
                    expected=f"commit {self.revision}",
                    found=self.commit,
                    where=("commit",),
                )


def _check_places(files: Sequence[LockedFile]) -> None:
    if not files:
        raise LockedValueError("the model has no files", expected="at least one", found="none", where=("files",))
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
        raise LockedValueError("invalid text", expected=expected, found=show(value), where=(where,))
    return value


def _digits(value: object, form: re.Pattern[str], expected: str, where: str) -> None:
    if not isinstance(value, str) or not form.fullmatch(value):
        raise LockedValueError(f"invalid {where}", expected=expected, found=show(value), where=(where,))


def _fact(name: str, value: Any) -> Fact:
    if isinstance(value, list | tuple):
        for index, item in enumerate(value):
            if not isinstance(item, str) or _UNPAIRED.search(item):
                raise LockedValueError(
                    "invalid value of a fact", expected="text", found=show(item), where=(name, index)
                )
        return tuple(value)
    if isinstance(value, str) and not _UNPAIRED.search(value):
        return value
    if isinstance(value, float) and math.isfinite(value):
        return value
    if isinstance(value, int) and -_LARGEST <= value <= _LARGEST:
        return value
    expected = "text, a list of text, true or false, or a finite number"
    raise LockedValueError("invalid value of a fact", expected=expected, found=show(value), where=(name,))


def total_size(models: Iterable[LockedModel]) -> int:
    """Return the total size of the models' files in bytes."""
    return sum(file.size for model in models for file in model.files)
