"""The parts of a pipeline other than its model. In a fake, a part is None if it is None in all real pipelines."""

from __future__ import annotations

NEEDS_REAL_MODEL = "mark the test with @pytest.mark.integration and run pytest with --real-models"
"""The hint for code under test that needs something that fakes do not have."""

_NONE = {
    "tokenizer": """
        audio-classification depth-estimation image-classification image-feature-extraction image-segmentation
        keypoint-matching mask-generation object-detection video-classification
    """,
    "feature_extractor": """
        decision depth-estimation feature-extraction fill-mask image-classification image-feature-extraction
        image-segmentation keypoint-matching mask-generation object-detection table-question-answering
        text-classification text-generation text-to-audio token-classification video-classification
        zero-shot-classification zero-shot-image-classification zero-shot-object-detection
    """,
    "image_processor": """
        audio-classification automatic-speech-recognition decision feature-extraction fill-mask
        table-question-answering text-classification text-generation text-to-audio token-classification
        zero-shot-audio-classification zero-shot-classification
    """,
}
_NONE_OF = {part: frozenset(tasks.split()) for part, tasks in _NONE.items()}
_WITH_PROCESSOR = frozenset({"any-to-any", "image-text-to-text", "text-to-audio"})  # the last only for some models


def is_none(part: str, task: str) -> bool:
    """Whether this part of a real pipeline is None for every model of the task.

    Args:
        part: The name of the attribute.
        task: The task, with aliases resolved.
    """
    if part == "processor":
        return task not in _WITH_PROCESSOR
    return task in _NONE_OF.get(part, ())
