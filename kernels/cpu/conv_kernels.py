# ruff: noqa: F821 - a kernel's own type is called T
"""The loops of convolutions: windows are packed into panels of the matrix product's tile, and never stand in memory.

The product is weights (rows: output channels; depth: input channels and taps) times windows (columns: positions). What is
the same for every call of a kind comes as one array `sizes`; see `kernels.convolution` for step, dilation and offset:

    0 rows: channels of the result, per group   1 channels of the source, per group   2 to 4 taps   5 groups   6 images
    7 to 10 positions: images taken together, depth, height, width
    11 to 13 step   14 to 16 dilation   17 to 19 offset   20 to 22 sizes of the source
    23 to 29 strides of the source: image, group, channel, then as positions
    30 to 36 strides of the result, likewise   37 where it begins   38 whether its positions are neighbours in memory
    39 whether there is a bias   40 panels per image, or blocks of rows per group
    41 parts that the positions are summed in   42 positions of a part

A *run* is a stretch of positions in one line, as seven numbers: the first lane, how many, where its image begins in the
source, where the window begins in depth, height and width, where the first result lies.
"""

from kernels.cpu.compiler import inlined, kernel
from kernels.cpu.scratch import scratch
from kernels.cpu.simd import DEPTH, multiply_rows, pack_panel
from kernels.cpu.simd import LANES_float32 as LANES  # a kernel sees those of its own type
from kernels.cpu.simd import PANEL_float32 as PANEL
from kernels.cpu.simd_windows import RUN, SOME_ROWS, STEP_RUNS, STEPS, WINDOW_LINES, WINDOW_ROWS, copy_windows
from kernels.cpu.simd_windows import COLUMNS_float32 as COLUMNS
from kernels.cpu.simd_windows import GRADIENTS_float32 as GRADIENTS
from kernels.cpu.simd_windows import RUNS_float32 as RUNS
from kernels.cpu.simd_windows import SOME_float32 as SOME
from kernels.cpu.simd_windows import WINDOWS_float32 as WINDOWS

_IMPORTS = """from kernels.cpu.scratch import scratch
from kernels.cpu.simd import DEPTH, multiply_rows, pack_panel
from kernels.cpu.simd import LANES_{T} as LANES, PANEL_{T} as PANEL
from kernels.cpu.simd_windows import RUN, SOME_ROWS, STEP_RUNS, STEPS, WINDOW_LINES, WINDOW_ROWS, copy_windows
from kernels.cpu.simd_windows import COLUMNS_{T} as COLUMNS, GRADIENTS_{T} as GRADIENTS
from kernels.cpu.simd_windows import RUNS_{T} as RUNS, SOME_{T} as SOME, WINDOWS_{T} as WINDOWS
"""


def conv_cost(low, high, x, weight, out, bias, sizes):
    """(operations, bytes) of a launch, for the profiler."""
    items = max(int(sizes[40] * sizes[5] * sizes[6]), 1)
    return _cost(sizes, (high - low) / items, x.nbytes + weight.nbytes + out.nbytes)


def gradient_cost(low, high, x, grad, out, sizes):
    """(operations, bytes) of a launch of `conv_weight_windows`."""
    return _cost(sizes, (high - low) / max(int(sizes[40] * sizes[5] * sizes[41]), 1), x.nbytes + grad.nbytes + out.nbytes)


def _cost(sizes, share, touched):
    operations = 2 * int(sizes[5]) * int(sizes[6])
    for size in (*sizes[:5], *sizes[7:11]):
        operations *= int(size)
    return int(operations * share), int(touched * share)


@inlined
def find_runs(table, first, count, sizes):
    """List the runs of the positions first .. first + count - 1, and return how many there are."""
    x, y, z, n = first, 0, 0, 0
    if x >= sizes[10]:
        x, y = x % sizes[10], x // sizes[10]
        if y >= sizes[9]:
            y, z = y % sizes[9], y // sizes[9]
            z, n = z % sizes[8], z // sizes[8]
    lane, runs = 0, 0
    while lane < count:
        length = min(sizes[10] - x, count - lane)
        at = runs * RUN
        table[at] = lane
        table[at + 1] = length
        table[at + 2] = n * sizes[26]
        table[at + 3] = z * sizes[11] + sizes[17]
        table[at + 4] = y * sizes[12] + sizes[18]
        table[at + 5] = x * sizes[13] + sizes[19]
        table[at + 6] = n * sizes[33] + z * sizes[34] + y * sizes[35] + x * sizes[36]
        runs += 1
        lane += length
        x = 0
        y += 1
        if y == sizes[9]:
            y = 0
            z += 1
            if z == sizes[8]:
                z = 0
                n += 1
    return runs


@inlined
def pack_windows(panel, pitch, table, runs, source, source_at, first, count, sizes):
    """panel[k * pitch + lane] = what the window of that lane reads at channel and tap number first + k.

    The same tap of the channels goes together: where its windows lie is worked out once. Vectors write beyond a run's end,
    where the next run comes later; beyond a row's end lies the next row, which after the last tap has come before.
    """
    step = sizes[13]
    taps = sizes[2] * sizes[3] * sizes[4]
    channel, tx, ty, tz = 0, 0, 0, 0
    if first:
        channel, tap = first // taps, first % taps
        tx, ty, tz = tap % sizes[4], tap // sizes[4] % sizes[3], tap // sizes[4] // sizes[3]
    repeats = (count + taps - 1) // taps if taps else 0
    fewer = count - (repeats - 1) * taps  # from this tap on there is one channel less
    for number in range(min(taps, count)):
        if number == fewer:
            repeats -= 1
        for r in range(runs):
            at = r * RUN
            z = table[at + 3] + tz * sizes[14]
            y = table[at + 4] + ty * sizes[15]
            x = table[at + 5] + tx * sizes[16]
            # A line above or below the source is one without elements.
            width = sizes[22] if 0 <= z < sizes[20] and 0 <= y < sizes[21] else 0
            line = source_at + channel * sizes[25] + table[at + 2] + z * sizes[27] + y * sizes[28]
            to = number * pitch + table[at]
            length = table[at + 1]
            exact = int(table[at] + length + LANES > pitch and number == taps - 1 and count > taps and taps + runs > 2)
            if sizes[29] == 1 and step == 1:
                copy_windows(
                    1, panel, to, taps * pitch, source, line + x, sizes[25], -x, width - x, length, repeats, exact
                )  # fmt: skip
            elif sizes[29] == 1 and step == 2:
                copy_windows(
                    2, panel, to, taps * pitch, source, line + x, sizes[25], -x, width - x, length, repeats, exact
                )  # fmt: skip
            else:
                for j in range(length):
                    there = x + j * step
                    for i in range(repeats):
                        place = line + i * sizes[25] + there * sizes[29]
                        panel[to + i * taps * pitch + j] = source[place] if 0 <= there < width else T(0)
        tx += 1
        if tx == sizes[4]:
            tx = 0
            ty += 1
            if ty == sizes[3]:
                ty = 0
                tz += 1
                if tz == sizes[2]:
                    tz = 0
                    channel += 1


@kernel(uses=[find_runs, pack_windows], imports=_IMPORTS, cost=conv_cost)
def conv_windows(low: "int64", high: "int64", x: "T*", weight: "T*", out: "T*", bias: "T*", sizes: "int64*"):
    """Weights times windows. `weight` is (groups, rows, depth), C-ordered; an item is a panel of positions."""
    panel = scratch(T, WINDOWS)
    tile = scratch(T, SOME)
    table = scratch(int64, RUNS)
    rows, depth = sizes[0], sizes[1] * sizes[2] * sizes[3] * sizes[4]
    positions = sizes[7] * sizes[8] * sizes[9] * sizes[10]
    image_size = sizes[8] * sizes[9] * sizes[10]
    number, rest = low % sizes[40], low // sizes[40]
    group, image = rest % sizes[5], rest // sizes[5]
    for _ in range(low, high):
        first = number * PANEL
        columns = min(PANEL, positions - first)
        runs = find_runs(table, first, columns, sizes)
        x_at = image * sizes[23] + group * sizes[24]
        # Results go where they belong at once if they are neighbours there, those of two images are not.
        direct = sizes[38] != 0 and (sizes[7] == 1 or first % image_size + columns <= image_size)
        rows_together = rows if direct else SOME_ROWS
        for row in range(0, rows, rows_together):
            height = min(rows_together, rows - row)
            to, to_at, to_row = tile, 0, PANEL
            out_at = sizes[37] + image * sizes[30] + group * sizes[31] + row * sizes[32]
            if direct:
                to, to_at, to_row = out, out_at + table[6], sizes[32]
            if sizes[39]:
                for i in range(height):
                    start = bias[group * rows + row + i]
                    for j in range(columns):
                        to[to_at + i * to_row + j] = start
            for step in range(0, max(depth, 1), DEPTH):
                steps = min(DEPTH, depth - step)
                pack_windows(panel, PANEL, table, runs, x, x_at, step, steps, sizes)
                weight_at = (group * rows + row) * depth + step
                accumulate = step + sizes[39]
                if columns > LANES:
                    multiply_rows(
                        15, 2, height, columns, steps, weight, weight_at, depth, 1, panel, 0, PANEL,
                        to, to_at, to_row, accumulate, bias, 0, 0,
                    )  # fmt: skip
                else:
                    multiply_rows(
                        15, 1, height, columns, steps, weight, weight_at, depth, 1, panel, 0, PANEL,
                        to, to_at, to_row, accumulate, bias, 0, 0,
                    )  # fmt: skip
            if not direct:
                for i in range(height):
                    for r in range(runs):
                        lane, place = i * PANEL + table[r * RUN], out_at + i * sizes[32] + table[r * RUN + 6]
                        for j in range(table[r * RUN + 1]):
                            out[place + j * sizes[36]] = tile[lane + j]
        number += 1
        if number == sizes[40]:
            number = 0
            group += 1
            if group == sizes[5]:
                group = 0
                image += 1


@kernel(uses=[find_runs, pack_windows], imports=_IMPORTS, cost=gradient_cost)
def conv_weight_windows(low: "int64", high: "int64", x: "T*", grad: "T*", out: "T*", sizes: "int64*"):
    """Windows times gradients, summed over parts of the positions: `out` is (parts, groups, depth, rows), C-ordered.

    The strides of the result are here those of `grad`, whose positions are neighbours in memory. An item is WINDOW_ROWS
    channels and taps of a group, over one part of the positions.
    """
    panel = scratch(T, GRADIENTS)
    windows = scratch(T, WINDOW_LINES)
    table = scratch(int64, STEP_RUNS)
    outputs, depth = sizes[0], sizes[1] * sizes[2] * sizes[3] * sizes[4]
    image_size = sizes[8] * sizes[9] * sizes[10]
    positions = sizes[7] * image_size
    while low < high:
        number = low // sizes[40]  # of a group in a part
        group, part = number % sizes[5], number // sizes[5]
        first, last = low - number * sizes[40], min(high - number * sizes[40], sizes[40])
        low += last - first
        begin, end = part * sizes[42], min((part + 1) * sizes[42], positions)
        for left in range(0, outputs, COLUMNS):
            width = min(COLUMNS, outputs - left)
            for position in range(begin, end, STEPS):
                steps = min(STEPS, end - position)
                runs = find_runs(table, position, steps, sizes)
                done = 0
                while done < steps:  # the gradients of one image after the other
                    image, place = (position + done) // image_size, (position + done) % image_size
                    length = min(image_size - place, steps - done)
                    place += image * sizes[33] + group * sizes[31] + left * sizes[32]
                    for column in range(0, width, PANEL):
                        pack_panel(
                            0, panel, column * STEPS + done * PANEL, PANEL, grad, place + column * sizes[32],
                            sizes[32], 1, min(PANEL, width - column), length,
                        )  # fmt: skip
                    done += length
                for block in range(first, last):
                    row = block * WINDOW_ROWS
                    height = min(WINDOW_ROWS, depth - row)
                    pack_windows(windows, STEPS, table, runs, x, group * sizes[24], row, height, sizes)
                    for column in range(0, width, PANEL):
                        columns = min(PANEL, width - column)
                        to = (number * depth + row) * outputs + left + column
                        if columns > LANES:
                            multiply_rows(
                                15, 2, height, columns, steps, windows, 0, STEPS, 1, panel, column * STEPS, PANEL,
                                out, to, outputs, position - begin, grad, 0, 0,
                            )  # fmt: skip
                        else:
                            multiply_rows(
                                15, 1, height, columns, steps, windows, 0, STEPS, 1, panel, column * STEPS, PANEL,
                                out, to, outputs, position - begin, grad, 0, 0,
                            )  # fmt: skip
