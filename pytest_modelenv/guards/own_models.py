"""The weights that a guarded test can load: those that the run created, and small ones that belong to the tests."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

_TINY_MODELS = "modelenv-tiny-"  # the prefix of the private folder of `modelenv.testing.tiny_model`
_HUB_CACHE = "models--"  # the prefix of repository folders in a Hub cache
_TEST_FOLDERS = frozenset(("test", "tests"))
_SMALL = 16 << 20  # the maximum size of the tests' own weights, in bytes
_WEIGHTS = frozenset((".bin", ".ckpt", ".gguf", ".h5", ".msgpack", ".onnx", ".pt", ".pth", ".safetensors"))


@dataclass(frozen=True)
class OwnModels:
    """Tells weights that a test with fakes can load from others.

    Attributes:
        root: pytest's rootdir.
        test_paths: The folders in the ini-option `testpaths`.
        started: Returns when the run started, in seconds since the epoch.
        temporary: Returns the folders that belong only to this run.
    """

    root: Path
    test_paths: tuple[Path, ...]
    started: Callable[[], float]
    temporary: Callable[[], Iterable[Path]]

    def include(self, path: Path) -> bool:
        """Return whether a weights file, or a model's folder, can be loaded."""
        path = path.resolve()
        if self._is_temporary(path):
            return True
        if is_in_hub_cache(path):
            return False  # a download of this run or another
        weights = _weights(path)
        return self._are_new(weights) or (self._is_of_the_tests(path) and _size(weights) <= _SMALL)

    def _is_temporary(self, path: Path) -> bool:
        temporary = Path(tempfile.gettempdir()).resolve()
        if any(each.parent == temporary and each.name.startswith(_TINY_MODELS) for each in path.parents):
            return True
        return any(path.is_relative_to(folder.resolve()) for folder in self.temporary())

    def _are_new(self, weights: Iterable[Path]) -> bool:
        """Whether all files were written since the run started. Copies are new, but the targets of links are not."""
        return all(file.stat().st_ctime >= self.started() for file in weights)

    def _is_of_the_tests(self, path: Path) -> bool:
        root = self.root.resolve()
        if not path.is_relative_to(root):
            return False
        if not _TEST_FOLDERS.isdisjoint(path.relative_to(root).parts[:-1]):
            return True
        return any(path.is_relative_to(folder) for folder in self.test_paths if folder != root)


def is_in_hub_cache(path: Path) -> bool:
    """Return whether a resolved path is in a Hub cache, wherever the cache is."""
    return any(part.startswith(_HUB_CACHE) for part in path.parts)


def _weights(path: Path) -> list[Path]:
    """Return the weights files in a model's folder and its direct subfolders, or the path itself if it is a file."""
    if path.is_file():
        return [path]
    files = (file for pattern in ("*", "*/*") for file in path.glob(pattern))
    return [file for file in files if file.suffix in _WEIGHTS and file.is_file()]


def _size(files: Iterable[Path]) -> int:
    return sum(file.stat().st_size for file in files)
