"""Copies that run along different axes on both sides, device-neutral: when a copy is a transposition, and of what.

Such a copy is a batch of matrices, element (i, j) of each read at i + j * step_in and written at i * step_out + j: whoever
goes along one side jumps on the other. `kernels.cpu.transposing` and `kernels.cuda.transposing` go by tiles that a cache
line fills on both sides. Elements are only moved, so their size is all that counts of their type.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import NamedTuple

from kernels.layout import Layout, merge_dimensions

SIZES = (1, 2, 4, 8, 16)  # bytes of an element


class Transposition(NamedTuple):
    """A batch of matrices that are transposed; strides in elements.

    rows: along which the source lies in memory, step_out apart in the result. columns: along which the result lies,
    step_in apart in the source. outer, outer_in, outer_out: the batch's sizes, slowest first, and its strides.
    """

    rows: int
    columns: int
    step_in: int
    step_out: int
    outer: tuple[int, ...]
    outer_in: tuple[int, ...]
    outer_out: tuple[int, ...]

    @property
    def count(self) -> int:
        """How many matrices there are."""
        return prod(self.outer)


def transposition(source: Layout, target: Layout) -> Transposition | None:
    """How a copy between two layouts of one shape and dtype transposes; None where it is no transposition.

    >>> import numpy as np
    >>> from kernels.layout import dense_layout
    >>> item = np.dtype("f4")
    >>> found = transposition(dense_layout((2, 3, 4), item, (0, 2, 1)), dense_layout((2, 3, 4), item))
    >>> found.count, found.rows, found.columns
    (2, 3, 4)
    """
    if not (source.aligned and target.aligned) or source.contiguous or source.dtype.itemsize not in SIZES or 0 in source.shape:
        return None
    order = sorted(range(target.ndim), key=lambda axis: (-abs(target.strides[axis]), axis))
    sizes, (read, written) = merge_dimensions(
        [source.shape[a] for a in order], [[k.strides[a] for a in order] for k in (source, target)]
    )
    if len(sizes) < 2 or written[-1] != 1 or abs(read[-1]) < 2 or 1 not in read:
        return None
    along = read.index(1)
    batch = range(len(sizes) - 1)

    def without(values: Sequence[int]) -> tuple[int, ...]:
        return tuple(values[k] for k in batch if k != along)

    return Transposition(
        sizes[along], sizes[-1], read[-1], written[along], without(sizes), without(read), without(written)
    )  # fmt: skip
