"""Running sums, products, logsumexps and linear recurrences along an axis on the GPU."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from math import prod

import numpy as np

from kernels.along import accumulator, axis_back, axis_last, checked_axis, parts
from kernels.cuda.array import DeviceArray, empty
from kernels.cuda.compiler import Kernel, Template
from kernels.cuda.data import copy
from kernels.cuda.scans_kernels import (
    block_scan,
    from_below,
    load_tile,
    scan_columns,
    scan_parts,
    scan_rows,
    scan_totals,
)
from kernels.scan_operations import RECURRENCE, helpers_of

_PER = 8  # elements of a thread, in rows
_SHORT = 64  # rows of at most so many elements are walked by one thread
_FEW, _LONG = 4096, 1024  # fewer columns than this, of more elements than that, are turned into rows


def cumulative_sum(x: DeviceArray, axis: int = -1) -> DeviceArray:
    """out[k] = x[0] + ... + x[k] along an axis, right to a few units in the last place; bool and integers as 64-bit ones."""
    return _scan("cumulative_sum", x, axis)


def cumulative_prod(x: DeviceArray, axis: int = -1) -> DeviceArray:
    """out[k] = x[0] * ... * x[k] along an axis; bool and integers as 64-bit ones.

    Stretches are multiplied before they are joined: where a stretch alone overflows, a zero before it gives NaN.
    """
    return _scan("cumulative_prod", x, axis)


def cumulative_logsumexp(x: DeviceArray, axis: int = -1) -> DeviceArray:
    """out[k] = log(exp(x[0]) + ... + exp(x[k])) along an axis, without overflow; floats only."""
    if x.dtype.kind != "f":
        raise TypeError(f"cumulative_logsumexp: takes floats, got {x.dtype}")
    return _scan("cumulative_logsumexp", x, axis)


def linear_recurrence(x: DeviceArray, y: DeviceArray, axis: int = -1) -> DeviceArray:
    """out[0] = y[0], out[k] = x[k] * out[k-1] + y[k] along an axis; x[0] is not read. Two floats of one shape and type.

    Where a product of neighbouring x alone overflows, a zero before it gives NaN.
    """
    place = checked_axis("linear_recurrence", x, axis)
    if x.shape != y.shape or x.dtype != y.dtype or x.dtype.kind != "f":
        raise ValueError(
            f"linear_recurrence: needs two floats of one shape and type, got {x.shape} {x.dtype} and {y.shape} {y.dtype}"
        )
    return _along("linear_recurrence", (x, y), place, x.dtype)


def _scan(name: str, x: DeviceArray, axis: int) -> DeviceArray:
    return _along(name, (x,), checked_axis(name, x, axis), accumulator(x.dtype))


def _along(name: str, operands: tuple[DeviceArray, ...], axis: int, dtype: np.dtype) -> DeviceArray:
    x = operands[0]
    outer, length, inner = parts(x.shape, axis)
    if not x.size:
        return empty(x.shape, dtype, x.device)
    turned = inner > 1 and outer * inner < _FEW and length > _LONG
    if turned:
        operands = tuple(o.transpose(axis_last(axis, x.ndim)) for o in operands)
        outer, inner = outer * inner, 1
    operands = tuple(_straight(o, dtype) for o in operands)
    out = empty(operands[0].shape, dtype, x.device)
    if inner == 1 and length > _SHORT:
        _rows(name, operands, out, outer, length)
    else:
        threads = 256 if outer * inner > 8192 else 32
        kernel = _kernel(scan_columns, name, dtype, threads)
        kernel(-(-outer * inner // threads), operands[0], operands[-1], out, outer * inner, length, inner)
    return copy(out.transpose(axis_back(axis, x.ndim))) if turned else out


def _rows(name: str, operands: tuple[DeviceArray, ...], out: DeviceArray, rows: int, length: int) -> None:
    x, y = operands[0], operands[-1]
    threads = 32 if length <= 32 * _PER else 256
    tiles = -(-length // (threads * _PER))
    before = x, x  # not read where a row is one tile
    if tiles > 1:
        shape = (rows, tiles - 1)
        total_a, total_b, part_a, part_b = (empty(shape, out.dtype, x.device) for _ in range(4))
        _kernel(scan_totals, name, out.dtype, threads)(prod(shape), x, y, total_a, total_b, length, tiles - 1)
        _kernel(scan_parts, name, out.dtype, threads)(rows, total_a, total_b, part_a, part_b, tiles - 1)
        before = part_a, part_b
    _kernel(scan_rows, name, out.dtype, threads)(rows * tiles, x, y, *before, out, length, tiles)


def _straight(x: DeviceArray, dtype: np.dtype) -> DeviceArray:
    """The array in C order and in the type that is computed in."""
    return x if x.flags.c_contiguous and x.flags.aligned and x.dtype == dtype else copy(x, dtype)


@cache
def _template(function: Callable, name: str, is_float: bool) -> Template:
    if name == "linear_recurrence":
        helpers = RECURRENCE
    else:
        helpers = helpers_of(name, np.dtype(np.float32 if is_float else np.int64)).replace("def first(v):", "def first(v, w):")
    uses: list[Callable | str] = [helpers] if function is scan_columns else [helpers, from_below, block_scan]
    if function in (scan_rows, scan_totals):
        uses.append(load_tile)
    return Template(function, uses=uses, name=f"{name}_{function.__name__.removeprefix('scan_')}")


def _kernel(function: Callable, name: str, dtype: np.dtype, threads: int) -> Kernel:
    tile = threads * _PER
    constants = {}
    if function is not scan_columns:
        constants |= {"IS_FLOAT": int(dtype.kind == "f"), "WARPS": threads // 32}
    if function in (scan_rows, scan_totals):
        is_binary = name == "linear_recurrence"
        padded = tile + tile // 32
        constants |= {"PER": _PER, "TILE": padded, "BINARY": int(is_binary), "TILE_Y": padded if is_binary else 1}
    return _template(function, name, dtype.kind == "f").specialised(dtype, threads, **constants)


VARIANTS: list[Callable[[], Kernel]] = [
    lambda function=function, name=name, dtype=dtype, threads=threads: _kernel(function, name, np.dtype(dtype), threads)
    for function, name, dtype, threads in (
        (scan_columns, "cumulative_sum", "float32", 256), (scan_totals, "cumulative_sum", "float32", 256),
        (scan_parts, "cumulative_sum", "float32", 256), (scan_rows, "cumulative_sum", "float32", 256),
        (scan_rows, "cumulative_sum", "float32", 32), (scan_rows, "cumulative_sum", "float64", 256),
        (scan_columns, "cumulative_sum", "int64", 256), (scan_rows, "cumulative_sum", "int64", 256),
        (scan_rows, "cumulative_prod", "uint64", 256), (scan_rows, "cumulative_prod", "float32", 256),
        (scan_columns, "cumulative_logsumexp", "float32", 256), (scan_rows, "cumulative_logsumexp", "float32", 256),
        (scan_totals, "cumulative_logsumexp", "float64", 256), (scan_columns, "linear_recurrence", "float32", 256),
        (scan_totals, "linear_recurrence", "float64", 256), (scan_rows, "linear_recurrence", "float32", 256),
    )
]  # fmt: skip
PROMISES: dict[str, tuple[str, ...]] = {"cumulative_sum_rows[float32*": ("SHFL.UP", "LDS", "STS")}
