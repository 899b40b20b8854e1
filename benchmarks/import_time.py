"""The time to import SmartModelManager, over a bare interpreter: python benchmarks/import_time.py [RUNS]."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

from timing import medians

LIMIT_MS = 30


def main() -> int:
    """Print the medians. Returns 1 above the limit."""
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    programs = {
        "bare interpreter": "pass",
        "import modelenv": "import modelenv",
        "its SmartModelManager": "from modelenv import SmartModelManager",
        "dataclasses, logging, concurrent.futures": "import dataclasses, logging, concurrent.futures",
    }
    commands = {name: [sys.executable, "-c", program] for name, program in programs.items()}
    with tempfile.TemporaryDirectory() as folder:
        found = medians(commands, Path(folder), os.environ, runs)
    bare = found["bare interpreter"]
    for name, seconds in found.items():
        print(f"{name:41} {1000 * seconds:7.1f} ms   {seconds / bare:5.2f} x   {1000 * (seconds - bare):+6.1f} ms")
    within = 1000 * (found["its SmartModelManager"] - bare) <= LIMIT_MS
    verdict = "kept" if within else "EXCEEDED"
    print(f"medians of {runs} runs in turn; limit for SmartModelManager: +{LIMIT_MS} ms: {verdict}")
    return 0 if within else 1


if __name__ == "__main__":
    sys.exit(main())
