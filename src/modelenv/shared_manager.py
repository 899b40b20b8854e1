"""The manager that all tests of a run share: it follows the test, with the settings as they are in that test."""

from __future__ import annotations

from dataclasses import replace
from weakref import WeakKeyDictionary

from modelenv.environment.inputs import Inputs
from modelenv.forcing import Forcing, Scope, current_forcing, current_scope
from modelenv.loading.shared import Run
from modelenv.manager import SmartModelManager
from modelenv.manager_state import ManagerState


class SharedManager(SmartModelManager):
    """The manager of a test run. Any other reads its settings once in each environment, this one also in each test.

    They are read again only if something that they depend on has changed: tests are many, and most change nothing.

    Args:
        run: what the managers of the run share; used where no other is forced.
    """

    def __init__(self, run: Run) -> None:
        self._run = run
        self._looked_in: WeakKeyDictionary[Forcing, Scope] = WeakKeyDictionary()
        self._inputs: WeakKeyDictionary[Forcing, Inputs] = WeakKeyDictionary()
        super().__init__()

    def _state(self) -> ManagerState:
        state, forcing, scope = super()._state(), current_forcing(), current_scope()
        if self._looked_in.get(forcing) is scope:
            return state
        inputs = self._inputs.get(forcing)
        if inputs is not None and not inputs.are_unchanged():
            settings, explanation = self._read(forcing)
            # What is held stays, such as the answers that all tests share.
            self._states[forcing] = state = replace(state, settings=settings, explanation=explanation)
            inputs = None
        if inputs is None:
            self._inputs[forcing] = Inputs.of(state.settings)
        self._looked_in[forcing] = scope
        return state
