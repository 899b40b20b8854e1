"""From a folder of files to a transformers pipeline. The heavy imports happen here, inside functions."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from modelenv import forks
from modelenv.deadlines import BUILDING, IMPORT_SECONDS, IMPORTING, Deadline, imports_not_counted
from modelenv.environment.hub_client import hub_constants
from modelenv.environment.progress_bars import quiet_transformers
from modelenv.errors import ConfigurationError, ModelEnvError, ModelIntegrityError, UnsafeModelError
from modelenv.loading.build_lock import BuildLock
from modelenv.loading.process_defaults import Defaults
from modelenv.loading.spec import ModelSpec
from modelenv.store.model_files import ModelFiles
from modelenv.store.needs import ADAPTER_CONFIG
from modelenv.store.parts import check_vocabulary

# transformers is imported once, on one thread: two threads that import it at the same time can deadlock.
_turns = BuildLock(Defaults.now)
_imported: list[bool] = []
REST_OF_A_PIPELINE = 4 << 20
"""Bytes of a pipeline beside its weights, for tokenizer and configuration: about what small models take."""


def load_pipeline(spec: ModelSpec, deadline: Deadline) -> Any:
    """Build a transformers pipeline from the files in its folder. Makes no request.

    Args:
        spec: What to build.
        deadline: The load's deadline. Here it bounds the wait for another model that is being built.

    Raises:
        ConfigurationError: transformers or torch is missing, the installed transformers lacks the task, this machine
            the device, or an argument is unknown.
        ModelIntegrityError: transformers cannot load the files.
        UnsafeModelError: the model needs code of its own, which was not allowed.
        ModelLoadTimeoutError: another model was being built until the deadline.
    """
    with deadline.stages.doing(IMPORTING):
        import_libraries()
    import transformers

    def build() -> Any:
        _check_task(transformers, spec.task)
        _check_peft(transformers, spec.folder, spec.model)
        place = _torch_device(spec.device, spec.model)
        # transformers writes into the dictionaries that it is given.
        own = {name: dict(value) if isinstance(value, dict) else value for name, value in spec.arguments.items()}
        try:
            with quiet_transformers():
                pipeline = transformers.pipeline(
                    spec.task, model=str(spec.folder), device=place, trust_remote_code=spec.trust_remote_code, **own
                )
        except Exception as error:
            raise _our_error(error, spec.folder, spec.task, spec.model) from error
        _check_vocabularies(pipeline, ModelFiles.in_folder(spec.folder, spec.model), own)
        return pipeline

    with deadline.stages.doing(BUILDING):
        return _turns.build(spec.model, deadline, build)


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
    """Import torch and transformers, which takes seconds: done early, the first load need not wait for it.

    No load's deadline counts this, see `modelenv.deadlines.imports_not_counted`.

    Raises:
        ConfigurationError: one of them is not installed, or cannot be imported in this process.
        ModelLoadTimeoutError: another thread's import does not end.
    """
    if not _imported:
        # These have hooks around forks that take locks, and must be registered before that by which forks wait for
        # the turn; see `forks.hold_off`.
        import concurrent.futures.thread  # noqa: F401

        import filelock  # noqa: F401

        with imports_not_counted(), _turns.importing(Deadline(IMPORT_SECONDS)):
            _import_transformers()
            _imported.append(True)


def _import_transformers() -> None:
    broken = sorted(forks.broken_imports())
    if broken:
        raise ConfigurationError(
            "torch cannot be used in this process",
            found=f"it was forked while another thread imported {broken[0]}",
            hint="import torch before you start threads, or fork before; or start processes with the method 'spawn'",
        )
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


def _after_fork(turns: BuildLock) -> None:
    """Let torch compute on one thread in a forked child: those that it began in the parent do not exist here.

    It would wait for them for ever, as soon as an operation is large enough for several threads.
    """
    torch = sys.modules.get("torch")
    if torch is not None and turns.has_built:
        torch.set_num_threads(1)


forks.at_fork(_turns, _after_fork)


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
        if (forked := _gpu_after_fork(error, model)) is not None:
            raise forked from error
        raise ConfigurationError(
            f"this machine has no device {device!r}",
            model=model,
            expected="auto, cpu, cuda, cuda:1, mps and the like, or the number of an accelerator",
            found=_said(error),
        ) from error
    return name


def _gpu_after_fork(error: Exception, model: str) -> ConfigurationError | None:
    """Return the error for a GPU that the parent used before the fork, or None if `error` is another one."""
    if "forked subprocess" not in str(error):  # torch's words, see torch.cuda._lazy_init
        return None
    return ConfigurationError(
        "torch cannot use the GPU in this process, which was forked from one that used it",
        model=model,
        found=_said(error),
        hint="start the process with the method 'spawn', or load models only after the fork; or device='cpu'",
    )


def _our_error(error: Exception, folder: Path, task: str, model: str) -> ModelEnvError:
    said = _said(error)
    if (forked := _gpu_after_fork(error, model)) is not None:
        return forked
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
