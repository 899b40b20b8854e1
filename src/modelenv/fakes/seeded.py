"""Numbers and words drawn from a hash. They are the same for the same model and input in every process."""

from __future__ import annotations

import hashlib
import math
import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

_TEXT = (
    "the a of to and in is it was for on with as at by from this that with one two some many old new small long "
    "light dark red blue green first last time way day year people water house road tree river light city garden "
    "morning evening summer winter window table paper music story answer question number"
)
_WORDS = tuple(_TEXT.split())


def units(number: int, *parts: str | bytes) -> list[float]:
    """Return `number` draws from a uniform distribution over [0, 1). They depend only on `parts`."""
    encoded = [part if isinstance(part, bytes) else part.encode("utf-8", "surrogatepass") for part in parts]
    key = b"".join(b"%d:%b" % (len(part), part) for part in encoded)  # with lengths, ("a", "bc") is not ("ab", "c")
    draws = struct.unpack(f">{number}I", hashlib.shake_128(key).digest(4 * number))
    return [draw / 2**32 for draw in draws]


def logits(number: int, *parts: str | bytes) -> list[float]:
    """Return the outputs of a model with high confidence in one of `number` labels."""
    choice, *draws = units(number + 1, *parts)
    if number == 1:
        return [(0.5 + 3 * draws[0]) * (1 if choice < 0.5 else -1)]
    found = [2.5 * unit - 3 for unit in draws]
    winner = int(choice * number)
    found[winner] = math.log(number - 1) + 0.5 + 3 * draws[winner]
    return found


def words(number: int, *parts: str | bytes) -> list[str]:
    """Return `number` plain English words."""
    return [_WORDS[int(unit * len(_WORDS))] for unit in units(number, *parts)]


def softmax(outputs: Sequence[float]) -> list[float]:
    """Return `outputs` as probabilities that sum to 1."""
    highest = max(outputs)
    weights = [math.exp(output - highest) for output in outputs]
    total = sum(weights)
    return [weight / total for weight in weights]


def sigmoid(outputs: Sequence[float]) -> list[float]:
    """Return each of `outputs` as an independent probability."""
    return [1 / (1 + math.exp(-output)) for output in outputs]
