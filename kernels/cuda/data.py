"""Arrays made, filled and copied on the GPU, and carried to and from it."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from kernels import formulas
from kernels.cuda import array as arrays
from kernels.cuda.array import DeviceArray
from kernels.cuda.elementwise import apply
from kernels.cuda.transposing import transposed
from kernels.formula import define
from kernels.pairs import copy_parts
from kernels.scalar import variable

# The kernel's load of x is dead and left out by the compiler.
_here = sys.modules[__name__]
_FILL = define("fill", lambda x, *, value: variable("value"), kinds="biuf")


def empty(shape: tuple[int, ...], dtype: Any, device: str = "cuda:0") -> DeviceArray:
    """An uninitialised C-ordered array."""
    return arrays.empty(tuple(shape), np.dtype(dtype), device)


def fill(array: DeviceArray, value: complex) -> DeviceArray:
    """Set every element, and give the array back."""
    if array.dtype.kind == "c":
        parts = pairs(array)
        fill(parts[..., 0], complex(value).real)
        fill(parts[..., 1], complex(value).imag)
    elif array.size:
        kind: Any = bool if array.dtype.kind == "b" else int if array.dtype.kind in "iu" else float
        apply(_FILL, array, out=array, value=kind(value))
    return array


def copy(array: DeviceArray, dtype: Any = None, out: DeviceArray | None = None) -> DeviceArray:
    """A C-ordered copy, converted to `dtype` where that is given; or the elements written into `out`, broadcast."""
    dtype = out.dtype if out is not None else np.dtype(dtype) if dtype is not None else array.dtype
    fresh = out is None
    if out is None:
        out = arrays.empty(array.shape, dtype, array.device)
    elif array.shape != out.shape:
        array = broadcast(array, out.shape)
    if array.dtype == dtype and (fresh or _may_be_written(array, out)) and transposed(array, out):
        return out
    if dtype.kind == "c" or array.dtype.kind == "c":
        copy_parts(_here, array, out)
    else:
        apply(formulas.positive, array, out=out, dtype=dtype)
    return out


def _may_be_written(array: DeviceArray, out: DeviceArray) -> bool:
    """Whether `out` can simply be written; otherwise the way of all elementwise operations copies first, or raises."""
    return out.flags.writeable and out.device == array.device and not array.shares_memory(out)


def pairs(array: DeviceArray) -> DeviceArray:
    """A complex array as floats: a view with one more axis at the end, of size 2, for the real and imaginary part."""
    return array.as_pairs()


def from_pairs(array: DeviceArray) -> DeviceArray:
    """The complex array whose `pairs` these are: a view of floats whose last axis has size 2 and unit stride."""
    return array.from_pairs()


def broadcast(array: DeviceArray, shape: tuple[int, ...]) -> DeviceArray:
    """A read-only view with the array stretched to a shape; the caller has checked that it fits."""
    return array.broadcast_to(shape)


def from_numpy(array: np.ndarray, device: str = "cuda:0") -> DeviceArray:
    """The array's elements on the device, C-ordered; the copy goes on while the caller does."""
    return arrays.from_numpy(array, device)


def to_numpy(array: DeviceArray) -> np.ndarray:
    """The elements on the host, as soon as they are computed."""
    return array.numpy()


def may_share_memory(a: DeviceArray, b: DeviceArray) -> bool:
    """Whether the elements of two arrays may overlap in memory (their outer bounds do)."""
    return a.shares_memory(b)


def to_device(array: DeviceArray, device: str) -> DeviceArray:
    """A C-ordered copy on another CUDA device (or the same)."""
    source = array if array.flags.c_contiguous else copy(array)
    out = arrays.empty(source.shape, source.dtype, device)
    if source.size:
        runtime = out.block.runtime
        here, there = runtime.stream(source.block.device), out.block.stream
        source.block.use_on(here)
        if here is not there:
            runtime.wait(here, there)  # only then is the new memory free
        runtime.copy(out.pointer, source.pointer, source.nbytes, here)
        if here is not there:
            runtime.wait(there, here)
    return out


def diagonal(array: DeviceArray, offset: int, axis1: int, axis2: int) -> DeviceArray:
    """A view of the elements on a diagonal of two axes, as the last axis; writeable where the array is."""
    first, second = array.strides[axis1], array.strides[axis2]
    start = offset * second if offset >= 0 else -offset * first
    size = max(0, min(array.shape[axis1] + min(offset, 0), array.shape[axis2] - max(offset, 0)))
    kept = [k for k in range(array.ndim) if k not in (axis1, axis2)]
    shape, strides = (tuple(values[k] for k in kept) for values in (array.shape, array.strides))
    return array._view(array.pointer + (start if size else 0), (*shape, size), (*strides, first + second))


def windows(array: DeviceArray, axis: int, size: int, step: int) -> DeviceArray:
    """A view of all windows of `size` elements that begin `step` apart along an axis: their number, then their elements.

    Read-only where they overlap. The caller has checked that a window fits.
    """
    count = (array.shape[axis] - size) // step + 1
    stride = array.strides[axis]
    shape = (*array.shape[:axis], count, size, *array.shape[axis + 1 :])
    strides = (*array.strides[:axis], stride * step, stride, *array.strides[axis + 1 :])
    writeable = array.flags.writeable and step >= size
    return arrays._make(array.block, array.pointer, shape, strides, array.dtype, array.device, writeable)
