"""The scalar functions that generated kernels call: NAME_TYPE for every bare name and type, such as exp_float32.

    from kernels.cuda.math import exp_float32 as exp, maximum_float32 as maximum

The names are those of `kernels.cpu.math`, and so is what they do at zeros, infinities and NaN. Most are functions of
CUDA's libdevice at full accuracy, the float32 ones in float32 arithmetic alone. All are made when first asked for.
"""

from functools import cache
from typing import Any

INTEGER_TYPES = tuple(f"{kind}{bits}" for kind in ("int", "uint") for bits in (8, 16, 32, 64))

FLOAT_NAMES = """abs acos acosh asin asinh atan atan2 atanh ceil copysign cos cosh erf erfc exp exp2 expm1 floor
    floor_divide hypot isfinite isinf isnan log log10 log1p log2 logaddexp maximum minimum nextafter pow reciprocal
    remainder round rsqrt sigmoid sign signbit sin sinh sqrt square tan tanh trunc""".split()
INTEGER_NAMES = """abs bitwise_invert ceil floor floor_divide isfinite isinf isnan left_shift maximum minimum pow remainder
    right_shift round sign signbit square trunc""".split()
BOOL_NAMES = "abs bitwise_invert ceil floor isfinite isinf isnan maximum minimum round sign signbit trunc".split()


@cache
def functions_for(dtype_name: str) -> dict[str, str]:
    """{bare name: name in this module} of the functions defined for a type; none for a type that has no kernels.

    >>> functions_for("float32")["exp"]
    'exp_float32'
    """
    if dtype_name in ("float32", "float64"):
        names = FLOAT_NAMES
    elif dtype_name in INTEGER_TYPES:
        names = INTEGER_NAMES
    else:
        names = BOOL_NAMES if dtype_name == "bool" else []
    return {name: f"{name}_{dtype_name}" for name in names}


@cache
def _functions(dtype_name: str) -> dict[str, Any]:
    """{bare name: function} for a type."""
    if dtype_name.startswith("float"):
        from kernels.cuda.math_float import float_functions

        return float_functions(dtype_name)
    from kernels.cuda.math_integer import integer_functions

    return integer_functions(dtype_name)


def __getattr__(name: str) -> Any:
    """NAME_TYPE for a type."""
    bare, _, dtype_name = name.rpartition("_")
    if bare in functions_for(dtype_name):
        return _functions(dtype_name)[bare]
    raise AttributeError(f"kernels.cuda.math has no function {name}")
