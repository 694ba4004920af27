"""Data types and their promotion: the Array API standard's table, Python numbers weak.

Where the standard leaves it open we follow PyTorch: an integer or bool with a float gives the float's dtype, and a
function of reals computes integers in the default dtype, float32. uint64 with a signed integer has no common type here.
"""

from __future__ import annotations

import builtins
from functools import cache
from typing import Any

import numpy as np

bool = np.dtype(np.bool_)  # noqa: A001: the standard's name
int8, int16, int32, int64 = (np.dtype(f"int{n}") for n in (8, 16, 32, 64))
uint8, uint16, uint32, uint64 = (np.dtype(f"uint{n}") for n in (8, 16, 32, 64))
float32, float64 = np.dtype(np.float32), np.dtype(np.float64)

default_float, default_int = float32, int64
SUPPORTED = frozenset({bool, int8, int16, int32, int64, uint8, uint16, uint32, uint64, float32, float64})


def as_dtype(dtype: Any) -> np.dtype:
    """The supported dtype that is meant by a dtype, a NumPy scalar type, a name, or Python's bool, int or float."""
    if dtype is float:
        return default_float
    try:
        found = np.dtype(dtype)
    except TypeError:
        raise TypeError(f"not a data type: {dtype!r}; supported are {_names()}") from None
    if found.newbyteorder("=") not in SUPPORTED:
        raise TypeError(f"data type {found} is not supported; supported are {_names()}")
    return found.newbyteorder("=")


def _names() -> str:
    return ", ".join(sorted((d.name for d in SUPPORTED), key=lambda n: (n.rstrip("0123456789"), len(n), n)))


@cache
def promote(left: np.dtype, right: np.dtype) -> np.dtype:
    """The dtype in which an operation on two tensors computes."""
    if left == right:
        return left
    kinds = {left.kind, right.kind}
    if "f" in kinds and len(kinds) == 2:
        return left if left.kind == "f" else right
    if kinds == {"i", "u"} and uint64 in (left, right):
        raise TypeError(
            f"no integer type holds all values of {left} and {right}; convert one operand with astype, to int64 or float64"
        )
    return np.promote_types(left, right)


def promote_number(dtype: np.dtype, kind: type) -> np.dtype:
    """The dtype of an operation on a tensor and a Python number: the tensor's, unless the number is of a higher kind."""
    if kind is float and dtype.kind != "f":
        return default_float
    if kind is int and dtype.kind == "b":
        return default_int
    return dtype


def result_type(*operands: Any) -> np.dtype:
    """The dtype of an operation on these dtypes, tensors, arrays and Python numbers.

    >>> import autograd as ag
    >>> ag.result_type(ag.int8, ag.int16), ag.result_type(ag.float32, 2.5)
    (dtype('int16'), dtype('float32'))
    """
    numbers = [o for o in operands if type(o) in (int, float, builtins.bool)]
    strong = [getattr(o, "dtype", o) for o in operands if type(o) not in (int, float, builtins.bool)]
    if not strong:
        kinds = {type(n) for n in numbers}
        return default_float if float in kinds else default_int if int in kinds else bool
    found = as_dtype(strong[0])
    for other in strong[1:]:
        found = promote(found, as_dtype(other))
    for number in numbers:
        found = promote_number(found, type(number))
    return found
