"""Names of models. They are validated here and nowhere else, before any path is built from them."""

from __future__ import annotations

import re
from dataclasses import dataclass

from modelenv.errors import ConfigurationError

_PART = r"[A-Za-z0-9_](?:[A-Za-z0-9._-]*[A-Za-z0-9_])?"
_REPO_ID = re.compile(rf"{_PART}(?:/{_PART})?")
_REVISION = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9._/+-]*[A-Za-z0-9_+-])?")
_COMMIT = re.compile(r"[0-9a-f]{40}")
_LONGEST_NAME = 96  # huggingface_hub/utils/_validators.py
_LONGEST_REVISION = 200  # a revision becomes a file name, which has at most 255 bytes, some of them for a suffix
_HINT = "use the model's name on the Hub, 'organisation/name' or 'name', or an alias from [tool.modelenv.models]"


@dataclass(frozen=True)
class ModelRef:
    """A model on the Hub: a repo id and the requested revision. Both are validated when it is created.

    Attributes:
        repo_id: `organisation/name`, or `name` alone.
        revision: A branch, a tag or a commit; None means the default branch.

    Raises:
        ConfigurationError: The name or the revision is empty, points outside of its folder, or contains characters
            that the Hub does not allow.
    """

    repo_id: str
    revision: str | None = None

    def __post_init__(self) -> None:
        _check_name(self.repo_id)
        if self.revision is not None:
            _check_revision(self.repo_id, self.revision)

    @classmethod
    def parse(cls, name: str, revision: str | None = None) -> ModelRef:
        """Return the reference for the repo id `name`.

        Raises:
            ConfigurationError: The name or the revision is invalid.
        """
        return cls(name, revision)

    @property
    def organisation(self) -> str | None:
        """The part before the slash, or None if there is no slash."""
        organisation, slash, _ = self.repo_id.rpartition("/")
        return organisation if slash else None

    @property
    def name(self) -> str:
        """The part after the slash."""
        return self.repo_id.rpartition("/")[2]

    @property
    def is_commit(self) -> bool:
        """Whether the revision is a full commit hash, which never moves."""
        return is_commit(self.revision)

    def __str__(self) -> str:
        return self.repo_id if self.revision is None else f"{self.repo_id}@{self.revision}"


def is_commit(text: object) -> bool:
    """Whether `text` is a full commit hash: 40 lowercase hexadecimal digits."""
    return isinstance(text, str) and _COMMIT.fullmatch(text) is not None


def _check_name(name: str) -> None:
    if not isinstance(name, str):
        raise ConfigurationError("a model's name must be text", found=repr(name), hint=_HINT)
    problem = None
    if not name.strip():
        problem = "a model's name must not be empty"
    elif "\0" in name or "\\" in name:
        problem = "a model's name must not contain NUL or a backslash"
    elif ".." in name or name.startswith(("/", "~")):
        problem = "a model's name must not point outside of its folder"
    elif len(name) > _LONGEST_NAME:
        problem = f"a model's name must have at most {_LONGEST_NAME} characters"
    elif "--" in name or name.endswith(".git") or not _REPO_ID.fullmatch(name):
        problem = "not a valid model name"
    if problem is not None:
        raise ConfigurationError(problem, found=repr(name), hint=_HINT)


def _check_revision(name: str, revision: str) -> None:
    is_text = isinstance(revision, str) and len(revision) <= _LONGEST_REVISION
    if not is_text or ".." in revision or not _REVISION.fullmatch(revision):
        raise ConfigurationError(
            "not a valid revision",
            model=name,
            expected="a branch, a tag, or a commit of 40 hexadecimal digits",
            found=repr(revision),
        )
