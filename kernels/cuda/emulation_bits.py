"""Types, bits and rounded arithmetic for the simulator; `ptx_bits.py` has the same names for hardware."""

import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np

from .execution import INTERNAL

INTERNAL.add(__file__)
boolean, float32, float64 = np.bool_, np.float32, np.float64


def _integer_type(name: str) -> Any:
    """An integer type as kernels use it: a call converts like a C cast, and it says which type arrays have.

    NumPy's own types refuse Python integers that do not fit; here they wrap around, as on hardware. A function, for
    kernels call it more often than anything else, and Python calls nothing faster.
    """
    dtype = np.dtype(name)
    scalar = dtype.type

    def convert(value: Any = 0) -> Any:
        if type(value) is scalar:
            return value
        try:
            return scalar(value)
        except (OverflowError, ValueError):
            return _wrapped(value, dtype)

    convert.__name__ = convert.__qualname__ = name
    convert.dtype, convert.scalar = dtype, scalar  # pyright: ignore[reportFunctionMemberAccess]
    return convert


def _wrapped(value: Any, dtype: np.dtype) -> Any:
    if isinstance(value, float):
        return np.float64(value).astype(dtype)
    bits = dtype.itemsize * 8
    value = int(value) & ((1 << bits) - 1)
    return dtype.type(value - (1 << bits) if dtype.kind == "i" and value >> (bits - 1) else value)


int8, int16, int32, int64 = (_integer_type(f"int{bits}") for bits in (8, 16, 32, 64))
uint8, uint16, uint32, uint64 = (_integer_type(f"uint{bits}") for bits in (8, 16, 32, 64))


def inlined(function: Callable) -> Callable:
    """A helper of kernels; plain Python here."""
    return function


# --- bits -------------------------------------------------------------------------------------------------------------


def bits_of_float32(x: Any) -> Any:
    """The bits of a float32, as an int32."""
    return float32(x).view(np.int32)


def float32_of_bits(bits: Any) -> Any:
    """The float32 with these bits."""
    return int32(bits).view(np.float32)


def bits_of_float64(x: Any) -> Any:
    """The bits of a float64, as an int64."""
    return float64(x).view(np.int64)


def float64_of_bits(bits: Any) -> Any:
    """The float64 with these bits."""
    return int64(bits).view(np.float64)


def float32_of_half(bits: Any) -> Any:
    """The float32 of the same value as the float16 with these bits."""
    return float32(uint16(bits).view(np.float16))


def half_of_float32(x: Any) -> Any:
    """The bits of the nearest float16, ties to even."""
    return np.float16(float32(x)).view(np.uint16)


def float32_of_bfloat16(bits: Any) -> Any:
    """The float32 of the same value as the bfloat16 with these bits."""
    return np.uint32(int(bits) << 16).view(np.float32)


def bfloat16_of_float32(x: Any) -> Any:
    """The bits of the nearest bfloat16, ties to even; NaN stays NaN."""
    bits = int(float32(x).view(np.uint32))
    if x != x:
        return np.uint16(bits >> 16 | 0x40)
    return np.uint16((bits + 0x7FFF + (bits >> 16 & 1)) >> 16)


def half_pair(low: Any, high: Any) -> Any:
    """Two numbers rounded to float16: the first in the lower half, the second in the upper half."""
    return np.uint32(int(half_of_float32(low)) | int(half_of_float32(high)) << 16)


def bfloat16_pair(low: Any, high: Any) -> Any:
    """Two numbers rounded to bfloat16: the first in the lower half, the second in the upper half."""
    return np.uint32(int(bfloat16_of_float32(low)) | int(bfloat16_of_float32(high)) << 16)


def tf32_of_float32(x: Any) -> Any:
    """The bits of a float32 rounded to 10 bits of fraction, ties away from zero: an operand of `mma_tf32`."""
    bits = int(float32(x).view(np.uint32))
    if x != x:
        return np.uint32(0x7FFFFFFF)
    return np.uint32((bits + (0x1000 if bits & 0x7F800000 != 0x7F800000 else 0)) & 0xFFFFE000)


# --- arithmetic -------------------------------------------------------------------------------------------------------


def fused_multiply_add(x: Any, y: Any, z: Any) -> Any:
    """x*y + z, rounded once (float32: to float64 and then to float32, which differs once in 2**29 cases)."""
    if type(x) is np.float32:
        return float32(float(x) * float(y) + float(z))
    plain = float(x) * float(y) + float(z)
    if not all(map(math.isfinite, (x, y, z))):
        return float64(plain)
    exact = Fraction(float(x)) * Fraction(float(y)) + Fraction(float(z))
    try:
        return float64(float(exact) if exact else plain)
    except OverflowError:
        return float64(math.copysign(math.inf, exact))


def select(condition: Any, if_true: Any, if_false: Any) -> Any:
    """if_true where the condition holds, else if_false; both are evaluated."""
    return if_true if condition else if_false


def square_root(x: Any) -> Any:
    """The correctly rounded square root; NaN below zero."""
    return np.sqrt(x)
