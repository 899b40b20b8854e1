"""The worker's side of a stream: its inputs stay here, and each is sent when the host requests it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from types import GeneratorType
from typing import Any, NoReturn

from modelenv.host.client import HostClient
from modelenv.host.messages.call_context import continue_from, own_surroundings
from modelenv.host.messages.connection import HostConnection, exchange, one_request
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
    """Return the kind of iterable input `value` is, or None if the pipeline treats it as a single input."""
    if isinstance(value, GeneratorType):
        return "generator"
    data = sys.modules.get("torch.utils.data")  # without it in this process, no value is a dataset
    if data is None or not isinstance(value, data.Dataset):
        return None
    if isinstance(value, data.IterableDataset):
        return "iterable dataset"
    keyed = getattr(sys.modules.get("transformers.pipelines.pt_utils"), "KeyDataset", None)
    return "key dataset" if keyed is not None and isinstance(value, keyed) else "dataset"


class HostedStream:
    """The results of a pipeline over a stream. Each is computed when it is requested.

    As with a local pipeline, they can be iterated again, which starts again if the source is a dataset. `len()` is
    the number of batches.
    """

    def __init__(self, length: int | None, results: Iterator[Any], again: Callable[[], Any]) -> None:
        self._length = length
        self._results = results
        self._again = again
        self._is_taken = False

    def __len__(self) -> int:
        if self._length is None:
            raise TypeError("the results have no length, because the input has none")
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
    """Call the pipeline, or its attribute at `path`, with the source in `args[0]`. Returns what the pipeline returns.

    Raises:
        CannotCrossError: Another argument cannot be sent. No item was taken from the source.
        ModelHostError: The host ended, or an item or a result cannot be sent.
        Exception: The pipeline or the source raised it.
    """
    kind = kind_of_source(args[0])
    assert kind is not None  # noqa: S101 - the caller has checked it
    host = client.new_connection(recipe)  # other requests are sent while the results arrive
    source = _Source(args[0], kind)
    try:
        stream = Stream(recipe, path, kind, source.length, args[1:], kwargs, own_surroundings())
        first = _next_answer(host, source, recipe.model, exchange(host, stream, recipe.model))
    except BaseException:
        host.close()
        raise
    if isinstance(first, Started):
        return HostedStream(
            first.length,
            _results(host, source, recipe.model),
            lambda: run_stream(client, recipe, path, args, kwargs),
        )
    host.close()
    return first.value


class _Source:
    """Returns the inputs of a stream that the host requests, in order or by index."""

    def __init__(self, value: Any, kind: str) -> None:
        self._value = value
        self._is_indexed = kind in ("dataset", "key dataset")
        self._iterator: Iterator[Any] | None = None
        self._raised: Exception | None = None
        self.length = len(value) if kind != "generator" and hasattr(value, "__len__") else None

    def answer(self, request: NextItem) -> bytes:
        """Return the pickled message with the item, the end of the items, or the source's error."""
        try:
            return crossing(self._next(request))
        except CannotCrossError as error:
            self._raised = cannot_stream(error)
        except Exception as error:  # noqa: BLE001 - the host raises it in the pipeline, and it comes back from there
            self._raised = error
        return pickled(Failure.of(self._raised, is_known=_can_cross))

    def _next(self, request: NextItem) -> Item | EndOfItems:
        if self._is_indexed:
            return Item(self._value[request.index], own_surroundings())
        if self._iterator is None:
            self._iterator = iter(self._value)
        try:
            item = next(self._iterator)
        except StopIteration:
            return EndOfItems(own_surroundings())
        return Item(item, own_surroundings())

    def raise_own(self) -> NoReturn:
        """Raise the source's own error, which has come back from the host."""
        assert self._raised is not None  # noqa: S101 - the host has received it from here
        raise self._raised


def _results(host: HostConnection, source: _Source, model: str) -> Iterator[Any]:
    try:
        while True:
            with one_request(host, model):
                message = host.receive(model)
            answer = _next_answer(host, source, model, message)
            if isinstance(answer, EndOfItems):
                return
            yield answer.value
    finally:
        host.close()


def _can_cross(error: BaseException) -> bool:
    try:
        crossing(type(error))
    except CannotCrossError:
        return False
    return True


def _next_answer(host: HostConnection, source: _Source, model: str, message: Any) -> Any:
    """Return the host's next message that is not a request for another item."""
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
        with one_request(host, model):
            host.send(answer)
            message = host.receive(model)
