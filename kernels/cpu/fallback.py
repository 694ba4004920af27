"""A library call that a vectorised loop makes only where it must.

A branch with a call in it keeps LLVM from vectorising a loop. Here the branch hides in a function of its own,
beyond(x, value) = library(x) where |x| > bound, else value. That function has vector variants, which LLVM finds by the
attribute "vector-function-abi-variant": one call per vector, which returns at once if no element needs the library.
"""

import llvmlite.ir as ir
import numpy as np
from numba import types
from numba.extending import intrinsic

from .intrinsics import WITHOUT_JIT

WIDTHS = (2, 4, 8)  # elements of a vector of 128, 256 and 512 bits
DOUBLE = ir.DoubleType()


def _declared(module, name, result, arguments):
    if name in module.globals:
        return module.globals[name]
    return ir.Function(module, ir.FunctionType(result, arguments), name)


def _keep(module, functions):
    """Name the functions in llvm.compiler.used, without which they vanish before the vectoriser can call them."""
    pointer = ir.IntType(8).as_pointer()
    entries = [function.bitcast(pointer) for function in functions]
    old = module.globals.get("llvm.compiler.used")
    if old is not None:
        entries = list(old.initializer.constant) + entries
        del module.globals["llvm.compiler.used"]
    used = ir.GlobalVariable(module, ir.ArrayType(pointer, len(entries)), "llvm.compiler.used.tmp")
    module.globals["llvm.compiler.used"] = module.globals.pop(used.name)
    used._name = "llvm.compiler.used"
    used.linkage, used.section = "appending", "llvm.metadata"
    used.initializer = ir.Constant(used.value_type, entries)  # pyright: ignore[reportAttributeAccessIssue]


def _finish(function):
    """Common traits: shared between modules, called rather than inlined, free of effects."""
    function.linkage = "linkonce_odr"
    for attribute in ("noinline", "nounwind", "readnone"):
        function.attributes.add(attribute)


def _scalar(module, library, bound):
    name = f"gradloom_{library}_beyond_{bound:.0f}"
    if name in module.globals:
        return module.globals[name]
    function = _declared(module, name, DOUBLE, [DOUBLE, DOUBLE])
    _finish(function)
    builder = ir.IRBuilder(function.append_basic_block())
    x, value = function.args
    magnitude = builder.call(_declared(module, "llvm.fabs.f64", DOUBLE, [DOUBLE]), [x])
    with builder.if_then(builder.fcmp_ordered(">", magnitude, ir.Constant(DOUBLE, bound)), likely=False):
        builder.ret(builder.call(_declared(module, f"llvm.{library}.f64", DOUBLE, [DOUBLE]), [x]))
    builder.ret(value)
    variants = [_vector(module, function, width, bound) for width in WIDTHS]
    _keep(module, variants)
    return function


def _vector(module, scalar, width, bound):
    vector = ir.VectorType(DOUBLE, width)
    function = _declared(module, f"{scalar.name}_x{width}", vector, [vector, vector])
    _finish(function)
    builder = ir.IRBuilder(function.append_basic_block())
    x, value = function.args
    magnitude = builder.call(_declared(module, f"llvm.fabs.v{width}f64", vector, [vector]), [x])
    limit = ir.Constant(vector, [bound] * width)
    bits = builder.bitcast(builder.fcmp_ordered(">", magnitude, limit), ir.IntType(width))
    with builder.if_then(builder.icmp_unsigned("!=", bits, ir.Constant(bits.type, 0)), likely=False):  # pyright: ignore[reportAttributeAccessIssue]
        result = value
        for lane in range(width):
            index = ir.Constant(ir.IntType(32), lane)
            element = builder.call(scalar, [builder.extract_element(x, index), builder.extract_element(value, index)])
            result = builder.insert_element(result, element, index)
        builder.ret(result)
    builder.ret(value)
    return function


def _library_beyond(library, bound):
    """The intrinsic (x, value) -> library(x) where |x| > bound, else value."""

    @intrinsic
    def beyond(typing_context, x, value):
        if x != types.float64 or value != types.float64:
            return None

        def generate(context, builder, signature, arguments):
            function = _scalar(builder.module, library, bound)
            call = builder.call(function, arguments)
            mapping = ",".join(f"_ZGV_LLVM_N{w}vv_{function.name}({function.name}_x{w})" for w in WIDTHS)
            # llvmlite knows no such attribute, and its set of attributes refuses unknown ones; set.add does not.
            set.add(call.attributes, f'"vector-function-abi-variant"="{mapping}" nounwind readnone willreturn')
            return call

        return types.float64(types.float64, types.float64), generate

    return beyond


def library_beyond(library, bound):
    """A function (x, value): the C library's sin, cos or tan of x where |x| > bound, else value."""
    if not WITHOUT_JIT:
        return _library_beyond(library, float(bound))
    ask = getattr(np, library)
    return lambda x, value: ask(x) if abs(x) > bound else value
