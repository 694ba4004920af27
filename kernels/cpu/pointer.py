"""How a NumPy array enters a kernel: as the address of its data, nothing more.

A kernel takes pointers and sizes, on the CPU as on the GPU. Numba's own way in (an eight-field array structure, typed by
number of dimensions, layout and writability) costs three times as much per call and one compilation per combination. The
type below is a plain pointer whose value is read from the array's header when the kernel is called.

The header is `PyArrayObject_fields`: the Python object header, then `char *data`. Every extension compiled against NumPy
reads it there (the macro PyArray_DATA), so the place cannot move within an ABI version; it is checked once all the same.

Nothing here is checked at a call: sizes, types and devices are the business of the Python code in front of a kernel.
"""

import ctypes
import operator

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import config
from numba.extending import NativeValue, intrinsic, lower_builtin, models, register_model, unbox

HEADER = object.__basicsize__  # the data pointer follows the object header (16 bytes; 32 where threads run free)
ADDRESS = ir.IntType(64)

_probe = np.arange(4)
if ctypes.c_void_p.from_address(id(_probe) + HEADER).value != _probe.ctypes.data:
    raise ImportError(
        f"gradloom's kernels expect an array's data pointer {HEADER} bytes into the object, and NumPy {np.__version__} "
        "keeps it elsewhere; please report this with the NumPy version"
    )


class ArrayData(types.CPointer):
    """A pointer to elements of type `dtype`, taken from a NumPy array of any shape and layout."""

    def __init__(self, dtype: types.Type) -> None:
        super().__init__(dtype)
        self.name = f"ArrayData({dtype})"


register_model(ArrayData)(models.PointerModel)


@unbox(ArrayData)
def _read_data_pointer(typ, obj, c):
    builder = c.builder
    header = builder.ptrtoint(obj, ADDRESS)
    field = builder.add(header, ir.Constant(ADDRESS, HEADER))
    pointer = c.context.get_value_type(typ)
    return NativeValue(builder.load(builder.inttoptr(field, pointer.as_pointer())))


# Numba's own rules for pointers forget that a bool is a byte in memory and a bit in a register.


@lower_builtin(operator.getitem, ArrayData, types.Integer)
def _load(context, builder, sig, args):
    return context.unpack_value(builder, sig.args[0].dtype, builder.gep(args[0], [args[1]]))


@lower_builtin(operator.setitem, ArrayData, types.Integer, types.Any)
def _store(context, builder, sig, args):
    pointer, index, value = args
    element = sig.args[0].dtype
    context.pack_value(builder, element, context.cast(builder, value, sig.args[2], element), builder.gep(pointer, [index]))
    return context.get_dummy_value()


@intrinsic
def pointer_argument(typingctx, block, index, dtype):
    """The pointer stored as integer number `index` of an argument block, as a pointer to `dtype`."""
    result = ArrayData(dtype.dtype)

    def codegen(context, builder, signature, arguments):
        address = builder.load(builder.gep(arguments[0], [arguments[1]]))
        return builder.inttoptr(address, context.get_value_type(result))

    return result(block, types.intp, dtype), codegen


@intrinsic
def float_argument(typingctx, block, index):
    """The float64 whose bits are integer number `index` of an argument block."""

    def codegen(context, builder, signature, arguments):
        bits = builder.load(builder.gep(arguments[0], [arguments[1]]))
        return builder.bitcast(bits, ir.DoubleType())

    return types.float64(block, types.intp), codegen


@intrinsic
def call_chunk(typingctx, function, block, low, high):
    """Call the native function at address `function` as `function(block, low, high)`."""

    def codegen(context, builder, signature, arguments):
        address, block, low, high = arguments
        kind = ir.FunctionType(ir.VoidType(), [block.type, ADDRESS, ADDRESS])
        builder.call(builder.inttoptr(address, kind.as_pointer()), [block, low, high])
        return context.get_dummy_value()

    return types.void(types.int64, block, types.int64, types.int64), codegen


class PlainPointer:
    """What stands for a pointer when Numba's compiler is switched off: NumPy scalars out, any number in, no bounds.

    The arithmetic of NumPy's scalars is the compiled kernels': float32 stays float32, integers wrap around, and a division
    by zero is no exception.
    """

    __slots__ = ("_elements", "_is_float", "scalar")

    def __init__(self, array: np.ndarray) -> None:
        kind = ctypes.c_bool if array.dtype == np.bool_ else np.ctypeslib.as_ctypes_type(array.dtype)
        self._elements = ctypes.cast(array.ctypes.data, ctypes.POINTER(kind))
        self._is_float = array.dtype.kind == "f"
        self.scalar = array.dtype.type

    def __getitem__(self, index: int) -> np.generic:
        return self.scalar(self._elements[index])

    def __setitem__(self, index: int, value: float) -> None:
        self._elements[index] = float(value) if self._is_float else np.asarray(value).astype(self.scalar).item()


JIT_DISABLED = bool(config.DISABLE_JIT)
