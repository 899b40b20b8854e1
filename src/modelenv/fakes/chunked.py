"""The base of the fakes of `ChunkPipeline`, where a single input also goes through a data loader."""

from __future__ import annotations

from typing import Any

from modelenv.fakes.base import FakePipeline, check_loader


class FakeChunkPipeline(FakePipeline):
    """A `FakePipeline` that also checks `batch_size` and `num_workers` for a single input."""

    __slots__ = ()

    def _run(
        self, inputs: Any, *, num_workers: int | None = None, batch_size: int | None = None, **kwargs: Any
    ) -> Any:
        self._read_parameters(kwargs)  # an invalid argument is reported before an invalid batch size
        workers = num_workers if num_workers is not None else self._num_workers
        size = batch_size if batch_size is not None else self._batch_size
        check_loader(0 if workers is None else workers, 1 if size is None else size)
        return super()._run(inputs, num_workers=num_workers, batch_size=batch_size, **kwargs)
