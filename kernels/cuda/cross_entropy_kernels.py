"""The bodies of cross-entropy: a row of logits is read once, its softmax never written.

A target that is no class gives NaN and sets `flag` (see `kernels.cuda.deferred`). WEIGHTED, SMOOTHED: whether there are
class weights and label smoothing; with both, `weight_total` is their sum.
"""

from kernels.cuda.row_form import RowTemplate
from kernels.cuda.rows_kernels import rows

# ruff: noqa: F821  (cuda, types, functions and numbers in capitals are names of the generated module)


def _cross_entropy(
    logits: "S*", targets: "int64*", weight: "S*", weight_total: "S*", losses: "S*", normalisers: "S*", row_weights: "S*",
    flag: "int32*", rows: "int64", classes: "int64", row_stride: "int64", target_stride: "int64", ignore: "int64",
    smoothing: "T",
):  # fmt: skip
    scratch = cuda.shared.array(SCRATCH, T)
    values = cuda.local.array(ELEMENTS, T)
    row = item_of()
    lane = lane_of()
    size = classes if row < rows else int64(0)
    start = row * row_stride
    largest = T(-inf)
    total = T(0)
    if ONE_BATCH:
        load_part(values, logits, start, 1, int32(size), lane, T(-inf))
        largest = group_maximum(maximum_of(values), scratch, 0)
        shift = finite_shift(largest)
        for k in range(ELEMENTS):
            total += exp(values[k] - shift)
        total = group_sum(total, scratch, 1)
    else:
        for begin in range(0, size, GROUP * ELEMENTS):
            load_part(values, logits, start + begin, 1, int32(min(size - begin, GROUP * ELEMENTS)), lane, T(-inf))
            higher = maximum(largest, maximum_of(values))
            shift = finite_shift(higher)
            part = T(0)
            for k in range(ELEMENTS):
                part += exp(values[k] - shift)
            total = total * exp(largest - shift) + part
            largest = higher
        highest = group_maximum(largest, scratch, 0)
        shift = finite_shift(highest)
        total = group_sum(total * exp(largest - shift), scratch, 1)
        largest = highest
    log_total = T(0) if total == T(0) else log(total)
    below = T(0)  # the weighted sum of how far each logit lies below the maximum
    if SMOOTHED:
        for begin in range(0, size, GROUP * ELEMENTS):
            left = int32(min(size - begin, GROUP * ELEMENTS))
            if not ONE_BATCH:
                load_part(values, logits, start + begin, 1, left, lane, T(0))
            part = T(0)
            for k in range(ELEMENTS):
                number = number_of(k, lane)
                if number < left:
                    if WEIGHTED:
                        part += weight[begin + number] * (shift - values[k])
                    else:
                        part += shift - values[k]
            below += part
        below = group_sum(below, scratch, 2)
    if lane == 0 and row < rows:
        normalisers[row] = largest
        normalisers[rows + row] = log_total
        target = targets[row * target_stride]
        loss = T(0)
        row_weight = T(0)
        if target != ignore:
            if target >= 0 and target < classes:
                row_weight = weight[target] if WEIGHTED else T(1)
                loss = row_weight * (log_total - (logits[start + target] - shift))
                if SMOOTHED:
                    weights = weight_total[0] if WEIGHTED else T(classes)
                    loss = (T(1) - smoothing) * loss + smoothing / T(classes) * (below + weights * log_total)
            else:
                loss = T(nan)
                row_weight = T(nan)
                flag[0] = int32(1)
        losses[row] = loss
        row_weights[row] = row_weight


def _cross_entropy_gradient(
    g: "S*", logits: "S*", targets: "int64*", weight: "S*", weight_total: "S*", normalisers: "S*", out: "S*",
    flag: "int32*", rows: "int64", classes: "int64", parts: "int64", g_stride: "int64", row_stride: "int64",
    target_stride: "int64", ignore: "int64", smoothing: "T",
):  # fmt: skip
    values = cuda.local.array(ELEMENTS, T)
    row = item_of()
    lane = lane_of()
    begin = int64(0)
    if not ONE_BATCH:  # a block for each part of a row
        part = row
        row = part // parts
        begin = (part - row * parts) * (GROUP * ELEMENTS)
    if row < rows:  # no barrier follows
        left = int32(min(classes - begin, GROUP * ELEMENTS))
        load_part(values, logits, row * row_stride + begin, 1, left, lane, T(0))
        target = targets[row * target_stride]
        largest = normalisers[row]
        log_total = normalisers[rows + row]
        upstream = g[row * g_stride]
        is_class = target >= 0 and target < classes
        on_target = T(1)
        if WEIGHTED:
            on_target = weight[target] if is_class else T(0)
        share = T(0)
        scale = upstream * on_target
        if SMOOTHED:
            share = smoothing / T(classes)
            on_target = (T(1) - smoothing) * on_target
            scale = upstream * (on_target + share * (weight_total[0] if WEIGHTED else T(classes)))
        at_target = upstream * on_target
        share = upstream * share
        if target == ignore or largest == T(-inf):
            for k in range(ELEMENTS):
                values[k] = T(0)
        elif is_class:
            here = target - begin
            for k in range(ELEMENTS):
                number = number_of(k, lane)
                slope = scale * exp((values[k] - largest) - log_total)
                if SMOOTHED:
                    if WEIGHTED:
                        slope -= share * (weight[begin + number] if number < left else T(0))
                    else:
                        slope -= share
                values[k] = slope - at_target if number == here else slope
        else:
            for k in range(ELEMENTS):
                values[k] = T(nan)
            flag[0] = int32(1)
        store_part(values, out, row * classes + begin, 1, left, lane)


def _sum_of_vector(vector: "S*", out: "S*", length: "int64"):
    scratch = cuda.shared.array(SCRATCH, T)
    values = cuda.local.array(ELEMENTS, T)
    lane = lane_of()
    total = T(0)
    for begin in range(0, length, GROUP * ELEMENTS):
        load_part(values, vector, begin, 1, int32(min(length - begin, GROUP * ELEMENTS)), lane, T(0))
        part = T(0)
        for k in range(ELEMENTS):
            part += values[k]
        total += part
    total = group_sum(total, scratch, 0)
    if lane == 0:
        out[0] = total


cross_entropy_rows = RowTemplate(_cross_entropy, rows, "cross_entropy_rows", WEIGHTED=0, SMOOTHED=0, ONE_BATCH=1)
cross_entropy_gradient_rows = RowTemplate(
    _cross_entropy_gradient, rows, "cross_entropy_gradient_rows", WEIGHTED=0, SMOOTHED=0, ONE_BATCH=1
)
sum_of_vector = RowTemplate(_sum_of_vector, rows, "sum_of_vector")
