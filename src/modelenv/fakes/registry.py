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
        "feature-extraction": "modelenv.fakes.feature_extraction:FakeFeatureExtractionPipeline",
        "fill-mask": "modelenv.fakes.fill_mask:FakeFillMaskPipeline",
        "text-classification": "modelenv.fakes.text_classification:FakeTextClassificationPipeline",
        "token-classification": "modelenv.fakes.token_classification:FakeTokenClassificationPipeline",
        "zero-shot-classification": "modelenv.fakes.zero_shot_classification:FakeZeroShotClassificationPipeline",
    }
)
"""A task of `modelenv.tasks.TASKS`, and `module:class` of its fake."""


def find_family(task: str) -> type[FakePipeline] | None:
    """Return the class that fakes `task`, or None where the task has no fake."""
    place = FAMILIES.get(task)
    if place is None:
        return None
    module, _, name = place.partition(":")
    family: type[FakePipeline] = getattr(import_module(module), name)
    return family
