"""A moment by which something must be done, shared by every step of it."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from modelenv.errors import ModelLoadTimeoutError


@dataclass(frozen=True)
class Deadline:
    """`seconds` from the moment it is made, on the monotonic clock."""

    seconds: float
    ends: float = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "ends", time.monotonic() + self.seconds)

    @property
    def remaining(self) -> float:
        """Seconds that are left, never less than 0."""
        return max(0.0, self.ends - time.monotonic())

    def passed(self, model: str, doing: str) -> ModelLoadTimeoutError:
        """Return the error that says that the deadline passed while `doing` something for `model`."""
        return ModelLoadTimeoutError(
            f"not loaded within {self.seconds:g} s",
            model=model,
            found=f"still {doing}",
            hint="give it more time with MODEL_TIMEOUT=<seconds> or load_model(..., timeout=<seconds>)",
        )
