"""Inputs for many contracts: datasets, and similar objects."""

from __future__ import annotations

from collections.abc import Callable
from itertools import chain
from typing import Any

from ..structure import describe, repeated


def dataset(items: list[Any], *, ends: bool = True) -> Any:
    """Return a map-style dataset. If `ends` is False, it raises no IndexError past its end, like many datasets."""
    from torch.utils.data import Dataset

    class Items(Dataset):  # type: ignore[type-arg,misc]
        def __len__(self) -> int:
            return len(items)

        def __getitem__(self, index: int) -> Any:
            return items[index] if ends else items[index % len(items)]

    return Items()


def iterable_dataset(items: list[Any]) -> Any:
    from torch.utils.data import IterableDataset

    class Items(IterableDataset):  # type: ignore[type-arg,misc]
        def __iter__(self) -> Any:
            return iter(items)

    return Items()


def key_dataset(items: list[Any]) -> Any:
    from transformers.pipelines.pt_utils import KeyDataset

    return KeyDataset([{"text": item} for item in items], "text")


class Unregistered:
    """Has a length and items, but is not a torch dataset."""

    def __len__(self) -> int:
        return 1

    def __getitem__(self, index: int) -> str:
        return ["a"][index]


class Text(str):
    __slots__ = ()


class Recorder:
    """A streamer that records its input. A copy is the same object, so that a test can inspect the one it passed."""

    def __init__(self, name: str = "") -> None:
        self.name = name
        self.shown: list[str] = []

    def put(self, value: Any) -> None:
        # The streamers of transformers do the same.
        first = value[0].tolist() if len(value.shape) > 1 else value.tolist()
        self.shown.append(f"{value.dtype!s} {list(value.shape)} {describe(first)}")

    def end(self) -> None:
        self.shown.append("end")

    def heard(self) -> str:
        """Return the recorded input, and clear it."""
        text = ", ".join(repeated(self.shown))
        self.shown.clear()
        return text

    def __deepcopy__(self, memo: dict[int, Any]) -> Recorder:
        return self

    def __repr__(self) -> str:
        return f"Recorder({self.name})"  # part of test names, so it must be the same in every process


def wrong_inputs() -> dict[str, Callable[[], Any]]:
    """Return inputs that no text pipeline accepts as text, and inputs that are similar to text."""
    return {
        "empty list": list,
        "empty tuple": tuple,
        "None": lambda: None,
        "int": lambda: 1,
        "float": lambda: 1.5,
        "bool": lambda: True,
        "bytes": lambda: b"a",
        "set": lambda: {"a"},
        "range": lambda: range(2),
        "list iterator": lambda: iter(["a"]),
        "map": lambda: map(str, "ab"),
        "chain": lambda: chain(["a"], ["b"]),
        "list of None": lambda: [None],
        "list with None at the end": lambda: ["the [MASK]", None],
        "list of a number": lambda: [1],
        "dict": lambda: {"text": "the [MASK]"},
        "empty dict": dict,
        "list of dicts": lambda: [{"text": "the [MASK]"}],
        "list of lists": lambda: [["the [MASK]", "a [MASK]"]],
        "list of an empty list": lambda: [[]],
        "message": lambda: {"role": "user", "content": "the [MASK]"},
        "chat": lambda: [{"role": "user", "content": "the [MASK]"}],
        "list of chats": lambda: [[{"role": "user", "content": "the [MASK]"}]],
        "list of a chat and an empty one": lambda: [[{"role": "user", "content": "a"}], []],
        "chat with half a message": lambda: [{"role": "user", "content": "a"}, {"role": "user"}],
        "generator of a chat": lambda: (message for message in [{"role": "user", "content": "the [MASK]"}]),
        "generator of chats": lambda: (chat for chat in [[{"role": "user", "content": "the [MASK]"}]]),
        "empty generator": lambda: (text for text in ()),
        "generator with None": lambda: (text for text in ("the [MASK]", None)),
        "empty dataset": lambda: dataset([]),
        "dataset with None": lambda: dataset(["the [MASK]", None]),
        "no torch dataset": Unregistered,
    }


def texts_in_every_form(first: str, second: str, third: str) -> dict[str, Callable[[], Any]]:
    """Return one text, and several texts in every container that a pipeline accepts."""
    return {
        "text": lambda: first,
        "string subclass": lambda: Text(first),
        "list of one": lambda: [first],
        "list": lambda: [first, second, third],
        "tuple of one": lambda: (first,),
        "tuple of equal texts": lambda: (first, first),
        "tuple": lambda: (first, second),
        "generator": lambda: (text for text in (first, second, third)),
        "dataset": lambda: dataset([first, second, third]),
        "dataset of one": lambda: dataset([first]),
        "iterable dataset": lambda: iterable_dataset([first, second]),
        "key dataset": lambda: key_dataset([first, third]),
    }


BATCHES: list[dict[str, Any]] = [
    *({"batch_size": size} for size in (1, 2, 8, 0, -1, "x")),
    *({"num_workers": number} for number in (0, -1)),
]
