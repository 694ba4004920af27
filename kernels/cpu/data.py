"""Arrays made, filled and copied on the CPU."""

from __future__ import annotations

from typing import Any

import numpy as np

from kernels import formulas, memory
from kernels.cpu.elementwise import apply


def empty(shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    """An uninitialised C-ordered array."""
    return memory.empty(shape, dtype)


def fill(array: np.ndarray, value: float) -> np.ndarray:
    """Set every element, and give the array back."""
    array.fill(value)
    return array


def copy(array: np.ndarray, dtype: Any = None, out: np.ndarray | None = None) -> np.ndarray:
    """A C-ordered copy, converted to `dtype` where that is given; or the elements written into `out`, broadcast."""
    dtype = out.dtype if out is not None else np.dtype(dtype) if dtype is not None else array.dtype.newbyteorder("=")
    if out is None:
        out = memory.empty(array.shape, dtype)
    elif array.shape != out.shape:
        array = broadcast(array, out.shape)
    apply(formulas.positive, array, out=out, dtype=dtype)
    return out


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
