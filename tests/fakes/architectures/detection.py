"""Object detectors: the number and order of boxes at a threshold of 0."""

from __future__ import annotations

from collections import Counter
from typing import Any

from modelenv.tiny.vocabulary import byte_tokenizer, vocabulary_size

from ..media.inputs import picture
from .architecture import Architecture, Processor, labelled, small, two_sided

_SQUARE = {"height": 128, "width": 128}
_LABELS = labelled("cat", "dog", "bird")
_STAGES = {"embedding_size": 8, "hidden_sizes": [8, 8, 16, 16], "depths": [1, 1, 1, 1]}
_LAST = ["stage4"]
_UPPER = ["stage2", "stage3", "stage4"]
_DETR = {"use_timm_backbone": False, "use_pretrained_backbone": False, "backbone": None}
_RT_DETR = {
    "encoder_hidden_dim": 16, "encoder_in_channels": [8, 16, 16], "feat_strides": [8, 16, 32], "encoder_layers": 1,
    "encoder_ffn_dim": 16, "encoder_attention_heads": 2, "d_model": 16, "decoder_in_channels": [16, 16, 16],
    "decoder_ffn_dim": 16, "decoder_layers": 2, "decoder_attention_heads": 2, "num_denoising": 0,
}  # fmt: skip
_RT_RESNET = {
    "backbone_config": {"model_type": "rt_detr_resnet", "layer_type": "basic", "out_features": _UPPER, **_STAGES}
}
_HGNET = {
    "model_type": "hgnet_v2", "hidden_sizes": [8, 8, 16, 16], "stem_channels": [3, 8, 8],
    "stage_in_channels": [8, 8, 8, 16], "stage_mid_channels": [8, 8, 8, 8], "stage_out_channels": [8, 8, 16, 16],
    "stage_num_blocks": [1, 1, 1, 1], "stage_numb_of_layers": [1, 1, 1, 1], "out_features": _UPPER,
    "return_idx": [1, 2, 3],
}  # fmt: skip


def _resnet(*out_features: str) -> dict[str, Any]:
    return {**_DETR, "backbone_config": {"model_type": "resnet", "out_features": list(out_features), **_STAGES}}


def _boxes(answer: Any) -> str:
    """Describe boxes by their number and keys."""
    keys = " or ".join(sorted({f"{', '.join(box)}: {', '.join(box['box'])}" for box in answer}))
    return f"{len(answer)} x {keys}"


def _falling(answer: Any) -> str:
    """Describe boxes that must be sorted by score."""
    scores = [box["score"] for box in answer]
    return f"{_boxes(answer)} falling={scores == sorted(scores, reverse=True)}"


def _by_label(answer: Any) -> str:
    """Describe the boxes of each label. With `top_k=3`, random weights decide which labels are left."""
    counts = sorted(Counter(box["label"] for box in answer).items())
    return _falling(answer) if len(answer) <= 3 else f"{_falling(answer)} {counts}"


def _detector(kind: str, head: str, processor: str, describe: Any, **config: Any) -> Architecture:
    processors = (Processor(processor, {"size": _SQUARE}),)
    calls = tuple({"threshold": threshold} for threshold in (0, -1, 0.0, 1))
    return Architecture(
        "object-detection",
        kind,
        kind,
        head,
        {**config, **_LABELS},
        processors,
        picture,
        calls,
        describe,
        by_lock=True,
    )


def _of_a_query(kind: str, head: str) -> Architecture:
    """Return the architectures of open detectors, which have boxes for each label of the call."""
    text = small(vocab_size=vocabulary_size())
    vision = small(image_size=64, patch_size=16)
    return Architecture(
        "zero-shot-object-detection", kind, kind, head,
        {"text_config": text, "vision_config": vision, "projection_dim": 16},
        (Processor(f"{head.removesuffix('ForObjectDetection')}ImageProcessor", {"size": {"height": 64, "width": 64}}),
         Processor(make=byte_tokenizer)),
        picture,
        tuple(
            {"candidate_labels": labels, "threshold": 0, **more}
            for labels in (["a cat"], ["a cat", "a dog"], ["a", "b", "c"])
            for more in ({}, {"top_k": 3})
        ),
        _by_label,
        by_lock=True,
    )  # fmt: skip


ARCHITECTURES = (
    _detector("yolos", "YolosForObjectDetection", "YolosImageProcessor", _boxes,
              image_size=[64, 64], patch_size=16, num_detection_tokens=7, **small()),
    _detector("detr", "DetrForObjectDetection", "DetrImageProcessor", _boxes,
              num_queries=6, **_resnet(*_LAST), **two_sided()),
    _detector("table-transformer", "TableTransformerForObjectDetection", "DetrImageProcessor", _boxes,
              num_queries=9, **_resnet(*_LAST), **two_sided()),
    _detector("conditional_detr", "ConditionalDetrForObjectDetection", "ConditionalDetrImageProcessor", _falling,
              num_queries=6, **_resnet(*_LAST), **two_sided()),
    _detector("deformable_detr", "DeformableDetrForObjectDetection", "DeformableDetrImageProcessor", _falling,
              num_queries=50, num_feature_levels=4, **_resnet(*_UPPER), **two_sided(d_model=32, decoder_layers=2)),
    _detector("dab-detr", "DabDetrForObjectDetection", "ConditionalDetrImageProcessor", _falling, hidden_size=16,
              num_queries=6, **_resnet(*_LAST), **{k: v for k, v in two_sided().items() if k != "d_model"}),
    _detector("rt_detr", "RTDetrForObjectDetection", "RTDetrImageProcessor", _falling,
              num_queries=6, **_RT_RESNET, **_RT_DETR),
    _detector("rt_detr_v2", "RTDetrV2ForObjectDetection", "RTDetrImageProcessor", _falling,
              num_queries=8, **_RT_RESNET, **_RT_DETR),
    _detector("d_fine", "DFineForObjectDetection", "RTDetrImageProcessor", _falling,
              num_queries=6, backbone_config=_HGNET, **_RT_DETR),
    _of_a_query("owlvit", "OwlViTForObjectDetection"),
    _of_a_query("owlv2", "Owlv2ForObjectDetection"),
)  # fmt: skip
