"""Which plan runs a reduction on the GPU: the look-up behind `run(name, x, axis, keepdims)`."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np

from kernels.cuda import array as arrays
from kernels.cuda.array import BFLOAT16, DeviceArray, from_interface
from kernels.cuda.data import copy
from kernels.cuda.reduce_plan import VECTOR_BYTES, Geometry, Plan, alignment_of
from kernels.layout import layout_of
from kernels.reduction import (
    BOOL,
    FLOATS,
    FOR_NUMBERS,
    NUMBERS,
    check_dtype,
    check_not_empty,
    normalise_axes,
    operation_for,
    result_dtype,
)  # fmt: skip

HALVES = (np.dtype(np.float16), BFLOAT16)
_FLOAT32, _INT32 = np.dtype(np.float32), np.dtype(np.int32)
_CENTRES = {"shifted_mean": "element", "var": "element", "std": "element", "logsumexp": "array", "norm p": "number"}
_PLANS = 1 << 13  # plans kept; a program with endless new shapes must not fill the memory
_calls: dict[tuple, Callable[..., DeviceArray]] = {}


def as_array(name: str, x: Any) -> DeviceArray:
    """x as a device array, its memory shared; a TypeError where it is none."""
    if isinstance(x, DeviceArray):
        return x
    if hasattr(x, "__cuda_array_interface__"):
        return from_interface(x)
    raise TypeError(
        f"{name}: expected an array on the device, got {type(x).__name__}; bring it there with kernels.cuda.from_numpy(x)"
    )


def run(
    name: str,
    x: DeviceArray,
    axis: Any = None,
    keepdims: bool = False,
    first: DeviceArray | None = None,
    second: DeviceArray | None = None,
    number: float = 0,
    correction: float = 0,
    result: np.dtype | None = None,
) -> DeviceArray:
    """Run the operation `name`: the plan for arrays of this layout is looked up, or made.

    `first` and `second` are arrays of one number per output, C-ordered, and `number` is a single one, where the operation
    needs them. result: the dtype of the result, where it is not the one that belongs to the operation.
    """
    layout = layout_of(x)
    key = (name, layout, axis if axis.__class__ is not list else tuple(axis), keepdims, correction, x.pointer & 15, result)
    try:
        call = _calls.get(key)
    except TypeError:  # no such axis
        call = None
    if call is None:
        call = _caller(name, x, axis, keepdims, correction, result)
        if len(_calls) >= _PLANS:
            _calls.clear()
        _calls[key] = call
    return call(x, first, second, number)


def _caller(
    name: str, x: DeviceArray, axis: Any, keepdims: bool, correction: float, result: np.dtype | None
) -> Callable[..., DeviceArray]:
    """What runs the operation on arrays of this layout."""
    layout = layout_of(x)
    dtype, shape = layout.dtype, layout.shape
    if dtype not in HALVES:
        check_dtype(name, dtype, NUMBERS if name in FOR_NUMBERS else FLOATS)
    axes = normalise_axes(name, axis, len(shape))
    computed = _FLOAT32 if dtype in HALVES else dtype
    total = result_dtype(name, computed)
    result = result or (dtype if total == computed else total)
    if total == BOOL:
        total = _INT32 if name in ("any", "all") else np.dtype(np.uint8)
    operation = operation_for(name, computed, total)
    check_not_empty(name, operation, shape, axis, axes)
    out_shape = tuple(1 if a in axes else size for a, size in enumerate(shape) if keepdims or a not in axes)
    if not layout.size:
        return lambda x, *_: _filled(out_shape, result, operation.empty, x.device)
    count = prod([shape[a] for a in axes])
    divisor = max(count - correction, 0) if "divisor" in operation.finish and name != "sum" else 1
    centre = _CENTRES.get(name, "none")

    def plan(shape, strides, axes, alignment):
        return Plan(operation, shape, strides, dtype, total, result, axes, out_shape, divisor, centre, alignment)

    if not layout.aligned or x.pointer % layout.dtype.itemsize:  # a field of a structure: by way of the host
        straight = plan(shape, arrays.dense_strides(shape, 1), axes, VECTOR_BYTES)
        return lambda x, *rest: straight(arrays.from_numpy(x.numpy(), x.device), *rest)
    if not Geometry(shape, layout.strides, axes).fits:
        order = (*(a for a in range(len(shape)) if a not in axes), *axes)
        moved = tuple([shape[a] for a in order])
        behind = tuple(range(len(shape) - len(axes), len(shape)))
        straight = plan(moved, arrays.dense_strides(moved, 1), behind, VECTOR_BYTES)
        return lambda x, *rest: straight(copy(x.transpose(order)), *rest)
    return plan(shape, layout.strides, axes, alignment_of(x))


def _filled(shape: tuple[int, ...], dtype: np.dtype, value: float | None, device: str) -> DeviceArray:
    """An array of what a reduction of no elements gives (or of no elements itself, where that is nothing)."""
    if dtype == BFLOAT16:
        bits = np.full(shape, value or 0, np.float32).view(np.uint32) >> 16
        return arrays.from_numpy(bits.astype(np.uint16).view(BFLOAT16), device)
    return arrays.from_numpy(np.full(shape, 0 if value is None else value, dtype), device)
