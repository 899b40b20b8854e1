"""The contract of a task: its call forms, and how their answers are described."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .structure import describe


class Args:
    """The arguments of a call that does not have exactly one positional input."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.args = args
        self.kwargs = kwargs


@dataclass(frozen=True)
class Case:
    """One call form.

    Attributes:
        name: A name that is unique within the contract.
        make: Returns a new input, or `Args`. A generator, for example, can be used by only one call.
        call: The keyword arguments of the call.
        build: The keyword arguments of the pipeline.
        variant: The model: a key of the contract's `variants`, or an empty text for the unchanged tiny model.
        method: `__call__`, `predict` or `transform`.
        differs: Why the case fails for the fake, or an empty text if it passes.
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
        task: The task of `transformers.pipeline`.
        cases: The call forms, at least eight.
        describe: Returns the structure and the invariants of an answer as text. The text must be the same for both
            pipelines, so it must not depend on random weights.
        variants: Functions by name that change a copy of the tiny model into another one (by editing its files).
        needs: An additional package that the real pipeline needs. Without it the contract is skipped.
    """

    task: str
    cases: tuple[Case, ...]
    describe: Callable[[Any, Case], str] = lambda answer, _: describe(answer)
    variants: Mapping[str, Callable[[Path], None]] = field(default_factory=dict)
    needs: str | None = None

    def outcome(self, case: Case, build: Callable[..., Any]) -> str:
        """Return the structure of the answer of `build(variant, **kwargs)` to the case, or the class of its error."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a real pipeline warns about many valid call forms
            return self._outcome(case, build)

    def _outcome(self, case: Case, build: Callable[..., Any]) -> str:
        try:
            call = deepcopy(case.call)  # the real pipelines change some of their arguments
            pipe = build(case.variant, **deepcopy(case.build))
            made = case.make()
            args = made if isinstance(made, Args) else Args(made)
            answer = getattr(pipe, case.method)(*args.args, **{**args.kwargs, **call})
        except Exception as error:  # noqa: BLE001 - the class of the error is the outcome
            return type(error).__name__
        try:
            return self.describe(answer, case)
        except Exception as error:  # noqa: BLE001 - the answer is not of the expected kind
            return f"{type(answer).__name__} that cannot be described: {error!r}"
