"""argmax and argmin on the CPU, as `kernels.cpu.reduce` hands them on."""

from __future__ import annotations

import operator
from functools import cache
from math import prod
from typing import Any

import numpy as np

from kernels import launch, memory
from kernels.cpu.argreduce_kernels import arg_columns, arg_rows
from kernels.cpu.compiler import REASSOCIATE, Template
from kernels.cpu.reduce_kernels import TILE, storage
from kernels.cpu.reduce_operations import check_array, has_odd_strides
from kernels.layout import merge_dimensions
from kernels.reduction import NUMBERS, better_place, check_place, place_shape

_INT64 = np.dtype(np.int64)


_PLANS = 1 << 12  # plans kept; a program with endless new shapes must not fill the memory
_plans: dict[tuple, _Plan] = {}
memory.on_change(_plans.clear)


def extreme_place(name: str, x: Any, axis: int | None, keepdims: bool) -> np.ndarray:
    """Where the largest (argmax) or smallest (argmin) element stands along `axis`; see `kernels.cpu.reduce`."""
    try:
        plan = _plans.get((name, x.__class__, x.shape, x.strides, x.dtype, axis, keepdims))
    except (TypeError, AttributeError):  # no such axis, no array
        plan = None
    if plan is None:
        check_array(name, x, NUMBERS)
        plan = _Plan(name, x, axis, keepdims)
        if len(_plans) >= _PLANS:
            _plans.clear()
        _plans[name, x.__class__, x.shape, x.strides, x.dtype, axis, keepdims] = plan
    return plan(x)


class _Plan:
    """How argmax or argmin runs on one layout."""

    __slots__ = ("shape", "flat", "copy", "kernel", "items", "work", "table", "make")

    def __init__(self, name: str, x: np.ndarray, axis: Any, keepdims: bool) -> None:
        self.shape = place_shape(name, x.shape, axis, keepdims)
        self.items = prod(self.shape)
        self.make = memory.maker(self.shape, _INT64)
        self.flat, self.copy = axis is None, has_odd_strides(x)
        if self.flat:
            x, axis = x.reshape(-1), 0
        if self.copy:
            x = x.copy()
        axis = operator.index(axis) % x.ndim
        check_place(name, x.shape, axis)
        strides = [s // x.itemsize for s in x.strides]
        kept = [a for a in range(x.ndim) if a != axis]
        sizes, (steps,) = merge_dimensions([x.shape[a] for a in kept], [[strides[a] for a in kept]])
        length, stride = x.shape[axis], strides[axis]
        if sizes and steps[-1] == 1 and length > 1 and abs(stride) != 1:
            columns, width = sizes[-1], min(sizes[-1], TILE)
            tiles = -(-columns // width) if columns else 0
            table = [len(sizes) - 1, length, stride, columns, tiles, width]
            sizes, steps = sizes[:-1], steps[:-1]
            self.kernel, self.items, self.work = _kernel(name, arg_columns, x.dtype), prod(sizes) * tiles, length * width
        else:
            table = [len(sizes), length, stride]
            self.kernel, self.work = _kernel(name, arg_rows, x.dtype), length
        pairs = zip(reversed(sizes), reversed(steps), strict=True)
        self.table = np.array(table + [n for pair in pairs for n in pair], np.int64)

    def __call__(self, x: np.ndarray) -> np.ndarray:
        out = self.make(self.shape, _INT64)
        if self.items:
            if self.flat:
                x = x.reshape(-1)  # logical order: a copy where the layout is not flat
            if self.copy:
                x = x.copy()
            if self.items * self.work < launch.parallel_work:
                self.kernel.start(0, self.items, x, out, self.table)
            else:
                self.kernel(self.items, x, out, self.table, work=self.work)
        return out


@cache
def _kernel(name: str, loop: Any, dtype: np.dtype) -> launch.Kernel:
    """The loop for one of the operations and one type."""
    extreme = "maximum" if name == "argmax" else "minimum"
    better = better_place(name, dtype)
    differs = "(v != best) & (v == v)" if dtype.kind == "f" else "v != best"
    helpers = (
        f"@_inlined\ndef better(v, best):\n    return {better}\n\n"
        f"@_inlined\ndef differs(v, best):\n    return {differs}\n\n"
        f"@_inlined\ndef extreme(a, b):\n    return {extreme}(a, b)\n"
    )
    suffix = loop.__name__.removeprefix("arg_")
    template = Template(loop, [helpers], REASSOCIATE, "from kernels.cpu.scratch import scratch", name=f"{name}_{suffix}")
    return template[storage(dtype)]
