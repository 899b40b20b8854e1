"""The Hub requests of `pytest -n 4`, with modelenv and with session fixtures, and of loaders by plain name.

    python benchmarks/hub_requests.py [WORKERS] [RUNS]

Serves all-MiniLM-L6-v2 (91 MB) and a small classifier from an embedded Hub. Each suite runs with a cold cache, then
with a warm one, alternating. The reference is a single `snapshot_download` of both models. With RUNS=0, only the
loaders are measured: unchanged code by plain name, without modelenv and after `modelenv.install()`.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from example_project import CLASSIFIER, EMBEDDING, PLAIN, PYTEST, REAL, variables, write_models, write_suite
from timing import run_seconds

LONE = f"""
from huggingface_hub import snapshot_download
for name in ("{CLASSIFIER}", "{EMBEDDING}"):
    snapshot_download(name)
"""

INSTALL = "import modelenv; modelenv.install()\n"
TASK = "text-classification"
LOADERS = {
    "AutoTokenizer": f"from transformers import AutoTokenizer as A; A.from_pretrained('{CLASSIFIER}')",
    "AutoModel": f"from transformers import AutoModel as A; A.from_pretrained('{CLASSIFIER}')",
    "pipeline(task, model=)": f"from transformers import pipeline as p; p('{TASK}', model='{CLASSIFIER}')",
    "pipeline(model=)": f"from transformers import pipeline as p; p(model='{CLASSIFIER}')",
    "SentenceTransformer": f"from sentence_transformers import SentenceTransformer as S; S('{EMBEDDING}')",
    "tokenizers.Tokenizer": f"from tokenizers import Tokenizer as T; T.from_pretrained('{CLASSIFIER}')",
}


@dataclass(frozen=True)
class Measured:
    """The measurements of one run."""

    requests: int
    bytes: int
    seconds: float


def main() -> int:
    """Print requests, bytes and seconds of each suite, cold and warm."""
    from modelenv.hub import EmbeddedHub

    workers = sys.argv[1] if len(sys.argv) > 1 else "4"
    runs = int(sys.argv[2]) if len(sys.argv) > 2 else 3
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        write_models(work / "models")
        suites = {
            "lone snapshot_download": [sys.executable, "-c", LONE],
            f"session fixtures, -n {workers}": [*PYTEST, "-p", "no:modelenv", "-n", workers],
            f"modelenv, -n {workers}": [*PYTEST, "--real-models", "-n", workers],
            f"modelenv, lock, -n {workers}": [*PYTEST, "--real-models", "-n", workers],
        }
        write_suite(work / "suite-1", PLAIN)
        write_suite(work / "suite-2", REAL)
        write_suite(work / "suite-3", REAL)
        (work / "suite-0").mkdir()
        taken: dict[tuple[str, str], list[Measured]] = {}
        with EmbeddedHub(work / "models") as hub:
            files = write_lock(hub, work / "suite-3", work)
            print(f"{files} files, {workers} workers: with a lock, {files} requests are the floor for a cold cache")
            for run in range(runs):
                for number, (name, command) in enumerate(suites.items()):
                    for state in ("cold", "warm"):
                        cache = work / f"cache-{run}-{number}"
                        measured = measure(hub, command, work / f"suite-{number}", cache)
                        taken.setdefault((name, state), []).append(measured)
            if taken:
                report(taken, runs)
            report_loaders(hub, work)
    return 0


def report_loaders(hub, work: Path) -> None:  # type: ignore[no-untyped-def]
    """Print the requests of each loader by plain name, cold and warm, raw and after `modelenv.install()`."""
    print(f"{'loader':24} {'':10} {'cold':>5} {'MB':>7} {'warm':>5}")
    for number, (name, code) in enumerate(LOADERS.items()):
        for kind, program in (("raw", code), ("install()", INSTALL + code)):
            cache = work / f"loader-{number}-{kind}"
            command = [sys.executable, "-c", program]
            # else the client asks for a list of agents, once a day
            alone = {"HF_HUB_DISABLE_TELEMETRY": "1"}
            cold, warm = (measure(hub, command, work / "suite-3", cache, **alone) for _ in range(2))
            print(f"{name:24} {kind:10} {cold.requests:5} {cold.bytes / 1e6:7.1f} {warm.requests:5}")


def write_lock(hub, folder: Path, work: Path) -> int:  # type: ignore[no-untyped-def]
    """Lock both models for the suite in `folder`, and return the number of files."""
    from modelenv.locks.project_lock import read_lockfile

    declared = f'[tool.modelenv.models]\nclassifier = "{CLASSIFIER}"\nembedding = "{EMBEDDING}"\n'
    (folder / "pyproject.toml").write_text(declared)
    measure(hub, [sys.executable, "-m", "modelenv", "lock"], folder, work / "locking")
    return sum(len(model.files) for model in read_lockfile(folder / "modelenv.lock").models)


def measure(  # type: ignore[no-untyped-def]
    hub, command: list[str], folder: Path, cache: Path, **more: str
) -> Measured:
    """Run a command, and measure its requests to the Hub."""
    set_variables = {**variables(hub.endpoint, cache), "OMP_NUM_THREADS": "1", **more}
    hub.clear()
    seconds = run_seconds(command, folder, set_variables)
    requests = hub.requests
    return Measured(len(requests), sum(request.body_bytes for request in requests), seconds)


def report(taken: dict[tuple[str, str], list[Measured]], runs: int) -> None:
    """Print the medians. Ratios are relative to the session fixtures with the same state of the cache."""
    plain = {
        state: statistics.median(run.seconds for run in found)
        for (name, state), found in taken.items()
        if "fixtures" in name
    }
    print(f"{'suite':26} {'cache':6} {'requests':>8} {'MB':>7} {'seconds':>8} {'ratio':>6}")
    for (name, state), found in taken.items():
        seconds = statistics.median(run.seconds for run in found)
        requests = statistics.median(run.requests for run in found)
        megabytes = statistics.median(run.bytes for run in found) / 1e6
        print(f"{name:26} {state:6} {requests:8.0f} {megabytes:7.1f} {seconds:8.1f} {seconds / plain[state]:6.2f}")
    print(f"medians of {runs} runs in turn; the ratio is to the session fixtures")


if __name__ == "__main__":
    sys.exit(main())
