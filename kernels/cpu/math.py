"""The scalar functions that generated kernels call: NAME_TYPE for every bare name and type, such as exp_float32.

    from kernels.cpu.math import exp_float32 as exp, maximum_float32 as maximum

They are inlined into the loop that calls them. Those of the float types have no branch: the loop vectorises. Only
atan2, remainder and floor_divide, and pow and hypot of float64, call the C library. The versions for integers and bool
are made when first asked for. With NUMBA_DISABLE_JIT=1 they are plain Python functions on NumPy scalars.
"""

from functools import cache

from . import math_trigonometric
from .math_constants import FLOAT32, FLOAT64
from .math_exponential import exponential_functions
from .math_integer import BOOL_NAMES, NAMES, integer_functions
from .math_inverse import error_functions, inverse_functions
from .math_logarithm import logarithm_functions
from .math_simple import simple_functions

_INTERNAL = {"scale", "exponent_of"}  # parts that other functions are made of


def _float_functions():
    """{type: {bare name: function}}."""
    made = {}
    for dtype_name, constants in (("float64", FLOAT64), ("float32", FLOAT32)):
        exponentials = exponential_functions(constants)
        wide = made.get("float64", exponentials)
        logarithms = logarithm_functions(constants, exponentials["exp"], wide.get("log10"))
        wide_log = made["float64"]["log"] if made else logarithms["log"]
        made[dtype_name] = {
            **{name: function for name, function in exponentials.items() if name not in _INTERNAL},
            **logarithms,
            **inverse_functions(constants),
            **error_functions(constants, exponentials),
            **simple_functions(constants, wide["exp"], wide_log),
            **{name: getattr(math_trigonometric, f"{name}_{dtype_name}") for name in ("sin", "cos", "tan")},
        }
    return made


_FLOAT_FUNCTIONS = _float_functions()
for _dtype_name, _functions in _FLOAT_FUNCTIONS.items():
    globals().update({f"{_name}_{_dtype_name}": _function for _name, _function in _functions.items()})

_INTEGER_TYPES = tuple(f"{kind}{bits}" for kind in ("int", "uint") for bits in (8, 16, 32, 64))


@cache
def _integers(dtype_name):
    return integer_functions(dtype_name)


def __getattr__(name):
    """NAME_TYPE for an integer type or bool."""
    bare, _, dtype_name = name.rpartition("_")
    if dtype_name in (*_INTEGER_TYPES, "bool") and bare in functions_for(dtype_name):
        return _integers(dtype_name)[bare]
    raise AttributeError(f"kernels.cpu.math has no function {name}")


@cache
def functions_for(dtype_name):
    """{bare name: name in this module} of the functions defined for a type; none for a type that has no kernels."""
    if dtype_name in _FLOAT_FUNCTIONS:
        names = _FLOAT_FUNCTIONS[dtype_name]
    elif dtype_name in _INTEGER_TYPES:
        names = NAMES
    else:
        names = BOOL_NAMES if dtype_name == "bool" else ()
    return {name: f"{name}_{dtype_name}" for name in names}
