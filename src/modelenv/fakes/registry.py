"""Which class fakes which task. A family's module is imported when one of its tasks is faked, not before."""

from __future__ import annotations

from importlib import import_module
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from modelenv.fakes.base import FakePipeline

FAMILIES: Mapping[str, str] = MappingProxyType(
    {
        "any-to-any": "any_to_any:FakeAnyToAnyPipeline",
        "audio-classification": "audio_classification:FakeAudioClassificationPipeline",
        "automatic-speech-recognition": "speech_recognition:FakeAutomaticSpeechRecognitionPipeline",
        "decision": "decision:FakeDecisionPipeline",
        "depth-estimation": "depth_estimation:FakeDepthEstimationPipeline",
        "document-question-answering": "document_question_answering:FakeDocumentQuestionAnsweringPipeline",
        "feature-extraction": "feature_extraction:FakeFeatureExtractionPipeline",
        "fill-mask": "fill_mask:FakeFillMaskPipeline",
        "image-classification": "image_classification:FakeImageClassificationPipeline",
        "image-feature-extraction": "image_features:FakeImageFeatureExtractionPipeline",
        "image-segmentation": "image_segmentation:FakeImageSegmentationPipeline",
        "image-text-to-text": "image_text_to_text:FakeImageTextToTextPipeline",
        "keypoint-matching": "keypoint_matching:FakeKeypointMatchingPipeline",
        "mask-generation": "mask_generation:FakeMaskGenerationPipeline",
        "object-detection": "object_detection:FakeObjectDetectionPipeline",
        "table-question-answering": "table_question_answering:FakeTableQuestionAnsweringPipeline",
        "text-classification": "text_classification:FakeTextClassificationPipeline",
        "text-generation": "text_generation:FakeTextGenerationPipeline",
        "text-to-audio": "text_to_audio:FakeTextToAudioPipeline",
        "token-classification": "token_classification:FakeTokenClassificationPipeline",
        "video-classification": "video_classification:FakeVideoClassificationPipeline",
        "zero-shot-audio-classification": "zero_shot_audio:FakeZeroShotAudioClassificationPipeline",
        "zero-shot-classification": "zero_shot_classification:FakeZeroShotClassificationPipeline",
        "zero-shot-image-classification": "zero_shot_image:FakeZeroShotImageClassificationPipeline",
        "zero-shot-object-detection": "zero_shot_object_detection:FakeZeroShotObjectDetectionPipeline",
    }
)
"""A task of `modelenv.tasks.TASKS`, and `module:class` of its fake in this package."""


def find_family(task: str) -> type[FakePipeline] | None:
    """Return the class that fakes `task`, or None where the task has no fake."""
    place = FAMILIES.get(task)
    if place is None:
        return None
    module, _, name = place.partition(":")
    family: type[FakePipeline] = getattr(import_module(f"modelenv.fakes.{module}"), name)
    return family
