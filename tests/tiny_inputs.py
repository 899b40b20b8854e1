"""One call for each task of the tiny real models, and a comparison of their results."""

from __future__ import annotations

from typing import Any

_CHAT = [{"role": "user", "content": [{"type": "text", "text": "what is the price"}]}]
_LABELS = {"candidate_labels": ["a dog", "a bank"]}
_TEXTS = {
    "feature-extraction": "bitcoin price surge",
    "fill-mask": "the [MASK] price",
    "text-classification": "bitcoin price surge",
    "text-to-audio": "the price",
    "token-classification": "sarah lives in london",
}
_MASKS = {"points_per_batch": 8, "pred_iou_thresh": -1, "stability_score_thresh": -1}


def answer(pipeline: Any, task: str) -> Any:
    """Call the pipeline. Return its result, or the type of the error that it raises."""
    import torch

    args, kwargs = call_of(task)
    torch.manual_seed(0)
    try:
        return [pipeline(*args, **kwargs)]
    except Exception as error:  # noqa: BLE001 - any error counts
        return type(error)


def call_of(task: str) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return the arguments of the call."""
    if task in _TEXTS:
        return (_TEXTS[task],), {}
    return _WITH_MORE[task]()


def _picture(seed: int = 0) -> Any:
    import numpy as np
    from PIL import Image

    return Image.fromarray(np.random.default_rng(seed).integers(0, 255, (50, 70, 3), dtype=np.uint8))


def _sound() -> Any:
    import numpy as np

    return np.random.default_rng(0).standard_normal(16_000).astype("float32")


def _document() -> tuple[tuple[Any, ...], dict[str, Any]]:
    boxes = [("price", [0, 0, 100, 100]), ("market", [100, 0, 200, 100])]
    return (), {"image": _picture(), "question": "what is it", "word_boxes": boxes}


def _table() -> tuple[tuple[Any, ...], dict[str, Any]]:
    return (), {"table": {"city": ["paris", "london"], "year": ["1", "2"]}, "query": "what city"}


def _decision() -> tuple[tuple[Any, ...], dict[str, Any]]:
    question = {"type": "noul", "instructions": "Is a refund requested?"}
    return ({"state": "I was charged twice.", "questions": {"refund": question}},), {}


def _prompt_with_image() -> tuple[tuple[Any, ...], dict[str, Any]]:
    content = [{"type": "image", "image": _picture()}, {"type": "text", "text": "the price"}]
    return (), {"text": [{"role": "user", "content": content}], "max_new_tokens": 5}


_WITH_MORE: dict[str, Any] = {
    "any-to-any": lambda: ((), {"text": _CHAT, "max_new_tokens": 5}),
    "audio-classification": lambda: ((_sound(),), {}),
    "automatic-speech-recognition": lambda: ((_sound(),), {}),
    "decision": _decision,
    "depth-estimation": lambda: ((_picture(),), {}),
    "document-question-answering": _document,
    "image-classification": lambda: ((_picture(),), {}),
    "image-feature-extraction": lambda: ((_picture(),), {}),
    "image-segmentation": lambda: ((_picture(),), {"threshold": 0.0}),
    "image-text-to-text": _prompt_with_image,
    "keypoint-matching": lambda: (([_picture(), _picture(1)],), {"threshold": 0.0}),
    "mask-generation": lambda: ((_picture(),), _MASKS),
    "object-detection": lambda: ((_picture(),), {"threshold": 0.0}),
    "table-question-answering": _table,
    "text-generation": lambda: (("what is the price",), {"max_new_tokens": 8}),
    "video-classification": lambda: (("missing.mp4",), {}),
    "zero-shot-audio-classification": lambda: ((_sound(),), _LABELS),
    "zero-shot-classification": lambda: (("bitcoin price",), _LABELS),
    "zero-shot-image-classification": lambda: ((_picture(),), _LABELS),
    "zero-shot-object-detection": lambda: ((_picture(),), {**_LABELS, "threshold": 0.0}),
}
