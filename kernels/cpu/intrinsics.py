"""LLVM operations that Python syntax cannot name: bit casts, selects, NaN-propagating maxima, polynomials.

Every function exists twice. With the JIT on it is a numba intrinsic: a few LLVM instructions in the caller, which the
loop vectoriser widens. With NUMBA_DISABLE_JIT=1 it is a plain Python function on NumPy scalars of the same meaning.
"""

import llvmlite.ir as ir
import numpy as np
from numba import config, njit, types
from numba.core import cgutils
from numba.extending import intrinsic

# `contract` alone: a*b + c may become one fused multiply-add. `reassoc` would undo Cody-Waite reductions, `nnan`
# and `ninf` would break NaN and infinity, `nsz` the sign of zero. Calls are always inlined, or loops stay scalar.
inlined = njit(forceinline=True, error_model="numpy", fastmath={"contract"}, no_cfunc_wrapper=True)

WITHOUT_JIT = bool(config.DISABLE_JIT)


def _llvm_call(builder, name, result_type, arguments):
    """Call the LLVM intrinsic `name` overloaded on result_type."""
    suffix = {ir.FloatType(): "f32", ir.DoubleType(): "f64"}[result_type]
    function_type = ir.FunctionType(result_type, [argument.type for argument in arguments])
    function = cgutils.get_or_insert_function(builder.module, function_type, f"llvm.{name}.{suffix}")
    return builder.call(function, arguments)


def _unary(name, fallback, document):
    """The float -> float LLVM intrinsic `name`."""
    if WITHOUT_JIT:
        return fallback

    @intrinsic
    def operation(typing_context, x):
        if not isinstance(x, types.Float):
            return None

        def generate(context, builder, signature, arguments):
            return _llvm_call(builder, name, arguments[0].type, arguments)

        return x(x), generate

    operation.__doc__ = document
    return operation


def _binary(name, fallback, document):
    """The (float, float) -> float LLVM intrinsic `name`; both arguments have one type."""
    if WITHOUT_JIT:
        return fallback

    @intrinsic
    def operation(typing_context, x, y):
        if not isinstance(x, types.Float) or x != y:
            return None

        def generate(context, builder, signature, arguments):
            return _llvm_call(builder, name, arguments[0].type, arguments)

        return x(x, y), generate

    operation.__doc__ = document
    return operation


def _cast(source, target, fallback, document):
    """Reinterpret the bits of the numba type `source` as `target`."""
    if WITHOUT_JIT:
        return fallback

    @intrinsic
    def operation(typing_context, value):
        if value != source:
            return None

        def generate(context, builder, signature, arguments):
            return builder.bitcast(arguments[0], context.get_value_type(target))

        return target(source), generate

    operation.__doc__ = document
    return operation


def _python_fma(x, y, z):
    """x*y + z rounded once for float32 (the product is exact in float64); twice for float64."""
    if isinstance(x, np.float32):
        return np.float32(np.float64(x) * np.float64(y) + np.float64(z))
    return x * y + z


def _python_power(x, y):
    """C's pow. With a single exponent of 0.5 NumPy takes a square root, different at -0 and -inf: so two of them."""
    return np.power([x, x], [y, y])[0]


bits_of_float32 = _cast(
    types.float32, types.int32, lambda x: np.float32(x).view(np.int32), "The bits of a float32, as an int32."
)
float32_of_bits = _cast(
    types.int32, types.float32, lambda i: np.int32(i).view(np.float32), "The float32 with these bits."
)
bits_of_float64 = _cast(
    types.float64, types.int64, lambda x: np.float64(x).view(np.int64), "The bits of a float64, as an int64."
)
float64_of_bits = _cast(
    types.int64, types.float64, lambda i: np.int64(i).view(np.float64), "The float64 with these bits."
)

maximum = _binary("maximum", np.maximum, "The larger; NaN if either is NaN; +0 above -0.")
minimum = _binary("minimum", np.minimum, "The smaller; NaN if either is NaN; -0 below +0.")
copysign = _binary("copysign", np.copysign, "The magnitude of the first with the sign of the second.")
power = _binary("pow", _python_power, "The C library's pow.")
floor = _unary("floor", np.floor, "Round towards minus infinity.")
ceil = _unary("ceil", np.ceil, "Round towards plus infinity.")
trunc = _unary("trunc", np.trunc, "Round towards zero.")
rint = _unary("rint", np.rint, "Round to the nearest integer, halves to even.")
absolute = _unary("fabs", np.abs, "Clear the sign bit (also of NaN and zero).")
square_root = _unary("sqrt", np.sqrt, "The correctly rounded square root; NaN below zero.")


if WITHOUT_JIT:
    fused_multiply_add = _python_fma

    def select(condition, if_true, if_false):
        """if_true where condition holds, else if_false; both are evaluated."""
        return if_true if condition else if_false

    def bigger(x, y):
        """The larger of two integers."""
        return x if x > y else y

    def truncated_remainder(x, y):
        """C's fmod: x - y*trunc(x/y), exact, with the sign of x."""
        return np.fmod(x, y)

    def polynomial(x, coefficients):
        """coefficients[0] + coefficients[1]*x + ... by Horner's rule."""
        result = coefficients[-1]
        for coefficient in coefficients[-2::-1]:
            result = result * x + coefficient
        return result

else:

    @intrinsic
    def fused_multiply_add(typing_context, x, y, z):
        """x*y + z rounded once; a slow library call on processors without FMA: only where exactness needs it."""
        if not isinstance(x, types.Float) or x != y or x != z:
            return None

        def generate(context, builder, signature, arguments):
            return _llvm_call(builder, "fma", arguments[0].type, arguments)

        return x(x, y, z), generate

    @intrinsic
    def select(typing_context, condition, if_true, if_false):
        """if_true where condition holds, else if_false: one LLVM select, so the loop around it has no branch."""
        if condition != types.boolean or if_true != if_false:
            return None

        def generate(context, builder, signature, arguments):
            return builder.select(*arguments)

        return if_true(condition, if_true, if_false), generate

    @intrinsic
    def bigger(typing_context, x, y):
        """The larger of two integers, of the type of the second."""
        if not isinstance(x, types.Integer) or not isinstance(y, types.Integer):
            return None

        def generate(context, builder, signature, arguments):
            left = context.cast(builder, arguments[0], x, y)
            return builder.select(builder.icmp_signed(">", left, arguments[1]), left, arguments[1])

        return y(x, y), generate

    @intrinsic
    def truncated_remainder(typing_context, x, y):
        """C's fmod: x - y*trunc(x/y), exact, with the sign of x. One library call per element."""
        if not isinstance(x, types.Float) or x != y:
            return None

        def generate(context, builder, signature, arguments):
            return builder.frem(*arguments)

        return x(x, y), generate

    @intrinsic
    def polynomial(typing_context, x, coefficients):
        """coefficients[0] + coefficients[1]*x + ... by Horner's rule with fused steps where the processor has them."""
        if not isinstance(x, types.Float) or coefficients.dtype != x:
            return None
        count = coefficients.count

        def generate(context, builder, signature, arguments):
            value, table = arguments
            result = builder.extract_value(table, count - 1)
            for index in range(count - 2, -1, -1):
                coefficient = builder.extract_value(table, index)
                result = _llvm_call(builder, "fmuladd", value.type, [result, value, coefficient])
            return result

        return x(x, coefficients), generate
