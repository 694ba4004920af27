"""The loops of cross-entropy, one row of logits at a time."""

from kernels.cpu.compiler import REASSOCIATE, kernel

_IMPORTS = """from numpy import inf
from kernels.cpu.math_nonpositive import EXP_NONPOSITIVE
from kernels.cpu.scratch import difference"""
_options = {"fastmath": REASSOCIATE, "imports": _IMPORTS, "uses": ["exp_nonpositive = EXP_NONPOSITIVE[T]\n"]}

# ruff: noqa: F821  (T, exp_nonpositive, log, maximum, inf and difference are names of the generated module)


@kernel
def first_bad_class(
    low: "int64", high: "int64", targets: "int64*", bad: "int64*", rows: "int64", classes: "int64", ignore: "int64"
):
    bad[0] = rows
    for row in range(rows):
        target = targets[row]
        if (target < 0 or target >= classes) and target != ignore:
            bad[0] = row
            break


@kernel(**_options)
def cross_entropy_rows(
    low: "int64", high: "int64", logits: "T*", targets: "int64*", weight: "T*", losses: "T*", normalisers: "T*",
    row_weights: "T*", rows: "int64", classes: "int64", row_stride: "int64", ignore: "int64", weighted: "int64",
    weight_sum: "T", smoothing: "T",
):  # fmt: skip
    for row in range(low, high):
        at = row * row_stride
        largest = T(-inf)
        for c in range(classes):
            largest = maximum(largest, logits[at + c])
        shift = T(0) if largest == T(-inf) else largest
        total = T(0)
        for begin in range(0, classes, 1024):
            part = T(0)
            for c in range(begin, min(begin + 1024, classes)):
                part += exp_nonpositive(logits[at + c] - shift)
            total += part
        log_total = T(0) if total == T(0) else log(total)
        normalisers[row] = largest
        normalisers[rows + row] = log_total
        target = targets[row]
        if target == ignore:
            losses[row] = T(0)
            row_weights[row] = T(0)
            continue
        row_weight = weight[target] if weighted else T(1)
        loss = row_weight * difference(log_total, difference(logits[at + target], shift))
        if smoothing != T(0):
            below = T(0)  # the weighted sum of how far each logit lies below the maximum
            if weighted:
                for c in range(classes):
                    below += weight[c] * difference(shift, logits[at + c])
            else:
                for c in range(classes):
                    below += difference(shift, logits[at + c])
            loss = (T(1) - smoothing) * loss + smoothing / T(classes) * (below + weight_sum * log_total)
        losses[row] = loss
        row_weights[row] = row_weight


@kernel(**_options)
def cross_entropy_gradient_rows(
    low: "int64", high: "int64", g: "T*", logits: "T*", targets: "int64*", weight: "T*", normalisers: "T*", out: "T*",
    rows: "int64", classes: "int64", g_stride: "int64", row_stride: "int64", ignore: "int64", weighted: "int64",
    weight_sum: "T", smoothing: "T",
):  # fmt: skip
    for row in range(low, high):
        at = row * row_stride
        to = row * classes
        target = targets[row]
        largest = normalisers[row]
        log_total = normalisers[rows + row]
        if target == ignore or largest == T(-inf):
            for c in range(classes):
                out[to + c] = T(0)
            continue
        upstream = g[row * g_stride]
        on_target = (T(1) - smoothing) * (weight[target] if weighted else T(1))
        share = smoothing / T(classes)
        scale = upstream * (on_target + share * weight_sum)
        if weighted and smoothing != T(0):
            for c in range(classes):
                p = exp_nonpositive(difference(difference(logits[at + c], largest), log_total))
                out[to + c] = scale * p - upstream * share * weight[c]
        else:
            for c in range(classes):
                p = exp_nonpositive(difference(difference(logits[at + c], largest), log_total))
                out[to + c] = scale * p - upstream * share
        out[to + target] -= upstream * on_target
