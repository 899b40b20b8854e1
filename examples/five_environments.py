"""One service in five environments, with real models, in about a minute.

Serves a classifier (trained here, in seconds) and all-MiniLM-L6-v2 (91 MB, from an installed package) from an
embedded Hub, and runs `examples/sentiment_service` and its tests with them. No data leaves this machine. Prints a
table, and ends with exit code 1 if a check fails.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import tempfile
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from five_environments_support import (
    EMBEDDING_MODEL,
    CheckError,
    HubProcess,
    Row,
    check,
    clean_environment,
    lay_out_models,
    make_volume,
    print_table,
    run,
    unprivileged,
    volume_state,
)

SERVICE = Path(__file__).resolve().parent / "sentiment_service"
CLASSIFIER = "example/market-sentiment"
TEXTS = ("Bitcoin price surge, a record high", "Bitcoin price crash, panic and huge losses")
WORKERS = 2
PYTEST = f"pytest --real-models -n {WORKERS}"
REAL = f"real: {CLASSIFIER.split('/')[1]}, {EMBEDDING_MODEL.split('/')[1]}"
STOPPED = "0, Hub stopped"
STEP_SECONDS = 180
_NUMBERS = ("score", "similarity")


class Walkthrough:
    """The steps of the walkthrough, in order.

    Args:
        work: An empty folder for models, caches and logs.
    """

    def __init__(self, work: Path) -> None:
        self.work = work
        self.models = work / "models"
        self.rows: list[Row] = []
        self.volume_note = ""
        self.answers: dict[str, list[dict[str, Any]]] = {}

    def run(self) -> None:
        """Run all steps.

        Raises:
            CheckError: A check failed.
        """
        print("preparing the models", flush=True)
        lay_out_models(self.models, CLASSIFIER)
        self._fakes()
        with HubProcess(self.models, self.work / "hub.log") as hub:
            self._download_on_demand(hub)
            self._hub_fallback(hub)
        self._again_without_hub(hub)
        self._local_cache(hub)
        self._volume(hub)
        check(len({_comparable(found) for found in self.answers.values()}) == 1, "the answers differ", self.answers)

    def _fakes(self) -> None:
        print("$ pytest    # fakes", flush=True)
        started = time.monotonic()
        passed, skipped = self._pytest("fakes", [], self._variables())
        check(passed > 0 and skipped > 0, "expected fast tests to pass, others to be skipped", (passed, skipped))
        self.rows.append(Row("fakes", "pytest", "fake", f"{passed} tests", "0", time.monotonic() - started))

    def _download_on_demand(self, hub: HubProcess) -> None:
        print(
            f"$ pytest --real-models -n {WORKERS}    # downloads from {hub.endpoint}, the cache is cold\n", flush=True
        )
        seconds, did = self._pytest_with_real_models("download", hub, show=True)
        print()
        requests = hub.check_each_file_sent_once(self.models)
        self.rows.append(Row("download on demand", PYTEST, REAL, did, requests, seconds))

    def _again_without_hub(self, hub: HubProcess) -> None:
        print(f"$ pytest --real-models -n {WORKERS}    # again, the Hub is stopped", flush=True)
        seconds, did = self._pytest_with_real_models("again", hub)
        self.rows.insert(2, Row("  second run", PYTEST, REAL, did, STOPPED, seconds))

    def _hub_fallback(self, hub: HubProcess) -> None:
        hub.forget_requests()
        seconds = self._service("huggingface_hub", self._variables(HF_ENDPOINT=hub.endpoint))
        requests = hub.check_each_file_sent_once(self.models)
        self.rows.append(Row("Hub (fallback)", "sentiment_service", REAL, "2 texts", requests, seconds))

    def _local_cache(self, hub: HubProcess) -> None:
        cache = str(self.work / "downloads")  # the files that the tests downloaded
        seconds = self._service("local_cache", self._variables(MODEL_CACHE_DIR=cache, HF_ENDPOINT=hub.endpoint))
        self.rows.append(Row("local cache", "sentiment_service", REAL, "2 texts", STOPPED, seconds))

    def _volume(self, hub: HubProcess) -> None:
        volume = make_volume(self.models, self.work / "volume")
        reader = unprivileged(volume)
        before = volume_state(volume)
        variables = self._variables(MODEL_VOLUME_DIR=str(volume), HF_ENDPOINT=hub.endpoint)
        seconds = self._service("persistent_volume", variables, prefix=reader.prefix, user=reader.name)
        check(volume_state(volume) == before, "the volume was changed", volume)
        self.rows.append(Row("persistent volume", "sentiment_service", REAL, "2 texts", STOPPED, seconds))
        self.volume_note = f"The volume: {reader.description}; its files are unchanged."

    def _pytest_with_real_models(self, name: str, hub: HubProcess, *, show: bool = False) -> tuple[float, str]:
        """Run the service's tests with real models and the same cache. Returns the seconds and the result."""
        # With "=": pytest takes a separate value for a folder of tests, and looks for its settings there.
        arguments = ["--real-models", "-n", str(WORKERS), f"--model-cache-dir={self.work / 'downloads'}"]
        started = time.monotonic()
        passed, skipped = self._pytest(name, arguments, self._variables(HF_ENDPOINT=hub.endpoint), show=show)
        check(passed > 0 and skipped == 0, "expected every test to pass", (passed, skipped))
        return time.monotonic() - started, f"{passed} tests"

    def _pytest(
        self, name: str, arguments: list[str], variables: Mapping[str, str], *, show: bool = False
    ) -> tuple[int, int]:
        """Run the service's tests. Returns the numbers of passed and skipped tests."""
        report = self.work / f"{name}.xml"
        command = [sys.executable, "-m", "pytest", *arguments, "-o", f"cache_dir={self.work / 'pytest'}"]
        command += [f"--junitxml={report}"]
        run(command, SERVICE, variables, STEP_SECONDS, show=show)
        suite = ElementTree.parse(report).getroot().find("testsuite")  # noqa: S314 - pytest has just written it
        check(suite is not None, "pytest wrote no report", report)
        counts = {key: int(suite.attrib[key]) for key in ("tests", "skipped")}  # type: ignore[union-attr]
        return counts["tests"] - counts["skipped"], counts["skipped"]

    def _service(
        self, expected: str, variables: Mapping[str, str], *, prefix: tuple[str, ...] = (), user: str | None = None
    ) -> float:
        """Run the service as a program, check its output, and return the seconds it took."""
        print(f"$ python -m sentiment_service TEXT TEXT    # {expected}", flush=True)
        started = time.monotonic()
        command = [*prefix, sys.executable, "-m", "sentiment_service", *TEXTS]
        said = run(command, SERVICE, variables, STEP_SECONDS, user=user)
        seconds = time.monotonic() - started
        found = [json.loads(line) for line in said.splitlines() if line.startswith("{")]
        labels = [answer["label"] for answer in found]
        check([answer["environment"] for answer in found] == [expected] * 2, f"expected {expected}", said)
        check(labels == ["POSITIVE", "NEGATIVE"], "expected POSITIVE, NEGATIVE", said)
        self.answers[expected] = found
        return seconds

    def _variables(self, **more: str) -> dict[str, str]:
        """Return variables in which only `more` determines the source of models."""
        nowhere = str(self.work / "nowhere")
        number = len(self.rows)
        return {
            **clean_environment(),
            "CRYPTO_MODEL": CLASSIFIER,
            "STOCK_MODEL": CLASSIFIER,
            "HF_HOME": str(self.work / f"hf-home-{number}"),  # a cold cache for each step
            "MODEL_CACHE_DIR": nowhere,
            "MODEL_VOLUME_DIR": nowhere,
            "MODEL_TIMEOUT": str(STEP_SECONDS),  # on a busy machine, importing torch alone takes half a minute
            "OMP_NUM_THREADS": "1",
            **more,
        }


def _comparable(answers: list[dict[str, Any]]) -> str:
    """Return the answers without the environment, rounded to digits that are equal on every machine."""
    return json.dumps([(found["label"], *(f"{found.get(name, 0):.4f}" for name in _NUMBERS)) for found in answers])


def main() -> int:
    """Run the walkthrough, and return its exit code."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that the Hub is stopped, too
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="modelenv-walkthrough-") as folder:
        work = Path(folder).resolve()
        os.chmod(work, 0o711)  # noqa: PTH101, S103 - another user reads the volume below it
        walkthrough = Walkthrough(work)
        try:
            walkthrough.run()
        except CheckError as error:
            print(f"\nerror: {error}", file=sys.stderr)
            return 1
        print_table(walkthrough.rows)
        print(walkthrough.volume_note)
    print(f"Each model was fetched once from a cold cache. All checks passed in {time.monotonic() - started:.0f} s.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
