"""The image and audio fakes from a user's view: invariants, scripts, and no heavy imports."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from modelenv.errors import ConfigurationError
from modelenv.fakes import fake_pipeline
from modelenv.fakes.tensors import FakeTensor

from .inputs import noise, picture, picture_file, wav, wav_file

SEEDS = range(40)
BOX = {"xmin": 1, "ymin": 2, "xmax": 30, "ymax": 40}


def inside(box: dict[str, int], image: Any) -> bool:
    return 0 <= box["xmin"] < box["xmax"] <= image.width and 0 <= box["ymin"] < box["ymax"] <= image.height


@pytest.mark.parametrize(("width", "height"), [(70, 50), (1, 1), (640, 480)])
def test_boxes_are_inside_the_image(width: int, height: int) -> None:
    detect, search = fake_pipeline("object-detection"), fake_pipeline("zero-shot-object-detection")
    for seed in SEEDS:
        image = picture(width, height, seed)
        found = detect(image) + search(image, candidate_labels=["a", "b"])
        assert found
        assert all(inside(one["box"], image) for one in found)
        assert all(0.5 < one["score"] < 1 for one in found)


def test_objects_are_not_sorted_by_score() -> None:
    scores = [[one["score"] for one in fake_pipeline("object-detection")(picture(seed=seed))] for seed in SEEDS]
    assert any(found != sorted(found, reverse=True) for found in scores)


def test_semantic_masks_cover_the_image_once() -> None:
    segment = fake_pipeline("image-segmentation", config={"model_type": "segformer", "num_labels": 9})
    for seed in SEEDS:
        segments = segment(picture(seed=seed))
        histograms = [one["mask"].histogram() for one in segments]
        assert sum(histogram[255] for histogram in histograms) == 70 * 50
        assert [one["score"] for one in segments] == [None] * len(segments)
        assert [one["label"] for one in segments] == sorted(one["label"] for one in segments)


@pytest.mark.parametrize(
    ("task", "call"),
    [
        ("image-classification", {}),
        ("object-detection", {}),
        ("zero-shot-image-classification", {"candidate_labels": ["a", "b"]}),
        ("image-feature-extraction", {}),
    ],
)
@pytest.mark.slow
def test_different_images_have_different_answers_and_equal_images_equal_ones(task: str, call: dict[str, Any]) -> None:
    fake = fake_pipeline(task)
    answers = [repr(fake(picture(seed=seed), **call)) for seed in SEEDS]
    assert len(set(answers)) == len(answers)
    assert fake(picture_file(), **call) == fake(picture(), **call) == fake_pipeline(task)(picture(), **call)
    assert fake_pipeline(task, model="other")(picture(), **call) != fake(picture(), **call)


def test_a_longer_sound_has_more_words_with_increasing_timestamps() -> None:
    hear = fake_pipeline("automatic-speech-recognition")
    short, long = (hear(noise(16_000 * seconds), return_timestamps="word") for seconds in (2, 20))
    assert len(short["text"].split()) < len(long["text"].split())
    times = [time for chunk in long["chunks"] for time in chunk["timestamp"]]
    assert times == sorted(times)
    assert times[0] >= 0
    assert times[-1] <= 20
    assert " ".join(chunk["text"] for chunk in long["chunks"]) == long["text"]


@pytest.mark.parametrize("given", [wav, wav_file])
def test_the_length_of_a_wav_file_is_read_from_its_header(given: Any) -> None:
    hear = fake_pipeline("automatic-speech-recognition", model="openai/whisper-tiny")
    assert hear(given(), return_timestamps=True)["chunks"][-1]["timestamp"] == (0.0, 1.0)


def test_a_model_with_whisper_in_its_name_is_whisper() -> None:
    hear = fake_pipeline("automatic-speech-recognition", model="openai/whisper-tiny")
    answer = hear(noise(), return_timestamps=True, return_language=True)
    assert list(answer["chunks"][0]) == ["language", "timestamp", "text"]
    word = hear(noise(), return_timestamps="word", return_language=True)["chunks"][0]
    assert list(word) == ["text", "timestamp", "language"]
    assert word["text"].startswith(" ")
    assert [type(time) for time in word["timestamp"]] == [float, float]
    with pytest.raises(ValueError, match="Whisper has no timestamps of characters"):
        hear(noise(), return_timestamps="char")


def test_a_url_is_not_downloaded() -> None:
    url = "https://example.invalid/cat.png"
    assert fake_pipeline("image-classification")(url)[0]["score"] > 0
    assert all(inside(one["box"], picture(640, 480)) for one in fake_pipeline("object-detection")(url))
    assert fake_pipeline("automatic-speech-recognition")("https://example.invalid/a.wav")["text"]
    assert fake_pipeline("video-classification")("https://example.invalid/a.mp4")


def test_scripted_labels() -> None:
    fake = fake_pipeline("image-classification")
    fake.when("cat.png").returns("cat", 0.9)
    fake.when(picture(seed=1)).returns("dog", 0.8)
    fake.when(lambda image: getattr(image, "width", 0) == 9).returns("bird", 0.7)
    assert fake("https://example.invalid/cat.png")[0] == {"label": "cat", "score": 0.9}
    assert fake(picture(seed=1), top_k=1) == [{"label": "dog", "score": 0.8}]
    assert fake(picture(9, 7))[0]["label"] == "bird"
    labels = fake_pipeline("zero-shot-audio-classification")
    labels.when(noise()).returns("rain", 0.75)
    assert labels(noise(), candidate_labels=["sun", "rain"])[0] == {"score": 0.75, "label": "rain"}
    with pytest.raises(ConfigurationError, match="the scripted label 'rain' is not a label of this call"):
        labels(noise(), candidate_labels=["sun"])


def test_scripted_objects_segments_and_points() -> None:
    detect = fake_pipeline("object-detection")
    detect.when("street").returns(
        [{"score": 0.9, "label": "car", "box": BOX}, {"score": 0.2, "label": "cat", "box": BOX}]
    )
    assert detect("https://example.invalid/street.png") == [{"score": 0.9, "label": "car", "box": BOX}]
    detect.when("empty").returns([])
    assert detect("https://example.invalid/empty.png") == []
    segment = fake_pipeline("image-segmentation")
    mask = picture(mode="L")
    segment.when("street").returns([{"label": "car", "mask": mask, "score": 0.99}])
    assert segment("https://example.invalid/street.png") == [{"score": 0.99, "label": "car", "mask": mask}]
    match = {"keypoint_image_0": {"x": 1, "y": 2}, "keypoint_image_1": {"x": 3, "y": 4}, "score": 0.5}
    points = fake_pipeline("keypoint-matching")
    points.when("left").returns([match])
    assert points(["https://example.invalid/left.png", "https://example.invalid/right.png"]) == [match]


def test_scripted_texts_and_sounds() -> None:
    hear = fake_pipeline("automatic-speech-recognition")
    hear.when(noise()).returns("hello world")
    assert hear(noise()) == {"text": "hello world"}
    words = hear(noise(), return_timestamps="word")["chunks"]
    assert [word["text"] for word in words] == ["hello", "world"]
    say = fake_pipeline("text-to-audio")
    say.when("hello").returns([0.0, 0.5], sampling_rate=8000)
    assert say("hello there")["audio"].tolist() == [0.0, 0.5]
    assert say("hello there")["sampling_rate"] == 8000
    ask = fake_pipeline("document-question-answering")
    ask.when("number").returns("us-001", 0.9, start=2)
    assert ask(picture(), "what number?") == [{"score": 0.9, "answer": "us-001", "start": 2, "end": 2}]
    describe = fake_pipeline("image-text-to-text")
    describe.when("what").returns(" a cat")
    assert describe(picture(), "what is it") == [{"input_text": "what is it", "generated_text": "what is it a cat"}]


def test_scripted_errors_and_assertions() -> None:
    fake = fake_pipeline("depth-estimation")
    fake.when("broken").raises(OSError("broken"))
    with pytest.raises(OSError, match="broken"):
        fake("https://example.invalid/broken.png")
    fake.assert_called_once_with("https://example.invalid/broken.png")


@pytest.mark.parametrize(
    ("task", "script", "text"),
    [
        ("image-classification", lambda when: when.returns("unicorn", 0.9), "the model has no label 'unicorn'"),
        ("object-detection", lambda when: when.returns([{"score": 2}]), "the model cannot return such an object"),
        (
            "object-detection",
            lambda when: when.returns([{"score": 1, "label": "unicorn", "box": BOX}]),
            "the model has no label 'unicorn'",
        ),
        ("image-segmentation", lambda when: when.returns([{"score": 1}]), "the model cannot return such a segment"),
        ("keypoint-matching", lambda when: when.returns([{}]), "not a valid match of two keypoints"),
        ("depth-estimation", lambda when: when.returns([1.0]), "a depth must have rows and columns"),
        ("image-feature-extraction", lambda when: when.returns([1.0]), "the model cannot return this vector"),
        ("mask-generation", lambda when: when.returns([[[True]]], [0.1, 0.2]), "the model cannot return these masks"),
        ("text-to-audio", lambda when: when.returns([]), "a sound must have samples"),
        ("document-question-answering", lambda when: when.returns("a", 2), "the score of an answer must be"),
        ("zero-shot-image-classification", lambda when: when.returns("a", 2), "the score of 'a' cannot come"),
    ],
)
def test_an_answer_that_no_model_can_return_is_an_error(task: str, script: Any, text: str) -> None:
    with pytest.raises(ConfigurationError, match=text):
        script(fake_pipeline(task).when("a"))


def test_without_torch_a_fake_returns_a_fake_tensor_and_imports_nothing_heavy() -> None:
    code = (
        "import sys\n"
        "from PIL import Image\n"
        "from modelenv.fakes import fake_pipeline\n"
        "depth = fake_pipeline('depth-estimation')(Image.new('RGB', (7, 5)))\n"
        "tensor = depth['predicted_depth']\n"
        "print(tensor.shape, tensor.dtype, type(tensor).__name__, tensor.numpy().sum() > 0)\n"
        "print(fake_pipeline('image-feature-extraction')(Image.new('RGB', (7, 5)), return_tensors=True).shape)\n"
        "print(fake_pipeline('any-to-any')(text='hello', max_new_tokens=2)[0]['input_text'])\n"
        "assert not {'torch', 'transformers', 'huggingface_hub'} & set(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.splitlines() == ["(5, 7) torch.float32 FakeTensor True", "(1, 197, 768)", "hello"]


def test_a_fake_tensor() -> None:
    numpy = pytest.importorskip("numpy")
    tensor = FakeTensor(numpy.arange(6, dtype="float32").reshape(1, 2, 3))
    assert (tensor.ndim, tensor.dim(), tensor.size(), tensor.size(2), tensor.numel()) == (3, 3, (1, 2, 3), 3, 6)
    assert tensor.squeeze().shape == tensor.squeeze(0).shape == (2, 3)
    assert tensor.squeeze(1).shape == (1, 2, 3)
    assert tensor.unsqueeze(0).shape == (1, 1, 2, 3)
    assert tensor.unsqueeze(-1).shape == (1, 2, 3, 1)
    assert tensor.detach().cpu()[0][1].tolist() == [3.0, 4.0, 5.0]
    assert [row.shape for row in tensor[0]] == [(3,), (3,)]
    assert float(tensor[0][0][1]) == int(tensor[0][0][1]) == tensor[0][0][1].item() == 1
    assert bool((tensor > 3)[0][1][1])
    assert not bool((tensor < 3)[0][1][1])
    assert len(tensor) == 1
    assert numpy.asarray(tensor).sum() == numpy.asarray(tensor, dtype="float64").sum() == 15
    assert repr(FakeTensor(numpy.array([1.5]))) == "FakeTensor([1.5], dtype=torch.float64)"
    with pytest.raises(AttributeError, match=r"this stand-in for a tensor has no 'softmax'\. If torch is "):
        tensor.softmax  # noqa: B018 - it raises


def test_a_multimodal_model_returns_a_tone_or_an_image() -> None:
    omni = fake_pipeline("any-to-any", config={"model_type": "qwen2_5_omni"})
    [answer] = omni(text="hello", generation_mode="audio")
    assert list(answer) == ["input_text", "generated_audio"]
    assert str(answer["generated_audio"].dtype) == "float32"
    [drawn] = fake_pipeline("any-to-any", config={"model_type": "janus"})(text="hello", generation_mode="image")
    assert drawn["generated_image"].size == (384, 384)
    with pytest.raises(ValueError, match="generation_mode='image' is not supported"):
        omni(text="hello", generation_mode="image")


def test_the_weights_are_never_read(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"id2label": {"0": "a", "1": "b"}, "model_type": "vit"}')
    (tmp_path / "model.safetensors").write_bytes(b"not weights")
    assert {one["label"] for one in fake_pipeline("image-classification", model=tmp_path)(picture())} == {"a", "b"}
