"""Data types and their promotion: the Array API standard's table, Python numbers weak.

Where the standard leaves it open we follow PyTorch: an integer or bool with a float or complex number gives the latter's
dtype, and a function of reals computes integers in the default dtype, float32. uint64 with a signed integer has no common
type here.
"""

from __future__ import annotations

import builtins
from functools import cache
from typing import Any, NamedTuple

import numpy as np

bool = np.dtype(np.bool_)  # noqa: A001: the standard's name
int8, int16, int32, int64 = (np.dtype(f"int{n}") for n in (8, 16, 32, 64))
uint8, uint16, uint32, uint64 = (np.dtype(f"uint{n}") for n in (8, 16, 32, 64))
float32, float64 = np.dtype(np.float32), np.dtype(np.float64)
complex64, complex128 = np.dtype(np.complex64), np.dtype(np.complex128)

default_float, default_int, default_complex = float32, int64, complex64
SUPPORTED = frozenset({
    bool, int8, int16, int32, int64, uint8, uint16, uint32, uint64, float32, float64, complex64, complex128,
})  # fmt: skip
DIFFERENTIABLE = "fc"  # the kinds of dtypes that have derivatives: real and complex floats
NUMBERS = (float, int, builtins.bool, complex)  # Python's, which have no dtype of their own


def as_dtype(dtype: Any) -> np.dtype:
    """The supported dtype that is meant by a dtype, a NumPy scalar type, a name, or Python's bool, int, float or complex."""
    if dtype is float:
        return default_float
    if dtype is complex:
        return default_complex
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
    for higher in "cf":
        if higher in kinds and kinds & set("biu"):
            return left if left.kind == higher else right
    if kinds == {"i", "u"} and uint64 in (left, right):
        raise TypeError(
            f"no integer type holds all values of {left} and {right}; convert one operand with astype, to int64 or float64"
        )
    return np.promote_types(left, right)


def promote_number(dtype: np.dtype, kind: type) -> np.dtype:
    """The dtype of an operation on a tensor and a Python number: the tensor's, unless the number is of a higher kind."""
    if kind is float and dtype.kind not in DIFFERENTIABLE:
        return default_float
    if kind is complex:
        return complex_of(dtype)
    if kind is int and dtype.kind == "b":
        return default_int
    return dtype


def result_type(*operands: Any) -> np.dtype:
    """The dtype of an operation on these dtypes, tensors, arrays and Python numbers.

    >>> import autograd as ag
    >>> ag.result_type(ag.int8, ag.int16), ag.result_type(ag.float32, 2.5)
    (dtype('int16'), dtype('float32'))
    """
    numbers = [o for o in operands if type(o) in NUMBERS]
    strong = [getattr(o, "dtype", o) for o in operands if type(o) not in NUMBERS]
    if not operands:
        raise TypeError("result_type: needs at least one dtype, tensor or number")
    if not strong:
        kinds = {type(n) for n in numbers}
        found = ((complex, default_complex), (float, default_float), (int, default_int), (builtins.bool, bool))
        return next(dtype for kind, dtype in found if kind in kinds)
    found = as_dtype(strong[0])
    for other in strong[1:]:
        found = promote(found, as_dtype(other))
    for number in numbers:
        found = promote_number(found, type(number))
    return found


def complex_of(dtype: np.dtype) -> np.dtype:
    """The complex dtype whose parts have the precision of this one; of integers the default one."""
    if dtype.kind == "c":
        return dtype
    return complex128 if dtype == float64 else default_complex


def real_of(dtype: np.dtype) -> np.dtype:
    """The dtype of the parts of a complex one; others are their own."""
    return dtype if dtype.kind != "c" else float64 if dtype == complex128 else float32


# --- what the standard asks about dtypes -------------------------------------------------------------------------------

_KINDS = {
    "bool": "b",
    "signed integer": "i",
    "unsigned integer": "u",
    "integral": "iu",
    "real floating": "f",
    "complex floating": "c",
    "numeric": "iufc",
}


class FloatInformation(NamedTuple):
    """What a float type can hold: `finfo`'s answer."""

    bits: int
    eps: float
    max: float
    min: float
    smallest_normal: float
    dtype: np.dtype


class IntegerInformation(NamedTuple):
    """What an integer type can hold: `iinfo`'s answer."""

    bits: int
    max: int
    min: int
    dtype: np.dtype


def _dtype_of(type: Any) -> np.dtype:
    """The dtype of a tensor or array, or the dtype itself."""
    return as_dtype(getattr(type, "dtype", type))


def finfo(type: Any, /) -> FloatInformation:
    """The limits of a float dtype (or of a tensor's): bits, eps, max, min, smallest_normal, as Python numbers.

    >>> import autograd as ag
    >>> ag.finfo(ag.float64).eps
    2.220446049250313e-16
    """
    dtype = _dtype_of(type)
    if dtype.kind not in "fc":
        raise TypeError(f"finfo: {dtype} is no float type; iinfo tells about integers")
    found = np.finfo(dtype)
    return FloatInformation(
        bits=int(found.bits),
        eps=float(found.eps),
        max=float(found.max),
        min=float(found.min),
        smallest_normal=float(found.smallest_normal),
        dtype=as_dtype(found.dtype),
    )


def iinfo(type: Any, /) -> IntegerInformation:
    """The limits of an integer dtype (or of a tensor's): bits, max, min, as Python integers."""
    dtype = _dtype_of(type)
    if dtype.kind not in "iu":
        raise TypeError(f"iinfo: {dtype} is no integer type; finfo tells about floats")
    found = np.iinfo(dtype)
    return IntegerInformation(int(found.bits), int(found.max), int(found.min), dtype)


def isdtype(dtype: Any, kind: Any) -> builtins.bool:
    """Whether a dtype is of a kind: a dtype, a name like "real floating" or "integral", or a tuple of these.

    >>> import autograd as ag
    >>> ag.isdtype(ag.int8, "integral"), ag.isdtype(ag.int8, (ag.int16, "real floating"))
    (True, False)
    """
    found = as_dtype(dtype)
    if isinstance(kind, tuple):
        return any(isdtype(found, k) for k in kind)
    if isinstance(kind, str):
        if kind not in _KINDS:
            raise ValueError(f"isdtype: unknown kind {kind!r}; there are {', '.join(map(repr, _KINDS))}")
        return found.kind in _KINDS[kind]
    return found == as_dtype(kind)


def can_cast(from_: Any, to: Any, /) -> builtins.bool:
    """Whether promotion takes a dtype (or a tensor's) to another: whether an operation on both computes in `to`.

    Within a kind this is the standard's table; across kinds it is ours, where integers and bools with a float give the
    float's dtype.
    """
    source, target = _dtype_of(from_), _dtype_of(to)
    try:
        return promote(source, target) == target
    except TypeError:
        return False
