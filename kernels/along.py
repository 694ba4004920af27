"""What kernels along one axis share on every device: the axis checked, and moved to the end and back."""

from __future__ import annotations

import operator
from math import prod
from typing import Any

import numpy as np

REALS = "biuf"


def checked_axis(name: str, x: Any, axis: int) -> int:
    """The axis counted from the front; an IndexError for one outside the rank, a TypeError for a dtype that has no order."""
    if x.dtype.kind not in REALS:
        raise TypeError(f"{name}: takes bool, integers and floats, got {x.dtype}")
    place = operator.index(axis)
    if not -x.ndim <= place < x.ndim:
        where = f"expected {-x.ndim} to {x.ndim - 1}" if x.ndim else "a 0-d array has none"
        raise IndexError(f"{name}: axis {axis} is out of range for an array of shape {x.shape} ({where})")
    return place % x.ndim


def axis_last(axis: int, ndim: int) -> tuple[int, ...]:
    """The order of axes in which `axis` comes last, the others as they were."""
    return (*(a for a in range(ndim) if a != axis), axis)


def axis_back(axis: int, ndim: int) -> tuple[int, ...]:
    """The order that undoes `axis_last`."""
    order = list(range(ndim - 1))
    order.insert(axis, ndim - 1)
    return tuple(order)


def parts(shape: tuple[int, ...], axis: int) -> tuple[int, int, int]:
    """How many elements lie before, along and behind an axis."""
    return prod(shape[:axis]), shape[axis], prod(shape[axis + 1 :])


def accumulator(dtype: np.dtype) -> np.dtype:
    """The type in which sums and products are kept: 64 bits for bool and integers, a float's own for floats."""
    return np.dtype({"b": np.int64, "i": np.int64, "u": np.uint64}.get(dtype.kind, dtype))


def checked_count(name: str, k: int, size: int, axis: int) -> int:
    """How many of the elements along an axis are asked for; a ValueError if there are not so many."""
    count = operator.index(k)
    if not 0 <= count <= size:
        raise ValueError(f"{name}: k must be from 0 to {size}, the size of axis {axis}, got {k}")
    return count
