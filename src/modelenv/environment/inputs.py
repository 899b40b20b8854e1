"""The inputs of the settings and of environment detection, so that a change can be detected cheaply."""

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

_OF_PYTEST = ("PYTEST_CURRENT_TEST", "PYTEST_VERSION")  # their values do not matter, only whether they are set
_READ = tuple(name for name in VARIABLES if name not in _OF_PYTEST)


@dataclass(frozen=True)
class Inputs:
    """The working folder, the variables, and the state of the files that the settings depend on.

    Attributes:
        files: the paths of the files.
        seen: the working folder, the variables and the state of the files when the settings were read.
    """

    files: tuple[str, ...]
    seen: tuple[object, ...]

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Return the inputs of these settings, which have just been read."""
        folder = str(Path.cwd()) if settings.project_file is None else str(settings.project_file.parent)
        metadata = str(settings.volume_dir / VOLUME_METADATA)
        names = (PROJECT_FILE, ENV_FILE)
        files = (*(os.path.join(folder, name) for name in names), metadata)  # noqa: PTH118 - faster than pathlib
        return cls(files, _look(files))

    def are_unchanged(self) -> bool:
        """Whether reading the settings again would give the same values.

        A project file that has since been created nearer to the working folder is not noticed.
        """
        return _look(self.files) == self.seen


def _look(files: tuple[str, ...]) -> tuple[object, ...]:
    environ = os.environ
    try:
        folder = os.getcwd()  # noqa: PTH109 - faster than pathlib, and called for every test
    except FileNotFoundError:
        folder = None
    variables = [environ.get(name) for name in _READ]
    return (folder, *variables, *map(environ.__contains__, _OF_PYTEST), *map(_state, files))


def _state(path: str) -> tuple[int, int, int] | None:
    try:
        found = os.stat(path)  # noqa: PTH116 - faster than pathlib, and called for every test
    except OSError:
        return None
    return found.st_size, found.st_mtime_ns, found.st_ino
