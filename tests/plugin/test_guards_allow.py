"""Guards: tests that send no request to the Hub, or are exempt, are left alone."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from .projects import N2, WITHOUT_XDIST, all_modes

if TYPE_CHECKING:
    from collections.abc import Callable

    RunTests = Callable[..., pytest.RunResult]

ALLOWED = """\
import http.client
import http.server
import threading
import httpx2
import huggingface_hub
import pytest
from huggingface_hub.utils import get_session

URL = "https://huggingface.co/api/models/acme/crypto"

def test_the_libraries_are_as_they_are_without_guards():
    import importlib.util
    import inspect
    assert "def handle_request" in inspect.getsource(httpx2.HTTPTransport.handle_request)
    assert importlib.util.find_spec("httpx2").loader.get_source("httpx2")
    assert type(importlib.util.find_spec("huggingface_hub").loader).__name__ == "SourceFileLoader"
    assert httpx2.HTTPTransport.handle_request.__name__ == "handle_request"

def test_a_transport_of_the_test_is_no_network():
    transport = httpx2.MockTransport(lambda request: httpx2.Response(200, json={"id": "acme/crypto"}))
    assert httpx2.Client(transport=transport).get(URL).json() == {"id": "acme/crypto"}
    assert huggingface_hub.utils.get_session() is get_session()

def test_other_hosts():
    with pytest.raises(httpx2.ConnectError):
        httpx2.get("http://127.0.0.1:9/api/models/acme/crypto")
    with pytest.raises(OSError):
        http.client.HTTPConnection("127.0.0.1", 9).request("GET", "/")

def test_a_hub_of_the_test(model_hub, tmp_path):
    (tmp_path / "config.json").write_text("{}")
    model_hub.add(tmp_path, "acme/crypto")
    assert huggingface_hub.hf_hub_download("acme/crypto", "config.json")
    with pytest.raises(huggingface_hub.errors.EntryNotFoundError):
        huggingface_hub.hf_hub_download("acme/crypto", "missing.json")

def test_a_hub_by_argument(tmp_path):
    from modelenv.hub import EmbeddedHub
    with EmbeddedHub() as hub:
        with pytest.raises(huggingface_hub.errors.RepositoryNotFoundError):
            huggingface_hub.HfApi(hub.endpoint).model_info("acme/crypto")

def test_what_is_cached_needs_no_hub(tmp_path):
    with pytest.raises(huggingface_hub.errors.LocalEntryNotFoundError):
        huggingface_hub.hf_hub_download("a/b", "config.json", cache_dir=tmp_path, local_files_only=True)
"""


@all_modes
@pytest.mark.slow
def test_other_requests_are_left_alone(
    run_program: RunTests, project: pytest.Pytester, mode: tuple[str, ...]
) -> None:
    project.makepyfile(test_allowed=ALLOWED)
    run_program(*mode).assert_outcomes(passed=6)


# A request that the guards allow ends in a connection error, because nothing listens on this port.
ENDPOINT = """
import pytest
from huggingface_hub import HfApi

def ask():
    HfApi().model_info("acme/crypto", timeout=1)

def test_unmarked():
    ask()

def test_by_another_name():
    HfApi("http://localhost:9").model_info("acme/crypto", timeout=1)

@pytest.mark.model_access
def test_access():
    ask()

@pytest.mark.integration
def test_integration():
    ask()

@pytest.mark.model_source("huggingface_hub")
def test_source():
    ask()

def test_environment(model_env):
    model_env("huggingface_hub")
    ask()
"""


@pytest.mark.parametrize("mode", [WITHOUT_XDIST, N2], ids=["without-xdist", "n2"])
@pytest.mark.slow
def test_only_tests_with_fakes_that_are_not_exempt_are_guarded(
    run_program: RunTests, project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, mode: tuple[str, ...]
) -> None:
    """The endpoint at the start of the run counts as the Hub, even on this machine."""
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    project.makepyfile(test_endpoint=ENDPOINT)
    for options, guarded in (
        ((), {"test_unmarked", "test_by_another_name"}),
        (("--model-guards=off",), set()),
        (("--model-guards=error", "--no-model-guards"), set()),
    ):
        result = run_program(*mode, "--real-models", "--model-host=off", *options, "--tb=line")
        result.assert_outcomes(failed=6)
        text = result.stdout.str()
        refused = r"UnexpectedModelAccessError: acme/crypto: \S+::(\w+) sends a request to the Hub: GET"
        assert set(re.findall(refused, text)) == guarded
        assert text.count("ConnectError") >= 6 - len(guarded)


@pytest.mark.slow
def test_an_endpoint_set_by_a_conftest_is_of_the_tests(run_program: RunTests, project: pytest.Pytester) -> None:
    """This includes workers, which inherit the variables that the controller's conftest.py sets."""
    project.makeconftest("import os\nos.environ['HF_ENDPOINT'] = 'http://127.0.0.1:9'\n")
    project.makepyfile(test_endpoint=ENDPOINT)
    for mode in (WITHOUT_XDIST, N2):
        result = run_program(*mode, "--tb=line", "-k", "unmarked")
        result.assert_outcomes(failed=1)
        assert "UnexpectedModelAccessError" not in result.stdout.str()


def test_a_run_leaves_the_libraries_as_it_found_them(run_tests: RunTests, project: pytest.Pytester) -> None:
    import http.client
    import sys

    before = [*sys.meta_path, http.client.HTTPConnection.putrequest]
    project.makepyfile(
        "import http.client\ndef test_one(): assert http.client.HTTPConnection.putrequest.__wrapped__\n"
    )
    run_tests().assert_outcomes(passed=1)
    assert [*sys.meta_path, http.client.HTTPConnection.putrequest] == before
