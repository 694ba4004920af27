"""The loops of all reductions: one along rows, one down columns.

The four lines of an `Operation` (`kernels.reduction`) are put into two generic loops:

- `along_rows`: each output combines runs of elements that lie next to each other (or a stride apart). Blocks of 1024
  run in vector registers (128 where there is a stride), the blocks' results are combined pairwise: the error of a sum grows
  with log(n).
- `down_columns`: neighbouring outputs are neighbours in memory too, so whole rows are combined into a tile of totals,
  eight rows at a time, and blocks of 64 rows pairwise.

What is where comes as a table of integers, made once per layout by `reduce_plan`: sizes and strides in elements.
"""

import numpy as np

from kernels import launch
from kernels.cpu.compiler import REASSOCIATE, Template
from kernels.reduction import Operation

# Shared with reduce_plan, which guarantees what the scratch memory below relies on.
BLOCK = 1024  # elements of a row that are summed in registers before they become one term of a pairwise sum
BLOCK_ROWS = 64
TILE = 512  # columns
ROWS_PER_ITEM = 8192  # at most, in down_columns: 128 blocks, so 8 tiles of pairwise totals
# ruff: noqa: F821  (T, A, scratch, prepare, combine, ... are names of the generated module)

_IMPORTS = "from math import inf\nfrom kernels.cpu.scratch import scratch"
_EXACT = (
    '_exact = njit(forceinline=True, no_cpython_wrapper=True, no_cfunc_wrapper=True, **{**OPTIONS, "fastmath": {"contract"}})\n\n'
)


def _helpers(operation: Operation) -> str:
    """The lines as functions that a loop calls. What is combined may be reordered, the rest is left as written."""
    return (
        f"{_EXACT}@_inlined\ndef combine(a, b):\n    return {operation.combine}\n\n"
        f"@_inlined\ndef identity():\n    return {operation.identity}\n\n"
        f"@_exact\ndef prepare(v, first, second):\n    return {operation.prepare}\n\n"
        f"@_exact\ndef finish(total, first, divisor):\n    return {operation.finish}\n\n"
        f"@_exact\ndef settled(total):\n    return {operation.settled}\n"
    )


_kernels: dict[tuple, launch.Kernel] = {}


def row_kernel(operation: Operation, dtype: np.dtype, result: np.dtype) -> launch.Kernel:
    """`along_rows` for an operation from elements of `dtype` to totals of type `result`."""
    return _specialised(along_rows, "rows", operation, dtype, result)


def column_kernel(operation: Operation, dtype: np.dtype, result: np.dtype) -> launch.Kernel:
    """`down_columns` for an operation from elements of `dtype` to totals of type `result`."""
    return _specialised(down_columns, "columns", operation, dtype, result)


def _specialised(loop, suffix: str, operation: Operation, dtype: np.dtype, result: np.dtype) -> launch.Kernel:
    key = (loop, operation, dtype, result)
    kernel = _kernels.get(key)
    if kernel is None:
        template = Template(
            loop,
            uses=[_helpers(operation)],
            fastmath=REASSOCIATE,
            imports=_IMPORTS,
            name=f"{operation.name}_{suffix}",
        )
        kernel = _kernels[key] = template[storage(dtype), storage(result)]
    return kernel


def storage(dtype: np.dtype) -> np.dtype:
    """Kernels see a bool as the byte it is in memory."""
    return np.dtype(np.uint8) if dtype == np.bool_ else dtype


# The table of along_rows: 0 kept dimensions, 1 stride of first and second, 2 base, 3 parts per output, 4 parts per run,
# 5 elements per part, 6 runs, 7 runs per part, 8 elements of a run, 9 their stride, 10 outer reduced dimensions; then
# (size, stride) of each kept and each outer reduced dimension, innermost first.


def along_rows(low: "int64", high: "int64", x: "T*", first: "A*", second: "A*", out: "A*", table: "int64*", divisor: "A"):
    kept, centre_stride, base, parts, parts_per_run, chunk = table[0], table[1], table[2], table[3], table[4], table[5]
    runs, runs_per_part, length, stride, outer = table[6], table[7], table[8], table[9], table[10]
    stack = scratch(A, 64)
    block = 1024 if stride == 1 else 128  # without vector registers, which share the terms out, blocks are shorter
    for item in range(low, high):
        output, run_low, run_high, start, end = item, 0, runs, 0, length
        if parts > 1:
            output = item // parts
            part = item - output * parts
            run_low = part // parts_per_run * runs_per_part
            run_high = min(run_low + runs_per_part, runs)
            start = part % parts_per_run * chunk
            end = min(start + chunk, length)
        at = base
        rest = output
        for k in range(kept):
            size = table[11 + 2 * k]
            at += (rest % size) * table[12 + 2 * k]
            rest //= size
        a = first[output * centre_stride]
        b = second[output * centre_stride]
        blocks = 0
        depth = 0
        for run in range(run_low, run_high):
            run_at = at
            rest = run
            for k in range(kept, kept + outer):
                size = table[11 + 2 * k]
                run_at += (rest % size) * table[12 + 2 * k]
                rest //= size
            for begin in range(start, end, block):
                count = min(end - begin, block)
                total = identity()
                if stride == 1:
                    for j in range(run_at + begin, run_at + begin + count):
                        total = combine(total, prepare(x[j], a, b))
                else:
                    for j in range(count):
                        total = combine(total, prepare(x[run_at + (begin + j) * stride], a, b))
                blocks += 1
                pairs = blocks
                while pairs & 1 == 0:
                    depth -= 1
                    total = combine(stack[depth], total)
                    pairs >>= 1
                stack[depth] = total
                depth += 1
                if settled(total):
                    break
        while depth > 1:
            depth -= 1
            stack[depth - 1] = combine(stack[depth - 1], stack[depth])
        out[item] = finish(stack[0], a, divisor)


# The table of down_columns: 0 kept outer dimensions, 1 stride of first and second, 2 base, 3 parts, 4 rows per part,
# 5 rows, 6 tiles, 7 columns per tile, 8 columns, 9 their stride, 10 their stride in the result, 11 outputs, 12 rows of
# the innermost reduced dimension, 13 their stride, 14 outer reduced dimensions; then (size, stride, stride in the result)
# of each outer kept dimension and (size, stride) of each outer reduced dimension, innermost first.


def down_columns(low: "int64", high: "int64", x: "T*", first: "A*", second: "A*", out: "A*", table: "int64*", divisor: "A"):
    kept, centre_stride, base, parts, rows_per_part, rows = table[0], table[1], table[2], table[3], table[4], table[5]
    tiles, tile_width, columns, step, out_step, outputs = table[6], table[7], table[8], table[9], table[10], table[11]
    inner_rows, row_stride, outer = table[12], table[13], table[14]
    reduced_at = 15 + 3 * kept
    stack = scratch(A, 4096)
    a = scratch(A, 512)
    b = scratch(A, 512)
    for item in range(low, high):
        rest = item // tiles
        column = (item - rest * tiles) * tile_width
        width = min(tile_width, columns - column)
        output = rest // parts
        part = rest - output * parts
        at = base + column * step
        out_at = column * out_step
        for k in range(kept):
            size = table[15 + 3 * k]
            digit = output % size
            at += digit * table[16 + 3 * k]
            out_at += digit * table[17 + 3 * k]
            output //= size
        for c in range(width):
            a[c] = first[(out_at + c * out_step) * centre_stride]
            b[c] = second[(out_at + c * out_step) * centre_stride]
        out_at += part * outputs
        row = part * rows_per_part
        row_end = min(row + rows_per_part, rows)
        blocks = 0
        depth = 0
        finished = False
        while not finished:
            total = depth * 512
            for c in range(width):
                stack[total + c] = identity()
            block_end = min(row + 64, row_end)
            while row < block_end:
                rest = row // inner_rows
                inner_row = row - rest * inner_rows
                together = min(block_end - row, inner_rows - inner_row)
                row_at = at + inner_row * row_stride
                for k in range(outer):
                    size = table[reduced_at + 2 * k]
                    row_at += (rest % size) * table[reduced_at + 1 + 2 * k]
                    rest //= size
                row += together
                for _ in range(together >> 2):
                    at1 = row_at + row_stride
                    at2 = at1 + row_stride
                    at3 = at2 + row_stride
                    for c in range(width):
                        v01 = combine(prepare(x[row_at + c * step], a[c], b[c]), prepare(x[at1 + c * step], a[c], b[c]))
                        v23 = combine(prepare(x[at2 + c * step], a[c], b[c]), prepare(x[at3 + c * step], a[c], b[c]))
                        stack[total + c] = combine(stack[total + c], combine(v01, v23))
                    row_at = at3 + row_stride
                for _ in range(together & 3):
                    for c in range(width):
                        stack[total + c] = combine(stack[total + c], prepare(x[row_at + c * step], a[c], b[c]))
                    row_at += row_stride
            blocks += 1
            depth += 1
            pairs = blocks
            finished = row >= row_end
            while depth > 1 and (finished or pairs & 1 == 0):
                depth -= 1
                below = depth * 512 - 512
                for c in range(width):
                    stack[below + c] = combine(stack[below + c], stack[below + 512 + c])
                pairs >>= 1
        for c in range(width):
            out[out_at + c * out_step] = finish(stack[c], a[c], divisor)
