"""Pipelines are built from real files: devices, arguments, and missing files other than weights."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from modelenv import ConfigurationError, ModelIntegrityError, Settings, SmartModelManager, force_environment
from modelenv.errors import UnsafeModelError
from modelenv.hub import EmbeddedHub
from modelenv.testing import tiny_model

pytestmark = pytest.mark.integration


@pytest.fixture
def volume(classifier: Path, tmp_path: Path) -> Path:
    """A volume that was filled by hand, with the classifier as `acme/sentiment`."""
    shutil.copytree(classifier, tmp_path / "volume" / "acme" / "sentiment")
    return tmp_path / "volume"


def manager_of(volume: Path, source: str = "persistent_volume", **options: Any) -> SmartModelManager:
    return SmartModelManager(
        source, settings=Settings.load(volume_dir=volume, cache_dir=volume, timeout=200), **options
    )


def load(volume: Path, **kwargs: Any) -> Any:
    return manager_of(volume).load_model("acme/sentiment", "sentiment", **kwargs)


@pytest.mark.parametrize("device", [-1, None, "cpu", "-1"])
def test_the_cpu_has_the_same_names_as_in_transformers(volume: Path, device: object) -> None:
    assert load(volume, device=device).device.type in ("cpu", "cuda", "mps")
    assert load(volume, device=-1).device.type == "cpu"


@pytest.mark.parametrize("device", ["abacus", "cuda:99", "99", 99])
def test_a_device_that_does_not_exist_is_a_configuration_error(volume: Path, device: object) -> None:
    manager = manager_of(volume, "local_cache", fallback="mock")
    with pytest.raises(ConfigurationError) as caught:
        manager.load_model("acme/sentiment", "sentiment", device=device)
    what, expected, found = str(caught.value).splitlines()
    assert what == f"acme/sentiment: this machine has no device {str(device)!r}"
    assert expected.startswith(
        "  expected: auto, a torch device such as cpu, cuda, cuda:1 or mps, or the number of an accelerator"
    )
    assert "Error: " in found


def test_a_gpu_that_was_used_before_the_fork_is_an_error(volume: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    monkeypatch.setattr(torch.cuda, "_is_in_bad_fork", lambda: True)  # as if the parent had initialised CUDA
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: False)
    with pytest.raises(ConfigurationError) as caught:
        load(volume, device="cuda")
    assert str(caught.value) == (
        "acme/sentiment: torch cannot use the GPU in this process, because it was forked from one that used it\n"
        "  found: RuntimeError: Cannot re-initialize CUDA in forked subprocess. To use CUDA with multiprocessing, "
        "you must use the 'spawn' start method\n"
        "  what to do: start the process with the 'spawn' method, load models only after the fork, or use "
        "device='cpu'"
    )


def test_an_unknown_argument_is_a_configuration_error(tmp_path: Path) -> None:
    tiny_model("fill-mask", tmp_path / "acme" / "mask")
    with pytest.raises(ConfigurationError, match="'fill-mask' does not accept one of the arguments\n") as caught:
        manager_of(tmp_path).load_model("acme/mask", "fill-mask", bogus=1)
    assert "unexpected keyword argument 'bogus'" in str(caught.value)


def test_a_model_without_a_vocabulary_is_not_loaded(volume: Path) -> None:
    folder = volume / "acme" / "sentiment"
    elsewhere = volume / "tokenizer"
    elsewhere.mkdir()
    for path in [path for path in folder.iterdir() if "token" in path.name or "vocab" in path.name]:
        path.rename(elsewhere / path.name)
    with pytest.raises(ModelIntegrityError) as caught:
        load(volume)
    assert str(caught.value) == (
        "acme/sentiment: its tokenizer files are missing\n"
        f"  expected: tokenizer.json, or a vocabulary such as vocab.txt\n  found: none in {folder}\n"
        "  what to do: add the missing files; or declare the model, and run `modelenv lock` and `modelenv pull`"
    )
    shutil.copy(folder / "config.json", elsewhere)
    assert load(volume, tokenizer=str(elsewhere))("Bitcoin price surge")[0][0]["label"] == "POSITIVE"


def test_a_dictionary_of_arguments_is_not_changed(volume: Path) -> None:
    manager, arguments = manager_of(volume), {"attn_implementation": "eager"}
    first = manager.load_model("acme/sentiment", "sentiment", model_kwargs=arguments)
    assert arguments == {"attn_implementation": "eager"}
    assert manager.load_model("acme/sentiment", "sentiment", model_kwargs=arguments) is first


@pytest.mark.parametrize("source", ["persistent_volume", "local_cache"])
def test_a_plain_folder_contains_one_organisations_model_in_a_process(
    classifier: Path, tmp_path: Path, source: str, caplog: pytest.LogCaptureFixture
) -> None:
    shutil.copytree(classifier, tmp_path / "models" / "sentiment")
    manager_of(tmp_path / "models", source).load_model("acme/sentiment", "sentiment", revision="v1")
    assert "acme/sentiment@v1: " in caplog.text
    assert "does not record its revision; it is used as it is" in caplog.text
    with pytest.raises(ModelIntegrityError, match="the folder with this name contains another organisation's model"):
        manager_of(tmp_path / "models", source).load_model("zeta/sentiment", "sentiment")


def test_in_production_parts_that_transformers_would_download_by_itself_are_refused(tmp_path: Path) -> None:
    """The pipeline of a SpeechT5 without a vocoder downloads one from the Hub, though no argument requests it."""
    from transformers import SpeechT5Config, SpeechT5ForTextToSpeech, VitsTokenizer

    voice = tmp_path / "volume/acme/voice"
    tiny_model("text-to-audio", tmp_path / "vits")
    sizes = {
        "hidden_size": 16, "encoder_layers": 1, "decoder_layers": 1, "encoder_attention_heads": 2,
        "decoder_attention_heads": 2, "encoder_ffn_dim": 16, "decoder_ffn_dim": 16, "speech_decoder_prenet_units": 8,
        "speech_decoder_postnet_units": 8, "speech_decoder_postnet_layers": 1, "speaker_embedding_dim": 4,
    }  # fmt: skip
    SpeechT5ForTextToSpeech(SpeechT5Config(vocab_size=50, **sizes)).save_pretrained(voice)
    tokenizer = VitsTokenizer.from_pretrained(tmp_path / "vits")
    with EmbeddedHub() as hub, force_environment(variables={"HF_ENDPOINT": hub.endpoint, "HF_HUB_OFFLINE": None}):
        with pytest.raises(UnsafeModelError) as caught:
            manager_of(tmp_path / "volume").load_model("acme/voice", "text-to-audio", tokenizer=tokenizer)
        hub.assert_no_requests()
    assert str(caught.value).splitlines() == [
        "acme/voice: the load would read something that is not among the model's files",
        "  expected: everything that is loaded is in the model's folder, and locked",
        f"  found: config.json in {voice} names a model that needs a vocoder, which would be fetched from the Hub",
        "  what to do: load a vocoder from a local folder, and pass it: load_model(..., vocoder=...)",
    ]


@pytest.mark.parametrize("value", [("acme/other", {}), "acme/other"])
def test_production_takes_a_tokenizer_from_a_folder_and_from_no_hub(volume: Path, value: Any) -> None:
    with EmbeddedHub() as hub, force_environment(variables={"HF_ENDPOINT": hub.endpoint}):
        with pytest.raises(ConfigurationError, match="the tokenizer would come from the Hub"):
            load(volume, tokenizer=value)
        hub.assert_no_requests()
    folder = str(volume / "acme" / "sentiment")
    assert load(volume, tokenizer=(folder, {}))("Bitcoin price surge")[0][0]["label"] == "POSITIVE"
