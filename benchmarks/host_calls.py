"""What a call costs more through the model host than in this process: python benchmarks/host_calls.py [CALLS].

One tiny text classifier, loaded here and in a host; each is called in turn, so that a change of the machine's load
meets both.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from modelenv.deadlines import Deadline
from modelenv.host.client import HostClient
from modelenv.host.folder import HostFolder
from modelenv.host.pipeline import HostedPipeline
from modelenv.host.recipes import recipe_of
from modelenv.loading import load_pipeline
from modelenv.testing import tiny_model

LIMIT_MS = 0.3
TASK = "text-classification"


def seconds_of(pipe: Any, text: str) -> float:
    """Return how long one call takes."""
    started = time.perf_counter()
    pipe(text)
    return time.perf_counter() - started


def main() -> int:
    """Print the medians and what the host adds; return 1 above the limit."""
    calls = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    folder = tiny_model(TASK)
    arguments = {"model": "tiny", "device": "cpu", "trust_remote_code": False}
    local = load_pipeline(folder, TASK, {}, **arguments, deadline=Deadline(300))
    with tempfile.TemporaryDirectory(prefix="modelenv-host-") as home:
        client = HostClient(HostFolder(Path(home)), watch=os.getpid())
        hosted = HostedPipeline(client, recipe_of(folder, TASK, {}, **arguments), lambda: local, print)
        taken: dict[str, list[float]] = {"here": [], "in the host": []}
        for number in range(calls + 20):  # the first ones warm up
            text = f"Bitcoin price surge {number}"
            for name, pipe in (("here", local), ("in the host", hosted)):
                taken[name].append(seconds_of(pipe, text))
        client.stop()
    medians = {name: statistics.median(seconds[20:]) * 1000 for name, seconds in taken.items()}
    means = {name: statistics.fmean(seconds[20:]) * 1000 for name, seconds in taken.items()}
    added = {kind: found["in the host"] - found["here"] for kind, found in (("median", medians), ("mean", means))}
    for name in taken:
        print(f"a call {name:11} {medians[name]:.3f} ms, in the mean {means[name]:.3f} ms")
    kept = added["median"] < LIMIT_MS
    print(
        f"the host adds {added['median']:.3f} ms ({added['mean']:.3f} ms in the mean of {calls:,} calls); "
        f"limit: {LIMIT_MS} ms: {'kept' if kept else 'EXCEEDED'}"
    )
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
