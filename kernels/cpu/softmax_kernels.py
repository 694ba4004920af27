"""The loops of softmax and log_softmax: along contiguous rows, and down tiles of columns.

Sums run in blocks, so that a row of a million entries keeps its accuracy. A maximum of -inf (a fully masked row) shifts
by 0 instead, for -inf - -inf would be NaN.
"""

from kernels.cpu.compiler import REASSOCIATE, kernel

_IMPORTS = """from numpy import inf
from kernels.cpu.math_nonpositive import EXP_NONPOSITIVE
from kernels.cpu.scratch import difference, scratch"""
_options = {"fastmath": REASSOCIATE, "imports": _IMPORTS, "uses": ["exp_nonpositive = EXP_NONPOSITIVE[T]\n"]}

# ruff: noqa: F821  (T, exp_nonpositive, log, maximum, inf and scratch are names of the generated module)


@kernel(**_options)
def softmax_rows(low: "int64", high: "int64", x: "T*", out: "T*", length: "int64", row_stride: "int64"):
    for row in range(low, high):
        at = row * row_stride
        to = row * length
        largest = T(-inf)
        for j in range(length):
            largest = maximum(largest, x[at + j])
        shift = T(0) if largest == T(-inf) else largest
        total = T(0)
        for begin in range(0, length, 1024):
            part = T(0)
            for j in range(begin, min(begin + 1024, length)):
                e = exp_nonpositive(x[at + j] - shift)
                out[to + j] = e
                part += e
            total += part
        scale = T(0) if total == T(0) else T(1) / total
        for j in range(length):
            out[to + j] *= scale


@kernel(**_options)
def log_softmax_rows(low: "int64", high: "int64", x: "T*", out: "T*", length: "int64", row_stride: "int64"):
    for row in range(low, high):
        at = row * row_stride
        to = row * length
        largest = T(-inf)
        for j in range(length):
            largest = maximum(largest, x[at + j])
        shift = T(0) if largest == T(-inf) else largest
        total = T(0)
        for begin in range(0, length, 1024):
            part = T(0)
            for j in range(begin, min(begin + 1024, length)):
                part += exp_nonpositive(x[at + j] - shift)
            total += part
        log_total = T(0) if total == T(0) else log(total)
        for j in range(length):
            out[to + j] = difference(difference(x[at + j], shift), log_total)


@kernel(**_options)
def softmax_backward_rows(low: "int64", high: "int64", g: "T*", y: "T*", out: "T*", length: "int64", row_stride: "int64"):
    for row in range(low, high):
        at = row * row_stride
        to = row * length
        total = T(0)
        for begin in range(0, length, 1024):
            part = T(0)
            for j in range(begin, min(begin + 1024, length)):
                part += g[at + j] * y[at + j]
            total += part
        for j in range(length):
            out[to + j] = y[at + j] * (g[at + j] - total)


@kernel(**_options)
def log_softmax_backward_rows(low: "int64", high: "int64", g: "T*", y: "T*", out: "T*", length: "int64", row_stride: "int64"):
    for row in range(low, high):
        at = row * row_stride
        to = row * length
        total = T(0)
        largest = T(-inf)
        for begin in range(0, length, 1024):
            part = T(0)
            for j in range(begin, min(begin + 1024, length)):
                part += g[at + j]
                largest = maximum(largest, y[at + j])
            total += part
        kept = T(0) if largest == T(-inf) else T(1)  # 0 for a row that is masked throughout
        for j in range(length):
            out[to + j] = kept * (g[at + j] - exp_nonpositive(y[at + j]) * total)


# Down columns: an item is a tile of at most 512 neighbouring columns, `stride` is the step from entry to entry of a column.


@kernel(**_options)
def softmax_columns(
    low: "int64", high: "int64", x: "T*", out: "T*", length: "int64", inner: "int64", tiles: "int64", tile: "int64",
    outer_stride: "int64", stride: "int64",
):  # fmt: skip
    shift = scratch(T, 512)
    total = scratch(T, 512)
    for item in range(low, high):
        outer = item // tiles
        column = (item - outer * tiles) * tile
        width = min(tile, inner - column)
        at = outer * outer_stride + column
        to = outer * length * inner + column
        for c in range(width):
            shift[c] = T(-inf)
            total[c] = T(0)
        for j in range(length):
            for c in range(width):
                shift[c] = maximum(shift[c], x[at + j * stride + c])
        for c in range(width):
            shift[c] = T(0) if shift[c] == T(-inf) else shift[c]
        for j in range(length):
            for c in range(width):
                e = exp_nonpositive(x[at + j * stride + c] - shift[c])
                out[to + j * inner + c] = e
                total[c] += e
        for c in range(width):
            total[c] = T(0) if total[c] == T(0) else T(1) / total[c]
        for j in range(length):
            for c in range(width):
                out[to + j * inner + c] *= total[c]


@kernel(**_options)
def log_softmax_columns(
    low: "int64", high: "int64", x: "T*", out: "T*", length: "int64", inner: "int64", tiles: "int64", tile: "int64",
    outer_stride: "int64", stride: "int64",
):  # fmt: skip
    shift = scratch(T, 512)
    total = scratch(T, 512)
    for item in range(low, high):
        outer = item // tiles
        column = (item - outer * tiles) * tile
        width = min(tile, inner - column)
        at = outer * outer_stride + column
        to = outer * length * inner + column
        for c in range(width):
            shift[c] = T(-inf)
            total[c] = T(0)
        for j in range(length):
            for c in range(width):
                shift[c] = maximum(shift[c], x[at + j * stride + c])
        for c in range(width):
            shift[c] = T(0) if shift[c] == T(-inf) else shift[c]
        for j in range(length):
            for c in range(width):
                total[c] += exp_nonpositive(x[at + j * stride + c] - shift[c])
        for c in range(width):
            total[c] = T(0) if total[c] == T(0) else log(total[c])
        for j in range(length):
            for c in range(width):
                out[to + j * inner + c] = difference(difference(x[at + j * stride + c], shift[c]), total[c])


@kernel(**_options)
def softmax_backward_columns(
    low: "int64", high: "int64", g: "T*", y: "T*", out: "T*", length: "int64", inner: "int64", tiles: "int64",
    tile: "int64", outer_stride: "int64", stride: "int64",
):  # fmt: skip
    total = scratch(T, 512)
    for item in range(low, high):
        outer = item // tiles
        column = (item - outer * tiles) * tile
        width = min(tile, inner - column)
        at = outer * outer_stride + column
        to = outer * length * inner + column
        for c in range(width):
            total[c] = T(0)
        for j in range(length):
            for c in range(width):
                total[c] += g[at + j * stride + c] * y[at + j * stride + c]
        for j in range(length):
            for c in range(width):
                out[to + j * inner + c] = y[at + j * stride + c] * (g[at + j * stride + c] - total[c])


@kernel(**_options)
def log_softmax_backward_columns(
    low: "int64", high: "int64", g: "T*", y: "T*", out: "T*", length: "int64", inner: "int64", tiles: "int64",
    tile: "int64", outer_stride: "int64", stride: "int64",
):  # fmt: skip
    total = scratch(T, 512)
    largest = scratch(T, 512)
    for item in range(low, high):
        outer = item // tiles
        column = (item - outer * tiles) * tile
        width = min(tile, inner - column)
        at = outer * outer_stride + column
        to = outer * length * inner + column
        for c in range(width):
            total[c] = T(0)
            largest[c] = T(-inf)
        for j in range(length):
            for c in range(width):
                total[c] += g[at + j * stride + c]
                largest[c] = maximum(largest[c], y[at + j * stride + c])
        for c in range(width):
            largest[c] = T(0) if largest[c] == T(-inf) else T(1)  # 0 for a row that is masked throughout
        for j in range(length):
            for c in range(width):
                v = g[at + j * stride + c] - exp_nonpositive(y[at + j * stride + c]) * total[c]
                out[to + j * inner + c] = largest[c] * v
