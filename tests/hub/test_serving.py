from __future__ import annotations

import re
import signal
import subprocess
import sys
import urllib.request
from typing import TYPE_CHECKING

import pytest

from modelenv.errors import ConfigurationError
from modelenv.hub import serve

if TYPE_CHECKING:
    from pathlib import Path

CODE = """
import functools, pathlib, sys
from modelenv.hub import serve
serve(pathlib.Path(sys.argv[1]), port=0, echo=functools.partial(print, flush=True))
print("after", flush=True)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.slow
def test_it_serves_until_a_signal_and_prints_each_request(model: Path, number: signal.Signals) -> None:
    root = model.parent.parent
    server = subprocess.Popen(
        [sys.executable, "-c", CODE, str(root)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        assert server.stdout is not None
        assert server.stderr is not None
        first = server.stdout.readline()
        found = re.fullmatch(rf"Serving {re.escape(str(root))} at (http://127\.0\.0\.1:\d+)\n", first)
        assert found is not None
        assert server.stdout.readline() == f"export HF_ENDPOINT={found[1]} HF_HUB_DISABLE_XET=1\n"
        assert server.stdout.readline() == "Models: org/name\n"
        assert server.stdout.readline() == "Stop with Ctrl+C.\n"
        with urllib.request.urlopen(f"{found[1]}/org/name/resolve/main/config.json", timeout=60) as answer:
            size = len(answer.read())
        shown = f"GET /org/name/resolve/main/config.json -> 200, {size} bytes\n"
        assert server.stdout.readline() == shown
        server.send_signal(number)
        assert server.communicate(timeout=60) == ("Stopped.\nafter\n", "")
        assert server.returncode == 0
    finally:
        server.kill()
        server.communicate()


def test_the_signal_handlers_are_restored_after_an_error(tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    with pytest.raises(ConfigurationError, match="the folder to serve does not exist"):
        serve(tmp_path / "nothing", port=0, echo=print)
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


@pytest.mark.parametrize(
    ("count", "line"),
    [
        (0, "No models yet: a model is a folder <org>/<name>/ or <name>/ with files in it."),
        (7, "Models: m0, m1, m2, m3, m4 and 2 more"),
    ],
)
def test_it_prints_the_served_models(tmp_path: Path, count: int, line: str) -> None:
    for number in range(count):
        (tmp_path / f"m{number}").mkdir()
        (tmp_path / f"m{number}" / "config.json").write_text("{}")
    lines: list[str] = []

    def echo(text: str) -> None:
        lines.append(text)
        if text == "Stop with Ctrl+C.":
            signal.raise_signal(signal.SIGINT)

    serve(tmp_path, port=0, echo=echo)
    assert lines[2:] == [line, "Stop with Ctrl+C.", "Stopped."]
