"""The contracts of the text tasks."""

from __future__ import annotations

from .feature_extraction import CONTRACT as FEATURE_EXTRACTION
from .fill_mask import CONTRACT as FILL_MASK
from .text_classification import CONTRACT as TEXT_CLASSIFICATION
from .token_classification import CONTRACT as TOKEN_CLASSIFICATION
from .zero_shot_classification import CONTRACT as ZERO_SHOT_CLASSIFICATION

CONTRACTS = (
    FEATURE_EXTRACTION,
    FILL_MASK,
    TEXT_CLASSIFICATION,
    TOKEN_CLASSIFICATION,
    ZERO_SHOT_CLASSIFICATION,
)
