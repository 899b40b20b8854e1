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
_READ = ("HOME", *(name for name in VARIABLES if name not in _OF_PYTEST))


@dataclass(frozen=True)
class Inputs:
    """The working folder, the variables, and the state of the files that the settings depend on.

    Attributes:
        files: The paths of the files; most do not exist.
        seen: The working folder, the variables and the state of the files when the settings were read.
    """

    files: tuple[str, ...]
    seen: tuple[object, ...]

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Return the inputs of the settings of this process, which have just been read."""
        here = Path.cwd()
        upwards = [here, *here.parents]
        if settings.project_file is not None:  # otherwise a project file can appear in each folder above
            upwards = upwards[: upwards.index(settings.project_file.parent) + 1]
        project = here if settings.project_file is None else settings.project_file.parent
        others = (project / ENV_FILE, settings.volume_dir / VOLUME_METADATA)
        files = (*(str(each / PROJECT_FILE) for each in upwards), *map(str, others))
        return cls(files, _look(files))

    def are_unchanged(self) -> bool:
        """Whether reading the settings again would give the same values."""
        return _look(self.files) == self.seen


def _look(files: tuple[str, ...]) -> tuple[object, ...]:
    environ = os.environ
    try:
        folder = os.getcwd()  # noqa: PTH109 - faster than pathlib, and called for every test
    except FileNotFoundError:
        folder = None
    variables = [environ.get(name) for name in _READ]
    return (folder, *variables, *map(environ.__contains__, _OF_PYTEST), *map(_state, files))


def _state(path: str) -> object:
    """Return values that change when the file does, or the error number if it cannot be read."""
    try:
        found = os.stat(path)  # noqa: PTH116 - faster than pathlib, and called for every test
    except OSError as error:
        return error.errno
    return found.st_size, found.st_mtime_ns, found.st_ino
