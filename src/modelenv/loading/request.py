"""A call of `load_model`, with its names resolved and its arguments checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from modelenv.environment.settings import Settings
from modelenv.environment.sources import ModelSource
from modelenv.errors import ConfigurationError, UnsafeModelError
from modelenv.loading.argument_checks import check_arguments
from modelenv.locks.locked_models import locked_model
from modelenv.references import ModelRef
from modelenv.tasks import resolve_task

if TYPE_CHECKING:
    from modelenv.locks.values import LockedModel


@dataclass(frozen=True)
class LoadRequest:
    """The model to load, and how.

    Attributes:
        ref: The model.
        task: A task of transformers' registry.
        task_name: The task as the caller named it. A fake needs it: `sentiment` is more specific than its task.
        arguments: The arguments of the pipeline, including those that the task's name implies.
        device: `auto` or a torch device.
        allow_pickle: Whether pickled weights can be loaded.
        trust_remote_code: Whether code that comes with the model can run.
        locked: The model in the project's lock, or None if it is not locked.
    """

    ref: ModelRef
    task: str
    task_name: str
    arguments: Mapping[str, Any]
    device: str
    allow_pickle: bool = False
    trust_remote_code: bool = False
    locked: LockedModel | None = None


@dataclass(frozen=True)
class NamedModel:
    """The model that a name refers to in a project.

    Attributes:
        ref: The model.
        task: The task that the alias or the project's lock declares, or None.
        locked: The model in the project's lock, or None if it is not locked.
    """

    ref: ModelRef
    task: str | None
    locked: LockedModel | None


def resolve_name(settings: Settings, name: str, revision: str | None = None) -> NamedModel:
    """Return the model that an alias or a repo id refers to.

    Raises:
        ConfigurationError: The name or the revision is invalid.
        LockfileError: The lock cannot be read, or was created from another declaration of the alias.
    """
    alias = settings.models.get(name)
    ref = ModelRef.parse(name, revision) if alias is None else alias.ref
    if alias is not None and revision is not None:
        ref = ModelRef.parse(ref.repo_id, revision)
    locked = locked_model(settings, name, ref)
    task = alias.task if alias is not None else None
    return NamedModel(ref, task or (locked.task if locked is not None else None), locked)


def resolve_request(
    settings: Settings,
    source: ModelSource,
    name: str,
    model_type: str | None,
    *,
    revision: str | None = None,
    allow_pickle: bool = False,
    trust_remote_code: bool = False,
    arguments: Mapping[str, Any],
) -> LoadRequest:
    """Resolve the names in a call to a repo and a task, add the arguments that the task implies, and check them all.

    Raises:
        ConfigurationError: The name, the task or an argument is invalid, or there is no task.
        UnsafeModelError: The call requests remote code in production, or pickled weights without `allow_pickle`.
        LockfileError: The lock cannot be read, or was created from another declaration of the alias.
    """
    named = resolve_name(settings, name, revision)
    ref, locked = named.ref, named.locked
    task_name = model_type or named.task
    if task_name is None:
        raise ConfigurationError(
            "no task was given for the model",
            model=name,
            expected="a task in the call, or in the declaration of the model in [tool.modelenv.models]",
            hint="pass the task, such as task='text-classification' in a marker, or load_model(name, task)",
        )
    if trust_remote_code and source is ModelSource.PERSISTENT_VOLUME:
        raise UnsafeModelError("remote code is never run from a persistent volume", model=ref.repo_id)
    task = resolve_task(task_name)
    arguments = {**task.pipeline_kwargs, **arguments}
    device = arguments.pop("device", None)
    device = settings.device if device is None else str(device)
    in_production = source is ModelSource.PERSISTENT_VOLUME
    check_arguments(arguments, name, in_production=in_production, allow_pickle=allow_pickle)
    return LoadRequest(ref, task.name, task_name, arguments, device, allow_pickle, trust_remote_code, locked)
