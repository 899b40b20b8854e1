"""What the processes of a run saw, as JSON lines in a folder: each process appends to a file of its own."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

VARIABLE = "MODELENV_ADOPTION"


@dataclass(frozen=True)
class Adoption:
    """The value of the variable for the processes of a run.

    Attributes:
        folder: The folder for the files with what they saw.
        endpoint: The address of the Hub.
        project: In the run without the Hub, the folder of the project with the lock. Else None.
        cache: In the run without the Hub, the root of the store. Else None.
    """

    folder: str
    endpoint: str
    project: str | None = None
    cache: str | None = None

    @property
    def is_offline(self) -> bool:
        """Whether the lock answers, and requests to the Hub are refused."""
        return self.project is not None

    def text(self) -> str:
        """Return the value of the variable."""
        return json.dumps(asdict(self))

    @classmethod
    def of(cls, environ: Mapping[str, str]) -> Adoption | None:
        """Return the value in the variables of this process, or None if it is not part of such a run."""
        text = environ.get(VARIABLE)
        return None if not text else cls(**json.loads(text))


@dataclass(frozen=True)
class Asked:
    """Something that was asked for.

    Attributes:
        test: The node id of the running test, or empty outside of tests.
        repo_type: `model`, `dataset` or `space`, or empty if the request names no repo.
        repo: The repo id.
        revision: The revision, or None for the default branch.
        file: The file, or empty.
        is_request: Whether this is an HTTP request. Else it is a call for a file, also if that is in the cache.
        by_client: Whether `huggingface_hub` asked. A lock answers only that.
        url: The URL of a request that names no repo. Else empty.
    """

    test: str
    repo_type: str = ""
    repo: str = ""
    revision: str | None = None
    file: str = ""
    is_request: bool = False
    by_client: bool = True
    url: str = ""


@dataclass(frozen=True)
class Finished:
    """A part of a test that finished: its setup, its call or its teardown.

    Attributes:
        test: The absolute path of pytest's root folder, and the node id. The root folder can change between two runs.
        outcome: `passed`, `failed` or `skipped`.
    """

    test: str
    outcome: str


@dataclass(frozen=True)
class Seen:
    """What all processes of a run saw.

    Attributes:
        processes: The number of Python processes that could see something.
        asked: What they asked for.
        finished: The tests that finished.
        problems: Errors that kept a process from using the lock.
    """

    processes: int
    asked: tuple[Asked, ...]
    finished: tuple[Finished, ...]
    problems: tuple[str, ...]

    @property
    def failed(self) -> frozenset[str]:
        """The tests of which a part failed."""
        return frozenset(each.test for each in self.finished if each.outcome == "failed")


def append(folder: str, kind: str, values: Iterable[dict[str, Any]]) -> None:
    """Append lines to the file of this process. A forked process has its own file.

    A process that outlives its run records nothing more, because the folder is gone.
    """
    lines = "".join(json.dumps({"kind": kind, **each}) + "\n" for each in values)
    path = os.path.join(folder, f"{os.getpid()}.jsonl")  # noqa: PTH118 - without another import
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    except FileNotFoundError:
        return
    try:
        os.write(descriptor, lines.encode())
    finally:
        os.close(descriptor)


def read(folder: Path) -> Seen:
    """Read what the processes of a run saw. A line that a killed process did not finish is left out."""
    asked, finished, problems = list[Asked](), list[Finished](), list[str]()
    files = sorted(folder.glob("*.jsonl"))
    for file in files:
        for line in file.read_text(encoding="utf-8").splitlines(keepends=True):
            if not line.endswith("\n"):
                continue
            values = json.loads(line)
            kind = values.pop("kind")
            if kind == "asked":
                asked.append(Asked(**values))
            elif kind == "finished":
                finished.append(Finished(**values))
            elif kind == "problem":
                problems.append(values["text"])
    return Seen(len(files), tuple(asked), tuple(finished), tuple(dict.fromkeys(problems)))
