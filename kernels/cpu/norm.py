"""Layer normalisation and RMS normalisation over the rows of a matrix, forward and backward, on the CPU.

Whoever normalises over other dimensions reshapes to (rows, columns) before. float32 and float64, any strides. The bits of
every result, the gradients of weight and bias included, are the same for any number of threads.
"""

from __future__ import annotations

import numbers
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np

from kernels import memory
from kernels.cpu.norm_kernels import (
    layer_norm_gradient_blocks,
    layer_norm_rows,
    rms_norm_gradient_blocks,
    rms_norm_rows,
)
from kernels.cpu.reduce import sum as column_sum
from kernels.cpu.reduce_operations import FLOATS, check_array

_WEIGHT = 3  # the cost of an element in units of plain arithmetic
_BLOCKS = 32  # of rows, at most: the partial sums for the gradients of weight and bias
_BLOCK_ELEMENTS = 1 << 14  # in a block, at least

Array = np.ndarray


def layer_norm(
    x: Array, weight: Array | None = None, bias: Array | None = None, epsilon: float = 1e-5
) -> tuple[Array, Array, Array]:
    """(x - mean) / sqrt(variance + epsilon) * weight + bias for each row, and what the derivative needs.

    x: (rows, columns); weight, bias: (columns,) of the same type, None for 1 and 0. Returns y (rows, columns), the means
    (rows,) and the reciprocal standard deviations (rows,). ValueError for other shapes, TypeError for other types.
    Ba, Kiros and Hinton, "Layer Normalization", arXiv:1607.06450.

    >>> import numpy as np
    >>> from kernels.cpu.norm import layer_norm
    >>> y, mean, rstd = layer_norm(np.array([[1.0, 2.0, 3.0]]), epsilon=0.0)
    >>> y.round(4), mean
    (array([[-1.2247,  0.    ,  1.2247]]), array([2.]))
    """
    x, weight, bias = _checked("layer_norm", x, weight, bias, epsilon)
    rows, columns = x.shape
    dtype = x.dtype
    matrix, vector = _makers(rows, columns, dtype)
    y, mean, rstd = matrix((rows, columns), dtype), vector((rows,), dtype), vector((rows,), dtype)
    if y.size:
        layer_norm_rows[dtype](
            rows, x, weight, bias, y, mean, rstd, columns, x.strides[0] // x.itemsize, float(epsilon),
            work=columns * _WEIGHT,
        )  # fmt: skip
    return y, mean, rstd


def layer_norm_backward(g: Array, x: Array, mean: Array, rstd: Array, weight: Array | None = None) -> tuple[Array, Array, Array]:
    """The gradients of x, weight and bias from that of y: (dx (rows, columns), dweight (columns,), dbias (columns,)).

    g: like x; x, weight as given to `layer_norm`; mean, rstd as it returned them.

    >>> import numpy as np
    >>> from kernels.cpu.norm import layer_norm, layer_norm_backward
    >>> x = np.array([[1.0, 2.0, 3.0]])
    >>> _, mean, rstd = layer_norm(x)
    >>> dx, dweight, dbias = layer_norm_backward(np.ones((1, 3)), x, mean, rstd)
    >>> dx, dbias
    (array([[0., 0., 0.]]), array([1., 1., 1.]))
    """
    g, x, weight = _checked_backward("layer_norm_backward", g, x, weight, mean, rstd)
    rows, columns = x.shape
    dtype = x.dtype
    block, blocks = _row_blocks(rows, columns)
    dx = _makers(rows, columns, dtype)[0]((rows, columns), dtype)
    partial = _makers(blocks, columns, dtype)[0]
    partial_weight, partial_bias = partial((blocks, columns), dtype), partial((blocks, columns), dtype)
    if dx.size:
        layer_norm_gradient_blocks[dtype](
            blocks, g, x, mean, rstd, weight, dx, partial_weight, partial_bias, rows, block, columns,
            g.strides[0] // g.itemsize, x.strides[0] // x.itemsize, work=block * columns * _WEIGHT,
        )  # fmt: skip
    return dx, _combined(partial_weight), _combined(partial_bias)


def rms_norm(x: Array, weight: Array | None = None, epsilon: float = 1e-6) -> tuple[Array, Array]:
    """x / sqrt(mean(x**2) + epsilon) * weight for each row: y (rows, columns), and the reciprocal roots (rows,).

    Arguments and errors as for `layer_norm`. Zhang and Sennrich, "Root Mean Square Layer Normalization",
    arXiv:1910.07467.

    >>> import numpy as np
    >>> from kernels.cpu.norm import rms_norm
    >>> y, rstd = rms_norm(np.array([[3.0, 4.0]]), epsilon=0.0)
    >>> y.round(4)
    array([[0.8485, 1.1314]])
    """
    x, weight, _ = _checked("rms_norm", x, weight, None, epsilon)
    rows, columns = x.shape
    dtype = x.dtype
    matrix, vector = _makers(rows, columns, dtype)
    y, rstd = matrix((rows, columns), dtype), vector((rows,), dtype)
    if y.size:
        rms_norm_rows[dtype](
            rows, x, weight, y, rstd, columns, x.strides[0] // x.itemsize, float(epsilon), work=columns * _WEIGHT
        )
    return y, rstd


def rms_norm_backward(g: Array, x: Array, rstd: Array, weight: Array | None = None) -> tuple[Array, Array]:
    """The gradients of x and weight from that of y: (dx (rows, columns), dweight (columns,)).

    >>> import numpy as np
    >>> from kernels.cpu.norm import rms_norm, rms_norm_backward
    >>> x = np.array([[3.0, 4.0]])
    >>> y, rstd = rms_norm(x, epsilon=0.0)
    >>> dx, dweight = rms_norm_backward(x, x, rstd)
    >>> abs(dx).max() < 1e-15, dweight.round(4)
    (np.True_, array([2.5456, 4.5255]))
    """
    g, x, weight = _checked_backward("rms_norm_backward", g, x, weight, rstd)
    rows, columns = x.shape
    dtype = x.dtype
    block, blocks = _row_blocks(rows, columns)
    dx = _makers(rows, columns, dtype)[0]((rows, columns), dtype)
    partial_weight = _makers(blocks, columns, dtype)[0]((blocks, columns), dtype)
    if dx.size:
        rms_norm_gradient_blocks[dtype](
            blocks, g, x, rstd, weight, dx, partial_weight, rows, block, columns, g.strides[0] // g.itemsize,
            x.strides[0] // x.itemsize, work=block * columns * _WEIGHT,
        )  # fmt: skip
    return dx, _combined(partial_weight)


def _row_blocks(rows: int, columns: int) -> tuple[int, int]:
    """(rows per block, blocks): decided by the shape alone, so that sums run in the same order for any thread count."""
    block = max(-(-rows // _BLOCKS), _BLOCK_ELEMENTS // max(columns, 1), 1)
    return block, -(-rows // block)


def _combined(partial: Array) -> Array:
    """The sum over blocks; a single block is the sum already."""
    return partial.reshape(-1) if partial.shape[0] == 1 else column_sum(partial, 0)


@lru_cache(maxsize=1024)
def _makers(rows: int, columns: int, dtype: np.dtype) -> tuple[Callable[..., Array], Callable[..., Array]]:
    """What allocates a (rows, columns) array, and a (rows,) array."""
    return memory.maker((rows, columns), dtype), memory.maker((rows,), dtype)


memory.on_change(_makers.cache_clear)


@lru_cache(maxsize=256)
def _constant(value: float, columns: int, dtype: np.dtype) -> Array:
    """What stands for a weight or bias that is not there."""
    constant = np.full(columns, value, dtype)
    constant.flags.writeable = False
    return constant


def _checked(name: str, x: Any, weight: Any, bias: Any, epsilon: Any) -> tuple[Array, Array, Array]:
    """x with unit-stride rows, weight and bias as contiguous vectors; or an error that says what is wrong."""
    check_array(name, x, FLOATS)
    if x.ndim != 2:
        raise ValueError(f"{name}: expected x of shape (rows, columns), got {x.shape}; reshape it to what is normalised")
    if isinstance(epsilon, bool) or not isinstance(epsilon, float | numbers.Real) or not epsilon >= 0:  # pyright: ignore[reportOperatorIssue]
        raise ValueError(f"{name}: epsilon must be a number not below 0, got {epsilon!r}")
    columns, dtype = x.shape[1], x.dtype
    return (
        _unit_rows(x),
        _constant(1.0, columns, dtype) if weight is None else _vector(name, "weight", weight, columns, dtype),
        _constant(0.0, columns, dtype) if bias is None else _vector(name, "bias", bias, columns, dtype),
    )


def _checked_backward(name: str, g: Any, x: Any, weight: Any, *per_row: Any) -> tuple[Array, Array, Array]:
    x, weight, _ = _checked(name, x, weight, None, 0)
    if not isinstance(g, np.ndarray) or g.shape != x.shape or g.dtype != x.dtype:
        got = f"{g.dtype}{g.shape}" if isinstance(g, np.ndarray) else type(g).__name__
        raise ValueError(f"{name}: the upstream gradient must be an array like x, {x.dtype}{x.shape}, got {got}")
    for saved in per_row:
        _vector(name, "what the forward pass saved", saved, x.shape[0], x.dtype)
        if saved.strides[0] != x.itemsize and saved.size > 1:
            raise ValueError(f"{name}: what the forward pass saved must be handed over as it was returned, contiguous")
    return _unit_rows(g), x, weight


def _unit_rows(x: Array) -> Array:
    """x, or a copy of it whose rows have unit stride."""
    if (x.shape[1] > 1 and x.strides[1] != x.itemsize) or x.strides[0] % x.itemsize:
        return np.ascontiguousarray(x)
    return x


def _vector(name: str, what: str, vector: Any, length: int, dtype: np.dtype) -> Array:
    if not isinstance(vector, np.ndarray) or vector.shape != (length,) or vector.dtype != dtype:
        got = f"{vector.dtype}{vector.shape}" if isinstance(vector, np.ndarray) else type(vector).__name__
        raise ValueError(f"{name}: {what} must be an array {dtype}({length},) to go with x, got {got}")
    return vector if length < 2 or vector.strides[0] == vector.itemsize else vector.copy()
