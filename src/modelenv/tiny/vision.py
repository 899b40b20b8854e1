"""Tiny real models for the image and video tasks: architectures of transformers with random weights.

Each function writes a folder that `transformers.pipeline` can load. The weights are drawn from torch's random state.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

LABELS = ("cat", "dog", "bird", "car", "tree", "house")
_IMAGE_SIZE = 32
_PATCH_SIZE = 8
_TRANSFORMER = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "initializer_range": 0.5,  # so that different images have clearly different answers
}


def _labels() -> dict[str, Any]:
    return {
        "id2label": dict(enumerate(LABELS)),
        "label2id": {label: index for index, label in enumerate(LABELS)},
    }


def _square(size: int = _IMAGE_SIZE) -> dict[str, int]:
    return {"height": size, "width": size}


def _save(folder: Path, model: Any, *processors: Any) -> None:
    model.eval()
    model.save_pretrained(folder)
    for processor in processors:
        processor.save_pretrained(folder)


def _sharpen(head: Any) -> None:
    """Make a head choose a label with high confidence, rather than "no object", which is its last output."""
    import torch

    with torch.no_grad():
        head.weight *= 20
        head.bias[-1] = -1000.0


def build_image_classification(folder: Path) -> None:
    """Write a ViT with a classification head, for images of 32 x 32, with six labels."""
    from transformers import ViTConfig, ViTForImageClassification, ViTImageProcessor

    config = ViTConfig(image_size=_IMAGE_SIZE, patch_size=_PATCH_SIZE, **_TRANSFORMER, **_labels())
    _save(folder, ViTForImageClassification(config), ViTImageProcessor(size=_square()))


def build_image_feature_extraction(folder: Path) -> None:
    """Write a ViT without a head: 16 patches and the class token, width 16, with a pooler."""
    from transformers import ViTConfig, ViTImageProcessor, ViTModel

    config = ViTConfig(image_size=_IMAGE_SIZE, patch_size=_PATCH_SIZE, **_TRANSFORMER)
    _save(folder, ViTModel(config), ViTImageProcessor(size=_square()))


def build_image_segmentation(folder: Path) -> None:
    """Write a MaskFormer with a Swin backbone and at most five segments: panoptic, instance and semantic."""
    from transformers import (
        DetrConfig,
        MaskFormerConfig,
        MaskFormerForInstanceSegmentation,
        MaskFormerImageProcessor,
        SwinConfig,
    )

    size = 64
    backbone = SwinConfig(
        image_size=size,
        patch_size=4,
        embed_dim=8,
        depths=[1, 1, 1, 1],
        num_heads=[1, 1, 2, 2],
        window_size=2,
        initializer_range=0.5,
        out_features=["stage1", "stage2", "stage3", "stage4"],
    )
    decoder = DetrConfig(
        d_model=16,
        encoder_layers=1,
        decoder_layers=1,
        encoder_ffn_dim=32,
        decoder_ffn_dim=32,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        num_queries=5,
    )
    config = MaskFormerConfig(
        backbone_config=backbone,
        decoder_config=decoder,
        fpn_feature_size=32,  # the pixel decoder normalises in 32 groups
        mask_feature_size=32,
        init_std=1.0,
        **_labels(),
    )
    model = MaskFormerForInstanceSegmentation(config)
    _sharpen(model.class_predictor)
    _save(folder, model, MaskFormerImageProcessor(size=_square(size)))


def build_object_detection(folder: Path) -> None:
    """Write a YOLOS: a ViT with ten detection tokens."""
    from transformers import YolosConfig, YolosForObjectDetection, YolosImageProcessor

    config = YolosConfig(
        image_size=[_IMAGE_SIZE, _IMAGE_SIZE],
        patch_size=_PATCH_SIZE,
        num_detection_tokens=10,
        **_TRANSFORMER,
        **_labels(),
    )
    model = YolosForObjectDetection(config)
    _sharpen(model.class_labels_classifier.layers[-1])
    _save(folder, model, YolosImageProcessor(size=_square()))


def build_depth_estimation(folder: Path) -> None:
    """Write a DPT: a ViT with a decoder for the depth of each pixel."""
    from transformers import DPTConfig, DPTForDepthEstimation, DPTImageProcessor

    config = DPTConfig(
        image_size=_IMAGE_SIZE,
        patch_size=_PATCH_SIZE,
        backbone_out_indices=[0, 1, 2, 3],
        neck_hidden_sizes=[8, 8, 16, 16],
        fusion_hidden_size=16,
        use_auxiliary_head=False,
        **{**_TRANSFORMER, "num_hidden_layers": 4, "initializer_range": 0.1},
    )
    _save(folder, DPTForDepthEstimation(config), DPTImageProcessor(size=_square()))


def build_mask_generation(folder: Path) -> None:
    """Write a SAM for images of 64 x 64."""
    from transformers import SamConfig, SamImageProcessor, SamModel

    size, width = 64, 16
    config = SamConfig(
        vision_config={
            "hidden_size": width,
            "output_channels": width,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "image_size": size,
            "patch_size": 16,
            "window_size": 2,
            "global_attn_indexes": [1],
            "num_pos_feats": width // 2,
            "mlp_dim": 32,
            "initializer_range": 0.5,
        },
        prompt_encoder_config={
            "hidden_size": width,
            "image_size": size,
            "patch_size": 16,
            "mask_input_channels": 4,
        },
        mask_decoder_config={
            "hidden_size": width,
            "mlp_dim": 32,
            "num_attention_heads": 2,
            "iou_head_hidden_dim": 16,
        },
        initializer_range=0.5,
    )
    processor = SamImageProcessor(size={"longest_edge": size}, pad_size=_square(size), mask_size={"longest_edge": 16})
    _save(folder, SamModel(config), processor)


def build_keypoint_matching(folder: Path) -> None:
    """Write a SuperGlue with a SuperPoint detector."""
    from transformers import SuperGlueConfig, SuperGlueForKeypointMatching, SuperGlueImageProcessor, SuperPointConfig

    detector = SuperPointConfig(
        encoder_hidden_sizes=[8, 8, 16, 16],
        decoder_hidden_size=16,
        descriptor_decoder_dim=16,
        max_keypoints=20,
        initializer_range=0.5,
    )
    config = SuperGlueConfig(
        keypoint_detector_config=detector,
        hidden_size=16,
        keypoint_encoder_sizes=[8, 16],
        gnn_layers_types=["self", "cross"],
        num_attention_heads=2,
        sinkhorn_iterations=5,
    )
    _save(folder, SuperGlueForKeypointMatching(config), SuperGlueImageProcessor(size=_square(64)))


def build_video_classification(folder: Path) -> None:
    """Write a VideoMAE for four frames of 32 x 32. Its pipeline needs the package `av`."""
    from transformers import VideoMAEConfig, VideoMAEForVideoClassification, VideoMAEImageProcessor

    config = VideoMAEConfig(
        image_size=_IMAGE_SIZE,
        patch_size=_PATCH_SIZE,
        num_frames=4,
        tubelet_size=2,
        **_TRANSFORMER,
        **_labels(),
    )
    processor = VideoMAEImageProcessor(size={"shortest_edge": _IMAGE_SIZE}, crop_size=_square())
    _save(folder, VideoMAEForVideoClassification(config), processor)
