"""Which weights a guarded test may load: those that the run made itself, and small ones that belong to the tests."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

_TINY_MODELS = "modelenv-tiny-"  # the private folder of `modelenv.testing.tiny_model`
_HUB_CACHE = "models--"  # the folders of repositories in a cache of the Hub begin so
_TEST_FOLDERS = frozenset(("test", "tests"))
_SMALL = 16 << 20  # bytes of weights
_WEIGHTS = frozenset((".bin", ".ckpt", ".gguf", ".h5", ".msgpack", ".onnx", ".pt", ".pth", ".safetensors"))


@dataclass(frozen=True)
class OwnModels:
    """Tells weights that a test with fakes may load from others.

    Attributes:
        root: pytest's rootdir.
        test_paths: the folders of the ini-option `testpaths`.
        started: when the run started, in seconds since the epoch.
        temporary: gives the folders that belong to this run alone.
    """

    root: Path
    test_paths: tuple[Path, ...]
    started: float
    temporary: Callable[[], Iterable[Path]]

    def include(self, path: Path) -> bool:
        """Return whether a file of weights, or the folder of a model, may be loaded."""
        path = path.resolve()
        if self._is_temporary(path):
            return True
        if is_in_hub_cache(path):
            return False  # a download, of this run or of another
        weights = _weights(path)
        return self._are_new(weights) or (self._is_of_the_tests(path) and _size(weights) <= _SMALL)

    def _is_temporary(self, path: Path) -> bool:
        temporary = Path(tempfile.gettempdir()).resolve()
        if any(each.parent == temporary and each.name.startswith(_TINY_MODELS) for each in path.parents):
            return True
        return any(path.is_relative_to(folder.resolve()) for folder in self.temporary())

    def _are_new(self, weights: Iterable[Path]) -> bool:
        """Whether all of them were written since the run started. A copy is new; what a link leads to is not."""
        return all(file.stat().st_ctime >= self.started for file in weights)

    def _is_of_the_tests(self, path: Path) -> bool:
        root = self.root.resolve()
        if not path.is_relative_to(root):
            return False
        if not _TEST_FOLDERS.isdisjoint(path.relative_to(root).parts[:-1]):
            return True
        return any(path.is_relative_to(folder) for folder in self.test_paths if folder != root)


def is_in_hub_cache(path: Path) -> bool:
    """Return whether a resolved path is in a cache of the Hub, wherever that is."""
    return any(part.startswith(_HUB_CACHE) for part in path.parts)


def _weights(path: Path) -> list[Path]:
    """Return the files of weights in a model's folder, with those of its parts; a file itself."""
    if path.is_file():
        return [path]
    files = (file for pattern in ("*", "*/*") for file in path.glob(pattern))
    return [file for file in files if file.suffix in _WEIGHTS and file.is_file()]


def _size(files: Iterable[Path]) -> int:
    return sum(file.stat().st_size for file in files)
