"""Two things that a kernel cannot say in Python: memory on the stack, and arithmetic to be left as it is written."""

from llvmlite import ir
from numba.extending import intrinsic

from kernels.cpu.intrinsics import inlined
from kernels.cpu.pointer import JIT_DISABLED, ArrayData

_CACHE_LINE = 64

if JIT_DISABLED:

    def scratch(dtype, count):
        """Memory for `count` numbers of type `dtype`, uninitialised; `count` is a constant."""
        return [None] * count

else:

    @intrinsic(prefer_literal=True)
    def scratch(typingctx, dtype, count):
        """Memory for `count` numbers of type `dtype`, uninitialised; `count` is a constant."""
        result = ArrayData(dtype.dtype)
        amount = count.literal_value

        def codegen(context, builder, signature, arguments):
            kind = ir.ArrayType(context.get_value_type(result.dtype), amount)
            with builder.goto_entry_block():  # allocated once, however often the loop around it turns
                memory = builder.alloca(kind)
            memory.align = _CACHE_LINE
            return builder.bitcast(memory, context.get_value_type(result))

        return result(dtype, count), codegen


@inlined
def difference(a, b):
    """a - b, left as it is where other sums may be reordered: (x - maximum) - log_total must not become x - (...)."""
    return a - b
