"""sin, cos and tan for float32 and float64: vectorising up to |x| = 1e6, beyond it the C library element by element.

x = r + n*pi/2 with r in [-pi/4, pi/4], pi/2 in parts (33 + 33 + 53 bits) so that n times all but the last is exact. A
float32 is reduced in float64, where two parts are enough. What asking the C library costs a loop: see fallback.py.
"Ulps" is the largest error measured below 1e6. Beyond, glibc stays below 1 but where x is as near to a multiple of pi/2
as floating-point numbers come (8 at 6381956970095103 * 2**797, where the cosine is 5e-19).
"""

from numpy import float32, float64, int64

from .fallback import library_beyond
from .intrinsics import absolute, bits_of_float64, inlined, polynomial, select
from .math_constants import FLOAT32, FLOAT64

# pi/2 in parts whose products with 20 bits are exact, but for the last.
HALF_PI_0, HALF_PI_1, HALF_PI_2 = (
    float64.fromhex(part) for part in ("0x1.921fb544p+0", "0x1.0b4611a6p-34", "0x1.3198a2e037073p-69")
)
HALF_PI_REST = HALF_PI_1 + HALF_PI_2
INVERSE_HALF_PI = float64(0.6366197723675814)
MAGIC, MAGIC_BITS = FLOAT64.MAGIC, FLOAT64.MAGIC_BITS
FARTHEST = 1e6  # 20 bits of quarter turns
sin_beyond, cos_beyond, tan_beyond = (library_beyond(name, FARTHEST) for name in ("sin", "cos", "tan"))

SIN_32, COS_32, SIN_64, COS_64 = FLOAT32.SIN, FLOAT32.COS, FLOAT64.SIN, FLOAT64.COS
ONE, HALF, SMALL_64 = float64(1), float64(0.5), float64(2.0**-27)
ONE_32, HALF_32, SMALL_32 = float32(1), float32(0.5), float32(2.0**-13)


@inlined
def reduce_float32(wide):
    """(r, quadrant) of a float64 that holds a float32."""
    shifted = wide * INVERSE_HALF_PI + MAGIC
    n = shifted - MAGIC
    return float32((wide - n * HALF_PI_0) - n * HALF_PI_REST), bits_of_float64(shifted) - MAGIC_BITS


@inlined
def sin_cos_float32(r):
    """(sin r, cos r) for |r| <= pi/4."""
    square = r * r
    sine = r + r * (square * polynomial(square, SIN_32))
    cosine = ONE_32 - (HALF_32 * square - square * square * polynomial(square, COS_32))
    return sine, cosine


@inlined
def sin_float32(x):
    """sin by a reduction good to 1e6, beyond it the C library's for float64. Ulps: 1.48."""
    wide = float64(x)
    r, quadrant = reduce_float32(wide)
    sine, cosine = sin_cos_float32(r)
    value = select((quadrant & int64(1)) != int64(0), cosine, sine)
    value = select((quadrant & int64(2)) != int64(0), -value, value)
    return float32(sin_beyond(wide, float64(select(absolute(x) < SMALL_32, x, value))))


@inlined
def cos_float32(x):
    """cos by a reduction good to 1e6, beyond it the C library's for float64. Ulps: 1.45."""
    wide = float64(x)
    r, quadrant = reduce_float32(wide)
    sine, cosine = sin_cos_float32(r)
    value = select((quadrant & int64(1)) != int64(0), sine, cosine)
    value = select(((quadrant + int64(1)) & int64(2)) != int64(0), -value, value)
    return float32(cos_beyond(wide, float64(value)))


@inlined
def tan_float32(x):
    """sin/cos, or -cos/sin in odd quadrants, by a reduction good to 1e6, beyond it the C library's for float64.

    Ulps: 3.25.
    """
    wide = float64(x)
    r, quadrant = reduce_float32(wide)
    sine, cosine = sin_cos_float32(r)
    odd = (quadrant & int64(1)) != int64(0)
    value = select(odd, -cosine, sine) / select(odd, sine, cosine)
    return float32(tan_beyond(wide, float64(select(absolute(x) < SMALL_32, x, value))))


@inlined
def reduce_float64(x):
    """(r, its rounding error, quadrant) for |x| <= 1e6."""
    shifted = x * INVERSE_HALF_PI + MAGIC
    n = shifted - MAGIC
    head = x - n * HALF_PI_0  # exact
    second = n * HALF_PI_1  # exact
    middle = head - second
    rest = ((head - middle) - second) - n * HALF_PI_2
    r = middle + rest
    return r, (middle - r) + rest, bits_of_float64(shifted) - MAGIC_BITS


@inlined
def sin_cos_float64(r, low):
    """(sin, cos) of r + low for |r| <= pi/4 and a tiny low."""
    square = r * r
    half = HALF * square
    sine = r + (r * (square * polynomial(square, SIN_64)) + low * (ONE - half))
    top = ONE - half
    cosine = top + (((ONE - top) - half) + (square * square * polynomial(square, COS_64) - r * low))
    return sine, cosine


@inlined
def sin_float64(x):
    """sin by a reduction good to 1e6, beyond it the C library's. Ulps: 0.77."""
    r, low, quadrant = reduce_float64(x)
    sine, cosine = sin_cos_float64(r, low)
    value = select((quadrant & int64(1)) != int64(0), cosine, sine)
    value = select((quadrant & int64(2)) != int64(0), -value, value)
    return sin_beyond(x, select(absolute(x) < SMALL_64, x, value))


@inlined
def cos_float64(x):
    """cos by a reduction good to 1e6, beyond it the C library's. Ulps: 0.77."""
    r, low, quadrant = reduce_float64(x)
    sine, cosine = sin_cos_float64(r, low)
    value = select((quadrant & int64(1)) != int64(0), sine, cosine)
    value = select(((quadrant + int64(1)) & int64(2)) != int64(0), -value, value)
    return cos_beyond(x, value)


@inlined
def tan_float64(x):
    """sin/cos, or -cos/sin in odd quadrants, by a reduction good to 1e6, beyond it the C library's. Ulps: 2.50."""
    r, low, quadrant = reduce_float64(x)
    sine, cosine = sin_cos_float64(r, low)
    odd = (quadrant & int64(1)) != int64(0)
    value = select(odd, -cosine, sine) / select(odd, sine, cosine)
    return tan_beyond(x, select(absolute(x) < SMALL_64, x, value))
