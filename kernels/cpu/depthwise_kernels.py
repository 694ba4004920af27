# ruff: noqa: F821 - a kernel's own type is called T
"""The loops of depthwise convolutions: a group has one channel of the source, so there is no matrix product to speak of.

`sizes` is that of `kernels.cpu.conv_kernels` up to its 39th number. A vector of neighbouring results is summed in a register;
where its taps read, and in which lanes they are inside, is worked out for many vectors, and used for all groups of a block:
so one plane is read after the other, as it lies in memory.
"""

from kernels.cpu.compiler import inlined, kernel
from kernels.cpu.conv_kernels import _cost
from kernels.cpu.scratch import scratch
from kernels.cpu.simd import LANES_float32 as LANES  # a kernel sees those of its own type
from kernels.cpu.simd_windows import PLACES, add_window_products, window_sums
from kernels.cpu.simd_windows import PARTIAL_float32 as PARTIAL

_IMPORTS = """from kernels.cpu.scratch import scratch
from kernels.cpu.simd import LANES_{T} as LANES
from kernels.cpu.simd_windows import PARTIAL_{T} as PARTIAL, PLACES, add_window_products, window_sums
"""


def conv_cost(low, high, x, weight, out, bias, sizes):
    """(operations, bytes) of a launch, for the profiler."""
    return _cost(sizes, (high - low) / max(int(sizes[40] * sizes[6]), 1), x.nbytes + weight.nbytes + out.nbytes)


def gradient_cost(low, high, x, grad, out, sizes):
    """(operations, bytes) of a launch of `conv_depthwise_weight`."""
    return _cost(sizes, (high - low) / max(int(sizes[40] * sizes[42]), 1), x.nbytes + grad.nbytes + out.nbytes)


@inlined
def place_taps(offsets, masks, to, counts, first, vectors, sizes):
    """Where each tap of the vectors first, first + 1, ... of positions reads, and in which lanes it is inside; where their
    results belong in a plane, and how many they are."""
    along = (sizes[10] + LANES - 1) // LANES
    t = 0
    for v in range(vectors):
        line = (first + v) // along
        x, y, z = (first + v - line * along) * LANES, line % sizes[9], line // sizes[9]
        to[v] = z * sizes[34] + y * sizes[35] + x
        counts[v] = min(LANES, sizes[10] - x)
        for tz in range(sizes[2]):
            at_z = z * sizes[11] + tz * sizes[14] + sizes[17]
            for ty in range(sizes[3]):
                at_y = y * sizes[12] + ty * sizes[15] + sizes[18]
                width = sizes[22] if 0 <= at_z < sizes[20] and 0 <= at_y < sizes[21] else 0
                for tx in range(sizes[4]):
                    at_x = x + tx * sizes[16] + sizes[19]
                    left, right = min(max(-at_x, 0), LANES), min(max(width - at_x, 0), LANES)
                    offsets[t] = at_z * sizes[27] + at_y * sizes[28] + at_x
                    masks[t] = ((1 << right) - 1) & ~((1 << left) - 1)
                    t += 1


@kernel(uses=[place_taps], imports=_IMPORTS, cost=conv_cost)
def conv_depthwise(low: "int64", high: "int64", x: "T*", weight: "T*", out: "T*", bias: "T*", sizes: "int64*"):
    """Windows of one channel times `weight` (groups, rows, taps), C-ordered. Number 40 is of blocks of groups, 41 of the groups
    in each; an item is such a block of an image."""
    offsets = scratch(int64, PLACES)
    masks = scratch(int64, PLACES)
    to = scratch(int64, PLACES)
    counts = scratch(int64, PLACES)
    rows, taps = sizes[0], sizes[2] * sizes[3] * sizes[4]
    vectors = sizes[8] * sizes[9] * ((sizes[10] + LANES - 1) // LANES)
    together = PLACES // max(taps, 1)
    for item in range(low, high):
        image, block = item // sizes[40], item % sizes[40]
        last_group = min((block + 1) * sizes[41], sizes[5])
        for first in range(0, vectors, together):
            number = min(together, vectors - first)
            place_taps(offsets, masks, to, counts, first, number, sizes)
            for group in range(block * sizes[41], last_group):
                x_at = image * sizes[23] + group * sizes[24]
                for row in range(group * rows, (group + 1) * rows):
                    start = bias[row] if sizes[39] else T(0)
                    plane = sizes[37] + image * sizes[30] + row * sizes[32]
                    for v in range(number):
                        window_sums(
                            out, plane + to[v], counts[v], x, x_at, weight, row * taps, start, offsets, masks, v * taps, taps
                        )  # fmt: skip


@kernel(uses=[place_taps], imports=_IMPORTS, cost=gradient_cost)
def conv_depthwise_weight(low: "int64", high: "int64", x: "T*", grad: "T*", out: "T*", sizes: "int64*"):
    """Windows of one channel times gradients: `out` is (parts, groups, rows, taps), C-ordered, each part the sum over some
    images. Numbers 40 and 41 are as in `conv_depthwise`, 42 is of parts and 43 of the images in each; an item is a block of
    groups in a part. The strides of the result are here those of `grad`.
    """
    sums = scratch(T, PARTIAL)
    offsets = scratch(int64, PLACES)
    masks = scratch(int64, PLACES)
    to = scratch(int64, PLACES)
    counts = scratch(int64, PLACES)
    rows, taps = sizes[0], sizes[2] * sizes[3] * sizes[4]
    vectors = sizes[8] * sizes[9] * ((sizes[10] + LANES - 1) // LANES)
    together = PLACES // max(taps, 1)
    for item in range(low, high):
        part, block = item // sizes[40], item % sizes[40]
        begin = block * sizes[41]
        end = min(begin + sizes[41], sizes[5])
        last_image = min((part + 1) * sizes[43], sizes[7])
        for i in range((end - begin) * rows * taps * LANES):
            sums[i] = T(0)
        for first in range(0, vectors, together):
            number = min(together, vectors - first)
            place_taps(offsets, masks, to, counts, first, number, sizes)
            for image in range(part * sizes[43], last_image):
                for group in range(begin, end):
                    x_at = image * sizes[26] + group * sizes[24]
                    for row in range(group * rows, (group + 1) * rows):
                        sums_at = (row - begin * rows) * taps * LANES
                        plane = image * sizes[33] + row * sizes[32]
                        for v in range(number):
                            add_window_products(
                                sums, sums_at, grad, plane + to[v], counts[v], x, x_at, offsets, masks, v * taps, taps
                            )  # fmt: skip
        place = (part * sizes[5] + begin) * rows * taps
        for i in range((end - begin) * rows * taps):
            total = T(0)
            for lane in range(LANES):
                total += sums[i * LANES + lane]
            out[place + i] = total
