"""Arrays joined along an axis, device-neutral: what `kernels.cpu.joining` and `kernels.cuda.joining` have in common."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, pairwise
from math import prod
from typing import Any, NamedTuple


class Joint(NamedTuple):
    """The result as rows that are joined: each has a stretch of every piece.

    shape: the result's. starts: where in the axis each piece begins, and at last the axis's size. rows: how many there are.
    inner: elements that a step along the axis has.
    """

    shape: tuple[int, ...]
    starts: Sequence[int]
    rows: int
    inner: int

    def places(self, axis: int) -> list[tuple]:
        """The index of each piece's place in the result."""
        before = (slice(None),) * axis
        return [(*before, slice(a, b)) for a, b in pairwise(self.starts)]


def joint(arrays: Sequence[Any], axis: int) -> Joint:
    """How arrays are joined.

    Raises:
        ValueError: there are none, or their dtypes, devices or other sizes differ.
    """
    if not arrays:
        raise ValueError("concat: needs at least one array")
    first = arrays[0].shape
    shapes, dtypes = {a.shape for a in arrays}, {a.dtype for a in arrays}
    if not 0 <= axis < len(first):
        raise ValueError(f"concat: axis {axis} of arrays of {len(first)} dimensions")
    before, behind = first[:axis], first[axis + 1 :]
    if len(dtypes) > 1 or any(len(s) != len(first) or s[:axis] != before or s[axis + 1 :] != behind for s in shapes):
        listed = ", ".join(f"{a.dtype}{a.shape}" for a in arrays[:8]) + (", ..." if len(arrays) > 8 else "")
        raise ValueError(f"concat: {listed} must agree in dtype and in every size but that of axis {axis}")
    size = first[axis]
    if len(shapes) == 1:
        starts = range(0, size * len(arrays) + 1, size) if size else (0,) * (len(arrays) + 1)
    else:
        starts = [0, *accumulate([a.shape[axis] for a in arrays])]
    return Joint((*before, starts[-1], *behind), starts, prod(before), prod(behind))
