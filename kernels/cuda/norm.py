"""Layer normalisation and RMS normalisation over the rows of a matrix, forward and backward, on the GPU.

What `kernels.cpu.norm` does; the formula is told there. float32, float64, and float16 and bfloat16, which are calculated in
float32: what the forward pass saves for the backward one is float32 then. Rows of up to 8192 elements forward, 4096
backward (half as many of float64), are read once. Sums over rows run in an order that the shape decides alone, so results have
the same bits every time.
"""

from __future__ import annotations

import numbers
from collections.abc import Callable
from functools import lru_cache
from math import nan
from typing import Any

import numpy as np

from kernels.cuda import norm_kernels
from kernels.cuda.array import DeviceArray, empty
from kernels.cuda.compiler import Kernel
from kernels.cuda.data import copy, fill
from kernels.cuda.row_form import (
    VECTOR_BYTES,
    Form,
    check_floats,
    column_form,
    compute_dtype,
    described,
    row_form,
    row_form_of_sums,
    unit_rows,
    vectors_fit,
)  # fmt: skip
from kernels.layout import layout_of

_THREADS = 1 << 16  # that share the rows of a backward pass, at most: a large GPU's fill
_ROUNDS = 8  # rows for each of them, at least where there are so many
_PARTS = 64  # row blocks, at most, of the sums of very long rows
_TILE = 256  # columns of a block that sums very long rows

Array = DeviceArray


def layer_norm(
    x: Array, weight: Array | None = None, bias: Array | None = None, epsilon: float = 1e-5
) -> tuple[Array, Array, Array]:
    """(x - mean) / sqrt(variance + epsilon) * weight + bias for each row, and what the derivative needs.

    x: (rows, columns); weight, bias: (columns,) of the same type, None for 1 and 0. Returns y (rows, columns), the means
    (rows,) and the reciprocal standard deviations (rows,). ValueError for other shapes, TypeError for other types.
    """
    x, weight, bias = _checked("layer_norm", x, weight, bias, epsilon)
    mean = empty(x.shape[:1], compute_dtype(x.dtype), x.device)
    y, rstd = _forward(x, weight, bias, mean, epsilon)
    return y, mean, rstd


def layer_norm_backward(g: Array, x: Array, mean: Array, rstd: Array, weight: Array | None = None) -> tuple[Array, Array, Array]:
    """The gradients of x, weight and bias from that of y: (dx (rows, columns), dweight (columns,), dbias (columns,)).

    g: like x; x, weight as given to `layer_norm`; mean, rstd as it returned them.
    """
    g, x, weight = _checked_backward("layer_norm_backward", g, x, weight, mean, rstd)
    dx, sums = _backward(g, x, mean, rstd, weight)
    return dx, sums[0], sums[1]


def rms_norm(x: Array, weight: Array | None = None, epsilon: float = 1e-6) -> tuple[Array, Array]:
    """x / sqrt(mean(x**2) + epsilon) * weight for each row: y (rows, columns), and the reciprocal roots (rows,).

    Arguments and errors as for `layer_norm`.
    """
    x, weight, _ = _checked("rms_norm", x, weight, None, epsilon)
    return _forward(x, weight, None, None, epsilon)


def rms_norm_backward(g: Array, x: Array, rstd: Array, weight: Array | None = None) -> tuple[Array, Array]:
    """The gradients of x and weight from that of y: (dx (rows, columns), dweight (columns,))."""
    g, x, weight = _checked_backward("rms_norm_backward", g, x, weight, rstd)
    dx, sums = _backward(g, x, None, rstd, weight)
    return dx, sums[0]


def _forward(x: Array, weight: Array | None, bias: Array | None, mean: Array | None, epsilon: float) -> tuple[Array, Array]:
    rows, columns = x.shape
    y, rstd = empty(x.shape, x.dtype, x.device), empty((rows,), compute_dtype(x.dtype), x.device)
    if not rows or not columns:
        for saved in (mean, rstd):
            if saved is not None:
                fill(saved, nan)
        return y, rstd
    wide = _aligned(x, y, weight, bias) and vectors_fit(columns, x.itemsize, x.strides[0])
    kernel, form = _norm_kernel(columns, x.dtype, wide, mean is None, weight is not None, bias is not None)
    row_stride = x.strides[0] // x.itemsize
    kernel(form.grid(rows), x, weight, bias, y, mean, rstd, rows, columns, row_stride, float(epsilon))
    return y, rstd


def _backward(g: Array, x: Array, mean: Array | None, rstd: Array, weight: Array | None) -> tuple[Array, Array]:
    """dx, and the gradients of weight and bias as two rows; of weight alone without means."""
    rows, columns = x.shape
    compute, count = compute_dtype(x.dtype), 1 if mean is None else 2
    dx, sums = empty(x.shape, x.dtype, x.device), empty((count, columns), x.dtype, x.device)
    if not rows or not columns:
        return dx, fill(sums, 0.0)
    wide = _aligned(g, x, dx, weight) and vectors_fit(columns, x.itemsize, g.strides[0], x.strides[0])
    strides = g.strides[0] // g.itemsize, x.strides[0] // x.itemsize
    kernel, form = _gradient_kernel(columns, x.dtype, wide, mean is None, weight is not None)
    if form.one_batch:
        here = form.threads // form.group
        blocks = -(-min(-(-rows // _ROUNDS), max(_THREADS // form.group, 1)) // here)
        parts = blocks * here
        partial = empty((count, parts, columns), compute, x.device)
        kernel(blocks, g, x, mean, rstd, weight, dx, partial, rows, columns, -(-rows // parts), *strides)
    else:
        parts = min(rows, _PARTS)
        partial = empty((count, parts, columns), compute, x.device)
        kernel(rows, g, x, mean, rstd, weight, dx, rows, columns, *strides)
        partials = norm_kernels.norm_partials.specialised(x.dtype, _TILE, RMS=int(mean is None))
        tiles = -(-columns // _TILE)
        partials(tiles * parts, g, x, mean, rstd, partial, rows, columns, tiles, parts, *strides)
    adding, form = _sums_kernel(parts, x.dtype)
    adding(form.grid(count * columns), partial, sums, count * columns, columns, parts)
    return dx, sums


@lru_cache(maxsize=1024)
def _norm_kernel(columns: int, dtype: np.dtype, wide: bool, rms: bool, weighted: bool, biased: bool) -> tuple[Kernel, Form]:
    form = row_form(columns, dtype, wide, 2)
    template = norm_kernels.norm_rows if form.one_batch else norm_kernels.norm_long_rows
    options = dict(RMS=int(rms), WEIGHTED=int(weighted), BIASED=int(biased))
    return template.specialised(dtype, **options, **form.constants), form


@lru_cache(maxsize=1024)
def _gradient_kernel(columns: int, dtype: np.dtype, wide: bool, rms: bool, weighted: bool) -> tuple[Kernel, Form]:
    form = row_form_of_sums(columns, dtype, wide)
    template = norm_kernels.norm_gradient_rows if form.one_batch else norm_kernels.norm_gradient_long_rows
    return template.specialised(dtype, RMS=int(rms), WEIGHTED=int(weighted), **form.constants), form


def _sums_kernel(parts: int, dtype: np.dtype) -> tuple[Kernel, Form]:
    form = column_form(min(parts, 128), dtype, 8)
    return norm_kernels.norm_sums.specialised(dtype, **form.constants), form


def _aligned(*arrays: Array | None) -> bool:
    """Whether 16-byte loads and stores may begin where these arrays do."""
    places = 0
    for array in arrays:
        if array is not None:
            places |= array.pointer
    return places % VECTOR_BYTES == 0


def _checked(name: str, x: Any, weight: Any, bias: Any, epsilon: Any) -> tuple[Array, Array | None, Array | None]:
    """x with unit-stride rows, weight and bias as contiguous vectors; or an error that says what is wrong."""
    check_floats(name, x)
    if x.ndim != 2:
        raise ValueError(f"{name}: expected x of shape (rows, columns), got {x.shape}; reshape it to what is normalised")
    if isinstance(epsilon, bool) or not isinstance(epsilon, float | numbers.Real) or not epsilon >= 0:  # pyright: ignore[reportOperatorIssue]
        raise ValueError(f"{name}: epsilon must be a number not below 0, got {epsilon!r}")
    columns, dtype = x.shape[1], x.dtype
    return (
        unit_rows(x),
        None if weight is None else _vector(name, "weight", weight, columns, dtype),
        None if bias is None else _vector(name, "bias", bias, columns, dtype),
    )


def _checked_backward(name: str, g: Any, x: Any, weight: Any, *per_row: Any) -> tuple[Array, Array, Array | None]:
    x, weight, _ = _checked(name, x, weight, None, 0)
    if not isinstance(g, DeviceArray) or g.shape != x.shape or g.dtype != x.dtype:
        raise ValueError(f"{name}: the upstream gradient must be an array like x, {described(x)}, got {described(g)}")
    for saved in per_row:
        _vector(name, "what the forward pass saved", saved, x.shape[0], compute_dtype(x.dtype))
        if not layout_of(saved).contiguous:
            raise ValueError(f"{name}: what the forward pass saved must be handed over as it was returned, contiguous")
    return unit_rows(g), x, weight


def _vector(name: str, what: str, vector: Any, length: int, dtype: np.dtype) -> Array:
    if not isinstance(vector, DeviceArray) or vector.shape != (length,) or vector.dtype != dtype:
        shown = "bfloat16" if dtype.kind == "V" else dtype
        raise ValueError(f"{name}: {what} must be an array {shown}({length},) to go with x, got {described(vector)}")
    return vector if length < 2 or vector.strides[0] == vector.itemsize else copy(vector)


def _variants() -> list[Callable[[], Kernel]]:
    """Kernels for short, middle and long rows."""
    made: list[Callable[[], Kernel]] = []
    for dtype, columns, wide, rms, plain in [
        ("f4", 10, False, 0, 0), ("f4", 1024, True, 0, 0), ("f4", 1023, False, 0, 0), ("f4", 4096, True, 0, 0),
        ("f4", 4095, False, 1, 1), ("f4", 32768, True, 0, 0), ("f8", 1000, True, 0, 0), ("f2", 4096, True, 1, 0),
    ]:  # fmt: skip
        key = columns, np.dtype(dtype), wide, bool(rms), not plain
        made.append(lambda k=key, r=rms: _norm_kernel(*k, not r)[0])
        made.append(lambda k=key: _gradient_kernel(*k)[0])
    for dtype in (np.dtype("f4"), np.dtype("f2")):
        made.append(lambda d=dtype: _sums_kernel(1000, d)[0])
        made.append(lambda d=dtype: norm_kernels.norm_partials.specialised(d, _TILE, RMS=0))
    return made


VARIANTS = _variants()
PROMISES: dict[str, tuple[str, ...]] = {
    "norm_rows[*_WIDTH4_*": ("LDG.E.128", "STG.E.128", "SHFL.BFLY"),
    "norm_gradient_rows[*_WIDTH4_*": ("LDG.E.128", "STG.E.128", "SHFL.BFLY"),
}
