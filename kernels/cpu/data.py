"""Arrays made, filled and copied on the CPU."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from kernels import formulas, memory
from kernels.cpu.elementwise import apply
from kernels.cpu.transposing import mover
from kernels.layout import Layout, broadcast_shapes, layout_of
from kernels.pairs import complex_of, copy_parts

_here = sys.modules[__name__]
_KEPT = 1 << 12
_ordinary: dict[Layout, tuple] = {}  # what `copy` has worked out for arrays that come again
memory.on_change(_ordinary.clear)


def empty(shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    """An uninitialised C-ordered array."""
    return memory.empty(shape, dtype)


def fill(array: np.ndarray, value: complex) -> np.ndarray:
    """Set every element, and give the array back."""
    array.fill(value)
    return array


def copy(array: np.ndarray, dtype: Any = None, out: np.ndarray | None = None) -> np.ndarray:
    """A C-ordered copy, converted to `dtype` where that is given; or the elements written into `out`, broadcast."""
    if out is None and (dtype is None or dtype is array.dtype):
        known = _ordinary.get(layout_of(array))
        if known is not None and array.flags.aligned:
            make, shape, dtype, move = known
            made = make(shape, dtype)
            move(array, made)
            return made
    dtype = out.dtype if out is not None else np.dtype(dtype) if dtype is not None else array.dtype.newbyteorder("=")
    fresh = out is None
    if out is None:
        out = memory.empty(array.shape, dtype)
    elif array.shape != out.shape:
        if broadcast_shapes("copy", array.shape, out.shape) != out.shape:
            raise ValueError(f"copy: an array of shape {array.shape} cannot be stretched to {out.shape}, the shape of out")
        array = broadcast(array, out.shape)
    move = mover(layout_of(array), layout_of(out)) if array.dtype == dtype and array.flags.aligned else None
    if move is not None and (fresh or _may_be_written(array, out)):
        move(array, out)
        if fresh:
            if len(_ordinary) >= _KEPT:
                _ordinary.clear()
            _ordinary[layout_of(array)] = (memory.maker(out.shape, dtype), out.shape, dtype, move)
    elif dtype.kind == "c" or array.dtype.kind == "c":
        copy_parts(_here, array, out)
    else:
        apply(formulas.positive, array, out=out, dtype=dtype)
    return out


def _may_be_written(array: np.ndarray, out: np.ndarray) -> bool:
    """Whether `out` can simply be written; otherwise the way of all elementwise operations copies first, or raises."""
    return out.flags.writeable and out.flags.aligned and not np.may_share_memory(array, out)


def pairs(array: np.ndarray) -> np.ndarray:
    """A complex array as floats: a view with one more axis at the end, of size 2, for the real and imaginary part."""
    return np.lib.stride_tricks.as_strided(
        np.real(array), (*array.shape, 2), (*array.strides, array.itemsize // 2), writeable=array.flags.writeable
    )


def from_pairs(array: np.ndarray) -> np.ndarray:
    """The complex array whose `pairs` these are: a view of floats whose last axis has size 2 and unit stride."""
    return array.view(complex_of(array.dtype))[..., 0]


def broadcast(array: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """A read-only view with the array stretched to a shape; the caller has checked that it fits."""
    missing = len(shape) - array.ndim
    strides = [0] * missing + [
        0 if own == 1 else step for own, step in zip(array.shape, array.strides, strict=True)
    ]
    if not array.flags.c_contiguous:
        return np.lib.stride_tricks.as_strided(array, shape, strides, writeable=False)
    view = np.ndarray(shape, array.dtype, array, 0, strides)
    view.flags.writeable = False
    return view


def from_numpy(array: np.ndarray) -> np.ndarray:
    """The array on this device: itself."""
    return array


def to_numpy(array: np.ndarray) -> np.ndarray:
    """The array on the host: itself."""
    return array


def may_share_memory(a: np.ndarray, b: np.ndarray) -> bool:
    """Whether the elements of two arrays may overlap in memory (their outer bounds do)."""
    return np.may_share_memory(a, b)


def diagonal(array: np.ndarray, offset: int, axis1: int, axis2: int) -> np.ndarray:
    """A view of the elements on a diagonal of two axes, as the last axis; writeable where the array is."""
    view = array.diagonal(offset, axis1, axis2)
    view.flags.writeable = array.flags.writeable
    return view


def windows(array: np.ndarray, axis: int, size: int, step: int) -> np.ndarray:
    """A view of all windows of `size` elements that begin `step` apart along an axis: their number, then their elements.

    Read-only where they overlap. The caller has checked that a window fits.
    """
    count = (array.shape[axis] - size) // step + 1
    stride = array.strides[axis]
    shape = (*array.shape[:axis], count, size, *array.shape[axis + 1 :])
    strides = (*array.strides[:axis], stride * step, stride, *array.strides[axis + 1 :])
    writeable = array.flags.writeable and step >= size
    return np.lib.stride_tricks.as_strided(array, shape, strides, writeable=writeable)
