"""The functions of integers and bool for CUDA kernels, in the element's own type with wrap-around, as in NumPy.

Numba widens the sum of two int8 to int64; `real(...)` around each result brings it back. Division by zero gives 0, and the
smallest integer divided by -1 gives itself.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from kernels.cuda.ptx import inlined
from kernels.cuda.ptx_lowering import intrinsic, types


def integer_functions(dtype_name: str) -> dict[str, Callable]:
    """The functions by bare name for an integer type or bool."""
    return _bool_functions() if dtype_name == "bool" else _integer_functions(dtype_name)


def _same_functions(real):
    """What needs no arithmetic."""

    @inlined
    def same(x):
        """x itself: an integer is its own floor, ceiling, rounding and truncation."""
        return x

    @inlined
    def never(x):
        """False: an integer is neither NaN nor infinite."""
        return False

    @inlined
    def always(x):
        """True: an integer is finite."""
        return True

    @inlined
    def maximum(x, y):
        """The larger of two integers of one type."""
        return real(x if x > y else y)

    @inlined
    def minimum(x, y):
        """The smaller of two integers of one type."""
        return real(x if x < y else y)

    return dict(
        floor=same, ceil=same, round=same, trunc=same, isnan=never, isinf=never, isfinite=always, maximum=maximum,
        minimum=minimum,
    )  # fmt: skip


def _bool_functions():
    functions = _same_functions(types.boolean)

    @inlined
    def bitwise_invert(x):
        """not x."""
        return not x

    return functions | dict(
        abs=functions["floor"], sign=functions["floor"], signbit=functions["isnan"], bitwise_invert=bitwise_invert
    )


def _truncated(operation, real):
    """The machine's division or remainder, towards zero, in the type's own width: 64 bits take four times as long as 32."""
    method = ("s" if real.signed else "u") + operation

    @intrinsic
    def divide(typing_context, x, y):
        if x != real or y != real:
            return None

        def generate(context, builder, signature, arguments):
            return getattr(builder, method)(*arguments)

        return real(real, real), generate

    return divide


def _integer_functions(dtype_name):
    real = getattr(types, dtype_name)
    signed = np.dtype(dtype_name).kind == "i"
    bits = np.dtype(dtype_name).itemsize * 8
    zero, one = (np.dtype(dtype_name).type(value) for value in (0, 1))
    minus_one = np.dtype(dtype_name).type(-1) if signed else zero
    unsigned = real if not signed else getattr(types, "u" + dtype_name)
    quotient, rest_of = _truncated("div", real), _truncated("rem", real)

    @inlined
    def absolute(x):
        """|x|; the smallest signed integer stays itself."""
        return real(-x) if signed and x < zero else x

    @inlined
    def sign(x):
        """-1, 0 or 1."""
        return one if x > zero else (minus_one if x < zero else zero)

    @inlined
    def square(x):
        """x*x with wrap-around."""
        return real(x * x)

    @inlined
    def signbit(x):
        """Whether x is negative."""
        return x < zero

    @inlined
    def bitwise_invert(x):
        """Every bit flipped."""
        return real(~x)

    @inlined
    def power(x, y):
        """x**y with wrap-around by repeated squaring; a negative y gives 1/x**-y rounded towards 0, and 0 for x = 0."""
        if signed and y < zero:
            if x == one:
                return one
            if x == minus_one:
                return real(one - real(real(y & one) << one))
            return zero
        result, factor, remaining = one, x, y
        while remaining > zero:
            if remaining & one:
                result = real(result * factor)
            factor = real(factor * factor)
            remaining = real(remaining >> one)
        return result

    @inlined
    def floor_divide(x, y):
        """floor(x/y); 0 for y = 0."""
        if y == zero:
            return zero
        if signed and y == minus_one:
            return real(-x)  # the quotient of the smallest integer does not fit
        whole = quotient(x, y)
        return real(whole - one) if (x < zero) != (y < zero) and real(whole * y) != x else whole

    @inlined
    def remainder(x, y):
        """x - y*floor(x/y), with the sign of y; 0 for y = 0."""
        if y == zero or (signed and y == minus_one):
            return zero
        rest = rest_of(x, y)
        return real(rest + y) if rest != zero and (rest < zero) != (y < zero) else rest

    @inlined
    def left_shift(x, y):
        """x * 2**y with wrap-around; 0 when y is at least the number of bits, or negative."""
        return real(x << y) if unsigned(y) < bits else zero

    @inlined
    def right_shift(x, y):
        """floor(x / 2**y): 0 or -1 when y is at least the number of bits, or negative."""
        if unsigned(y) < bits:
            return real(x >> y)
        return minus_one if x < zero else zero

    return _same_functions(real) | dict(
        abs=absolute, sign=sign, square=square, signbit=signbit, bitwise_invert=bitwise_invert, pow=power,
        floor_divide=floor_divide, remainder=remainder, left_shift=left_shift, right_shift=right_shift,
    )  # fmt: skip
