"""Signs, neighbours, remainders and powers for float32 and float64."""

import numpy as np
from numpy import float32, float64

from .intrinsics import (
    absolute,
    ceil,
    copysign,
    floor,
    inlined,
    maximum,
    minimum,
    power,
    rint,
    select,
    square_root,
    trunc,
    truncated_remainder,
)  # fmt: skip


def simple_functions(c, wide_exp, wide_log):
    """The functions for the type whose constants are c; wide_exp and wide_log are those of float64."""
    bits_of, of_bits, real, integer, ZERO, ONE, HALF = c.bits_of, c.of_bits, c.real, c.integer, c.ZERO, c.ONE, c.HALF
    INFINITY, NOT_A_NUMBER = c.INFINITY, c.NOT_A_NUMBER

    @inlined
    def rsqrt(x):
        """1/sqrt(x): two correctly rounded steps. Ulps: 1.49, 1.46."""
        return ONE / square_root(x)

    @inlined
    def reciprocal(x):
        """1/x, correctly rounded."""
        return ONE / x

    @inlined
    def square(x):
        """x*x, correctly rounded."""
        return x * x

    @inlined
    def sign(x):
        """-1, 0 or 1; NaN for NaN."""
        return select(x > ZERO, ONE, select(x < ZERO, -ONE, select(x == ZERO, ZERO, x)))

    @inlined
    def isnan(x):
        """Whether x is NaN."""
        return x != x

    @inlined
    def isinf(x):
        """Whether x is infinite."""
        return absolute(x) == INFINITY

    @inlined
    def isfinite(x):
        """Whether x is neither infinite nor NaN."""
        return absolute(x) < INFINITY

    @inlined
    def signbit(x):
        """Whether the sign bit is set, also that of zero and NaN."""
        return bits_of(x) < integer(0)

    @inlined
    def nextafter(x, y):
        """The number after x in the direction of y."""
        bits = bits_of(x)
        step = select((x < y) == (x > ZERO), integer(1), integer(-1))
        moved = of_bits(integer(bits + step))
        moved = select(x == ZERO, copysign(of_bits(integer(1)), y), moved)
        moved = select(x == y, y, moved)
        return select((x != x) | (y != y), x + y, moved)

    @inlined
    def remainder(x, y):
        """x - y*floor(x/y) with the sign of y; NaN for y = 0, and y for a tiny x of the other sign, as in NumPy."""
        rest = truncated_remainder(x, y)
        moved = select((y < ZERO) != (rest < ZERO), rest + y, rest)
        return select(rest == ZERO, copysign(ZERO, y), moved)

    @inlined
    def floor_divide(x, y):
        """floor(x/y) from the exact remainder, so that the quotient is never one too large; x/y where y is 0."""
        quotient = x / y
        rest = truncated_remainder(x, y)
        whole = (x - rest) / y
        whole = select((rest != ZERO) & ((y < ZERO) != (rest < ZERO)), whole - ONE, whole)
        lower = floor(whole)
        lower = select(whole - lower > HALF, lower + ONE, lower)
        lower = select(whole == ZERO, copysign(ZERO, quotient), lower)
        return select(y == ZERO, quotient, lower)

    if real is float32:

        @inlined
        def pow(x, y):
            """e**(y log|x|) in float64, with the special cases of C's pow. Ulps: 0.51."""
            wide, power = float64(x), float64(y)
            value = float32(wide_exp(power * wide_log(absolute(wide))))
            whole = trunc(power) == power
            half = power * float64(0.5)
            odd = whole & (trunc(half) != half)
            value = select((x < ZERO) & (x > -INFINITY) & (not whole), NOT_A_NUMBER, value)
            value = select(odd, copysign(value, x), value)
            one = (x == ONE) | (y == ZERO) | ((x == -ONE) & (absolute(y) == INFINITY))
            return select(one, ONE, value)

        @inlined
        def hypot(x, y):
            """sqrt(x*x + y*y) in float64: at most 0.51 ulp. Infinite if either argument is, even beside NaN."""
            wide, other = float64(x), float64(y)
            value = float32(square_root(wide * wide + other * other))
            return select((absolute(x) == INFINITY) | (absolute(y) == INFINITY), INFINITY, value)

    else:

        @inlined
        def pow(x, y):
            """The C library's pow: one call per element."""
            return power(x, y)

        @inlined
        def hypot(x, y):
            """The C library's hypot: one call per element."""
            return np.hypot(x, y)

    @inlined
    def atan2(y, x):
        """The C library's atan2 (in float64, so that float32 is rounded once): one call per element."""
        return real(np.arctan2(float64(y), float64(x)))

    return dict(
        sqrt=square_root, abs=absolute, floor=floor, ceil=ceil, round=rint, trunc=trunc, maximum=maximum,
        minimum=minimum, copysign=copysign, rsqrt=rsqrt, reciprocal=reciprocal, square=square, sign=sign, isnan=isnan,
        isinf=isinf, isfinite=isfinite, signbit=signbit, nextafter=nextafter, remainder=remainder,
        floor_divide=floor_divide, pow=pow, hypot=hypot, atan2=atan2,
    )  # fmt: skip
