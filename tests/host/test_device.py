"""`device="auto"` in the host selects a GPU if there is one."""

from __future__ import annotations

import pytest

from modelenv.host.client import HostClient
from modelenv.host.proxy import HostedPipeline
from modelenv.host.recipes import recipe_of
from modelenv.loading.spec import ModelSpec
from modelenv.testing import tiny_model

pytestmark = pytest.mark.integration


def hosted(client: HostClient, device: str) -> HostedPipeline:
    folder = tiny_model("text-classification")
    recipe = recipe_of(ModelSpec(folder, "text-classification", {}, model="acme/tiny", device=device))
    return HostedPipeline(client, recipe, lambda: pytest.fail("it was loaded here"), lambda _: None)


def test_auto_is_a_gpu_if_there_is_one(client: HostClient) -> None:
    import torch

    if not torch.cuda.is_available():
        pytest.skip("no GPU")
    on_gpu, on_cpu = hosted(client, "auto"), hosted(client, "cpu")
    assert on_gpu.device.type == "cuda"
    assert [row["label"] for row in on_gpu(["a", "b"])] == [row["label"] for row in on_cpu(["a", "b"])]
    assert on_gpu("a")[0]["score"] == pytest.approx(on_cpu("a")[0]["score"], abs=1e-3)


def test_auto_is_the_device_that_a_local_load_uses(client: HostClient) -> None:
    from modelenv.loading.build import _torch_device

    assert hosted(client, "auto").device.type == _torch_device("auto", "tiny")
