"""Matrix multiplication on the CPU.

What a call needs besides the arithmetic (checking shapes, broadcasting the batch, choosing a kernel) depends only on
the operands' layouts: it is worked out once, kept as a `Plan`, and looked up by calls that come the same way again.
"""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from kernels import launch, memory
from kernels.cpu import matmul_kernels
from kernels.cpu.simd import DEPTH, HEIGHT, ROW_GROUP, PANEL_float32, PANEL_float64
from kernels.layout import Layout, layout_of, merge_dimensions
from kernels.products import batch_shape, batch_strides, check_bias, check_operands, check_out

_PLANS = 1 << 13  # plans kept; a program with endless new shapes must not fill the memory
_FEW_ROWS = 3  # so few rows are multiplied one by one
_IN_PLACE_ROWS = 32  # so few rows read `b` in place where they can, instead of packing it
_NEAR_CACHE = 1 << 19  # bytes of `a` that are treated together: half of a usual second-level cache
_FAR_CACHE = 1 << 23  # bytes of `b` from which on it comes from memory
_LARGE = 1024  # the smallest of the three sizes from which on `a` is packed too, where its rows lie in one piece
_LARGE_TRANSPOSED = 2560  # bytes: the same where its columns do, and every step of the depth is in another place
_DEEPEST = 384  # steps of the depth that are packed together for large products, and of these and columns in a band
_BAND_DEPTH, _BAND_COLUMNS = 8 * _DEEPEST, 2048
_PANELS = {np.dtype(np.float32): PANEL_float32, np.dtype(np.float64): PANEL_float64}
_CHUNKS = 4 * launch.available_threads()
_ndarray = np.ndarray


class Plan:
    """How the product of two operands of given layouts is computed.

    `call(a, b, bias)` allocates and returns the result; `fill(a, b, out, bias)` writes it into memory that exists.
    """

    __slots__ = ("shape", "dtype", "make", "kernel", "items", "work", "total", "sizes", "large", "swapped")

    def __init__(self, a: Layout, b: Layout, bias: bool, out_strides: tuple[int, ...] | None = None) -> None:
        check_operands(a, b, bias)
        rows, depth, columns = (a.shape[-2] if a.ndim > 1 else 1), a.shape[-1], (b.shape[-1] if b.ndim > 1 else 1)
        batch = batch_shape(a, b)
        self.shape = batch + a.shape[-2:-1] + (b.shape[-1:] if b.ndim > 1 else ())
        self.dtype = a.dtype
        self.make = memory.maker(self.shape, self.dtype)
        strides = out_strides if out_strides is not None else _dense_strides(self.shape)
        out_row = strides[len(batch)] if a.ndim > 1 else 0
        a_row, a_step = (a.strides[-2] if a.ndim > 1 else 0), a.strides[-1]
        b_step, b_column = (b.strides[-2], b.strides[-1]) if b.ndim > 1 else (b.strides[-1], 1)
        batches = [*batch_strides(a, b, batch), strides[: len(batch)]]
        # A matrix times a column is a row times the transposed matrix.
        self.swapped = columns == 1 and rows > 1 and (out_row == 1 or not strides)
        if self.swapped:
            rows, columns = columns, rows
            a_row, a_step, b_step, b_column = b_column, b_step, a_step, a_row
            batches[:2] = batches[1::-1]
        if rows <= _FEW_ROWS and self.dtype in _PANELS:
            batch, batches = (
                (*batch, rows),
                [(*own, row) for own, row in zip(batches, (a_row, 0, out_row), strict=True)],
            )
            rows = min(rows, 1)
        numbers = [rows, columns, depth, a_row, a_step, b_step, b_column, out_row, int(bias)]
        self.kernel = _kernel_for(self.dtype, rows == 1)
        self.sizes, per_matrix = self._sizes(numbers, batch, batches)
        self.items = per_matrix * prod(batch) if rows and columns else 0
        self.work = 1 + rows * columns * depth // (5 * per_matrix) if self.items else 1
        self.total = self.items * self.work
        self.large = None
        large = _LARGE if a_step == 1 else _LARGE_TRANSPOSED // self.dtype.itemsize
        if self.dtype in _PANELS and min(rows, columns, depth) >= large:
            self.large, self.total = Large(numbers, self.dtype, self.shape[:-2]), launch.NEVER

    def _sizes(
        self, numbers: list[int], batch: tuple[int, ...], batches: list[tuple[int, ...]]
    ) -> tuple[np.ndarray, int]:
        """What the kernel reads as `sizes`, and the number of items per matrix."""
        rows, columns, depth, b_column = *numbers[:3], numbers[6]
        panel, itemsize = _PANELS.get(self.dtype, PANEL_float32), self.dtype.itemsize
        row_groups, column_groups = max(-(-rows // ROW_GROUP), 1), max(-(-columns // panel), 1)
        # Every thread packs what it needs of `b`: with a share of the columns that is a share of `b` too.
        by_columns = rows == 1 or column_groups >= min(row_groups, _CHUNKS)
        # Rows that are treated together are read again for every panel.
        together = rows if columns <= panel else max(512, _NEAR_CACHE // (max(depth, 1) * itemsize) // 64 * 64)
        # A large `b` is read in the order in which it lies in memory, if that order is by rows.
        streamed = rows <= _IN_PLACE_ROWS and b_column == 1 and depth * columns * itemsize > _FAR_CACHE
        stretch = (8 if rows == 1 else 16) if streamed else DEPTH if rows == 1 else max(depth, 1)
        walk, walked = merge_dimensions(batch, batches)
        steps = [number for d in reversed(range(len(walk))) for number in (walk[d], *(w[d] for w in walked))]
        per_matrix = column_groups if by_columns else row_groups
        more = [per_matrix, int(by_columns), max(together, 1), stretch, len(walk), *steps]
        return np.array([*numbers, *more], np.int64), per_matrix

    def call(self, a: np.ndarray, b: np.ndarray, bias: np.ndarray | None = None) -> np.ndarray:
        """The product, in new memory."""
        out = self.make(self.shape, self.dtype)
        self.fill(a, b, out, bias)
        return out

    def fill(self, a: np.ndarray, b: np.ndarray, out: np.ndarray, bias: np.ndarray | None = None) -> None:
        """Write the product into `out`, which has the strides that the plan was made for."""
        if self.swapped:
            a, b = b, a
            bias = None if bias is None else np.repeat(bias, self.sizes[1])
        if self.large is not None:
            self.large.fill(a, b, out, bias)
        elif self.items:
            self.kernel(self.items, a, b, out, out if bias is None else bias, self.sizes, work=self.work)


class Large:
    """Products of large matrices, one matrix of the batch at a time: pack a band of `b`, multiply it by all of `a`."""

    __slots__ = ("batch", "bands", "pack", "multiply", "packed_size", "room_size", "dtype", "rows")

    def __init__(self, numbers: list[int], dtype: np.dtype, batch: tuple[int, ...]) -> None:
        rows, columns, depth, a_row, a_step, b_step, b_column, out_row, bias = numbers
        panel = _PANELS[dtype]
        self.batch, self.dtype, self.rows = batch, dtype, rows
        self.pack, self.multiply = matmul_kernels.matmul_pack[dtype], matmul_kernels.matmul_packed[dtype]
        together = max(1, _NEAR_CACHE // (_DEEPEST * dtype.itemsize) // HEIGHT)
        self.bands = []
        for step in range(0, depth, _BAND_DEPTH):
            steps = min(_BAND_DEPTH, depth - step)
            for column in range(0, columns, _BAND_COLUMNS):
                width = min(_BAND_COLUMNS, columns - column)
                sizes = [rows, width, steps, a_row, a_step, b_step, b_column, out_row, bias if step == 0 else 0]
                sizes += [step, _DEEPEST, together]
                sizes += [step * b_step + column * b_column, step * a_step, column, column]
                self.bands.append((-(-width // panel), steps, np.array(sizes, np.int64)))
        room = [panels * panel * (steps + _DEEPEST) for panels, steps, _ in self.bands]
        self.packed_size, self.room_size = max(room), -(-rows // HEIGHT) * HEIGHT * _DEEPEST

    def fill(self, a: np.ndarray, b: np.ndarray, out: np.ndarray, bias: np.ndarray | None) -> None:
        packed, room = memory.empty((self.packed_size,), self.dtype), memory.empty((self.room_size,), self.dtype)
        if self.batch:
            a, b = (np.broadcast_to(x, self.batch + x.shape[-2:]) for x in (a, b))
        groups = -(-self.rows // HEIGHT)
        for index in np.ndindex(self.batch):
            left, right, result = a[index], b[index], out[index]
            for panels, steps, sizes in self.bands:
                work = steps * _PANELS[self.dtype]
                self.pack(panels, right, packed, sizes, work=work)
                args = (left, packed, result, result if bias is None else bias, room, sizes)
                self.multiply(groups, *args, work=int(sizes[1]) * steps * HEIGHT // 5)


def _kernel_for(dtype: np.dtype, one_row: bool) -> launch.Kernel:
    if dtype == np.bool_:
        return matmul_kernels.matmul_bools[dtype]
    if dtype not in _PANELS:
        return matmul_kernels.matmul_integers[dtype]
    return (matmul_kernels.matmul_vector if one_row else matmul_kernels.matmul_direct)[dtype]


def _dense_strides(shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(prod(shape[axis + 1 :]) for axis in range(len(shape)))


_plans: dict[tuple, Plan] = {}
memory.on_change(_plans.clear)


def plan_for(a: Layout, b: Layout, bias: bool = False) -> Plan:
    """The plan for operands that come like this (layouts from `kernels.layout.layout_of`, all `aligned`)."""
    key = (a, b, bias)
    return _plans.get(key) or _remember(key, Plan(a, b, bias))


def _remember(key: tuple, plan: Plan) -> Plan:
    if len(_plans) >= _PLANS:
        _plans.clear()
    return _plans.setdefault(key, plan)


def matmul(a: np.ndarray, b: np.ndarray, out: np.ndarray | None = None, bias: np.ndarray | None = None) -> np.ndarray:
    """The matrix product, with the meaning of `matmul` in the Array API and NumPy.

    Args:
        a: shape (..., m, k), or (k,) for a single row.
        b: shape (..., k, n), or (k,) for a single column. Batch dimensions broadcast.
        out: memory for the result, (..., m, n) without the dimensions that a vector leaves out; it is overwritten.
        bias: shape (n,), added to every row of the result.

    Both operands have the same dtype, which is the result's: float32, float64, an integer (sums wrap around) or bool
    (or of ands). Any strides are read in place; sums run in an order that depends on the sizes alone.

    Raises:
        TypeError: dtypes differ, or are none of these.
        ValueError: sizes do not fit; `out` has the wrong shape, or is read-only.

    >>> import numpy as np
    >>> matmul(np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([1.0, 10.0]))
    array([21., 43.])
    """
    if out is None and bias is None and type(a) is _ndarray is type(b):
        key = (a.shape, a.strides, b.shape, b.strides, a.dtype, b.dtype)
        plan = _plans.get(key)
        if plan is not None and plan.total < launch.parallel_work:
            out = plan.make(plan.shape, plan.dtype)
            if plan.swapped:
                a, b = b, a
            plan.kernel.start(0, plan.items, a, b, out, out, plan.sizes)
            return out
        if plan is not None:
            return plan.call(a, b)
    return _matmul(a, b, out, bias)


def _usable(array: Any) -> np.ndarray:
    """The operand as an array whose elements lie whole numbers of elements apart."""
    array = np.asarray(array)
    return array if layout_of(array).aligned and array.flags.aligned else array.copy()


def _matmul(a: Any, b: Any, out: np.ndarray | None, bias: np.ndarray | None) -> np.ndarray:
    """Every call that is not the common one, or is its first time."""
    a, b = _usable(a), _usable(b)
    plan = plan_for(layout_of(a), layout_of(b), bias is not None)
    if bias is not None:
        bias = _checked_bias(bias, plan)
    if out is None:
        if bias is None:
            _remember((a.shape, a.strides, b.shape, b.strides, a.dtype, b.dtype), plan)
        return plan.call(a, b, bias)
    check_out(out, plan.shape, plan.dtype)
    layout = layout_of(out)
    in_rows = b.ndim == 1 or out.shape[-1] <= 1 or layout.strides[-1] == 1
    if in_rows and layout.aligned and not any(np.may_share_memory(out, x) for x in (a, b, bias)):
        into = plan if layout.contiguous else Plan(layout_of(a), layout_of(b), bias is not None, layout.strides)
        if into.swapped == plan.swapped:
            into.fill(a, b, out, bias)
            return out
    out[...] = plan.call(a, b, bias)
    return out


def _checked_bias(bias: np.ndarray, plan: Plan) -> np.ndarray:
    check_bias(bias, plan.shape, plan.dtype)
    return np.ascontiguousarray(bias)
