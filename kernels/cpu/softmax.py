"""softmax and log_softmax along any axis, forward and backward, on the CPU.

Each row is read once from memory and written once, as long as it fits the cache. Rows that are -inf throughout (fully
masked) give 0, or -inf for log_softmax, and gradients of 0; single entries of -inf give exactly 0. float32 and float64,
any strides; a result lies in memory as its input does. Results do not depend on the number of threads.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from kernels import launch, memory
from kernels.cpu.compiler import Template
from kernels.cpu.reduce_operations import FLOATS, check_array
from kernels.cpu.rows import RowView, rows_of
from kernels.cpu.softmax_kernels import (
    log_softmax_backward_columns,
    log_softmax_backward_rows,
    log_softmax_columns,
    log_softmax_rows,
    softmax_backward_columns,
    softmax_backward_rows,
    softmax_columns,
    softmax_rows,
)

_WEIGHT = 6  # the cost of an element in units of plain arithmetic
_TILE = 1 << 16  # elements of a block of columns: it is walked three times, so it should stay in the cache


def softmax(x: np.ndarray, axis: int = -1) -> np.ndarray:
    """exp(x) / sum(exp(x)) along `axis`, computed without overflow.

    x: any shape of at least one dimension, float32 or float64. An axis out of range raises numpy.exceptions.AxisError,
    another type TypeError.

    >>> import numpy as np
    >>> from kernels.cpu.softmax import softmax
    >>> softmax(np.array([[0.0, 0.0], [1e4, -np.inf]]))
    array([[0.5, 0.5],
           [1. , 0. ]])
    """
    return _run("softmax", x, None, axis)


def log_softmax(x: np.ndarray, axis: int = -1) -> np.ndarray:
    """x - log(sum(exp(x))) along `axis`, computed without overflow or cancellation; arguments as for `softmax`.

    >>> import numpy as np
    >>> from kernels.cpu.softmax import log_softmax
    >>> log_softmax(np.array([1e4, 1e4])).round(4)
    array([-0.6931, -0.6931])
    """
    return _run("log_softmax", x, None, axis)


def softmax_backward(g: np.ndarray, y: np.ndarray, axis: int = -1) -> np.ndarray:
    """The gradient of the input of `softmax`, from that of its result y: y * (g - sum(g * y)).

    >>> import numpy as np
    >>> from kernels.cpu.softmax import softmax_backward
    >>> softmax_backward(np.array([1.0, 0.0]), np.array([0.5, 0.5]))
    array([ 0.25, -0.25])
    """
    return _run("softmax_backward", y, _like("softmax_backward", g, y), axis)


def log_softmax_backward(g: np.ndarray, y: np.ndarray, axis: int = -1) -> np.ndarray:
    """The gradient of the input of `log_softmax`, from that of its result y: g - exp(y) * sum(g).

    >>> import numpy as np
    >>> from kernels.cpu.softmax import log_softmax_backward
    >>> log_softmax_backward(np.array([1.0, 0.0]), np.log(np.array([0.5, 0.5]))).round(6)
    array([ 0.5, -0.5])
    """
    return _run("log_softmax_backward", y, _like("log_softmax_backward", g, y), axis)


_LOOPS = {
    "softmax": (softmax_rows, softmax_columns),
    "log_softmax": (log_softmax_rows, log_softmax_columns),
    "softmax_backward": (softmax_backward_rows, softmax_backward_columns),
    "log_softmax_backward": (log_softmax_backward_rows, log_softmax_backward_columns),
}
_CALLS = 1 << 12  # remembered; a program with endless new shapes must not fill the memory
_calls: dict[tuple, Callable[..., np.ndarray]] = {}
memory.on_change(_calls.clear)


def _run(name: str, x: np.ndarray, g: np.ndarray | None, axis: int) -> np.ndarray:
    """Run an operation on x (the result y, when going backward) and the upstream gradient g of the same shape and type."""
    try:
        if g is not None and g.strides != x.strides:
            g, x = np.ascontiguousarray(g), np.ascontiguousarray(x)
        key = (name, x.__class__, x.shape, x.strides, x.dtype, axis)
        call = _calls.get(key)
    except (TypeError, AttributeError):  # no such axis, no array
        call = None
    if call is None:
        check_array(name, x, FLOATS)
        call = _call_for(rows_of(name, x, axis), *_LOOPS[name])
        if len(_calls) >= _CALLS:
            _calls.clear()
        _calls[key] = call
    return call(x) if g is None else call(g, x)


def _call_for(view: RowView, rows: Template, columns: Template) -> Callable[..., np.ndarray]:
    """What runs an operation on arrays whose rows lie so: along them, or down columns where those are contiguous."""
    if view.inner == 1:
        kernel, items, sizes = rows[view.dtype], view.outer, (view.length, view.outer_stride)
        work = view.length * _WEIGHT
    else:
        tiles, width = _tiling(view)
        kernel, items = columns[view.dtype], view.outer * tiles
        sizes = (view.length, view.inner, tiles, width, view.outer_stride, view.stride)
        work = view.length * width * _WEIGHT
    total = items * work
    shape, dtype, make = view.permuted, view.dtype, view.make
    plain = not view.copy and view.back is None

    def call(*arrays: np.ndarray) -> np.ndarray:
        out = make(shape, dtype)
        if not plain:
            arrays = tuple([view.prepared(x) for x in arrays])
        if total < launch.parallel_work:
            kernel.start(0, items, *arrays, out, *sizes)
        else:
            kernel(items, *arrays, out, *sizes, work=work)
        return out if plain else view.result(out)

    return call


def _like(name: str, g: np.ndarray, y: np.ndarray) -> np.ndarray:
    """g, an upstream gradient, checked to be an array like y."""
    if not isinstance(g, np.ndarray) or not isinstance(y, np.ndarray) or g.shape != y.shape or g.dtype != y.dtype:
        got = f"{g.dtype}{g.shape}" if isinstance(g, np.ndarray) else type(g).__name__
        wanted = f"{y.dtype}{y.shape}" if isinstance(y, np.ndarray) else type(y).__name__
        raise ValueError(f"{name}: the upstream gradient must be an array like the result, {wanted}, got {got}")
    return g


def _tiling(view: RowView) -> tuple[int, int]:
    """(tiles per outer index, columns per tile) for the loops over columns, which have room for 512 columns."""
    width = min(max(_TILE // max(view.length, 1), 32), 512, max(view.inner, 1))
    return -(-view.inner // width), width
