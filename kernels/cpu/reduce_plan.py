"""How a reduction of a given layout runs: which loop, over what table of sizes and strides, in how many parts.

A `Plan` depends only on the layout, never on the number of threads, so the bits of a result do not either: long
reductions with few outputs are cut into parts of fixed size, and the parts' results are reduced by a second plan.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod

import numpy as np

from kernels import launch, memory
from kernels.cpu.reduce_kernels import (
    BLOCK,
    BLOCK_ROWS,
    ROWS_PER_ITEM,
    TILE,
    column_kernel,
    row_kernel,
)
from kernels.layout import merge_dimensions
from kernels.reduction import Operation

Dimension = tuple[int, int]  # size and stride in elements

ITEMS = 16  # work items that a long reduction is cut into at least, for the threads to share
PART = 1 << 16  # elements of such an item: enough to be worth a thread's while
_NARROW = 4  # columns: below this, walking down one column at a time is faster


class Plan:
    """A reduction of one layout, ready to run: see `caller`."""

    __slots__ = ("kernel", "items", "table", "work", "divisor", "shape", "dtype", "make", "parts", "make_parts", "rest", "fill")

    def __init__(
        self,
        operation: Operation,
        shape: tuple[int, ...],
        strides: tuple[int, ...],
        dtype: np.dtype,
        axes: tuple[int, ...],
        result: np.dtype,
        keepdims: bool = False,
        divisor: float = 1,
        centre_stride: int = 0,
    ) -> None:
        self.shape = tuple(1 if axis in axes else size for axis, size in enumerate(shape) if keepdims or axis not in axes)
        self.dtype = result
        self.make = memory.maker(self.shape, result)
        self.divisor = float(divisor) if result.kind == "f" else int(divisor)
        self.rest: Plan | None = None
        self.parts: tuple[int, int] | None = None
        self.items = 0
        self.fill = operation.empty
        if 0 in shape:
            return
        self.fill = None
        kept = [(shape[a], strides[a]) for a in range(len(shape)) if a not in axes]
        reduced, base = _reordered([(shape[a], strides[a]) for a in axes])
        column = _column_dimension(kept, reduced)
        if column is None:
            self._along_rows(operation, dtype, kept, reduced, base, centre_stride)
        else:
            self._down_columns(operation, dtype, kept, column, reduced, base, centre_stride)

    def _along_rows(self, operation, dtype, kept, reduced, base, centre_stride) -> None:
        outputs = prod(size for size, _ in kept)
        sizes, (strides,) = merge_dimensions([s for s, _ in kept], [[s for _, s in kept]])
        *outer, (length, stride) = reduced
        runs = prod(size for size, _ in outer)
        runs_per_part, chunk = runs, length
        if outputs < ITEMS and runs * length > PART:
            if length > PART:
                runs_per_part, chunk = 1, _even_share(length, PART, BLOCK)
            else:
                runs_per_part = max(1, PART // length)
        parts_per_run = -(-length // chunk)
        parts = -(-runs // runs_per_part) * parts_per_run
        header = [len(sizes), centre_stride, base, parts, parts_per_run, chunk]
        header += [runs, runs_per_part, length, stride, len(outer)]
        pairs = [*zip(reversed(sizes), reversed(strides), strict=True), *reversed(outer)]
        self.table = np.array(header + [n for pair in pairs for n in pair], np.int64)
        self.items = outputs * parts
        self.work = runs_per_part * chunk * operation.weight
        first_step = operation.partial if parts > 1 else operation
        self.kernel = row_kernel(first_step, dtype, self.dtype)
        if parts > 1:
            self._then(operation, (outputs, parts), 1, centre_stride)

    def _down_columns(self, operation, dtype, kept, column, reduced, base, centre_stride) -> None:
        outputs = prod(size for size, _ in kept)
        places = [prod(size for size, _ in kept[i + 1 :]) for i in range(len(kept))]
        order = sorted(range(len(kept)), key=lambda i: (i == column, -abs(kept[i][1])))
        sizes, (strides, places) = merge_dimensions(
            [kept[i][0] for i in order], [[kept[i][1] for i in order], [places[i] for i in order]]
        )
        columns = sizes[-1]
        rows = prod(size for size, _ in reduced)
        *outer, (inner_rows, row_stride) = reduced
        width = _even_share(columns, TILE, 16)
        tiles = -(-columns // width)
        rows_per_part = _even_share(rows, _part_rows(rows, width, tiles * outputs // columns), BLOCK_ROWS)
        parts = -(-rows // rows_per_part)
        header = [len(sizes) - 1, centre_stride, base, parts, rows_per_part, rows, tiles, width]
        header += [columns, strides[-1], places[-1], outputs, inner_rows, row_stride, len(outer)]
        triples = zip(reversed(sizes[:-1]), reversed(strides[:-1]), reversed(places[:-1]), strict=True)
        tail = [n for triple in triples for n in triple] + [n for pair in reversed(outer) for n in pair]
        self.table = np.array(header + tail, np.int64)
        self.items = outputs // columns * parts * tiles
        self.work = rows_per_part * width * operation.weight
        first_step = operation.partial if parts > 1 else operation
        self.kernel = column_kernel(first_step, dtype, self.dtype)
        if parts > 1:
            self._then(operation, (parts, outputs), 0, centre_stride)

    def _then(self, operation: Operation, parts: tuple[int, int], axis: int, centre_stride: int) -> None:
        """Reduce the parts' results by another plan."""
        self.parts = parts
        self.make_parts = memory.maker(parts, self.dtype)
        self.rest = Plan(
            operation.combined,
            parts,
            (parts[1], 1),
            self.dtype,
            (axis,),
            self.dtype,
            divisor=self.divisor,
            centre_stride=centre_stride,
        )
        self.divisor = type(self.divisor)(1)

    def caller(self) -> Callable[..., np.ndarray]:
        """`call(x, first, second)`: allocate the result and run. Short, for small arrays spend their time here."""
        make, shape, dtype, fill = self.make, self.shape, self.dtype, self.fill
        if not self.items:

            def nothing(x: np.ndarray, first: object = None, second: object = None) -> np.ndarray:
                out = make(shape, dtype)
                if fill is not None:
                    out.fill(fill)
                return out

            return nothing
        kernel, items, table, divisor, total = self.kernel, self.items, self.table, self.divisor, self.items * self.work

        def call(x: np.ndarray, first: np.ndarray | None = None, second: np.ndarray | None = None) -> np.ndarray:
            out = make(shape, dtype)
            if total < launch.parallel_work:
                kernel.start(0, items, x, out if first is None else first, out if second is None else second, out, table, divisor)
            else:
                self.into(x, out if first is None else first, out if second is None else second, out)
            return out

        def in_parts(x: np.ndarray, first: np.ndarray | None = None, second: np.ndarray | None = None) -> np.ndarray:
            out = make(shape, dtype)
            self.into(x, out if first is None else first, out if second is None else second, out)
            return out

        return call if self.rest is None else in_parts

    def into(self, x: np.ndarray, first: np.ndarray, second: np.ndarray, out: np.ndarray) -> None:
        """Run on memory that exists; operations without centres take any array for `first` and `second`."""
        if self.rest is None:
            self.kernel(self.items, x, first, second, out, self.table, self.divisor, work=self.work)
        else:
            partial = self.make_parts(self.parts, self.dtype)  # pyright: ignore[reportArgumentType]
            self.kernel(self.items, x, first, second, partial, self.table, self.divisor, work=self.work)
            self.rest.into(partial, first, second, out)


def _reordered(reduced: list[Dimension]) -> tuple[list[Dimension], int]:
    """Reduced dimensions merged, the smallest step last, and where to start so that all steps are forward.

    The order of the elements of a reduction is free; dimensions with stride 0 go outermost, for theirs is no step at all.
    """
    base = sum((size - 1) * stride for size, stride in reduced if stride < 0)
    forward = [(size, abs(stride)) for size, stride in reduced]
    forward.sort(key=lambda pair: (pair[1] != 0, -pair[1]))
    sizes, (strides,) = merge_dimensions([s for s, _ in forward], [[s for _, s in forward]])
    return list(zip(sizes, strides, strict=True)) or [(1, 0)], base


def _column_dimension(kept: list[Dimension], reduced: list[Dimension]) -> int | None:
    """Which kept dimension to run along, or None to run along the reduced ones: whichever steps through memory closer."""
    candidates = [i for i, (size, stride) in enumerate(kept) if stride and size > 1]
    if not candidates:
        return None
    best = min(candidates, key=lambda i: abs(kept[i][1]))
    length, step = reduced[-1]
    if length == 1:
        return best
    if step and (step <= abs(kept[best][1]) or kept[best][0] < _NARROW):
        return None
    return best


def _even_share(total: int, limit: int, multiple: int) -> int:
    """Cut `total` into equal shares of at most `limit`, rounded up to a multiple; all of it where it fits."""
    if total <= limit:
        return total
    share = -(-total // -(-total // limit))
    return min(-(-share // multiple) * multiple, total)


def _part_rows(rows: int, width: int, tiles: int) -> int:
    """At most how many rows one item of down_columns should take."""
    limit = min(rows, ROWS_PER_ITEM)
    if tiles < ITEMS and rows * width * tiles > 2 * PART:
        enough = max(PART // 2 // width, BLOCK_ROWS)  # fewer are not worth an item of their own
        limit = min(limit, max(-(-rows * tiles // ITEMS), enough))
    return limit
