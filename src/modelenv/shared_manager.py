"""The manager that all tests of a run share: it follows the test, with the settings as they are in that test."""

from __future__ import annotations

from dataclasses import replace
from weakref import WeakKeyDictionary

from modelenv.forcing import Forcing, Scope, current_forcing, current_scope
from modelenv.loading.shared import Run
from modelenv.manager import SmartModelManager
from modelenv.manager_state import ManagerState


class SharedManager(SmartModelManager):
    """The manager of a test run. Any other reads its settings once in each environment, this one also in each test.

    Args:
        run: what the managers of the run share; used where no other is forced.
    """

    def __init__(self, run: Run) -> None:
        self._run = run
        self._read_in: WeakKeyDictionary[Forcing, Scope] = WeakKeyDictionary()
        super().__init__()

    def _state(self) -> ManagerState:
        forcing, scope = current_forcing(), current_scope()
        if self._read_in.get(forcing) is not scope:
            fresh = self._read(forcing)
            with self._lock:
                # What is held stays, such as the answers that all tests share.
                held = self._states.get(forcing, fresh)
                self._states[forcing] = replace(held, settings=fresh.settings, explanation=fresh.explanation)
                self._read_in[forcing] = scope
        return self._states[forcing]
