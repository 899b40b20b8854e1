"""The iterator that a pipeline returns for a generator or a dataset."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sized
from itertools import chain, islice
from typing import Any, NoReturn


class AnswerStream:
    """Computes the answers batch by batch, like `PipelineIterator` of `transformers/pipelines/pt_utils.py`.

    `next()` works only after `iter()`. A dataset can be iterated again. `len()` is the number of batches, and raises
    TypeError if the source has no length.
    """

    def __init__(self, source: Any, answer: Callable[[list[Any]], list[Any]], batch_size: int) -> None:
        self._source = source
        self._answer = answer
        self._batch_size = batch_size

    def __len__(self) -> int:
        return -(-len(self._source) // self._batch_size)

    def __getitem__(self, index: Any) -> NoReturn:
        raise NotImplementedError("the answers to a stream cannot be indexed: use list(…)")

    def __iter__(self) -> AnswerStream:
        self.iterator = chain.from_iterable(map(self._answer, self._batches()))
        return self

    def __next__(self) -> Any:
        return next(self.iterator)

    def _batches(self) -> Iterator[list[Any]]:
        items = _items(self._source)
        while batch := list(islice(items, self._batch_size)):
            yield batch


def _items(source: Any) -> Iterator[Any]:
    if isinstance(source, Iterable) and not (isinstance(source, Sized) and hasattr(source, "__getitem__")):
        return iter(source)
    # A dataset has __len__ and __getitem__, but an index past its end need not raise IndexError.
    return (source[index] for index in range(len(source)))
