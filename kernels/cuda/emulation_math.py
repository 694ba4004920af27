"""The scalar functions that kernels call in the simulator: NAME_TYPE for every bare name and type, such as exp_float32.

`kernels.cuda.math` has the same names for hardware, `kernels.cpu.math` for the CPU, which defines the special cases:
NaN goes through maximum and minimum, integers wrap around, and an integer divided by zero is 0.
"""

import math
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from .execution import INTERNAL

INTERNAL.add(__file__)
_INTEGER_TYPES = tuple(f"{kind}{bits}" for kind in ("int", "uint") for bits in (8, 16, 32, 64))
_NUMPY_NAMES = """exp expm1 exp2 log log1p log2 log10 sqrt sin cos tan sinh cosh tanh abs sign floor ceil trunc maximum
    minimum hypot copysign nextafter isnan isinf isfinite signbit floor_divide remainder""".split()
_RENAMED = dict(asin="arcsin", acos="arccos", atan="arctan", asinh="arcsinh", acosh="arccosh", atanh="arctanh", round="rint")


def _float_functions(dtype_name: str) -> dict[str, Callable]:
    real = np.dtype(dtype_name).type
    zero, one = real(0), real(1)

    def rsqrt(x):
        """1/sqrt(x)."""
        return one / np.sqrt(real(x))

    def sigmoid(x):
        """1/(1 + e**-x) without overflow; subnormal results are kept."""
        decay = np.exp(-np.abs(real(x)))
        return (decay if x < zero else one) / (one + decay)

    def reciprocal(x):
        """1/x."""
        return one / real(x)

    def square(x):
        """x*x."""
        return real(x) * real(x)

    def logaddexp(x, y):
        """log(e**x + e**y)."""
        return np.logaddexp(real(x), real(y))

    def erf(x):
        """The error function."""
        return real(math.erf(x))

    def erfc(x):
        """1 - erf(x)."""
        return real(math.erfc(x))

    def power(x, y):
        """x**y with the special cases of C's pow."""
        return real(np.power(np.float64(x), np.float64(y)))

    def atan2(y, x):
        """The angle of (x, y)."""
        return real(np.arctan2(np.float64(y), np.float64(x)))

    def in_type(function):
        """A NumPy function whose arguments may be Python numbers."""
        count = function.nin

        def unary(x):
            return function(real(x))

        def binary(x, y):
            return function(real(x), real(y))

        return unary if count == 1 else binary

    functions = {name: in_type(getattr(np, name)) for name in _NUMPY_NAMES}
    functions |= {name: in_type(getattr(np, numpy_name)) for name, numpy_name in _RENAMED.items()}
    functions |= dict(reciprocal=reciprocal, square=square, logaddexp=logaddexp)
    return functions | dict(rsqrt=rsqrt, sigmoid=sigmoid, erf=erf, erfc=erfc, pow=power, atan2=atan2)


def _same(x: Any) -> Any:
    """x itself."""
    return x


def _never(x: Any) -> Any:
    """False."""
    return np.False_


def _always(x: Any) -> Any:
    """True."""
    return np.True_


def _larger(x: Any, y: Any) -> Any:
    """The larger one."""
    return x if x > y else y


def _smaller(x: Any, y: Any) -> Any:
    """The smaller one."""
    return x if x < y else y


_EXACT = dict(
    floor=_same, ceil=_same, round=_same, trunc=_same, isnan=_never, isinf=_never, isfinite=_always, maximum=_larger,
    minimum=_smaller,
)  # fmt: skip


def _bool_functions() -> dict[str, Callable]:
    return _EXACT | dict(abs=_same, sign=_same, signbit=_never, bitwise_invert=lambda x: np.bool_(not x))


def _integer_functions(dtype_name: str) -> dict[str, Callable]:
    real = np.dtype(dtype_name).type
    signed = np.dtype(dtype_name).kind == "i"
    zero, one = real(0), real(1)

    def power(x, y):
        """x**y with wrap-around; a negative y gives 1/x**-y rounded towards 0, and 0 for x = 0."""
        if y < 0:
            return {1: one, -1: real(-1) if y & 1 else one}.get(int(x), zero)
        modulus = 1 << np.dtype(dtype_name).itemsize * 8
        result = pow(int(x), int(y), modulus)
        return real(result - modulus if signed and result >= modulus // 2 else result)

    def absolute(x):
        """|x|; the smallest signed integer stays itself."""
        return -x if x < 0 else x

    def square(x):
        """x*x with wrap-around."""
        return real(x) * real(x)

    def sign(x):
        """-1, 0 or 1."""
        return one if x > 0 else (real(-1) if x < 0 else zero)

    def in_type(function):
        """A NumPy function whose result keeps the type."""

        def binary(x, y):
            return function(real(x), real(y))

        return binary

    return _EXACT | dict(
        abs=absolute, sign=sign, signbit=lambda x: np.bool_(x < 0), bitwise_invert=lambda x: ~x, pow=power, square=square,
        floor_divide=in_type(np.floor_divide), remainder=in_type(np.remainder), left_shift=in_type(np.left_shift),
        right_shift=in_type(np.right_shift),
    )  # fmt: skip


@cache
def callables_for(dtype_name: str) -> dict[str, Callable]:
    """{bare name: function} of the functions defined for a type; none for a type that has no kernels."""
    if dtype_name in ("float32", "float64"):
        return _float_functions(dtype_name)
    if dtype_name in _INTEGER_TYPES:
        return _integer_functions(dtype_name)
    return _bool_functions() if dtype_name == "bool" else {}


def functions_for(dtype_name: str) -> dict[str, str]:
    """{bare name: name in this module} of the functions defined for a type, as `kernels.cpu.math.functions_for`."""
    return {name: f"{name}_{dtype_name}" for name in callables_for(dtype_name)}


def __getattr__(name: str) -> Callable:
    """NAME_TYPE for every bare name and type."""
    bare, _, dtype_name = name.rpartition("_")
    functions = callables_for(dtype_name)
    if bare in functions:
        return functions[bare]
    raise AttributeError(f"kernels.cuda.emulation_math has no function {name}")
