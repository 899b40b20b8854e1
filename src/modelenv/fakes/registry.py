"""The class of each task's fake. A module is imported only when one of its tasks is faked."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from modelenv.fakes.base import FakePipeline

FAMILIES: Mapping[str, str] = MappingProxyType(
    {
        "any-to-any": "multimodal.any_to_any:FakeAnyToAnyPipeline",
        "audio-classification": "audio.audio_classification:FakeAudioClassificationPipeline",
        "automatic-speech-recognition": "audio.speech_recognition:FakeAutomaticSpeechRecognitionPipeline",
        "decision": "text.decision:FakeDecisionPipeline",
        "depth-estimation": "vision.depth_estimation:FakeDepthEstimationPipeline",
        "document-question-answering": "multimodal.document_question_answering:FakeDocumentQuestionAnsweringPipeline",
        "feature-extraction": "text.feature_extraction:FakeFeatureExtractionPipeline",
        "fill-mask": "text.fill_mask:FakeFillMaskPipeline",
        "image-classification": "vision.image_classification:FakeImageClassificationPipeline",
        "image-feature-extraction": "vision.image_features:FakeImageFeatureExtractionPipeline",
        "image-segmentation": "vision.image_segmentation:FakeImageSegmentationPipeline",
        "image-text-to-text": "multimodal.image_text_to_text:FakeImageTextToTextPipeline",
        "keypoint-matching": "vision.keypoint_matching:FakeKeypointMatchingPipeline",
        "mask-generation": "vision.mask_generation:FakeMaskGenerationPipeline",
        "object-detection": "vision.object_detection:FakeObjectDetectionPipeline",
        "table-question-answering": "text.table_question_answering:FakeTableQuestionAnsweringPipeline",
        "text-classification": "text.text_classification:FakeTextClassificationPipeline",
        "text-generation": "text.text_generation:FakeTextGenerationPipeline",
        "text-to-audio": "audio.text_to_audio:FakeTextToAudioPipeline",
        "token-classification": "text.token_classification:FakeTokenClassificationPipeline",
        "video-classification": "vision.video_classification:FakeVideoClassificationPipeline",
        "zero-shot-audio-classification": "audio.zero_shot_audio:FakeZeroShotAudioClassificationPipeline",
        "zero-shot-classification": "text.zero_shot_classification:FakeZeroShotClassificationPipeline",
        "zero-shot-image-classification": "vision.zero_shot_image:FakeZeroShotImageClassificationPipeline",
        "zero-shot-object-detection": "vision.zero_shot_object_detection:FakeZeroShotObjectDetectionPipeline",
    }
)
"""For each task of `modelenv.tasks.TASKS`, `module:class` of its fake in this package."""


def find_family(task: str) -> type[FakePipeline] | None:
    """Return the class of the fake of `task`, or None if it has no fake."""
    place = FAMILIES.get(task)
    return None if place is None else _class_at(place)


@cache  # called for each fake
def _class_at(place: str) -> type[FakePipeline]:
    module, _, name = place.partition(":")
    family: type[FakePipeline] = getattr(import_module(f"modelenv.fakes.{module}"), name)
    return family
