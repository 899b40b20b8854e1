"""Only the user can read the host's log, and it contains no secrets."""

from __future__ import annotations

import io
import os
import sys
import tempfile
from pathlib import Path

import pytest

from modelenv.host.client import HostClient
from modelenv.host.folder import HostFolder
from modelenv.host.proxy import HostedPipeline
from modelenv.host.recipes import recipe_of
from modelenv.host.serving.log import redact_output
from modelenv.loading.spec import ModelSpec
from modelenv.testing import tiny_model


def test_secrets_in_the_output_are_redacted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_API_KEY", "a-key-of-its-own-form")
    monkeypatch.setenv("SHORT_TOKEN", "on")
    for name in ("stdout", "stderr"):
        stream = io.StringIO()
        monkeypatch.setattr(sys, name, stream)
        redact_output()
        print("on: a-key-of-its-own-form, hf_abcdefghijklmnopqrst", file=getattr(sys, name), flush=True)
        assert stream.getvalue() == "on: ***, ***\n"
        assert getattr(sys, name).isatty() is False


@pytest.mark.integration
def test_the_log_is_private_and_contains_no_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "token-of-another-form")
    monkeypatch.setenv("TRANSFORMERS_VERBOSITY", "warning")
    with tempfile.TemporaryDirectory(prefix="modelenv-host-") as place:
        folder = HostFolder(Path(place) / "host")
        client = HostClient(folder, watch=os.getpid())
        model = tiny_model("fill-mask")
        recipe = recipe_of(ModelSpec(model, "fill-mask", {}, model="acme/tiny", device="cpu"))
        hosted = HostedPipeline(client, recipe, lambda: pytest.fail("it was loaded here"), lambda _: None)
        try:
            hosted("the [MASK]", targets=["token-of-another-form", "hf_abcdefghijklmnopqrst"])
            log = folder.log.read_text()
            modes = [path.stat().st_mode & 0o777 for path in (folder.path, folder.log)]
        finally:
            client.stop()
    assert "The specified target token `***` does not exist" in log
    assert "token-of-another-form" not in log
    assert "hf_abcdefghijklmnopqrst" not in log
    assert modes == [0o700, 0o600]
