"""Existing suites with a lock and the ini-option `model_source`: unchanged tests get the locked models, verified.

Once the cache is warm, they run without the Hub.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from .test_existing_suites import N0, N2, QUICK, SECONDS, SUITES, WITHOUT_XDIST, Suite, hub

if TYPE_CHECKING:
    from pathlib import Path

    from modelenv.hub import EmbeddedHub

    from .test_existing_suites import MakeEnviron

__all__ = ["hub"]

pytestmark = pytest.mark.integration

NO_HUB = "http://127.0.0.1:9"
PYPROJECT = """
[tool.modelenv.models]
classifier = "acme/classifier"
embedder = "acme/embedder"
"""
# Suites whose tests load only locked models, without the tests that ask for a model that does not exist.
# test_adopted_suites.py has the slower ones, too.
LOCKED = {
    "tokenizer": (),
    "hub_file": ("--deselect=tests/test_labels.py::test_a_repo_that_does_not_exist",),
    "mocked": (),
}


@pytest.fixture(params=sorted(LOCKED))
def suite(request: pytest.FixtureRequest, tmp_path: Path, make_environ: MakeEnviron, hub: EmbeddedHub) -> Suite:
    """A suite to which only the files of a project with a lock were added."""
    folder = tmp_path / request.param
    shutil.copytree(SUITES / request.param, folder)
    (folder / "pyproject.toml").write_text(PYPROJECT)
    ini = folder / "pytest.ini"
    before = ini.read_text() if ini.exists() else "[pytest]\n"
    ini.write_text(f"{before}model_source = download_on_demand\n")
    subprocess.run(
        [sys.executable, "-m", "modelenv", "lock"],
        cwd=folder, env=make_environ(HF_ENDPOINT=hub.endpoint), check=True, timeout=SECONDS, capture_output=True,
    )  # fmt: skip
    return Suite(folder, make_environ, hub)


def test_a_warm_suite_runs_without_the_hub(suite: Suite) -> None:
    options = LOCKED[suite.folder.name]
    without = suite.run("-p", "no:modelenv", "-o", "addopts=", "--override-ini=model_source=", *options)
    cold = suite.run(*N2, *options)
    assert sorted(cold.tests) == sorted(without.tests)
    # The weights are on another server, to which the Hub redirects.
    asked = [each for each in suite.hub.requests if not each.path.startswith("/cdn-lfs/")]
    assert [each for each in asked if (each.method, each.kind) != ("GET", "resolve")] == []
    sent = [(each.repo_id, each.file) for each in asked]
    assert len(sent) == len(set(sent))  # each file once, for both workers
    for mode in (WITHOUT_XDIST, N0, N2) if suite.folder.name in QUICK else (N2,):
        warm = suite.run(*mode, *options, endpoint=NO_HUB)
        assert sorted(warm.tests) == sorted(without.tests)
        assert warm.block == []
        assert suite.hub.requests == ()
        assert ("cached, 0 requests to the Hub; used through the Hub's client" in warm.text) is bool(sent)
