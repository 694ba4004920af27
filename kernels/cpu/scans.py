"""Running sums, products, logsumexps and linear recurrences along an axis on the CPU."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

from kernels import launch, memory
from kernels.along import accumulator, checked_axis, parts
from kernels.cpu.compiler import Template
from kernels.cpu.data import copy
from kernels.cpu.scans_kernels import recurrence, scan
from kernels.scan_operations import helpers_of

_TILE = 128
_SCRATCH = "from kernels.cpu.scratch import scratch"
_recurrence = Template(recurrence)


def cumulative_sum(x: np.ndarray, axis: int = -1) -> np.ndarray:
    """out[k] = x[0] + ... + x[k] along an axis, right to a few units in the last place; bool and integers as 64-bit ones."""
    return _scan("cumulative_sum", x, axis)


def cumulative_prod(x: np.ndarray, axis: int = -1) -> np.ndarray:
    """out[k] = x[0] * ... * x[k] along an axis; bool and integers as 64-bit ones."""
    return _scan("cumulative_prod", x, axis)


def cumulative_logsumexp(x: np.ndarray, axis: int = -1) -> np.ndarray:
    """out[k] = log(exp(x[0]) + ... + exp(x[k])) along an axis, without overflow; floats only."""
    if x.dtype.kind != "f":
        raise TypeError(f"cumulative_logsumexp: takes floats, got {x.dtype}")
    return _scan("cumulative_logsumexp", x, axis)


def linear_recurrence(x: np.ndarray, y: np.ndarray, axis: int = -1) -> np.ndarray:
    """out[0] = y[0], out[k] = x[k] * out[k-1] + y[k] along an axis; x[0] is not read. Two floats of one shape and type."""
    place = checked_axis("linear_recurrence", x, axis)
    if x.shape != y.shape or x.dtype != y.dtype or x.dtype.kind != "f":
        raise ValueError(
            f"linear_recurrence: needs two floats of one shape and type, got {x.shape} {x.dtype} and {y.shape} {y.dtype}"
        )
    dtype = x.dtype.newbyteorder("=")
    out = memory.empty(x.shape, dtype)
    if out.size:
        _run(_recurrence[dtype], (_straight(x, dtype), _straight(y, dtype)), out, place)
    return out


def _scan(name: str, x: np.ndarray, axis: int) -> np.ndarray:
    place = checked_axis(name, x, axis)
    dtype = accumulator(x.dtype.newbyteorder("="))
    out = memory.empty(x.shape, dtype)
    if out.size:
        _run(_kernel(name, dtype), (_straight(x, dtype),), out, place)
    return out


def _straight(x: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """The array in C order and in the type that is computed in."""
    straight = x.flags.c_contiguous and x.flags.aligned and x.dtype == dtype and x.dtype.isnative
    return x if straight else copy(x, dtype)


def _run(kernel: launch.Kernel, operands: tuple[np.ndarray, ...], out: np.ndarray, axis: int) -> None:
    outer, length, inner = parts(out.shape, axis)
    tiles = -(-inner // _TILE)
    kernel(outer * tiles, *operands, out, length, inner, tiles, work=20 * length * min(inner, _TILE))


@cache
def _kernel(name: str, dtype: np.dtype) -> Any:
    # A float32 sum is kept in float64: as exact as a sum in two parts, and four times as fast on one thread.
    state = "float64" if name == "cumulative_sum" and dtype == np.float32 else "T"
    return Template(scan, [helpers_of(name, dtype, state)], imports=_SCRATCH, name=name)[dtype]
