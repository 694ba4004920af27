"""What reductions there are, for all devices: their formulas in source text, their types, and what they check.

A reduction is prepare -> combine -> finish: `sum` is v, a + b, total; the Euclidean norm is v*v, a + b, sqrt(total). The
loops that the four lines of an `Operation` are put into are each device's own: `kernels.cpu.reduce_kernels`,
`kernels.cuda.reduce_kernels`.
"""

from __future__ import annotations

import numbers
import operator
from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import inf, nan, prod
from typing import Any

import numpy as np

INT64, UINT64, BOOL = np.dtype(np.int64), np.dtype(np.uint64), np.dtype(np.bool_)
FLOATS = (np.dtype(np.float32), np.dtype(np.float64))
NUMBERS = (*FLOATS, *(np.dtype(f"{kind}{size}") for kind in "iu" for size in (1, 2, 4, 8)), BOOL)


@dataclass(frozen=True)
class Operation:
    """A reduction in four lines of source over T (elements) and A (totals).

    `prepare` may use v, and first and second: two numbers per output that the caller gives (a mean, a maximum, ...).
    `finish` may use total, first and divisor. `identity` changes nothing when combined; `empty` is the result for no
    elements, None where there is none. `weight` is the cost of one element in units of plain arithmetic.
    """

    name: str
    prepare: str = "A(v)"
    combine: str = "A(a + b)"
    finish: str = "total"
    identity: str = "A(0)"
    empty: float | int | None = 0
    settled: str = "False"
    weight: int = 1

    @property
    def partial(self) -> "Operation":
        """The operation on a part of the elements: everything but the finish."""
        if self.finish in ("total", "total / divisor"):
            return self
        return replace(self, name=f"{self.name}_partial", finish="total")

    @property
    def combined(self) -> "Operation":
        """The operation on the results of parts."""
        if self.prepare == "A(v)":
            return self
        return replace(self, name=f"{self.name}_combined", prepare="v", weight=1)


_SHIFTED = "v - first"
_FINITE_SHIFT = "(first if first - first == T(0) else T(0))"  # inf - inf would be NaN

OPERATIONS = {
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
        identity = "A(-inf)" if largest else "A(inf)"
    elif dtype.kind == "b":
        identity = "A(0)" if largest else "A(1)"
    else:
        bound = np.iinfo(dtype).min if largest else np.iinfo(dtype).max
        identity = f"A({bound})" if bound >= 0 else f"A({bound + 1} - 1)"
    combine = "maximum(a, b)" if largest else "minimum(a, b)"
    prepare = "abs(v)" if name.startswith("norm") else "A(v)"
    short = {"norm inf": "norm_inf", "norm -inf": "norm_minus_inf"}.get(name, name)
    return Operation(short, prepare=prepare, combine=combine, identity=identity, empty=None)


def operation_for(name: str, dtype: np.dtype, result: np.dtype) -> Operation:
    """The operation `name` on elements of a type, with a result of type `result`."""
    if name in ("max", "min", "norm inf", "norm -inf"):
        return _extreme(name, dtype)
    operation = OPERATIONS[name]
    if name == "sum" and result.kind != "f":
        return Operation("sum")  # no division
    return operation


def result_dtype(name: str, dtype: np.dtype) -> np.dtype:
    """The type of the result for elements of `dtype`."""
    if name in ("any", "all"):
        return BOOL
    if name == "count_nonzero":
        return INT64
    if name in ("sum", "prod") and dtype.kind in "bi":
        return INT64
    if name in ("sum", "prod") and dtype.kind == "u":
        return UINT64
    return dtype


FOR_NUMBERS = {"sum", "prod", "max", "min", "any", "all", "count_nonzero"}  # defined for integers and bool, too


def check_dtype(name: str, dtype: np.dtype, dtypes: Sequence[np.dtype]) -> None:
    """Raise TypeError unless the dtype is one of `dtypes`, which are all floats or all numbers."""
    if dtype not in dtypes:
        if INT64 not in dtypes:
            raise TypeError(
                f"{name}: defined for float32 and float64, got {dtype}; convert the array with x.astype(numpy.float32)"
            )
        raise TypeError(
            f"{name}: defined for float32, float64, integers and bool, got {dtype}; convert the array with x.astype(...)"
        )


def check_not_empty(name: str, operation: Operation, shape: tuple[int, ...], axis: Any, axes: tuple[int, ...]) -> None:
    """Raise ValueError where a result would need an element and there is none."""
    if operation.empty is None and 0 in [shape[a] for a in axes] and prod([s for a, s in enumerate(shape) if a not in axes]):
        raise ValueError(
            f"{name}: the array of shape {shape} has no elements along axis {axis} to take the {name} of, and an empty "
            f"{name} has no value; check the shape, or concatenate a default"
        )


def check_correction(name: str, correction: Any) -> None:
    """Raise TypeError unless the correction of var or std is a number."""
    if isinstance(correction, bool) or not isinstance(correction, numbers.Real):
        raise TypeError(f"{name}: correction must be a number, got {correction!r}")


def check_order(order: Any) -> None:
    """Raise ValueError unless the order of a norm is a number."""
    if isinstance(order, bool) or not isinstance(order, numbers.Real) or order != order:
        raise ValueError(f"norm: ord must be a number such as 1, 2, 0, numpy.inf or -numpy.inf, got {order!r}")


def check_place(name: str, shape: tuple[int, ...], axis: int) -> None:
    """Raise ValueError where argmax or argmin would have no place to name."""
    if not shape[axis] and prod(s for a, s in enumerate(shape) if a != axis):
        raise ValueError(
            f"{name}: the array of shape {shape} has no elements along axis {axis}, so there is no place to name; "
            "check the shape before"
        )


def place_shape(name: str, shape: tuple[int, ...], axis: Any, keepdims: bool) -> tuple[int, ...]:
    """The shape of the result of argmax or argmin; the axis is checked."""
    ndim = len(shape)
    if axis is None:
        return (1,) * ndim if keepdims else ()
    try:
        number = operator.index(axis)
    except TypeError:
        raise TypeError(f"{name}: axis must be None or an integer, got {axis!r}") from None
    if not -ndim <= number < ndim:
        raise np.exceptions.AxisError(number, ndim, name)
    number %= ndim
    return tuple(1 if a == number else s for a, s in enumerate(shape) if keepdims or a != number)


def better_place(name: str, dtype: np.dtype) -> str:
    """Whether v takes the place of best, in source text: a NaN wins, the first of equals stays."""
    better = f"v {'>' if name == 'argmax' else '<'} best"
    return f"({better}) | ((v != v) & (best == best))" if dtype.kind == "f" else better


def normalise_axes(name: str, axis: int | Sequence[int] | None, ndim: int) -> tuple[int, ...]:
    """The axes as sorted numbers from 0 to ndim - 1; None means all. Errors name the function and the axes."""
    if axis is None:
        return tuple(range(ndim))
    given = tuple(axis) if isinstance(axis, (tuple, list)) else (axis,)
    axes = []
    for one in given:
        try:
            number = operator.index(one)  # pyright: ignore[reportArgumentType]
        except TypeError:
            raise TypeError(f"{name}: axis must be None, an integer or a tuple of integers, got {axis!r}") from None
        if not -ndim <= number < ndim:
            raise np.exceptions.AxisError(number, ndim, name)
        axes.append(number % ndim)
    if len(set(axes)) != len(axes):
        raise ValueError(f"{name}: axis {axis!r} names a dimension twice for an array of {ndim} dimensions")
    return tuple(sorted(axes))
