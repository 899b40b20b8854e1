"""The contracts of the tasks that find objects, segments or masks in an image."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest import mock

from ..contract import Args, Case, Contract
from ..structure import describe
from .describing import kinds
from .images import FORMS, _cases
from .inputs import IMAGES, LOADER_CALLS, picture

# With random weights, nothing passes the usual thresholds.
ANYTHING = {"threshold": 0.0, "mask_threshold": 0.0, "overlap_mask_area_threshold": 0.0}
DETECTION = Contract(
    "object-detection",
    tuple(
        _cases(
            [*({"threshold": value} for value in (0, 2, None, "x")), {"timeout": 1}, {"unknown": 1}, *LOADER_CALLS]
        )
    ),
    describe=kinds,
)


def _segformer(folder: Path) -> None:
    """Replace the model by one for semantic segmentation."""
    import torch
    from transformers import SegformerConfig, SegformerForSemanticSegmentation, SegformerImageProcessor

    for path in folder.iterdir():
        path.unlink()
    config = SegformerConfig(
        hidden_sizes=[8, 8, 16, 16],
        depths=[1, 1, 1, 1],
        num_attention_heads=[1, 1, 2, 2],
        decoder_hidden_size=16,
        initializer_range=0.5,
        num_labels=4,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        SegformerForSemanticSegmentation(config).save_pretrained(folder)
    SegformerImageProcessor(size={"height": 32, "width": 32}).save_pretrained(folder)


SEGMENTATION = Contract(
    "image-segmentation",
    (
        *_cases(
            [
                *({"subtask": value} for value in ("panoptic", "instance", "semantic", None, "x", 3)),
                *({"threshold": value} for value in (2, None, "x")),
                *({"mask_threshold": "x"}, {"overlap_mask_area_threshold": "x"}, {"timeout": 1}, {"unknown": 1}),
                *LOADER_CALLS,
            ],
            **ANYTHING,
        ),
        *(
            Case(f"{form} | {call} | semantic", IMAGES[form], call, variant="semantic")
            for form in (*FORMS, "None", "missing file", "small image")
            for call in (
                {},
                *({"subtask": value} for value in ("panoptic", "instance", "semantic", "x")),
                {"threshold": "x"},
            )
        ),
        Case("image built for anything", picture, build=ANYTHING),
        Case("image at the usual thresholds", picture),
        *(
            Case(f"image | {call} no segment passes", picture, call)
            for call in (
                {"mask_threshold": 2},
                {"overlap_mask_area_threshold": 1},
                {"threshold": 1, "mask_threshold": "x"},
            )
        ),
    ),
    describe=kinds,
    variants={"semantic": _segformer},
)
LABELS = {"candidate_labels": ["a cat", "a dog"]}


def _one(**extra: Any) -> dict[str, Any]:
    return {"image": picture(), "candidate_labels": ["a cat", "a dog"], **extra}


INPUTS: dict[str, Callable[[], Any]] = {
    "dict": _one,
    "list of dicts": lambda: [_one(), _one()],
    "generator of dicts": lambda: (_one() for _ in range(2)),
    "dict without labels": lambda: {"image": picture()},
    "dict without an image": lambda: {"candidate_labels": ["a"]},
    "dict of no labels": lambda: _one(candidate_labels=None),
    "dict of a text of labels": lambda: _one(candidate_labels="a,b"),
    "list of dicts, one without labels": lambda: [_one(candidate_labels=[]), _one()],
    "image and labels": lambda: Args(picture(), ["a", "b"]),
    "images and labels for each": lambda: Args([picture(), picture(9, 9)], [["a"], ["b", "c"]]),
    "images and too few labels": lambda: Args([picture(), picture(9, 9)], [["a"]]),
    "images and a text of labels": lambda: Args([picture()], "a,b"),
    "images and numbers": lambda: Args([picture()], [1]),
    "images and tuples": lambda: Args([picture()], [("a", "b")]),
    "tuple of images": lambda: Args((picture(),), ["a", "b"]),
    "images without labels": lambda: [picture()],
    "no images without labels": list,
    "text queries": lambda: Args(picture(), text_queries=["a"]),
}
ZERO_SHOT = Contract(
    "zero-shot-object-detection",
    (
        *(
            Case(f"{name} {LABELS}", make, LABELS)
            for name, make in IMAGES.items()
            if name not in ("array", "array with channels first", "array of four channels", "array of two dimensions",
                            "array of a batch", "tensor")
        ),
        *(Case(name, make) for name, make in INPUTS.items()),
        *(
            Case(f"image | {call}", picture, {**LABELS, **call})
            for call in (
                *({"threshold": value} for value in (0.0, 2, None, "x")),
                *({"top_k": value} for value in (1, 3, 0, None, "x")),
                *({"candidate_labels": labels} for labels in ([], None, "a,b", [1], ["a"])),
                *({"timeout": 1}, {"unknown": 1}),
                *LOADER_CALLS,
            )
        ),
        Case("nothing", lambda: Args()),
        Case("three inputs", lambda: Args(picture(), ["a"], 3)),
    ),
    describe=kinds,
)  # fmt: skip


def _suppressed(boxes: Any, scores: Any, idxs: Any, iou_threshold: float) -> Any:
    """Non-maximum suppression: keep a box unless its overlap with a kept, better box exceeds the threshold."""
    import torch

    kept: list[int] = []
    for index in scores.argsort(descending=True).tolist():
        corners = boxes[kept]
        low, high = torch.maximum(boxes[index, :2], corners[:, :2]), torch.minimum(boxes[index, 2:], corners[:, 2:])
        shared = (high - low).clamp(min=0).prod(dim=1)
        area = (boxes[index, 2:] - boxes[index, :2]).prod() + (corners[:, 2:] - corners[:, :2]).prod(dim=1) - shared
        if not bool((shared > iou_threshold * area).any()):
            kept.append(index)
    return torch.tensor(kept, dtype=torch.int64)


@dataclass(frozen=True)
class MaskContract(Contract):
    """Runs the real pipeline without torchvision, of which it uses only non-maximum suppression."""

    def outcome(self, case: Case, build: Callable[..., Any]) -> str:
        from transformers.models.sam.image_processing_pil_sam import SamImageProcessorPil
        from transformers.utils.import_utils import is_torchvision_available

        if is_torchvision_available():
            return super().outcome(case, build)
        processing = SamImageProcessorPil.post_process_for_mask_generation.__wrapped__
        modules = {name: ModuleType(name) for name in ("torchvision", "torchvision.ops", "torchvision.ops.boxes")}
        modules["torchvision.ops.boxes"].batched_nms = _suppressed  # type: ignore[attr-defined]

        def supplied(*args: Any, **kwargs: Any) -> Any:
            with mock.patch.dict(sys.modules, modules):
                return processing(*args, **kwargs)

        with mock.patch.object(SamImageProcessorPil, "post_process_for_mask_generation", supplied):
            return super().outcome(case, build)


def _masks(answer: Any, _: Case) -> str:
    """Describe masks, but not their number."""

    def override(value: Any) -> str | None:
        if type(value) is list and value:
            return "some of " + " or ".join(sorted({describe(item, override) for item in value}))
        if type(value) is dict and set(value) == {"size", "counts"}:
            return f"lengths {value['size']} whole={sum(value['counts']) == value['size'][0] * value['size'][1]}"
        if type(value).__name__ in ("Tensor", "FakeTensor"):
            return f"{type(value).__name__} {value.dtype} {list(value.shape[1:])}"
        return None

    return describe(answer, override)


# With random weights, no mask passes the usual thresholds. With few points, the model is fast.
ANY_MASK = {"pred_iou_thresh": -1e9, "stability_score_thresh": -1.0, "points_per_crop": 2}
MASKS = MaskContract(
    "mask-generation",
    (
        *(Case(name, make, ANY_MASK) for name, make in IMAGES.items()),
        *(
            Case(f"{form} | {call}", IMAGES[form], {**ANY_MASK, **call})
            for call in (
                *({"output_rle_mask": value} for value in (True, False)),
                *({"output_bboxes_mask": value} for value in (True, False)),
                {"output_rle_mask": True, "output_bboxes_mask": True},
                *({"points_per_batch": value} for value in (1, 0, -1, None)),
                *({"pred_iou_thresh": "x"}, {"timeout": 1}, {"unknown": 1}, {"crops_n_layers": 1}),
                *LOADER_CALLS[:1],
                *LOADER_CALLS[2:],
            )
            for form in ("image", "list")
        ),
        Case("list | {'batch_size': 2}", IMAGES["list"], {**ANY_MASK, "batch_size": 2}),
        Case("list of files | {'batch_size': 2}", IMAGES["list of files"], {**ANY_MASK, "batch_size": 2}),
        Case(
            "one image as a batch",
            picture,
            {**ANY_MASK, "batch_size": 2},
            differs="the real pipeline fails on batch_size with a TypeError or a ValueError, as the points fall",
        ),
        Case("stability that no mask has", picture, {**ANY_MASK, "stability_score_thresh": 1.0}),
        Case("nothing", lambda: Args(), ANY_MASK),
        Case("image by name", lambda: Args(image=picture()), ANY_MASK),
        Case("two inputs", lambda: Args(picture(), 3), ANY_MASK),
    ),
    describe=_masks,
)
CONTRACTS = (DETECTION, SEGMENTATION, ZERO_SHOT, MASKS)
