"""Rows as the CPU's kernels take them: `kernels.rows`, with memory for the results and copies where those are needed."""

from __future__ import annotations

import numpy as np

from kernels import memory, rows


class RowView(rows.RowView):
    """A `kernels.rows.RowView` of NumPy arrays; `make` allocates a result."""

    __slots__ = ("make",)

    def __init__(self, shape: tuple[int, ...], strides: tuple[int, ...], dtype: np.dtype, axis: int, order: tuple) -> None:
        super().__init__(shape, strides, dtype, axis, order)
        self.make = memory.maker(self.permuted, dtype)

    def prepared(self, x: np.ndarray) -> np.ndarray:
        """x itself, or the copy that the view describes."""
        return np.ascontiguousarray(x) if self.copy else x


def rows_of(name: str, x: np.ndarray, axis: int) -> RowView:
    """The rows of x, an array of a supported type, along `axis`; errors name the function."""
    return rows.rows_of(name, x, axis, RowView)
