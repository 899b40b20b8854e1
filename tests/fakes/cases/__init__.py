"""The contracts of the text tasks."""

from __future__ import annotations

from .decision import CONTRACT as DECISION
from .feature_extraction import CONTRACT as FEATURE_EXTRACTION
from .fill_mask import CONTRACT as FILL_MASK
from .table_question_answering import CONTRACT as TABLE_QUESTION_ANSWERING
from .text_classification import CONTRACT as TEXT_CLASSIFICATION
from .text_generation import CONTRACT as TEXT_GENERATION
from .token_classification import CONTRACT as TOKEN_CLASSIFICATION
from .zero_shot_classification import CONTRACT as ZERO_SHOT_CLASSIFICATION

CONTRACTS = (
    DECISION,
    FEATURE_EXTRACTION,
    FILL_MASK,
    TABLE_QUESTION_ANSWERING,
    TEXT_CLASSIFICATION,
    TEXT_GENERATION,
    TOKEN_CLASSIFICATION,
    ZERO_SHOT_CLASSIFICATION,
)
