"""Computes the output shapes of vision models for one image from their configs (transformers 5.24)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from modelenv.fakes.model.facts import ModelFacts

_SHRINKING = ("donut-swin", "focalnet", "swin", "swinv2")  # each stage has fewer and wider patches
_WITHOUT_CLASS_TOKEN = (
    "aimv2_vision_model", "ijepa", "siglip_vision_model", "siglip2_vision_model", *_SHRINKING,
)  # fmt: skip
_WITHOUT_POOLER = (
    "data2vec-vision", "glpn", "ijepa", "poolformer", "pvt", "segformer", "vit_mae", "vit_msn",
)  # fmt: skip
_POOLED_MAPS = ("bit", "regnet", "resnet")  # their pooled output is a map of one cell
_STRIDED = (
    "efficientnet",
    "mobilevit",
    "mobilevitv2",
    "mobilenet_v1",
    "mobilenet_v2",
)  # their config has an output stride
# Models of images and texts, which do not accept an image without a text.
_TWO_TOWERS = (
    "align", "altclip", "blip", "blip-2", "chinese_clip", "clip", "clipseg", "groupvit", "metaclip_2", "owlv2",
    "owlvit", "siglip", "siglip2", "tipsv2",
)  # fmt: skip


def output_shape(facts: ModelFacts) -> tuple[int, ...]:
    """Return the shape of the model's first output for one image: tokens or a map.

    Raises:
        ValueError: The model does not accept an image without a text. The real model raises the same class.
    """
    config = facts.config
    kind, side = str(config.get("model_type")), _side(facts)
    if kind in _TWO_TOWERS:
        raise ValueError(f"a {kind} model needs a text with the image")
    stages = config.get("hidden_sizes")
    if kind in _STRIDED:
        cells = max(1, -(-side // config.get("output_stride", 32)))
        return (1, _channels(kind, config), cells, cells)
    if isinstance(stages, list) and stages and kind not in _SHRINKING:
        return _of_stages(kind, side, [int(each) for each in stages])
    cells = max(1, side // config.get("patch_size", 16))
    if kind in _SHRINKING:
        stage = len(config.get("depths", (2, 2, 6, 2))) - 1
        return (1, max(1, cells >> stage) ** 2, config.get("embed_dim", 96) << stage)
    patches = cells**2
    if kind == "vit_mae":  # it processes only some of them
        patches = int(patches * (1 - config.get("mask_ratio", 0.75)))
    special = 0 if kind in _WITHOUT_CLASS_TOKEN else 1
    special += config.get("num_register_tokens", 0) + (kind == "deit")
    if kind == "yolos":
        special += config.get("num_detection_tokens", 100)
    return (1, patches + special, config.get("hidden_size", 768))


def pooled_shape(facts: ModelFacts) -> tuple[int, ...]:
    """Return the shape of the model's pooled output.

    Raises:
        ValueError: The model has no pooled output, or does not accept an image without a text.
    """
    shape, kind = output_shape(facts), str(facts.config.get("model_type"))
    if kind in _WITHOUT_POOLER:
        raise ValueError(f"a {kind} model has no pooled output")
    if kind in _POOLED_MAPS:
        return (1, shape[1], 1, 1)
    return (1, shape[1] if len(shape) == 4 else shape[-1])


def width(facts: ModelFacts) -> int:
    """Return how many numbers the model's first output has at each position."""
    shape = output_shape(facts)
    return shape[1] if len(shape) == 4 else shape[-1]


def _of_stages(kind: str, side: int, stages: list[int]) -> tuple[int, ...]:
    """Return the output shape of a network whose stages halve the resolution: a map, or its cells as tokens."""
    if kind == "levit":
        cells = side // 16
        for _ in stages[1:]:
            cells = (cells + 1) // 2
        return (1, cells**2, stages[-1])
    cells = max(1, side // (2 << len(stages)))
    if kind in ("dinov3_convnext", "pvt"):
        return (1, cells**2 + 1, stages[-1])
    return (1, stages[-1], cells, cells)


def _channels(kind: str, config: Any) -> int:
    if kind == "efficientnet":
        return int(config.get("hidden_dim", 2560))
    if kind == "mobilevitv2":
        return int(512 * config.get("width_multiplier", 1.0))
    if kind == "mobilevit":
        sizes = config.get("neck_hidden_sizes", [640])
        return int(sizes[-1])
    multiplier = config.get("depth_multiplier", 1.0)
    if kind == "mobilenet_v2":
        return 1280 if config.get("finegrained_output", True) and multiplier < 1 else int(1280 * multiplier)
    return max(int(1024 * multiplier), int(config.get("min_depth", 8)))


def _side(facts: ModelFacts) -> int:
    processor = facts.processor("image_processor")
    names = ("crop_size", "size") if processor.get("do_center_crop") else ("size",)
    for name in names:
        size = processor.get(name)
        found = size.get("height", size.get("shortest_edge")) if isinstance(size, dict) else size
        if isinstance(found, int):
            return found
    size = facts.config.get("image_size", 224)
    return int(size if isinstance(size, int) else size[0])
