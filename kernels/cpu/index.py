"""Gather, put, scatter-add and masked selection on the CPU. See `kernels.index` for how indices are given."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from kernels import index as neutral
from kernels import memory
from kernels.cpu.data import broadcast, copy, from_pairs, pairs
from kernels.cpu.elementwise import apply  # noqa: F401  (kernels.index calls apply, broadcast and copy of this module)
from kernels.cpu.index_kernels import add_in_order, gather_rows, put_rows, sort_places, sum_segments, true_places, wrap_index
from kernels.cpu.reduce import count_nonzero

_here = sys.modules[__name__]
_NARROW = 8  # elements that lie together


def wrap_indices(
    index: np.ndarray, size: int, axis: int = 0, shape: tuple[int, ...] = (), negative: bool = True
) -> np.ndarray:
    """Indices for an axis of this size as int64, counted from the front, in C order.

    index: integers of any dtype, from -size (0 unless `negative`) to size - 1; another raises an IndexError that names the
    axis and `shape`.
    """
    if not isinstance(index, np.ndarray) or index.dtype.kind not in "iu":
        raise TypeError(f"indices must be an array of integers, got {getattr(index, 'dtype', type(index).__name__)}")
    index = np.ascontiguousarray(index, index.dtype.newbyteorder("=")).reshape(index.shape)
    out = memory.empty(index.shape, neutral.INT64)
    if index.size:
        bad = np.zeros(1, np.int64)
        lowest = -size if negative and index.dtype.kind == "i" else 0
        wrap_index[index.dtype].start(0, index.size, index, out, bad, size, lowest)
        if bad[0]:
            raise neutral.out_of_range(axis, size, shape, neutral.first_outside(index, lowest, size))
    return out


def gather(x: np.ndarray, indices: Sequence[np.ndarray], start: int = 0) -> np.ndarray:
    """x[..., indices, ...]: the elements at checked indices of the axes from `start` on; in C order.

    >>> import numpy as np
    >>> from kernels.cpu.index import gather
    >>> gather(np.array([[1.0, 2.0], [3.0, 4.0]]), [np.array([1, 0, 1])])
    array([[3., 4.],
           [1., 2.],
           [3., 4.]])
    """
    neutral.check_indices("gather", x.shape, indices, start)
    if neutral.is_wide(x.dtype):
        return from_pairs(gather(pairs(x), indices, start))
    out = memory.empty(neutral.result_shape(x.shape, indices, start), x.dtype)
    if out.size:
        x, rows, places = neutral.walked(_here, x, indices, start)
        bits = neutral.bits_of(x.dtype)
        gather_rows[bits](
            rows.outer * rows.count, x.view(bits), places, out.view(bits), rows.count, rows.inner, rows.outer_stride,
            rows.step, rows.inner_stride, work=rows.inner + 4,
        )  # fmt: skip
    return out


def put(
    x: np.ndarray, indices: Sequence[np.ndarray], values: np.ndarray, start: int = 0, unique: bool = False
) -> None:
    """x[..., indices, ...] = values in x's memory; of equal indices the last counts.

    values: of x's dtype, broadcast to the shape that `gather` gives; not in x's memory. unique: the caller knows that no
    index occurs twice.
    """
    neutral.check_indices("put", x.shape, indices, start)
    shape = neutral.result_shape(x.shape, indices, start)
    if not prod(shape):
        return
    if neutral.is_wide(x.dtype):
        return put(pairs(x), indices, pairs(values), start, unique)
    target, rows, places = neutral.walked(_here, x, indices, start)
    values, value_step = one_or_all(values, shape)
    bits = neutral.bits_of(x.dtype)
    put_rows[bits](
        rows.outer, target.view(bits), places, values.view(bits), rows.count, rows.inner, rows.outer_stride, rows.step,
        rows.inner_stride, value_step, work=rows.count * (rows.inner + 4),
    )  # fmt: skip
    if target is not x:
        copy(target, out=x)


def one_or_all(values: np.ndarray, shape: tuple[int, ...]) -> tuple[np.ndarray, int]:
    """Values of a shape in C order with step 1, or a single one with step 0."""
    if values.size == 1:
        return np.ascontiguousarray(values).reshape(1), 0
    if values.shape != shape:
        values = broadcast(values, shape)
    return np.ascontiguousarray(values), 1


def scatter_add(values: np.ndarray, indices: Sequence[np.ndarray], shape: tuple[int, ...], start: int = 0) -> np.ndarray:
    """Zeros of a shape with the values added at checked indices: the adjoint of `gather`.

    values: numbers of the shape that `gather` gives from an array of `shape`. What meets at one place is added in order,
    float32 in float64, by one thread.

    >>> import numpy as np
    >>> from kernels.cpu.index import scatter_add
    >>> scatter_add(np.array([1.0, 2.0, 3.0]), [np.array([0, 2, 0])], (3,))
    array([4., 0., 2.])
    """
    neutral.check_indices("scatter_add", shape, indices, start)
    if values.dtype.kind == "c":
        return from_pairs(scatter_add(pairs(values), indices, (*shape, 2), start))
    if values.dtype.kind not in "iuf":
        raise TypeError(f"scatter_add: adds numbers, got {values.dtype}")
    out = memory.empty(shape, values.dtype)
    if not out.size or not values.size:
        out.fill(0)
        return out
    end = start + len(indices)
    size, inner = prod(shape[start:end]), prod(shape[end:])
    places = neutral.places_of(_here, indices, neutral.steps_within(shape[start:end]))
    if inner <= _NARROW:
        return _add_in_order(values, places, out, size, inner)
    order, ends = memory.empty((places.size,), neutral.INT64), memory.empty((size,), neutral.INT64)
    sort_places[()].start(0, 1, places, order, ends, places.size, size)
    wide = {"i": np.int64, "u": np.uint64, "f": np.float64}[values.dtype.kind]
    items = prod(shape[:end])
    sum_segments[values.dtype, wide](
        items, np.ascontiguousarray(values), order, ends, out, places.size, size, inner, 0,
        work=max(1, (values.size + out.size) // items) + 4,
    )  # fmt: skip
    return out


def _add_in_order(values: np.ndarray, places: np.ndarray, out: np.ndarray, size: int, inner: int) -> np.ndarray:
    """One value after the other, float32 in an array of float64: less walking about in memory than sorting first."""
    total = out if values.dtype.kind != "f" or values.dtype.itemsize == 8 else memory.empty(out.shape, np.dtype(np.float64))
    outer = out.size // (size * inner)
    add_in_order[values.dtype, total.dtype](
        outer, np.ascontiguousarray(values), places, total, out, places.size, size, inner, int(total is not out),
        work=places.size * (inner + 4) + 2 * size * inner,
    )  # fmt: skip
    return out


def nonzero(mask: np.ndarray) -> list[Any]:
    """Where a bool array is True, in C order: an int64 array per axis."""
    if mask.dtype != np.bool_:
        raise TypeError(f"nonzero: takes a bool array, got {mask.dtype}")
    found = int(count_nonzero(mask))
    places = memory.empty((found + 8,), neutral.INT64)
    if found:
        flat = np.ascontiguousarray(mask).reshape(-1).view(np.uint8)
        whole = 0 if flat.ctypes.data % 8 else flat.size // 8 * 8
        words = flat[:whole].view(np.uint64)
        true_places[()].start(0, flat.size, flat, words, places, whole)
    return neutral.unravelled(_here, places[:found], mask.shape)
