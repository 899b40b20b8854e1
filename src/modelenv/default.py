"""The manager for those who need only one: made when `modelenv.model_manager` is first asked for."""

from __future__ import annotations

from modelenv.manager import SmartModelManager

model_manager = SmartModelManager()
