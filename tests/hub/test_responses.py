"""Responses to plain requests, in their exact form, including requests that no client makes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from modelenv.hub.repos.repositories import Repository

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from modelenv.hub import EmbeddedHub

    Ask = Callable[..., object]


def test_info_has_the_fields_of_the_hub(ask, model: Path) -> None:
    answer = ask("GET", "/api/models/org/name")
    info = json.loads(answer.body)
    commit = Repository("org/name", model).snapshot().commit
    assert (answer.status, answer.headers["content-type"]) == (200, "application/json")
    assert {key: info[key] for key in ("id", "modelId", "author", "sha", "private", "gated", "disabled")} == {
        "id": "org/name",
        "modelId": "org/name",
        "author": "org",
        "sha": commit,
        "private": False,
        "gated": False,
        "disabled": False,
    }
    assert info["siblings"][0] == {"rfilename": "README.md"}
    assert info["cardData"]["updated"] == "2024-01-31"
    assert info["lastModified"].endswith("Z")


def test_the_tree_has_the_form_of_the_hub(ask, model: Path) -> None:
    snapshot = Repository("org/name", model).snapshot()
    entries = json.loads(ask("GET", "/api/models/org/name/tree/main").body)
    weights = snapshot.files["model.safetensors"]
    size = weights.found.size
    assert [entry["path"] for entry in entries] == [
        "parts",
        "README.md",
        "config.json",
        "model.safetensors",
        "vocab.txt",
    ]
    assert entries[0] == {"type": "directory", "oid": snapshot.trees["parts"], "size": 0, "path": "parts"}
    assert entries[3] == {
        "type": "file",
        "oid": weights.blob_id,
        "size": size,
        "path": "model.safetensors",
        "lfs": {"oid": weights.sha256, "size": size, "pointerSize": 125 + len(str(size))},
    }


def test_xet_is_not_advertised(ask) -> None:
    head = ask("HEAD", "/org/name/resolve/main/model.safetensors")
    assert not [name for name in head.headers if "xet" in name]
    assert b"xet" not in ask("GET", "/api/models/org/name/tree/main").body.lower()


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/"),
        ("GET", "/api/kernels/org/name"),
        ("GET", "/api/models/org/name/lfs-files"),
        ("POST", "/api/models/org/name/lfs-files/duplicate"),
        ("GET", "/api/models/org/name/safetensors-metadata/model.safetensors"),
        ("PUT", "/org/name/resolve/main/config.json"),
        ("POST", "/api/settings/webhooks"),
        ("POST", "/api/whoami-v2"),
    ],
)
def test_other_requests_are_answered_with_not_served(ask, hub: EmbeddedHub, method: str, path: str) -> None:
    answer = ask(method, path, b"")
    message = f"{method} {path} is not served by the embedded Hub of modelenv"
    assert (answer.status, json.loads(answer.body)) == (501, {"error": message})
    assert answer.headers["x-error-message"] == message
    assert [(request.kind, request.status) for request in hub.requests] == [("other", 501)]


@pytest.mark.parametrize(
    ("path", "status", "code", "message"),
    [
        ("/api/models/org/nothing", 401, "RepoNotFound", "Invalid username or password."),
        ("/api/models/org/name/revision/v9", 404, "RevisionNotFound", "Invalid rev id: v9"),
        ("/api/models/org/name/tree/main/nix", 404, "EntryNotFound", "nix does not exist on 'main'"),
        ("/org/name/resolve/main/x.json", 404, "EntryNotFound", "x.json does not exist on 'main'"),
        ("/org/name/resolve/v9/x.json", 404, "RevisionNotFound", "Invalid rev id: v9"),
        ("/org/name/resolve/main/%2E%2E/name/config.json", 404, "EntryNotFound", None),
        ("/org/name/resolve/main/..%2Fname%2Fconfig.json", 404, "EntryNotFound", None),
        ("/org/name/resolve/main//etc/passwd", 404, "EntryNotFound", None),
        ("/api/models/org/name?expand=colour", 400, None, "Invalid value of expand: colour; expected one of"),
        ("/api/models/org/name/tree/main?cursor=%21", 400, None, "Invalid cursor or limit"),
        ("/api/models/org/name/tree/main?cursor=LTU=", 400, None, "Invalid cursor or limit"),
        ("/api/models/org/name/tree/main?limit=0", 400, None, "Invalid cursor or limit"),
        ("/api/models?gated=true", 501, None, "The embedded Hub cannot list models by gated"),
        ("/org/name/resolve/main/a%0D%0AX-Bad:%201%C3%A4", 404, "EntryNotFound", None),
    ],
)
def test_errors_carry_code_and_message(ask, path: str, status: int, code: str | None, message: str | None) -> None:
    answer = ask("GET", path)
    assert (answer.status, answer.headers.get("x-error-code")) == (status, code)
    assert "x-bad" not in answer.headers
    if message is not None:
        assert answer.headers["x-error-message"].startswith(message)
        assert json.loads(answer.body)["error"].startswith(message)


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "127.0.0.1:80", "localhost:1", "LOCALHOST", "hub.localhost", "[::1]", "[::1]:80"]
)
def test_host_headers_of_this_machine(ask, host: str) -> None:
    assert ask("GET", "/api/models/org/name", Host=host).status == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:80", "10.0.0.1", "127.0.0.1.evil.example", "[fe80::1]"]
)
def test_other_host_headers_are_refused(ask, host: str) -> None:
    answer = ask("GET", "/api/models/org/name", Host=host)
    assert answer.status == 403
    message = f"The embedded Hub of modelenv answers to 127.0.0.1 and localhost, not to {host}"
    assert json.loads(answer.body) == {"error": message}


def test_a_path_with_control_characters_is_answered(ask) -> None:
    answer = ask("GET", "/org/name/resolve/main/a%00%0Bb")
    assert (answer.status, answer.headers["x-error-message"]) == (404, "a  b does not exist on 'main'")


def test_a_missing_repository_is_404_with_a_token(ask) -> None:
    answer = ask("GET", "/api/models/org/nothing", Authorization="Bearer hf_x")
    assert (answer.status, answer.headers["x-error-code"]) == (404, "RepoNotFound")
    assert json.loads(answer.body) == {"error": "Repository not found"}


def test_paths_info_takes_a_form_and_json(ask) -> None:
    path = "/api/models/org/name/paths-info/main"
    form = ask(
        "POST",
        path,
        b"paths=config.json&paths=nothing&paths=parts&expand=True",
        Content_Type="application/x-www-form-urlencoded",
    )
    posted = ask(
        "POST",
        path,
        b'{"paths": ["config.json", "nothing", "parts/"], "expand": true}',
        Content_Type="application/json",
    )
    assert [entry["path"] for entry in json.loads(form.body)] == ["config.json", "parts"]
    assert posted.body == form.body


@pytest.mark.parametrize(
    ("body", "content_type"),
    [(b"{", "application/json"), (b"[]", "application/json"), (b"{}", "application/json"), (b"", ""), (b"\xff", "")],
)
def test_paths_info_without_paths_is_refused(ask, body: bytes, content_type: str) -> None:
    answer = ask("POST", "/api/models/org/name/paths-info/main", body, Content_Type=content_type)
    assert (answer.status, json.loads(answer.body)["error"]) == (
        400,
        "Invalid body: expected paths, and optionally expand",
    )


def test_the_link_header_leads_to_the_next_page(ask, hub: EmbeddedHub) -> None:
    first = ask("GET", "/api/models/org/name/tree/main?recursive=true&limit=5")
    link = first.headers["link"]
    assert link.startswith(f"<{hub.endpoint}/api/models/org/name/tree/main?recursive=true&limit=5&cursor=")
    assert link.endswith('>; rel="next"')
    second = ask("GET", link[1 : link.index(">")].removeprefix(hub.endpoint))
    assert "link" not in second.headers
    paths = [entry["path"] for entry in json.loads(first.body) + json.loads(second.body)]
    assert len(paths) == len(set(paths)) == 8


def test_the_search_for_agents_finds_a_valid_empty_registry(ask) -> None:
    assert json.loads(ask("GET", "/api/agent-harnesses").body) == {"standardEnvVars": [], "harnesses": {}}


def test_an_internal_error_is_logged_as_500(ask, hub: EmbeddedHub, caplog: pytest.LogCaptureFixture) -> None:
    # The stored copy was deleted.
    ask("GET", "/org/name/resolve/main/vocab.txt")
    repository = hub._repositories.find("org/name")
    assert repository is not None
    repository.snapshot().files["vocab.txt"].found.location.unlink()
    hub.clear()

    answer = ask("GET", "/org/name/resolve/main/vocab.txt")

    assert answer.status == 500
    assert [request.status for request in hub.requests] == [500]
    assert "Exception in ASGI application" in caplog.text
