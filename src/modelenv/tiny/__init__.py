"""Tiny real models: a function for each task writes a complete model with random weights into a folder.

`modelenv.testing.tiny_model` calls them after seeding torch. The functions import torch and transformers, but this
module does not.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

BUILDERS: Mapping[str, str] = MappingProxyType(
    {
        "any-to-any": "modelenv.tiny.multimodal:build_any_to_any",
        "audio-classification": "modelenv.tiny.audio:build_audio_classification",
        "automatic-speech-recognition": "modelenv.tiny.audio:build_speech_recognition",
        "decision": "modelenv.tiny.text:build_decision",
        "depth-estimation": "modelenv.tiny.vision:build_depth_estimation",
        "document-question-answering": "modelenv.tiny.multimodal:build_document_question_answering",
        "feature-extraction": "modelenv.tiny.text:build_feature_extraction",
        "fill-mask": "modelenv.tiny.text:build_fill_mask",
        "image-classification": "modelenv.tiny.vision:build_image_classification",
        "image-feature-extraction": "modelenv.tiny.vision:build_image_feature_extraction",
        "image-segmentation": "modelenv.tiny.vision:build_image_segmentation",
        "image-text-to-text": "modelenv.tiny.multimodal:build_image_text_to_text",
        "keypoint-matching": "modelenv.tiny.vision:build_keypoint_matching",
        "mask-generation": "modelenv.tiny.vision:build_mask_generation",
        "object-detection": "modelenv.tiny.vision:build_object_detection",
        "table-question-answering": "modelenv.tiny.text:build_table_question_answering",
        "text-classification": "modelenv.tiny.text:build_text_classification",
        "text-generation": "modelenv.tiny.text:build_text_generation",
        "text-to-audio": "modelenv.tiny.audio:build_text_to_audio",
        "token-classification": "modelenv.tiny.text:build_token_classification",
        "video-classification": "modelenv.tiny.vision:build_video_classification",
        "zero-shot-audio-classification": "modelenv.tiny.audio:build_zero_shot_audio_classification",
        "zero-shot-classification": "modelenv.tiny.text:build_zero_shot_classification",
        "zero-shot-image-classification": "modelenv.tiny.multimodal:build_zero_shot_image_classification",
        "zero-shot-object-detection": "modelenv.tiny.multimodal:build_zero_shot_object_detection",
    }
)
"""For each task of `modelenv.tasks.TASKS`, `module:function`: the function `build(folder)` that writes its model."""
