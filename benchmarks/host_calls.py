"""The additional cost of a call through the model host: python benchmarks/host_calls.py [CALLS].

A tiny text classifier, held by a process of its own and by a host. The calls alternate, so that changes of the
machine's load affect both. Each process has one thread: so small a model does not benefit from more, and the
benchmark would measure how their threads compete for cores. Like a worker, this process does not import torch; then
the benchmark is repeated with torch imported, because its random state is sent with each call.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from modelenv.deadlines import Deadline
from modelenv.host.client import HostClient
from modelenv.host.folder import HostFolder
from modelenv.host.proxy import HostedPipeline
from modelenv.host.recipes import recipe_of
from modelenv.loading.spec import ModelSpec

LIMIT_MS = 0.3
TASK = "text-classification"
ARGUMENTS: dict[str, Any] = {"model": "tiny", "device": "cpu", "trust_remote_code": False}
WARM_UP = 50


def seconds_of(pipe: Any, text: str) -> float:
    """Return the time of one call."""
    started = time.perf_counter()
    pipe(text)
    return time.perf_counter() - started


def call_locally(connection: Connection) -> None:
    """Hold the pipeline in this process, and answer each text with the seconds that its call took."""
    from modelenv.loading.build import load_pipeline
    from modelenv.testing import tiny_model

    folder = tiny_model(TASK)
    pipe = load_pipeline(ModelSpec(folder, TASK, {}, **ARGUMENTS), Deadline(300))
    connection.send(str(folder))
    while text := connection.recv():
        connection.send(seconds_of(pipe, text))


def compare(calls: int, local: Callable[[str], float], hosted: HostedPipeline) -> tuple[float, float]:
    """Return the median milliseconds of a local and of a hosted call."""
    taken: tuple[list[float], list[float]] = ([], [])
    for number in range(calls + WARM_UP):
        text = f"Bitcoin price surge {number}"
        taken[0].append(local(text))
        taken[1].append(seconds_of(hosted, text))
    here, there = (statistics.median(seconds[WARM_UP:]) * 1000 for seconds in taken)
    return here, there


def main() -> int:
    """Print the medians and the overhead of the host. Returns 1 above the limit."""
    os.environ["OMP_NUM_THREADS"] = "1"  # before torch is imported, there and in the host
    calls = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    spawn = get_context("spawn")
    connection, other = spawn.Pipe()
    process = spawn.Process(target=call_locally, args=(other,))
    process.start()
    folder = Path(connection.recv())

    def local(text: str) -> float:
        connection.send(text)
        seconds: float = connection.recv()
        return seconds

    kept = True
    with tempfile.TemporaryDirectory(prefix="modelenv-host-") as home:
        client = HostClient(HostFolder(Path(home)), watch=os.getpid())
        hosted = HostedPipeline(client, recipe_of(ModelSpec(folder, TASK, {}, **ARGUMENTS)), lambda: None, print)
        for worker in ("without torch", "with torch"):
            if worker == "with torch":
                import torch  # noqa: F401
            here, there = compare(calls, local, hosted)
            kept = kept and there - here < LIMIT_MS
            print(
                f"a worker {worker:13}: the host adds {there - here:.3f} ms to a call of {here:.3f} ms; "
                f"limit: {LIMIT_MS} ms: {'kept' if there - here < LIMIT_MS else 'EXCEEDED'}"
            )
        client.stop()
    connection.send("")
    process.join(30)
    print(f"medians of {calls:,} calls, in turn")
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
