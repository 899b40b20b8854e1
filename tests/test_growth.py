"""The measurement of growth tells linear work from quadratic work."""

from __future__ import annotations

import pytest

from .growth import assert_linear


def test_linear_work_passes_and_squared_work_fails() -> None:
    def squared(size: int) -> None:
        for _ in range(size):
            sum(range(size))

    assert_linear(lambda size: sum(range(size)), 50_000, 400_000, times=8)
    with pytest.raises(AssertionError, match=r"times the work for 8 times the input$"):
        assert_linear(squared, 400, 3200, times=8)
