"""Copies without conversion, on the CPU.

Those that transpose go by tiles that stay in a near cache, and within these by squares that stay in registers; others row by
row where rows lie together on both sides, or else as any elementwise operation.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod

import numpy as np

from kernels import formulas, launch
from kernels.cpu.elementwise import plan_for
from kernels.cpu.pointer import JIT_DISABLED
from kernels.cpu.transposing_kernels import copy_rows, transpose_tiles
from kernels.layout import Layout, merge_dimensions
from kernels.transposing import Transposition, transposition

# Elements moved as numbers of their size.
MOVED_AS = {1: "uint8", 2: "uint16", 4: "uint32", 8: "uint64", 16: "complex128"}
_KINDS = "biuf" if JIT_DISABLED else "biufc"  # there are no plain pointers to complex numbers
_TILE = 256  # elements along each side of a tile
_SHORT_ROW = 16  # bytes: calling a function for less costs more than a loop
_ROW_COST = 32  # what a row costs beside its elements, in elements


class Transposing:
    """A copy between two given layouts that transposes: `run(source, target)`."""

    __slots__ = ("_items", "_kernel", "_walk", "_work")

    def __init__(self, found: Transposition, itemsize: int) -> None:
        self._kernel: launch.Kernel = transpose_tiles[np.dtype(MOVED_AS[itemsize])]
        self._walk = packed(found)
        tiles = max(found.rows // _TILE, 1) * max(found.columns // _TILE, 1)
        self._items = found.count * tiles
        self._work = max(1, 2 * found.rows * found.columns // tiles)

    def run(self, source: np.ndarray, target: np.ndarray) -> None:
        """Copy the elements."""
        self._kernel(self._items, self._walk, source, target, work=self._work)


def packed(found: Transposition) -> np.ndarray:
    """How a transposition is walked, as the kernel reads it."""
    axes = [*zip(found.outer, found.outer_in, found.outer_out, strict=True)]
    return np.array([*found[:4], _TILE, _TILE, len(axes), *(number for axis in reversed(axes) for number in axis)], np.int64)


def _rows(source: Layout, target: Layout) -> Mover | None:
    """The copy row by row, where rows of some length lie together on both sides."""
    order = sorted(range(target.ndim), key=lambda axis: (-abs(target.strides[axis]), axis))
    sizes, (read, written) = merge_dimensions(
        [source.shape[a] for a in order], [[k.strides[a] for a in order] for k in (source, target)]
    )
    item = source.dtype.itemsize
    if len(sizes) < 2 or 0 in sizes or (read[-1], written[-1]) != (1, 1) or sizes[-1] * item < _SHORT_ROW:
        return None
    axes = [number for axis in range(len(sizes) - 3, -1, -1) for number in (sizes[axis], read[axis], written[axis])]
    walk = np.array([sizes[-1], sizes[-2], read[-2], written[-2], len(sizes) - 2, *axes], np.int64)
    items, work = prod(sizes[:-2]), sizes[-2] * (sizes[-1] + _ROW_COST)
    native = copy_rows[np.dtype(MOVED_AS[item])]
    return lambda x, out: native(items, walk, x, out, work=work)


Mover = Callable[[np.ndarray, np.ndarray], None]
_movers: dict[tuple[Layout, Layout], Mover | None] = {}
_KEPT = 1 << 12


def mover(source: Layout, target: Layout) -> Mover | None:
    """What copies elements between two layouts of one shape and dtype, or None where neither kernel here can.

    The memory must be aligned, and must not overlap.
    """
    key = source, target
    try:
        return _movers[key]
    except KeyError:
        if len(_movers) >= _KEPT:
            _movers.clear()
        found = _movers[key] = _new_mover(source, target)
        return found


def _new_mover(source: Layout, target: Layout) -> Mover | None:
    dtype = source.dtype
    if dtype != target.dtype or dtype.kind not in _KINDS or dtype == np.float16 or dtype.itemsize not in MOVED_AS:
        return None
    found = transposition(source, target)
    if found is not None:
        return Transposing(found, dtype.itemsize).run
    if source.aligned and target.aligned and dtype.isnative and not (source.contiguous and target.contiguous):
        rows = _rows(source, target)
        if rows is not None:
            return rows
    if dtype.kind == "c" or not (source.aligned and target.aligned and dtype.isnative):
        return None
    fill = plan_for(formulas.positive.hoisted, (source,), dtype, ((target,), (-1,))).fill
    return lambda x, out: fill((x, out))
