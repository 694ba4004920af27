"""The functions of float32 and float64 for CUDA kernels: libdevice's, and what is made of them.

libdevice is CUDA's library of mathematics, the one behind C++'s `expf`; the largest errors in ulps are listed in the CUDA
C++ Programming Guide, "Mathematical Functions": 0 to 2 for most, 4 for pow and erfc in float32. Ours are the logarithms to
base 2 (float64) and 10, exact at powers, sin, cos and tan of float32, and what libdevice does not have.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from kernels.cuda import math_trigonometric
from kernels.cuda.ptx import (
    bits_of_float32,
    bits_of_float64,
    float32_of_bits,
    float64_of_bits,
    fused_multiply_add,
    inlined,
    select,
    square_root,
)  # fmt: skip
from kernels.cuda.ptx_lowering import FLOAT, assembly, intrinsic, library_call, types

_UNARY = """exp exp2 expm1 log log1p log2 log10 sin cos tan asin acos atan sinh cosh tanh asinh acosh atanh erf erfc rsqrt
    floor ceil trunc""".split()
_BINARY = "pow atan2 hypot copysign fmod".split()


def _library(name: str, real: types.Type, operands: int) -> Callable:
    """A function of libdevice; its arguments must be of the very type, for a conversion would be a mistake."""
    symbol = f"__nv_{name}" + ("f" if real == types.float32 else "")

    def generate(context, builder, signature, arguments):
        return library_call(builder, symbol, arguments[0].type, arguments)

    @intrinsic
    def unary(typing_context, x):
        return (real(real), generate) if x == real else None

    @intrinsic
    def binary(typing_context, x, y):
        return (real(real, real), generate) if x == real and y == real else None

    return unary if operands == 1 else binary


def _extremum(name: str, real: types.Type) -> Callable:
    """maximum or minimum: NaN if either is NaN, and +0 above -0. One instruction for float32."""
    if real == types.float32:

        @intrinsic
        def extremum(typing_context, x, y):
            if x != real or y != real:
                return None

            def generate(context, builder, signature, arguments):
                text = f"{name}.NaN.f32 $0, $1, $2;"
                return assembly(builder, FLOAT, text, "=f,f,f", arguments, traits=["readnone"])

            return real(real, real), generate

        return extremum

    ordered = _library(f"f{name}", real, 2)

    @inlined
    def extremum_float64(x, y):
        return select((x != x) | (y != y), x + y, ordered(x, y))

    return extremum_float64


_PARTS = {
    (10, "float32"): (("0x1.bcb7b2p-2", "-0x1.5b235ep-27"), ("0x1.344000p-2", "0x1.3509f8p-18")),
    (10, "float64"): (("0x1.bcb7b1526e50ep-2", "0x1.95355baaafad3p-57"), ("0x1.34413509f6000p-2", "0x1.9fef311f12b36p-42")),
    (2, "float64"): (("0x1.71547652b82fep+0", "0x1.777d0ffda0d24p-56"), ("0x1p+0", "0x0p+0")),
}


def _logarithm(dtype_name: str, base: int, log: Callable) -> Callable:
    """log2 or log10 from the natural one: libdevice's miss log2(8) and log10(10**9) by an ulp."""
    is_single = dtype_name == "float32"
    number, real = np.dtype(dtype_name).type, getattr(types, dtype_name)
    bits_of, of_bits = (bits_of_float32, float32_of_bits) if is_single else (bits_of_float64, float64_of_bits)
    integer, whole = (types.int32, np.int32) if is_single else (types.int64, np.int64)
    ZERO, INFINITY, NOT_A_NUMBER, SMALLEST = (number(v) for v in (0, np.inf, np.nan, np.finfo(number).tiny))
    DIGITS = whole(np.finfo(number).nmant)
    SCALE, SCALED, NONE = number(2.0**60), whole(60), whole(0)
    ROOT_HALF = whole(number(0.5**0.5).view(whole))
    # ln(base)**-1 and log_base(2), each in two parts; a multiple of the latter's first part is exact.
    inverse, per_doubling = _PARTS[base, dtype_name]
    INVERSE_HIGH, INVERSE_LOW = (number(float.fromhex(part)) for part in inverse)
    DOUBLING_HIGH, DOUBLING_LOW = (number(float.fromhex(part)) for part in per_doubling)

    @inlined
    def logarithm(x):
        """n*log_base(2) + log(f)/ln(base) for x = 2**n * f with sqrt(1/2) <= f < sqrt(2): exact for powers of the base."""
        is_small = x < SMALLEST
        bits = bits_of(select(is_small, x * SCALE, x))
        exponent = integer(integer(bits - ROOT_HALF) >> DIGITS)
        part = log(of_bits(integer(bits - integer(exponent << DIGITS))))
        n = real(integer(exponent - select(is_small, SCALED, NONE)))
        rest = fused_multiply_add(n, DOUBLING_LOW, fused_multiply_add(part, INVERSE_HIGH, part * INVERSE_LOW))
        special = select(x == ZERO, -INFINITY, select(x < ZERO, NOT_A_NUMBER, x))
        return select((x > ZERO) & (x < INFINITY), fused_multiply_add(n, DOUBLING_HIGH, rest), special)

    return logarithm


def float_functions(dtype_name: str) -> dict[str, Callable]:
    """The functions by bare name for float32 or float64."""
    real = getattr(types, dtype_name)
    number = np.dtype(dtype_name).type
    ZERO, ONE, HALF, INFINITY = number(0), number(1), number(0.5), number(np.inf)
    is_single = dtype_name == "float32"
    bits_of, of_bits = (bits_of_float32, float32_of_bits) if is_single else (bits_of_float64, float64_of_bits)
    integer = types.int32 if is_single else types.int64
    made = {name: _library(name, real, 1) for name in _UNARY} | {name: _library(name, real, 2) for name in _BINARY}
    made |= {"abs": _library("fabs", real, 1), "round": _library("rint", real, 1), "sqrt": square_root}
    made |= {"maximum": _extremum("max", real), "minimum": _extremum("min", real)}
    absolute, floor, exp, log1p, maximum = made["abs"], made["floor"], made["exp"], made["log1p"], made["maximum"]
    copysign, truncated_remainder = made["copysign"], made.pop("fmod")

    made["log10"] = _logarithm(dtype_name, 10, made["log"])
    if is_single:
        made |= {name: getattr(math_trigonometric, name) for name in ("sin", "cos", "tan")}
    else:
        made["log2"] = _logarithm(dtype_name, 2, made["log"])

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
        step = select((x < y) == (x > ZERO), integer(1), integer(-1))
        moved = of_bits(integer(bits_of(x) + step))
        moved = select(x == ZERO, copysign(of_bits(integer(1)), y), moved)
        moved = select(x == y, y, moved)
        return select((x != x) | (y != y), x + y, moved)

    @inlined
    def sigmoid(x):
        """1/(1 + e**-|x|), times e**-|x| for negative x: no overflow, and subnormal results are kept."""
        decay = exp(-absolute(x))
        return select(x < ZERO, decay, ONE) / (ONE + decay)

    @inlined
    def logaddexp(x, y):
        """log(e**x + e**y) = m + log1p(e**-|x - y|) with the larger m; two equal infinities give that infinity."""
        difference = select(x == y, ZERO, absolute(x - y))
        return maximum(x, y) + log1p(exp(-difference))

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

    return made | dict(
        reciprocal=reciprocal, square=square, sign=sign, isnan=isnan, isinf=isinf, isfinite=isfinite, signbit=signbit,
        nextafter=nextafter, sigmoid=sigmoid, logaddexp=logaddexp, remainder=remainder, floor_divide=floor_divide,
    )  # fmt: skip
