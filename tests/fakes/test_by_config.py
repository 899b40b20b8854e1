"""A fake reads what a config decides, without torch, from a config, a folder or a lock."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from modelenv.fakes import fake_of_facts, fake_pipeline
from modelenv.locks.facts import facts_of

from .media.inputs import noise, picture

LABELS = {"id2label": {"0": "cat", "1": "dog"}}


def boxes(config: dict[str, Any] | None, threshold: float = 0) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = fake_pipeline("object-detection", config=config)(picture(), threshold=threshold)
    return found


@pytest.mark.parametrize(
    ("config", "number"),
    [
        ({"model_type": "yolos", "num_detection_tokens": 7}, 7),
        ({"model_type": "yolos"}, 100),
        ({"model_type": "detr", "num_queries": 9}, 9),
        ({"model_type": "detr"}, 100),
        ({"model_type": "rt_detr"}, 300),
        ({"model_type": "conditional_detr", "num_queries": 6}, 12),
        ({"model_type": "conditional_detr"}, 100),
        (None, 100),
    ],
)
def test_a_threshold_of_0_returns_all_boxes_of_the_model(config: dict[str, Any] | None, number: int) -> None:
    config = config and {**config, **LABELS}
    found = boxes(config)
    assert len(found) == len(boxes(config, -1)) == number
    assert all(0 < one["score"] < 1 for one in found)
    sure = boxes(config, 0.5)
    assert 0 < len(sure) <= min(5, number)
    assert [one for one in found if one["score"] > 0.5] == sure  # the same objects, regardless of the threshold
    assert boxes(config, 0.1) == sure


def test_a_model_with_one_box_finds_one_object() -> None:
    config = {"model_type": "yolos", "num_detection_tokens": 1, **LABELS}
    for seed in range(10):
        assert len(fake_pipeline("object-detection", config=config)(picture(seed=seed))) <= 1


def test_a_scripted_object_is_the_only_one_at_any_threshold() -> None:
    fake = fake_pipeline("object-detection")
    box = {"xmin": 1, "ymin": 2, "xmax": 30, "ymax": 40}
    fake.when(picture()).returns([{"score": 0.9, "label": "cat", "box": box}])
    assert len(fake(picture(), threshold=0)) == 1


def test_open_detectors_have_boxes_for_each_label() -> None:
    config = {"model_type": "owlvit", "vision_config": {"image_size": 64, "patch_size": 16}}
    search = fake_pipeline("zero-shot-object-detection", config=config)
    found = search(picture(), candidate_labels=["a", "b", "a"], threshold=0)
    assert [sum(one["label"] == label for one in found) for label in "ab"] == [32, 16]
    assert len(search(picture(), candidate_labels=["a"])) <= 5
    dino = fake_pipeline("zero-shot-object-detection", config={"model_type": "grounding-dino", "num_queries": 8})
    assert len(dino(picture(), candidate_labels=["a", "b"], threshold=0)) == 16


@pytest.mark.parametrize(
    ("config", "rate"),
    [
        ({"model_type": "musicgen", "audio_encoder": {"sampling_rate": 24_000}}, 24_000),
        ({"model_type": "csm", "codec_config": {"sampling_rate": 12_000}}, 12_000),
        ({"model_type": "vits", "sampling_rate": 22_050, "sample_rate": 8_000}, 22_050),
        ({"model_type": "speecht5", "sampling_rate": 8_000}, 16_000),
        ({"model_type": "musicgen", "audio_encoder": None}, 32_000),
        ({"model_type": "unheard-of"}, 16_000),
        (None, 24_000),
    ],
)
def test_a_sound_has_the_sampling_rate_of_the_config(config: dict[str, Any] | None, rate: int) -> None:
    speak = fake_pipeline("text-to-audio", config=config)
    assert speak("hello")["sampling_rate"] == speak.sampling_rate == rate


def test_a_sound_has_the_channels_of_the_decoder() -> None:
    config = {"model_type": "musicgen", "audio_encoder": {"sampling_rate": 8_000}, "decoder": {"audio_channels": 2}}
    assert fake_pipeline("text-to-audio", config=config)("hello")["audio"].shape[0] == 2


def test_the_sampling_rate_of_a_generation_config_takes_precedence(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "bark", "codec_config": {"sampling_rate": 8000}}')
    (tmp_path / "generation_config.json").write_text('{"sample_rate": 48000}')
    assert fake_pipeline("text-to-audio", model=tmp_path).sampling_rate == 48_000


@pytest.mark.parametrize("name", ["preprocessor_config.json", "processor_config.json"])
def test_a_processor_is_read_from_either_file(tmp_path: Path, name: str) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "wav2vec2", "conv_stride": [5, 4]}')
    settings: dict[str, Any] = {"sampling_rate": 8_000}
    (tmp_path / name).write_text(json.dumps(settings if name.startswith("pre") else {"feature_extractor": settings}))
    listen = fake_pipeline("automatic-speech-recognition", model=tmp_path)
    [*_, last] = listen(noise(16_000), return_timestamps="char")["chunks"]
    assert last["timestamp"][1] == pytest.approx(2.0)


def test_whisper_returns_timestamps_if_its_generation_config_says_so(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "whisper", "max_source_positions": 50}')
    (tmp_path / "preprocessor_config.json").write_text('{"sampling_rate": 16000, "chunk_length": 1}')
    listen = fake_pipeline("automatic-speech-recognition", model=tmp_path)
    assert list(listen(noise(16_000))) == ["text"]
    (tmp_path / "generation_config.json").write_text('{"return_timestamps": true}')
    listen = fake_pipeline("automatic-speech-recognition", model=tmp_path)
    for answer in (listen(noise(16_000)), listen(noise(16_000), return_timestamps=False)):
        assert [chunk["timestamp"] for chunk in answer["chunks"]] == [(0.0, 1.0)]


@pytest.mark.parametrize(
    "config",
    [
        {"model_type": "canine"},
        {"model_type": "bert", "tokenizer_class": "BertJapaneseTokenizer"},
        {"model_type": "esm"},
    ],
)
def test_a_slow_tokenizer_returns_no_offsets_and_joins_no_words(config: dict[str, Any]) -> None:
    config = {**config, "id2label": {"0": "B-PER", "1": "I-PER"}}
    tag = fake_pipeline("ner", config=config)
    found = [*tag("Sarah Connor"), *tag("Sarah Connor", aggregation_strategy="simple")]
    assert {(entity["start"], entity["end"]) for entity in found} == {(None, None)}
    assert "aggregation_strategy='max'" in error_of(lambda: tag("Sarah", aggregation_strategy="max"))
    assert "aggregation_strategy='first'" in error_of(
        lambda: fake_pipeline("ner", config=config, aggregation_strategy="first")
    )
    assert "stride" in error_of(lambda: tag("Sarah", aggregation_strategy="simple", stride=2))
    assert "is_split_into_words" in error_of(lambda: tag(["Sarah"], is_split_into_words=True))


def error_of(call: Any) -> str:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the text is returned
        call()
    return str(caught.value)


def test_offsets_of_the_call_are_used_if_the_tokenizer_has_none() -> None:
    tag = fake_pipeline("ner", config={"model_type": "canine", "id2label": {"0": "B-PER", "1": "I-PER"}})
    found = tag("abc", offset_mapping=[(0, 0), (0, 1), (1, 2), (2, 3), (0, 0)])
    assert [(entity["start"], entity["end"]) for entity in found] == [(0, 1), (1, 2), (2, 3)]


def test_the_tokens_of_canine_are_characters() -> None:
    embed = fake_pipeline("feature-extraction", config={"model_type": "canine", "hidden_size": 4})
    [rows] = embed("héllo")
    assert (len(rows), len(rows[0])) == (7, 4)
    tag = fake_pipeline("ner", config={"model_type": "canine", "id2label": {"0": "B-PER", "1": "I-PER"}})
    assert [entity["word"] for entity in tag("a b")] == ["a", " ", "b"]
    assert "".join(entity["word"] for entity in tag("a b", aggregation_strategy="simple")) == "a b"


@pytest.mark.parametrize(
    ("config", "width"),
    [
        ({"model_type": "gpt2", "n_embd": 6}, 6),
        ({"model_type": "distilbert", "dim": 6}, 6),
        ({"model_type": "bart", "d_model": 6}, 6),
        ({"model_type": "xlm", "emb_dim": 6}, 6),
        ({"model_type": "opt", "hidden_size": 6, "word_embed_proj_dim": 4}, 4),
        ({"model_type": "reformer", "hidden_size": 6}, 12),
        ({"model_type": "gemma3", "text_config": {"hidden_size": 6}}, 6),
    ],
)
def test_the_width_of_features_is_found_under_each_name(config: dict[str, Any], width: int) -> None:
    for fake in (
        fake_pipeline("feature-extraction", config=config),
        fake_of_facts("feature-extraction", "acme/model", facts_of(config, {}), {}),
    ):
        assert len(fake("text")[0][0]) == width


def test_a_scripted_vector_is_at_each_position_of_a_map() -> None:
    embed = fake_pipeline("image-feature-extraction", config={"model_type": "resnet", "hidden_sizes": [8, 2]})
    embed.when(picture()).returns([1, 2])
    [[first, second]] = embed(picture())
    assert ({number for row in first for number in row}, {number for row in second for number in row}) == ({1}, {2})
    assert embed(picture(), pool=True) == [[[[1.0]], [[2.0]]]]


@pytest.mark.parametrize(
    ("config", "call", "error"),
    [
        ({"model_type": "clip"}, {}, "needs a text with the image"),
        ({"model_type": "segformer", "hidden_sizes": [8, 8]}, {"pool": True}, "has no pooled output"),
    ],
)
def test_features_that_a_model_does_not_have_are_an_error(
    config: dict[str, Any], call: dict[str, Any], error: str
) -> None:
    assert error in error_of(lambda: fake_pipeline("image-feature-extraction", config=config)(picture(), **call))


def test_an_eomt_model_does_not_support_instances() -> None:
    segment = fake_pipeline("image-segmentation", config={"model_type": "eomt", **LABELS})
    with pytest.raises(TypeError, match="does not accept mask_threshold"):
        segment(picture(), subtask="instance")
    assert segment(picture())


def test_a_perceiver_model_does_not_accept_tokens() -> None:
    with pytest.raises(TypeError, match="needs inputs other than tokens"):
        fake_pipeline("feature-extraction", config={"model_type": "perceiver"})("text")


def test_a_fake_of_a_lock_knows_the_config_and_the_tokenizer() -> None:
    config = {"model_type": "yolos", "num_detection_tokens": 7, "image_size": [64, 32], **LABELS}
    assert len(fake_of_facts("object-detection", "acme/model", facts_of(config, {}), {})(picture(), threshold=0)) == 7
    facts = facts_of({"model_type": "bert"}, {"tokenizer_class": "BertJapaneseTokenizer", "model_max_length": 8})
    tag = fake_of_facts("token-classification", "acme/model", facts, {})
    assert {entity["start"] for entity in tag("a b " * 9, ignore_labels=[])} == {None}
    assert len(tag("a b " * 9, ignore_labels=[])) == 6  # truncated to eight tokens, two of them special
