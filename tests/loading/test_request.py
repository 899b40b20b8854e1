"""Arguments of `load_model` are checked before any file is read, with fakes and with real models."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from modelenv import ConfigurationError, ModelSource, Settings, UnsafeModelError
from modelenv.loading.request import LoadRequest, resolve_request


def resolve(
    source: ModelSource = ModelSource.LOCAL_CACHE, *, allow_pickle: bool = False, **kwargs: Any
) -> LoadRequest:
    settings = Settings.load(environ={}, device="cpu")
    return resolve_request(settings, source, "acme/model", "sentiment", allow_pickle=allow_pickle, arguments=kwargs)


@pytest.mark.parametrize(("device", "expected"), [(None, "cpu"), (0, "0"), (-1, "-1"), ("cuda:1", "cuda:1")])
def test_a_device_is_accepted_as_transformers_accepts_it(device: object, expected: str) -> None:
    assert resolve(device=device).device == expected


@pytest.mark.parametrize("name", ["model", "task"])
def test_the_model_and_the_task_cannot_be_passed_twice(name: str) -> None:
    for source in ModelSource:
        with pytest.raises(ConfigurationError) as caught:
            resolve(source, **{name: "x"})
        assert str(caught.value) == (
            f"acme/model: {name}= cannot be passed as an argument of the pipeline\n"
            f"  expected: load_model(name, task)\n  found: {name}='x'"
        )


def test_pickled_weights_must_be_allowed_even_if_there_are_others() -> None:
    arguments = {"model_kwargs": {"use_safetensors": False}}
    with pytest.raises(UnsafeModelError) as caught:
        resolve(**arguments)
    assert str(caught.value) == (
        "acme/model: pickled weights were requested, and loading a pickle runs the code in it\n"
        "  found: use_safetensors=False in model_kwargs\n"
        "  what to do: remove it, or, if you trust the author, call load_model(..., allow_pickle=True)"
    )
    assert resolve(allow_pickle=True, **arguments).arguments["model_kwargs"] == {"use_safetensors": False}
    assert resolve(model_kwargs={"use_safetensors": True}).arguments["model_kwargs"]


PARTS = ("tokenizer", "config", "feature_extractor", "image_processor", "processor", "video_processor",
         "assistant_model", "assistant_tokenizer", "decision_config", "decoder", "vocoder")  # fmt: skip


@pytest.mark.parametrize("part", PARTS)
def test_no_part_is_downloaded_in_production(part: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as caught:
        resolve(ModelSource.PERSISTENT_VOLUME, **{part: "acme/other"})
    assert str(caught.value) == (
        f"acme/model: the {part} would come from the Hub, and nothing is downloaded in production\n"
        "  expected: a local folder, or no value, to use what comes with the model\n  found: 'acme/other'"
    )
    for value in (Path("acme/other"), ("acme/other", {}), ["acme/other", {}], (Path("acme/other"),)):
        with pytest.raises(ConfigurationError, match=f"the {part} would come from the Hub"):
            resolve(ModelSource.PERSISTENT_VOLUME, **{part: value})
    for value in (str(tmp_path), tmp_path, (str(tmp_path), {}), (str(tmp_path), {"use_fast": True}), None, object()):
        resolve(ModelSource.PERSISTENT_VOLUME, **{part: value})
    resolve(ModelSource.DOWNLOAD_ON_DEMAND, **{part: "acme/other"})


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        (
            {"model_kwargs": {"adapter_kwargs": {"_adapter_model_path": "acme/lora"}}},
            "_adapter_model_path in adapter_",
        ),
        ({"model_kwargs": {"config": "acme/other"}}, "config in model_kwargs"),
        (
            {"model_kwargs": {"quantization_config": {"tokenizer": "acme/other"}}},
            "tokenizer in quantization_config in",
        ),
        ({"model_kwargs": {"attn_implementation": "acme/kernel"}}, "attn_implementation in model_kwargs"),
        ({"model_kwargs": {"attn_implementation": "acme/kernel@v1:layer"}}, "attn_implementation in model_kwargs"),
        ({"model_kwargs": {"use_kernels": True}}, "use_kernels in model_kwargs"),
        ({"model_kwargs": {"kernel_config": object()}}, "kernel_config in model_kwargs"),
        ({"generate_kwargs": {"assistant_model": "acme/other"}}, "assistant_model in generate_kwargs"),
        ({"tokenizer": ("{folder}", {"config": "acme/other"})}, "config in tokenizer"),
    ],
)
def test_no_nested_argument_is_downloaded_in_production(arguments: dict[str, Any], what: str, tmp_path: Path) -> None:
    if "tokenizer" in arguments:
        arguments = {"tokenizer": (str(tmp_path), arguments["tokenizer"][1])}
    with pytest.raises(ConfigurationError) as caught:
        resolve(ModelSource.PERSISTENT_VOLUME, **arguments)
    assert caught.value.what.startswith(f"the {what}")
    assert caught.value.what.endswith(" would come from the Hub, and nothing is downloaded in production")
    resolve(ModelSource.LOCAL_CACHE, **arguments)


def test_arguments_that_do_not_refer_to_the_hub_are_accepted_in_production(tmp_path: Path) -> None:
    arguments = {
        "top_k": 3, "aggregation_strategy": "simple", "batch_size": 8, "function_to_apply": "softmax",
        "model_kwargs": {
            "attn_implementation": "sdpa", "dtype": "float32", "use_kernels": False, "id2label": {0: "a/b"},
            "adapter_kwargs": {"_adapter_model_path": str(tmp_path), "subfolder": "lora"},
        },
        "generate_kwargs": {"max_new_tokens": 3, "stop_strings": ["a/b"]},
        "candidate_labels": ["politics/economy"], "chat_template": "{{ a/b }}", "stop_sequence": "a/b",
    }  # fmt: skip
    assert resolve(ModelSource.PERSISTENT_VOLUME, **arguments).arguments["model_kwargs"]
