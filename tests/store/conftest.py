"""The fixtures of the fetching tests, for the store tests."""

from __future__ import annotations

from ..fetching.conftest import Lock, MakeModel, hub, lock, make_model, store

__all__ = ["Lock", "MakeModel", "hub", "lock", "make_model", "store"]
