"""The contracts of the text tasks."""

from __future__ import annotations

from .text_classification import CONTRACT as TEXT_CLASSIFICATION

CONTRACTS = (TEXT_CLASSIFICATION,)
