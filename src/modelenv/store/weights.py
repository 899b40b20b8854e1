"""Finds the weights that a load reads, from `config.json` and the indexes, and checks that they are complete.

transformers joins every name in an index to the model's folder, even if it is absolute or leads out of the folder,
and unpickles a shard depending on its suffix (`get_checkpoint_shard_files` in transformers/utils/hub.py,
`load_state_dict` in transformers/modeling_utils.py). So the names in the index are checked before anything is loaded.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable

from modelenv.errors import ModelIntegrityError, UnsafeModelError
from modelenv.files.formats import no_weights_error
from modelenv.files.layouts import CONFIG
from modelenv.store.model_files import ModelFiles

PICKLES = (".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt")
# The files that transformers looks for, in this order, unless config.json names the weights
# (`_get_resolved_checkpoint_files` in transformers/modeling_utils.py). It does not load other safetensors files, such
# as a copy in another format.
WEIGHTS = "model.safetensors"
WEIGHTS_INDEX = "model.safetensors.index.json"
PICKLED_WEIGHTS = "pytorch_model.bin"
INDEX = ".index.json"
ADAPTER_WEIGHTS = "adapter_model.safetensors"
_ORDER = (WEIGHTS, WEIGHTS_INDEX, PICKLED_WEIGHTS, PICKLED_WEIGHTS + INDEX)
_EXPLICIT = "transformers_weights"
_LOADING_PICKLES = (
    "use a revision with safetensors, or, if you trust its author, call load_model(..., allow_pickle=True)"
)
LOCKING_PICKLES = (
    "use a revision with safetensors, or, if you trust its author, list its files in `files`, and load it with "
    "allow_pickle=True"
)
_PICKLED_WEIGHTS = re.compile(r"pytorch_model(-\d+-of-\d+)?\.bin(\.index\.json)?")


def pickled_weights(names: Iterable[str]) -> list[str]:
    """Return the files of a folder that transformers would unpickle to load the model, sorted."""
    names = set(names)
    if not names & {WEIGHTS, WEIGHTS_INDEX}:
        pickles = {name for name in names if _PICKLED_WEIGHTS.fullmatch(name)}
        if not pickles and not any(name.endswith(".safetensors") for name in names):
            pickles = {name for name in names if name.endswith(PICKLES)}
    else:
        pickles = set()
    if ADAPTER_WEIGHTS not in names:
        pickles |= names & {"adapter_model.bin"}
    return sorted(pickles)


def check_no_pickle(names: Iterable[str], *, model: str, allow_pickle: bool, place: str) -> None:
    """Check that a folder with these files contains weights, and that loading them runs no code.

    Args:
        names: The names of the files in the folder.
        model: The model's name, for errors.
        allow_pickle: Whether pickled weights are allowed.
        place: The folder or the repo, for errors.

    Raises:
        ModelIntegrityError: There are no weights.
        UnsafeModelError: The weights that would be loaded are pickled, and `allow_pickle` is false.
    """
    names = list(names)
    pickles = pickled_weights(names)
    if not pickles and not any(name.endswith(".safetensors") and name != ADAPTER_WEIGHTS for name in names):
        raise no_weights_error(names, model=model, place=place)
    if pickles and not allow_pickle:
        raise pickles_error(pickles, model, place)


def pickles_error(
    pickles: Iterable[str], model: str, place: str, *, hint: str = _LOADING_PICKLES
) -> UnsafeModelError:
    """Return the error for weights that would be unpickled."""
    return UnsafeModelError(
        "its weights are pickled, and loading a pickle runs the code in it",
        model=model,
        expected="safetensors",
        found=f"{', '.join(pickles)} in {place}",
        hint=hint,
    )


def check_weights(files: ModelFiles, *, allow_pickle: bool) -> frozenset[str]:
    """Check that the weights that transformers loads are complete, in the folder, and not pickled unless allowed.

    Returns:
        The paths of the weights: one file, or the shards of an index. Empty if transformers finds none.

    Raises:
        UnsafeModelError: An index or `config.json` names a file outside of the folder, or weights are pickled.
        ModelIntegrityError: An index is damaged, or some weights are missing.
    """
    check_indexes(files)
    named = weights_named(files)
    missing = sorted(named - files.names)
    if missing:
        raise ModelIntegrityError(
            f"{len(missing)} of {len(named)} weight files are missing",
            model=files.model,
            found=f"no {files.place}/{missing[0]}",
            hint="get the missing files from the same place as the others; the model is incomplete without them",
        )
    pickles = sorted(name for name in named if not name.endswith(".safetensors"))
    if pickles and not allow_pickle:
        raise pickles_error(pickles, files.model, files.place)
    return named


def weights_named(files: ModelFiles) -> frozenset[str]:
    """Return the paths of the weights that transformers would read, whether they exist or not.

    Raises:
        UnsafeModelError: The index or `config.json` names a file outside of the folder.
        ModelIntegrityError: The index or `config.json` is damaged.
    """
    explicit = files.object(CONFIG).get(_EXPLICIT)
    if explicit is None:
        first = next((name for name in _ORDER if name in files.names), None)
    else:
        first = _inside(explicit, CONFIG, files)
    if first is None:
        return frozenset()
    if not first.endswith(INDEX) or first not in files.names:
        return frozenset({first})
    return frozenset(_shards(first, files))


def check_indexes(files: ModelFiles) -> None:
    """Check that no index in any folder names weights outside of the model's folder.

    This includes indexes that transformers would not read by default, because another library or an argument of the
    call could select them. Whether their shards exist is not checked.

    Raises:
        UnsafeModelError: An index names weights outside of the folder.
    """
    for name in sorted(files.names):
        if name.endswith(INDEX):
            try:
                named = files.read(name, dict).get("weight_map")
            except ModelIntegrityError:
                continue  # a damaged index cannot be used for loading
            for shard in named.values() if isinstance(named, dict) else ():
                if isinstance(shard, str) and shard:
                    _inside(shard, name, files)


def _shards(index: str, files: ModelFiles) -> set[str]:
    """Return the paths of the shards. They are relative to the model's folder, wherever the index is."""
    mapping = files.object(index).get("weight_map")
    shards = list(mapping.values()) if isinstance(mapping, dict) else []
    if not shards or not all(isinstance(name, str) and name for name in shards):
        raise ModelIntegrityError(
            "a file is damaged: it does not list its weight files",
            model=files.model,
            found=f"{files.place}/{index}",
        )
    return {_inside(name, index, files) for name in shards}


def _inside(name: object, by: str, files: ModelFiles) -> str:
    """Return the path, relative to the model's folder, of the weights that the file `by` names."""
    if not isinstance(name, str) or not name:
        raise ModelIntegrityError(
            "a file is damaged: the name of its weights is not text", model=files.model, found=f"{files.place}/{by}"
        )
    parts = name.split("/")
    if posixpath.isabs(name) or ".." in parts or "\\" in name or "\0" in name:
        raise UnsafeModelError(
            "a file of the model names weights outside of the model's folder",
            model=files.model,
            expected="names of files in the folder",
            found=f"{files.place}/{by} names {name!r}",
            hint="do not load this model: whoever can write to that place controls its output",
        )
    return posixpath.normpath(name)
