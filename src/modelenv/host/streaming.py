"""The worker's side of a stream: its inputs stay here, and are given to the host as it asks for them."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from types import GeneratorType
from typing import Any

from modelenv.host.client import HostClient
from modelenv.host.lines import asking, exchange, received
from modelenv.host.protocol import CannotCross, EndOfItems, Item, NextItem, Recipe, Started, Stream
from modelenv.host.recipes import CannotCrossError, cannot_stream
from modelenv.host.remote_errors import Failure
from modelenv.host.surroundings import continue_from, own_surroundings
from modelenv.host.transport import send


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
    connection = client.own_line(recipe).connection  # of its own, since results come while others ask
    source = _Source(args[0], kind)
    try:
        stream = Stream(recipe, path, kind, source.length, args[1:], kwargs, own_surroundings())
        first = _next_answer(connection, source, recipe.model, exchange(connection, stream, recipe.model))
    except BaseException:
        connection.close()
        raise
    if isinstance(first, Started):
        return HostedStream(
            first.length,
            _results(connection, source, recipe.model),
            lambda: run_stream(client, recipe, path, args, kwargs),
        )
    connection.close()
    return first.value


class _Source:
    """Gives a stream's inputs, in the order or by the index that the host asks for."""

    def __init__(self, value: Any, kind: str) -> None:
        self._value = value
        self._is_indexed = kind in ("dataset", "key dataset")
        self._iterator: Iterator[Any] | None = None
        self.length = len(value) if self._is_indexed and hasattr(value, "__len__") else None

    def answer(self, question: NextItem) -> object:
        """Return the message with the item, or the end, or the error that came instead."""
        try:
            if self._is_indexed:
                return Item(self._value[question.index], own_surroundings())
            if self._iterator is None:
                self._iterator = iter(self._value)
            return Item(next(self._iterator), own_surroundings())
        except StopIteration:
            return EndOfItems(own_surroundings())
        except Exception as error:  # noqa: BLE001 - it comes back through the host, as it would through a local pipeline
            return Failure.of(error)


def _results(connection: Connection, source: _Source, model: str) -> Iterator[Any]:
    try:
        while True:
            with asking(connection, model):
                message = received(connection)
            answer = _next_answer(connection, source, model, message)
            if isinstance(answer, EndOfItems):
                return
            yield answer.value
    finally:
        connection.close()


def _next_answer(connection: Connection, source: _Source, model: str, message: Any) -> Any:
    """Return the host's next message that is not a question for another item."""
    while True:
        if isinstance(message, Failure):
            message.raise_here()
        if isinstance(message, CannotCross):
            raise cannot_stream(CannotCrossError(message.reason))
        continue_from(message.surroundings)
        if not isinstance(message, NextItem):
            return message
        answer = source.answer(message)
        with asking(connection, model):
            send(connection, answer, lambda error: Failure.of(cannot_stream(error)))
            message = received(connection)
