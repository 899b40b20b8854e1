"""Views: a Hub for each test, on one server thread."""

from __future__ import annotations

import http.client
import threading
import urllib.error
import urllib.request
from typing import TYPE_CHECKING

import pytest

from modelenv.errors import ConfigurationError
from modelenv.hub import EmbeddedHub
from modelenv.hub.repos import blobs

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

WEIGHTS = "/org/name/resolve/main/model.safetensors"


def read(hub: EmbeddedHub, path: str, token: str | None = None) -> bytes:
    headers = {"Authorization": f"Bearer {token}"} if token is not None else {}
    request = urllib.request.Request(f"{hub.endpoint}{path}", headers=headers)
    with urllib.request.urlopen(request, timeout=60) as answer:
        return bytes(answer.read())


def status(hub: EmbeddedHub, path: str, token: str | None = None) -> int:
    try:
        read(hub, path, token)
    except urllib.error.HTTPError as error:
        return error.code
    return 200


def test_changes_in_a_view_are_not_visible_elsewhere(hub: EmbeddedHub, model: Path, client_cache: Path) -> None:
    from huggingface_hub import HfApi

    info = read(hub, "/api/models/org/name")
    hub.clear()
    with hub.view() as view:
        assert view.endpoint != hub.endpoint
        assert read(view, "/api/models/org/name") == info
        token = view.token("ada", orgs=["org"])
        api = HfApi(endpoint=view.endpoint, token=token)
        api.upload_file(repo_id="org/name", path_in_repo="new.txt", path_or_fileobj=b"new")
        api.create_tag("org/name", tag="v1")
        api.update_repo_settings("org/name", private=True)
        api.move_repo("org/name", "ada/name")
        api.create_repo("ada/other")
        view.add(model, "org/again")
        assert sorted(info.id for info in api.list_models()) == ["ada/name", "ada/other", "org/again"]
        view.fail(status=503)
        assert status(view, "/api/models") == 503
        with hub.view() as beside:
            assert read(beside, "/api/models/org/name") == info
            assert beside.requests[0].path == "/api/models/org/name"
    hub.assert_no_requests()
    assert read(hub, "/api/models/org/name") == info
    for gone in ("ada/name", "ada/other", "org/again"):
        assert status(hub, f"/api/models/{gone}", "any") == 404


def test_a_view_starts_with_the_state_of_its_hub(hub: EmbeddedHub, model: Path) -> None:
    hub.add(model, "org/secret", private=True)
    hub.remove("org/name")
    token = hub.token("ada", orgs=["org"])
    with hub.view() as view:
        assert [status(view, path, token) for path in ("/api/models/org/secret", "/api/models/org/name")] == [
            200,
            404,
        ]
        assert status(view, "/api/models/org/secret", "hf_unknown") == 401
        (model / "vocab.txt").write_text("changed")
        assert read(view, "/org/secret/resolve/main/vocab.txt", token) == b"changed"


def test_a_view_has_its_own_rate_limits(hub: EmbeddedHub) -> None:
    def left(view: EmbeddedHub) -> str:
        with urllib.request.urlopen(f"{view.endpoint}/api/models/org/name", timeout=60) as answer:
            return str(answer.headers["RateLimit"]).split(";")[1]

    assert [left(hub), left(hub)] == ["r=499", "r=498"]
    with hub.view() as view:
        assert left(view) == "r=499"


def test_nothing_is_hashed_again(hub: EmbeddedHub, monkeypatch: pytest.MonkeyPatch) -> None:
    info = read(hub, "/api/models/org/name")

    def hashing(*_: object) -> None:
        raise AssertionError

    for name in ("hash_file", "git_id"):
        monkeypatch.setattr(blobs, name, hashing)
    with hub.view() as view:
        assert read(view, "/api/models/org/name") == info


def test_a_download_still_running_at_the_end_fails(hub: EmbeddedHub) -> None:
    begun, errors = threading.Event(), []

    def late(endpoint: str) -> None:
        connection = http.client.HTTPConnection(endpoint.removeprefix("http://"), timeout=60)
        connection.request("GET", WEIGHTS)
        answer = connection.getresponse()
        answer.read(1)
        begun.set()
        for ask in (answer.read, lambda: urllib.request.urlopen(f"{endpoint}{WEIGHTS}", timeout=60)):
            try:
                ask()
            except (http.client.IncompleteRead, urllib.error.URLError) as error:
                errors.append(type(error))
        answer.close()
        connection.close()

    with hub.view() as view:
        view.fail(bytes_per_second=1)
        thread = threading.Thread(target=late, args=(view.endpoint,))
        thread.start()
        assert begun.wait(60)
    with hub.view() as after:
        thread.join(60)
        assert errors == [http.client.IncompleteRead, urllib.error.URLError]
        after.assert_no_requests()


def test_addresses_are_not_reused(hub: EmbeddedHub) -> None:
    endpoints = []
    for _ in range(200):
        with hub.view() as view:
            endpoints.append(view.endpoint)
    assert len({hub.endpoint, *endpoints}) == 201


def test_views_need_no_threads(hub: EmbeddedHub) -> None:
    def threads() -> int:
        return sum(thread.name == "modelenv-hub" for thread in threading.enumerate())

    before = threads()
    with hub.view(), hub.view() as view:
        assert status(view, "/api/models/org/name") == 200
        assert threads() == before


def test_a_view_ends_with_its_hub() -> None:
    hub = EmbeddedHub()
    with pytest.raises(ConfigurationError, match="a view requires a running embedded Hub\n  what to do: start it"):
        hub.view().__enter__()
    with hub.start().view() as view:
        assert read(view, "/api/models") == b"[]"
        hub.stop()
        with pytest.raises(urllib.error.URLError):
            read(view, "/api/models")


def test_a_view_of_a_hub_with_a_cdn_has_its_own(make_model: Callable[[Path], Path], tmp_path: Path) -> None:
    def sent_on(view: EmbeddedHub) -> str:
        with urllib.request.urlopen(f"{view.endpoint}{WEIGHTS}", timeout=60) as answer:
            return str(answer.url).partition("/cdn-lfs/")[0]

    make_model(tmp_path / "org" / "name")
    with EmbeddedHub(tmp_path, cdn=True) as hub, hub.view() as view:
        assert len({hub.endpoint, view.endpoint, sent_on(hub), sent_on(view)}) == 4


def test_removing_a_repository_keeps_its_folder(hub: EmbeddedHub, model: Path) -> None:
    hub.remove("org/name")
    assert status(hub, "/api/models/org/name", "any") == 404
    assert read(hub, "/api/models") == b"[]"
    assert (model / "config.json").is_file()
    hub.add(model, "org/name")
    assert status(hub, "/api/models/org/name") == 200
    with pytest.raises(ConfigurationError, match="there is no such repository to remove"):
        hub.remove("org/nothing")
