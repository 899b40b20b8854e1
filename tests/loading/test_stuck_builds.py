"""Other models are loaded while the build of a real pipeline hangs."""

from __future__ import annotations

import shutil
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from modelenv import ModelLoadTimeoutError, Settings, SmartModelManager

from ..forking import SECONDS

pytestmark = pytest.mark.integration


def test_other_models_are_loaded_while_a_build_hangs(classifier: Path, tmp_path: Path) -> None:
    import torch
    from transformers import TextClassificationPipeline

    begun, over = threading.Event(), threading.Event()

    class Hanging(TextClassificationPipeline):  # type: ignore[misc]
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            torch.set_default_dtype(torch.float64)  # as transformers does while it builds
            try:
                begun.set()
                assert over.wait(SECONDS)
                super().__init__(*args, **kwargs)
            finally:
                torch.set_default_dtype(torch.float32)

    shutil.copytree(classifier, tmp_path / "acme" / "m")
    manager = SmartModelManager("local_cache", settings=Settings.load(cache_dir=tmp_path, volume_dir=tmp_path))

    def hang() -> None:
        with pytest.raises(ModelLoadTimeoutError):
            manager.load_model("acme/m", "text-classification", timeout=2, pipeline_class=Hanging)

    with ThreadPoolExecutor(1) as pool:
        hanging = pool.submit(hang)
        assert begun.wait(SECONDS)
        try:
            model = manager.load_model("acme/m", "text-classification", timeout=SECONDS)
            assert model.model.dtype == torch.float32
            assert torch.get_default_dtype() == torch.float32
            assert model("bitcoin price surge")[0]["label"] == "POSITIVE"
            hanging.result(SECONDS)
        finally:
            over.set()
    again = manager.load_model("acme/m", "text-classification", timeout=SECONDS, pipeline_class=Hanging)
    assert again("bitcoin price surge")[0]["label"] == "POSITIVE"
    assert torch.get_default_dtype() == torch.float32
