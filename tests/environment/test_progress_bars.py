"""Progress bars of the Hugging Face libraries are shown only on a terminal. The program's own do not change."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
import termios
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from modelenv.hub import EmbeddedHub
from modelenv.testing import tiny_model

from ..terminals import read_terminal

FETCH = """
import sys
from pathlib import Path
from modelenv.deadlines import Deadline
from modelenv.loading.unlocked_folder import find_or_fetch_model
from modelenv.references import ModelRef
from modelenv.store.store import Store
find_or_fetch_model(Store(Path(sys.argv[1])), ModelRef("acme/model"), Deadline(60))
"""
OWN = """
import sys
from huggingface_hub import snapshot_download
snapshot_download("acme/model", cache_dir=sys.argv[1])
"""
LOAD = """
import sys
import transformers
from transformers.utils import logging
from modelenv import Settings, SmartModelManager
mine = []

def hook(factory, arguments, options):
    mine.append(options["desc"])
    return factory(*arguments, **options)

logging.set_tqdm_hook(hook)
settings = Settings.load(cache_dir=sys.argv[1], timeout=200)
SmartModelManager("local_cache", settings=settings).load_model("acme/model", "text-classification")
assert mine == [], mine
assert logging.set_tqdm_hook(hook) is hook
"""


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[EmbeddedHub]:
    """A Hub with a model whose files cannot be loaded."""
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(bytes([2, 0, 0, 0, 0, 0, 0, 0]) + b"{}")
    with EmbeddedHub() as hub:
        hub.add(folder, "acme/model")
        yield hub


Run = Callable[..., str]


@pytest.fixture
def said(make_environ: Callable[..., dict[str, str]], tmp_path: Path) -> Run:
    """Run a program, and return its error output, which is not a terminal."""

    def run(code: str, *arguments: str, **variables: str) -> str:
        done = subprocess.run(
            [sys.executable, "-c", code, *(arguments or [str(tmp_path / "cache")])],
            env=make_environ(HF_HUB_DISABLE_TELEMETRY="1", **variables),
            capture_output=True, text=True, timeout=250,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stderr

    return run


def test_a_download_shows_no_bar_without_a_terminal(hub: EmbeddedHub, said: Run) -> None:
    assert said(FETCH, HF_ENDPOINT=hub.endpoint) == ""


def test_a_download_shows_bars_if_the_variable_asks_for_them(hub: EmbeddedHub, said: Run, tmp_path: Path) -> None:
    assert "Fetching 2 files" in said(FETCH, HF_ENDPOINT=hub.endpoint, HF_HUB_DISABLE_PROGRESS_BARS="0")
    assert "Fetching 2 files" in said(OWN, str(tmp_path / "own"), HF_ENDPOINT=hub.endpoint)  # a program's own call


def test_a_terminal_shows_bars(hub: EmbeddedHub, make_environ: Callable[..., dict[str, str]], tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 100))
    environ = make_environ(HF_ENDPOINT=hub.endpoint, HF_HUB_DISABLE_TELEMETRY="1")
    with subprocess.Popen([sys.executable, "-c", FETCH, str(tmp_path / "cache")], stderr=theirs, env=environ) as done:
        os.close(theirs)
        shown = read_terminal(ours)
    assert done.returncode == 0
    assert "Fetching 2 files" in shown


@pytest.mark.integration
def test_a_load_shows_no_bar_without_a_terminal_and_keeps_the_programs_hook(said: Run, tmp_path: Path) -> None:
    tiny_model("text-classification", tmp_path / "cache" / "acme" / "model")
    assert said(LOAD) == ""
