"""Runs code around the import of some modules, without importing anything itself.

A run that never imports these modules needs no other part of the guards: `guards` is imported with the first of them.

PYTEST_DONT_REWRITE: this module has no assertions, so pytest need not search it for them in every run.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence
    from contextlib import AbstractContextManager
    from importlib.abc import Loader
    from importlib.machinery import ModuleSpec
    from types import ModuleType

# The modules with guarded functions (`patches.TARGETS`), those of them whose requests are counted
# (`watched_calls.WATCHED`), and the modules that are slow to import.
PATCHED = (
    "hf_xet", "http.client", "httpcore", "httpcore2", "httpx", "httpx2", "safetensors", "safetensors.torch",
    "torch.serialization", "transformers.modeling_utils", "urllib3.connectionpool",
)  # fmt: skip
WATCHED = ("hf_xet", "http.client", "httpcore", "httpcore2", "urllib3.connectionpool")
HEAVY = ("torch", "transformers")


class ImportWatch:
    """Runs a context manager around the execution of watched modules.

    This is a finder in `sys.meta_path`. The modules keep their own loaders, so code that inspects the loaders sees no
    difference. Finding a module without importing it, as with `importlib.util.find_spec`, runs nothing.

    Args:
        names: The full names of the modules to watch.
        around: Returns the context manager for a module's name.
    """

    def __init__(self, names: Collection[str], around: Callable[[str], AbstractContextManager[None]]) -> None:
        self._names = frozenset(names)
        self._around = around

    def install(self) -> None:
        """Start watching."""
        sys.meta_path.insert(0, self)

    def uninstall(self) -> None:
        """Stop watching."""
        if self in sys.meta_path:
            sys.meta_path.remove(self)

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return the spec from the next finders, with its loader watched, or None for an unwatched module."""
        if fullname not in self._names or self not in sys.meta_path:
            return None
        for finder in sys.meta_path[sys.meta_path.index(self) + 1 :]:
            spec = finder.find_spec(fullname, path, target)
            if spec is not None:
                if spec.loader is not None and not isinstance(spec.loader, type):
                    self._watch(spec.loader, fullname)
                return spec
        return None

    def _watch(self, loader: Loader, name: str) -> None:
        execute = loader.exec_module

        def exec_module(module: ModuleType) -> None:
            __tracebackhide__ = True
            if module.__name__ != name:  # another module with the same loader
                execute(module)
                return
            vars(loader).pop("exec_module", None)
            with self._around(name):
                execute(module)

        vars(loader)["exec_module"] = exec_module
