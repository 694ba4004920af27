"""softmax and log_softmax along any axis, forward and backward, on the CPU.

Each row is read once from memory and written once, as long as it fits the cache. Rows that are -inf throughout (fully
masked) give 0, or -inf for log_softmax, and gradients of 0; single entries of -inf give exactly 0. float32 and float64,
any strides; a result lies in memory as its input does. Results do not depend on the number of threads.
"""

from __future__ import annotations

import numpy as np

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
    check_array("softmax", x, FLOATS)
    return _forward(rows_of("softmax", x, axis), x, softmax_rows, softmax_columns)


def log_softmax(x: np.ndarray, axis: int = -1) -> np.ndarray:
    """x - log(sum(exp(x))) along `axis`, computed without overflow or cancellation; arguments as for `softmax`.

    >>> import numpy as np
    >>> from kernels.cpu.softmax import log_softmax
    >>> log_softmax(np.array([1e4, 1e4])).round(4)
    array([-0.6931, -0.6931])
    """
    check_array("log_softmax", x, FLOATS)
    return _forward(rows_of("log_softmax", x, axis), x, log_softmax_rows, log_softmax_columns)


def softmax_backward(g: np.ndarray, y: np.ndarray, axis: int = -1) -> np.ndarray:
    """The gradient of the input of `softmax`, from that of its result y: y * (g - sum(g * y)).

    >>> import numpy as np
    >>> from kernels.cpu.softmax import softmax_backward
    >>> softmax_backward(np.array([1.0, 0.0]), np.array([0.5, 0.5]))
    array([ 0.25, -0.25])
    """
    return _backward("softmax_backward", g, y, axis, softmax_backward_rows, softmax_backward_columns)


def log_softmax_backward(g: np.ndarray, y: np.ndarray, axis: int = -1) -> np.ndarray:
    """The gradient of the input of `log_softmax`, from that of its result y: g - exp(y) * sum(g).

    >>> import numpy as np
    >>> from kernels.cpu.softmax import log_softmax_backward
    >>> log_softmax_backward(np.array([1.0, 0.0]), np.log(np.array([0.5, 0.5]))).round(6)
    array([ 0.5, -0.5])
    """
    return _backward("log_softmax_backward", g, y, axis, log_softmax_backward_rows, log_softmax_backward_columns)


def _forward(view: RowView, x: np.ndarray, rows, columns) -> np.ndarray:
    out = view.empty()
    if view.copy:
        x = view.prepared(x)
    if view.inner == 1:
        length = view.length
        rows[view.dtype](view.outer, x, out, length, view.outer_stride, work=length * _WEIGHT)
    else:
        tiles, width = tiling(view)
        columns[view.dtype](
            view.outer * tiles, x, out, view.length, view.inner, tiles, width, view.outer_stride, view.stride,
            work=width * view.length * _WEIGHT,
        )  # fmt: skip
    return view.result(out)


def _backward(name: str, g: np.ndarray, y: np.ndarray, axis: int, rows, columns) -> np.ndarray:
    check_array(name, y, FLOATS)
    check_same(name, g, y)
    if g.strides != y.strides:
        g, y = np.ascontiguousarray(g), np.ascontiguousarray(y)
    view = rows_of(name, y, axis)
    out = view.empty()
    if view.copy:
        g, y = view.prepared(g), view.prepared(y)
    if view.inner == 1:
        length = view.length
        rows[view.dtype](view.outer, g, y, out, length, view.outer_stride, work=length * _WEIGHT)
    else:
        tiles, width = tiling(view)
        columns[view.dtype](
            view.outer * tiles, g, y, out, view.length, view.inner, tiles, width, view.outer_stride, view.stride,
            work=width * view.length * _WEIGHT,
        )  # fmt: skip
    return view.result(out)


def check_same(name: str, g: np.ndarray, y: np.ndarray) -> None:
    """Raise unless the upstream gradient is an array like y."""
    if not isinstance(g, np.ndarray) or g.shape != y.shape or g.dtype != y.dtype:
        got = f"{g.dtype}{g.shape}" if isinstance(g, np.ndarray) else type(g).__name__
        raise ValueError(f"{name}: the upstream gradient must be an array like the result, {y.dtype}{y.shape}, got {got}")


def tiling(view: RowView) -> tuple[int, int]:
    """(tiles per outer index, columns per tile) for the loops over columns, which have room for 512 columns."""
    width = min(max(_TILE // max(view.length, 1), 32), 512, max(view.inner, 1))
    return -(-view.inner // width), width
