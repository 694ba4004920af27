"""Reductions over any axes of any array: sum, mean, var, max, any, logsumexp, norms and their like, on the GPU.

Arguments, results and errors are those of `kernels.cpu.reduce`, on DeviceArrays (or anything with
`__cuda_array_interface__`). float16 and bfloat16 are defined where float32 is: they are computed in float32 and rounded
once, when the result is stored. The bits of a result are the same from run to run.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from kernels.cuda.argreduce import extreme_place
from kernels.cuda.array import DeviceArray
from kernels.cuda.reduce_operations import HALVES, as_array, run
from kernels.layout import layout_of
from kernels.reduction import FLOATS, check_correction, check_dtype, check_order, normalise_axes

Axis = int | tuple[int, ...] | None
_FLOAT32 = np.dtype(np.float32)


def sum(x: Any, axis: Axis = None, keepdims: bool = False) -> DeviceArray:
    """Sum of the elements; 0 where there are none. Integers and bool give int64, unsigned ones uint64.

    In short pieces and pairwise: ten million float32 ones give exactly ten million.
    """
    return run("sum", as_array("sum", x), axis, keepdims)


def prod(x: Any, axis: Axis = None, keepdims: bool = False) -> DeviceArray:
    """Product of the elements; 1 where there are none. Types as in `sum`; integers wrap around."""
    return run("prod", as_array("prod", x), axis, keepdims)


def mean(x: Any, axis: Axis = None, keepdims: bool = False) -> DeviceArray:
    """Arithmetic mean; NaN where there are no elements. Floats only."""
    return run("mean", as_array("mean", x), axis, keepdims)


def max(x: Any, axis: Axis = None, keepdims: bool = False) -> DeviceArray:
    """Largest element; NaN where there is one. ValueError where there are no elements."""
    return run("max", as_array("max", x), axis, keepdims)


def min(x: Any, axis: Axis = None, keepdims: bool = False) -> DeviceArray:
    """Smallest element; NaN where there is one. ValueError where there are no elements."""
    return run("min", as_array("min", x), axis, keepdims)


def argmax(x: Any, axis: int | None = None, keepdims: bool = False) -> DeviceArray:
    """Where the largest element stands, as int64: the first of equals, the first NaN where there is one.

    With `axis` None it is the place in the flattened array. ValueError where there are no elements.
    """
    return extreme_place("argmax", as_array("argmax", x), axis, keepdims)


def argmin(x: Any, axis: int | None = None, keepdims: bool = False) -> DeviceArray:
    """Where the smallest element stands, as int64; otherwise as `argmax`."""
    return extreme_place("argmin", as_array("argmin", x), axis, keepdims)


def any(x: Any, axis: Axis = None, keepdims: bool = False) -> DeviceArray:
    """Whether any element is not zero (NaN is not); False where there are none."""
    return run("any", as_array("any", x), axis, keepdims)


def all(x: Any, axis: Axis = None, keepdims: bool = False) -> DeviceArray:
    """Whether no element is zero; True where there are none."""
    return run("all", as_array("all", x), axis, keepdims)


def count_nonzero(x: Any, axis: Axis = None, keepdims: bool = False) -> DeviceArray:
    """How many elements are not zero (NaN is not), as int64."""
    return run("count_nonzero", as_array("count_nonzero", x), axis, keepdims)


def logsumexp(x: Any, axis: Axis = None, keepdims: bool = False) -> DeviceArray:
    """log(sum(exp(x))) without overflow: -inf where all elements are -inf or there are none. Floats only."""
    x = _floats("logsumexp", x)
    if not x.size:
        return run("logsumexp", x, axis, keepdims)
    return run("logsumexp", x, axis, keepdims, run("max", x, axis, result=_computed(x)))


def var(x: Any, axis: Axis = None, correction: float = 0.0, keepdims: bool = False) -> DeviceArray:
    """Variance: the sum of squared deviations from the mean over (number of elements - correction). Floats only.

    Two passes, over deviations from one element, so that a large mean costs no digits and equal elements give exactly 0.
    NaN or inf where the number of elements is not larger than the correction.
    """
    return _spread("var", x, axis, correction, keepdims)


def std(x: Any, axis: Axis = None, correction: float = 0.0, keepdims: bool = False) -> DeviceArray:
    """Standard deviation: the square root of `var`."""
    return _spread("std", x, axis, correction, keepdims)


def _spread(name: str, x: Any, axis: Axis, correction: float, keepdims: bool) -> DeviceArray:
    check_correction(name, correction)
    x = _floats(name, x)
    axes = normalise_axes(name, axis, x.ndim)
    if not x.size:
        return run(name, x, axes, keepdims, correction=correction)
    shifted_mean = run("shifted_mean", x, axes, result=_computed(x))
    return run(name, x, axes, keepdims, None, shifted_mean, correction=correction)


def norm(x: Any, ord: float = 2, axis: Axis = None, keepdims: bool = False) -> DeviceArray:
    """Vector norm over the axes (all of them by default): (sum |x|**ord)**(1/ord). Floats only.

    `ord` inf is the largest magnitude, -inf the smallest (ValueError where there are no elements), 0 the number of
    elements that are not zero.
    """
    check_order(ord)
    x = _floats("norm", x)
    if ord in (0, 1, 2, np.inf, -np.inf):
        return run(f"norm {ord:g}", x, axis, keepdims)
    return run("norm p", x, axis, keepdims, number=ord)


def _floats(name: str, x: Any) -> DeviceArray:
    """x as a device array; a TypeError unless its elements are floats."""
    x = as_array(name, x)
    if x.dtype not in HALVES:
        check_dtype(name, x.dtype, FLOATS)
    return x


def _computed(x: DeviceArray) -> np.dtype:
    """The type that is computed in."""
    return _FLOAT32 if layout_of(x).dtype in HALVES else x.dtype
