"""Private and gated repositories, tokens and permissions."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from huggingface_hub import HfApi

    from modelenv.hub import EmbeddedHub


@pytest.fixture
def api(hub: EmbeddedHub, client_cache: Path) -> HfApi:
    from huggingface_hub import HfApi

    return HfApi(endpoint=hub.endpoint, token=False)


def test_any_token_is_accepted_until_the_first_is_registered(api: HfApi, hub: EmbeddedHub) -> None:
    from huggingface_hub.errors import HfHubHTTPError

    assert api.whoami(token="hf_any")["name"] == "user"
    token = hub.token("ada", orgs=["org"])
    told = api.whoami(token=token)
    assert (told["name"], [org["name"] for org in told["orgs"]]) == ("ada", ["org"])
    assert told["auth"]["accessToken"]["role"] == "write"
    with pytest.raises(HfHubHTTPError, match="Invalid user token"):
        api.whoami(token="hf_any")
    with pytest.raises(HfHubHTTPError, match="Invalid credentials in Authorization header"):
        api.model_info("org/name", token="hf_any")


def test_whoami_without_a_token(ask) -> None:
    answer = ask("GET", "/api/whoami-v2")
    assert (answer.status, answer.headers["x-error-message"]) == (401, "Invalid username or password.")


def test_the_error_for_an_expired_token(ask, hub: EmbeddedHub) -> None:
    token = hub.token("ada", expired=True)
    answer = ask("GET", "/api/models/org/name", Authorization=f"Bearer {token}")
    assert (answer.status, json.loads(answer.body)) == (401, {"error": 'User Access Token "ada" is expired'})
    assert token not in answer.body.decode()


def test_only_owners_see_a_private_model(api: HfApi, hub: EmbeddedHub, model: Path) -> None:
    from huggingface_hub.errors import RepositoryNotFoundError

    hub.add(model, "org/secret", private=True)
    member, friend, stranger = (
        hub.token("ada", orgs=["org"]),
        hub.token("bob", access=["org/secret"]),
        hub.token("eve"),
    )
    for token in (member, friend):
        assert api.model_info("org/secret", token=token).private
        assert api.hf_hub_download("org/secret", "config.json", token=token)
        assert [info.id for info in api.list_models(search="secret", token=token)] == ["org/secret"]
    for token in (stranger, False):
        with pytest.raises(RepositoryNotFoundError):
            api.model_info("org/secret", token=token)
        with pytest.raises(RepositoryNotFoundError):
            api.hf_hub_download("org/secret", "vocab.txt", token=token)
        assert list(api.list_models(search="secret", token=token)) == []


def test_the_files_of_a_gated_model_require_access(api: HfApi, hub: EmbeddedHub, model: Path) -> None:
    from huggingface_hub.errors import GatedRepoError

    hub.add(model, "org/gated", gated=True)
    allowed, refused = hub.token("bob", access=["org/gated"]), hub.token("eve")
    assert api.model_info("org/gated").gated == "auto"
    assert api.hf_hub_download("org/gated", "config.json", token=allowed)
    api.auth_check("org/gated", token=allowed)
    message = "Access to model org/gated is restricted"
    with pytest.raises(GatedRepoError, match=f"{message} and you are not in the authorized list") as caught:
        api.hf_hub_download("org/gated", "vocab.txt", token=refused)
    assert caught.value.response.status_code == 403
    with pytest.raises(GatedRepoError, match=f"{message}. You must have access to it and be authenticated") as caught:
        api.hf_hub_download("org/gated", "vocab.txt")
    assert caught.value.response.status_code == 401
    with pytest.raises(GatedRepoError):
        api.auth_check("org/gated", token=refused)


def test_permission_to_write(api: HfApi, hub: EmbeddedHub) -> None:
    from huggingface_hub.errors import HfHubHTTPError

    owner, reader, stranger = hub.token("ada", orgs=["org"]), hub.token("ada", role="read"), hub.token("eve")
    api.auth_check("org/name", write=True, token=owner)
    with pytest.raises(HfHubHTTPError, match="eve has no right to write to org/name"):
        api.upload_file(repo_id="org/name", path_in_repo="x", path_or_fileobj=b"", token=stranger)
    with pytest.raises(HfHubHTTPError, match="you must use a write token"):
        api.create_repo("ada/new", token=reader)
    with pytest.raises(HfHubHTTPError, match='the rights to create a model under the namespace "org"'):
        api.create_repo("org/new", token=stranger)
    with pytest.raises(HfHubHTTPError, match="Invalid username or password"):
        api.create_repo("org/new")
