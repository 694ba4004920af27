"""Inverse trigonometric functions and the error function: vectorising, no branch, no library call.

"Ulps" is the largest error measured (float32, float64) in units in the last place; see math_exponential.py.
"""

from numpy import float32

from .intrinsics import absolute, copysign, inlined, polynomial, select, square_root


def inverse_functions(c):
    """asin, acos and atan for the type whose constants are c."""
    real, ZERO, ONE, TWO, HALF, PI, HALF_PI = c.real, c.ZERO, c.ONE, c.TWO, c.HALF, c.PI, c.HALF_PI
    QUARTER_PI, HALF_PI_LOW, ATAN, ASIN = c.QUARTER_PI, c.HALF_PI_LOW, c.ATAN, c.ASIN

    @inlined
    def atan(x):
        """base + atan(z) with z = a, (a - 1)/(a + 1) or -1/a for base 0, pi/4, pi/2: |z| <= tan(pi/8).

        Ulps: 2.02, 1.88.
        """
        magnitude = absolute(x)
        middle, large = magnitude > real(0.41421356237), magnitude > real(2.41421356237)
        above = select(large, -ONE, select(middle, magnitude - ONE, magnitude))
        below = select(large, magnitude, select(middle, magnitude + ONE, ONE))
        z = above / below
        base = select(large, HALF_PI, select(middle, QUARTER_PI, ZERO))
        base_low = select(large, HALF_PI_LOW, select(middle, HALF * HALF_PI_LOW, ZERO))
        square = z * z
        return copysign(base + (z + (z * (square * polynomial(square, ATAN)) + base_low)), x)

    @inlined
    def asin_parts(x):
        """(a > 1/2, asin(v)) with a = |x| and v = a, or sqrt((1 - a)/2) where a > 1/2: asin(a) = pi/2 - 2 asin(v)."""
        magnitude = absolute(x)
        large = magnitude > HALF
        square = select(large, HALF * (ONE - magnitude), magnitude * magnitude)
        v = select(large, square_root(square), magnitude)
        return large, v + v * (square * polynomial(square, ASIN))

    @inlined
    def asin(x):
        """v + v**3 * P(v*v) for v = |x| up to 1/2, and pi/2 - 2 asin(sqrt((1 - |x|)/2)) above. Ulps: 2.28, 2.07."""
        large, inner = asin_parts(x)
        return copysign(select(large, HALF_PI - (TWO * inner - HALF_PI_LOW), inner), x)

    @inlined
    def acos(x):
        """pi/2 - asin(x) for |x| up to 1/2, 2 asin(sqrt((1 - x)/2)) above, and pi minus that of -x below.

        Ulps: 1.14, 1.11.
        """
        large, inner = asin_parts(x)
        above = select(x < ZERO, PI - (TWO * inner - TWO * HALF_PI_LOW), TWO * inner)
        return select(large, above, HALF_PI - (copysign(inner, x) - HALF_PI_LOW))

    return dict(
        asin=asin, acos=acos, atan=atan,
    )  # fmt: skip


def error_functions(c, exponentials):
    """erf and erfc for the type whose constants are c; exponentials are its `exponential_functions`."""
    bits_of, of_bits, real, integer, ZERO, ONE, TWO = c.bits_of, c.of_bits, c.real, c.integer, c.ZERO, c.ONE, c.TWO
    INVERSE_LN2, MAGIC, LN2_HIGH, LN2_LOW, HEAD_MASK = c.INVERSE_LN2, c.MAGIC, c.LN2_HIGH, c.LN2_LOW, c.HEAD_MASK
    ERFC_HIGHEST, EXP, ERFC, HALF = c.ERFC_HIGHEST, c.EXP, c.ERFC, c.HALF
    ERF_NEAR, ERF_ABOVE, ERF_BELOW = c.ERF_NEAR, c.ERF_ABOVE, c.ERF_BELOW
    ERF_SQUARE, ERF_SLOPE, IS_SINGLE = c.ERF_SQUARE, c.ERF_SLOPE, c.real is float32
    scale, exponent_of = exponentials["scale"], exponentials["exponent_of"]

    @inlined
    def erfc_core(magnitude):
        """erfc(a) for a >= 0 as e**(-a*a) * P(q)/(1 + 2a), where q = (a - 3)/(a + 3) maps all a to [-1, 1].

        a*a must not be rounded, for the exponential magnifies that by a*a: with a head h whose square is exact,
        a*a = h*h + (a - h)(a + h), and the small second part joins the reduced argument of the exponential.
        """
        magnitude = select(magnitude > ERFC_HIGHEST, ERFC_HIGHEST, magnitude)
        head = of_bits(integer(bits_of(magnitude) & HEAD_MASK))
        square = -(head * head)
        shifted = square * INVERSE_LN2 + MAGIC
        n = shifted - MAGIC
        r = ((square - n * LN2_HIGH) - n * LN2_LOW) - (magnitude - head) * (magnitude + head)
        q = (magnitude - real(3)) / (magnitude + real(3))
        # The quotient first: it is of moderate size, so that the scaling by 2**n is the only step to underflow.
        quotient = polynomial(q, ERFC) / (ONE + TWO * magnitude)
        return scale(quotient + quotient * (r + r * r * polynomial(r, EXP)), exponent_of(shifted))

    @inlined
    def erfc(x):
        """1 - erf(x) for |x| < 1/2; beyond, e**(-x*x) * P(q)/(1 + 2|x|), and 2 minus that for negative x.

        Ulps: 3.85, 3.01.
        """
        magnitude = absolute(x)
        value = erfc_core(magnitude)
        near = ONE - x * polynomial(x * x, ERF_NEAR)
        return select(magnitude < HALF, near, select(x < ZERO, TWO - value, value))

    @inlined
    def erf(x):
        """x*(s + P(x*x)/Q(x*x)), cut off at 1, with x*x kept where the quotient was fitted.

        The slope s near erf(x)/x for large x takes the rounding errors of P and Q (six ulps) out of what is nearly 1.
        Ulps: 3.82, 3.39.
        """
        square = x * x
        square = select(square > ERF_SQUARE, ERF_SQUARE, square)
        quotient = polynomial(square, ERF_ABOVE) / polynomial(square, ERF_BELOW)
        # Multiplications set the pace. float32 has room for the one rounding more that it costs to save one.
        value = x * (quotient + ERF_SLOPE) if IS_SINGLE else x * quotient + x * ERF_SLOPE
        value = select(value > ONE, ONE, value)
        return select(value < -ONE, -ONE, value)

    return dict(
        erf=erf, erfc=erfc,
    )  # fmt: skip
