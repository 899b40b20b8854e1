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
        state, forcing, scope = super()._state(), current_forcing(), current_scope()
        read_in = self._read_in.get(forcing)
        if read_in is not scope:
            if read_in is not None:  # else they were read just now
                settings, explanation = self._read(forcing)
                # What is held stays, such as the answers that all tests share.
                self._states[forcing] = state = replace(state, settings=settings, explanation=explanation)
            self._read_in[forcing] = scope
        return state
