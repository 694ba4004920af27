"""The bodies of softmax and log_softmax, for rows in one piece (`rows_kernels`) and across memory (`columns_kernels`).

Rows that fit the registers of their threads are read once and written once; longer ones are read twice, the second time
mostly from the L2 cache: a maximum and a sum that follow each other ("online": when the maximum grows, what was summed is
scaled down), then the results. With LOG the functions are those of log_softmax.
"""

from kernels.cuda.columns_kernels import columns
from kernels.cuda.row_form import RowTemplate
from kernels.cuda.rows_kernels import rows

# ruff: noqa: F821  (cuda, types, functions and numbers in capitals are names of the generated module)


def _softmax(
    x: "S*", out: "S*", count: "int64", length: "int64", inner: "int64", outer_stride: "int64", stride: "int64",
):  # fmt: skip
    scratch = cuda.shared.array(SCRATCH, T)
    values = cuda.local.array(ELEMENTS, T)
    item = item_of()
    lane = lane_of()
    left = int32(length) if item < count else int32(0)
    load_part(values, x, first_of(item, inner, outer_stride), stride, left, lane, T(-inf))
    shift = finite_shift(group_maximum(maximum_of(values), scratch, 0))
    total = T(0)
    for k in range(ELEMENTS):
        values[k] = values[k] - shift
        if LOG:
            total += exp(values[k])
        else:
            values[k] = exp(values[k])
            total += values[k]
    total = group_sum(total, scratch, 1)
    if LOG:
        log_total = T(0) if total == T(0) else log(total)
        for k in range(ELEMENTS):
            values[k] = values[k] - log_total
    else:
        scale = T(0) if total == T(0) else T(1) / total
        for k in range(ELEMENTS):
            values[k] = values[k] * scale
    store_part(values, out, first_of(item, inner, length * inner), inner, left, lane)


def _softmax_long(
    x: "S*", out: "S*", count: "int64", length: "int64", inner: "int64", outer_stride: "int64", stride: "int64",
):  # fmt: skip
    scratch = cuda.shared.array(SCRATCH, T)
    values = cuda.local.array(ELEMENTS, T)
    item = item_of()
    lane = lane_of()
    size = length if item < count else int64(0)
    start = first_of(item, inner, outer_stride)
    largest = T(-inf)
    total = T(0)
    for begin in range(0, size, GROUP * ELEMENTS):
        left = int32(min(size - begin, GROUP * ELEMENTS))
        load_part(values, x, start + begin * stride, stride, left, lane, T(-inf))
        higher = maximum(largest, maximum_of(values))
        shift = finite_shift(higher)
        part = T(0)
        for k in range(ELEMENTS):
            part += exp(values[k] - shift)
        total = total * exp(largest - shift) + part
        largest = higher
    shift = finite_shift(group_maximum(largest, scratch, 0))
    total = group_sum(total * exp(largest - shift), scratch, 1)
    log_total = T(0)
    scale = T(0)
    if total != T(0):
        if LOG:
            log_total = log(total)
        else:
            scale = T(1) / total
    to = first_of(item, inner, length * inner)
    for begin in range(0, size, GROUP * ELEMENTS):
        left = int32(min(size - begin, GROUP * ELEMENTS))
        load_part(values, x, start + begin * stride, stride, left, lane, T(-inf))
        for k in range(ELEMENTS):
            if LOG:
                values[k] = (values[k] - shift) - log_total
            else:
                values[k] = exp(values[k] - shift) * scale
        store_part(values, out, to + begin * inner, inner, left, lane)


def _softmax_backward(
    g: "S*", y: "S*", out: "S*", count: "int64", length: "int64", inner: "int64", outer_stride: "int64", stride: "int64",
):  # fmt: skip
    scratch = cuda.shared.array(SCRATCH, T)
    upstream = cuda.local.array(ELEMENTS, T)
    values = cuda.local.array(ELEMENTS, T)
    item = item_of()
    lane = lane_of()
    left = int32(length) if item < count else int32(0)
    start = first_of(item, inner, outer_stride)
    load_part(upstream, g, start, stride, left, lane, T(0))
    load_part(values, y, start, stride, left, lane, T(-inf) if LOG else T(0))
    total = T(0)
    if LOG:
        for k in range(ELEMENTS):
            total += upstream[k]
        total = group_sum(total, scratch, 0)
        masked = group_maximum(maximum_of(values), scratch, 1) == T(-inf)
        kept = T(0) if masked else T(1)
        for k in range(ELEMENTS):
            values[k] = kept * (upstream[k] - exp(values[k]) * total)
    else:
        for k in range(ELEMENTS):
            total += upstream[k] * values[k]
        total = group_sum(total, scratch, 0)
        for k in range(ELEMENTS):
            values[k] = values[k] * (upstream[k] - total)
    store_part(values, out, first_of(item, inner, length * inner), inner, left, lane)


def _softmax_backward_long(
    g: "S*", y: "S*", out: "S*", count: "int64", length: "int64", inner: "int64", outer_stride: "int64", stride: "int64",
):  # fmt: skip
    scratch = cuda.shared.array(SCRATCH, T)
    upstream = cuda.local.array(ELEMENTS, T)
    values = cuda.local.array(ELEMENTS, T)
    item = item_of()
    lane = lane_of()
    size = length if item < count else int64(0)
    start = first_of(item, inner, outer_stride)
    largest = T(-inf)
    total = T(0)
    for begin in range(0, size, GROUP * ELEMENTS):
        left = int32(min(size - begin, GROUP * ELEMENTS))
        load_part(upstream, g, start + begin * stride, stride, left, lane, T(0))
        load_part(values, y, start + begin * stride, stride, left, lane, T(-inf) if LOG else T(0))
        part = T(0)
        for k in range(ELEMENTS):
            part += upstream[k] if LOG else upstream[k] * values[k]
        total += part
        if LOG:
            largest = maximum(largest, maximum_of(values))
    total = group_sum(total, scratch, 0)
    kept = T(1)
    if LOG and group_maximum(largest, scratch, 1) == T(-inf):
        kept = T(0)
    to = first_of(item, inner, length * inner)
    for begin in range(0, size, GROUP * ELEMENTS):
        left = int32(min(size - begin, GROUP * ELEMENTS))
        load_part(upstream, g, start + begin * stride, stride, left, lane, T(0))
        load_part(values, y, start + begin * stride, stride, left, lane, T(0))
        for k in range(ELEMENTS):
            if LOG:
                values[k] = kept * (upstream[k] - exp(values[k]) * total)
            else:
                values[k] = values[k] * (upstream[k] - total)
        store_part(values, out, to + begin * inner, inner, left, lane)


softmax_rows = RowTemplate(_softmax, rows, "softmax_rows", LOG=0)
softmax_long_rows = RowTemplate(_softmax_long, rows, "softmax_long_rows", LOG=0)
softmax_backward_rows = RowTemplate(_softmax_backward, rows, "softmax_backward_rows", LOG=0)
softmax_backward_long_rows = RowTemplate(_softmax_backward_long, rows, "softmax_backward_long_rows", LOG=0)
softmax_columns = RowTemplate(_softmax, columns, "softmax_columns", LOG=0)
softmax_long_columns = RowTemplate(_softmax_long, columns, "softmax_long_columns", LOG=0)
softmax_backward_columns = RowTemplate(_softmax_backward, columns, "softmax_backward_columns", LOG=0)
softmax_backward_long_columns = RowTemplate(_softmax_backward_long, columns, "softmax_backward_long_columns", LOG=0)
