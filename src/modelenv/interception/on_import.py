"""Calls a function after a module was imported, without importing anything itself."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from importlib.abc import Loader
    from importlib.machinery import ModuleSpec
    from types import ModuleType


class OnImport:
    """A finder in `sys.meta_path` that calls a function after the first execution of each watched module.

    The modules keep their own loaders. Finding a module without importing it calls nothing.

    Args:
        actions: The functions by the full names of the modules.
    """

    def __init__(self, actions: Mapping[str, Callable[[], None]]) -> None:
        self._actions = dict(actions)

    def install(self) -> None:
        """Start watching, and call the functions of the modules that are imported already, in their order."""
        sys.meta_path.insert(0, self)
        for name in [name for name in self._actions if name in sys.modules]:
            self._call(name)

    def uninstall(self) -> None:
        """Stop watching."""
        self._actions.clear()
        if self in sys.meta_path:
            sys.meta_path.remove(self)

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return the spec from the next finders, with its loader watched, or None for an unwatched module."""
        if fullname not in self._actions or self not in sys.meta_path:
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
            execute(module)
            if module.__name__ == name:
                vars(loader).pop("exec_module", None)
                self._call(name)

        vars(loader)["exec_module"] = exec_module

    def _call(self, name: str) -> None:
        action = self._actions.pop(name, None)
        if action is not None:
            action()
