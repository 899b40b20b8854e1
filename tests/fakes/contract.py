"""What a contract consists of: a task, its call forms, and how their answers are described."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .structure import describe


class Args:
    """The arguments of a call that takes other than one positional input."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.args = args
        self.kwargs = kwargs


@dataclass(frozen=True)
class Case:
    """One call form.

    Attributes:
        name: unique within the contract.
        make: gives the input anew, as generators are spent by one call; or `Args`.
        call: keyword arguments of the call.
        build: keyword arguments of the pipeline.
        variant: the model, a key of the contract's `variants`; the empty one is the tiny model as it is.
        method: `__call__`, `predict` or `transform`.
        differs: why the fake does not hold the case; empty where it does.
    """

    name: str
    make: Callable[[], Any]
    call: dict[str, Any] = field(default_factory=dict)
    build: dict[str, Any] = field(default_factory=dict)
    variant: str = ""
    method: str = "__call__"
    differs: str = ""


@dataclass(frozen=True)
class Contract:
    """The call forms of one task.

    Attributes:
        task: as `transformers.pipeline` takes it.
        cases: at least eight.
        describe: gives an answer's structure and laws as text. Both pipelines must give the same text; nothing
            in it may depend on random weights.
        variants: by name, what makes another model of a copy of the tiny one (edits its files).
        needs: a package that the real pipeline needs besides; without it the contract is skipped.
    """

    task: str
    cases: tuple[Case, ...]
    describe: Callable[[Any, Case], str] = lambda answer, _: describe(answer)
    variants: Mapping[str, Callable[[Path], None]] = field(default_factory=dict)
    needs: str | None = None

    def outcome(self, case: Case, build: Callable[..., Any]) -> str:
        """Return the structure that `build(variant, **kwargs)` answers to the case, or its error's class."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a real pipeline warns of many call forms that it answers
            return self._outcome(case, build)

    def _outcome(self, case: Case, build: Callable[..., Any]) -> str:
        try:
            call = deepcopy(case.call)  # the real pipelines change some of their arguments
            pipe = build(case.variant, **deepcopy(case.build))
            made = case.make()
            args = made if isinstance(made, Args) else Args(made)
            answer = getattr(pipe, case.method)(*args.args, **{**args.kwargs, **call})
        except Exception as error:  # noqa: BLE001 (the class of the error is the answer)
            return type(error).__name__
        try:
            return self.describe(answer, case)
        except Exception as error:  # noqa: BLE001 (an answer of another kind than the contract's)
            return f"{type(answer).__name__} that cannot be described: {error!r}"
