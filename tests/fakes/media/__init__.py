"""The contracts of the tasks on images, video, audio and several of these together."""

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
