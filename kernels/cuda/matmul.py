"""Matrix multiplication on the GPU.

What a call needs besides the arithmetic depends on the operands' layouts alone: it is worked out once and kept as a `Plan`,
as on the CPU. A plan knows which family of kernels fits, and cuts the depth in parts where the result is too small to keep
the device busy; which loads can be vectors is seen from the pointers of each call.
"""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from kernels import memory
from kernels.cuda import data, runtime
from kernels.cuda.array import DeviceArray, empty, from_interface, parse_device
from kernels.cuda.compiler import dtype_name
from kernels.cuda.matmul_variants import (
    TENSOR_TILES,
    THREADS,
    TILES,
    Ending,
    Tile,
    activation_formula,
    columns_kernel,
    combine_kernel,
    computed_in,
    rows_kernel,
    shared_kernel,
    tensor_kernel,
    tile_kernel,
)
from kernels.layout import Layout, layout_of, merge_dimensions
from kernels.products import batch_shape, batch_strides, check_bias, check_operands, check_out

_PLANS = 1 << 13  # plans kept; a program with endless new shapes must not fill the memory
_SHORTEST_PART = 256  # steps of the depth that are worth a part of their own, and a second pass over the result
_MOST_PARTS = 64
_FEW_ROWS = 64  # so few rows are summed by whole blocks, not by warps, where the depth is long
_PRECISIONS = {
    "float32": ("float32", "tf32", "3xtf32"), "float64": ("float64",), "float16": ("float16",), "bfloat16": ("bfloat16",),
}  # fmt: skip


class Operand:
    """A batch of matrices as the kernels see it: lines of neighbours, `along` the depth or across it."""

    __slots__ = ("along", "inner", "line", "outer", "unit")

    def __init__(self, position: int, step: int, positions: int, depth: int) -> None:
        """Strides from one row of `a` (column of `b`) to the next, and from one step of the depth to the next."""
        self.along = step == 1 or depth <= 1
        self.line = position if self.along else step
        self.unit = depth if self.along else positions  # elements of a line
        self.outer = self.inner = 0
        if not self.along and position != 1 and positions > 1:
            raise NeedsCopy

    def allows(self, vector: int) -> bool:
        """Whether all vectors of so many neighbours are whole, and lie at multiples of their size from the first."""
        return not any(number % vector for number in (self.line, self.unit, self.outer, self.inner))


class NeedsCopy(Exception):
    """No stride of an operand's matrices is 1, or its batch has too many dimensions."""


class Plan:
    """How the product of two operands of given layouts is computed: `fill(a, b, out, bias)` does it."""

    __slots__ = (
        "_choices", "_choose", "_numbers", "_tail", "bias_size", "combine", "count", "dtype", "ending", "parts", "shape",
        "swapped", "vector",
    )  # fmt: skip

    def __init__(self, a: Layout, b: Layout, result: np.dtype, bias: bool, precision: str, activation: str) -> None:
        rows, depth, columns = (a.shape[-2] if a.ndim > 1 else 1), a.shape[-1], (b.shape[-1] if b.ndim > 1 else 1)
        batch = batch_shape(a, b)
        self.shape, self.dtype = batch + a.shape[-2:-1] + (b.shape[-1:] if b.ndim > 1 else ()), result
        self.count, self.bias_size = prod(self.shape), columns
        stored = dtype_name(a.dtype)
        self.ending = ending = Ending(stored, dtype_name(result), bias, activation)
        self.vector = 16 // a.dtype.itemsize
        a_row, a_step = (a.strides[-2] if a.ndim > 1 else 0), a.strides[-1]
        b_step, b_column = (b.strides[-2], b.strides[-1]) if b.ndim > 1 else (b.strides[-1], 1)
        steps = batch_strides(a, b, batch)
        if not any(steps[1]):  # one matrix `b` for all: the batch is more rows, where they follow each other
            sizes, (own,) = merge_dimensions((*batch, rows), [(*steps[0], a_row)])
            if len(sizes) == 1:
                rows, a_row, batch, steps = sizes[0], own[0], (), [(), ()]
            elif not sizes:
                batch, steps = (), [(), ()]
        batch, steps = merge_dimensions(batch, steps)
        if len(batch) > 2:
            raise NeedsCopy
        items = prod(batch)
        inner = batch[-1] if batch else 1
        walks = [(own[0] if len(own) > 1 else 0, own[-1] if own else 0) for own in steps]
        self._choices: dict[tuple, Any] = {}
        self.parts, self.swapped = 1, False
        device = parse_device(a.device)
        busy = 2 * runtime.current().multiprocessors(device)
        if computed_in(stored) in ("int64", "uint64"):
            kernel = shared_kernel(ending)
            tiles = -(-rows // 16) * -(-columns // 16)
            self._numbers = (rows, columns, depth, a_row, a_step, b_step, b_column, inner, *walks[0], *walks[1])
            self._tail, self._choose = (), lambda aligned: (kernel, tiles * items)
            return
        if rows == 1 or columns == 1:
            self._plan_vector(rows, columns, depth, (a_row, a_step), (b_column, b_step), walks, inner, items, busy)
        else:
            left, right = Operand(a_row, a_step, rows, depth), Operand(b_column, b_step, columns, depth)
            (left.outer, left.inner), (right.outer, right.inner) = walks
            self._plan_matrix(left, right, rows, columns, depth, inner, items, busy, precision)

    def _parts(self, depth: int, blocks: int, busy: int, unit: int) -> int:
        """How the depth is cut so that the device is busy; gives the length of a part, a multiple of `unit`."""
        wanted = min(busy // max(blocks, 1), depth // _SHORTEST_PART, _MOST_PARTS)
        length = max(-(-depth // max(wanted, 1)), 1)
        length = -(-length // unit) * unit
        self.parts = max(-(-depth // length), 1)
        return length

    def _sums(self) -> Ending:
        """The ending of the kernel that comes first: where there are parts, sums are finished by `matmul_combine`."""
        if self.parts == 1:
            return self.ending
        compute = computed_in(self.ending.stored)
        self.combine = combine_kernel(self.ending)
        return Ending(self.ending.stored, compute)

    def _plan_vector(self, rows, columns, depth, of_a, of_b, walks, inner, items, busy) -> None:
        """A matrix times a vector: `rows` is the number of results, the matrix may be either operand."""
        self.swapped = rows == 1
        (position, step), (_, x_step) = (of_b, of_a) if self.swapped else (of_a, of_b)
        rows = columns if self.swapped else rows
        bias_step = int(self.swapped)
        if x_step != 1 and depth > 1:
            raise NeedsCopy
        matrix = Operand(position, step, rows, depth)
        (matrix.outer, matrix.inner), vector_walk = walks[:: -1 if self.swapped else 1]
        whole = matrix.allows(self.vector) and (not matrix.along or not any(number % self.vector for number in vector_walk))
        wide = self.vector
        if matrix.along:
            lanes = THREADS if rows * items <= _FEW_ROWS and depth >= THREADS * wide else 32
            blocks = -(-rows // (THREADS // lanes)) * items
            chunk = self._parts(depth, blocks, busy, lanes * wide)
            sums = self._sums()

            def choose(aligned: tuple[bool, bool, bool]) -> tuple:
                return rows_kernel(sums, wide if whole and aligned[0] and aligned[1] else 1, lanes), (blocks, self.parts)
        else:
            blocks = -(-rows // (32 * (wide if whole else 1))) * items
            chunk = self._parts(depth, blocks, busy, 1)
            sums = self._sums()

            def choose(aligned: tuple[bool, bool, bool]) -> tuple:
                width = wide if whole and aligned[0] else 1
                return columns_kernel(sums, width), (-(-rows // (32 * width)) * items, self.parts)

        self._choose = choose
        self._numbers = (rows, depth, matrix.line, inner, matrix.outer, matrix.inner, *vector_walk)
        self._tail = (bias_step, chunk, rows * items)

    def _plan_matrix(self, left, right, rows, columns, depth, inner, items, busy, precision) -> None:
        tensor = self.ending.stored not in TILES or precision in ("tf32", "3xtf32")
        family = precision if precision in TENSOR_TILES else "16"
        tile, blocks = _tile_for(TENSOR_TILES[family] if tensor else TILES[self.ending.stored], rows, columns, items, busy)
        chunk = self._parts(depth, blocks, busy, tile.steps)
        sums = self._sums()
        whole = left.allows(self.vector), right.allows(self.vector)
        out_width = (2 if tensor else self.vector) if columns % (2 if tensor else self.vector) == 0 else 1

        def choose(aligned: tuple[bool, bool, bool]) -> tuple:
            vectors = [w and here for w, here in zip(whole, aligned, strict=False)]
            width = out_width if aligned[2] or self.parts > 1 else 1
            if tensor:
                products = 3 if precision == "3xtf32" else 1
                kernel = tensor_kernel(sums, tile, products, left.along, right.along, vectors[0], vectors[1], width)
            else:
                widths = [self.vector if v else 1 for v in vectors]
                kernel = tile_kernel(sums, tile, left.along, right.along, widths[0], widths[1], width)
            return kernel, (blocks, self.parts)

        self._choose = choose
        self._numbers = (rows, columns, depth, left.line, right.line, inner, left.outer, left.inner, right.outer, right.inner)
        self._tail = (chunk, rows * columns * items)

    def fill(self, a: DeviceArray, b: DeviceArray, out: DeviceArray, bias: DeviceArray | None) -> None:
        """Write the product into `out`, which is C-ordered and shares no memory with the operands."""
        if not self.count:
            return
        if self.swapped:
            a, b = b, a
        aligned = (not a.pointer & 15, not b.pointer & 15, not out.pointer & 15)
        chosen = self._choices.get(aligned)
        if chosen is None:
            chosen = self._choices[aligned] = self._choose(aligned)
        kernel, grid = chosen
        if self.parts == 1:
            kernel(grid, a, b, bias, out, *self._numbers, *self._tail)
            return
        compute = np.dtype(computed_in(self.ending.stored))
        room = empty((self.parts, self.count), compute, a.device)
        kernel(grid, a, b, None, room, *self._numbers, *self._tail)
        self.combine(-(-self.count // THREADS), room, bias, out, self.count, self.bias_size, self.parts)


def _tile_for(tiles: tuple[Tile, ...], rows: int, columns: int, items: int, busy: int) -> tuple[Tile, int]:
    """The largest tile with which there are blocks for all multiprocessors, or the smallest; and how many blocks."""
    for tile in tiles:
        blocks = -(-rows // tile.rows) * -(-columns // tile.columns) * items
        if 2 * blocks >= busy:
            break
    return tile, blocks  # pyright: ignore[reportPossiblyUnboundVariable]


_plans: dict[tuple, Plan | None] = {}
memory.on_change(_plans.clear)


def plan_for(
    a: Layout, b: Layout, bias: bool = False, result: np.dtype | None = None, precision: str = "", activation: str = ""
) -> Plan | None:
    """The plan for operands that come like this; None where they must be copied first (see `NeedsCopy`)."""
    key = (a, b, bias, result, precision, activation)
    if key not in _plans:
        check_operands(a, b, bias, halves=True)
        _check_precision(dtype_name(a.dtype), precision)
        if activation:
            activation_formula(activation)
            if computed_in(dtype_name(a.dtype)) in ("int64", "uint64"):
                raise TypeError(f"matmul: activation {activation!r} is for floating-point operands, got {a.dtype}")
        if len(_plans) >= _PLANS:
            _plans.clear()
        try:
            _plans[key] = Plan(a, b, result if result is not None else a.dtype, bias, precision, activation)
        except NeedsCopy:
            _plans[key] = None
    return _plans[key]


def _check_precision(dtype: str, precision: str) -> None:
    allowed = _PRECISIONS.get(dtype, ())
    if precision and precision not in allowed:
        raise ValueError(f"matmul: precision {precision!r} is none for {dtype} operands; expected None{_listed(allowed)}")


def _listed(names: tuple[str, ...]) -> str:
    return "".join(f" or {name!r}" for name in names)


def matmul(
    a: Any,
    b: Any,
    out: DeviceArray | None = None,
    bias: Any = None,
    precision: str | None = None,
    activation: str | None = None,
) -> DeviceArray:
    """The matrix product, with the meaning of `matmul` in the Array API and NumPy.

    Args:
        a: shape (..., m, k), or (k,) for a single row.
        b: shape (..., k, n), or (k,) for a single column. Batch dimensions broadcast.
        bias: shape (n,), added to every row of the result.
        out: memory for the result, (..., m, n) without the dimensions that a vector leaves out; it is overwritten. For
            float16 and bfloat16 operands it may be float32.
        precision: of float32 products. None and "float32": every product and sum in float32. "3xtf32": on tensor cores,
            each operand split in two; as accurate, but infinities may give NaN. "tf32": on tensor cores, operands rounded
            to 10 bits of fraction.
        activation: the name of a formula of one number ("relu", "gelu", "silu", "tanh", ...), applied to the result.

    Both operands have the same dtype, which is the result's: float16, bfloat16 (summed in float32), float32, float64, an
    integer (sums wrap around) or bool (or of ands). Operands whose rows or columns lie in one piece are read in place,
    others are copied. Sums run in an order that depends on the sizes and the device alone.

    Raises:
        TypeError: dtypes differ, or are none of these.
        ValueError: sizes do not fit; `out` has the wrong shape, or is read-only; there is no such precision or activation.
        RuntimeError: the operands are on different devices.
    """
    a, b = _as_array(a), _as_array(b)
    if a.device != b.device:
        raise RuntimeError(f"matmul: operands are on {a.device} and {b.device}; bring them to one device")
    result = out.dtype if out is not None and a.dtype.kind in "Vf" and a.itemsize == 2 and out.dtype == np.float32 else None
    precision, activation = precision or "", activation or ""
    plan = plan_for(layout_of(a), layout_of(b), bias is not None, result, precision, activation)
    if plan is None:
        a, b = _simple(a, b)
        plan = plan_for(layout_of(a), layout_of(b), bias is not None, result, precision, activation)
        assert plan is not None
    if bias is not None:
        bias = _as_array(bias)
        check_bias(bias, plan.shape, a.dtype)
        bias = bias if bias.flags.c_contiguous and bias.flags.aligned else data.copy(bias)
    if out is None:
        out = empty(plan.shape, plan.dtype, a.device)
        plan.fill(a, b, out, bias)
        return out
    check_out(out, plan.shape, plan.dtype)
    if layout_of(out).contiguous and not any(x is not None and x.shares_memory(out) for x in (a, b, bias)):
        plan.fill(a, b, out, bias)
        return out
    made = empty(plan.shape, plan.dtype, a.device)
    plan.fill(a, b, made, bias)
    return data.copy(made, out=out)


def _as_array(operand: Any) -> DeviceArray:
    """The operand as a device array whose elements lie whole numbers of elements apart."""
    if not isinstance(operand, DeviceArray):
        if not hasattr(operand, "__cuda_array_interface__"):
            raise TypeError(
                f"matmul: operands are arrays on the device, got {type(operand).__name__}; bring arrays there with "
                "kernels.cuda.from_numpy"
            )
        operand = from_interface(operand)
    return operand if operand.flags.aligned else data.copy(operand)


def _simple(a: DeviceArray, b: DeviceArray) -> tuple[DeviceArray, DeviceArray]:
    """Both operands in a form that every plan takes: C-ordered, their batches stretched where there are several steps."""
    batch = batch_shape(layout_of(a), layout_of(b))
    both = []
    for x in (a, b):
        if len(batch) > 2 and x.ndim > 2:
            x = x.broadcast_to(batch + x.shape[-2:])
        both.append(data.copy(x))
    return both[0], both[1]
