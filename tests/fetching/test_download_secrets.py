"""Our errors contain no secrets, even if the Hub repeats them in its errors."""

from __future__ import annotations

import pytest

from modelenv.deadlines import Deadline
from modelenv.environment.libraries import environment
from modelenv.errors import ModelEnvError
from modelenv.fetching.retries import RetryPolicy
from modelenv.fetching.snapshot import fetch
from modelenv.hub import EmbeddedHub
from modelenv.references import ModelRef
from modelenv.store.store import Store

from .conftest import MakeModel

SECRETS = ["hf_" + "DownloadSecret" * 2, "another-kind-of-secret"]


@pytest.mark.parametrize("secret", SECRETS)
@pytest.mark.parametrize("status", [401, 403, 404, 418, 503])
def test_secrets_that_the_hub_repeats_are_not_shown(
    hub: EmbeddedHub, store: Store, make_model: MakeModel, secret: str, status: int
) -> None:
    with environment({"HF_TOKEN": secret}):
        hub.add(make_model(), "acme/model")
        hub.fail(status=status, message=f"Bearer {secret} is not {secret}")
        with pytest.raises(ModelEnvError) as caught:
            fetch(store, ModelRef("acme/model"), Deadline(20), policy=RetryPolicy(first=0.01))
    assert str(status) in str(caught.value)
    assert secret not in str(caught.value) + repr(vars(caught.value))
