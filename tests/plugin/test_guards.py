"""Guards: a request to the Hub fails, and the error names the line."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from .projects import N2, WITHOUT_XDIST, all_modes, failures_of, line_of

if TYPE_CHECKING:
    from collections.abc import Callable

    RunTests = Callable[..., pytest.RunResult]


SERVICE = """\
def download():
    from huggingface_hub import hf_hub_download
    return hf_hub_download("acme/crypto", "config.json")  # the download

def info():
    from huggingface_hub import HfApi
    return HfApi().model_info("acme/crypto")  # the info

def snapshot():
    from huggingface_hub import snapshot_download
    return snapshot_download("acme/crypto", revision="a" * 40)  # the snapshot

def through_httpx():
    import httpx2
    return httpx2.get("https://huggingface.co/acme/crypto/resolve/main/config.json")  # through httpx

def through_urllib():
    import urllib.request
    return urllib.request.urlopen("https://cdn-lfs.hf.co/acme/crypto")  # through urllib

def through_xet():
    import hf_xet
    session = hf_xet.XetSession()
    return session.new_file_download_group(endpoint="https://cas-server.xethub.hf.co")  # through xet

def retrying():
    for attempt in range(3):
        try:
            return download()
        except OSError:
            pass
"""
TESTS = """\
import pytest
import service
from huggingface_hub.utils import get_session

EARLY = get_session()

def test_download():
    service.download()

def test_info():
    service.info()

def test_snapshot():
    service.snapshot()

def test_client_made_before():
    EARLY.get("https://huggingface.co/api/models/acme/crypto")  # made before

def test_httpx():
    service.through_httpx()

def test_urllib():
    service.through_urllib()

def test_xet():
    service.through_xet()

def test_retries():
    service.retrying()

def test_swallowed():
    try:
        service.download()
    except Exception:
        pass

def test_replaced():
    try:
        service.download()
    except Exception:
        raise ValueError("no model")

def test_skipped():
    try:
        service.download()
    except Exception:
        pytest.skip("no network here")

@pytest.fixture
def downloaded():
    return service.download()

def test_fixture(downloaded):
    pass

@pytest.fixture
def downloaded_late():
    yield
    service.download()

def test_teardown(downloaded_late):
    pass

@pytest.mark.usefixtures("mock_models")
def test_forced_fakes():
    service.download()

@pytest.mark.xfail(strict=True)
def test_expected():
    service.download()

def test_nothing():
    pass
"""


# The whole output for a failure: the request, the line in the user's code, and what to do.
THREE_LINES = """
acme/crypto: test_service.py::test_download sends a request to the Hub: HEAD \
https://huggingface.co/acme/crypto/resolve/main/config.json
  found: service.py:3 in download: return hf_hub_download("acme/crypto", "config.json")  # the download
  what to do: use a fake (the fixture `model`, or SmartModelManager) or the fixture `tiny_model`; or allow it: \
@pytest.mark.integration (with --real-models), @pytest.mark.model_access (this test), --model-guards=off (all tests)
___"""


@all_modes
@pytest.mark.slow
def test_a_request_to_the_hub_fails_with_its_line(
    run_program: RunTests, project: pytest.Pytester, mode: tuple[str, ...]
) -> None:
    project.makepyfile(service=SERVICE, test_service=TESTS)
    result = run_program(*mode, "--tb=short")
    result.assert_outcomes(passed=2, failed=12, errors=2, xfailed=1)
    places = {
        name: f"service.py:{line_of(SERVICE, f'  # {mark}')} in {function}"
        for name, mark, function in [
            *((f"test_{name}", "the download", "download") for name in (
                "download", "retries", "swallowed", "replaced", "skipped", "fixture", "teardown", "forced_fakes",
            )),
            ("test_info", "the info", "info"),
            ("test_snapshot", "the snapshot", "snapshot"),
            ("test_httpx", "through httpx", "through_httpx"),
            ("test_urllib", "through urllib", "through_urllib"),
            ("test_xet", "through xet", "through_xet"),
        ]
    }  # fmt: skip
    places["test_client_made_before"] = (
        f"test_service.py:{line_of(TESTS, '  # made before')} in test_client_made_before"
    )
    assert failures_of(result) == places
    text = result.stdout.str()
    assert THREE_LINES in text


ELSEWHERE = """\
import asyncio
import threading
import unittest
import urllib.request
import httpx2
import pytest

URL = "https://huggingface.co/api/models/acme/crypto"

def test_thread():
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()

def work():
    try:
        urllib.request.urlopen(URL)  # in a thread
    except RuntimeError:
        pass

@pytest.mark.asyncio
async def test_async_client():
    async with httpx2.AsyncClient() as client:
        await client.get(URL)  # async client

@pytest.mark.asyncio
async def test_to_thread():
    await asyncio.to_thread(httpx2.get, URL)  # to thread

class TestUnittest(unittest.TestCase):
    def test_unittest(self):
        try:
            httpx2.get(URL)  # unittest
        except Exception:
            pass
"""


@pytest.mark.parametrize("mode", [WITHOUT_XDIST, N2], ids=["without-xdist", "n2"])
@pytest.mark.slow
def test_threads_coroutines_and_unittest(
    run_program: RunTests, project: pytest.Pytester, mode: tuple[str, ...]
) -> None:
    project.makepyfile(test_elsewhere=ELSEWHERE)
    with (project.path / "tox.ini").open("a") as ini:
        ini.write("\nasyncio_default_fixture_loop_scope = function\n")
    result = run_program(*mode, "-p", "pytest_asyncio.plugin", "--tb=short")
    result.assert_outcomes(failed=4)
    marks = {
        "test_thread": ("in a thread", "work"),
        "test_async_client": ("async client", "test_async_client"),
        "test_to_thread": ("to thread", "test_to_thread"),
        "test_unittest": ("unittest", "test_unittest"),
    }
    assert failures_of(result) == {
        name: f"test_elsewhere.py:{line_of(ELSEWHERE, f'  # {mark}')} in {function}"
        for name, (mark, function) in marks.items()
    }


AT_COLLECTION = """
from huggingface_hub import hf_hub_download
try:
    FILE = hf_hub_download("acme/crypto", "config.json")
except Exception:
    FILE = None

def test_file():
    pass
"""


@pytest.mark.parametrize("mode", [WITHOUT_XDIST, N2], ids=["without-xdist", "n2"])
@pytest.mark.slow
def test_a_module_that_sends_a_request_to_the_hub_is_not_collected(
    run_program: RunTests, project: pytest.Pytester, mode: tuple[str, ...]
) -> None:
    project.makepyfile(test_module=AT_COLLECTION)
    result = run_program(*mode)
    assert result.ret != 0
    result.stdout.fnmatch_lines(
        [
            "*ERROR collecting test_module.py*",
            "acme/crypto: test_module.py sends a request to the Hub: HEAD *",
            '  found: test_module.py:3: FILE = hf_hub_download("acme/crypto", "config.json")',
        ]
    )


@pytest.mark.parametrize("library", ["requests", "httpx"])
def test_other_clients(run_program: RunTests, project: pytest.Pytester, library: str) -> None:
    pytest.importorskip(library)
    project.makepyfile(test_client=f"import {library}\ndef test_get(): {library}.get('https://hf.co/acme/crypto')\n")
    result = run_program("--tb=short")
    result.assert_outcomes(failed=1)
    assert failures_of(result) == {"test_get": "test_client.py:2 in test_get"}
