"""A manager that all tests of a run share: it follows the test, and notices settings that a test has changed."""

from __future__ import annotations

from weakref import WeakKeyDictionary

from modelenv.environment.inputs import Inputs
from modelenv.forcing import Forcing, current_forcing, moment
from modelenv.loading.shared import Run
from modelenv.manager import SmartModelManager
from modelenv.manager_state import ManagerState


class SharedManager(SmartModelManager):
    """The manager of a test run. Any other reads its settings once in each environment, this one in each test.

    They are read again only if something they depend on has changed: tests are many, and most change nothing.

    Args:
        run: what the managers of the run share; used where no other is forced.
    """

    def __init__(self, run: Run) -> None:
        self._run = run
        self._inputs: WeakKeyDictionary[Forcing, Inputs] = WeakKeyDictionary()
        self._looked: object = None
        super().__init__()

    def _run_in(self, forcing: Forcing) -> Run:
        return forcing.run or self._run

    def _state(self) -> ManagerState:
        now = moment()
        if self._looked is not now:
            self._looked = now
            forcing = current_forcing()
            inputs = self._inputs.get(forcing)
            if inputs is not None and not inputs.are_unchanged():
                with self._lock:
                    self._states.pop(forcing, None)
                inputs = None
            if inputs is None:
                state = super()._state()
                self._inputs[forcing] = Inputs.of(state.settings)
                return state
        return super()._state()
