"""From a counter to random numbers: the recipe that every device follows bit by bit.

Philox4x32-10 (Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011) turns a counter
of 128 bits and a key of 64 into four words of 32 random bits, without any state: block number i of a stream is a
function of i and the key alone, so any thread can make any block. A generator's seed is the key, its offset is the
number of the next unused block.

The functions below are plain arithmetic of scalars. Kernels include their source (`uses=` of `kernels.cpu.compiler`);
called from Python they have the same meaning, which is what the tests compare with. Two rules make the bits equal on
every device: an a*b + c that is to be rounded once says `fused_multiply_add`, and no other product is an operand of an
addition, where a compiler might fuse them. All the rest (+, -, *, /, square root, conversions) is correctly rounded
everywhere. Words are uint64 with an empty upper half, which is the form in which vector units multiply them.
"""

import math
from collections.abc import Callable
from fractions import Fraction

from numpy import float32, float64, int32, int64, nextafter, uint64


def inlined(function: Callable) -> Callable:
    """Mark a function whose source is copied into the kernels that name it in `uses`."""
    return function


# --- the Python meaning of the instructions that kernels import from their device ------------------------------------


def fused_multiply_add(x, y, z):
    """x*y + z, rounded once (float32: to float64 and then to float32, which differs once in 2**29 cases)."""
    exact = Fraction(float(x)) * Fraction(float(y)) + Fraction(float(z))
    return type(x)(float(exact) if exact else float(x) * float(y) + float(z))


def select(condition, if_true, if_false):
    """if_true where the condition holds, else if_false."""
    return if_true if condition else if_false


def square_root(x):
    """The correctly rounded square root."""
    return type(x)(math.sqrt(x))


def bits_of_float32(x):
    """The bits of a float32, as an int32."""
    return float32(x).view(int32)


def float32_of_bits(bits):
    """The float32 with these bits."""
    return int32(bits).view(float32)


def bits_of_float64(x):
    """The bits of a float64, as an int64."""
    return float64(x).view(int64)


def float64_of_bits(bits):
    """The float64 with these bits."""
    return int64(bits).view(float64)


# --- counter to words ------------------------------------------------------------------------------------------------


@inlined
def philox(counter0, counter1, counter2, counter3, key0, key1):
    """The four words of the block with this counter and key; all uint64 below 2**32.

    >>> from numpy import uint64
    >>> " ".join(f"{int(word):08x}" for word in philox(*[uint64(0)] * 6))
    '6627e8d5 e169c58d bc57ac4c 9b00dbd8'
    """
    low_half = uint64(0xFFFFFFFF)
    for _ in range(10):
        product0 = counter0 * uint64(0xD2511F53)
        product1 = counter2 * uint64(0xCD9E8D57)
        counter0 = (product1 >> uint64(32)) ^ counter1 ^ key0
        counter1 = product1 & low_half
        counter2 = (product0 >> uint64(32)) ^ counter3 ^ key1
        counter3 = product0 & low_half
        key0 = (key0 + uint64(0x9E3779B9)) & low_half  # the golden ratio and sqrt(3) - 1, as fractions of 2**32
        key1 = (key1 + uint64(0xBB67AE85)) & low_half
    return counter0, counter1, counter2, counter3


@inlined
def random_words(key, index):
    """The four words of block `index` of stream `key`: the lower half of the counter is the index, the upper half 0.

    Both are the bits of an unsigned 64-bit number in an int64, the type in which a launch passes numbers.
    """
    zero = uint64(0)
    return philox(
        uint64(index & 0xFFFFFFFF),
        uint64((index >> 32) & 0xFFFFFFFF),
        zero,
        zero,
        uint64(key & 0xFFFFFFFF),
        uint64((key >> 32) & 0xFFFFFFFF),
    )


# --- words to numbers ------------------------------------------------------------------------------------------------


@inlined
def uniform_float32(word):
    """The upper 24 bits as a multiple of 2**-24 in [0, 1)."""
    return float32(int32(word >> uint64(8))) * float32(5.9604644775390625e-08)


@inlined
def uniform_float64(high, low):
    """53 bits, 32 of them from `high`, as a multiple of 2**-53 in [0, 1)."""
    return float64(int64((high << uint64(21)) | (low >> uint64(11)))) * float64(1.1102230246251565e-16)


@inlined
def stretched(fraction, low, width, last):
    """low + width*fraction for a fraction in [0, 1), at most `last`: rounding must not reach the upper limit."""
    value = fused_multiply_add(fraction, width, low)
    return select(value < last, value, last)


@inlined
def normal_pair_float32(radius_word, angle_word):
    """Two independent standard normals from two words (Box and Muller 1958); none exceeds 6.77 in magnitude.

    The radius is sqrt(-2 log(u)) for u = (word + 1/2) / 2**32. The angle is a quadrant and a signed fraction z of a
    quadrant, |z| <= 1/2, both cut from the bits of the word: nothing is rounded before the polynomials of z*z.
    The polynomials are from learn/fit_normal.py; relative errors near 1e-7.
    """
    u = fused_multiply_add(
        float32(int64(radius_word)), float32(2.3283064365386963e-10), float32(1.1641532182693481e-10)
    )
    bits = bits_of_float32(u)
    exponent = int32(int32(bits - int32(0x3F3504F3)) >> int32(23))  # u = 2**exponent * (1 + f), sqrt(1/2) <= 1 + f
    f = float32_of_bits(int32(bits - int32(exponent << int32(23)))) - float32(1)
    p = float32(-0.0790274377)
    p = fused_multiply_add(p, f, float32(0.126223198))
    p = fused_multiply_add(p, f, float32(-0.129981838))
    p = fused_multiply_add(p, f, float32(0.142144959))
    p = fused_multiply_add(p, f, float32(-0.166412815))
    p = fused_multiply_add(p, f, float32(0.200010451))
    p = fused_multiply_add(p, f, float32(-0.250003064))
    p = fused_multiply_add(p, f, float32(0.333333307))
    p = fused_multiply_add(p, f, float32(-0.5))
    logarithm = fused_multiply_add(float32(exponent), float32(0.6931471805599453), fused_multiply_add(f * f, p, f))
    radius = square_root(float32(-2) * logarithm)
    quadrant = (angle_word + uint64(0x20000000)) >> uint64(30)
    z = float32(int32((angle_word << uint64(2)) & uint64(0xFFFFFFFF))) * float32(2.3283064365386963e-10)
    y = z * z
    s = float32(-0.00460214921)
    s = fused_multiply_add(s, y, float32(0.0796802176))
    s = fused_multiply_add(s, y, float32(-0.645963478))
    s = z * fused_multiply_add(s, y, float32(1.57079632))
    c = float32(0.000906739898)
    c = fused_multiply_add(c, y, float32(-0.0208615283))
    c = fused_multiply_add(c, y, float32(0.25366941))
    c = fused_multiply_add(c, y, float32(-1.23370055))
    c = fused_multiply_add(c, y, float32(1))
    turned = (quadrant & uint64(1)) != uint64(0)
    cosine = select(turned, s, c)
    sine = select(turned, c, s)
    cosine = select(((quadrant + uint64(1)) & uint64(2)) != uint64(0), -cosine, cosine)
    sine = select((quadrant & uint64(2)) != uint64(0), -sine, sine)
    return radius * cosine, radius * sine


@inlined
def normal_pair_float64(word0, word1, word2, word3):
    """Two independent standard normals from four words, as `normal_pair_float32`; none exceeds 8.66 in magnitude.

    log(1 + f) = f - s*(f - s*s*R(s*s)) with s = f/(2 + f), for it is 2*atanh(s). Relative errors near 3e-16.
    """
    u = fused_multiply_add(
        float64(int64((word0 << uint64(21)) | (word1 >> uint64(11)))),
        float64(1.1102230246251565e-16),
        float64(5.551115123125783e-17),
    )
    bits = bits_of_float64(u)
    exponent = (bits - int64(0x3FE6A09E667F3BCD)) >> int64(52)
    f = float64_of_bits(bits - (exponent << int64(52))) - float64(1)
    s = f / (float64(2) + f)
    y = s * s
    p = float64(0.14616585424888622)
    p = fused_multiply_add(p, y, float64(0.15331710618210772))
    p = fused_multiply_add(p, y, float64(0.18182889455674946))
    p = fused_multiply_add(p, y, float64(0.22222211130259877))
    p = fused_multiply_add(p, y, float64(0.28571428626003269))
    p = fused_multiply_add(p, y, float64(0.39999999999899443))
    p = fused_multiply_add(p, y, float64(0.66666666666666697))
    inner = fused_multiply_add(-s, fused_multiply_add(-y, p, f), f)
    logarithm = fused_multiply_add(float64(exponent), float64(0.6931471805599453), inner)
    radius = square_root(float64(-2) * logarithm)
    angle = (word2 << uint64(32)) | word3
    quadrant = ((angle >> uint64(32)) + uint64(0x20000000)) >> uint64(30)
    z = float64(int64(angle << uint64(2))) * float64(5.421010862427522e-20)
    y = z * z
    s = float64(5.633933781537854e-8)
    s = fused_multiply_add(s, y, float64(-3.5986433529823097e-6))
    s = fused_multiply_add(s, y, float64(0.00016044115074219091))
    s = fused_multiply_add(s, y, float64(-0.004681754132340976))
    s = fused_multiply_add(s, y, float64(0.079692626246043003))
    s = fused_multiply_add(s, y, float64(-0.64596409750624432))
    s = z * fused_multiply_add(s, y, float64(1.5707963267948966))
    c = float64(-6.3293963449674235e-9)
    c = fused_multiply_add(c, y, float64(4.7106784055052271e-7))
    c = fused_multiply_add(c, y, float64(-2.5202039028029176e-5))
    c = fused_multiply_add(c, y, float64(0.00091926027454684462))
    c = fused_multiply_add(c, y, float64(-0.020863480763340773))
    c = fused_multiply_add(c, y, float64(0.25366950790104782))
    c = fused_multiply_add(c, y, float64(-1.2337005501361698))
    c = fused_multiply_add(c, y, float64(1))
    turned = (quadrant & uint64(1)) != uint64(0)
    cosine = select(turned, s, c)
    sine = select(turned, c, s)
    cosine = select(((quadrant + uint64(1)) & uint64(2)) != uint64(0), -cosine, cosine)
    sine = select((quadrant & uint64(2)) != uint64(0), -sine, sine)
    return radius * cosine, radius * sine


@inlined
def below_narrow(high, low, span):
    """floor(x * span / 2**64) for the 64-bit x of two words and 1 <= span <= 2**32: an integer in [0, span)."""
    return (high * span + ((low * span) >> uint64(32))) >> uint64(32)


@inlined
def below_wide(word0, word1, word2, word3, span):
    """floor(x * span / 2**128) for the 128-bit x of four words and 1 <= span < 2**64; a span of 0 stands for 2**64."""
    half = uint64(32)
    low_half = uint64(0xFFFFFFFF)
    span_low = span & low_half
    span_high = span >> half
    # Long multiplication in digits of 32 bits, from the lowest digit of x up; `carry` is below 2**64 in each step.
    total0 = word3 * span_low
    total1 = word2 * span_low + (total0 >> half)
    total2 = word1 * span_low + (total1 >> half)
    total3 = word0 * span_low + (total2 >> half)
    carry1 = (total1 & low_half) + word3 * span_high
    carry2 = (total2 & low_half) + word2 * span_high + (carry1 >> half)
    carry3 = (total3 & low_half) + word1 * span_high + (carry2 >> half)
    top = (total3 >> half) + word0 * span_high + (carry3 >> half)
    return select(span == uint64(0), (word0 << half) | word1, top)


# --- what every device's kernels are started with --------------------------------------------------------------------


def signed(number: int) -> int:
    """The int64 with the lower 64 bits of a number: what a launch can carry.

    >>> signed(2**64 - 1)
    -1
    """
    number &= 0xFFFFFFFFFFFFFFFF
    return number - (number >> 63 << 64)


def stretch(real: type, low: float, high: float) -> tuple[float, float, float]:
    """`stretched`'s low, width and last for values in [low, high); low = high stands for that value."""
    lowest, highest = real(low), real(high)
    last = max(lowest, nextafter(highest, real(-math.inf)))
    return float(lowest), float(real(highest - lowest)), float(last)
