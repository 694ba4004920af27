"""sin, cos and tan for float32, without libdevice: its own reduce large arguments in float64 and through local memory.

x = r + n*pi/2 with |r| <= pi/4. Up to 1e5 by fused multiply-adds with pi/2 in three parts (Cody and Waite, "Software Manual
for the Elementary Functions", 1980). Beyond, by a product of integers with those bits of 2/pi that matter (Payne and Hanek,
"Radian reduction for trigonometric functions", SIGNUM 1983). Errors: up to 1.5 ulps, 3.5 for tan; beyond 1e5 one more.
"""

from __future__ import annotations

import numpy as np

from kernels.cuda.ptx import (
    bits_of_float32,
    float32,
    float32_of_bits,
    fused_multiply_add,
    inlined,
    int32,
    int64,
    select,
    uint64,
)  # fmt: skip

FARTHEST = np.float32(105615)
INVERSE_HALF_PI = np.float32(0.6366197723675814)
HALF_PI_0, HALF_PI_1, HALF_PI_2 = (np.float32(v) for v in (-1.57079625, -7.54978942e-08, -5.39030295e-15))
HALF_PI_SCALED = np.float32(np.pi / 2 * 2.0**-64)
MAGIC, MAGIC_BITS = np.float32(12582912), np.int32(0x4B400000)  # 1.5 * 2**23: adding it rounds to an integer
ZERO, ONE, HALF, INFINITY, NOT_A_NUMBER = (np.float32(v) for v in (0, 1, 0.5, np.inf, np.nan))
# sin(r) = r + r**3 * P(r*r) and cos(r) = 1 - r*r/2 + r**4 * Q(r*r): the polynomials of kernels.cpu.math_constants.
SIN_0, SIN_1, SIN_2, SIN_3 = (np.float32(v) for v in (-0.16666667, 0.008333332, -0.00019840083, 2.7249353e-06))
COS_0, COS_1, COS_2 = (np.float32(v) for v in (0.041666664, -0.0013888301, 2.4547486e-05))
# 2/pi in binary: 32 zeros and then the first 224 digits.
WORD0, WORD1, WORD2, WORD3, WORD4, WORD5, WORD6, WORD7 = (
    np.uint64(word)
    for word in (0, 0xA2F9836E, 0x4E441529, 0xFC2757D1, 0xF534DDC0, 0xDB629599, 0x3C439041, 0xFE5163AB)
)


@inlined
def chosen(k, a, b, c, d, e):
    """Number k, 0 to 4, of the others."""
    return select(k < int32(2), select(k == int32(0), a, b), select(k == int32(2), c, select(k == int32(3), d, e)))


@inlined
def reduce_large(magnitude):
    """(r, n modulo 4) for a magnitude of at least 2**16.

    With magnitude = mantissa * 2**(exponent - 23), digits of 2/pi that contribute multiples of four quarter turns are left
    out: the 96 that follow are enough, for 30 of them may cancel at most.
    """
    bits = bits_of_float32(magnitude)
    mantissa = uint64(int32(bits & int32(0x7FFFFF)) | int32(0x800000))
    start = int32(int32(bits >> int32(23)) - int32(120))  # the number of digits left out
    k = int32(start >> int32(5))
    left = uint64(start & int32(31))
    right = uint64(32) - left
    low_half = uint64(0xFFFFFFFF)
    word0 = chosen(k, WORD0, WORD1, WORD2, WORD3, WORD4)
    word1 = chosen(k, WORD1, WORD2, WORD3, WORD4, WORD5)
    word2 = chosen(k, WORD2, WORD3, WORD4, WORD5, WORD6)
    word3 = chosen(k, WORD3, WORD4, WORD5, WORD6, WORD7)
    digits0 = ((word0 << left) | (word1 >> right)) & low_half
    digits1 = ((word1 << left) | (word2 >> right)) & low_half
    digits2 = ((word2 << left) | (word3 >> right)) & low_half
    turns = ((mantissa * digits0) << uint64(32)) + mantissa * digits1 + ((mantissa * digits2) >> uint64(32))
    quadrant = int32((turns + uint64(0x2000000000000000)) >> uint64(62))
    return float32(int64(turns << uint64(2))) * HALF_PI_SCALED, quadrant


@inlined
def reduce(x):
    """(r, n modulo 4, perhaps with more bits above) of x."""
    magnitude = float32_of_bits(bits_of_float32(x) & int32(0x7FFFFFFF))
    if magnitude < FARTHEST:
        shifted = fused_multiply_add(x, INVERSE_HALF_PI, MAGIC)
        n = shifted - MAGIC
        r = fused_multiply_add(n, HALF_PI_2, fused_multiply_add(n, HALF_PI_1, fused_multiply_add(n, HALF_PI_0, x)))
        return r, int32(bits_of_float32(shifted) - MAGIC_BITS)
    r, quadrant = reduce_large(magnitude)
    is_negative = x < ZERO
    return select(is_negative, -r, r), select(is_negative, int32(-quadrant), quadrant)


@inlined
def sin_cos(r):
    """(sin r, cos r) for |r| <= pi/4."""
    square = r * r
    p = fused_multiply_add(fused_multiply_add(fused_multiply_add(SIN_3, square, SIN_2), square, SIN_1), square, SIN_0)
    q = fused_multiply_add(fused_multiply_add(COS_2, square, COS_1), square, COS_0)
    sine = fused_multiply_add(r * square, p, r)
    return sine, fused_multiply_add(square * square, q, fused_multiply_add(-HALF, square, ONE))


@inlined
def defined(x, value):
    """The value where x is finite, else NaN."""
    return select(x - x == ZERO, value, NOT_A_NUMBER)


@inlined
def sin(x):
    """sin, with the sign of a zero."""
    r, quadrant = reduce(x)
    sine, cosine = sin_cos(r)
    value = select((quadrant & int32(1)) != int32(0), cosine, sine)
    value = select((quadrant & int32(2)) != int32(0), -value, value)
    return select(x == ZERO, x, defined(x, value))


@inlined
def cos(x):
    """cos."""
    r, quadrant = reduce(x)
    sine, cosine = sin_cos(r)
    value = select((quadrant & int32(1)) != int32(0), sine, cosine)
    return defined(x, select((int32(quadrant + int32(1)) & int32(2)) != int32(0), -value, value))


@inlined
def tan(x):
    """sin/cos, or -cos/sin in odd quadrants."""
    r, quadrant = reduce(x)
    sine, cosine = sin_cos(r)
    is_odd = (quadrant & int32(1)) != int32(0)
    value = select(is_odd, -cosine, sine) / select(is_odd, sine, cosine)
    return select(x == ZERO, x, defined(x, value))
