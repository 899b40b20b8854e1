"""The worker's side of a stream: its inputs stay here, and are given to the host as it asks for them."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from types import GeneratorType
from typing import Any, NoReturn

from modelenv.host.client import HostClient
from modelenv.host.messages.call_context import continue_from, own_surroundings
from modelenv.host.messages.connection import Line, asking, exchange
from modelenv.host.messages.pickling import CannotCrossError, crossing
from modelenv.host.messages.protocol import (
    CannotCross,
    EndOfItems,
    Item,
    NextItem,
    Recipe,
    SourceFailed,
    Started,
    Stream,
)
from modelenv.host.messages.remote_errors import Failure
from modelenv.host.messages.transport import pickled
from modelenv.host.recipes import cannot_stream


def kind_of_source(value: object) -> str | None:
    """Return what a pipeline takes a value for whose items it takes one by one; None where it takes it whole."""
    if isinstance(value, GeneratorType):
        return "generator"
    data = sys.modules.get("torch.utils.data")  # who has not imported it has no dataset
    if data is None or not isinstance(value, data.Dataset):
        return None
    if isinstance(value, data.IterableDataset):
        return "iterable dataset"
    keyed = getattr(sys.modules.get("transformers.pipelines.pt_utils"), "KeyDataset", None)
    return "key dataset" if keyed is not None and isinstance(value, keyed) else "dataset"


class HostedStream:
    """The results of a pipeline over a stream, each computed when it is taken.

    Like the local ones it may be iterated again, which begins anew with a dataset; `len()` counts batches.
    """

    def __init__(self, length: int | None, results: Iterator[Any], again: Callable[[], Any]) -> None:
        self._length = length
        self._results = results
        self._again = again
        self._is_taken = False

    def __len__(self) -> int:
        if self._length is None:
            raise TypeError("the results of a stream without a length have none")
        return self._length

    def __iter__(self) -> HostedStream:
        if self._is_taken:
            self._results = iter(self._again())
        self._is_taken = True
        return self

    def __next__(self) -> Any:
        return next(self._results)


def run_stream(
    client: HostClient, recipe: Recipe, path: tuple[str, ...], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    """Call what the path leads to over the source in `args[0]`; return what the pipeline returns.

    Raises:
        CannotCrossError: another argument cannot be sent. No item was taken yet.
        ModelHostError: the host ended, or an item or a result cannot be sent.
        Exception: what the pipeline raised, or the source.
    """
    kind = kind_of_source(args[0])
    assert kind is not None  # noqa: S101 - the caller has asked
    line = client.own_line(recipe)  # of its own, since results come while others ask
    source = _Source(args[0], kind)
    try:
        stream = Stream(recipe, path, kind, source.length, args[1:], kwargs, own_surroundings())
        first = _next_answer(line, source, recipe.model, exchange(line, stream, recipe.model))
    except BaseException:
        line.close()
        raise
    if isinstance(first, Started):
        return HostedStream(
            first.length,
            _results(line, source, recipe.model),
            lambda: run_stream(client, recipe, path, args, kwargs),
        )
    line.close()
    return first.value


class _Source:
    """Gives a stream's inputs, in the order or by the index that the host asks for."""

    def __init__(self, value: Any, kind: str) -> None:
        self._value = value
        self._is_indexed = kind in ("dataset", "key dataset")
        self._iterator: Iterator[Any] | None = None
        self._raised: Exception | None = None
        self.length = len(value) if kind != "generator" and hasattr(value, "__len__") else None

    def answer(self, question: NextItem) -> bytes:
        """Return the message with the item, or the end, or the error that came instead."""
        try:
            return crossing(self._next(question))
        except CannotCrossError as error:
            self._raised = cannot_stream(error)
        except Exception as error:  # noqa: BLE001 - it comes back through the host, as it would through a local pipeline
            self._raised = error
        return pickled(Failure.of(self._raised, is_known=_crosses))

    def _next(self, question: NextItem) -> Item | EndOfItems:
        if self._is_indexed:
            return Item(self._value[question.index], own_surroundings())
        if self._iterator is None:
            self._iterator = iter(self._value)
        try:
            item = next(self._iterator)
        except StopIteration:
            return EndOfItems(own_surroundings())
        return Item(item, own_surroundings())

    def raise_own(self) -> NoReturn:
        """Raise what the source itself has raised, which came back."""
        assert self._raised is not None  # noqa: S101 - the host has it from here
        raise self._raised


def _results(line: Line, source: _Source, model: str) -> Iterator[Any]:
    try:
        while True:
            with asking(line, model):
                message = line.receive(model)
            answer = _next_answer(line, source, model, message)
            if isinstance(answer, EndOfItems):
                return
            yield answer.value
    finally:
        line.close()


def _crosses(error: BaseException) -> bool:
    try:
        crossing(type(error))
    except CannotCrossError:
        return False
    return True


def _next_answer(line: Line, source: _Source, model: str, message: Any) -> Any:
    """Return the host's next message that is not a question for another item."""
    while True:
        if isinstance(message, SourceFailed):
            source.raise_own()
        if isinstance(message, Failure):
            message.raise_here()
        if isinstance(message, CannotCross):
            raise cannot_stream(CannotCrossError(message.reason))
        continue_from(message.surroundings)
        if not isinstance(message, NextItem):
            return message
        answer = source.answer(message)
        with asking(line, model):
            line.send(answer)
            message = line.receive(model)
