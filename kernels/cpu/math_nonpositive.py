"""e**x for x <= 0, as softmax needs it: two thirds of the cost of exp, which must also reach infinity and subnormals."""

from numba import types

from .intrinsics import inlined, polynomial, select
from .math_constants import FLOAT32, FLOAT64


def _exp_nonpositive(c, lowest):
    """The function for the type whose constants are c; e**lowest is the smallest normal number."""
    bits_of, of_bits, real, integer, ZERO, ONE = c.bits_of, c.of_bits, c.real, c.integer, c.ZERO, c.ONE
    INVERSE_LN2, MAGIC, MAGIC_BITS, MANTISSA_BITS = c.INVERSE_LN2, c.MAGIC, c.MAGIC_BITS, c.MANTISSA_BITS
    EXPONENT_BIAS, LN2_HIGH, LN2_LOW, EXP, LOWEST = c.EXPONENT_BIAS, c.LN2_HIGH, c.LN2_LOW, c.EXP, real(lowest)

    @inlined
    def exp_nonpositive(x):
        """e**x by the method of exp; exactly 0 where that is smaller than the smallest normal number, NaN for NaN."""
        shifted = x * INVERSE_LN2 + MAGIC
        n = shifted - MAGIC
        r = (x - n * LN2_HIGH) - n * LN2_LOW
        power = of_bits(integer(integer(bits_of(shifted) - MAGIC_BITS + EXPONENT_BIAS) << MANTISSA_BITS))
        return select(x < LOWEST, ZERO, (ONE + (r + r * r * polynomial(r, EXP))) * power)

    return exp_nonpositive


EXP_NONPOSITIVE = {
    types.float32: _exp_nonpositive(FLOAT32, -87.33),
    types.float64: _exp_nonpositive(FLOAT64, -708.39),
}
