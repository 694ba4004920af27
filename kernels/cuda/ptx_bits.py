"""Numbers and their bits: casts without conversion, small float formats, and arithmetic that is rounded as it says."""

from __future__ import annotations

from kernels.cuda.ptx_lowering import DOUBLE, FLOAT, HALF, I16, I32, I64, assembly, intrinsic, library_call, types


def _operation(result, arguments, generate, document):
    """An intrinsic of fixed types; `generate(builder, arguments)` gives the LLVM value."""
    signature = result(*arguments)

    def lower(context, builder, signature, values):
        return generate(builder, values)

    if len(arguments) == 1:

        def operation(typing_context, x):
            return (signature, lower) if _fits((x,), arguments) else None
    else:

        def operation(typing_context, x, y):
            return (signature, lower) if _fits((x, y), arguments) else None

    operation.__doc__ = document
    return intrinsic(operation)


def _fits(given, expected):
    """Whether these types may be passed: floats must be the very type, integers are converted (bits are kept)."""
    pairs = zip(given, expected, strict=True)
    return all(a == b or (isinstance(a, types.Integer) and isinstance(b, types.Integer)) for a, b in pairs)


def _cast(source, target, llvm_type, document):
    return _operation(target, (source,), lambda builder, values: builder.bitcast(values[0], llvm_type), document)


bits_of_float32 = _cast(types.float32, types.int32, I32, "The bits of a float32, as an int32.")
float32_of_bits = _cast(types.int32, types.float32, FLOAT, "The float32 with these bits.")
bits_of_float64 = _cast(types.float64, types.int64, I64, "The bits of a float64, as an int64.")
float64_of_bits = _cast(types.int64, types.float64, DOUBLE, "The float64 with these bits.")

float32_of_half = _operation(
    types.float32,
    (types.uint16,),
    lambda builder, values: builder.fpext(builder.bitcast(values[0], HALF), FLOAT),
    "The float32 of the same value as the float16 with these bits.",
)
half_of_float32 = _operation(
    types.uint16,
    (types.float32,),
    lambda builder, values: builder.bitcast(builder.fptrunc(values[0], HALF), I16),
    "The bits of the nearest float16, ties to even.",
)
float32_of_bfloat16 = _operation(
    types.float32,
    (types.uint16,),
    lambda builder, values: builder.bitcast(builder.shl(builder.zext(values[0], I32), I32(16)), FLOAT),
    "The float32 of the same value as the bfloat16 with these bits.",
)


def _pure(result, llvm_result, arguments, text, constraints, document):
    """An instruction whose result depends on its operands alone."""

    def generate(builder, values):
        return assembly(builder, llvm_result, text, constraints, values, traits=["readnone"])

    return _operation(result, arguments, generate, document)


bfloat16_of_float32 = _pure(
    types.uint16, I16, (types.float32,), "cvt.rn.bf16.f32 $0, $1;", "=h,f", "The bits of the nearest bfloat16, ties to even."
)
tf32_of_float32 = _pure(
    types.uint32, I32, (types.float32,), "cvt.rna.tf32.f32 $0, $1;", "=r,f",
    "The bits of a float32 rounded to 10 bits of fraction, ties away from zero: an operand of `mma_tf32`.",
)  # fmt: skip
half_pair = _pure(
    types.uint32, I32, (types.float32, types.float32), "cvt.rn.f16x2.f32 $0, $2, $1;", "=r,f,f",
    "Two numbers rounded to float16: the first in the lower half, the second in the upper half.",
)  # fmt: skip
bfloat16_pair = _pure(
    types.uint32, I32, (types.float32, types.float32), "cvt.rn.bf16x2.f32 $0, $2, $1;", "=r,f,f",
    "Two numbers rounded to bfloat16: the first in the lower half, the second in the upper half.",
)  # fmt: skip


# --- arithmetic -------------------------------------------------------------------------------------------------------


@intrinsic
def fused_multiply_add(typing_context, x, y, z):
    """x*y + z, rounded once."""
    if not isinstance(x, types.Float) or x != y or x != z:
        return None

    def generate(context, builder, signature, arguments):
        name = "llvm.fma.f32" if x == types.float32 else "llvm.fma.f64"
        return library_call(builder, name, arguments[0].type, arguments)

    return x(x, y, z), generate


@intrinsic
def select(typing_context, condition, if_true, if_false):
    """if_true where the condition holds, else if_false; both are evaluated."""
    kind = types.unliteral(if_true)
    if condition != types.boolean or kind != types.unliteral(if_false):
        return None

    def generate(context, builder, signature, arguments):
        return builder.select(*arguments)

    return kind(types.boolean, kind, kind), generate


@intrinsic
def square_root(typing_context, x):
    """The correctly rounded square root; NaN below zero."""
    if not isinstance(x, types.Float):
        return None

    def generate(context, builder, signature, arguments):
        name = "__nv_fsqrt_rn" if x == types.float32 else "__nv_dsqrt_rn"
        return library_call(builder, name, arguments[0].type, arguments)

    return x(x), generate
