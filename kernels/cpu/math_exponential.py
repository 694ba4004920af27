"""exp and its family for float32 and float64: vectorising, no branch, no library call.

The method is the classical one of Cody and Waite: x = n*ln(2) + r with n*ln(2) in two parts, the first exact, and a
polynomial in r. "Ulps" in a docstring is the largest error measured, in units in the last place: for float32 over every
61st bit pattern, for float64 over 100,000 numbers. One figure is the function's own, of two the first is of float32.
"""

from .intrinsics import absolute, copysign, inlined, polynomial, select


def exponential_functions(c):
    """The functions for the type whose constants are c."""
    bits_of, of_bits, real, integer, ZERO, ONE, TWO = c.bits_of, c.of_bits, c.real, c.integer, c.ZERO, c.ONE, c.TWO
    INVERSE_LN2, MAGIC, MAGIC_BITS, MANTISSA_BITS = c.INVERSE_LN2, c.MAGIC, c.MAGIC_BITS, c.MANTISSA_BITS
    EXPONENT_BIAS, LN2_HIGH, LN2_LOW, TINY, EXP_LOWEST = c.EXPONENT_BIAS, c.LN2_HIGH, c.LN2_LOW, c.TINY, c.EXP_LOWEST
    EXP_HIGHEST, EXP2_LOWEST, EXP2_HIGHEST = c.EXP_HIGHEST, c.EXP2_LOWEST, c.EXP2_HIGHEST
    SINH_HIGHEST, EXP, EXP2 = c.SINH_HIGHEST, c.EXP, c.EXP2

    @inlined
    def power_of_two(exponent):
        """2**exponent for the exponents of normal numbers."""
        return of_bits(integer(integer(exponent + EXPONENT_BIAS) << MANTISSA_BITS))

    @inlined
    def exponent_of(shifted):
        """The integer n in the low bits of n + MAGIC."""
        return integer(bits_of(shifted) - MAGIC_BITS)

    @inlined
    def scale(x, exponent):
        """x * 2**exponent in two steps: room for the exponents of subnormal numbers, and only the second rounds."""
        half = integer(exponent >> integer(1))
        return x * power_of_two(half) * power_of_two(integer(exponent - half))

    @inlined
    def exp_reduced(r, shifted):
        """e**r * 2**n, where the low bits of shifted = n + MAGIC hold n: the last step of every exponential."""
        return scale(ONE + (r + r * r * polynomial(r, EXP)), exponent_of(shifted))

    @inlined
    def exp(x):
        """e**x = 2**n * e**r with |r| <= ln(2)/2 and a polynomial of degree 6 (float64: 11).

        Exactly 0 below -103.98 (-745.14), gradually subnormal above that, infinite where the result does not fit.
        Ulps: 1.02, 1.00.
        """
        x = select(x < EXP_LOWEST, EXP_LOWEST, x)  # this way round NaN passes
        x = select(x > EXP_HIGHEST, EXP_HIGHEST, x)
        shifted = x * INVERSE_LN2 + MAGIC
        n = shifted - MAGIC
        return exp_reduced((x - n * LN2_HIGH) - n * LN2_LOW, shifted)

    @inlined
    def exp2(x):
        """2**x = 2**n * 2**r with |r| <= 1/2: exact for whole numbers, the range of exp otherwise. Ulps: 0.97, 0.87."""
        x = select(x < EXP2_LOWEST, EXP2_LOWEST, x)
        x = select(x > EXP2_HIGHEST, EXP2_HIGHEST, x)
        shifted = x + MAGIC
        r = x - (shifted - MAGIC)
        return scale(ONE + r * polynomial(r, EXP2), exponent_of(shifted))

    @inlined
    def expm1_over(x, shift):
        """(e**x - 1) / 2**shift = (e**r - 1)*2**(n-shift) + (2**(n-shift) - 2**-shift); for |x| small enough to fit.

        The relative accuracy is kept near 0 (but for subnormal quotients), and the sign of zero is not.
        """
        shifted = x * INVERSE_LN2 + MAGIC
        n = shifted - MAGIC
        r = (x - n * LN2_HIGH) - n * LN2_LOW
        factor = power_of_two(exponent_of(shifted) - shift)
        return (r + r * r * polynomial(r, EXP)) * factor + (factor - power_of_two(-shift))

    @inlined
    def expm1(x):
        """e**x - 1 = 2**n * (e**r - 1) + (2**n - 1), halved and doubled so that the last factor fits.

        Ulps: 1.49, 1.87.
        """
        limited = select(x < real(-60), real(-60), x)
        limited = select(limited > EXP_HIGHEST, EXP_HIGHEST, limited)
        return select(absolute(x) < TINY, x, TWO * expm1_over(limited, integer(1)))

    @inlined
    def tanh(x):
        """q/(q + 2) with q = e**(2|x|) - 1, which keeps its relative accuracy near 0. Ulps: 2.48, 2.41."""
        magnitude = absolute(x)
        magnitude = select(magnitude > real(20), real(20), magnitude)
        q = expm1_over(magnitude + magnitude, integer(0))
        return copysign(q / (q + TWO), x)

    @inlined
    def sinh(x):
        """(q + q/(q + 1))/2 with q = e**|x| - 1; computed from q/4, which does not overflow before sinh.

        Ulps: 2.22, 2.07.
        """
        magnitude = absolute(x)
        limited = select(magnitude > SINH_HIGHEST, SINH_HIGHEST, magnitude)
        quarter = expm1_over(limited, integer(2))
        value = TWO * (quarter + quarter / (real(4) * quarter + ONE))
        return copysign(select(magnitude < TINY, magnitude, value), x)

    @inlined
    def cosh(x):
        """(e**|x| + e**-|x|)/2, computed from e**|x|/4, which does not overflow before cosh. Ulps: 1.54, 1.51."""
        magnitude = absolute(x)
        limited = select(magnitude > SINH_HIGHEST, SINH_HIGHEST, magnitude)
        quarter = expm1_over(limited, integer(2)) + real(0.25)
        return TWO * quarter + real(0.125) / quarter

    @inlined
    def sigmoid(x):
        """1/(1 + e**-|x|), times e**-|x| for negative x: no overflow, and subnormal results are kept.

        Ulps: 2.31, 1.92.
        """
        decay = exp(-absolute(x))
        return select(x < ZERO, decay, ONE) / (ONE + decay)

    return dict(
        exp=exp, exp2=exp2, expm1=expm1, tanh=tanh, sinh=sinh, cosh=cosh, sigmoid=sigmoid, scale=scale,
        exponent_of=exponent_of,
    )  # fmt: skip
