"""What transformers changes for the whole process while it builds a model, kept to be put back."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Defaults:
    """torch's and transformers' defaults at one moment.

    `from_pretrained` of transformers 5 sets the default dtype, and replaces functions that initialise weights, tie
    them, and make tensors, in torch's modules and in its own base class; see `transformers/initialization.py`.

    Attributes:
        dtype: torch's default.
        names: what each module and class had under its names.
    """

    dtype: Any
    names: tuple[tuple[Any, Mapping[str, Any]], ...]

    @classmethod
    def now(cls) -> Defaults:
        """Return them as they are. The caller has imported both libraries."""
        import torch
        from transformers import modeling_utils

        names = getattr(sys.modules.get("transformers.initialization"), "TORCH_MODULES_TO_PATCH", ())
        patched = (sys.modules[name] for name in names if name in sys.modules)
        holders = (torch, torch.nn.init, *patched, modeling_utils, modeling_utils.PreTrainedModel)
        return cls(torch.get_default_dtype(), tuple((holder, dict(vars(holder))) for holder in holders))

    def put_back(self) -> None:
        """Set what differs now: the dtype, functions, classes and switches. What was added meanwhile stays."""
        import torch

        torch.set_default_dtype(self.dtype)
        for holder, before in self.names:
            for name, value in list(vars(holder).items()):
                old = before.get(name, value)
                if value is not old and (callable(old) or isinstance(old, bool)):
                    setattr(holder, name, old)
