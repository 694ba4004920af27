"""What the intrinsics of `ptx.py` are built with: numba-cuda's types, and calls of inline PTX and of LLVM's operations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from llvmlite import ir

from kernels.cuda import driver

types = driver.numba_types()
intrinsic = driver.extending().intrinsic

I1, I8, I16, I32, I64 = (ir.IntType(bits) for bits in (1, 8, 16, 32, 64))
HALF, FLOAT, DOUBLE, VOID = ir.HalfType(), ir.FloatType(), ir.DoubleType(), ir.VoidType()
GLOBAL, SHARED = 1, 3  # NVVM's numbers of the address spaces; 0 is the generic one


def assembly(
    builder: Any,
    result: ir.Type,
    text: str,
    constraints: str,
    arguments: Sequence[Any],
    *,
    effect: bool = False,
    traits: Sequence[str] = (),
) -> Any:
    """Call inline PTX: `$0, $1, ...` in the text are the results and then the arguments.

    Args:
        result: the type of the result, a literal structure for several.
        constraints: one letter per operand (f float, d double, h, r, l integers of 16, 32, 64 bits), results with "=".
        effect: whether the instruction must stay where it is, even if nobody uses its result.
        traits: what the compiler may assume: "readnone" (a function of its operands alone), "convergent" (all threads of a
            warp take part, so it must not be moved under a condition).
    """
    function = ir.FunctionType(result, [argument.type for argument in arguments])
    call = builder.call(ir.InlineAsm(function, text, constraints, side_effect=effect), arguments)
    for trait in ("nounwind", *traits):
        call.attributes.add(trait)
    return call


def library_call(builder: Any, name: str, result: ir.Type, arguments: Sequence[Any]) -> Any:
    """Call the function `name` of LLVM ("llvm.fma.f32") or of libdevice ("__nv_expf")."""
    module = builder.module
    function = module.globals.get(name)
    if function is None:
        function = ir.Function(module, ir.FunctionType(result, [argument.type for argument in arguments]), name)
    return builder.call(function, arguments)


def integer(context: Any, builder: Any, value: Any, kind: Any, bits: int) -> Any:
    """An integer of Numba type `kind` as `bits` bits: extended by its own sign, so that a uint32 stays positive."""
    target = f"int{bits}" if kind.signed else f"uint{bits}"
    return context.cast(builder, value, kind, getattr(types, target))


def is_place(kind: Any) -> bool:
    """Whether it is something with elements: a kernel's pointer, or a shared or local array of one dimension."""
    return isinstance(kind, types.CPointer) or (isinstance(kind, types.Array) and kind.ndim == 1)


def element_address(context: Any, builder: Any, kind: Any, place: Any, index_kind: Any, index: Any) -> Any:
    """The address of an element: global for a pointer, generic for an array (NVVM finds out which array it is)."""
    if isinstance(kind, types.CPointer):
        base = builder.addrspacecast(place, ir.PointerType(place.type.pointee, GLOBAL))
    else:
        base = context.make_array(kind)(context, builder, value=place).data
    return builder.gep(base, [integer(context, builder, index, index_kind, 64)])


def shared_address(context: Any, builder: Any, kind: Any, place: Any, index_kind: Any, index: Any) -> Any:
    """The 32-bit address of a shared array's element, as PTX instructions take it."""
    address = element_address(context, builder, kind, place, index_kind, index)
    address = builder.addrspacecast(address, ir.PointerType(address.type.pointee, SHARED))
    return builder.ptrtoint(address, I32)


def tuple_of(context: Any, builder: Any, kind: Any, structure: Any) -> Any:
    """The results of inline PTX as a tuple of Numba's."""
    return context.make_tuple(builder, kind, [builder.extract_value(structure, k) for k in range(kind.count)])
