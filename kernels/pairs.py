"""Complex numbers as pairs of floats: kernels compute with these, and need no complex arithmetic of their own."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np


def complex_of(real: np.dtype) -> np.dtype:
    """The complex type of two floats.

    >>> complex_of(np.dtype("f4"))
    dtype('complex64')
    """
    return np.dtype(f"c{2 * real.itemsize}")


def copy_parts(backend: ModuleType, array: Any, out: Any) -> None:
    """Write numbers into a complex array of the same shape, of reals with imaginary part 0.

    Raises:
        TypeError: complex numbers are to be written into an array of another kind.
    """
    if out.dtype.kind != "c":
        raise TypeError(f"copy: {array.dtype} does not fit into {out.dtype}: take the real part, or the absolute value, first")
    parts = backend.pairs(out)
    if array.dtype.kind == "c":
        backend.copy(backend.pairs(array), out=parts)
    else:
        backend.copy(array, out=parts[..., 0])
        backend.fill(parts[..., 1], 0)
