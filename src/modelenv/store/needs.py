"""Checks what a load reads besides configuration and weights, from the names of the files and the small ones."""

from __future__ import annotations

from collections.abc import Collection

from modelenv.errors import ModelIntegrityError
from modelenv.files.layouts import CONFIG
from modelenv.store.model_files import ModelFiles, Use
from modelenv.store.modules import module_needs
from modelenv.store.outside import check_nothing_outside, check_tokenizer_inside
from modelenv.store.parts import (
    GENERATION_CONFIG,
    PREPROCESSOR_CONFIG,
    PROCESSOR_CONFIG,
    TOKENIZER_CONFIG,
    VIDEO_CONFIG,
    check_parts,
    check_saved_files,
)
from modelenv.store.weights import LOCKING_PICKLES, PICKLES, pickles_error, weights_named

ADAPTER_CONFIG = "adapter_config.json"
# Files that transformers silently ignores, or reads late, if they are damaged.
_JSON = (
    ADAPTER_CONFIG, GENERATION_CONFIG, PREPROCESSOR_CONFIG, PROCESSOR_CONFIG, TOKENIZER_CONFIG, VIDEO_CONFIG,
    "added_tokens.json", "chat_template.json", "special_tokens_map.json",
)  # fmt: skip


def check_needs(files: ModelFiles, use: Use) -> None:
    """Check that a load has what it needs besides configuration and weights, and reads nothing from elsewhere.

    Raises:
        ModelIntegrityError: A file is missing or damaged.
        UnsafeModelError: Something that is not among the files would be read.
    """
    check_base(files)
    for name in _JSON:
        files.object(name)
    check_tokenizer_inside(files)
    if use.task is None:
        check_modules(files, use)
    else:
        check_parts(files, use)
        if not use.whole:
            check_saved_files(files, use)
    if use.closed:
        check_nothing_outside(files, use.task, use.given, runs_code=use.runs_code)


def lacking(files: ModelFiles, offered: Collection[str], *, modules: bool, pickles: bool = False) -> set[str]:
    """Return the missing files that the existing files name and the repo has.

    Args:
        files: The existing files.
        offered: The paths of all files of the repo.
        modules: Whether to include the files that the modules of sentence-transformers need.
        pickles: Whether to include pickled weights.

    Raises:
        ModelIntegrityError, UnsafeModelError: A file is damaged, or names something outside of the model's folder.
    """
    missing = set(weights_named(files))
    if modules:
        unmet = [need for need in module_needs(files) if not files.names & set(need.any_of)]
        best = (next((name for name in need.any_of if name in offered), None) for need in unmet)
        missing.update(name for name in best if name is not None)
    if not pickles:
        missing = {name for name in missing if not name.endswith(PICKLES)}
    return missing & set(offered) - files.names


def check_base(files: ModelFiles) -> None:
    """Check that the files are not an adapter without its base model.

    transformers would fetch the base from the Hub in its current state.

    Raises:
        ModelIntegrityError: The files are an adapter without its base model.
    """
    if ADAPTER_CONFIG not in files.names or CONFIG in files.names:
        return
    base = files.object(ADAPTER_CONFIG).get("base_model_name_or_path")
    raise adapter_error(files.model, files.place, base if isinstance(base, str) else None)


def adapter_error(model: str, place: str, base: str | None = None) -> ModelIntegrityError:
    """Return the error for an adapter without its base model."""
    named = "" if base is None else f", which names the base {base}"
    return ModelIntegrityError(
        "this is an adapter (LoRA or another kind of PEFT) without its base model",
        model=model,
        expected=f"a complete model, with {CONFIG} and its weights",
        found=f"only {ADAPTER_CONFIG} in {place}{named}",
        hint="merge the two with `merge_and_unload()` of peft, save the result with `save_pretrained` together with "
        "its tokenizer, and use that",
    )


def check_modules(files: ModelFiles, use: Use) -> None:
    """Check that the modules of a sentence-transformers model have their files.

    Raises:
        ModelIntegrityError: A file is missing or damaged.
        UnsafeModelError: A module is outside of the model's folder, or its weights are pickled without permission.
    """
    unmet = [need for need in module_needs(files) if not files.names & set(need.any_of)]
    if unmet:
        raise ModelIntegrityError(
            f"{len(unmet)} of the files that its modules need are missing",
            model=files.model,
            expected=f"{' or '.join(unmet[0].any_of)}, required by {unmet[0].by}",
            found=f"none in {files.place}",
            hint=use.hint,
        )
    met = (next(name for name in need.any_of if name in files.names) for need in module_needs(files))
    pickles = [name for name in met if name.endswith(PICKLES)]
    if pickles and not use.allow_pickle:
        raise pickles_error(pickles, files.model, files.place, hint=LOCKING_PICKLES)
