"""What settings, and the source that follows from them, were read from. To look at it costs a fraction of reading."""

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
_READ = ("HOME", *(name for name in VARIABLES if name not in _OF_PYTEST))


@dataclass(frozen=True)
class Inputs:
    """The working folder, the variables, and the state of the files that settings depend on.

    Attributes:
        files: the paths of the files; most do not exist.
        seen: what was found.
    """

    files: tuple[str, ...]
    seen: tuple[object, ...]

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Return what the settings of this process, just read, depend on."""
        here = Path.cwd()
        upwards = [here, *here.parents]
        if settings.project_file is not None:  # else each folder above may get one
            upwards = upwards[: upwards.index(settings.project_file.parent) + 1]
        project = here if settings.project_file is None else settings.project_file.parent
        others = (project / ENV_FILE, settings.volume_dir / VOLUME_METADATA)
        files = (*(str(each / PROJECT_FILE) for each in upwards), *map(str, others))
        return cls(files, _look(files))

    def are_unchanged(self) -> bool:
        """Return whether the settings would be the same if they were read now."""
        return _look(self.files) == self.seen


def _look(files: tuple[str, ...]) -> tuple[object, ...]:
    environ = os.environ
    try:
        folder = os.getcwd()  # noqa: PTH109 - as with os.stat below
    except FileNotFoundError:
        folder = None
    variables = [environ.get(name) for name in _READ]
    return (folder, *variables, *map(environ.__contains__, _OF_PYTEST), *map(_state, files))


def _state(path: str) -> object:
    """Return which content a file has, or why it cannot be looked at."""
    try:
        found = os.stat(path)  # noqa: PTH116 - without making a path, in every test
    except OSError as error:
        return error.errno
    return found.st_size, found.st_mtime_ns, found.st_ino
