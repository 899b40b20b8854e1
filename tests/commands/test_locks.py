"""The output of `modelenv lock`, `lock --check`, `lock --upgrade`, `outdated` and `cache-key`."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys
from contextlib import suppress

import pytest

from modelenv.locks.project_lock import read_lockfile

from ..waiting import state_of, wait_until
from .conftest import DECLARATION, Project

CONFIG = ("GET", "resolve", "config.json")
TOKENIZER = ("GET", "resolve", "tokenizer.json")


@pytest.mark.slow
def test_lock_writes_the_lock_and_says_what_is_new(project: Project) -> None:
    lines = project.lines("lock")
    lock = read_lockfile(project.folder / "modelenv.lock")
    first, second = lock.models
    assert lines == [
        f"first: new, commit {first.commit[:12]}, 3 files",
        f"second: new, commit {second.commit[:12]}, 3 files",
        "PROJECT/modelenv.lock: 2 models, written",
    ]
    assert first.facts["labels"] == ("BAD", "GOOD")
    assert project.asked() == sorted([("GET", "info", None), CONFIG, TOKENIZER] * 2)
    assert project.lines("lock") == ["PROJECT/modelenv.lock: 2 models, unchanged"]
    assert project.asked() == []


@pytest.mark.slow
def test_check_compares_declarations_and_lock_without_requests(project: Project) -> None:
    assert project.lines("lock", "--check", code=1)[0] == "first: not locked (declared acme/first)"
    project.run("lock")
    project.hub.stop()
    assert project.lines("lock", "--check") == ["PROJECT/modelenv.lock: as declared, 2 models"]
    (project.folder / "pyproject.toml").write_text(DECLARATION.replace("acme/second", "acme/third"))
    assert project.lines("lock", "--check", code=1) == [
        "second: another repo (declared acme/third, locked acme/second)",
        "PROJECT/modelenv.lock: run `modelenv lock`, and commit what it writes",
    ]
    found = project.json("lock", "--check", code=1)["disagreements"]
    assert found == [{"alias": "second", "what": "another repo", "declared": "acme/third", "locked": "acme/second"}]


@pytest.mark.slow
def test_outdated_and_upgrade(locked: Project) -> None:
    assert locked.lines("outdated") == ["2 models, all up to date"]
    old = read_lockfile(locked.folder / "modelenv.lock").by_alias("first")
    assert old is not None
    new = locked.push("first", id2label={"0": "BAD", "1": "BEST"})
    locked.push("second", changed=True)
    assert [re.split(" {2,}", line) for line in locked.lines("outdated", code=1)[:2]] == [
        ["alias", "repo", "locked", "newest"],
        ["first", "acme/first", old.commit[:12], new[:12]],
    ]
    assert locked.json("outdated", code=1)["outdated"][0]["newest"] == new
    locked.hub.clear()
    assert locked.lines("lock", "--upgrade", "first") == [
        f"first: commit {old.commit[:12]} -> {new[:12]}",
        "  ~ config.json",
        "PROJECT/modelenv.lock: 2 models, written",
    ]
    assert locked.asked() == [("GET", "info", None), CONFIG]  # the other files did not change
    assert [each["alias"] for each in locked.json("outdated", code=1)["outdated"]] == ["second"]
    changed = locked.json("lock", "--upgrade")["changes"]
    assert [(each["alias"], each["files"]) for each in changed] == [("second", ["~ config.json"])]
    assert locked.lines("outdated") == ["2 models, all up to date"]


@pytest.mark.slow
def test_a_model_pinned_to_a_commit_is_never_outdated(project: Project) -> None:
    commit = project.push("second", pinned=True)
    (project.folder / "pyproject.toml").write_text(
        f'[tool.modelenv.models]\nsecond = {{ repo = "acme/second", revision = "{commit}" }}\n'
    )
    project.run("lock")
    project.push("second", newer=True)
    project.hub.clear()
    assert project.lines("outdated") == ["1 model, all up to date"]
    assert project.asked() == []


@pytest.mark.slow
def test_the_cache_key_depends_only_on_the_files(locked: Project) -> None:
    [key] = locked.lines("cache-key")
    assert re.fullmatch("modelenv-[0-9a-f]{32}", key)
    assert locked.json("cache-key") == {"cache_key": key}
    (locked.folder / "pyproject.toml").write_text(DECLARATION.replace("sentiment", "ner"))
    locked.run("lock")
    assert locked.lines("cache-key") == [key]
    locked.push("first", newer=True)
    locked.run("lock", "--upgrade")
    assert locked.lines("cache-key") != [key]


@pytest.mark.slow
def test_a_failed_lock_keeps_the_old_file(locked: Project) -> None:
    before = (locked.folder / "modelenv.lock").read_bytes()
    locked.push("first", newer=True)
    locked.hub.fail(status=403, file="config.json")
    assert "the Hub refuses access" in locked.run("lock", "--upgrade", code=3)
    assert (locked.folder / "modelenv.lock").read_bytes() == before


def asked_for_the_model(server: socket.socket) -> socket.socket:
    """Return the connection with the request for a model, unanswered. Other requests of the client get a 404."""
    while True:
        connection, _ = server.accept()
        if b"/api/models/" in connection.recv(4096):
            return connection
        connection.sendall(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        connection.close()


def interrupted(process: subprocess.Popen[str]) -> str:
    """Press Ctrl-C, and return stderr. Repeats it because Python ignores an interrupt in a finalizer."""
    for _ in range(3):
        process.send_signal(signal.SIGINT)
        with suppress(subprocess.TimeoutExpired):
            return process.communicate(timeout=60)[1]  # shorter than its own deadline
    pytest.fail("the process did not end")


@pytest.mark.slow
@pytest.mark.parametrize("verb", ["lock", "outdated"])
def test_ctrl_c_ends_at_once_while_the_hub_does_not_answer(locked: Project, verb: str) -> None:
    (locked.folder / "pyproject.toml").write_text(DECLARATION.replace('"acme/second"', '"acme/first"'))
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(60)
        environ = {**locked.environ, "HF_ENDPOINT": f"http://127.0.0.1:{server.getsockname()[1]}"}
        process = subprocess.Popen(
            [sys.executable, "-m", "modelenv", verb],
            cwd=locked.folder, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        with process, asked_for_the_model(server):
            wait_until(lambda: state_of(process.pid) in ("S", ""))  # the request is sent; now it waits for the answer
            try:
                said = interrupted(process)
            finally:
                process.kill()
    assert process.returncode == 130, said


@pytest.mark.slow
@pytest.mark.parametrize("verb", ["lock", "outdated"])
def test_offline_the_hub_is_not_asked(locked: Project, verb: str) -> None:
    (locked.folder / "pyproject.toml").write_text(DECLARATION.replace('"acme/second"', '"acme/first"'))
    assert "  what to do: unset HF_HUB_OFFLINE" in locked.lines(verb, code=3, HF_HUB_OFFLINE="1")
    said = locked.json(verb, code=3, HF_HUB_OFFLINE="1")["error"]
    assert (said["type"], said["model"], said["found"]) == (
        "ModelDownloadError",
        "acme/first",
        "HF_HUB_OFFLINE is set",
    )
    assert said["what"] == "locking this model needs the Hub, and offline mode is on"
    assert said["hint"] == "unset HF_HUB_OFFLINE"


@pytest.mark.slow
def test_the_exit_code_of_outdated_if_the_hub_is_down(locked: Project) -> None:
    locked.push("second", newer=True)
    locked.run("outdated", code=1)
    locked.hub.stop()
    locked.run("outdated", code=3)


@pytest.mark.slow
def test_usage_errors(project: Project) -> None:
    project.run("lock", "--check", "--upgrade", code=2)
    project.run("lock", "first", code=2)
    assert project.lines("lock", "--upgrade", "third", code=1) == [
        "error: unknown model name",
        "  expected: one of first, second",
        "  found: third",
    ]
    assert project.lines("cache-key", code=1) == [
        "error: PROJECT/modelenv.lock: there is no lock",
        "  what to do: run `modelenv lock`",
    ]
    (project.folder / "pyproject.toml").unlink()
    assert project.lines("lock", code=1) == [
        "error: no pyproject.toml in this folder or above it",
        "  expected: a project that declares its models in [tool.modelenv.models]",
        "  found: PROJECT",
    ]
