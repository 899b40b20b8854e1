"""Uses the small repos and the embedded Hub of `tests/fetching` in the tests of loads."""

from __future__ import annotations

from ..fetching.conftest import Lock, MakeModel, hub, lock, make_model, store

__all__ = ["Lock", "MakeModel", "hub", "lock", "make_model", "store"]
