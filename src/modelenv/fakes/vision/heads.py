"""How many boxes the head of a detector gives, and in which order: what its config decides (transformers 5.24)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from modelenv.fakes.model.facts import ModelFacts

_QUERIES = 300  # what most configs have where they name no number
_QUERIES_OF = {"detr": 100, "table-transformer": 100, "yolos": 100}
_OPEN_QUERIES = 900  # of Grounding DINO and its kin
# The image processors that rank all pairs of a query and a label, and keep the best 100 of them.
_BEST_PAIRS = ("ConditionalDetr", "DeformableDetr")
_PAIRS = 100
_RANKS_PAIRS = ("conditional_detr", "dab-detr", "deformable_detr", "lw_detr")
_RANKS_BOXES = ("d_fine", "deimv2", "rf_detr", "rt_detr", "rt_detr_v2")
_RANKING = ("RTDetr", "RfDetr")
# These find text in a map of pixels, and have no number of boxes.
_MAPS = "pp_ocr"


@dataclass(frozen=True)
class Head:
    """What a detector's head answers with.

    Attributes:
        boxes: the number of its boxes, or None if it has no fixed number. Each passes a threshold of 0.
        is_ranked: whether the surest box comes first; otherwise they come in the order of the model's queries.
    """

    boxes: int | None
    is_ranked: bool


def read_head(facts: ModelFacts) -> Head:
    """Return the head of a model of object detection."""
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
    """Return how many boxes a model of zero-shot object detection has for each label of a call."""
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
