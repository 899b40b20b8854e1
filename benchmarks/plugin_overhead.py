"""The cost of the plugin in a test run without models: python benchmarks/plugin_overhead.py [RUNS].

Measured twice: together with all installed plugins, and as the only plugin, where its share is largest.
"""

from __future__ import annotations

import os
import sys
import tempfile
from importlib.metadata import entry_points
from pathlib import Path

from timing import medians

LIMIT = 1.03
OURS = "modelenv"


def main() -> int:
    """Print the medians and their ratios; return 1 above the limit."""
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    pytest = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_empty.py"]
    others = [
        name for point in entry_points(group="pytest11") if point.name != OURS for name in ("-p", f"no:{point.name}")
    ]
    kept = [
        compare("beside all installed plugins", pytest, runs),
        compare("as the only plugin", [*pytest, *others], runs),
    ]
    print(f"medians of {runs} runs in turn; limit: {LIMIT} x: {'kept' if all(kept) else 'EXCEEDED'}")
    return 0 if all(kept) else 1


def compare(title: str, command: list[str], runs: int) -> bool:
    """Print the times without and with the plugin. Returns whether the limit is kept."""
    # Let Python cache bytecode, even if the user's environment disables that.
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "pytest.ini").write_text("[pytest]\n")
        Path(folder, "test_empty.py").write_text("def test_nothing():\n    pass\n")
        commands = {"without": [*command, "-p", f"no:{OURS}"], "with": command}
        found = medians(commands, Path(folder), environ, runs)
    ratio = found["with"] / found["without"]
    print(f"{title:28} {1000 * found['without']:7.1f} ms without, {1000 * found['with']:7.1f} ms with: {ratio:.3f} x")
    return ratio <= LIMIT


if __name__ == "__main__":
    sys.exit(main())
