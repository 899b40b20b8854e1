"""Image models: the shapes of their features, and the segments that a kind of model can find."""

from __future__ import annotations

from typing import Any

from modelenv.tiny.vocabulary import byte_tokenizer, vocabulary_size

from ..media.describing import kinds
from ..media.inputs import picture
from ..structure import describe
from .architecture import Architecture, Processor, labelled, small

_LABELS = labelled("cat", "dog", "bird")
_STAGES = {"hidden_sizes": [8, 8, 16, 16], "depths": [1, 1, 1, 1]}
_HEADS = {"num_attention_heads": [1, 1, 2, 2]}
_SWIN = {
    "embed_dim": 8,
    "depths": [1, 1, 1],
    "num_heads": [1, 2, 2],
    "window_size": 4,
    "image_size": 64,
    "patch_size": 4,
}
_PATCHES = {"image_size": 32, "patch_size": 8}
_NECK = {"neck_hidden_sizes": [8, 8, 8, 8, 16, 16, 24], "hidden_sizes": [8, 16, 16], "num_attention_heads": 2}


def _square(side: int) -> dict[str, Any]:
    return {"height": side, "width": side}


def _resized(side: int) -> Processor:
    return Processor("ViTImageProcessor", {"size": _square(side)})


def _cropped(name: str, side: int) -> Processor:
    return Processor(name, {"size": {"shortest_edge": side}, "crop_size": _square(side)})


def _features(name: str, head: str, processor: Processor, *, refuses: bool = False, **config: Any) -> Architecture:
    return Architecture(
        "image-feature-extraction", name, name, head, config, (processor,), picture,
        ({}, {"pool": True}), lambda answer: describe(answer).replace("float", "number"),
        refuses=refuses,
    )  # fmt: skip


FEATURES = (
    _features("vit", "ViTModel", _resized(32), **_PATCHES, **small()),
    _features("deit", "DeiTModel", _resized(32), **_PATCHES, **small()),
    _features("beit", "BeitModel", _resized(32), **_PATCHES, **small()),
    _features("data2vec-vision", "Data2VecVisionModel", _resized(32), **_PATCHES, **small()),
    _features("dinov2", "Dinov2Model", _cropped("BitImageProcessor", 32), **_PATCHES, hidden_size=16,
              num_hidden_layers=1, num_attention_heads=2),
    _features("dinov2_with_registers", "Dinov2WithRegistersModel", _cropped("BitImageProcessor", 32), **_PATCHES,
              hidden_size=16, num_hidden_layers=1, num_attention_heads=2, num_register_tokens=3),
    _features("dinov3_vit", "DINOv3ViTModel", _resized(32), num_register_tokens=4, **_PATCHES, **small()),
    _features("dinov3_convnext", "DINOv3ConvNextModel", _resized(64), **_STAGES),
    _features("swin", "SwinModel", _resized(64), **_SWIN),
    _features("swinv2", "Swinv2Model", _resized(64), **_SWIN),
    _features("focalnet", "FocalNetModel", _resized(64), image_size=64, patch_size=4, embed_dim=8, depths=[1, 1, 1],
              hidden_sizes=[8, 16, 32], focal_levels=[1, 1, 1], focal_windows=[3, 3, 3]),
    _features("resnet", "ResNetModel", _resized(64), embedding_size=8, **_STAGES),
    _features("regnet", "RegNetModel", _resized(64), embedding_size=8, groups_width=8, **_STAGES),
    _features("bit", "BitModel", _resized(64), embedding_size=32, hidden_sizes=[32, 32, 64, 64],
              depths=[1, 1, 1, 1], num_groups=8),
    _features("convnext", "ConvNextModel", _resized(64), **_STAGES),
    _features("convnextv2", "ConvNextV2Model", _resized(64), **_STAGES),
    _features("segformer", "SegformerModel", _resized(64), **_STAGES, **_HEADS),
    _features("pvt", "PvtModel", _resized(64), image_size=64, **_STAGES, **_HEADS),
    _features("poolformer", "PoolFormerModel", _resized(64), **_STAGES),
    _features("levit", "LevitModel", _resized(64), image_size=64, hidden_sizes=[16, 16, 16], depths=[1, 1, 1],
              num_attention_heads=[2, 2, 2], key_dim=[8, 8, 8]),
    _features("mobilevit", "MobileViTModel", _resized(64), image_size=64, **_NECK),
    _features("mobilenet_v2", "MobileNetV2Model", _resized(64), image_size=64, depth_multiplier=0.35),
    _features("mobilenet_v1", "MobileNetV1Model", _resized(64), image_size=64, depth_multiplier=0.5),
    _features("siglip_vision_model", "SiglipVisionModel", _resized(32), **_PATCHES, **small()),
    _features("clip_vision_model", "CLIPVisionModel", _cropped("CLIPImageProcessor", 32), **_PATCHES, **small()),
    _features("aimv2_vision_model", "Aimv2VisionModel", _resized(32), **_PATCHES, **small()),
    _features("vit_mae", "ViTMAEModel", _resized(32), **_PATCHES, **small()),
    _features("vit_msn", "ViTMSNModel", _resized(32), **_PATCHES, **small()),
    _features("ijepa", "IJepaModel", _resized(32), **_PATCHES, **small()),
    _features("yolos", "YolosModel", _resized(32), num_detection_tokens=5, image_size=[32, 32], patch_size=8,
              **small()),
    _features("dpt", "DPTModel", _resized(32), backbone_out_indices=[0, 1, 1, 1], **_PATCHES, **small()),
    _features("clip", "CLIPModel", _cropped("CLIPImageProcessor", 32), refuses=True, projection_dim=16,
              vision_config=small(**_PATCHES), text_config=small(vocab_size=99)),
)  # fmt: skip

_ANYTHING = {"threshold": 0.0, "mask_threshold": 0.0, "overlap_mask_area_threshold": 0.0}
_SWIN_STAGES = {
    "model_type": "swin", "embed_dim": 8, "depths": [1, 1, 1, 1], "num_heads": [1, 1, 2, 2], "window_size": 4,
    "image_size": 64, "patch_size": 4, "out_features": ["stage1", "stage2", "stage3", "stage4"],
}  # fmt: skip


def _segmenter(name: str, head: str, processor: Processor, **config: Any) -> Architecture:
    return Architecture(
        "image-segmentation", name, name, head, {**config, **_LABELS}, (processor,), picture,
        tuple({**_ANYTHING, "subtask": subtask} for subtask in (None, "panoptic", "instance", "semantic")), kinds_of,
    )  # fmt: skip


def kinds_of(answer: Any) -> str:
    """Describe segments by their kinds, because their number depends on random weights."""
    return kinds([{**one, "score": one["score"] and 0.5} for one in answer], None)  # type: ignore[arg-type]


SEGMENTATION = (
    _segmenter("maskformer", "MaskFormerForInstanceSegmentation",
               Processor("MaskFormerImageProcessor", {"size": _square(64)}), fpn_feature_size=32,
               mask_feature_size=32, backbone_config=_SWIN_STAGES,
               decoder_config={"model_type": "detr", "num_queries": 6, "d_model": 32, "decoder_layers": 1,
                               "encoder_layers": 1, "decoder_attention_heads": 2, "decoder_ffn_dim": 16}),
    _segmenter("mask2former", "Mask2FormerForUniversalSegmentation",
               Processor("Mask2FormerImageProcessor", {"size": _square(64)}), backbone_config=_SWIN_STAGES,
               feature_size=32, mask_feature_size=32, hidden_dim=32, encoder_feedforward_dim=16, encoder_layers=1,
               decoder_layers=2, num_attention_heads=2, dim_feedforward=16, num_queries=6),
    _segmenter("eomt", "EomtForUniversalSegmentation",
               Processor("EomtImageProcessor", {"size": {"shortest_edge": 64, "longest_edge": 64}, "do_pad": True}),
               image_size=64, patch_size=16, num_queries=6, num_blocks=1, num_register_tokens=0,
               **small(num_hidden_layers=4)),
    _segmenter("segformer", "SegformerForSemanticSegmentation",
               Processor("SegformerImageProcessor", {"size": _square(64)}), decoder_hidden_size=16, **_STAGES,
               **_HEADS),
    _segmenter("beit", "BeitForSemanticSegmentation", Processor("BeitImageProcessor", {"size": _square(64)}),
               image_size=64, patch_size=16, out_indices=[1, 2, 3, 4], **small(num_hidden_layers=4)),
    _segmenter("mobilevit", "MobileViTForSemanticSegmentation", _cropped("MobileViTImageProcessor", 64),
               image_size=64, aspp_out_channels=16, **_NECK),
)  # fmt: skip


def _depth(answer: Any) -> str:
    return f"{', '.join(answer)} {tuple(answer['predicted_depth'].shape)} {answer['depth'].size}"


_BRANCHES = {"backbone_out_indices": [0, 1, 2, 3], "neck_hidden_sizes": [8, 8, 16, 16], "fusion_hidden_size": 16}
DEPTH = (
    Architecture("depth-estimation", "dpt", "dpt", "DPTForDepthEstimation",
                 {"image_size": 64, "patch_size": 16, **_BRANCHES, **small(num_hidden_layers=4)},
                 (Processor("DPTImageProcessor", {"size": _square(64)}),), picture, describe=_depth),
    Architecture("depth-estimation", "glpn", "glpn", "GLPNForDepthEstimation",
                 {"decoder_hidden_size": 16, **_STAGES, **_HEADS}, (Processor("GLPNImageProcessor"),), picture,
                 describe=_depth),
)  # fmt: skip


def _classifier(name: str, **config: Any) -> Architecture:
    return Architecture(
        "image-classification", name, "vit", "ViTForImageClassification",
        {"image_size": 32, "patch_size": 8, **small(), **config}, (_resized(32),), picture,
        ({}, {"top_k": 2}, {"top_k": None}, {"top_k": 99}), by_lock=True,
    )  # fmt: skip


CLASSIFICATION = (
    _classifier("multi-label", problem_type="multi_label_classification", **_LABELS),
    _classifier("one label", num_labels=1),
    _classifier("labels without names", num_labels=7),
)


def _two_towers(name: str, head: str, processor: Processor, **config: Any) -> Architecture:
    return Architecture(
        "zero-shot-image-classification", name, name, head,
        {"vision_config": small(image_size=32, patch_size=8),
         "text_config": small(vocab_size=vocabulary_size(), max_position_embeddings=64), **config},
        (processor, Processor(make=byte_tokenizer)), picture,
        ({"candidate_labels": ["a", "b"]}, {"candidate_labels": ["a" * 90]}),
    )  # fmt: skip


ZERO_SHOT = (
    _two_towers("clip", "CLIPModel", _cropped("CLIPImageProcessor", 32), projection_dim=16),
    _two_towers("siglip", "SiglipModel", Processor("SiglipImageProcessor", {"size": _square(32)})),
    _two_towers("chinese_clip", "ChineseCLIPModel", _cropped("CLIPImageProcessor", 32), projection_dim=16),
)
ARCHITECTURES = (*FEATURES, *SEGMENTATION, *DEPTH, *CLASSIFICATION, *ZERO_SHOT)
