"""The files that the modules of a sentence-transformers model need. `modules.json` lists the modules.

The classes are those of sentence-transformers 6.2. A module of an unknown class requires no files.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from modelenv.errors import ModelIntegrityError, UnsafeModelError
from modelenv.files.layouts import CONFIG
from modelenv.store.model_files import ModelFiles
from modelenv.store.weights import PICKLED_WEIGHTS, WEIGHTS, weights_named

MODULES = "modules.json"
# The files of each class, and whether it also loads weights (`load_torch_weights`) from `model.safetensors`.
CLASSES: Mapping[str, tuple[tuple[str, ...], bool]] = MappingProxyType(
    {
        "BoW": ((CONFIG,), False),
        "CNN": (("cnn_config.json",), True),
        "Dense": ((CONFIG,), True),
        "Dropout": ((CONFIG,), False),
        "LSTM": (("lstm_config.json",), True),
        "LayerNorm": ((CONFIG,), True),
        "Pooling": ((CONFIG,), False),
        "SparseAutoEncoder": ((CONFIG,), True),
        "SparseStaticEmbedding": ((CONFIG,), True),
        "SpladePooling": ((CONFIG,), False),
        "StaticEmbedding": (("tokenizer.json",), True),
        "WeightedLayerPooling": ((CONFIG,), True),
        "WordEmbeddings": (("wordembedding_config.json",), True),
        "WordWeights": ((CONFIG,), False),
    }
)
TRANSFORMERS = frozenset({"CLIPModel", "MLMTransformer", "Transformer"})
ROUTERS = frozenset({"Asym", "Router"})
_ROUTER_CONFIGS = ("router_config.json", CONFIG)  # the second is its former name


@dataclass(frozen=True)
class Need:
    """A file that a load requires.

    Attributes:
        by: The file that requires it.
        any_of: The alternatives, preferred first. One of them must exist.
    """

    by: str
    any_of: tuple[str, ...]


def module_needs(files: ModelFiles) -> Iterator[Need]:
    """Yield the files that the modules need, whether they exist or not. Yields nothing without `modules.json`.

    Raises:
        ModelIntegrityError: A file that lists modules is damaged.
        UnsafeModelError: A module is outside of the model's folder.
    """
    if MODULES in files.names:
        for module in files.read(MODULES, list):
            if not isinstance(module, dict):
                raise _damaged(files, MODULES)
            yield from _needs(files, MODULES, module.get("path"), module.get("type"))


def _needs(files: ModelFiles, by: str, folder: Any, kind: Any) -> Iterator[Need]:
    if not isinstance(folder, str) or not isinstance(kind, str):
        raise _damaged(files, by)
    folder, name = _inside(files, by, folder), kind.rpartition(".")[2]
    if name in ROUTERS:
        yield from _router_needs(files, by, folder)
    elif name in TRANSFORMERS:
        yield Need(by, (_path(folder, CONFIG),))
        named = sorted(weights_named(files.below(folder)))
        yield from (Need(by, (_path(folder, weights),)) for weights in named)
        if not named:
            yield Need(by, (_path(folder, WEIGHTS), _path(folder, PICKLED_WEIGHTS)))
    elif name in CLASSES:
        own, has_weights = CLASSES[name]
        yield from (Need(by, (_path(folder, file),)) for file in own)
        if has_weights:
            yield Need(by, (_path(folder, WEIGHTS), _path(folder, PICKLED_WEIGHTS)))


def _inside(files: ModelFiles, by: str, folder: str) -> str:
    if posixpath.isabs(folder) or ".." in folder.split("/") or "\\" in folder or "\0" in folder:
        raise UnsafeModelError(
            "a module is outside of the model's folder",
            model=files.model,
            expected="the name of a folder in the model's folder",
            found=f"{files.place}/{by} names {folder!r}",
            hint="do not load this model: whoever can write to that place controls its output",
        )
    folder = posixpath.normpath(folder)
    return "" if folder == "." else folder


def _router_needs(files: ModelFiles, by: str, folder: str) -> Iterator[Need]:
    configs = tuple(_path(folder, name) for name in _ROUTER_CONFIGS)
    yield Need(by, configs)
    by = next((name for name in configs if name in files.names), configs[0])
    types = files.object(by).get("types", {})
    if not isinstance(types, dict):
        raise _damaged(files, by)
    for part, kind in types.items():
        if isinstance(kind, str) and kind.rpartition(".")[2] not in ROUTERS:
            yield from _needs(files, by, _path(folder, str(part)), kind)


def _path(folder: str, name: str) -> str:
    return f"{folder}/{name}" if folder else name


def _damaged(files: ModelFiles, name: str) -> ModelIntegrityError:
    return ModelIntegrityError(
        "a file is damaged: it does not list modules with their path and type",
        model=files.model,
        found=f"{files.place}/{name}",
    )
