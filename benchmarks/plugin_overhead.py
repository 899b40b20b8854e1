"""What the plugin costs a test run that asks for no model: python benchmarks/plugin_overhead.py [RUNS].

Measured twice: beside all the plugins that are installed, and as the only one, where its share is largest.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from timing import medians

LIMIT = 1.03


def main() -> int:
    """Print the medians and their ratios; return 1 above the limit."""
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    pytest = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_empty.py"]
    # PYTEST_PLUGINS loads a module by its name; "-p" would search the metadata of all that is installed for it.
    alone = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    with_ours = ["env", "PYTEST_PLUGINS=pytest_modelenv.plugin", *pytest]
    kept = [
        compare("all installed plugins", [*pytest, "-p", "no:modelenv"], pytest, {}, runs),
        compare("the only plugin", ["env", *pytest], with_ours, alone, runs),
    ]
    print(f"medians of {runs} runs in turn; limit: {LIMIT} x: {'kept' if all(kept) else 'EXCEEDED'}")
    return 0 if all(kept) else 1


def compare(title: str, without: list[str], with_plugin: list[str], more: Mapping[str, str], runs: int) -> bool:
    """Print what a run takes without and with the plugin; return whether the limit is kept."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "pytest.ini").write_text("[pytest]\n")
        Path(folder, "test_empty.py").write_text("def test_nothing():\n    pass\n")
        commands = {"without": without, "with": with_plugin}
        found = medians(commands, Path(folder), {**os.environ, **more}, runs)
    ratio = found["with"] / found["without"]
    print(f"{title:22} {1000 * found['without']:7.1f} ms without, {1000 * found['with']:7.1f} ms with: {ratio:.3f} x")
    return ratio <= LIMIT


if __name__ == "__main__":
    sys.exit(main())
