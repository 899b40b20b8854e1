"""The cost of a fake compared with a MagicMock: python benchmarks/fake_calls.py [RUNS].

1,000 tests that call a fake, and the same 1,000 tests with a `MagicMock` that has a return value; whole pytest
processes, alternating. The fake is created by a fixture of the tests with `fake_pipeline`, or is the plugin's fixture
`model`.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

from timing import fastest

LIMIT = 1.1
TESTS = 1000
_TEST = """
@pytest.mark.parametrize("number", range({tests}))
def test_call(model, number):
    answer = model(f"Bitcoin price surge {{number}}")
    assert answer[0]["score"] > 0
    model.assert_called_once_with(f"Bitcoin price surge {{number}}")
"""
_ON_A_FAKE = """
import pytest
from modelenv.fakes import fake_pipeline

@pytest.fixture
def model():
    return fake_pipeline("text-classification", model="ProsusAI/finbert")
"""
_ON_THE_FIXTURE = """
import pytest

pytestmark = pytest.mark.model("ProsusAI/finbert", "text-classification")
"""
_ON_A_MAGIC_MOCK = """
import pytest
from unittest.mock import MagicMock

@pytest.fixture
def model():
    return MagicMock(return_value=[{"label": "POSITIVE", "score": 0.9}])
"""


def main() -> int:
    """Print the fastest runs and their ratios; return 1 if one of them is above the limit."""
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 15
    pytest = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "pytest.ini").write_text("[pytest]\n")
        commands = {}
        heads = {"a MagicMock": _ON_A_MAGIC_MOCK, "a fake": _ON_A_FAKE, "the fixture model": _ON_THE_FIXTURE}
        for name, head in heads.items():
            file = f"test_{name.split()[-1].lower()}.py"
            Path(folder, file).write_text(head + _TEST.format(tests=TESTS))
            commands[name] = [*pytest, file]
        # Let Python cache bytecode, even if the user's environment disables that.
        environ = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        found = fastest(commands, Path(folder), environ, runs)
    base = found["a MagicMock"]
    for name, seconds in found.items():
        print(f"{TESTS:,} tests on {name:17} {seconds:6.2f} s, {seconds / base:.3f} x")
    kept = max(found.values()) <= LIMIT * base
    print(f"fastest of {runs} runs in turn; limit for both: {LIMIT} x: {'kept' if kept else 'EXCEEDED'}")
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
