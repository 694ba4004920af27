"""argmax and argmin on the GPU, as `kernels.cuda.reduce` hands them on."""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import replace
from math import prod
from typing import Any

import numpy as np

from kernels.cuda import array as arrays
from kernels.cuda import reduce_plan as sizes
from kernels.cuda.argreduce_kernels import ArgVariant, arg_kernel_for, value_type
from kernels.cuda.array import DeviceArray, empty
from kernels.cuda.compiler import dtype_name
from kernels.cuda.data import copy
from kernels.cuda.reduce_operations import HALVES
from kernels.cuda.reduce_places import THREADS, WARP
from kernels.cuda.reduce_plan import VECTOR_BYTES, Geometry, alignment_of, bits_above
from kernels.layout import layout_of
from kernels.reduction import NUMBERS, check_dtype, check_place, place_shape

_INT64 = np.dtype(np.int64)
_MOST_PARTS = 2048  # a block merges the parts' results, eight of them per thread at most
_WIDEST = 4  # elements of a vector, in columns: each has a value and a place of its own
_PLANS = 1 << 12  # plans kept; a program with endless new shapes must not fill the memory
_calls: dict[tuple, Callable[[DeviceArray], DeviceArray]] = {}


def extreme_place(name: str, x: DeviceArray, axis: int | None, keepdims: bool) -> DeviceArray:
    """Where the largest (argmax) or smallest (argmin) element stands along `axis`; see `kernels.cuda.reduce`."""
    layout = layout_of(x)
    try:
        call = _calls.get((name, layout, axis, keepdims, x.pointer & 15))
    except TypeError:  # no such axis
        call = None
    if call is None:
        call = _caller(name, x, axis, keepdims)
        if len(_calls) >= _PLANS:
            _calls.clear()
        _calls[name, layout, axis, keepdims, x.pointer & 15] = call
    return call(x)


def _caller(name: str, x: DeviceArray, axis: Any, keepdims: bool) -> Callable[[DeviceArray], DeviceArray]:
    """What finds the places in arrays of this layout."""
    layout = layout_of(x)
    dtype, shape = layout.dtype, layout.shape
    if dtype not in HALVES:
        check_dtype(name, dtype, NUMBERS)
    out_shape = place_shape(name, shape, axis, keepdims)
    axes = tuple(range(len(shape))) if axis is None else (operator.index(axis) % len(shape),)
    if axis is None:
        check_place(name, (layout.size,), 0)
    else:
        check_place(name, shape, axes[0])
    if not prod(out_shape):
        return lambda x: empty(out_shape, _INT64, x.device)
    if not layout.aligned or x.pointer % layout.dtype.itemsize:  # a field of a structure: by way of the host
        straight = _Plan(name, shape, arrays.dense_strides(shape, 1), dtype, axes, out_shape, VECTOR_BYTES)
        return lambda x: straight(arrays.from_numpy(x.numpy(), x.device))
    if not Geometry(shape, layout.strides, axes, ordered=True).fits:
        straight = _Plan(name, shape, arrays.dense_strides(shape, 1), dtype, axes, out_shape, VECTOR_BYTES)
        return lambda x: straight(copy(x))
    return _Plan(name, shape, layout.strides, dtype, axes, out_shape, alignment_of(x))


class _Plan:
    """How argmax or argmin runs on one layout."""

    __slots__ = ("grid", "kernel", "merge", "merge_grid", "merge_tail", "partial", "shape", "shifted", "tail", "variant")

    def __init__(
        self,
        name: str,
        shape: tuple[int, ...],
        strides: tuple[int, ...],
        element: np.dtype,
        axes: tuple[int, ...],
        out_shape: tuple[int, ...],
        alignment: int,
    ) -> None:
        self.shape = out_shape
        geometry = Geometry(shape, strides, axes, ordered=True)
        outputs, length = geometry.outputs, geometry.length
        kept, reduced, arguments, places = geometry.padded()
        wide = max(outputs, length) >= sizes.NARROW
        self.variant = ArgVariant(name, dtype_name(element), "lanes", 1, 1, kept, reduced, wide=wide)
        most = alignment // element.itemsize
        lay_out = self._down_columns if geometry.columns else self._along_rows
        parts = lay_out(geometry, element, most, arguments, places)
        self.merge = self.partial = None
        if parts > 1:
            self.variant = replace(self.variant, last=False)
            self.partial = (outputs, parts), np.dtype(value_type(dtype_name(element)))
            form = "block" if parts > 8 * WARP else "lanes"
            merge = ArgVariant(name, value_type(dtype_name(element)), form, 1, 4, 1, 1, wide=wide, merge=True)
            lanes = min(bits_above(parts), bits_above(WARP))
            self.merge = arg_kernel_for(merge)
            self.merge_grid = outputs if form == "block" else -(-outputs // (THREADS >> lanes))
            self.merge_tail = (outputs, parts, 1, parts, *((lanes,) * (form == "lanes")), parts, 1)
        self.kernel = arg_kernel_for(self.variant)

    def _along_rows(self, geometry: Geometry, element: np.dtype, most: int, arguments: tuple, places: tuple) -> int:
        width, peel = sizes.row_vectors(geometry, element, most)
        parts, part_length = sizes.row_parts(geometry, element, _MOST_PARTS)
        vectors = -(-geometry.length // width)
        tail = (geometry.outputs, geometry.length, parts, part_length)
        unroll = 2 if width > 4 else 4 if width * element.itemsize >= 8 else 8
        if sizes.takes_block(geometry):
            form, self.grid = "block", geometry.outputs * parts
        else:
            short, lanes = sizes.lanes_of(geometry.outputs, vectors, width, peel, unroll)
            form, self.grid, tail = "lanes", -(-geometry.outputs // (THREADS >> lanes)), (*tail, lanes)
            unroll = 1 if short == "short" else unroll
        self.variant = replace(self.variant, form=form, width=width, peel=peel, unroll=unroll)
        self.shifted, self.tail = (len(tail) if peel else 0), (*tail, *((0,) * peel), *arguments)
        return parts

    def _down_columns(self, geometry: Geometry, element: np.dtype, most: int, arguments: tuple, places: tuple) -> int:
        width = geometry.width_of(min(most, _WIDEST))
        unroll = 4 if width * element.itemsize >= 8 else 8
        lanes, tiles, parts, part_length = sizes.column_parts(geometry, width, unroll, _MOST_PARTS)
        self.variant = replace(self.variant, form="columns", width=width, unroll=unroll)
        self.grid, self.shifted = tiles * parts, 0
        self.tail = (geometry.outputs, geometry.length, parts, part_length, lanes, *arguments, *places)
        return parts

    def __call__(self, x: DeviceArray) -> DeviceArray:
        tail = self.tail
        if self.shifted:
            place = x.pointer // x.itemsize % self.variant.width
            tail = (*tail[: self.shifted], place, *tail[self.shifted + 1 :])
        out = empty(self.shape, _INT64, x.device)
        if self.merge is None or self.partial is None:
            self.kernel(self.grid, x, out, *tail)
            return out
        values, places = empty(*self.partial, x.device), empty(self.partial[0], _INT64, x.device)
        self.kernel(self.grid, x, values, places, *tail)
        self.merge(self.merge_grid, values, places, out, *self.merge_tail)
        return out
