"""The contracts of the image, video, audio and multimodal tasks."""

from __future__ import annotations

from . import detection, documents, images, prompts, sounds, videos

CONTRACTS = (
    *images.CONTRACTS,
    *detection.CONTRACTS,
    *sounds.CONTRACTS,
    *documents.CONTRACTS,
    *prompts.CONTRACTS,
    *videos.CONTRACTS,
)
