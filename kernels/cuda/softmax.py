"""softmax and log_softmax along any axis, forward and backward, on the GPU; what `kernels.cpu.softmax` does.

Beside float32 and float64, arrays may be float16 and bfloat16: these are calculated in float32 and rounded once. Rows that
are -inf throughout (fully masked) give 0, or -inf for log_softmax, and gradients of 0; single entries of -inf give exactly
0. Any strides; a result lies in memory as its input does.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from kernels.cuda import softmax_kernels
from kernels.cuda.array import BFLOAT16, DeviceArray, empty
from kernels.cuda.compiler import Kernel
from kernels.cuda.data import copy
from kernels.cuda.row_form import (
    VECTOR_BYTES,
    Form,
    check_floats,
    column_form,
    described,
    row_form,
    vectors_fit,
)  # fmt: skip
from kernels.layout import layout_of
from kernels.rows import RowView, rows_of


def softmax(x: DeviceArray, axis: int = -1) -> DeviceArray:
    """exp(x) / sum(exp(x)) along `axis`, computed without overflow.

    x: any shape of at least one dimension. An axis out of range raises numpy.exceptions.AxisError, another type TypeError.
    """
    return _run("softmax", x, None, axis)


def log_softmax(x: DeviceArray, axis: int = -1) -> DeviceArray:
    """x - log(sum(exp(x))) along `axis`, computed without overflow or cancellation; arguments as for `softmax`."""
    return _run("log_softmax", x, None, axis)


def softmax_backward(g: DeviceArray, y: DeviceArray, axis: int = -1) -> DeviceArray:
    """The gradient of the input of `softmax`, from that of its result y: y * (g - sum(g * y))."""
    return _run("softmax_backward", y, _like("softmax_backward", g, y), axis)


def log_softmax_backward(g: DeviceArray, y: DeviceArray, axis: int = -1) -> DeviceArray:
    """The gradient of the input of `log_softmax`, from that of its result y: g - exp(y) * sum(g)."""
    return _run("log_softmax_backward", y, _like("log_softmax_backward", g, y), axis)


_CALLS = 1 << 12  # remembered; a program with endless new shapes must not fill the memory
_calls: dict[tuple, Callable[..., DeviceArray]] = {}


def _run(name: str, x: Any, g: Any, axis: int) -> DeviceArray:
    """Run an operation on x (the result y, when going backward) and the upstream gradient g of the same shape and type."""
    try:
        if g is not None and g.strides != x.strides:
            g, x = _dense(g), _dense(x)
        key = (name, layout_of(x), axis)
        call = _calls.get(key)
    except (TypeError, AttributeError):  # no such axis, no array
        key = call = None
    if call is None:
        check_floats(name, x)
        call = _call_for(name, rows_of(name, x, axis))
        if len(_calls) >= _CALLS:
            _calls.clear()
        if key is not None:
            _calls[key] = call
    return call(x) if g is None else call(g, x)


def _call_for(name: str, view: RowView) -> Callable[..., DeviceArray]:
    """What runs an operation on arrays whose rows lie so."""
    items, rest = view.outer * view.inner, (view.length, view.inner, view.outer_stride, view.stride)
    if not items * view.length:
        return lambda *arrays: view.result(empty(view.permuted, view.dtype, arrays[0].device))
    kernel, form = _kernel(name, view, False)
    fast, fast_form = kernel, form
    item = view.dtype.itemsize
    if view.inner == 1 and vectors_fit(view.length, item, view.outer_stride * item if view.outer > 1 else 0):
        fast, fast_form = _kernel(name, view, True)
    grid, fast_grid = form.grid(items), fast_form.grid(items)

    def call(*arrays: DeviceArray) -> DeviceArray:
        out = empty(view.permuted, view.dtype, arrays[0].device)
        if view.copy:
            arrays = tuple([copy(x) for x in arrays])
        places = out.pointer
        for x in arrays:
            places |= x.pointer
        if places % VECTOR_BYTES:
            kernel(grid, *arrays, out, items, *rest)
        else:
            fast(fast_grid, *arrays, out, items, *rest)
        return view.result(out)

    return call


def _kernel(name: str, view: RowView, vector: bool) -> tuple[Kernel, Form]:
    """The kernel for an operation, and its form."""
    rows = view.inner == 1
    base = name.removeprefix("log_")
    if rows:
        form = row_form(view.length, view.dtype, vector, arrays=1 if base == "softmax" else 2)
    else:
        form = column_form(view.length, view.dtype)
    template = getattr(softmax_kernels, f"{base}{'' if form.one_batch else '_long'}_{'rows' if rows else 'columns'}")
    return template.specialised(view.dtype, LOG=int(base != name), **form.constants), form


def _dense(x: DeviceArray) -> DeviceArray:
    return x if layout_of(x).contiguous else copy(x)


def _like(name: str, g: Any, y: Any) -> DeviceArray:
    """g, an upstream gradient, checked to be an array like y."""
    arrays = isinstance(g, DeviceArray) and isinstance(y, DeviceArray)
    if not arrays or g.shape != y.shape or g.dtype != y.dtype:
        raise ValueError(f"{name}: the upstream gradient must be an array like the result, {described(y)}, got {described(g)}")
    return g


def _variant(name: str, dtype: Any, length: int, vector: bool, inner: int = 1) -> Callable[[], Kernel]:
    dtype = np.dtype(dtype)
    shape = (8, length, inner)
    strides = (length * inner, inner, 1)
    return lambda: _kernel(name, RowView(shape, strides, dtype, 1, (0, 1, 2)), vector)[0]


def _variants() -> list[Callable[[], Kernel]]:
    """Kernels for short, middle and long rows and columns."""
    made = []
    for name, dtype, length, vector in [
        ("softmax", "f4", 10, False), ("softmax", "f4", 64, True), ("softmax", "f4", 1024, True),
        ("log_softmax", "f4", 1023, False), ("log_softmax", "f4", 4096, True), ("softmax", "f4", 16384, True),
        ("softmax", "f4", 50257, False), ("log_softmax", "f4", 50000, True), ("softmax_backward", "f4", 1024, True),
        ("log_softmax_backward", "f4", 1023, False), ("softmax_backward", "f4", 8192, True),
        ("log_softmax_backward", "f4", 50000, True), ("softmax", "f8", 1000, True), ("softmax", "f8", 50000, False),
        ("log_softmax_backward", "f8", 50000, True), ("softmax", "f2", 1024, True), ("log_softmax", "f2", 50000, True),
        ("softmax_backward", BFLOAT16, 4096, True), ("softmax", BFLOAT16, 16384, False),
    ]:  # fmt: skip
        made.append(_variant(name, dtype, length, vector))
    for name, dtype, length in [
        ("softmax", "f4", 3), ("softmax", "f4", 256), ("log_softmax", "f4", 5000), ("softmax_backward", "f4", 100),
        ("log_softmax_backward", "f4", 5000), ("softmax", "f8", 100), ("softmax", "f2", 5000),
    ]:  # fmt: skip
        made.append(_variant(name, dtype, length, False, 64))
    return made


VARIANTS = _variants()
PROMISES: dict[str, tuple[str, ...]] = {
    "softmax_rows[*_GROUP32_*_WIDTH4_*": ("LDG.E.128", "STG.E.128", "SHFL.BFLY"),
    "softmax_long_rows[*_WIDTH4_*": ("LDG.E.128", "STG.E.128"),
    "softmax_backward_rows[*_WIDTH4_*": ("LDG.E.128", "STG.E.128", "SHFL.BFLY"),
}
