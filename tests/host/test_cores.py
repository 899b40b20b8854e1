"""The host uses only the cores that it can use, and respects the user's settings for threads."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from modelenv.host.serving.cores import usable_cores

OWN = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


@pytest.mark.parametrize(
    ("limit", "cores"),
    [("max 100000\n", OWN), ("50000 100000\n", 1), ("100001 100000\n", min(2, OWN or 1)), ("strange\n", OWN)],
)
def test_the_container_limit_is_respected(tmp_path: Path, limit: str, cores: int) -> None:
    (tmp_path / "cpu.max").write_text(limit)
    assert usable_cores(tmp_path / "cpu.max") == cores


def test_without_a_container_limit_the_affinity_counts(tmp_path: Path) -> None:
    assert usable_cores(tmp_path / "none") == OWN


@pytest.mark.integration
@pytest.mark.parametrize(("chosen", "expected"), [("1", "1"), (None, None)])
def test_the_number_of_torch_threads(
    make_environ: Callable[..., dict[str, str]], chosen: str | None, expected: str | None
) -> None:
    environ = make_environ()
    environ.pop("OMP_NUM_THREADS", None)
    if chosen is not None:
        environ["OMP_NUM_THREADS"] = chosen
    code = (
        "import torch\nfrom modelenv.host.serving.cores import share_cores\n"
        "share_cores()\nprint(torch.get_num_threads())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env=environ, capture_output=True, text=True, timeout=100, check=True
    )
    if expected is not None:
        assert done.stdout.strip() == expected
    else:
        assert 1 <= int(done.stdout) <= usable_cores()
