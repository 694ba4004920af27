"""Sorting along an axis on the GPU: sort, argsort; stable, and NaN counts as larger than every number."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from math import prod

import numpy as np

from kernels.along import axis_back, axis_last, checked_axis
from kernels.cuda.array import DeviceArray, empty
from kernels.cuda.compiler import Kernel, Template
from kernels.cuda.data import copy
from kernels.cuda.sorting_kernels import (
    float32_key,
    float64_key,
    goes_first,
    merge_stretches,
    signed_key,
    sort_tiles,
    take_rows,
    unsigned_key,
)
from kernels.template import plain_source

INT64 = np.dtype(np.int64)
_THREADS = 256
_TILES = (64, 256, 1024)  # elements that a block sorts: the smallest that holds all, if one does
KEYS = {"u": unsigned_key, "b": unsigned_key, "i": signed_key, "float32": float32_key, "float64": float64_key}
_merge = Template(merge_stretches)
_take = Template(take_rows)


def sort(x: DeviceArray, axis: int = -1, descending: bool = False) -> DeviceArray:
    """The elements in order along an axis: equal ones stay in their order, NaN last (first if descending).

    Raises:
        IndexError: the axis is outside the rank; a 0-d array has none.
    """
    return sort_with_places(x, axis, descending)[0]


def argsort(x: DeviceArray, axis: int = -1, descending: bool = False) -> DeviceArray:
    """Where the elements stood that `sort` gives, as int64."""
    place = checked_axis("argsort", x, axis)
    return rows_back(order_of(rows_of(x, place), descending), place)


def sort_with_places(x: DeviceArray, axis: int = -1, descending: bool = False) -> tuple[DeviceArray, DeviceArray]:
    """What `sort` and `argsort` give."""
    place = checked_axis("sort", x, axis)
    rows = rows_of(x, place)
    order = order_of(rows, descending)
    return rows_back(taken(rows, order, order.shape[-1]), place), rows_back(order, place)


def permuted(x: DeviceArray, places: DeviceArray, axis: int = -1) -> DeviceArray:
    """The elements of x at `places` along an axis. The shapes agree elsewhere, and the places are in range."""
    place = checked_axis("permuted", x, axis)
    rows, order = rows_of(x, place), rows_of(places, place)
    return rows_back(taken(rows, order, order.shape[-1]), place)


def rows_of(x: DeviceArray, axis: int) -> DeviceArray:
    """The array with the axis last, in C order and aligned."""
    moved = x if axis == x.ndim - 1 else x.transpose(axis_last(axis, x.ndim))
    return moved if moved.flags.c_contiguous and moved.flags.aligned else copy(moved)


def rows_back(rows: DeviceArray, axis: int) -> DeviceArray:
    moved = rows if axis == rows.ndim - 1 else rows.transpose(axis_back(axis, rows.ndim))
    return moved if moved.flags.c_contiguous else copy(moved)


def order_of(rows: DeviceArray, descending: bool) -> DeviceArray:
    order = empty(rows.shape, INT64, rows.device)
    if not rows.size:
        return order
    length, count = rows.shape[-1], prod(rows.shape[:-1])
    segment = min(max(1 << (length - 1).bit_length(), 2), _TILES[-1])
    tiles = -(-length // segment)
    tile = next((t for t in _TILES if t >= count * tiles * segment), _TILES[-1])
    first = _tiles_kernel(rows.dtype, descending, segment, tile)
    key = key_type(rows.dtype)
    keys = empty(rows.shape, key, rows.device)
    first(-(-count * tiles // (tile // segment)), rows, keys, order, count, length, tiles)
    if tiles > 1:
        spare_keys, spare_order = empty(rows.shape, key, rows.device), empty(rows.shape, INT64, rows.device)
        grid, width = -(-rows.size // _THREADS), segment
        while width < length:
            _merge[key](grid, keys, order, spare_keys, spare_order, rows.size, length, width)
            keys, order, spare_keys, spare_order = spare_keys, spare_order, keys, order
            width *= 2
    return order


def taken(rows: DeviceArray, order: DeviceArray, count: int) -> DeviceArray:
    out = empty((*rows.shape[:-1], count), rows.dtype, rows.device)
    if out.size:
        _take[rows.dtype](
            -(-out.size // _THREADS), rows, order, out, out.size, rows.shape[-1], order.shape[-1], count
        )
    return out


@cache
def key_source(kind: str) -> str:
    """The source of `key_of` for one kind of element."""
    return plain_source(KEYS[kind], "key_of")


def key_kind(dtype: np.dtype) -> str:
    """Which of KEYS a dtype has."""
    return dtype.name if dtype.kind == "f" else dtype.kind


def key_constants(dtype: np.dtype) -> dict[str, int]:
    """What `key_of` needs to know of the keys' 32 or 64 bits."""
    bits = 64 if dtype.itemsize == 8 else 32
    return {"SIGN_BIT": 1 << (bits - 1), "NOT_A_NUMBER": (1 << bits) - 1}


def key_type(dtype: np.dtype) -> np.dtype:
    """The unsigned integers that are the keys of a dtype's elements."""
    return np.dtype(np.uint64 if dtype.itemsize == 8 else np.uint32)


@cache
def _tiles_template(kind: str) -> Template:
    """The kernel with keys for one kind of element."""
    return Template(sort_tiles, uses=[key_source(kind), goes_first], name="sort_tiles")


def _tiles_kernel(dtype: np.dtype, descending: bool, segment: int, tile: int) -> Kernel:
    constants = {"TILE": tile, "SEGMENT": segment, "DESCENDING": int(descending), **key_constants(dtype)}
    return _tiles_template(key_kind(dtype)).specialised((dtype, key_type(dtype)), min(tile // 2, _THREADS), **constants)


VARIANTS: list[Callable[[], Kernel]] = [
    *(
        lambda dtype=dtype, segment=segment, tile=tile: _tiles_kernel(np.dtype(dtype), segment == 8, segment, tile)
        for dtype, segment, tile in (
            ("float32", 1024, 1024), ("float32", 8, 1024), ("float64", 1024, 1024), ("int32", 256, 256), ("int64", 64, 64),
            ("uint8", 1024, 1024), ("bool", 2, 64),
        )
    ),
    *(lambda key=key: _merge[np.dtype(key)] for key in ("uint32", "uint64")),
    *(lambda dtype=dtype: _take[np.dtype(dtype)] for dtype in ("float32", "float64", "int16", "bool")),
]  # fmt: skip
PROMISES: dict[str, tuple[str, ...]] = {"sort_tiles[*": ("LDS", "STS", "BAR.SYNC")}
