"""Inputs that many contracts share: datasets, and objects that look like one."""

from __future__ import annotations

from typing import Any


def dataset(items: list[Any]) -> Any:
    """A map-style dataset that, like many, does not raise IndexError past its end."""
    from torch.utils.data import Dataset

    class Items(Dataset):  # type: ignore[type-arg,misc]
        def __len__(self) -> int:
            return len(items)

        def __getitem__(self, index: int) -> Any:
            return items[index % len(items)]

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
    """Has a length and items, but is no torch dataset."""

    def __len__(self) -> int:
        return 1

    def __getitem__(self, index: int) -> str:
        return ["a"][index]


class Text(str):
    __slots__ = ()
