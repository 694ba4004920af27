"""Which plan runs a reduction: the look-up behind `run(name, x, axis, keepdims)`."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np

from kernels import memory
from kernels.cpu.reduce_plan import Plan
from kernels.reduction import (
    FLOATS,
    FOR_NUMBERS,
    NUMBERS,
    check_dtype,
    check_not_empty,
    normalise_axes,
    operation_for,
    result_dtype,
)

_PLANS = 1 << 13  # plans kept; a program with endless new shapes must not fill the memory
_calls: dict[tuple, Callable[..., np.ndarray]] = {}
memory.on_change(_calls.clear)


def run(
    name: str,
    x: Any,
    axis: Any = None,
    keepdims: bool = False,
    first: np.ndarray | None = None,
    second: np.ndarray | None = None,
    correction: float = 0,
) -> np.ndarray:
    """Run the operation `name`: the plan for arrays of this layout is looked up, or made.

    `first` and `second` are numbers that the operation needs for each output, contiguous (for `norm p`, a single one).
    """
    try:
        call = _calls.get((name, x.__class__, x.shape, x.strides, x.dtype, axis, keepdims, correction))
    except (TypeError, AttributeError):  # an axis that is a list, an x that is no array
        call = None
    if call is None:
        call, x = _call_for(name, x, axis, keepdims, first, correction)
    return call(x, first, second)


def _call_for(name: str, x: Any, axis: Any, keepdims: bool, first: Any, correction: float) -> tuple[Callable, np.ndarray]:
    """What runs the operation on arrays of this layout, and the array to run it on."""
    check_array(name, x, NUMBERS if name in FOR_NUMBERS else FLOATS)
    axes = normalise_axes(name, axis, x.ndim)
    odd = has_odd_strides(x)
    if odd:
        x = x.copy()
    count = prod([x.shape[a] for a in axes])
    result = result_dtype(name, x.dtype)
    operation = operation_for(name, x.dtype, result)
    check_not_empty(name, operation, x.shape, axis, axes)
    divisor = max(count - correction, 0) if "divisor" in operation.finish and name != "sum" else 1
    plan = Plan(
        operation,
        x.shape,
        tuple([s // x.itemsize for s in x.strides]),
        x.dtype,
        axes,
        result,
        keepdims,
        divisor=divisor,
        centre_stride=1 if first is not None and name != "norm p" else 0,
    )
    call = plan.caller()
    if not odd:
        if len(_calls) >= _PLANS:
            _calls.clear()
        key_axis = axes if isinstance(axis, list) else axis
        _calls[name, x.__class__, x.shape, x.strides, x.dtype, key_axis, keepdims, correction] = call
    return call, x


def has_odd_strides(x: np.ndarray) -> bool:
    """Whether a stride is no multiple of the element size (a field of a structured array): a kernel cannot walk that."""
    return any(s % x.itemsize for s in x.strides)


def check_array(name: str, x: Any, dtypes: tuple[np.dtype, ...]) -> None:
    """Raise TypeError unless x is an array of one of the types."""
    if not isinstance(x, np.ndarray):
        raise TypeError(f"{name}: expected a NumPy array, got {type(x).__name__}; convert it with numpy.asarray(x)")
    check_dtype(name, x.dtype, dtypes)
