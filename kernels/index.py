"""Indexing by arrays of integers, device-neutral: what `kernels.cpu.index` and `kernels.cuda.index` have in common.

`indices` are int64 arrays, one per indexed axis, that `wrap_indices` of the device has checked; they broadcast together, and
the indexed axes are neighbours, from `start` on. Every array is then walked as (outer, places, inner): element (o, b, i)
lies at o * outer_stride + places[b] * step + i * inner_stride.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from math import prod
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

from kernels import formulas
from kernels.layout import Layout, broadcast_shapes, layout_of, merge_dimensions

INT64 = np.dtype(np.int64)


class Rows(NamedTuple):
    """How an array is walked; strides in elements."""

    outer: int
    count: int
    inner: int
    outer_stride: int
    step: int
    inner_stride: int


def bits_of(dtype: np.dtype) -> np.dtype:
    """The unsigned integers of the same size: what moves elements needs no other type."""
    return np.dtype(f"u{dtype.itemsize}")


def is_wide(dtype: np.dtype) -> bool:
    """Whether elements are larger than a number that moves them: they go as two halves, an axis of their own at the end."""
    return dtype.itemsize > 8 and dtype.kind == "c"


def broadcast_shape(indices: Sequence[Any]) -> tuple[int, ...]:
    """The common shape of index arrays."""
    return indices[0].shape if len(indices) == 1 else broadcast_shapes("indexing", *(i.shape for i in indices))


def check_indices(name: str, shape: tuple[int, ...], indices: Sequence[Any], start: int) -> None:
    """Raise unless there are int64 indices for axes that exist."""
    if not indices or not 0 <= start <= len(shape) - len(indices):
        raise ValueError(f"{name}: {len(indices)} index arrays from axis {start} on do not fit an array of shape {shape}")
    wrong = [i for i in indices if getattr(i, "dtype", None) != INT64]
    if wrong:
        raise TypeError(f"{name}: index arrays must be int64, got {getattr(wrong[0], 'dtype', type(wrong[0]).__name__)}")


def result_shape(shape: tuple[int, ...], indices: Sequence[Any], start: int) -> tuple[int, ...]:
    """The shape of what `gather` gives: the indices' common shape in place of the indexed axes."""
    return (*shape[:start], *broadcast_shape(indices), *shape[start + len(indices) :])


def places_of(backend: ModuleType, indices: Sequence[Any], weights: Sequence[int]) -> Any:
    """The sum of the indices, each times its weight: int64, in C order, of the indices' common shape."""
    if len(indices) == 1 and weights[0] == 1 and layout_of(indices[0]).contiguous:
        return indices[0]
    shape = broadcast_shape(indices)
    total = None
    for index, weight in zip(indices, weights, strict=True):
        part = index if weight == 1 else backend.apply(formulas.multiply, index, weight)
        total = part if total is None else backend.apply(formulas.add, total, part)
    if total.shape != shape or not layout_of(total).contiguous:  # type: ignore[union-attr]
        total = backend.copy(backend.broadcast(total, shape))
    return total


def steps_within(sizes: Sequence[int]) -> list[int]:
    """What a step along each of these axes counts, in C order."""
    return [prod(sizes[k + 1 :]) for k in range(len(sizes))]


def walked(backend: ModuleType, array: Any, indices: Sequence[Any], start: int) -> tuple[Any, Rows, Any]:
    """(the array, or a copy where only that can be walked; how to walk it; the places in it)."""
    found = _rows_in(backend, array, indices, start)
    if found is None:
        array = backend.copy(array)
        found = _rows_in(backend, array, indices, start)
    return array, *found  # type: ignore[misc]


def _rows_in(backend: ModuleType, array: Any, indices: Sequence[Any], start: int) -> tuple[Rows, Any] | None:
    """How to walk an array, and the places in it; None where only a copy of it can be walked so."""
    plan = _plan(layout_of(array), start, len(indices))
    if plan is None:
        return None
    outer, inner, strides = plan
    if len(strides) == 1:
        places, step = places_of(backend, indices, (1,)), strides[0]
    else:
        places, step = places_of(backend, indices, strides), 1
    return Rows(outer[0], places.size, inner[0], outer[1], step, inner[1]), places


@lru_cache(4096)
def _plan(layout: Layout, start: int, count: int) -> tuple[tuple[int, int], tuple[int, int], tuple[int, ...]] | None:
    """(size and stride before, size and stride behind, the strides of the indexed axes)."""
    end = start + count
    outer = _as_one_axis(layout.shape[:start], layout.strides[:start])
    inner = _as_one_axis(layout.shape[end:], layout.strides[end:])
    if not layout.aligned or outer is None or inner is None:
        return None
    return outer, inner, layout.strides[start:end]


def _as_one_axis(shape: Sequence[int], strides: Sequence[int]) -> tuple[int, int] | None:
    if 0 in shape:
        return 0, 0
    sizes, (steps,) = merge_dimensions(shape, [strides])
    if not sizes:
        return 1, 1
    return (sizes[0], steps[0]) if len(sizes) == 1 else None


def unravelled(backend: ModuleType, places: Any, shape: Sequence[int]) -> list[Any]:
    """Places in C order as one index array per axis."""
    if len(shape) < 2 or not places.size:
        return [places] * len(shape)
    found = []
    for axis, weight in enumerate(steps_within(shape)):
        index = places if weight == 1 else backend.apply(formulas.floor_divide, places, weight)
        found.append(backend.apply(formulas.remainder, index, shape[axis]) if axis else index)
    return found


def out_of_range(axis: int, size: int, shape: tuple[int, ...], index: Any) -> IndexError:
    """The error for an index that there is not."""
    return IndexError(f"index {index} is out of range for axis {axis} of size {size}" + (f" (shape {shape})" if shape else ""))


def first_outside(index: np.ndarray, lowest: int, size: int) -> Any:
    """The first of the indices that is out of range, None if all are in it."""
    flat = index.reshape(-1)
    wrong = (flat >= size) | (flat < lowest) if index.dtype.kind == "i" else flat >= size
    return flat[int(wrong.argmax())] if wrong.any() else None
