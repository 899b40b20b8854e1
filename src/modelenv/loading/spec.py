"""The description of a pipeline to build, in this process or in a model host."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, eq=False)
class ModelSpec:
    """A pipeline to build from a folder.

    Attributes:
        folder: The model's folder, which was already checked.
        task: A task of transformers' registry.
        arguments: Further arguments for `transformers.pipeline`.
        model: The model's name, for errors.
        device: `auto`, or a torch device.
        trust_remote_code: Whether code in the folder can run.
    """

    folder: Path
    task: str
    arguments: Mapping[str, Any]
    model: str
    device: str
    trust_remote_code: bool = False
