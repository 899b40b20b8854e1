"""Saves and restores the process-wide defaults that transformers changes while it builds a model."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Defaults:
    """The defaults of torch and transformers at one moment.

    `from_pretrained` of transformers 5 sets the default dtype. It also replaces functions that initialise weights,
    tie them, and create tensors, in torch's modules and in its own base class; see `transformers/initialization.py`.

    Attributes:
        dtype: The default dtype of torch.
        names: The names and values in each module and class that transformers changes.
    """

    dtype: Any
    names: tuple[tuple[Any, Mapping[str, Any]], ...]

    @classmethod
    def now(cls) -> Defaults:
        """Return the current defaults. The caller has imported both libraries."""
        import torch
        from transformers import modeling_utils

        names = getattr(sys.modules.get("transformers.initialization"), "TORCH_MODULES_TO_PATCH", ())
        patched = (sys.modules[name] for name in names if name in sys.modules)
        holders = (torch, torch.nn.init, *patched, modeling_utils, modeling_utils.PreTrainedModel)
        return cls(torch.get_default_dtype(), tuple((holder, dict(vars(holder))) for holder in holders))

    def restore(self) -> None:
        """Restore the dtype, and the functions, classes and booleans that have changed. Names added since stay."""
        import torch

        torch.set_default_dtype(self.dtype)
        for holder, before in self.names:
            for name, value in list(vars(holder).items()):
                old = before.get(name, value)
                if value is not old and (callable(old) or isinstance(old, bool)):
                    setattr(holder, name, old)
