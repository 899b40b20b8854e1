"""Python imports this at the start of each process of `modelenv adopt`. Then the user's own `sitecustomize` runs."""

from __future__ import annotations

import os
import sys
from importlib.machinery import PathFinder
from importlib.util import module_from_spec


def _run_the_next() -> None:
    """Run the `sitecustomize` that Python would have found without this folder."""
    here = os.path.dirname(os.path.abspath(__file__))  # noqa: PTH100, PTH120 - without another import
    sys.path[:] = [each for each in sys.path if os.path.abspath(each) != here]  # noqa: PTH100
    spec = PathFinder.find_spec("sitecustomize", sys.path)
    if spec is not None and spec.loader is not None:
        sys.modules["sitecustomize"] = module = module_from_spec(spec)
        spec.loader.exec_module(module)


def _start() -> None:
    try:
        from modelenv.adoption.starting import start
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != "modelenv":
            raise
        return  # another interpreter, which does not have modelenv
    start(os.environ)


if "MODELENV_ADOPTION" in os.environ:
    _start()
_run_the_next()
