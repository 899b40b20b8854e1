"""The cost of the plugin in a project that does not use it: python benchmarks/plugin_overhead.py [RUNS].

Measured with an empty test, together with all installed plugins and as the only plugin, where its share is largest;
and with tests that send requests to the Hub, which the plugin counts.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Mapping
from importlib.metadata import entry_points
from pathlib import Path

from timing import medians

LIMIT = 1.03
OURS = "modelenv"
EMPTY = "def test_nothing():\n    pass\n"
ASKING = """
import pytest
from huggingface_hub import hf_hub_download

@pytest.mark.parametrize("number", range(300))
def test_cached(number):
    hf_hub_download("acme/model", "config.json")

@pytest.mark.parametrize("number", range(20))
def test_download(number, tmp_path):
    hf_hub_download("acme/model", "model.safetensors", local_dir=tmp_path)
"""


def main() -> int:
    """Print the medians and their ratios; return 1 above the limit."""
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    pytest = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_it.py"]
    others = [
        name for point in entry_points(group="pytest11") if point.name != OURS for name in ("-p", f"no:{point.name}")
    ]
    kept = [
        compare("beside all installed plugins", pytest, runs),
        compare("as the only plugin", [*pytest, *others], runs),
        compare_asking([*pytest, *others], runs),
    ]
    print(f"medians of {runs} runs in turn; limit: {LIMIT} x: {'kept' if all(kept) else 'EXCEEDED'}")
    return 0 if all(kept) else 1


def compare_asking(command: list[str], runs: int) -> bool:
    """Compare runs that send hundreds of requests to a Hub, and receive 200 MB. Returns whether the limit is kept."""
    from modelenv.hub import EmbeddedHub

    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder, "model")
        model.mkdir()
        (model / "config.json").write_text("{}")
        (model / "model.safetensors").write_bytes(os.urandom(10_000_000))
        with EmbeddedHub() as hub:
            hub.add(model, "acme/model")
            variables = {"HF_ENDPOINT": hub.endpoint, "HF_HOME": str(Path(folder, "cache"))}
            return compare("with requests to the Hub", command, runs, ASKING, variables)


def compare(
    title: str, command: list[str], runs: int, tests: str = EMPTY, variables: Mapping[str, str] | None = None
) -> bool:
    """Print the times without and with the plugin. Returns whether the limit is kept."""
    # Let Python cache bytecode, even if the user's environment disables that.
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "pytest.ini").write_text("[pytest]\n")
        Path(folder, "test_it.py").write_text(tests)
        commands = {"without": [*command, "-p", f"no:{OURS}"], "with": command}
        found = medians(commands, Path(folder), {**environ, **(variables or {})}, runs)
    ratio = found["with"] / found["without"]
    print(f"{title:28} {1000 * found['without']:7.1f} ms without, {1000 * found['with']:7.1f} ms with: {ratio:.3f} x")
    return ratio <= LIMIT


if __name__ == "__main__":
    sys.exit(main())
