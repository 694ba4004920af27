"""The bodies of layer and RMS normalisation: contiguous rows forward and backward, gradients of weight and bias by columns.

Deviations are taken from a row's first element before they are averaged, so that a mean much larger than the spread costs
no digits, and a constant row has variance 0 exactly. With RMS there is no mean: it is 0, and so is every deviation from it.

Backward, with n = (x - mean) * rstd and h = g * weight: dx = rstd * (h - mean(h) - n * mean(h * n)). The gradients of
weight and bias are sums over rows: each group of threads adds up the rows that it works on, in registers, and writes its
sums as a row of `partial`, (2, parts, columns); these are added in a fixed order by `norm_sums`.
"""

from kernels.cuda.columns_kernels import columns
from kernels.cuda.row_form import RowTemplate
from kernels.cuda.rows_kernels import rows

# ruff: noqa: F821  (cuda, types, functions and numbers in capitals are names of the generated module)


def _norm(
    x: "S*", weight: "S*", bias: "S*", y: "S*", mean: "T*", rstd: "T*", rows: "int64", columns: "int64",
    row_stride: "int64", epsilon: "T",
):  # fmt: skip
    scratch = cuda.shared.array(SCRATCH, T)
    values = cuda.local.array(ELEMENTS, T)
    factors = cuda.local.array(ELEMENTS, T)
    row = item_of()
    lane = lane_of()
    left = int32(columns) if row < rows else int32(0)
    start = row * row_stride
    first = T(0)
    if not RMS:
        first = widened(x[start]) if row < rows else T(0)
    load_part(values, x, start, 1, left, lane, first)
    shift = T(0)
    if not RMS:
        total = T(0)
        for k in range(ELEMENTS):
            values[k] = values[k] - first
            total += values[k]
        shift = group_sum(total, scratch, 0) / T(columns)
    squares = T(0)
    for k in range(ELEMENTS):
        if not RMS:
            values[k] = values[k] - shift if number_of(k, lane) < left else T(0)
        squares += values[k] * values[k]
    scale = T(1) / sqrt(group_sum(squares, scratch, 1) / T(columns) + epsilon)
    for k in range(ELEMENTS):
        values[k] = values[k] * scale
    if WEIGHTED:
        load_part(factors, weight, 0, 1, left, lane, T(0))
        for k in range(ELEMENTS):
            values[k] = values[k] * factors[k]
    if BIASED:
        load_part(factors, bias, 0, 1, left, lane, T(0))
        for k in range(ELEMENTS):
            values[k] = values[k] + factors[k]
    store_part(values, y, row * columns, 1, left, lane)
    if lane == 0 and row < rows:
        if not RMS:
            mean[row] = first + shift
        rstd[row] = scale


def _norm_long(
    x: "S*", weight: "S*", bias: "S*", y: "S*", mean: "T*", rstd: "T*", rows: "int64", columns: "int64",
    row_stride: "int64", epsilon: "T",
):  # fmt: skip
    scratch = cuda.shared.array(SCRATCH, T)
    values = cuda.local.array(ELEMENTS, T)
    factors = cuda.local.array(ELEMENTS, T)
    row = item_of()  # one block each, so that there is none after the last
    lane = lane_of()
    start = row * row_stride
    first = T(0)
    shift = T(0)
    if not RMS:
        first = widened(x[start])
        total = T(0)
        for begin in range(0, columns, GROUP * ELEMENTS):
            load_part(values, x, start + begin, 1, int32(min(columns - begin, GROUP * ELEMENTS)), lane, first)
            part = T(0)
            for k in range(ELEMENTS):
                part += values[k] - first
            total += part
        shift = group_sum(total, scratch, 0) / T(columns)
    squares = T(0)
    for begin in range(0, columns, GROUP * ELEMENTS):
        left = int32(min(columns - begin, GROUP * ELEMENTS))
        load_part(values, x, start + begin, 1, left, lane, T(0))
        part = T(0)
        for k in range(ELEMENTS):
            deviation = (values[k] - first) - shift if number_of(k, lane) < left else T(0)
            part += deviation * deviation
        squares += part
    scale = T(1) / sqrt(group_sum(squares, scratch, 1) / T(columns) + epsilon)
    for begin in range(0, columns, GROUP * ELEMENTS):
        left = int32(min(columns - begin, GROUP * ELEMENTS))
        load_part(values, x, start + begin, 1, left, lane, T(0))
        for k in range(ELEMENTS):
            values[k] = ((values[k] - first) - shift) * scale
        if WEIGHTED:
            load_part(factors, weight, begin, 1, left, lane, T(0))
            for k in range(ELEMENTS):
                values[k] = values[k] * factors[k]
        if BIASED:
            load_part(factors, bias, begin, 1, left, lane, T(0))
            for k in range(ELEMENTS):
                values[k] = values[k] + factors[k]
        store_part(values, y, row * columns + begin, 1, left, lane)
    if lane == 0:
        if not RMS:
            mean[row] = first + shift
        rstd[row] = scale


def _norm_gradient(
    g: "S*", x: "S*", mean: "T*", rstd: "T*", weight: "S*", dx: "S*", partial: "T*", rows: "int64", columns: "int64",
    rounds: "int64", g_stride: "int64", x_stride: "int64",
):  # fmt: skip
    scratch = cuda.shared.array(SCRATCH, T)
    upstream = cuda.local.array(ELEMENTS, T)
    values = cuda.local.array(ELEMENTS, T)
    factors = cuda.local.array(ELEMENTS, T)
    to_weight = cuda.local.array(ELEMENTS, T)
    to_bias = cuda.local.array(ELEMENTS, T)
    group = item_of()
    lane = lane_of()
    parts = int64(cuda.gridDim.x) * int64(THREADS // GROUP)
    for k in range(ELEMENTS):
        to_weight[k] = T(0)
        to_bias[k] = T(0)
        factors[k] = T(1)
    if WEIGHTED:
        load_part(factors, weight, 0, 1, int32(columns), lane, T(0))
    for turn in range(rounds):  # as many for all threads: they meet in each
        row = group + turn * parts
        left = int32(columns) if row < rows else int32(0)
        centre = T(0)
        if not RMS:
            centre = mean[row] if row < rows else T(0)
        scale = rstd[row] if row < rows else T(0)
        load_part(upstream, g, row * g_stride, 1, left, lane, T(0))
        load_part(values, x, row * x_stride, 1, left, lane, centre)
        level = T(0)
        along = T(0)
        for k in range(ELEMENTS):
            values[k] = (values[k] - centre) * scale
            h = upstream[k] * factors[k]
            level += h
            along += h * values[k]
        if RMS:
            along = group_sum(along, scratch, turn & 1)
            level = T(0)
        else:
            level, along = group_sums(level, along, scratch, 2 * (turn & 1))
        level = level / T(columns)
        along = along / T(columns)
        for k in range(ELEMENTS):
            to_weight[k] = to_weight[k] + upstream[k] * values[k]
            if not RMS:
                to_bias[k] = to_bias[k] + upstream[k]
            values[k] = scale * ((upstream[k] * factors[k] - level) - values[k] * along)
        store_part(values, dx, row * columns, 1, left, lane)
    for k in range(ELEMENTS):
        column = number_of(k, lane)
        if column < int32(columns):
            partial[group * columns + column] = to_weight[k]
            if not RMS:
                partial[(parts + group) * columns + column] = to_bias[k]


def _norm_gradient_long(
    g: "S*", x: "S*", mean: "T*", rstd: "T*", weight: "S*", dx: "S*", rows: "int64", columns: "int64", g_stride: "int64",
    x_stride: "int64",
):  # fmt: skip
    scratch = cuda.shared.array(SCRATCH, T)
    upstream = cuda.local.array(ELEMENTS, T)
    values = cuda.local.array(ELEMENTS, T)
    factors = cuda.local.array(ELEMENTS, T)
    row = item_of()
    lane = lane_of()
    centre = T(0)
    if not RMS:
        centre = mean[row]
    scale = rstd[row]
    level = T(0)
    along = T(0)
    for k in range(ELEMENTS):
        factors[k] = T(1)
    for begin in range(0, columns, GROUP * ELEMENTS):
        left = int32(min(columns - begin, GROUP * ELEMENTS))
        load_part(upstream, g, row * g_stride + begin, 1, left, lane, T(0))
        load_part(values, x, row * x_stride + begin, 1, left, lane, centre)
        if WEIGHTED:
            load_part(factors, weight, begin, 1, left, lane, T(0))
        part = T(0)
        part_along = T(0)
        for k in range(ELEMENTS):
            h = upstream[k] * factors[k]
            part += h
            part_along += h * ((values[k] - centre) * scale)
        level += part
        along += part_along
    level, along = group_sums(level, along, scratch, 0)
    level = T(0) if RMS else level / T(columns)
    along = along / T(columns)
    for begin in range(0, columns, GROUP * ELEMENTS):
        left = int32(min(columns - begin, GROUP * ELEMENTS))
        load_part(upstream, g, row * g_stride + begin, 1, left, lane, T(0))
        load_part(values, x, row * x_stride + begin, 1, left, lane, centre)
        if WEIGHTED:
            load_part(factors, weight, begin, 1, left, lane, T(0))
        for k in range(ELEMENTS):
            values[k] = scale * ((upstream[k] * factors[k] - level) - ((values[k] - centre) * scale) * along)
        store_part(values, dx, row * columns + begin, 1, left, lane)


def _norm_partials(
    g: "S*", x: "S*", mean: "T*", rstd: "T*", partial: "T*", rows: "int64", columns: "int64", tiles: "int64",
    parts: "int64", g_stride: "int64", x_stride: "int64",
):  # fmt: skip
    block = int64(cuda.blockIdx.x)
    part = block // tiles
    column = (block - part * tiles) * int64(THREADS) + int64(cuda.threadIdx.x)
    if column < columns:
        to_weight = T(0)
        to_bias = T(0)
        for row in range(part, rows, parts):
            centre = T(0)
            if not RMS:
                centre = mean[row]
            dy = widened(g[row * g_stride + column])
            to_weight += dy * ((widened(x[row * x_stride + column]) - centre) * rstd[row])
            to_bias += dy
        partial[part * columns + column] = to_weight
        if not RMS:
            partial[(parts + part) * columns + column] = to_bias


def _norm_sums(partial: "T*", out: "S*", items: "int64", columns: "int64", parts: "int64"):
    scratch = cuda.shared.array(SCRATCH, T)
    item = item_of()
    lane = lane_of()
    which = item // columns
    start = which * parts * columns + (item - which * columns)
    total = T(0)
    if item < items:
        for begin in range(0, parts, GROUP * ELEMENTS):
            part = T(0)
            for k in range(ELEMENTS):
                at = begin + k * GROUP + lane
                if at < parts:
                    part += partial[start + at * columns]
            total += part
    total = group_sum(total, scratch, 0)
    if lane == 0 and item < items:
        out[item] = narrowed(total)


_options = dict(RMS=0, WEIGHTED=1)

norm_rows = RowTemplate(_norm, rows, "norm_rows", BIASED=1, **_options)
norm_long_rows = RowTemplate(_norm_long, rows, "norm_long_rows", BIASED=1, **_options)
norm_gradient_rows = RowTemplate(_norm_gradient, rows, "norm_gradient_rows", **_options)
norm_gradient_long_rows = RowTemplate(_norm_gradient_long, rows, "norm_gradient_long_rows", **_options)
norm_partials = RowTemplate(_norm_partials, rows, "norm_partials", RMS=0)
norm_sums = RowTemplate(_norm_sums, columns, "norm_sums")
