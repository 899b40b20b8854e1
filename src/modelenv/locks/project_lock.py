"""Reads and writes `modelenv.lock`, which lists the models of a project as text for review.

It is TOML. No library writes TOML for reviews, so this module formats the lines itself: one line per file, so that a
diff shows which file changed, and always the same text for the same models.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from modelenv.forks import cached_property
from modelenv.locks.line_numbers import Origin
from modelenv.locks.scalars import quote, scalar
from modelenv.locks.tables import VERSION, locked_model_from, models_from
from modelenv.locks.text_file import write_text
from modelenv.locks.toml_reader import read_toml
from modelenv.locks.values import SHA1, LockedFile, LockedModel, LockedValueError, show

_HEADER = "# Written by `modelenv lock`; review it in a diff, do not edit.\n"
_HINT = (
    "restore it from version control, then run `modelenv lock`, which adds what is missing; or delete it and run "
    "`modelenv lock` to lock every model at its newest commit"
)


@dataclass(frozen=True)
class Lockfile:
    """All models of a project, sorted by alias.

    Raises:
        LockedValueError: Two models have the same alias.
    """

    models: tuple[LockedModel, ...] = ()

    def __post_init__(self) -> None:
        check_unique_aliases([model.alias for model in self.models])
        object.__setattr__(self, "models", tuple(sorted(self.models, key=lambda model: model.alias)))

    def by_alias(self, alias: str) -> LockedModel | None:
        """Return the model with this alias, or None."""
        return self._aliases.get(alias)

    def find(self, repo_id: str, revision: str | None = None) -> LockedModel | None:
        """Return the model with this repo and revision, or None.

        A commit matches the model at that commit. Any other revision matches the model that was declared with it.
        None matches a model that was declared without a revision: preferably one without file patterns, else the
        first by alias.
        """
        models = self._repos.get(repo_id, ())
        if revision is None:
            unpinned = (model for model in models if model.revision is None)
            return min(unpinned, key=lambda model: bool(model.patterns), default=None)
        is_commit = SHA1.fullmatch(revision) is not None
        return next((model for model in models if revision == (model.commit if is_commit else model.revision)), None)

    @cached_property
    def _aliases(self) -> Mapping[str, LockedModel]:
        return {model.alias: model for model in self.models}

    @cached_property
    def _repos(self) -> Mapping[str, Sequence[LockedModel]]:
        repos: dict[str, list[LockedModel]] = {}
        for model in self.models:
            repos.setdefault(model.repo, []).append(model)
        return repos


def check_unique_aliases(aliases: Sequence[str]) -> None:
    """Raise a `LockedValueError` for the second model with the same alias."""
    seen: set[str] = set()
    for index, alias in enumerate(aliases):
        if alias in seen:
            raise LockedValueError(
                "two models have the same alias", found=show(alias), where=("models", index, "alias")
            )
        seen.add(alias)


def parse_lockfile(text: str, path: Path | str) -> Lockfile:
    """Parse the text of a lock; `path` is used in errors.

    Raises:
        LockfileError: The text is not a valid lock; the message starts with `path:line`.
    """
    return Origin(path, _HINT).parse(text, read_toml, lambda value: Lockfile(models_from(value, locked_model_from)))


def format_lockfile(lockfile: Lockfile) -> str:
    """Return the text of `lockfile`. The same models always give the same text, and vice versa."""
    return "\n".join([f"{_HEADER}version = {VERSION}\n", *map(_format_model, lockfile.models)])


def read_lockfile(path: Path | str) -> Lockfile:
    """Read a lock from a file.

    Raises:
        LockfileError: The file cannot be read, or is not a valid lock.
    """
    return parse_lockfile(Origin(path, _HINT).read(), path)


def write_lockfile(path: Path, lockfile: Lockfile) -> bool:
    """Write the file atomically, and return whether it changed. An unchanged file is not touched.

    Raises:
        NoSpaceError: The disk is full.
        ConfigurationError: The file cannot be written.
    """
    return write_text(path, format_lockfile(lockfile))


def _format_model(model: LockedModel) -> str:
    lines = ["[[models]]", f"alias = {quote(model.alias)}", f"repo = {quote(model.repo)}"]
    if model.revision is not None:
        lines.append(f"revision = {quote(model.revision)}")
    lines.append(f"commit = {quote(model.commit)}")
    if model.task is not None:
        lines.append(f"task = {quote(model.task)}")
    if model.patterns:
        lines.append(f"patterns = {_format_list(model.patterns)}")
    lines += ["files = [", *(f"    {_format_file(file)}," for file in model.files), "]"]
    if model.facts:
        lines += ["", "[models.facts]"]
    for name, fact in model.facts.items():
        lines.append(f"{name} = {_format_list(fact) if isinstance(fact, tuple) else scalar(fact)}")
    return "\n".join(lines) + "\n"


def _format_file(file: LockedFile) -> str:
    names = f"path = {quote(file.path)}, size = {file.size}"
    return f"{{ {names}, sha256 = {quote(file.sha256)}, blob_id = {quote(file.blob_id)} }}"


def _format_list(items: Sequence[str]) -> str:
    return "[" + ", ".join(map(quote, items)) + "]"
