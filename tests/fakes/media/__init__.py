"""The contracts of the tasks on images, video, audio and several of these together."""

from __future__ import annotations

from ..contract import Contract

CONTRACTS: tuple[Contract, ...] = ()
