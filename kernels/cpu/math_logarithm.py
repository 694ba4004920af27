"""log and its family for float32 and float64: vectorising, no branch, no library call.

x = 2**n * (1 + f) by the bits of x, n*ln(2) in two parts, the first exact, and a polynomial for log1p(f).
"Ulps" is the largest error measured (float32, float64) in units in the last place; see math_exponential.py.
"""

from numpy import float32, float64

from .intrinsics import absolute, bigger, copysign, inlined, maximum, polynomial, select, square_root


def logarithm_functions(c, exp, wide_log10):
    """The functions for the type whose constants are c; exp is its own, wide_log10 the float64 log10 (None there)."""
    bits_of, of_bits, real, integer, ZERO, ONE, TWO = c.bits_of, c.of_bits, c.real, c.integer, c.ZERO, c.ONE, c.TWO
    HALF, INFINITY, NOT_A_NUMBER, LN2, MANTISSA_BITS = c.HALF, c.INFINITY, c.NOT_A_NUMBER, c.LN2, c.MANTISSA_BITS
    EXPONENT_BIAS, LN2_HIGH, LN2_LOW, SQRT_HALF_BITS = c.EXPONENT_BIAS, c.LN2_HIGH, c.LN2_LOW, c.SQRT_HALF_BITS
    SMALLEST_NORMAL, SUBNORMAL_SHIFT, SUBNORMAL_FACTOR = c.SMALLEST_NORMAL, c.SUBNORMAL_SHIFT, c.SUBNORMAL_FACTOR
    LARGE, HEAD_MASK, LOG = c.LARGE, c.HEAD_MASK, c.LOG

    @inlined
    def split(x):
        """(f, n) with x = 2**n * (1 + f), 1 + f between sqrt(1/2) and sqrt(2); n as a float. Subnormal x are exact."""
        small = x < SMALLEST_NORMAL
        normal = select(small, x * SUBNORMAL_FACTOR, x)
        bits = bits_of(normal)
        exponent = integer(integer(bits - SQRT_HALF_BITS) >> MANTISSA_BITS)
        f = of_bits(integer(bits - integer(exponent << MANTISSA_BITS))) - ONE
        return f, real(exponent) - select(small, SUBNORMAL_SHIFT, ZERO)

    if real is float32:

        @inlined
        def log_core(f, exponent):
            """log(2**exponent * (1 + f)) for the f of split: f - f*f/2 + f**3 * P(f) with P of degree 7."""
            square = f * f
            tail = exponent * LN2_LOW + square * (f * polynomial(f, LOG) - HALF)
            return exponent * LN2_HIGH + (f + tail)

    else:

        @inlined
        def log1p_tail(f, half_square):
            """log1p(f) - f + f*f/2 = s*(f*f/2 + R(s*s)) with s = f/(2 + f), because log1p(f) = 2 atanh(s)."""
            s = f / (TWO + f)
            square = s * s
            return s * (half_square + square * polynomial(square, LOG))

        @inlined
        def log_core(f, exponent):
            """log(2**exponent * (1 + f)) for sqrt(1/2) - 1 <= f <= sqrt(2) - 1."""
            half_square = HALF * f * f
            tail = log1p_tail(f, half_square) + exponent * LN2_LOW
            return exponent * LN2_HIGH - ((half_square - tail) - f)

    @inlined
    def log_special(x, value):
        """value, or the logarithm of x where x is 0, infinite, negative or NaN."""
        value = select(x < INFINITY, value, x)
        value = select(x < ZERO, NOT_A_NUMBER, value)
        return select(x == ZERO, -INFINITY, value)

    @inlined
    def log(x):
        """log(2**n * (1 + f)) = n*ln(2) + log1p(f) with a polynomial in f (in f/(2 + f)). Ulps: 0.89, 0.77."""
        f, exponent = split(x)
        return log_special(x, log_core(f, exponent))

    @inlined
    def log1p(x):
        """log(1 + x) as the logarithm of 2**n * (1 + f), f = (2**-n - 1) + 2**-n * x exact but for one rounding.

        Ulps: 1.45, 1.13.
        """
        u = ONE + x
        exponent = integer(integer(bits_of(u) - SQRT_HALF_BITS) >> MANTISSA_BITS)
        exponent = select(x < INFINITY, exponent, integer(0))
        inverse = of_bits(integer(bigger(EXPONENT_BIAS - exponent, integer(0)) << MANTISSA_BITS))
        f = (inverse - ONE) + of_bits(integer(bits_of(x) - integer(exponent << MANTISSA_BITS)))
        value = copysign(log_core(f, real(exponent)), x)
        value = select(x < INFINITY, value, x)
        value = select(x < -ONE, NOT_A_NUMBER, value)
        return select(x == -ONE, -INFINITY, value)

    @inlined
    def asinh(x):
        """log1p(a + a*a/(1 + sqrt(a*a + 1))) with a = |x|, and log(a) + ln(2) for large a. Ulps: 1.86, 1.55."""
        magnitude = absolute(x)
        large = magnitude > LARGE
        square = magnitude * magnitude
        inner = select(large, magnitude, magnitude + square / (ONE + square_root(square + ONE)))
        return copysign(log1p(inner) + select(large, LN2, ZERO), x)

    @inlined
    def acosh(x):
        """log1p(t + sqrt(2t + t*t)) with t = x - 1, and log(x) + ln(2) for large x. Ulps: 2.19, 2.00."""
        large = x > LARGE
        t = x - ONE
        inner = select(large, x, t + square_root((t + TWO) * t))
        return select(x < ONE, NOT_A_NUMBER, log1p(inner) + select(large, LN2, ZERO))

    @inlined
    def atanh(x):
        """log1p(2a/(1 - a))/2 with a = |x|. Ulps: 2.07, 1.79."""
        magnitude = absolute(x)
        return copysign(HALF * log1p((magnitude + magnitude) / (ONE - magnitude)), x)

    if real is float64:

        @inlined
        def log_to_base(x, factors):
            """n*exponent + log1p(f)*factor, both factors in two parts, and log1p(f) as a head of 21 bits and a rest."""
            factor_high, factor_low, exponent_high, exponent_low = factors
            f, exponent = split(x)
            half_square = HALF * f * f
            head = of_bits(bits_of(f - half_square) & HEAD_MASK)
            rest = ((f - head) - half_square) + log1p_tail(f, half_square)
            main = head * factor_high
            whole = exponent * exponent_high
            total = whole + main
            low = exponent * exponent_low + ((rest + head) * factor_low + rest * factor_high) + ((whole - total) + main)
            return log_special(x, total + low)

        to_base_2 = c.INVERSE_LN2_HIGH, c.INVERSE_LN2_LOW, ONE, ZERO
        to_base_10 = c.INVERSE_LN10_HIGH, c.INVERSE_LN10_LOW, c.LOG10_2_HIGH, c.LOG10_2_LOW

        @inlined
        def log2(x):
            """n + log1p(f)/ln(2) in head and rest: exact for powers of two. Ulps: 0.74."""
            return log_to_base(x, to_base_2)

        @inlined
        def log10(x):
            """n*log10(2) + log1p(f)/ln(10) in head and rest: exact for powers of ten. Ulps: 0.65."""
            return log_to_base(x, to_base_10)

    else:
        LOG2 = c.LOG2

        @inlined
        def log2(x):
            """n + f*P(f) with P(f) = log2(1 + f)/f: exact for powers of two. Ulps: 1.63."""
            f, exponent = split(x)
            return log_special(x, exponent + f * polynomial(f, LOG2))

        @inlined
        def log10(x):
            """The float64 function, rounded: exact for powers of ten. Ulps: 0.50."""
            return float32(wide_log10(float64(x)))

    @inlined
    def logaddexp(x, y):
        """log(e**x + e**y) = m + log1p(e**-|x - y|) with the larger m, which must not cancel the rest to be accurate.

        Two equal infinities give that infinity.
        """
        difference = select(x == y, ZERO, absolute(x - y))
        return maximum(x, y) + log1p(exp(-difference))

    return dict(
        log=log, log1p=log1p, log2=log2, log10=log10, asinh=asinh, acosh=acosh, atanh=atanh, logaddexp=logaddexp,
    )  # fmt: skip
