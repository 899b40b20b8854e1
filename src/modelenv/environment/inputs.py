"""What settings and the detection of the environment were read from, to see cheaply whether that has changed."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

from modelenv.environment.project import PROJECT_FILE
from modelenv.environment.settings import ENV_FILE, VARIABLES
from modelenv.environment.sources import VOLUME_METADATA

if TYPE_CHECKING:
    from modelenv.environment.settings import Settings

_OF_PYTEST = ("PYTEST_CURRENT_TEST", "PYTEST_VERSION")  # only whether they are set counts
_READ = tuple(name for name in VARIABLES if name not in _OF_PYTEST)


@dataclass(frozen=True)
class Inputs:
    """The working folder, the variables, and the state of the files that settings depend on.

    Attributes:
        files: their paths.
        seen: what was found.
    """

    files: tuple[str, ...]
    seen: tuple[object, ...]

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Return what these settings, just read, depend on."""
        folder = str(Path.cwd()) if settings.project_file is None else str(settings.project_file.parent)
        metadata = str(settings.volume_dir / VOLUME_METADATA)
        files = (os.path.join(folder, PROJECT_FILE), os.path.join(folder, ENV_FILE), metadata)  # noqa: PTH118
        return cls(files, _look(files))

    def are_unchanged(self) -> bool:
        """Return whether the settings would be the same if they were read now.

        A project's file that was put nearer to the working folder since then is not noticed.
        """
        return _look(self.files) == self.seen


def _look(files: tuple[str, ...]) -> tuple[object, ...]:
    environ = os.environ
    try:
        folder = os.getcwd()  # noqa: PTH109 - as with os.stat below
    except FileNotFoundError:
        folder = None
    variables = [environ.get(name) for name in _READ]
    return (folder, *variables, *map(environ.__contains__, _OF_PYTEST), *map(_state, files))


def _state(path: str) -> tuple[int, int, int] | None:
    try:
        found = os.stat(path)  # noqa: PTH116 - without making a path, in every test
    except OSError:
        return None
    return found.st_size, found.st_mtime_ns, found.st_ino
