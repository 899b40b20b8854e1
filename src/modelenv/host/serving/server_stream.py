"""The host's side of a stream: a pipeline runs here over inputs that stay in the worker."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from multiprocessing.connection import Connection
from threading import Lock
from typing import Any

from modelenv.errors import ModelHostError
from modelenv.host.messages.call_context import Surroundings, Turn
from modelenv.host.messages.protocol import CannotCross, EndOfItems, Item, NextItem, SourceFailed, Started, Stream
from modelenv.host.messages.remote_errors import Failure
from modelenv.host.messages.transport import UnreadableError, receive, send
from modelenv.host.recipes import cannot_stream
from modelenv.host.serving.model_cache import in_one_process


class RunningStream:
    """Runs a pipeline over a worker's source, and sends one result at a time.

    Args:
        connection: The connection to the worker, used only for this stream.
        computing: The lock, which is held while the stream computes.
        stream: The worker's request.
    """

    def __init__(self, connection: Connection, computing: Lock, stream: Stream) -> None:
        self._connection = connection
        self._stream = stream
        self._turn = Turn(computing, stream.surroundings)
        self._of_source: BaseException | None = None

    def run(self, call: Callable[..., Any]) -> object:
        """Call the pipeline and send its results. Returns the last message, which the caller sends.

        It is the end of the results, a result that is not a stream, or the message that the source failed.
        """
        try:
            return self._run(call)
        except BaseException as error:
            if error is self._of_source:
                return SourceFailed()
            raise

    def _run(self, call: Callable[..., Any]) -> object:
        self._turn.begin()
        try:
            # This already takes the first item.
            results = call(self._source(), *self._stream.args, **in_one_process(self._stream.kwargs))
        finally:
            changes = self._turn.end()
        if not isinstance(results, Iterator):
            return Item(results, changes)
        send(self._connection, Started(_length(results), changes))
        iterator = None
        while True:
            self._turn.begin()
            try:
                iterator = iter(results) if iterator is None else iterator  # `iter` draws a random number
                message: Callable[[Surroundings], object] = partial(Item, next(iterator))
            except StopIteration:
                message = EndOfItems
            finally:
                changes = self._turn.end()
            if message is EndOfItems:
                return EndOfItems(changes)
            send(self._connection, message(changes), CannotCross.result)

    def _source(self) -> Any:
        """Return the iterable that represents the worker's source for the pipeline."""
        if self._stream.source == "generator":
            return self._items()
        from torch.utils.data import Dataset, IterableDataset
        from transformers.pipelines.pt_utils import KeyDataset

        stream = self

        class Sized:
            def __len__(self) -> int:
                return stream._stream.length or 0

        class Items(IterableDataset):  # type: ignore[misc]
            def __iter__(self) -> Iterator[Any]:
                return stream._items()

        class SizedItems(Sized, Items):
            pass

        class Indexed(Dataset):  # type: ignore[misc]
            def __getitem__(self, index: int) -> Any:
                return stream._ask(index).value

        class SizedIndexed(Sized, Indexed):
            pass

        class Keyed(Sized, KeyDataset):  # type: ignore[misc]
            def __init__(self) -> None:
                pass  # the dataset is in the worker

            def __getitem__(self, index: int) -> Any:
                return stream._ask(index).value

        has_length = self._stream.length is not None  # transformers iterates differently over a dataset with a length
        kinds = {
            "iterable dataset": SizedItems if has_length else Items,
            "dataset": SizedIndexed if has_length else Indexed,
            "key dataset": Keyed,
        }
        return kinds[self._stream.source]()

    def _items(self) -> Iterator[Any]:
        while True:
            message = self._ask(None)
            if isinstance(message, EndOfItems):
                return
            yield message.value

    def _ask(self, index: int | None) -> Any:
        """Request an item from the worker. The turn ends meanwhile, because the worker can need this host for it."""
        changes = self._turn.end()
        try:
            send(self._connection, NextItem(index, changes))
            message = self._receive()
            if not isinstance(message, Item | EndOfItems | Failure):
                raise ModelHostError("a worker did not send an item of its stream", found=repr(message))
            if not isinstance(message, Failure):
                self._turn.update(message.surroundings)
        finally:
            self._turn.begin()
        if isinstance(message, Failure):
            try:
                message.raise_here()
            except BaseException as error:
                self._of_source = error
                raise
        return message

    def _receive(self) -> Any:
        try:
            return receive(self._connection)
        except UnreadableError as error:
            raise cannot_stream(error) from error


def _length(results: Any) -> int | None:
    """Return the number of batches, or None if the results have no length."""
    try:
        return len(results)
    except TypeError:  # the source has no length
        return None
