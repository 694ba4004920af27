# ruff: noqa: F821 - a kernel's own type is called T
"""The loops of matrix multiplication; `kernels.cpu.matmul` decides which runs and on what.

All read their operands in place, through any strides, and take what is the same for every call of a kind as one array
`sizes`:

    0 rows   1 columns   2 depth   3 a_row   4 a_step   5 b_step   6 b_column   7 out_row   8 add_bias
    9 items per matrix   10 whether items are groups of columns, not rows
    11 rows to treat together   12 steps of the depth to treat together
    13 batch dimensions, then for each of them, fastest first: size, stride in a, in b, in out

(strides in elements; `a_step` and `b_step` lead along the inner dimension). A work item is PANEL columns or ROW_GROUP
rows of one matrix of the batch. Every element of the result is summed in the same order, however the items are spread.

The two kernels for large matrices work on one matrix and one band of it, and read from the tenth number on:

    9 whether to add to what `out` holds   10 steps of the depth that are packed together   11 groups of HEIGHT rows too
    12 to 15 where the band begins in b, a, out and bias
"""

from kernels.cpu.compiler import inlined, kernel
from kernels.cpu.scratch import scratch
from kernels.cpu.simd import DEPTH, HEIGHT, ROW_GROUP, dot_rows, multiply_rows, pack_panel
from kernels.cpu.simd import DEPTH_PANEL_float32 as DEPTH_PANEL  # a kernel sees those of its own type
from kernels.cpu.simd import LANES_float32 as LANES
from kernels.cpu.simd import PANEL_float32 as PANEL
from kernels.cpu.simd import TILE_float32 as TILE
from kernels.cpu.simd import WIDE_float32 as WIDE


def cost_of(low, high, a, b, out, bias, sizes):
    """(operations, bytes) of a launch, for the profiler."""
    return _cost(sizes, (high - low) / sizes[9], out.itemsize)


def packed_cost(low, high, a, packed, out, bias, room, sizes):
    """(operations, bytes) of a launch of `matmul_packed`."""
    return _cost(sizes, min((high - low) * HEIGHT / sizes[0], 1), out.itemsize)


def _cost(sizes, share, itemsize):
    rows, columns, depth = (int(size) for size in sizes[:3])
    touched = (rows * depth + depth * columns + rows * columns) * itemsize
    return int(2 * rows * columns * depth * share), int(touched * share)


@inlined
def places(batch, sizes):
    """Where matrix number `batch` begins in a, in b and in out."""
    a_at, b_at, out_at = 0, 0, 0
    for d in range(sizes[13]):
        at = 14 + 4 * d
        index = batch % sizes[at]
        batch //= sizes[at]
        a_at, b_at, out_at = a_at + index * sizes[at + 1], b_at + index * sizes[at + 2], out_at + index * sizes[at + 3]
    return a_at, b_at, out_at


_IMPORTS = """from kernels.cpu.scratch import scratch
from kernels.cpu.simd import DEPTH, HEIGHT, ROW_GROUP, dot_rows, multiply_rows, pack_panel
from kernels.cpu.simd import DEPTH_PANEL_{T} as DEPTH_PANEL, LANES_{T} as LANES, PANEL_{T} as PANEL
from kernels.cpu.simd import TILE_{T} as TILE, WIDE_{T} as WIDE
"""


@kernel(uses=[places], imports=_IMPORTS, cost=cost_of)
def matmul_direct(low: "int64", high: "int64", a: "T*", b: "T*", out: "T*", bias: "T*", sizes: "int64*"):
    """Products of small or narrow matrices: nothing is packed but a panel of `b` at a time, on the stack."""
    panel = scratch(T, DEPTH_PANEL)
    depth, a_row, a_step, b_step, b_column, out_row = sizes[2], sizes[3], sizes[4], sizes[5], sizes[6], sizes[7]
    while low < high:
        batch = low // sizes[9]
        first, last = low - batch * sizes[9], min(high - batch * sizes[9], sizes[9])
        low += last - first
        a_at, b_at, out_at = places(batch, sizes)
        row_low, row_high, column_low, column_high = 0, sizes[0], 0, sizes[1]
        if sizes[10]:
            column_low, column_high = first * PANEL, min(last * PANEL, column_high)
        else:
            row_low, row_high = first * ROW_GROUP, min(last * ROW_GROUP, row_high)
        # Steps of the depth are taken together as deep as a panel may be, or, to read a large `b` in the order in which
        # it lies in memory, a few at a time for all columns.
        for row in range(row_low, row_high, sizes[11]):
            rows = min(sizes[11], row_high - row)
            for stretch in range(0, max(depth, 1), sizes[12]):
                stretch_end = min(stretch + sizes[12], depth)
                for column in range(column_low, column_high, PANEL):
                    columns = min(PANEL, column_high - column)
                    place = out_at + row * out_row + column
                    for step in range(stretch, max(stretch_end, 1), DEPTH):
                        steps = min(DEPTH, stretch_end - step)
                        left = a_at + row * a_row + step * a_step
                        right = b_at + step * b_step + column * b_column
                        add_bias = 0 if step else sizes[8]
                        if columns == PANEL and b_column == 1 and rows <= 32:  # so few rows that packing does not pay
                            multiply_rows(
                                15, 2, rows, columns, steps, a, left, a_row, a_step, b, right, b_step,
                                out, place, out_row, step, bias, column, add_bias,
                            )  # fmt: skip
                        elif columns > LANES:
                            pack_panel(0, panel, 0, PANEL, b, right, b_column, b_step, columns, steps)
                            multiply_rows(
                                15, 2, rows, columns, steps, a, left, a_row, a_step, panel, 0, PANEL,
                                out, place, out_row, step, bias, column, add_bias,
                            )  # fmt: skip
                        else:
                            pack_panel(0, panel, 0, LANES, b, right, b_column, b_step, columns, steps)
                            multiply_rows(
                                15, 1, rows, columns, steps, a, left, a_row, a_step, panel, 0, LANES,
                                out, place, out_row, step, bias, column, add_bias,
                            )  # fmt: skip


@kernel(uses=[places], imports=_IMPORTS, cost=cost_of)
def matmul_vector(low: "int64", high: "int64", a: "T*", b: "T*", out: "T*", bias: "T*", sizes: "int64*"):
    """A row times a matrix, whose memory is read once, in its own order. An item is PANEL columns."""
    panel = scratch(T, DEPTH_PANEL)
    depth, a_step, b_step, b_column = sizes[2], sizes[4], sizes[5], sizes[6]
    while low < high:
        batch = low // sizes[9]
        first, last = low - batch * sizes[9], min(high - batch * sizes[9], sizes[9])
        low += last - first
        a_at, b_at, out_at = places(batch, sizes)
        column_low, column_high = first * PANEL, min(last * PANEL, sizes[1])
        deepest = DEPTH_PANEL if b_step == 1 else sizes[12]
        for step in range(0, max(depth, 1), deepest):
            steps = min(deepest, depth - step)
            add_bias = 0 if step else sizes[8]
            left = a_at + step * a_step
            if b_step == 1:
                if a_step != 1:
                    for k in range(steps):
                        panel[k] = a[left + k * a_step]
                x, x_at = (a, left) if a_step == 1 else (panel, 0)
                dot_rows(
                    column_high - column_low, steps, b, b_at + step + column_low * b_column, b_column, x, x_at,
                    out, out_at + column_low, step, bias, column_low, add_bias,
                )  # fmt: skip
                continue
            column = column_low
            while column < column_high:
                columns = min(PANEL, column_high - column)
                right = b_at + step * b_step + column * b_column
                if b_column == 1 and column + WIDE <= column_high:
                    columns = WIDE
                    multiply_rows(
                        1, 4, 1, columns, steps, a, left, 0, a_step, b, right, b_step,
                        out, out_at + column, 0, step, bias, column, add_bias,
                    )  # fmt: skip
                else:
                    source, source_at, source_step = b, right, b_step
                    if b_column != 1 or columns < PANEL:
                        pack_panel(0, panel, 0, PANEL, b, right, b_column, b_step, columns, steps)
                        source, source_at, source_step = panel, 0, PANEL
                    multiply_rows(
                        1, 2, 1, columns, steps, a, left, 0, a_step, source, source_at, source_step,
                        out, out_at + column, 0, step, bias, column, add_bias,
                    )  # fmt: skip
                column += columns


@kernel(imports=_IMPORTS)
def matmul_pack(low: "int64", high: "int64", b: "T*", packed: "T*", sizes: "int64*"):
    """Lay out `b` as panels, a block of the depth after the other, each as a tile reads it. An item is a panel."""
    columns, depth, b_step, b_column, deepest = sizes[1], sizes[2], sizes[5], sizes[6], sizes[10]
    panels = (columns + PANEL - 1) // PANEL
    for step in range(0, depth, deepest):
        steps = min(deepest, depth - step)
        for p in range(low, high):
            first = sizes[12] + step * b_step + p * PANEL * b_column
            place = step * panels * PANEL + p * steps * PANEL
            pack_panel(0, packed, place, PANEL, b, first, b_column, b_step, min(columns - p * PANEL, PANEL), steps)


@kernel(imports=_IMPORTS, cost=packed_cost)
def matmul_packed(
    low: "int64", high: "int64", a: "T*", packed: "T*", out: "T*", bias: "T*", room: "T*", sizes: "int64*"
):
    """Products of large matrices: `b` comes packed by `matmul_pack`, blocks of `a` are packed into `room`.

    An item is HEIGHT rows. A panel of `packed` stays in the nearest cache while a block of `a` passes by from the next.
    """
    edge = scratch(T, TILE)
    rows, columns, depth, a_row, a_step = sizes[0], sizes[1], sizes[2], sizes[3], sizes[4]
    out_row, deepest = sizes[7], sizes[10]
    panels = (columns + PANEL - 1) // PANEL
    for step in range(0, depth, deepest):
        steps = min(deepest, depth - step)
        accumulate, add_bias = (1, 0) if step or sizes[9] else (0, sizes[8])
        for block in range(low, high, sizes[11]):
            block_end = min(block + sizes[11], high)
            for group in range(block, block_end):
                first = sizes[13] + group * HEIGHT * a_row + step * a_step
                height = min(HEIGHT, rows - group * HEIGHT)
                pack_panel(HEIGHT, room, group * HEIGHT * deepest, HEIGHT, a, first, a_row, a_step, height, steps)
            for p in range(panels):
                panel = step * panels * PANEL + p * steps * PANEL
                width = min(PANEL, columns - p * PANEL)
                for group in range(block, block_end):
                    height = min(HEIGHT, rows - group * HEIGHT)
                    place = sizes[14] + group * HEIGHT * out_row + p * PANEL
                    if height == HEIGHT:
                        multiply_rows(
                            0, 2, HEIGHT, width, steps, room, group * HEIGHT * deepest, 1, HEIGHT, packed, panel, PANEL,
                            out, place, out_row, accumulate, bias, sizes[15] + p * PANEL, add_bias,
                        )  # fmt: skip
                        continue
                    multiply_rows(
                        0, 2, HEIGHT, width, steps, room, group * HEIGHT * deepest, 1, HEIGHT, packed, panel, PANEL,
                        edge, 0, PANEL, 0, bias, sizes[15] + p * PANEL, add_bias,
                    )  # fmt: skip
                    for i in range(height):
                        for j in range(width):
                            before = out[place + i * out_row + j] if accumulate else T(0)
                            out[place + i * out_row + j] = before + edge[i * PANEL + j]


SUM_OF_PRODUCTS = "@_inlined\ndef include(total, x, y):\n    return total + x * y"
ANY_OF_BOTH = "@_inlined\ndef include(total, x, y):\n    return total | (x & y)"


def matmul_exact(low: "int64", high: "int64", a: "T*", b: "T*", out: "T*", bias: "T*", sizes: "int64*"):
    """Products of integers, which wrap around, and of bools: 64 x 64 blocks of `b` are copied to the stack."""
    block = scratch(T, 4096)
    depth, a_row, a_step, b_step, b_column, out_row = sizes[2], sizes[3], sizes[4], sizes[5], sizes[6], sizes[7]
    while low < high:
        batch = low // sizes[9]
        first, last = low - batch * sizes[9], min(high - batch * sizes[9], sizes[9])
        low += last - first
        a_at, b_at, out_at = places(batch, sizes)
        row_low, row_high, column_low, column_high = 0, sizes[0], 0, sizes[1]
        if sizes[10]:
            column_low, column_high = first * PANEL, min(last * PANEL, column_high)
        else:
            row_low, row_high = first * ROW_GROUP, min(last * ROW_GROUP, row_high)
        for column in range(column_low, column_high, 64):
            columns = min(64, column_high - column)
            for i in range(row_low, row_high):
                for j in range(column, column + columns):
                    out[out_at + i * out_row + j] = bias[j] if sizes[8] else 0
            for step in range(0, depth, 64):
                steps = min(64, depth - step)
                for k in range(steps):
                    for j in range(columns):
                        block[k * 64 + j] = b[b_at + (step + k) * b_step + (column + j) * b_column]
                for i in range(row_low, row_high):
                    place = out_at + i * out_row + column
                    for k in range(steps):
                        factor = a[a_at + i * a_row + (step + k) * a_step]
                        for j in range(columns):
                            out[place + j] = include(out[place + j], factor, block[k * 64 + j])


_EXACT_IMPORTS = """from kernels.cpu.scratch import scratch
from kernels.cpu.simd import ROW_GROUP, PANEL_float32 as PANEL
"""
_exact = {"imports": _EXACT_IMPORTS, "cost": cost_of}
matmul_integers = kernel(uses=[places, SUM_OF_PRODUCTS], name="matmul_integers", **_exact)(matmul_exact)
matmul_bools = kernel(uses=[places, ANY_OF_BOTH], name="matmul_bools", **_exact)(matmul_exact)
