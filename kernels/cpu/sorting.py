"""Sorting along an axis on the CPU: sort, argsort; stable, and NaN counts as larger than every number."""

from __future__ import annotations

from functools import cache
from math import prod
from typing import Any

import numpy as np

from kernels import memory
from kernels.along import axis_back, axis_last, checked_axis
from kernels.cpu.compiler import Template
from kernels.cpu.data import copy
from kernels.cpu.sorting_kernels import key_of, rank_places, sort_rows, take_rows

_INT64 = np.dtype(np.int64)
SHORT = 128  # elements of a row that `rank_places` sorts
IMPORTS = "from kernels.cpu.intrinsics import select\nfrom kernels.cpu.scratch import scratch"
_sort = Template(sort_rows, [key_of, rank_places], imports=IMPORTS)
_take = Template(take_rows)


def sort(x: np.ndarray, axis: int = -1, descending: bool = False) -> np.ndarray:
    """The elements in order along an axis: equal ones stay in their order, NaN last (first if descending).

    Raises:
        IndexError: the axis is outside the rank; a 0-d array has none.
    """
    return sort_with_places(x, axis, descending)[0]


def argsort(x: np.ndarray, axis: int = -1, descending: bool = False) -> np.ndarray:
    """Where the elements stood that `sort` gives, as int64."""
    place = checked_axis("argsort", x, axis)
    rows = rows_of(x, place)
    return rows_back(order_of(rows, descending), place)


def sort_with_places(x: np.ndarray, axis: int = -1, descending: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """What `sort` and `argsort` give."""
    place = checked_axis("sort", x, axis)
    rows = rows_of(x, place)
    order = order_of(rows, descending)
    return rows_back(taken(rows, order, order.shape[-1]), place), rows_back(order, place)


def permuted(x: np.ndarray, places: np.ndarray, axis: int = -1) -> np.ndarray:
    """The elements of x at `places` along an axis. The shapes agree elsewhere, and the places are in range."""
    place = checked_axis("permuted", x, axis)
    rows, order = rows_of(x, place), rows_of(places, place)
    return rows_back(taken(rows, order, order.shape[-1]), place)


def rows_of(x: np.ndarray, axis: int) -> np.ndarray:
    """The array with the axis last, in C order, native and aligned."""
    moved = x if axis == x.ndim - 1 else x.transpose(axis_last(axis, x.ndim))
    straight = moved.flags.c_contiguous and moved.flags.aligned and moved.dtype.isnative
    return moved if straight else copy(moved)


def rows_back(rows: np.ndarray, axis: int) -> np.ndarray:
    moved = rows if axis == rows.ndim - 1 else rows.transpose(axis_back(axis, rows.ndim))
    return moved if moved.flags.c_contiguous else copy(moved)


@cache
def bits_of(dtype: np.dtype) -> np.dtype:
    """The unsigned integers of the same size."""
    return np.dtype(f"uint{8 * dtype.itemsize}")


@cache
def key_rules(dtype: np.dtype, descending: bool) -> tuple[np.unsignedinteger, ...]:
    """How the bits of an element become its key, as `key_of` wants it.

    The sign bit; what is turned over of positive and of negative numbers; the bits of the magnitude, and infinity's; the
    number that gets the key of +0 (it has that already where it is an integer); all bits for a descending order, or none.
    """
    sign, every = 1 << (8 * dtype.itemsize - 1), (1 << 8 * dtype.itemsize) - 1
    if dtype.kind == "f":
        rules = (sign, sign, every, sign - 1, int(np.array(np.inf, dtype).view(bits_of(dtype))), sign)
    elif dtype.kind == "i":
        rules = (sign, sign, sign, sign - 1, every, 0)
    else:
        rules = (sign, 0, 0, sign - 1, every, sign)
    return tuple(bits_of(dtype).type(n) for n in (*rules, every if descending else 0))


def order_of(rows: np.ndarray, descending: bool) -> np.ndarray:
    unsigned = bits_of(rows.dtype)
    order, length = memory.empty(rows.shape, _INT64), rows.shape[-1]
    if order.size:
        keys = memory.empty(rows.shape, unsigned)
        is_long = length > SHORT
        spare = memory.empty(rows.shape, unsigned) if is_long else keys
        spare_order = memory.empty(rows.shape, _INT64) if is_long else order
        _sort[unsigned](
            prod(rows.shape[:-1]), rows.view(unsigned), keys, spare, order, spare_order, length, unsigned.itemsize,
            *key_rules(rows.dtype, bool(descending)), work=length * (40 * unsigned.itemsize if is_long else 10 + length),
        )  # fmt: skip
    return order


def taken(rows: np.ndarray, order: np.ndarray, count: int) -> np.ndarray:
    unsigned: Any = bits_of(rows.dtype)
    out = memory.empty((*rows.shape[:-1], count), rows.dtype)
    if out.size:
        length, stride = rows.shape[-1], order.shape[-1]
        items = prod(rows.shape[:-1])
        _take[unsigned](items, rows.view(unsigned), order, out.view(unsigned), length, stride, count, work=10 * count)
    return out
