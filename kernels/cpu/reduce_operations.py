"""Which reductions there are, for which types, and the look-up of the plan that runs one: `run(name, x, axis, keepdims)`."""

from __future__ import annotations

from collections.abc import Callable
from math import inf, nan, prod
from typing import Any

import numpy as np

from kernels import memory
from kernels.cpu.reduce_kernels import Operation
from kernels.cpu.reduce_plan import Plan, normalise_axes

INT64, UINT64, BOOL = np.dtype(np.int64), np.dtype(np.uint64), np.dtype(np.bool_)
FLOATS = (np.dtype(np.float32), np.dtype(np.float64))
NUMBERS = (*FLOATS, *(np.dtype(f"{kind}{size}") for kind in "iu" for size in (1, 2, 4, 8)), BOOL)

_SHIFTED = "v - first"
_FINITE_SHIFT = "(first if first - first == T(0) else T(0))"  # inf - inf would be NaN

_OPERATIONS = {
    "sum": Operation("sum", finish="total / divisor"),
    "mean": Operation("sum", finish="total / divisor", empty=nan),
    "prod": Operation("prod", combine="A(a * b)", identity="A(1)", empty=1),
    "any": Operation("any", prepare="A(v != T(0))", combine="A(a | b)", settled="total != A(0)", empty=0),
    "all": Operation("all", prepare="A(v != T(0))", combine="A(a & b)", identity="A(1)", settled="total == A(0)", empty=1),
    "count_nonzero": Operation("count_nonzero", prepare="A(v != T(0))"),
    "shifted_mean": Operation("shifted_mean", prepare=_SHIFTED, finish="total / divisor", empty=nan),
    "var": Operation("var", prepare=f"square({_SHIFTED} - second)", finish="total / divisor", empty=nan),
    "std": Operation("std", prepare=f"square({_SHIFTED} - second)", finish="sqrt(total / divisor)", empty=nan),
    "logsumexp": Operation(
        "logsumexp", prepare=f"exp(v - {_FINITE_SHIFT})", finish=f"log(total) + {_FINITE_SHIFT}", empty=-inf, weight=4
    ),
    "norm 2": Operation("norm_2", prepare="square(v)", finish="sqrt(total)"),
    "norm 1": Operation("norm_1", prepare="abs(v)"),
    "norm 0": Operation("norm_0", prepare="A(v != T(0))"),
    "norm p": Operation("norm_p", prepare="pow(abs(v), first)", finish="pow(total, A(1) / first)", weight=16),
}


def _extreme(name: str, dtype: np.dtype) -> Operation:
    """max, min, or the largest or smallest magnitude: what they start from depends on the type."""
    largest = name in ("max", "norm inf")
    if dtype.kind == "f":
        identity = "A(-np.inf)" if largest else "A(np.inf)"
    elif dtype.kind == "b":
        identity = "A(0)" if largest else "A(1)"
    else:
        bound = np.iinfo(dtype).min if largest else np.iinfo(dtype).max
        identity = f"A({bound})" if bound >= 0 else f"A({bound + 1} - 1)"
    combine = "maximum(a, b)" if largest else "minimum(a, b)"
    prepare = "abs(v)" if name.startswith("norm") else "A(v)"
    short = {"norm inf": "norm_inf", "norm -inf": "norm_minus_inf"}.get(name, name)
    return Operation(short, prepare=prepare, combine=combine, identity=identity, empty=None)


def _operation(name: str, dtype: np.dtype, result: np.dtype) -> Operation:
    if name in ("max", "min", "norm inf", "norm -inf"):
        return _extreme(name, dtype)
    operation = _OPERATIONS[name]
    if name == "sum" and result.kind != "f":
        return Operation("sum")  # no division
    return operation


_FOR_NUMBERS = {"sum", "prod", "max", "min", "any", "all", "count_nonzero"}
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
    check_array(name, x, NUMBERS if name in _FOR_NUMBERS else FLOATS)
    axes = normalise_axes(name, axis, x.ndim)
    odd = has_odd_strides(x)
    if odd:
        x = x.copy()
    count = prod([x.shape[a] for a in axes])
    result = _result_dtype(name, x.dtype)
    operation = _operation(name, x.dtype, result)
    if operation.empty is None and count == 0 and prod([s for a, s in enumerate(x.shape) if a not in axes]):
        raise ValueError(
            f"{name}: the array of shape {x.shape} has no elements along axis {axis} to take the {name} of, and an empty "
            f"{name} has no value; check the shape, or concatenate a default"
        )
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
    if x.dtype not in dtypes:
        if dtypes is FLOATS:
            raise TypeError(
                f"{name}: defined for float32 and float64, got {x.dtype}; convert the array with x.astype(numpy.float32)"
            )
        raise TypeError(
            f"{name}: defined for float32, float64, integers and bool, got {x.dtype}; convert the array with x.astype(...)"
        )


def _result_dtype(name: str, dtype: np.dtype) -> np.dtype:
    if name in ("any", "all"):
        return BOOL
    if name == "count_nonzero":
        return INT64
    if name in ("sum", "prod") and dtype.kind in "bi":
        return INT64
    if name in ("sum", "prod") and dtype.kind == "u":
        return UINT64
    return dtype
