"""A clean view for each test, over one server."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from modelenv.errors import ConfigurationError

if TYPE_CHECKING:
    from pathlib import Path

    from modelenv.hub import EmbeddedHub


def test_all_that_a_scope_changed_is_undone(hub: EmbeddedHub, ask, model: Path, client_cache: Path) -> None:
    from huggingface_hub import HfApi

    before = ask("GET", "/api/models/org/name").body
    with hub.scope() as inner:
        assert inner is hub
        assert hub.requests == ()
        token = hub.token("ada", orgs=["org"])
        api = HfApi(endpoint=hub.endpoint, token=token)
        api.upload_file(repo_id="org/name", path_in_repo="new.txt", path_or_fileobj=b"new")
        api.create_tag("org/name", tag="v1")
        api.update_repo_settings("org/name", private=True)
        api.move_repo("org/name", "ada/name")
        api.create_repo("ada/other")
        hub.add(model, "org/again")
        hub.bytes_per_second = 1000
        hub.fail(status=503, file="*.json")
        assert sorted(info.id for info in api.list_models()) == ["ada/name", "ada/other", "org/again"]
    assert (hub.requests, hub.bytes_per_second) == ((), None)
    assert ask("GET", "/api/models/org/name").body == before
    assert ask("GET", "/org/name/resolve/main/config.json").status == 200
    for gone in ("ada/name", "ada/other", "org/again"):
        assert ask("GET", f"/api/models/{gone}", Authorization="Bearer hf_any").status == 404
    with hub.scope():
        (model / "vocab.txt").write_text("changed")
        assert ask("GET", "/org/name/resolve/main/vocab.txt").body == b"changed"
    assert ask("GET", "/org/name/resolve/main/vocab.txt").body == b"changed"


def test_a_removed_repository_is_gone_and_its_folder_stays(hub: EmbeddedHub, ask, model: Path) -> None:
    hub.remove("org/name")
    assert ask("GET", "/api/models/org/name", Authorization="Bearer hf_any").status == 404
    assert ask("GET", "/api/models").body == b"[]"
    assert (model / "config.json").is_file()
    hub.add(model, "org/name")
    assert ask("GET", "/api/models/org/name").status == 200
    with pytest.raises(ConfigurationError, match="there is no such repository to remove"):
        hub.remove("org/nothing")
