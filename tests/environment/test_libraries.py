"""Changed variables apply to the Hugging Face libraries, which are restored afterwards.

The order of imports matters here, so each case runs in its own process.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from modelenv.environment.libraries import environment

PRELUDE = """
import json, os, sys
from modelenv.errors import ConfigurationError
from modelenv.environment.libraries import environment

def state():
    modules = {name: module for name, module in sys.modules.items() if name.startswith("huggingface_hub")}
    plain = (str, int, float, type(None), frozenset)
    held = {f"{name}.{key}": sorted(value) if isinstance(value, frozenset) else value
            for name, module in modules.items() for key, value in vars(module).items()
            if key.isupper() and isinstance(value, plain)}
    return {"os.environ": dict(os.environ), **held, "clients": clients()}

def clients():
    api = vars(sys.modules.get("huggingface_hub.hf_api", json)).get("api")
    hffs = vars(sys.modules.get("huggingface_hub.hf_file_system", json)).get("hffs")
    return [api and api.endpoint, hffs and hffs.endpoint, hffs and hffs._api.endpoint]
"""


def run(code: str, *arguments: str, **variables: str) -> Any:
    """Run code in a fresh process without Hugging Face variables, and return the JSON that it prints."""
    keep = {
        name: value for name, value in os.environ.items() if not name.startswith(("HF_", "TRANSFORMERS_", "PYTEST_"))
    }
    done = subprocess.run(
        [sys.executable, "-c", PRELUDE + textwrap.dedent(code), *arguments],
        env={**keep, "HF_HOME": "/nowhere/hf", **variables},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_variables_are_set_removed_and_restored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODELENV_A", "before")
    monkeypatch.setenv("MODELENV_B", "")
    monkeypatch.delenv("MODELENV_C", raising=False)
    before = dict(os.environ)
    with environment({"MODELENV_A": None, "MODELENV_B": "b", "MODELENV_C": "c"}):
        inside = {name: os.environ.get(f"MODELENV_{name}") for name in "ABC"}
        with environment({"MODELENV_A": "inner", "MODELENV_C": None}):
            inner = {name: os.environ.get(f"MODELENV_{name}") for name in "ABC"}
        assert {name: os.environ.get(f"MODELENV_{name}") for name in "ABC"} == inside
    assert inside == {"A": None, "B": "b", "C": "c"}
    assert inner == {"A": "inner", "B": "b", "C": None}
    assert dict(os.environ) == before


def test_an_exception_in_the_block_restores_everything() -> None:
    before = dict(os.environ)
    with pytest.raises(KeyError, match="mine"), environment({"MODELENV_A": "a"}):
        raise KeyError("mine")
    assert dict(os.environ) == before


@pytest.mark.parametrize("value", ["nul\0", 3])
def test_a_value_that_the_system_rejects_changes_nothing(value: Any) -> None:
    before = dict(os.environ)
    with pytest.raises((ValueError, TypeError)), environment({"MODELENV_A": "a", "MODELENV_B": value}):
        pytest.fail("the block must not run")
    assert dict(os.environ) == before


def test_libraries_that_are_not_imported_stay_so() -> None:
    assert run(
        """
        with environment({"HF_HUB_OFFLINE": "1"}):
            inside = os.environ["HF_HUB_OFFLINE"]
        heavy = [name for name in ("huggingface_hub", "transformers", "torch") if name in sys.modules]
        print(json.dumps([inside, os.environ.get("HF_HUB_OFFLINE"), heavy]))
        """
    ) == ["1", None, []]


@pytest.mark.slow
def test_imported_before_nested_and_left_by_an_exception() -> None:
    seen = run(
        """
        from huggingface_hub import constants, hf_api, hf_file_system
        from huggingface_hub.utils import _cache_manager, _git_credential

        def values():
            return [constants.HF_HUB_OFFLINE, constants.is_offline_mode(), constants.ENDPOINT,
                    constants.HF_HUB_CACHE, _cache_manager.HF_HUB_CACHE, _git_credential.ENDPOINT,
                    constants.HUGGINGFACE_CO_URL_TEMPLATE.partition("/{")[0], *clients()]

        before, seen = state(), [values()]
        try:
            with environment({"HF_HUB_OFFLINE": "1", "HF_ENDPOINT": "http://one", "HF_HUB_CACHE": "/one"}):
                seen.append(values())
                outer = state()
                with environment({"HF_HUB_OFFLINE": "0", "HF_ENDPOINT": "http://two/", "HF_HUB_CACHE": None}):
                    seen.append(values())
                same_outer = state() == outer
                raise KeyError
        except KeyError:
            pass
        print(json.dumps({"seen": seen, "same": state() == before, "same_outer": same_outer}))
        """
    )
    hub = "https://huggingface.co"
    assert seen == {
        "seen": [
            [False, False, hub, *["/nowhere/hf/hub"] * 2, *[hub] * 5],
            [True, True, "http://one", *["/one"] * 2, *["http://one"] * 5],
            [False, False, "http://two", *["/nowhere/hf/hub"] * 2, *["http://two"] * 5],
        ],
        "same": True,
        "same_outer": True,
    }


IMPORT_INSIDE = """
def load():
    from huggingface_hub import constants, hf_api, hf_file_system
    from huggingface_hub.utils import _cache_manager, _git_credential

exec(sys.argv[1])
inside = None
if sys.argv[2] == "forced":
    with environment({"HF_HUB_OFFLINE": "1", "HF_ENDPOINT": "http://one", "HF_HUB_CACHE": "/one"}):
        with environment({"HF_HUB_OFFLINE": "0", "HF_ENDPOINT": "http://two"}):
            load()
        inside = [sys.modules["huggingface_hub.utils._cache_manager"].HF_HUB_CACHE, *clients()]
load()
print(json.dumps([inside, state()]))
"""


@pytest.fixture(scope="module")
def natural() -> Any:
    """The values of the libraries without any forced variables."""
    return run(IMPORT_INSIDE, "pass", "natural")[1]


@pytest.mark.parametrize("first", ["pass", "import huggingface_hub.constants"])
@pytest.mark.slow
def test_an_import_in_the_block_is_like_an_import_outside(first: str, natural: Any) -> None:
    inside, forced = run(IMPORT_INSIDE, first, "forced")
    assert inside == ["/one", *["http://one"] * 3]
    # The client always sends its token to the endpoint of its import; a known limit, harmless on loopback.
    different = {name for name in natural if forced[name] != natural[name]}
    assert different <= {"huggingface_hub.utils._http._HUB_ORIGINS"}


def test_a_constant_that_was_set_by_hand_does_not_change() -> None:
    assert run(
        """
        from huggingface_hub import constants
        constants.HF_HUB_OFFLINE, constants.HF_HUB_CACHE = True, "/by/hand"
        with environment({"HF_HUB_CACHE": "/one", "HF_HUB_OFFLINE": None}):
            inside = [constants.HF_HUB_OFFLINE, constants.HF_HUB_CACHE]
        print(json.dumps([inside, constants.HF_HUB_OFFLINE, constants.HF_HUB_CACHE]))
        """
    ) == [[True, "/by/hand"], True, "/by/hand"]


def test_a_value_that_the_libraries_reject_changes_nothing() -> None:
    assert run(
        """
        from huggingface_hub import constants
        before = state()
        try:
            with environment({"HF_HUB_OFFLINE": "1", "HF_HUB_ETAG_TIMEOUT": "soon"}):
                pass
        except ConfigurationError as error:
            print(json.dumps([error.found, state() == before]))
        """
    ) == ["HF_HUB_ETAG_TIMEOUT=soon", True]


@pytest.fixture
def hubs() -> Iterator[tuple[tuple[str, list[str]], ...]]:
    """Two servers on loopback without models, each with its endpoint and the requested paths."""
    servers = []
    for _ in range(2):
        asked: list[str] = []

        class Handler(BaseHTTPRequestHandler):
            paths = asked

            def do_GET(self) -> None:
                if self.path.startswith("/api/models/"):  # the client sometimes makes other requests too
                    self.paths.append(self.path)
                self.send_response(404)
                self.send_header("X-Error-Code", "RepoNotFound")
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}).start()
        servers.append((server, asked))
    yield tuple((f"http://127.0.0.1:{server.server_port}", asked) for server, asked in servers)
    for server, _ in servers:
        server.shutdown()
        server.server_close()


@pytest.mark.slow
def test_requests_go_to_the_endpoint_in_the_environment(hubs: tuple[tuple[str, list[str]], ...]) -> None:
    (first, asked_first), (second, asked_second) = hubs
    outcomes = run(
        """
        from huggingface_hub import HfApi, model_info
        from huggingface_hub.errors import OfflineModeIsEnabled, RepositoryNotFoundError
        shared = model_info  # bound to the shared client

        outcomes = []
        def ask(name, client=None):
            try:
                (client or shared)(name)
            except (OfflineModeIsEnabled, RepositoryNotFoundError) as error:
                outcomes.append(type(error).__name__)

        ask("org/natural")
        with environment({"HF_ENDPOINT": sys.argv[1]}):
            ask("org/shared")
            ask("org/fresh", HfApi().model_info)
            with environment({"HF_HUB_OFFLINE": "1"}):
                ask("org/offline")
                ask("org/offline", HfApi().model_info)
                with environment({"HF_HUB_OFFLINE": "0"}):
                    ask("org/online")
        ask("org/natural-again")
        print(json.dumps(outcomes))
        """,
        second,
        HF_ENDPOINT=first,
    )
    found = "RepositoryNotFoundError"
    assert outcomes == [found, found, found, *["OfflineModeIsEnabled"] * 2, found, found]
    assert asked_first == ["/api/models/org/natural", "/api/models/org/natural-again"]
    assert asked_second == ["/api/models/org/shared", "/api/models/org/fresh", "/api/models/org/online"]


@pytest.mark.integration
def test_transformers_is_updated_without_further_imports(tmp_path: Path) -> None:
    assert run(
        """
        import transformers
        from transformers.utils import hub
        loaded = {name for name in sys.modules if name.startswith(("transformers", "torch"))}
        with environment({"HF_ENDPOINT": "http://one", "HF_HUB_OFFLINE": "1"}):
            inside = [hub.hf_api().endpoint, hub.is_offline_mode()]
        more = {name for name in sys.modules if name.startswith(("transformers", "torch"))} - loaded
        outside = [hub._hf_api and hub._hf_api.endpoint, hub.is_offline_mode()]
        print(json.dumps([inside, outside, sorted(more)]))
        """,
        HF_HOME=str(tmp_path),
    ) == [["http://one", True], ["https://huggingface.co", False], []]
