"""Sorting along an axis on the CPU: sort, argsort, topk; stable, and NaN counts as larger than every number."""

from __future__ import annotations

from functools import cache
from math import prod
from typing import Any

import numpy as np

from kernels import memory
from kernels.along import axis_back, axis_last, checked_axis
from kernels.cpu.compiler import Template
from kernels.cpu.data import copy
from kernels.cpu.sorting_kernels import sort_rows, take_rows

_INT64 = np.dtype(np.int64)
_SCRATCH = "from kernels.cpu.scratch import scratch"
_sort = Template(sort_rows, imports=_SCRATCH)
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
    rows = _rows(x, place)
    return _back(_order(rows, descending), place)


def sort_with_places(x: np.ndarray, axis: int = -1, descending: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """What `sort` and `argsort` give."""
    place = checked_axis("sort", x, axis)
    return _chosen(x, place, descending, x.shape[place])


def topk(x: np.ndarray, k: int, axis: int = -1, largest: bool = True) -> tuple[np.ndarray, np.ndarray]:
    """The k largest (or smallest) elements along an axis in order, and where they stood; of equals the first come first."""
    place = checked_axis("topk", x, axis)
    if not 0 <= k <= x.shape[place]:
        raise ValueError(f"topk: k must be from 0 to {x.shape[place]}, the size of axis {axis}, got {k}")
    return _chosen(x, place, largest, k)


def permuted(x: np.ndarray, places: np.ndarray, axis: int = -1) -> np.ndarray:
    """The elements of x at `places` along an axis. The shapes agree elsewhere, and the places are in range."""
    place = checked_axis("permuted", x, axis)
    rows, order = _rows(x, place), _rows(places, place)
    return _back(_taken(rows, order, order.shape[-1]), place)


def _chosen(x: np.ndarray, axis: int, descending: bool, count: int) -> tuple[np.ndarray, np.ndarray]:
    rows = _rows(x, axis)
    order = _order(rows, descending)
    values = _taken(rows, order, count)
    places = order if count == order.shape[-1] else order[..., :count]
    return _back(values, axis), _back(places, axis)


def _rows(x: np.ndarray, axis: int) -> np.ndarray:
    """The array with the axis last, in C order, native and aligned."""
    moved = x if axis == x.ndim - 1 else x.transpose(axis_last(axis, x.ndim))
    straight = moved.flags.c_contiguous and moved.flags.aligned and moved.dtype.isnative
    return moved if straight else copy(moved)


def _back(rows: np.ndarray, axis: int) -> np.ndarray:
    moved = rows if axis == rows.ndim - 1 else rows.transpose(axis_back(axis, rows.ndim))
    return moved if moved.flags.c_contiguous else copy(moved)


@cache
def _bits(dtype: np.dtype) -> tuple[np.dtype, int, int, int]:
    """The unsigned type of the same size; kind, sign bit and infinity as the loops want them."""
    unsigned = np.dtype(f"uint{8 * dtype.itemsize}")
    sign = 1 << (8 * dtype.itemsize - 1)
    infinity = int(np.array(np.inf, dtype).view(unsigned)) if dtype.kind == "f" else 0
    return unsigned, {"i": 1, "f": 2}.get(dtype.kind, 0), sign, infinity


def _order(rows: np.ndarray, descending: bool) -> np.ndarray:
    unsigned, kind, sign, infinity = _bits(rows.dtype)
    order, length = memory.empty(rows.shape, _INT64), rows.shape[-1]
    if order.size:
        keys = memory.empty(rows.shape, unsigned)
        is_long = length > 64
        spare = memory.empty(rows.shape, unsigned) if is_long else keys
        spare_order = memory.empty(rows.shape, _INT64) if is_long else order
        flip = (1 << 8 * unsigned.itemsize) - 1 if descending else 0
        arguments = (
            rows.view(unsigned), keys, spare, order, spare_order, length, unsigned.itemsize, kind,
            *(unsigned.type(n) for n in (sign, infinity, flip)),
        )  # fmt: skip
        _sort[unsigned](prod(rows.shape[:-1]), *arguments, work=length * (40 * unsigned.itemsize if is_long else 200))
    return order


def _taken(rows: np.ndarray, order: np.ndarray, count: int) -> np.ndarray:
    unsigned: Any = _bits(rows.dtype)[0]
    out = memory.empty((*rows.shape[:-1], count), rows.dtype)
    if out.size:
        length, stride = rows.shape[-1], order.shape[-1]
        items = prod(rows.shape[:-1])
        _take[unsigned](items, rows.view(unsigned), order, out.view(unsigned), length, stride, count, work=10 * count)
    return out
