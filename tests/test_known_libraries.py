"""Compares modelenv's knowledge of the libraries that load models with the installed versions."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from modelenv.store.modules import CLASSES, ROUTERS, TRANSFORMERS
from modelenv.store.outside import SPECTROGRAM_MODELS
from modelenv.store.parts import DEFAULT_TEMPLATES, PARTS, WITHOUT_VOCABULARY
from modelenv.store.weights import PICKLED_WEIGHTS, WEIGHTS, WEIGHTS_INDEX

pytestmark = pytest.mark.integration


def modules_of(package: ModuleType, part: str) -> Iterator[ModuleType]:
    """Return the modules of a package with this part in their name, without those that lack a dependency."""
    for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        if part in found.name:
            try:
                yield importlib.import_module(found.name)
            except (ImportError, NameError):
                continue


def test_the_parts_that_each_pipeline_loads() -> None:
    from transformers.pipelines import SUPPORTED_TASKS, _resolve_impl

    names = ("feature_extractor", "image_processor", "processor", "tokenizer", "video_processor")
    for task, parts in PARTS.items():
        pipeline: Any = _resolve_impl(SUPPORTED_TASKS[task]["impl"])
        loads = {name: getattr(pipeline, f"_load_{name}") for name in names}
        # The video pipeline takes one of two parts. It reports itself if both are missing.
        expected = {"video_processor"} if task == "video-classification" else {n for n in names if loads[n] is True}
        assert set(parts) == expected, task
    assert set(PARTS) == set(SUPPORTED_TASKS)


def test_the_tokenizers_that_need_no_vocabulary() -> None:
    import transformers.models

    found = {
        kind.__name__  # some have a second name
        for module in modules_of(transformers.models, ".tokenization_")
        for kind in vars(module).values()
        if inspect.isclass(kind) and kind.__module__ == module.__name__
        if issubclass(kind, transformers.PreTrainedTokenizerBase) and not kind.vocab_files_names
    }
    assert found == WITHOUT_VOCABULARY


def test_the_models_that_need_a_vocoder() -> None:
    from transformers.models.auto.modeling_auto import MODEL_FOR_TEXT_TO_SPECTROGRAM_MAPPING_NAMES

    assert set(MODEL_FOR_TEXT_TO_SPECTROGRAM_MAPPING_NAMES.values()) == SPECTROGRAM_MODELS


def test_the_processors_that_invent_a_chat_template() -> None:
    import transformers

    models = Path(transformers.__file__).parent / "models"
    found = {
        path.parent.name for path in models.rglob("processing_*.py") if "default_chat_template" in path.read_text()
    }
    assert found == DEFAULT_TEMPLATES


def test_the_names_and_the_order_of_weights() -> None:
    from transformers import modeling_utils
    from transformers.utils import SAFE_WEIGHTS_INDEX_NAME, SAFE_WEIGHTS_NAME, WEIGHTS_INDEX_NAME, WEIGHTS_NAME

    assert (SAFE_WEIGHTS_NAME, SAFE_WEIGHTS_INDEX_NAME, WEIGHTS_NAME) == (WEIGHTS, WEIGHTS_INDEX, PICKLED_WEIGHTS)
    assert f"{PICKLED_WEIGHTS}.index.json" == WEIGHTS_INDEX_NAME
    source = inspect.getsource(modeling_utils._get_resolved_checkpoint_files)
    local = source[source.index("if is_local:") : source.index("raise OSError")]
    order = re.findall(r"archive_file = os\.path\.join\(\s*\w+, (?:subfolder, _add_variant\()?(\w+)", local)
    assert order == [
        "transformers_explicit_filename", "SAFE_WEIGHTS_NAME", "SAFE_WEIGHTS_INDEX_NAME", "WEIGHTS_NAME",
        "WEIGHTS_INDEX_NAME",
    ]  # fmt: skip


def test_the_modules_of_sentence_transformers() -> None:
    sentence_transformers = pytest.importorskip("sentence_transformers")
    from sentence_transformers.base.modules.module import Module

    found = {
        name: kind
        for module in modules_of(sentence_transformers, ".modules.")
        for name, kind in vars(module).items()
        if inspect.isclass(kind) and issubclass(kind, Module) and kind.__module__ == module.__name__
    }
    for name, (files, has_weights) in CLASSES.items():
        source = inspect.getsource(found[name])
        assert ("load_torch_weights(" in source) == has_weights, name
        assert found[name].config_file_name in files or name == "StaticEmbedding", name
    assert set(TRANSFORMERS) | set(ROUTERS) <= set(found)
