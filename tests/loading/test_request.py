"""What a call of `load_model` may not ask for, told before anything is looked for, with fakes as with real models."""

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
def test_a_device_is_what_transformers_takes_for_one(device: object, expected: str) -> None:
    assert resolve(device=device).device == expected


@pytest.mark.parametrize("name", ["model", "task"])
def test_what_the_call_names_already_is_refused(name: str) -> None:
    for source in ModelSource:
        with pytest.raises(ConfigurationError) as caught:
            resolve(source, **{name: "x"})
        assert str(caught.value) == (
            f"acme/model: {name}= is no further argument of the pipeline\n"
            f"  expected: load_model(name, task), each said once\n  found: {name}='x'"
        )


def test_pickled_weights_need_leave_also_where_there_are_others() -> None:
    arguments = {"model_kwargs": {"use_safetensors": False}}
    with pytest.raises(UnsafeModelError) as caught:
        resolve(**arguments)
    assert str(caught.value) == (
        "acme/model: pickled weights were asked for, and loading a pickle runs the code in it\n"
        "  found: use_safetensors=False in model_kwargs\n"
        "  what to do: leave it out, or, if you trust the author, load_model(..., allow_pickle=True)"
    )
    assert resolve(allow_pickle=True, **arguments).arguments["model_kwargs"] == {"use_safetensors": False}
    assert resolve(model_kwargs={"use_safetensors": True}).arguments["model_kwargs"]


@pytest.mark.parametrize("part", ["tokenizer", "config", "feature_extractor", "image_processor", "processor"])
def test_production_asks_no_hub_for_a_part(part: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as caught:
        resolve(ModelSource.PERSISTENT_VOLUME, **{part: "acme/other"})
    assert str(caught.value) == (
        f"acme/model: the {part} would come from the Hub, which is not asked in production\n"
        "  expected: a folder, or none: it comes with the model\n  found: 'acme/other'"
    )
    resolve(ModelSource.PERSISTENT_VOLUME, **{part: str(tmp_path)})
    resolve(ModelSource.DOWNLOAD_ON_DEMAND, **{part: "acme/other"})
