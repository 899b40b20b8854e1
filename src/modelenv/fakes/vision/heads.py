"""Reads from a detector's config how many boxes its head returns, and in which order (transformers 5.24)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from modelenv.fakes.model.facts import ModelFacts

_QUERIES = 300  # the default of most configs
_QUERIES_OF = {"detr": 100, "table-transformer": 100, "yolos": 100}
_OPEN_QUERIES = 900  # of Grounding DINO and similar models
# These image processors rank all pairs of a query and a label, and keep the best 100.
_BEST_PAIRS = ("ConditionalDetr", "DeformableDetr")
_PAIRS = 100
_RANKS_PAIRS = ("conditional_detr", "dab-detr", "deformable_detr", "lw_detr")
_RANKS_BOXES = ("d_fine", "deimv2", "rf_detr", "rt_detr", "rt_detr_v2")
_RANKING = ("RTDetr", "RfDetr")
# These find text in a map of pixels, and have no fixed number of boxes.
_MAPS = "pp_ocr"


@dataclass(frozen=True)
class Head:
    """The output of a detector's head.

    Attributes:
        boxes: The number of its boxes, or None if it has no fixed number. Each passes a threshold of 0.
        is_ranked: Whether the boxes are sorted by score. Otherwise they are in the order of the model's queries.
    """

    boxes: int | None
    is_ranked: bool


def read_head(facts: ModelFacts) -> Head:
    """Return the head of an object detection model."""
    config = facts.config
    kind = str(config.get("model_type"))
    processor = str(facts.processor("image_processor").get("image_processor_type", ""))
    if kind.startswith(_MAPS):
        return Head(None, is_ranked=False)
    name = "num_detection_tokens" if kind == "yolos" else "num_queries"
    queries = _number(config.get(name), _QUERIES_OF.get(kind, _QUERIES))
    if processor.startswith(_BEST_PAIRS) if processor else kind in _RANKS_PAIRS:
        return Head(min(_PAIRS, queries * len(facts.labels)), is_ranked=True)
    return Head(queries, is_ranked=processor.startswith(_RANKING) if processor else kind in _RANKS_BOXES)


def boxes_of_a_label(facts: ModelFacts) -> int:
    """Return the number of boxes of a zero-shot object detection model for each label of a call."""
    config = facts.config
    vision = config.get("vision_config")
    kind = str(config.get("model_type"))
    if not isinstance(vision, dict) and not kind.startswith("owl"):
        return _number(config.get("num_queries"), _OPEN_QUERIES)
    vision = vision if isinstance(vision, dict) else {}
    side = _number(vision.get("image_size"), 768)
    patch = _number(vision.get("patch_size"), 16 if kind == "owlv2" else 32)
    return int((side // patch) ** 2)


def _number(value: Any, default: int) -> int:
    return value if type(value) is int and value > 0 else default
