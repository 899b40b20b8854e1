"""From a folder of files to a transformers pipeline. The heavy imports happen here, inside functions."""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from modelenv.deadlines import Deadline
from modelenv.environment.hub_client import hub_constants
from modelenv.environment.progress_bars import quiet_transformers
from modelenv.errors import ConfigurationError, ModelEnvError, ModelIntegrityError, UnsafeModelError
from modelenv.store.model_files import ModelFiles
from modelenv.store.needs import ADAPTER_CONFIG
from modelenv.store.parts import check_vocabulary

# transformers is imported once, on one thread: two threads that import it at the same time can deadlock. Its
# `from_pretrained` sets process-wide defaults (the dtype among them), so models are built one after the other too.
_building = threading.Lock()
REST_OF_A_PIPELINE = 4 << 20
"""Bytes of a pipeline beside its weights, for tokenizer and configuration: about what small models take."""


def load_pipeline(
    folder: Path,
    task: str,
    pipeline_kwargs: Mapping[str, Any],
    *,
    model: str,
    device: str,
    trust_remote_code: bool,
    deadline: Deadline,
) -> Any:
    """Build the transformers pipeline for `task` from the files in `folder`. Asks no network.

    Args:
        folder: a model's folder, already checked.
        task: a task of transformers' registry.
        pipeline_kwargs: further arguments for `transformers.pipeline`.
        model: the model's name, for errors.
        device: `auto`, or a torch device.
        trust_remote_code: whether code in the folder may run.
        deadline: the load's deadline; here it bounds the wait for another model that is being built.

    Raises:
        ConfigurationError: transformers or torch is missing, the installed transformers lacks the task, this machine
            the device, or an argument is unknown.
        ModelIntegrityError: transformers cannot load the files.
        UnsafeModelError: the model needs code of its own, which was not allowed.
        ModelLoadTimeoutError: another model was being built until the deadline.
    """
    with _turn_to_build(deadline, model):
        transformers = _import_transformers()
        _check_task(transformers, task)
        _check_peft(transformers, folder, model)
        place = _torch_device(device, model)
        # transformers writes into the dictionaries that it is given.
        own = {name: dict(value) if isinstance(value, dict) else value for name, value in pipeline_kwargs.items()}
        try:
            with quiet_transformers():
                pipeline = transformers.pipeline(
                    task, model=str(folder), device=place, trust_remote_code=trust_remote_code, **own
                )
        except Exception as error:
            raise _our_error(error, folder, task, model) from error
        _check_vocabularies(pipeline, ModelFiles.in_folder(folder, model), own)
        return pipeline


def _check_vocabularies(pipeline: Any, files: ModelFiles, given: Mapping[str, Any]) -> None:
    """Check that the tokenizers that came with the model had their vocabulary."""
    tokenizers = [] if "tokenizer" in given else [pipeline.tokenizer]
    if "processor" not in given:
        tokenizers.append(getattr(pipeline.processor, "tokenizer", None))
    for tokenizer in tokenizers:
        if tokenizer is not None:
            check_vocabulary(files, type(tokenizer).vocab_files_names)


def pipeline_bytes(pipeline: Any) -> int:
    """Return the bytes that a pipeline holds: the tensors of its models, each counted once, and the rest."""
    import torch

    models = [part for part in vars(pipeline).values() if isinstance(part, torch.nn.Module)]
    tensors = {id(tensor): tensor for model in models for tensor in (*model.parameters(), *model.buffers())}
    return REST_OF_A_PIPELINE + sum(int(tensor.numel()) * int(tensor.element_size()) for tensor in tensors.values())


def import_libraries() -> None:
    """Import torch and transformers, which takes seconds: done early, the first load need not wait for it."""
    with _building:
        _import_transformers()


@contextmanager
def _turn_to_build(deadline: Deadline, model: str) -> Iterator[None]:
    if not _building.acquire(timeout=deadline.remaining):
        raise deadline.passed(model, "waiting for another model to be built")
    try:
        yield
    finally:
        _building.release()


def _import_transformers() -> Any:
    hub_constants()  # which transformers imports too, and which raises an error of ours
    try:
        with _no_garbage_collection():
            import torch  # noqa: F401 - transformers imports without it, and fails later and less clearly
            import transformers

            transformers.pipeline  # noqa: B018 - imported when it is looked up, which takes as long as all the rest
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            f"real models need {error.name}, which is not installed",
            hint="pip install 'modelenv[transformers]'",
        ) from error
    except Exception as error:  # such as an OSError for a library of CUDA that is missing
        raise ConfigurationError(
            "real models need torch and transformers, and importing them failed",
            found=_said(error),
            hint="see what `python -c 'import torch, transformers'` says, and install versions that fit together",
        ) from error
    return transformers


@contextmanager
def _no_garbage_collection() -> Iterator[None]:
    """Look for no garbage: an import makes objects that stay, and going through them took a sixth of its time."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _check_task(transformers: Any, task: str) -> None:
    supported = transformers.pipelines.get_supported_tasks()
    if task not in supported:
        raise ConfigurationError(
            f"transformers {transformers.__version__} has no task {task!r}",
            expected="one of " + ", ".join(supported),
        )


def _check_peft(transformers: Any, folder: Path, model: str) -> None:
    """Check that an adapter beside the weights can be applied: without peft transformers leaves it out in silence."""
    if ADAPTER_CONFIG in ModelFiles.in_folder(folder, model).names and not transformers.utils.is_peft_available():
        raise ConfigurationError(
            "this model comes with an adapter, which needs peft, and peft is not installed",
            model=model,
            found=str(folder / ADAPTER_CONFIG),
            hint="pip install peft",
        )


def _torch_device(device: str, model: str) -> str:
    """Return the torch device for `device`; `auto` is CUDA, then MPS, then CPU.

    A number is the one of an accelerator, and -1 the CPU, as for `transformers.pipeline`.
    """
    import torch

    has_mps = torch.backends.mps.is_available()
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "mps" if has_mps else "cpu"
    name = "cpu" if device == "-1" else device
    if device.isdecimal():
        name = f"mps:{device}" if has_mps else f"cuda:{device}"
    try:
        torch.empty(0, device=name)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise ConfigurationError(
            f"this machine has no device {device!r}",
            model=model,
            expected="auto, cpu, cuda, cuda:1, mps and the like, or the number of an accelerator",
            found=_said(error),
        ) from error
    return name


def _our_error(error: Exception, folder: Path, task: str, model: str) -> ModelEnvError:
    said = _said(error)
    if "trust_remote_code" in str(error):
        return UnsafeModelError(
            "the model needs code that comes with it, and running that code was not allowed",
            model=model,
            found=said,
            hint="read the code first; then load_model(..., trust_remote_code=True), which a volume never allows",
        )
    if isinstance(error, TypeError) and "unexpected keyword argument" in str(error):
        return ConfigurationError(f"an argument is unknown to the task {task!r}", model=model, found=said)
    return ModelIntegrityError(
        f"transformers cannot load it for the task {task!r}",
        model=model,
        found=f"{said} (in {folder})",
        hint="check that the model is made for this task, that its files are complete, and the arguments given",
    )


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {next(iter(str(error).strip().splitlines()), 'no message')}"
