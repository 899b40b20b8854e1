"""The tensors that a fake returns.

If torch is imported, they are torch tensors. A fake never imports torch; without it, the answer is a `FakeTensor`,
which has what code needs to inspect an answer, and raises an error for any other name.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from collections.abc import Iterator


class FakeTensor:
    """Replaces a `torch.Tensor` on the CPU if torch is not imported. It contains a numpy array.

    It has a shape and a dtype, indexing, iteration, comparison with a number, `numpy`, `tolist`, `item`, `size`,
    `detach`, `cpu`, `squeeze` and `unsqueeze`.
    """

    __slots__ = ("_array",)

    def __init__(self, array: Any) -> None:
        self._array = array

    @property
    def shape(self) -> tuple[int, ...]:
        """The length of each dimension."""
        return tuple(self._array.shape)

    @property
    def ndim(self) -> int:
        """The number of dimensions."""
        return int(self._array.ndim)

    @property
    def dtype(self) -> str:
        """The name of torch's dtype, such as `torch.float32`."""
        return f"torch.{self._array.dtype}"

    def size(self, dim: int | None = None) -> Any:
        """Return the shape, or the length of one dimension."""
        return self.shape if dim is None else self.shape[dim]

    def dim(self) -> int:
        """Return the number of dimensions."""
        return self.ndim

    def numel(self) -> int:
        """Return the number of elements."""
        return int(self._array.size)

    def numpy(self) -> Any:
        """Return the numpy array."""
        return self._array

    def tolist(self) -> Any:
        """Return the elements as nested lists of Python numbers."""
        return self._array.tolist()

    def item(self) -> Any:
        """Return the only element as a Python number."""
        return self._array.item()

    def detach(self) -> FakeTensor:
        """Return the tensor itself, because it has no gradient."""
        return self

    def cpu(self) -> FakeTensor:
        """Return the tensor itself, because it is on the CPU."""
        return self

    def squeeze(self, dim: int | None = None) -> FakeTensor:
        """Return the tensor without its dimensions of length 1, or without one of them."""
        removable = dim is None or self._array.shape[dim] == 1
        return FakeTensor(self._array.squeeze(dim)) if removable else self

    def unsqueeze(self, dim: int) -> FakeTensor:
        """Return the tensor with an additional dimension of length 1."""
        return FakeTensor(self._array[None] if dim == 0 else self._array[..., None])

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        return self._array if dtype is None else self._array.astype(dtype)

    def __len__(self) -> int:
        return len(self._array)

    def __getitem__(self, index: Any) -> FakeTensor:
        return FakeTensor(self._array[index])

    def __iter__(self) -> Iterator[FakeTensor]:
        return map(FakeTensor, self._array)

    def __float__(self) -> float:
        return float(self._array)

    def __int__(self) -> int:
        return int(self._array)

    def __bool__(self) -> bool:
        return bool(self._array)

    def __lt__(self, other: Any) -> FakeTensor:
        return FakeTensor(self._array < other)

    def __gt__(self, other: Any) -> FakeTensor:
        return FakeTensor(self._array > other)

    def __repr__(self) -> str:
        return f"FakeTensor({self._array.tolist()}, dtype={self.dtype})"

    if not TYPE_CHECKING:  # so that a type checker still reports unknown names

        def __getattr__(self, name: str) -> NoReturn:
            raise AttributeError(
                f"this stand-in for a tensor has no {name!r}. If torch is imported before the fake is called, the "
                "answer is a real tensor"
            )


def as_tensor(array: Any) -> Any:
    """Return a numpy array as a torch tensor if torch is imported, otherwise as a `FakeTensor`."""
    torch = sys.modules.get("torch")
    return FakeTensor(array) if torch is None else torch.from_numpy(array)
