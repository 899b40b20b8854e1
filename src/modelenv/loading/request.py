"""One call of `load_model`, with its names resolved and checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modelenv.environment.settings import Settings
from modelenv.environment.sources import ModelSource
from modelenv.errors import ConfigurationError, UnsafeModelError
from modelenv.locks.locked_models import locked_model
from modelenv.references import ModelRef
from modelenv.tasks import resolve_task

if TYPE_CHECKING:
    from modelenv.locks.values import LockedModel

# Parts of a pipeline that `transformers.pipeline` takes by name, and then asks the Hub for.
_PARTS = ("tokenizer", "config", "feature_extractor", "image_processor", "processor")


@dataclass(frozen=True)
class LoadRequest:
    """What is to be loaded.

    Attributes:
        ref: the model.
        task: a task of transformers' registry.
        task_name: the task as the caller named it; `sentiment` tells a fake more than its task does.
        arguments: for the pipeline, those that the task's name implies among them.
        device: `auto` or a torch device.
        allow_pickle: whether pickled weights may be loaded.
        trust_remote_code: whether code that comes with the model may run.
        locked: what the project's lock says of the model, or None.
    """

    ref: ModelRef
    task: str
    task_name: str
    arguments: Mapping[str, Any]
    device: str
    allow_pickle: bool = False
    trust_remote_code: bool = False
    locked: LockedModel | None = None


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
    """Resolve a call's names: alias, repo id, task, and the arguments that the task implies.

    Raises:
        ConfigurationError: the name, the task or an argument is not valid, or no task was named.
        UnsafeModelError: remote code was asked for in production, or pickled weights without leave.
        LockfileError: the lock cannot be read, or was made from another declaration of the alias.
    """
    alias = settings.models.get(name)
    ref = ModelRef.parse(name, revision) if alias is None else alias.ref
    if alias is not None and revision is not None:
        ref = ModelRef.parse(ref.repo_id, revision)
    task_name = model_type or (alias.task if alias is not None else None)
    if task_name is None:
        raise ConfigurationError(
            "no task was named for the model",
            model=name,
            expected="load_model(name, task), or an alias of [tool.modelenv.models] with a task",
        )
    if trust_remote_code and source is ModelSource.PERSISTENT_VOLUME:
        raise UnsafeModelError("remote code is never run from a persistent volume", model=ref.repo_id)
    task = resolve_task(task_name)
    arguments = {**task.pipeline_kwargs, **arguments}
    device = arguments.pop("device", None)
    device = settings.device if device is None else str(device)
    _check_arguments(arguments, source, name, allow_pickle=allow_pickle)
    locked = locked_model(settings, name, ref)
    return LoadRequest(ref, task.name, task_name, arguments, device, allow_pickle, trust_remote_code, locked)


def _check_arguments(arguments: Mapping[str, Any], source: ModelSource, name: str, *, allow_pickle: bool) -> None:
    """Refuse what would load another model than the one that was found and checked."""
    for twice in ("model", "task"):
        if twice in arguments:
            raise ConfigurationError(
                f"{twice}= is no further argument of the pipeline",
                model=name,
                expected="load_model(name, task), each said once",
                found=f"{twice}={arguments[twice]!r}",
            )
    model_kwargs = arguments.get("model_kwargs") or {}
    if not allow_pickle and model_kwargs.get("use_safetensors") is False:
        raise UnsafeModelError(
            "pickled weights were asked for, and loading a pickle runs the code in it",
            model=name,
            found="use_safetensors=False in model_kwargs",
            hint="leave it out, or, if you trust the author, load_model(..., allow_pickle=True)",
        )
    if source is ModelSource.PERSISTENT_VOLUME:
        for part in _PARTS:
            value = arguments.get(part)
            if isinstance(value, str) and not Path(value).is_dir():
                raise ConfigurationError(
                    f"the {part} would come from the Hub, which is not asked in production",
                    model=name,
                    expected="a folder, or none: it comes with the model",
                    found=repr(value),
                )
