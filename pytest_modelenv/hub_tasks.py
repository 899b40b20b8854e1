"""The tasks of models whose marker names none: requested from the Hub, once per process."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pytest_modelenv.startup import hub_endpoint

if TYPE_CHECKING:
    from modelenv.errors import ModelEnvError
    from modelenv.manager import SmartModelManager
    from modelenv.references import ModelRef
    from pytest_modelenv.markers import ModelCall


@dataclass(frozen=True)
class HubTasks:
    """Requests the task of a model from the Hub, once for each model and endpoint. Errors are cached too."""

    _known: dict[tuple[str | None, ModelRef], str | ModelEnvError] = field(default_factory=dict)

    def task_of(self, call: ModelCall, manager: SmartModelManager) -> str | None:
        """Return the task of a model if neither its marker nor the project names one.

        Returns:
            None if no request is needed: the project names the task, or the source does not download (as with fakes).

        Raises:
            ModelEnvError: The request failed, or the Hub does not name a task of transformers.
        """
        from modelenv.loading.request import resolve_name

        named = resolve_name(manager.settings, call.name, call.pipeline_kwargs.get("revision"))
        if named.task is not None or not manager.environment.downloads:
            return None
        key = (hub_endpoint(), named.ref)
        if key not in self._known:
            self._known[key] = _asked(named.ref, manager)
        answer = self._known[key]
        if isinstance(answer, str):
            return answer
        raise answer.with_traceback(None)


def _asked(ref: ModelRef, manager: SmartModelManager) -> str | ModelEnvError:
    from modelenv.errors import ConfigurationError, ModelEnvError
    from modelenv.fetching.resolving import Locker
    from modelenv.store.store import Store
    from modelenv.tasks import resolve_task

    source, settings = manager.environment, manager.settings
    try:
        task = Locker(Store.of(source, settings), settings.timeout_of(source)).task(ref)
        if task is None:
            raise ConfigurationError("the Hub names no task for this model", model=str(ref))
        resolve_task(task)
    except ModelEnvError as error:
        error.add_note(
            "The marker names no task, so it was requested from the Hub. Name it: @pytest.mark.model(name, task=...)"
        )
        return error
    return task
