"""`install()` and `uninstall()`: what they change, and that it is undone."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import HfApi, constants, get_async_session, hf_hub_download, set_client_factory
from huggingface_hub.utils import _http

import modelenv
from modelenv import ConfigurationError, LockfileError
from modelenv.hub import EmbeddedHub
from modelenv.locks.project_lock import Lockfile, write_lockfile
from modelenv.locks.values import LockedModel

from .conftest import REPO, Install, asked

NOTHING = "{'torch', 'transformers', 'huggingface_hub', 'httpx2', 'filelock', 'asyncio'}"


@pytest.fixture
def run(project: Path, hub: EmbeddedHub, make_environ: Callable[..., dict[str, str]]) -> Callable[..., str]:
    """Run a program in the project."""

    def call(code: str, **variables: str) -> str:
        environ = make_environ(
            HF_ENDPOINT=hub.endpoint, MODEL_CACHE_DIR=str(project / "cache"), MODEL_SOURCE="local_cache",
            HF_HUB_DISABLE_PROGRESS_BARS="1", HF_HUB_DISABLE_TELEMETRY="1", NO_PROXY="127.0.0.1", **variables,
        )  # fmt: skip
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=project, env=environ, capture_output=True, text=True, timeout=120
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return call


def state() -> tuple[Any, ...]:
    factories = (_http._GLOBAL_CLIENT_FACTORY, _http._GLOBAL_ASYNC_CLIENT_FACTORY)
    return (*factories, constants.HF_HUB_CACHE, os.environ.get("HF_HUB_CACHE"), list(sys.meta_path))


def test_uninstall_restores_everything(hub: EmbeddedHub, install: Install, project: Path) -> None:
    before = state()
    installation = install()
    assert state() != before
    assert str(project / "cache") == os.environ["HF_HUB_CACHE"] == constants.HF_HUB_CACHE
    assert installation.is_active
    modelenv.uninstall()
    modelenv.uninstall()
    assert state() == before
    assert (installation.is_active, installation.cache) == (False, None)
    hub.clear()
    HfApi().model_info(REPO)
    assert asked(hub) == ["GET info"]


def test_a_client_that_outlives_the_installation_asks_the_hub(hub: EmbeddedHub, install: Install) -> None:
    with install():
        client = _http._GLOBAL_CLIENT_FACTORY()
        client.get(f"{hub.endpoint}/api/models/{REPO}")
        hub.assert_no_requests()
    client.get(f"{hub.endpoint}/api/models/{REPO}")
    assert asked(hub) == ["GET info"]
    client.close()


def test_a_factory_that_was_set_before_is_wrapped_and_restored(hub: EmbeddedHub, install: Install) -> None:
    made = []

    def factory() -> Any:
        made.append(_http.default_client_factory())
        made[-1].headers["x-own"] = "1"
        return made[-1]

    set_client_factory(factory)
    try:
        with install():
            assert HfApi().model_info(REPO).id == REPO
            assert _http.get_session() is made[-1]
            hub.assert_no_requests()
        assert _http._GLOBAL_CLIENT_FACTORY is factory
    finally:
        set_client_factory(_http.default_client_factory)


def test_a_factory_that_always_returns_one_client_is_answered_each_time(hub: EmbeddedHub, install: Install) -> None:
    client = _http.default_client_factory()
    set_client_factory(lambda: client)
    try:
        for _ in range(2):
            with install() as installation:
                _http._GLOBAL_CLIENT_FACTORY()
                _http._GLOBAL_CLIENT_FACTORY()
                client.get(f"{hub.endpoint}/api/models/{REPO}")
                assert installation.answered == 1
                client._state = type(client._state).UNOPENED  # uninstalling closes the shared client
        hub.assert_no_requests()
    finally:
        set_client_factory(_http.default_client_factory)


def test_a_factory_that_was_set_later_stays(install: Install) -> None:
    with install():
        set_client_factory(_http.default_client_factory)
    assert _http._GLOBAL_CLIENT_FACTORY is _http.default_client_factory


def test_a_second_call_returns_the_same_installation(install: Install, tmp_path: Path) -> None:
    first = install()
    assert install() is first
    with pytest.raises(ConfigurationError, match=r"called before with other arguments or settings") as error:
        install(refuse=True)
    assert "expected: source local_cache, refuse=False" in str(error.value)
    assert "call modelenv.uninstall() first" in str(error.value)
    with pytest.raises(ConfigurationError):
        install(cache_dir=tmp_path / "other")
    assert first.is_active


def test_a_block_leaves_an_earlier_installation_alone(hub: EmbeddedHub, install: Install) -> None:
    first = install()
    for _ in range(2):
        with install() as inner, install():
            assert inner is first
        assert first.is_active
    HfApi().model_info(REPO)
    hub.assert_no_requests()
    with first:
        pass
    assert not first.is_active
    with install() as outer:
        with install():
            pass
        assert outer.is_active
        modelenv.uninstall()
        assert not outer.is_active
        again = install()
    assert (outer.is_active, again.is_active) == (False, True)


def test_the_users_own_cache_stays_the_cache(install: Install, tmp_path: Path, locked: LockedModel) -> None:
    before = os.environ.get("HF_HUB_CACHE")
    installation = install("huggingface_hub")
    path = Path(hf_hub_download(REPO, "config.json"))
    assert path.is_relative_to(tmp_path / "hf" / "hub")
    assert (installation.cache, os.environ.get("HF_HUB_CACHE")) == (tmp_path / "hf" / "hub", before)


def test_the_folder_for_downloads_on_demand_is_private(
    install: Install, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    installation = install("download_on_demand", cache_dir=None)
    folder = tmp_path / f"modelenv-{os.getuid()}" / "models"
    assert installation.cache == folder
    assert folder.stat().st_mode & 0o777 == folder.parent.stat().st_mode & 0o777 == 0o700
    assert Path(hf_hub_download(REPO, "config.json")).is_relative_to(folder)


def test_fakes_need_no_installation(hub: EmbeddedHub, install: Install) -> None:
    before = state()
    installation = install("mock_models")
    assert state() == before
    assert (installation.is_active, installation.cache, installation.answered) == (False, None, 0)
    HfApi().model_info(REPO)
    assert asked(hub) == ["GET info"]


def test_without_a_lock_everything_passes_through(
    hub: EmbeddedHub, install: Install, project: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (project / "modelenv.lock").unlink()
    installation = install()
    assert f"{project}/modelenv.lock: there is no lock, so install() answers for no model" in caplog.text
    HfApi().model_info(REPO)
    assert {str(what): count for what, count in installation.passed_through.items()} == {REPO: 1}


def test_a_damaged_lock_is_an_error(install: Install, project: Path) -> None:
    before = state()
    (project / "modelenv.lock").write_text("damaged")
    with pytest.raises(LockfileError, match=r"modelenv\.lock:1"):
        install()
    assert state() == before


def test_a_lock_that_changes_is_read_again(
    hub: EmbeddedHub, install: Install, project: Path, locked: LockedModel
) -> None:
    path = project / "modelenv.lock"
    path.unlink()
    installation = install()
    write_lockfile(path, Lockfile((locked,)))
    HfApi().model_info(REPO)
    hub.assert_no_requests()
    path.write_text(f"{path.read_text().partition('[[')[0]}models = []\n")
    HfApi().model_info(REPO)
    assert asked(hub) == ["GET info"]
    assert installation.answered == 1


def test_a_lock_that_is_not_as_declared_is_a_warning(
    install: Install, project: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with install():
        assert caplog.text == ""
    declared = f'm = {{ repo = "{REPO}", revision = "v9" }}\nn = "acme/two"\n'
    (project / "pyproject.toml").write_text(f"[tool.modelenv.models]\n{declared}")
    install()
    assert caplog.messages == [
        f"{project}/modelenv.lock: not as declared, run `modelenv lock`: "
        "m: another revision (declared v9, locked the default branch); n: not locked (declared acme/two)"
    ]


def test_a_lock_that_is_removed_is_an_error_until_it_is_back(
    hub: EmbeddedHub, install: Install, project: Path
) -> None:
    path = project / "modelenv.lock"
    install()
    text = path.read_text()
    path.unlink()
    with pytest.raises(LockfileError) as error:
        hf_hub_download(REPO, "config.json")
    assert str(error.value).splitlines() == [
        f"{path}: the lock was removed while modelenv.install() answers from it",
        "  what to do: restore it, or call modelenv.uninstall()",
    ]
    hub.assert_no_requests()
    path.write_text(text)
    assert HfApi().model_info(REPO).id == REPO
    hub.assert_no_requests()


def test_the_asynchronous_client_is_answered_too(hub: EmbeddedHub, install: Install, folder: Path) -> None:
    install()
    url = f"{hub.endpoint}/{REPO}/resolve/main/model.safetensors"

    async def ask() -> list[bytes]:
        async with get_async_session() as client:
            await client.get(f"{hub.endpoint}/api/models/{REPO}")
            answers = await asyncio.gather(*(client.get(url) for _ in range(5)))
            part = await client.get(url, headers={"Range": "bytes=-10"})
            return [part.content, *(answer.content for answer in answers)]

    part, *whole = asyncio.run(ask())
    content = (folder / "model.safetensors").read_bytes()
    assert set(whole) == {content}
    assert part == content[-10:]
    assert asked(hub) == ["GET resolve model.safetensors"]


@pytest.mark.parametrize("source", ["local_cache", "huggingface_hub", "mock_models"])
def test_installing_imports_no_other_library(run: Callable[..., str], source: str) -> None:
    code = (
        f"import sys, modelenv; modelenv.install({source!r}); modelenv.install({source!r}); modelenv.uninstall()\n"
        f"print(*(set(sys.modules) & {NOTHING}))"
    )
    assert run(code).split() == []


def test_offline_a_damaged_file_is_an_error_of_install_itself(install: Install, run: Callable[..., str]) -> None:
    with install():
        Path(hf_hub_download(REPO, "config.json")).resolve().write_text("damaged")
    code = (
        "import sys, modelenv\ntry: modelenv.install()\nexcept modelenv.ModelIntegrityError as error: print(error)\n"
        "print('huggingface_hub.file_download' in sys.modules)"
    )
    lines = run(code, HF_HUB_OFFLINE="1").splitlines()
    assert "changed config.json" in "".join(lines)
    assert lines[-1] == "False"


@pytest.mark.parametrize("order", ["before", "after"])
def test_the_order_of_imports_does_not_matter(hub: EmbeddedHub, run: Callable[..., str], order: str) -> None:
    lines = ["import modelenv; installed = modelenv.install()", "import huggingface_hub.file_download"]
    code = "\n".join(lines if order == "before" else lines[::-1])
    code += (
        f"\nfrom huggingface_hub import constants, hf_hub_download; hf_hub_download({REPO!r}, 'config.json')\n"
        "print(constants.HF_HUB_CACHE == str(installed.cache)); modelenv.uninstall()\n"
        "print(constants.HF_HUB_CACHE == str(installed._settings.cache_dir))"
    )
    hub.clear()
    assert run(code).split() == ["True", "False"]
    assert asked(hub) == ["GET resolve config.json"]


def test_several_processes_download_once(
    hub: EmbeddedHub, project: Path, make_environ: Callable[..., dict[str, str]]
) -> None:
    code = (
        "import sys, modelenv; modelenv.install(); from huggingface_hub import snapshot_download\n"
        f"print('ready', flush=True); sys.stdin.read(); print(snapshot_download({REPO!r}))"
    )
    environ = make_environ(
        HF_ENDPOINT=hub.endpoint, MODEL_CACHE_DIR=str(project / "cache"), MODEL_SOURCE="local_cache",
        HF_HUB_DISABLE_PROGRESS_BARS="1", HF_HUB_DISABLE_TELEMETRY="1", NO_PROXY="127.0.0.1",
    )  # fmt: skip
    pipe = subprocess.PIPE
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", code], cwd=project, env=environ, stdin=pipe, stdout=pipe, stderr=pipe, text=True
        )
        for _ in range(3)
    ]
    assert all(worker.stdout is not None and worker.stdout.readline() == "ready\n" for worker in workers)
    hub.clear()
    ends = [worker.communicate(timeout=120) for worker in workers]
    assert [worker.returncode for worker in workers] == [0, 0, 0], ends
    assert len({said for said, _ in ends}) == 1
    assert len(asked(hub)) == 3
    assert {request.kind for request in hub.requests} == {"resolve"}


def test_a_forked_child_is_answered_too(hub: EmbeddedHub, run: Callable[..., str]) -> None:
    code = (
        "import os, modelenv; modelenv.install(); from huggingface_hub import hf_hub_download, HfApi\n"
        f"HfApi().model_info({REPO!r}); child = os.fork()\n"
        f"path = hf_hub_download({REPO!r}, 'config.json')\n"
        "if child: assert os.waitpid(child, 0)[1] == 0; print(path)\nelse: os._exit(0)"
    )
    hub.clear()
    assert run(code).endswith("config.json\n")
    assert asked(hub) == ["GET resolve config.json"]
