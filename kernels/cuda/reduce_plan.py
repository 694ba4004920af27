"""How a reduction of a given layout runs on the GPU: which kernels, on what grid, with which sizes and strides.

A `Plan` depends on the layout (and on where in 16 bytes the first element lies), never on the device, so that the bits of
a result do not either. Long reductions with few outputs are cut into parts for many blocks; the parts' results are written
to memory and reduced by a second plan.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import prod
from typing import Any

import numpy as np

from kernels.cuda.array import BFLOAT16, DeviceArray, empty
from kernels.cuda.compiler import Kernel, dtype_name
from kernels.cuda.reduce_kernels import MOST_DIMENSIONS, ROWS, Variant, kernel_for
from kernels.cuda.reduce_places import THREADS, WARP
from kernels.layout import merge_dimensions
from kernels.reduction import Operation, operation_for

Dimension = tuple[int, int]  # size and stride in elements

VECTOR_BYTES = 16
WIDEST = 8  # elements of a vector, in `columns`: each has a total of its own
FULL = 1024  # blocks: with fewer, multiprocessors are idle
MOST_PARTS = 8192  # blocks that a reduction is cut into, about
PART = 1 << 13  # elements of a part, at least: enough for a block to be worth its start
LONGEST = 1 << 18  # elements of a part of a row, at most: more would add up errors
LONG = 1024  # elements of a row from which on a block works on it, not a warp
MANY = 1 << 14  # rows: enough for threads to have several loads each
SHORT = 256  # elements of a row below which loads of single elements are as good
NARROW = 1 << 31  # outputs, or elements of a row, that 32 bits can number


class Geometry:
    """A layout with dimensions merged and steps made forward: what is kept, what is reduced, and how to walk them.

    kept: (size, stride, stride in the result), slowest first; reduced: (size, stride), smallest step last. base: elements
    from the array's first to the one where the walk starts. columns: whether to walk along outputs; then the last of `kept`
    is the dimension to walk along. fits: whether a kernel has dimensions enough.
    """

    __slots__ = ("base", "columns", "fits", "kept", "length", "outputs", "reduced")

    def __init__(self, shape: tuple[int, ...], strides: tuple[int, ...], axes: tuple[int, ...], ordered: bool = False) -> None:
        kept = [a for a in range(len(shape)) if a not in axes]
        self.outputs = prod(shape[a] for a in kept)
        self.length = prod(shape[a] for a in axes)
        self.reduced, self.base = _forward([(shape[a], strides[a]) for a in axes], ordered)
        places = [prod(shape[a] for a in kept[i + 1 :]) for i in range(len(kept))]
        column = _column([(shape[a], strides[a]) for a in kept], self.reduced)
        self.columns = column is not None
        order = list(range(len(kept)))
        if self.columns:
            order.sort(key=lambda i: (i == column, -abs(strides[kept[i]])))
        sizes, (steps, places) = merge_dimensions(
            [shape[kept[i]] for i in order], [[strides[kept[i]] for i in order], [places[i] for i in order]]
        )
        self.kept = list(zip(sizes, steps, places, strict=True)) or [(1, 0, 1)]
        self.fits = len(self.kept) <= MOST_DIMENSIONS and len(self.reduced) <= MOST_DIMENSIONS

    def padded(self) -> tuple[int, int, tuple[int, ...], tuple[int, ...]]:
        """(kept dimensions, reduced dimensions, arguments for `Places`, arguments `place0`, ...) of a kernel that fits.

        There are kernels for 1, 2 and 4 dimensions; a missing one has size 1.
        """
        counts = [1 if len(d) <= 1 else 2 if len(d) == 2 else MOST_DIMENSIONS for d in (self.kept, self.reduced)]
        kept = [*self.kept[::-1], *[(1, 0, 0)] * (counts[0] - len(self.kept))]
        reduced = [*self.reduced[::-1], *[(1, 0)] * (counts[1] - len(self.reduced))]
        arguments = [size for size, _, _ in kept[:-1]] + [step for _, step, _ in kept]
        arguments += [size for size, _ in reduced[:-1]] + [stride for _, stride in reduced]
        return counts[0], counts[1], tuple(arguments), tuple([place for _, _, place in kept])

    def width_of(self, most: int) -> int:
        """The widest vector, of `most` elements at most, that everything is a multiple of; or `most` for rows in one piece."""
        size, step = self.kept[-1][:2] if self.columns else self.reduced[-1]
        if step != 1:
            return 1
        steps = [s for _, s, _ in self.kept] + [s for _, s in self.reduced]
        steps.remove(1)
        for width in (16, 8, 4, 2):
            if width <= most and not any(n % width for n in (size, *steps)):
                return width
        return 1


def _forward(dimensions: list[Dimension], ordered: bool) -> tuple[list[Dimension], int]:
    """Dimensions merged, the smallest step last, and where to start so that all steps are forward; or in order as they are.

    The order of the elements of a reduction is free; dimensions with stride 0 go outermost.
    """
    if ordered:
        sizes, (strides,) = merge_dimensions([n for n, _ in dimensions], [[s for _, s in dimensions]])
        return list(zip(sizes, strides, strict=True)) or [(1, 0)], 0
    base = sum((size - 1) * stride for size, stride in dimensions if stride < 0)
    forward = sorted(((size, abs(stride)) for size, stride in dimensions), key=lambda pair: (pair[1] != 0, -pair[1]))
    sizes, (strides,) = merge_dimensions([n for n, _ in forward], [[s for _, s in forward]])
    return list(zip(sizes, strides, strict=True)) or [(1, 0)], base


def _column(kept: list[Dimension], reduced: list[Dimension]) -> int | None:
    """Which kept dimension to walk along, or None to walk along the reduced ones: whichever steps through memory closer."""
    candidates = [i for i, (size, stride) in enumerate(kept) if stride and size > 1]
    if not candidates:
        return None
    best = min(candidates, key=lambda i: abs(kept[i][1]))
    length, step = reduced[-1]
    return best if length == 1 or not step or abs(step) > abs(kept[best][1]) else None


def bits_above(number: int) -> int:
    """The least power of two, as its exponent, that is not below `number`."""
    return (number - 1).bit_length()


def alignment_of(x: DeviceArray) -> int:
    """The largest power of two, up to 16, that the address of the first element is a multiple of."""
    place = x.pointer | VECTOR_BYTES
    return place & -place


def row_vectors(geometry: Geometry, element: np.dtype, most: int) -> tuple[int, bool]:
    """(elements of a load along rows, whether rows begin where such a load cannot)."""
    width, full = geometry.width_of(most), VECTOR_BYTES // element.itemsize
    in_one_piece = len(geometry.reduced) == 1 and geometry.reduced[0][1] == 1
    if width < full and in_one_piece and geometry.length >= SHORT:
        return full, True
    return width, False


def row_parts(geometry: Geometry, element: np.dtype, most: int) -> tuple[int, int]:
    """(parts that a row is cut into, elements of a part, a multiple of a block's loads)."""
    outputs, length = geometry.outputs, geometry.length
    if length <= LONGEST and (length < 4 * PART or outputs >= FULL):
        return 1, length
    parts = max(min(-(-length // PART), -(-most // outputs)), -(-length // LONGEST))
    return _rounded(length, parts, THREADS * VECTOR_BYTES // element.itemsize)


def takes_block(geometry: Geometry) -> bool:
    """Whether a block works on a row, or on a part of one."""
    return geometry.length > 2 * LONG or (geometry.length > LONG and geometry.outputs < FULL)


def unroll_for(operation: Operation, element: np.dtype, width: int, form: str) -> int:
    """How many loads a thread has under way: fewer of long ones, and of those that much is calculated with."""
    if operation.weight > 4:
        return 1
    if operation.weight > 1 and element.itemsize == 8:
        return 2
    return 4 if width * element.itemsize >= 8 else 8


def lanes_of(outputs: int, vectors: int, width: int, peel: bool, unroll: int) -> tuple[str, int]:
    """("short" or "lanes", lanes as an exponent) for rows of some vectors: where rows are many, a lane has several loads."""
    most = bits_above(WARP)
    if vectors <= WARP and not peel and (width > 1 or outputs < MANY):
        return "short", bits_above(vectors)
    lanes = min(bits_above(-(-vectors // unroll) if outputs >= MANY else vectors), most)
    return "lanes", max(lanes, bits_above(width)) if peel else lanes


def column_parts(geometry: Geometry, width: int, unroll: int, most: int) -> tuple[int, int, int, int]:
    """(lanes of a block along columns, as an exponent; tiles of columns; parts that rows are cut into; rows of a part)."""
    vectors, length = geometry.outputs // width, geometry.length
    groups = min(bits_above(-(-length // unroll)), bits_above(THREADS) - min(bits_above(vectors), bits_above(WARP)))
    lanes = bits_above(THREADS) - groups
    tiles = -(-vectors // (1 << lanes))
    batch = unroll << groups  # rows that a block has under way
    if length <= 256 * batch and (tiles >= FULL or length < 8 * batch):
        return lanes, tiles, 1, length
    parts = max(min(-(-length // (2 * batch)), -(-most // tiles)), -(-length // (256 * batch)))
    return lanes, tiles, *_rounded(length, parts, batch)


def _rounded(length: int, parts: int, multiple: int) -> tuple[int, int]:
    """About `parts` equal parts: their number, and their length, a multiple of `multiple`."""
    even = -(-length // parts)
    part_length = -(-even // multiple) * multiple
    return -(-length // part_length), part_length


class Plan:
    """A reduction of one layout, ready to run: `plan(x, first, second, number)`.

    `first` and `second` are arrays of one number per output, `number` is a single one, where the operation needs them.
    """

    __slots__ = (
        "base",
        "centre",
        "divisor",
        "grid",
        "kernel",
        "partial",
        "rest",
        "result",
        "shape",
        "shifted",
        "tail",
        "variant",
    )

    def __init__(
        self,
        operation: Operation,
        shape: tuple[int, ...],
        strides: tuple[int, ...],
        element: np.dtype,
        total: np.dtype,
        result: np.dtype,
        axes: tuple[int, ...],
        out_shape: tuple[int, ...],
        divisor: float = 1,
        centre: str = "none",
        alignment: int = VECTOR_BYTES,
    ) -> None:
        """alignment: a power of two (of bytes) that the address of the first element is a multiple of."""
        self.shape, self.result, self.divisor = out_shape, result, divisor
        self.rest: Plan | None = None
        self.partial: tuple[tuple[int, ...], np.dtype] | None = None
        geometry = Geometry(shape, strides, axes)
        assert geometry.fits
        self.base = geometry.base * element.itemsize
        kept, reduced, arguments, places = geometry.padded()
        wide = max(geometry.outputs, geometry.length) >= NARROW
        most = alignment // element.itemsize if not self.base % VECTOR_BYTES else 1
        self.variant = Variant(
            operation, dtype_name(element), dtype_name(total), dtype_name(result), "columns" if geometry.columns else "lanes",
            width=1, unroll=1, kept=kept, reduced=reduced, wide=wide, centre=centre,
        )  # fmt: skip
        self.shifted = 0  # where in the tail a row's distance from a good place for a vector stands
        if geometry.columns:
            parts = self._down_columns(geometry, element, min(most, WIDEST), arguments + places)
        else:
            parts = self._along_rows(geometry, element, most, arguments)
        if parts > 1:
            first_step = replace(operation, finish="total", name=f"{operation.name}_part")
            rest = replace(operation, prepare="v", name=f"{operation.name}_rest") if operation.prepare != "A(v)" else operation
            self.variant = replace(self.variant, operation=first_step, result=self.variant.total)
            partial = (parts, geometry.outputs) if geometry.columns else (geometry.outputs, parts)
            axis = 0 if geometry.columns else 1
            self.partial = partial, total
            self.rest = Plan(
                rest, partial, (partial[1], 1), total, total, result, (axis,), out_shape, divisor,
                "none" if centre == "element" else centre,
            )  # fmt: skip
        self.kernel: Kernel = kernel_for(self.variant)

    def _along_rows(self, geometry: Geometry, element: np.dtype, most: int, arguments: tuple[int, ...]) -> int:
        outputs, length = geometry.outputs, geometry.length
        width, peel = row_vectors(geometry, element, most)
        parts, part_length = row_parts(geometry, element, MOST_PARTS)
        vectors = -(-length // width)
        if takes_block(geometry):
            form, self.grid, self.tail = "block", outputs * parts, (outputs, length, parts, part_length)
        else:
            form, lanes = lanes_of(outputs, vectors, width, peel, unroll_for(self.variant.operation, element, width, "lanes"))
            self.grid = -(-outputs // ((THREADS >> lanes) * (ROWS if form == "short" else 1)))
            self.tail = (outputs, length, lanes)
        self._specialise(element, form, width, peel)
        self.shifted = len(self.tail) if peel else 0
        self.tail += ((0,) if peel else ()) + arguments
        return parts

    def _down_columns(self, geometry: Geometry, element: np.dtype, most: int, arguments: tuple[int, ...]) -> int:
        width = geometry.width_of(most)
        unroll = self._specialise(element, "columns", width, False)
        lanes, tiles, parts, part_length = column_parts(geometry, width, unroll, MOST_PARTS)
        self.grid = tiles * parts
        self.tail = (geometry.outputs, geometry.length, parts, part_length, lanes, *arguments)
        self.variant = replace(self.variant, dense=geometry.kept[-1][2] == 1)
        return parts

    def _specialise(self, element: np.dtype, form: str, width: int, peel: bool) -> int:
        unroll = 1 if form == "short" else unroll_for(self.variant.operation, element, width, form)
        self.variant = replace(self.variant, form=form, width=width, peel=peel, unroll=unroll)
        return unroll

    def __call__(
        self, x: DeviceArray, first: DeviceArray | None = None, second: DeviceArray | None = None, number: float = 0
    ) -> DeviceArray:
        """Reduce an array of this layout."""
        if self.rest is not None and self.partial is not None:
            between = empty(*self.partial, x.device)
            self._start(x, first, second, between, number)
            return self.rest(between, first, second, number)
        out = empty(self.shape, self.result, x.device)
        self._start(x, first, second, out, number)
        return out

    def _start(self, x, first, second, out: DeviceArray, number: float) -> None:
        variant, tail = self.variant, self.tail
        if self.base:
            x = x._view(x.pointer + self.base, (1,), (x.itemsize,))
        arguments = [x]
        if variant.uses_first and variant.centre == "array":
            arguments.append(first)
        if variant.uses_second:
            arguments.append(second)
        arguments.append(out)
        if variant.divides:
            arguments.append(self.divisor)
        if variant.uses_first and variant.centre == "number":
            arguments.append(number)
        if self.shifted:
            place = x.pointer // x.itemsize % variant.width
            tail = (*tail[: self.shifted], place, *tail[self.shifted + 1 :])
        self.kernel(self.grid, *arguments, *tail)


# --- for the tests of what the compiler makes of this ------------------------------------------------------------------


def _sample(name: str, element: Any, total: Any, result: Any, form: str, width: int, **options: Any) -> Callable[[], Kernel]:
    def make() -> Kernel:
        dtype = np.dtype(element)
        operation = operation_for(name, dtype if dtype.kind != "V" else np.dtype(np.float16), np.dtype(result))
        given: dict[str, Any] = {"kept": 1, "reduced": 1, "unroll": unroll_for(operation, dtype, width, form)} | options
        names = dtype_name(dtype), dtype_name(np.dtype(total)), dtype_name(np.dtype(result))
        return kernel_for(Variant(operation, *names, form=form, width=width, **given))

    return make


_F32, _F64, _I8, _I64 = np.float32, np.float64, np.int8, np.int64
VARIANTS: list[Callable[[], Kernel]] = [
    _sample("sum", _F32, _F32, _F32, "block", 4),
    _sample("sum", _F32, _F32, _F32, "block", 4, peel=True),
    _sample("sum", _F32, _F32, _F32, "block", 1, kept=2, reduced=2),
    _sample("sum", _F32, _F32, _F32, "lanes", 4),
    _sample("sum", _F32, _F32, _F32, "short", 4),
    _sample("sum", _F32, _F32, _F32, "short", 1),
    _sample("sum", _F32, _F32, _F32, "columns", 4),
    _sample("sum", _F32, _F32, _F32, "columns", 1, kept=4, reduced=4, dense=False, wide=True),
    _sample("sum", _F64, _F64, _F64, "block", 2),
    _sample("sum", np.float16, _F32, np.float16, "block", 8),
    _sample("sum", BFLOAT16, _F32, BFLOAT16, "columns", 8),
    _sample("sum", _I8, _I64, _I64, "block", 16, peel=True),
    _sample("max", _F32, _F32, _F32, "columns", 4),
    _sample("max", _I8, _I8, _I8, "lanes", 16),
    _sample("min", np.uint16, np.uint16, np.uint16, "columns", 8),
    _sample("prod", np.uint64, np.uint64, np.uint64, "short", 2),
    _sample("any", _F32, np.int32, np.bool_, "block", 4),
    _sample("all", np.bool_, np.int32, np.bool_, "columns", 8),
    _sample("count_nonzero", _F32, _I64, _I64, "lanes", 4),
    _sample("shifted_mean", _F32, _F32, _F32, "block", 4, peel=True, centre="element"),
    _sample("var", _F32, _F32, _F32, "columns", 4, centre="element"),
    _sample("std", _F32, _F32, _F32, "lanes", 4, centre="element"),
    _sample("std", _F64, _F64, _F64, "columns", 2, centre="element"),
    _sample("logsumexp", _F32, _F32, _F32, "block", 4, centre="array"),
    _sample("logsumexp", _F32, _F32, _F32, "columns", 4, centre="array"),
    _sample("logsumexp", _F64, _F64, _F64, "short", 2, centre="array"),
    _sample("norm 2", _F32, _F32, _F32, "short", 4),
    _sample("norm inf", _F32, _F32, _F32, "block", 4),
    _sample("norm p", _F32, _F32, _F32, "block", 4, centre="number"),
]
PROMISES: dict[str, tuple[str, ...]] = {
    "sum_block[float32_float32_WIDTH4*": ("LDG.E.128", "SHFL.BFLY", "BAR.SYNC"),
    "sum_block_peeled[int64_int8*": ("LDG.E.128",),
    "sum_lanes[*WIDTH4*": ("LDG.E.128", "SHFL.BFLY"),
    "sum_short[*WIDTH4*": ("LDG.E.128", "SHFL.BFLY"),
    "sum_columns[float32_float32_WIDTH4*": ("LDG.E.128", "STG.E.128"),
    "max_columns[*": ("LDG.E.128", "FMNMX.NAN"),
    "logsumexp_block[*": ("LDG.E.128", "MUFU.EX2"),
}
