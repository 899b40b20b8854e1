"""Tiny real models: one function for each task, which writes a whole model with random weights into a folder.

`modelenv.testing.tiny_model` calls them, with torch's random state set to the seed. The functions import torch
and transformers; this module does not.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

BUILDERS: Mapping[str, str] = MappingProxyType(
    {
        "decision": "modelenv.tiny.text:build_decision",
        "feature-extraction": "modelenv.tiny.text:build_feature_extraction",
        "fill-mask": "modelenv.tiny.text:build_fill_mask",
        "table-question-answering": "modelenv.tiny.text:build_table_question_answering",
        "text-classification": "modelenv.tiny.text:build_text_classification",
        "text-generation": "modelenv.tiny.text:build_text_generation",
        "token-classification": "modelenv.tiny.text:build_token_classification",
        "zero-shot-classification": "modelenv.tiny.text:build_zero_shot_classification",
    }
)
"""A task of `modelenv.tasks.TASKS`, and `module:function` of what writes its tiny model: `build(folder)`."""
