"""From a folder of files to a transformers pipeline. torch and transformers are imported here, inside functions."""

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

# Also held during the import of transformers: two threads that import it at the same time can deadlock.
_build_lock = BuildLock(Defaults.now)
_imported: list[bool] = []
REST_OF_A_PIPELINE = 4 << 20
"""An estimate of the bytes that a pipeline needs in addition to its weights, for tokenizer and configuration."""


def load_pipeline(spec: ModelSpec, deadline: Deadline) -> Any:
    """Build a transformers pipeline from the files in its folder. Makes no requests.

    Args:
        spec: The pipeline to build.
        deadline: The deadline of the load. It limits the wait for other builds in this process.

    Raises:
        ConfigurationError: transformers or torch is not installed, the installed transformers does not have the task,
            this machine does not have the device, or an argument is unknown.
        ModelIntegrityError: transformers cannot load the files.
        UnsafeModelError: The model needs its own code, which was not allowed.
        ModelLoadTimeoutError: Other models were being built until the deadline.
    """
    with deadline.stages.doing(IMPORTING):
        import_libraries()
    import transformers

    def build() -> Any:
        _check_task(transformers, spec.task)
        _check_peft(transformers, spec.folder, spec.model)
        place = _torch_device(spec.device, spec.model)
        # transformers changes the dictionaries that it receives.
        own = {name: dict(value) if isinstance(value, dict) else value for name, value in spec.arguments.items()}
        try:
            with quiet_transformers():
                pipeline = transformers.pipeline(
                    spec.task, model=str(spec.folder), device=place, trust_remote_code=spec.trust_remote_code, **own
                )
        except Exception as error:
            raise _translated(error, spec.folder, spec.task, spec.model) from error
        _check_vocabularies(pipeline, ModelFiles.in_folder(spec.folder, spec.model), own)
        return pipeline

    with deadline.stages.doing(BUILDING):
        return _build_lock.build(spec.model, deadline, build)


def _check_vocabularies(pipeline: Any, files: ModelFiles, given: Mapping[str, Any]) -> None:
    """Check that the tokenizers that were loaded with the model have their vocabulary."""
    tokenizers = [] if "tokenizer" in given else [pipeline.tokenizer]
    if "processor" not in given:
        tokenizers.append(getattr(pipeline.processor, "tokenizer", None))
    for tokenizer in tokenizers:
        if tokenizer is not None:
            check_vocabulary(files, type(tokenizer).vocab_files_names)


def pipeline_bytes(pipeline: Any) -> int:
    """Return the size of a pipeline in bytes: each tensor of its models once, and an estimate of the rest."""
    import torch

    models = [part for part in vars(pipeline).values() if isinstance(part, torch.nn.Module)]
    tensors = {id(tensor): tensor for model in models for tensor in (*model.parameters(), *model.buffers())}
    return REST_OF_A_PIPELINE + sum(int(tensor.numel()) * int(tensor.element_size()) for tensor in tensors.values())


def import_libraries() -> None:
    """Import torch and transformers. This takes seconds, so calling it early makes the first load faster.

    The time does not count for the deadline of any load; see `modelenv.deadlines.imports_not_counted`.

    Raises:
        ConfigurationError: One of them is not installed, or cannot be imported in this process.
        ModelLoadTimeoutError: The import in another thread does not end.
    """
    if not _imported:
        # Both register fork hooks that take locks. These must be registered before the hook with which a fork waits
        # for a build; see `forks.hold_off`.
        import concurrent.futures.thread  # noqa: F401 - for its fork hooks

        import filelock  # noqa: F401 - for its fork hooks

        with imports_not_counted(), _build_lock.importing(Deadline(IMPORT_SECONDS)):
            _import_transformers()
            _imported.append(True)


def _import_transformers() -> None:
    broken = sorted(forks.broken_imports())
    if broken:
        raise ConfigurationError(
            "torch cannot be used in this process",
            found=f"it was forked while another thread was importing {broken[0]}",
            hint="import torch before starting threads, fork before importing it, or use the 'spawn' start method",
        )
    hub_constants()  # transformers imports these too, but this raises our own error
    try:
        with _no_garbage_collection():
            import torch  # noqa: F401 - without torch, transformers fails later, with a less clear error
            import transformers

            transformers.pipeline  # noqa: B018 - the lookup imports it, which takes as long as everything else
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            f"real models need {error.name}, which is not installed",
            hint="pip install 'modelenv[transformers]'",
        ) from error
    except Exception as error:  # such as an OSError for a missing CUDA library
        raise ConfigurationError(
            "real models need torch and transformers, and importing them failed",
            found=_type_and_first_line(error),
            hint="run `python -c 'import torch, transformers'` to see the error, and install compatible versions",
        ) from error


@contextmanager
def _no_garbage_collection() -> Iterator[None]:
    """Context manager: disable garbage collection.

    The objects that an import creates stay, and searching them for garbage took a sixth of the import's time.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _after_fork(build_lock: BuildLock) -> None:
    """Make torch use one thread in a forked child, because the threads that it started in the parent do not exist.

    Otherwise the first operation that is large enough for several threads would wait for them forever.
    """
    torch = sys.modules.get("torch")
    if torch is not None and build_lock.has_built:
        torch.set_num_threads(1)


forks.at_fork(_build_lock, _after_fork)


def _check_task(transformers: Any, task: str) -> None:
    supported = transformers.pipelines.get_supported_tasks()
    if task not in supported:
        raise ConfigurationError(
            f"transformers {transformers.__version__} has no task {task!r}",
            expected="one of " + ", ".join(supported),
        )


def _check_peft(transformers: Any, folder: Path, model: str) -> None:
    """Check that an adapter in the folder can be applied. Without peft, transformers silently ignores it."""
    if ADAPTER_CONFIG in ModelFiles.in_folder(folder, model).names and not transformers.utils.is_peft_available():
        raise ConfigurationError(
            "the model comes with an adapter, which needs peft, but peft is not installed",
            model=model,
            found=str(folder / ADAPTER_CONFIG),
            hint="pip install peft",
        )


def _torch_device(device: str, model: str) -> str:
    """Return the name of a torch device that exists. `auto` means CUDA, else MPS, else CPU.

    As in `transformers.pipeline`, a number is the index of an accelerator, and -1 is the CPU.
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
            expected="auto, a torch device such as cpu, cuda, cuda:1 or mps, or the number of an accelerator",
            found=_type_and_first_line(error),
        ) from error
    return name


def _gpu_after_fork(error: Exception, model: str) -> ConfigurationError | None:
    """Return the error for a GPU that the parent process used before the fork, or None if it is another error."""
    if "forked subprocess" not in str(error):  # the message in torch.cuda._lazy_init
        return None
    return ConfigurationError(
        "torch cannot use the GPU in this process, because it was forked from one that used it",
        model=model,
        found=_type_and_first_line(error),
        hint="start the process with the 'spawn' method, load models only after the fork, or use device='cpu'",
    )


def _translated(error: Exception, folder: Path, task: str, model: str) -> ModelEnvError:
    found = _type_and_first_line(error)
    if (forked := _gpu_after_fork(error, model)) is not None:
        return forked
    if "trust_remote_code" in str(error):
        return UnsafeModelError(
            "the model needs code that comes with it, but running that code was not allowed",
            model=model,
            found=found,
            hint="read the code; if you trust it, use load_model(..., trust_remote_code=True), but not with a volume",
        )
    if isinstance(error, TypeError) and "unexpected keyword argument" in str(error):
        return ConfigurationError(f"the task {task!r} does not accept one of the arguments", model=model, found=found)
    return ModelIntegrityError(
        f"transformers cannot load it for the task {task!r}",
        model=model,
        found=f"{found} (in {folder})",
        hint="check that the model supports this task, that its files are complete, and that the arguments are right",
    )


def _type_and_first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {next(iter(str(error).strip().splitlines()), 'no message')}"
