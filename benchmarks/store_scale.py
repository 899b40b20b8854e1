"""A store of many models: finding one takes as long among 10,000 as among 10; `list` and `verify` grow linearly.

python benchmarks/store_scale.py [models ...]
"""

from __future__ import annotations

import hashlib
import json
import statistics
import struct
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from modelenv.deadlines import Deadline
from modelenv.loading.locked_folder import obtain_locked, snapshot_of, verify_locked
from modelenv.loading.unlocked_folder import find_or_fetch_model
from modelenv.locks.values import LockedFile, LockedModel
from modelenv.references import ModelRef
from modelenv.store.checks import Checks
from modelenv.store.snapshots import snapshots
from modelenv.store.store import Store

HEADER = json.dumps({"w": {"dtype": "U8", "shape": [8], "data_offsets": [0, 8]}}).encode()
FILES = {
    "config.json": b'{"model_type": "bert"}',
    "model.safetensors": struct.pack("<Q", len(HEADER)) + HEADER + bytes(8),
    "tokenizer.json": b"{}",
}
COMMIT = "a" * 40


def fill(root: Path, number: int) -> list[LockedModel]:
    """Create a store with this number of models, each of three small files."""
    models = []
    for index in range(number):
        cache = root / f"models--org{index % 100}--model{index}"
        snapshot = cache / "snapshots" / COMMIT
        snapshot.mkdir(parents=True)
        (cache / "blobs").mkdir()
        (cache / "refs").mkdir()
        (cache / "refs" / "main").write_text(COMMIT)
        files = []
        for name, content in FILES.items():
            digest = hashlib.sha256(content).hexdigest()
            (cache / "blobs" / digest).write_bytes(content)
            (snapshot / name).symlink_to(f"../../blobs/{digest}")
            files.append(LockedFile(name, len(content), digest, digest))
        models.append(LockedModel(f"m{index}", f"org{index % 100}/model{index}", None, COMMIT, None, tuple(files)))
    return models


def milliseconds(action: Callable[[], object], times: int = 1) -> float:
    """Return the median time of several calls."""
    taken = []
    for _ in range(times):
        started = time.perf_counter()
        action()
        taken.append(time.perf_counter() - started)
    return statistics.median(taken) * 1000


def measure(number: int) -> None:
    """Print the figures of one store."""
    with tempfile.TemporaryDirectory() as name:
        store = Store(Path(name))
        models = fill(store.root, number)
        middle = models[number // 2]

        def verify(how: Checks) -> None:
            for each in models:
                if verify_locked(store, each, snapshot_of(store, each), how).differences:
                    raise SystemExit(f"{each.alias} differs")

        verify(Checks())  # remembers; from here on nothing is hashed that did not change
        find = milliseconds(lambda: find_or_fetch_model(store, ModelRef(middle.repo), Deadline(10)), 50)
        locked = milliseconds(lambda: obtain_locked(store, middle, Deadline(10), fetches=False, checks=Checks()), 50)
        listed = milliseconds(lambda: list(snapshots(store))) / number
        verified = milliseconds(lambda: verify(Checks())) / number
        full = milliseconds(lambda: verify(Checks(full=True))) / number
    print(f"{number:7} {find:9.2f} {locked:9.2f} {listed:9.2f} {verified:9.2f} {full:9.2f}", flush=True)


def main(*numbers: int) -> None:
    """Measure stores of these sizes."""
    print("milliseconds:  find one: open, locked | for each model: list, verify, verify --full")
    for number in numbers or (10, 100, 1000, 10_000):
        measure(number)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
