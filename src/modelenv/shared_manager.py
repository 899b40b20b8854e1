"""The manager that all tests of a run share. It uses the settings that apply in the current test."""

from __future__ import annotations

from dataclasses import replace
from weakref import WeakKeyDictionary

from modelenv.environment.inputs import Inputs
from modelenv.forcing import Forcing, Scope, current_forcing, current_scope
from modelenv.loading.shared import Run
from modelenv.manager import SmartModelManager
from modelenv.manager_state import ManagerState


class SharedManager(SmartModelManager):
    """The manager of a test run. Other managers read their settings once per environment, this one once per test.

    For speed, the settings are read again only if one of their inputs has changed.

    Args:
        run: The objects that the managers of the run share, unless the environment has a run of its own.
    """

    def __init__(self, run: Run) -> None:
        self._run = run
        self._checked_in: WeakKeyDictionary[Forcing, Scope] = WeakKeyDictionary()
        self._inputs: WeakKeyDictionary[Forcing, Inputs] = WeakKeyDictionary()
        super().__init__()

    def _state(self) -> ManagerState:
        state, forcing, scope = super()._state(), current_forcing(), current_scope()
        if self._checked_in.get(forcing) is scope:
            return state
        inputs = self._inputs.get(forcing)
        if inputs is not None and not inputs.are_unchanged():
            settings, explanation = self._read(forcing)
            # Keep the rest of the state, such as the answers that all tests share.
            self._states[forcing] = state = replace(state, settings=settings, explanation=explanation)
            inputs = None
        if inputs is None:
            self._inputs[forcing] = Inputs.of(state.settings)
        self._checked_in[forcing] = scope
        return state
