"""Guards: what reaches for the Hub fails, with the line that did it, and nothing else does."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from .projects import N0, N2, NO_XDIST, WITHOUT_XDIST, all_modes, errors_of

if TYPE_CHECKING:
    from collections.abc import Callable

    RunTests = Callable[..., pytest.RunResult]


def failures_of(result: pytest.RunResult) -> dict[str, str]:
    """The place at which each failed test reached for a model, by the test's name."""
    text = result.stdout.str()
    found = re.findall(r"^E  .*?(?:::|/)(\w+) (?:asks|loads) .*?\nE +found: .*?, at (.+)$", text, re.MULTILINE)
    return dict(found)


def line_of(text: str, mark: str) -> int:
    (number,) = [number for number, line in enumerate(text.splitlines(), 1) if mark in line]
    return number


SERVICE = """\
import threading

def download():
    from huggingface_hub import hf_hub_download
    return hf_hub_download("acme/crypto", "config.json")  # the download

def info():
    from huggingface_hub import HfApi
    return HfApi().model_info("acme/crypto")  # the info

def snapshot():
    from huggingface_hub import snapshot_download
    return snapshot_download("acme/crypto", revision="a" * 40)  # the snapshot

def through_httpx(client=None):
    import httpx2
    return httpx2.get("https://huggingface.co/acme/crypto/resolve/main/config.json")  # through httpx

async def asynchronously():
    import httpx2
    async with httpx2.AsyncClient() as client:
        await client.get("https://huggingface.co/api/models/acme/crypto")  # asynchronously

def through_urllib():
    import urllib.request
    return urllib.request.urlopen("https://cdn-lfs.hf.co/acme/crypto")  # through urllib

def through_xet():
    import hf_xet
    session = hf_xet.XetSession()
    return session.new_file_download_group(endpoint="https://cas-server.xethub.hf.co")  # through xet

def in_a_thread():
    thread = threading.Thread(target=through_urllib)
    thread.start()
    thread.join()

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


@all_modes
def test_what_reaches_the_hub_fails_with_its_line(
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
    assert "UnexpectedModelAccessError: acme/crypto: test_service.py::test_download asks the Hub" in text
    assert (
        "found: HEAD https://huggingface.co/acme/crypto/resolve/main/config.json, at service.py:5 in download" in text
    )
    assert "@pytest.mark.integration (runs with --real-models) or @pytest.mark.model_access" in text
