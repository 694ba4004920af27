"""Shapes, strides and indices of views, as in NumPy: arithmetic on tuples, for arrays that are not NumPy's."""

from __future__ import annotations

import operator
from functools import lru_cache
from math import prod
from typing import Any

import numpy as np


@lru_cache(maxsize=1 << 14)
def dense_strides(shape: tuple[int, ...], itemsize: int) -> tuple[int, ...]:
    """The byte strides of C order.

    >>> dense_strides((2, 3), 4)
    (12, 4)
    """
    strides, step = [0] * len(shape), itemsize
    for axis in range(len(shape) - 1, -1, -1):
        strides[axis] = step
        step *= max(shape[axis], 1)
    return tuple(strides)


def byte_bounds(array: Any) -> tuple[int, int]:
    """The addresses of the first byte of an array's elements and of the one after the last."""
    low = high = array.pointer
    if not array.size:
        return low, high
    for size, stride in zip(array.shape, array.strides, strict=True):
        if stride < 0:
            low += (size - 1) * stride
        else:
            high += (size - 1) * stride
    return low, high + array.dtype.itemsize


def sizes(arguments: tuple) -> tuple[int, ...]:
    """`f(2, 3)`, `f((2, 3))` and `f(2)` as a tuple."""
    if len(arguments) == 1 and not hasattr(arguments[0], "__index__"):
        arguments = tuple(arguments[0])
    return tuple(map(operator.index, arguments))


def filled(shape: tuple[int, ...], size: int) -> tuple[int, ...]:
    """The shape with -1 replaced by what makes up `size` elements."""
    negative = [axis for axis, n in enumerate(shape) if n < 0]
    if len(negative) > 1:
        raise ValueError("can only specify one unknown dimension")
    if negative:
        rest = prod(n for n in shape if n >= 0)
        if rest and size % rest == 0:
            return tuple(size // rest if n < 0 else n for n in shape)
    elif prod(shape) == size:
        return shape
    raise ValueError(f"cannot reshape array of size {size} into shape {shape}")


def reshaped_strides(
    shape: tuple[int, ...], strides: tuple[int, ...], itemsize: int, wanted: tuple[int, ...]
) -> tuple[int, ...] | None:
    """The strides of a view of the same elements with the shape `wanted`, or None where only a copy has it."""
    dense = dense_strides(wanted, itemsize)
    if strides == dense_strides(shape, itemsize) or 0 in wanted:
        return dense
    old = [(n, s) for n, s in zip(shape, strides, strict=True) if n != 1]
    result: list[int] = []
    i = 0
    new = 0
    while new < len(wanted) and i < len(old):
        # The fewest axes on either side with the same number of elements: those here must be one run of memory.
        end, last = i + 1, new + 1
        count, made = old[i][0], wanted[new]
        while count != made:
            if made < count:
                made *= wanted[last]
                last += 1
            else:
                count *= old[end][0]
                end += 1
        if any(old[k][1] != old[k + 1][0] * old[k + 1][1] for k in range(i, end - 1)):
            return None
        step, group = old[end - 1][1], []
        for n in reversed(wanted[new:last]):
            group.append(step)
            step *= n
        result += reversed(group)
        i, new = end, last
    # Sizes of 1 are left over: any stride will do.
    return (*result, *[result[-1] if result else itemsize] * (len(wanted) - new))


def checked_index(item: Any, axis: int, size: int) -> int:
    """An index from 0 on, of an integer or an IndexError."""
    try:
        if isinstance(item, (bool, np.bool_)):
            raise TypeError
        index = operator.index(item)
    except TypeError:
        raise IndexError(
            "only integers, slices (`:`), ellipsis (`...`) and numpy.newaxis (`None`) are valid indices of a DeviceArray; "
            "kernels.cuda's indexing functions gather by arrays"
        ) from None
    if not -size <= index < size:
        raise IndexError(f"index {index} is out of bounds for axis {axis} with size {size}")
    return index + size if index < 0 else index
