"""Runs the command of `modelenv adopt`, and reads what its processes saw."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from modelenv.adoption.records import VARIABLE, Adoption, Seen, read
from modelenv.environment.hub_client import hub_constants

INJECTED = Path(__file__).with_name("injected")
_PLUGIN = "pytest_modelenv.adopting"


@dataclass(frozen=True)
class Run:
    """A finished run of the command.

    Attributes:
        code: The exit code, as a shell reports it: 128 and the number of the signal that ended the command.
        seen: What its processes saw.
    """

    code: int
    seen: Seen


def run_command(
    program: str, command: Sequence[str], output: TextIO, *, project: Path | None = None, cache: Path | None = None
) -> Run:
    """Run the command, and record what it asks the Hub for.

    Args:
        program: The path of the program.
        command: The command and its arguments.
        output: Where its stdout goes.
        project: The folder of the project whose lock answers while the Hub is out of reach. Without it, the command
            runs as it is.
        cache: The root of the store with the locked models, with `project`.
    """
    with tempfile.TemporaryDirectory(prefix="modelenv-adopt-") as folder:
        endpoint = str(hub_constants().ENDPOINT)
        offline = {} if project is None or cache is None else {"project": str(project), "cache": str(cache)}
        adoption = Adoption(folder, endpoint, **offline)
        output.flush()
        done = subprocess.run(  # noqa: S603 - the user's own command, without a shell
            list(command), executable=program, env=variables_of(adoption, os.environ), stdout=output, check=False
        )
        code = done.returncode
        return Run(code if code >= 0 else 128 - code, read(Path(folder)))


def variables_of(adoption: Adoption, environ: Mapping[str, str]) -> dict[str, str]:
    """Return the variables for a command: `environ`, and those with which its processes are observed."""

    def joined(name: str, separator: str, value: str) -> str:
        return separator.join([value, *filter(None, [environ.get(name)])])

    return {
        **environ,
        VARIABLE: adoption.text(),
        "PYTHONPATH": joined("PYTHONPATH", os.pathsep, str(INJECTED)),
        "PYTEST_PLUGINS": joined("PYTEST_PLUGINS", ",", _PLUGIN),
    }
