"""Matrix instructions of a warp: fragments from shared memory (ldmatrix) and products of fragments (mma.sync).

Which thread holds which element is told in the PTX ISA manual, section 9.7.14 "Warp Level Matrix Multiply-Accumulate
Instructions". All 32 threads of the warp must arrive together.
"""

from __future__ import annotations

from llvmlite import ir

from kernels.cuda.ptx_lowering import FLOAT, I32, assembly, intrinsic, shared_address, tuple_of, types


def _matrix_load(count, transposed):
    text = (
        f"ldmatrix.sync.aligned.m8n8.x{count}{'.trans' if transposed else ''}.shared.b16 "
        f"{{{', '.join(f'${k}' for k in range(count))}}}, [${count}];"
    )
    result = types.UniTuple(types.uint32, count)
    structure = ir.LiteralStructType([I32] * count)
    constraints = ",".join(["=r"] * count + ["r", "~{memory}"])

    @intrinsic
    def load(typing_context, shared, index):
        if not isinstance(shared, types.Array) or shared.ndim != 1 or not isinstance(index, types.Integer):
            return None

        def generate(context, builder, signature, arguments):
            address = shared_address(context, builder, shared, arguments[0], signature.args[1], arguments[1])
            loaded = assembly(builder, structure, text, constraints, [address], traits=["convergent"])
            return tuple_of(context, builder, result, loaded)

        return result(shared, types.unliteral(index)), generate

    load.__doc__ = f"""{count} matrices of 8 rows of 16 bytes{', transposed' if transposed else ''}: {count} uint32.

    Thread 8*m + r gives the element at which row r of matrix m begins, at a multiple of 16 bytes.
    """
    return load


ldmatrix_x2, ldmatrix_x4 = _matrix_load(2, False), _matrix_load(4, False)
ldmatrix_x2_transposed, ldmatrix_x4_transposed = _matrix_load(2, True), _matrix_load(4, True)


def _matrix_product(shape, dtype):
    text = (
        f"mma.sync.aligned.{shape}.row.col.f32.{dtype}.{dtype}.f32 "
        "{$0, $1, $2, $3}, {$4, $5, $6, $7}, {$8, $9}, {$10, $11, $12, $13};"
    )
    result = types.UniTuple(types.float32, 4)
    structure = ir.LiteralStructType([FLOAT] * 4)
    constraints = ",".join(["=f"] * 4 + ["r"] * 6 + ["f"] * 4)
    bits, real = types.uint32, types.float32
    signature = result(*[bits] * 6, *[real] * 4)

    @intrinsic
    def product(typing_context, a0, a1, a2, a3, b0, b1, c0, c1, c2, c3):
        given = (a0, a1, a2, a3, b0, b1, c0, c1, c2, c3)
        if not all(isinstance(kind, types.Integer) for kind in given[:6]) or given[6:] != signature.args[6:]:
            return None

        def generate(context, builder, signature, arguments):
            products = assembly(
                builder, structure, text, constraints, arguments, traits=["readnone", "convergent"]
            )
            return tuple_of(context, builder, result, products)

        return signature, generate

    product.__doc__ = f"a @ b + c for one warp, {shape} of {dtype}, summed in float32: the thread's four elements."
    return product


mma_bf16 = _matrix_product("m16n8k16", "bf16")
mma_f16 = _matrix_product("m16n8k16", "f16")
mma_tf32 = _matrix_product("m16n8k8", "tf32")
