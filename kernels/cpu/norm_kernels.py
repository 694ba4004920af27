"""The loops of layer and RMS normalisation: contiguous rows forward and backward, gradients of weight and bias by blocks.

Deviations are taken from a row's first element before they are averaged, so that a mean much larger than the spread costs
no digits, and a constant row has variance 0 exactly. The gradients of weight and bias are sums over rows: each item is a
block of rows with sums of its own, in `partial_weight` and `partial_bias`, which are added up in order afterwards.
"""

from kernels.cpu.compiler import REASSOCIATE, kernel

_IMPORTS = "from kernels.cpu.scratch import difference"
_options = {"fastmath": REASSOCIATE, "imports": _IMPORTS}

# ruff: noqa: F821  (T, sqrt and difference are names of the generated module)


@kernel(**_options)
def layer_norm_rows(
    low: "int64", high: "int64", x: "T*", weight: "T*", bias: "T*", y: "T*", mean: "T*", rstd: "T*",
    columns: "int64", row_stride: "int64", epsilon: "T",
):  # fmt: skip
    for row in range(low, high):
        at = row * row_stride
        to = row * columns
        first = x[at]
        total = T(0)
        for begin in range(0, columns, 1024):
            part = T(0)
            for c in range(at + begin, at + min(begin + 1024, columns)):
                part += difference(x[c], first)
            total += part
        shift = total / T(columns)
        total = T(0)
        for begin in range(0, columns, 1024):
            part = T(0)
            for c in range(at + begin, at + min(begin + 1024, columns)):
                deviation = difference(difference(x[c], first), shift)
                part += deviation * deviation
            total += part
        scale = T(1) / sqrt(total / T(columns) + epsilon)
        for c in range(columns):
            y[to + c] = difference(difference(x[at + c], first), shift) * scale * weight[c] + bias[c]
        mean[row] = first + shift
        rstd[row] = scale


@kernel(**_options)
def rms_norm_rows(
    low: "int64", high: "int64", x: "T*", weight: "T*", y: "T*", rstd: "T*", columns: "int64", row_stride: "int64",
    epsilon: "T",
):  # fmt: skip
    for row in range(low, high):
        at = row * row_stride
        to = row * columns
        total = T(0)
        for begin in range(0, columns, 1024):
            part = T(0)
            for c in range(at + begin, at + min(begin + 1024, columns)):
                part += x[c] * x[c]
            total += part
        scale = T(1) / sqrt(total / T(columns) + epsilon)
        for c in range(columns):
            y[to + c] = x[at + c] * scale * weight[c]
        rstd[row] = scale


# Backward, with n = (x - mean) * rstd and h = g * weight: dx = rstd * (h - mean(h) - n * mean(h * n)).


@kernel(**_options)
def layer_norm_gradient_blocks(
    low: "int64", high: "int64", g: "T*", x: "T*", mean: "T*", rstd: "T*", weight: "T*", dx: "T*",
    partial_weight: "T*", partial_bias: "T*", rows: "int64", block: "int64", columns: "int64", g_stride: "int64",
    x_stride: "int64",
):  # fmt: skip
    for item in range(low, high):
        sums = item * columns
        for c in range(columns):
            partial_weight[sums + c] = T(0)
            partial_bias[sums + c] = T(0)
        for row in range(item * block, min(item * block + block, rows)):
            from_g = row * g_stride
            from_x = row * x_stride
            to = row * columns
            centre = mean[row]
            scale = rstd[row]
            upstream = T(0)
            along = T(0)
            for begin in range(0, columns, 1024):
                part = T(0)
                part_along = T(0)
                for c in range(begin, min(begin + 1024, columns)):
                    h = g[from_g + c] * weight[c]
                    part += h
                    part_along += h * difference(x[from_x + c], centre)
                upstream += part
                along += part_along
            upstream /= T(columns)
            along *= scale / T(columns)
            for c in range(columns):
                normal = difference(x[from_x + c], centre) * scale
                dy = g[from_g + c]
                dx[to + c] = scale * (dy * weight[c] - upstream - normal * along)
                partial_weight[sums + c] += dy * normal
                partial_bias[sums + c] += dy


@kernel(**_options)
def rms_norm_gradient_blocks(
    low: "int64", high: "int64", g: "T*", x: "T*", rstd: "T*", weight: "T*", dx: "T*", partial_weight: "T*",
    rows: "int64", block: "int64", columns: "int64", g_stride: "int64", x_stride: "int64",
):  # fmt: skip
    for item in range(low, high):
        sums = item * columns
        for c in range(columns):
            partial_weight[sums + c] = T(0)
        for row in range(item * block, min(item * block + block, rows)):
            from_g = row * g_stride
            from_x = row * x_stride
            to = row * columns
            scale = rstd[row]
            along = T(0)
            for begin in range(0, columns, 1024):
                part = T(0)
                for c in range(begin, min(begin + 1024, columns)):
                    part += g[from_g + c] * weight[c] * x[from_x + c]
                along += part
            along *= scale / T(columns)
            for c in range(columns):
                normal = x[from_x + c] * scale
                dy = g[from_g + c]
                dx[to + c] = scale * (dy * weight[c] - normal * along)
                partial_weight[sums + c] += dy * normal
