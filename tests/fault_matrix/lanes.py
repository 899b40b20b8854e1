"""The columns of the fault matrix: each has a Hub, a store in some state, and the processes that load from them."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import struct
import subprocess
import sys
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modelenv.hub import EmbeddedHub

from .faults import ESCAPED, TOKEN, Row

LANES = {"cold load": 1, "resumed load": 1, "4 workers": 4}
_WORKER = Path(__file__).with_name("worker.py")
_WEIGHTS = 300_000
_CLEAN_SECONDS = 120.0


@dataclass(frozen=True)
class Cell:
    """The result of one cell.

    Attributes:
        row: The name of the fault.
        lane: The name of the column.
        outcome: "model" if the load succeeded, else the name of the error.
        seconds: The time of the slowest load.
        text: The text of one of the errors.
        wrong: The problems that were found.
    """

    row: str
    lane: str
    outcome: str
    seconds: float
    text: str
    wrong: tuple[str, ...]


class Worker:
    """A running worker.py process."""

    def __init__(self, endpoint: str, home: Path, log: Path) -> None:
        variables = {"HF_ENDPOINT": endpoint, "HF_HOME": str(home), "HF_TOKEN": TOKEN}
        kept = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
        off = {"HF_HUB_DISABLE_PROGRESS_BARS": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}
        self._stderr = log.open("wb")
        self._process = subprocess.Popen(
            [sys.executable, str(_WORKER)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._stderr, text=True,
            env={**kept, **variables, **off},
        )  # fmt: skip

    def order(self, store: Path, failures: Path, deadline: float) -> dict[str, Any]:
        """Make the worker fetch the model, and return its answer."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        order = {"store": str(store), "failures": str(failures), "deadline": deadline}
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        assert line, "the worker died"
        answer: dict[str, Any] = json.loads(line)
        return answer

    def stop(self) -> None:
        """Stop the worker, which ends when its input is closed."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(timeout=60)
        self._process.stdout.close()
        self._stderr.close()


@dataclass(frozen=True)
class Lane:
    """One column.

    Attributes:
        name: The name of the column.
        folder: A folder for all its files.
        hub: Its Hub.
        workers: Its workers.
        expected: The sha256 of each file of the model.
        template: The initial store, or None to start with an empty one.
    """

    name: str
    folder: Path
    hub: EmbeddedHub
    workers: tuple[Worker, ...]
    expected: dict[str, str]
    template: Path | None

    def run(self, row: Row, number: int) -> Cell:
        """Load in all workers at the same time with the fault, then in one worker without it, from the same store."""
        folder = self.folder / str(number)
        store = folder / "store"
        if self.template is not None:
            shutil.copytree(self.template, store, symlinks=True)
        for rule in row.rules:
            self.hub.fail(**rule)
        try:
            with ThreadPoolExecutor(len(self.workers)) as pool:
                orders = [pool.submit(one.order, store, folder / "run", row.deadline) for one in self.workers]
                answers = [order.result() for order in orders]
        finally:
            self.hub.stop()
            self.hub.clear_faults()
            self.hub.start()
        clean = self.workers[0].order(store, folder / "clean", _CLEAN_SECONDS)
        wrong = [*self._wrong_with(answers), *self._wrong_after(clean, store)]
        first = next((answer for answer in answers if "error" in answer), answers[0])
        outcomes = sorted({answer.get("error", "model") for answer in answers})
        seconds = max(answer["seconds"] for answer in answers)
        return Cell(row.name, self.name, " or ".join(outcomes), seconds, first.get("text", ""), tuple(wrong))

    def _wrong_with(self, answers: list[dict[str, Any]]) -> Iterator[str]:
        for answer in answers:
            if "files" in answer:
                if answer["files"] != self.expected:
                    yield f"wrong bytes: {answer['files']}"
                continue
            text = answer["text"]
            if not answer["typed"]:
                yield f"an error that is not a ModelEnvError: {answer['error']}: {text}"
            if not (text.startswith("acme/model: ") and "\n  found: " in text and "\n  what to do: " in text):
                yield f"an error without model, cause or hint: {text}"
            if TOKEN in text or TOKEN in answer["fields"]:
                yield f"a token in the text: {text}"
        if len({"files" in answer for answer in answers}) > 1:
            yield f"the workers have different outcomes: {answers}"
        texts = {answer.get("text") for answer in answers if answer.get("error") != "ModelLoadTimeoutError"}
        if len(texts) > 1:
            yield f"the workers have different errors: {texts}"

    def _wrong_after(self, clean: dict[str, Any], store: Path) -> Iterator[str]:
        if clean.get("files") != self.expected:
            yield f"the load without the fault failed: {clean}"
        left = [str(path) for path in store.rglob("*.incomplete")]
        if left:
            yield f"left in the store: {left}"
        escaped = [str(path) for path in self.folder.rglob(f"*{ESCAPED}*")]
        if escaped:
            yield f"written outside of the store: {escaped}"


@contextmanager
def opened(name: str, folder: Path) -> Iterator[Lane]:
    """Start the Hub and the workers of a lane. A "resumed load" starts with the store of a killed process."""
    source = _write_model(folder / "repo")
    expected = {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in sorted(source.iterdir())}
    with ExitStack() as stack:
        hub = stack.enter_context(EmbeddedHub())
        hub.add(source, "acme/model")
        workers = []
        for number in range(LANES[name]):
            log = folder / f"worker-{number}.log"
            worker = Worker(hub.endpoint, folder / "home", log)
            stack.callback(_check_log, log)
            stack.callback(worker.stop)
            workers.append(worker)
        lane = Lane(name, folder, hub, tuple(workers), expected, None)
        if name == "resumed load":
            answer = workers[0].order(folder / "template", folder / "first", _CLEAN_SECONDS)
            assert answer.get("files") == expected, answer
            lane = Lane(name, folder, hub, tuple(workers), expected, _interrupted(folder / "template"))
        yield lane


def run_matrix(rows: Iterable[Row], folder: Path, lanes: Iterable[str] = tuple(LANES)) -> list[Cell]:
    """Run the cells of these rows, all lanes at the same time, and return them by row."""
    rows, lanes = tuple(rows), tuple(lanes)

    def run_lane(name: str) -> list[Cell]:
        place = folder / name.replace(" ", "-")
        place.mkdir()
        with opened(name, place) as lane:
            return [lane.run(row, number) for number, row in enumerate(rows)]

    with ThreadPoolExecutor(len(lanes)) as pool:
        columns = list(pool.map(run_lane, lanes))
    return [column[number] for number in range(len(rows)) for column in columns]


def _write_model(folder: Path) -> Path:
    folder.mkdir()
    (folder / "config.json").write_text('{"model_type": "bert"}')
    (folder / "tokenizer.json").write_text('{"version": "1.0"}')
    header = json.dumps({"w": {"dtype": "U8", "shape": [_WEIGHTS], "data_offsets": [0, _WEIGHTS]}}).encode()
    body = bytes(index % 251 for index in range(_WEIGHTS))
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(header)) + header + body)
    return folder


def _interrupted(store: Path) -> Path:
    """Change the store as if a process had been killed while it received the weights, and return it."""
    link = next(store.glob("models--*/snapshots/*/model.safetensors"))
    blob = link.resolve()
    blob.with_name(f"{blob.name}.0123abcd.incomplete").write_bytes(blob.read_bytes()[:100_000])
    blob.unlink()
    link.unlink()
    shutil.rmtree(store / ".locks" / "modelenv")
    note = store / ".locks/modelenv/models--acme--model/parts.json"
    note.parent.mkdir(parents=True)
    note.write_text("[]")  # a fetch started without any parts, and did not end
    return store


def _check_log(log: Path) -> None:
    text = log.read_text()
    assert TOKEN not in text, f"a token in the output of a worker: {text}"
