"""A host detects the end of the process that it watches."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from modelenv.host.processes import is_running, watcher


@pytest.mark.parametrize("has_descriptors", [True, False])
def test_the_end_of_a_process_is_detected(monkeypatch: pytest.MonkeyPatch, has_descriptors: bool) -> None:
    if not has_descriptors:
        monkeypatch.delattr(os, "pidfd_open", raising=False)
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        has_ended = watcher(process.pid)
        assert not has_ended(0.01)
        assert is_running(process.pid)
        process.communicate(b"\n", timeout=60)
        assert has_ended(0.01)
        assert not is_running(process.pid)
    assert watcher(process.pid)(0.01)


def test_a_watcher_of_no_process_never_reports_an_end() -> None:
    assert not watcher(None)(0.01)


@pytest.mark.skipif(os.getuid() == 0, reason="root can signal every process")
def test_a_process_of_another_user_is_running() -> None:
    assert is_running(1)
