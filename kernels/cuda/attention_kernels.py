"""The kernels of attention: a block of 64 threads goes through tiles of 32 rows by 32 keys, a thread has 4 x 4 of each.

A block computes 32 lines of a result and WIDE (8 COLUMNS) of its columns, in registers; with more columns several blocks
form the same tiles. Lanes stand 8 x 8 on a tile: thread (y, x) has lines y, y + 8, ... and columns x, x + 8, ..., so the
lines' maxima and sums are shuffles among eight neighbours, and reads of shared memory, whose lines are an odd number of
elements apart, are free of bank conflicts.

Constants: CAUSAL; MASK 0 for none, 1 for numbers that are added, 2 for bools; DROPOUT. The gradients are one kernel: with
ROWS_OWN a block's lines are rows and keys pass by (dq), otherwise its lines are keys and rows pass by (dk; dv without
SLOPES). Strides and places are in elements; features are neighbours.
"""

from kernels.cuda.unrolling import unrolled_kernel
from kernels.philox import philox, random_words
from kernels.template import inlined

# ruff: noqa: F821, SIM102  (cuda, types, functions and numbers in capitals are names of the generated module)
# pyright: reportUndefinedVariable=false

THREADS = 64
SIDE = 32
CONSTANTS = {"SIDE": SIDE, "PITCH": SIDE + 1, "TILES": 2 * SIDE * (SIDE + 1), "WEIGHTS": SIDE * (SIDE + 1)}


@inlined
def load_tile(tiles, base, source, at, line, extent, left, thread):
    """SIDE lines by SIDE features into shared memory, zeros from line `extent` and feature `left` on."""
    for n in range(SIDE * SIDE // THREADS):
        place = thread + uint32(n * THREADS)
        own = place // uint32(SIDE)
        feature = place % uint32(SIDE)
        value = T(0)
        if int64(own) < extent and int64(feature) < left:
            value = source[at + int64(own) * line + int64(feature)]
        tiles[base + own * uint32(PITCH) + feature] = value


@inlined
def load_wide(tiles, source, at, line, extent, left, thread):
    """SIDE lines by WIDE features into shared memory, zeros from line `extent` and feature `left` on."""
    for n in range(SIDE * WIDE // THREADS):
        place = thread + uint32(n * THREADS)
        own = place // uint32(WIDE)
        feature = place % uint32(WIDE)
        value = T(0)
        if int64(own) < extent and int64(feature) < left:
            value = source[at + int64(own) * line + int64(feature)]
        tiles[own * uint32(WIDE_PITCH) + feature] = value


@inlined
def tile_of_products(sums, left, right, tiles, a, a_at, a_line, a_extent, b, b_at, b_line, b_extent, depth, thread):
    """sums[i * 4 + j] = the product of lines y + 8 i of a and x + 8 j of b; leaves shared memory free to be written."""
    x = thread % uint32(8)
    y = thread // uint32(8)
    for n in range(16):
        sums[n] = T(0)
    step = int64(0)
    while step < depth:
        here = min(depth - step, int64(SIDE))
        load_tile(tiles, uint32(0), a, a_at + step, a_line, a_extent, here, thread)
        load_tile(tiles, uint32(SIDE * PITCH), b, b_at + step, b_line, b_extent, here, thread)
        cuda.syncthreads()
        for group in range((here + int64(7)) // int64(8)):
            a_from = y * uint32(PITCH) + uint32(group) * uint32(8)
            b_from = uint32(SIDE * PITCH) + x * uint32(PITCH) + uint32(group) * uint32(8)
            for k in range(8):
                for i in range(4):
                    left[i] = tiles[a_from + uint32(i * 8 * PITCH + k)]
                    right[i] = tiles[b_from + uint32(i * 8 * PITCH + k)]
                for i in range(4):
                    for j in range(4):
                        sums[i * 4 + j] += left[i] * right[j]
        cuda.syncthreads()
        step += int64(SIDE)


@inlined
def add_products(results, left, weights, tiles, count, thread):
    """results[i * COLUMNS + c] += the sum over `count` lines n of weights[y + 8 i, n] * tiles[n, x + 8 c]."""
    x = thread % uint32(8)
    y = thread // uint32(8)
    for group in range((count + int64(3)) // int64(4)):
        for k in range(4):
            n = uint32(group) * uint32(4) + uint32(k)
            for i in range(4):
                left[i] = weights[y * uint32(PITCH) + uint32(i * 8 * PITCH) + n]
            for c in range(COLUMNS):
                factor = tiles[n * uint32(WIDE_PITCH) + x + uint32(c * 8)]
                for i in range(4):
                    results[i * COLUMNS + c] += left[i] * factor


@inlined
def score_of(product, scale, mask, mask_at, mask_row, mask_key, row, rows, number, keys):
    """The score of a row and key number `number`; -infinity where they do not exist or shall not meet."""
    score = T(-inf)
    inside = row < rows and number < keys
    if CAUSAL:
        inside = inside and number <= row
    if inside:
        score = product * scale
        if MASK == 1:
            score += mask[mask_at + row * mask_row + number * mask_key]
        if MASK == 2:
            if mask[mask_at + row * mask_row + number * mask_key] == M(0):
                score = T(-inf)
    return score


@inlined
def fill_factors(weights, row_number, keys, begin, threshold, key, offset, kept, thread):
    """Dropout's factors of SIDE rows from `row_number` on and SIDE keys from `begin` on: a thread has half a row."""
    limit = uint64(threshold)
    line = thread // uint32(2)
    half = thread % uint32(2) * uint32(SIDE // 2)
    block = offset + (row_number + int64(line)) * ((keys + int64(3)) // int64(4)) + (begin + int64(half)) // int64(4)
    along = uint32(1) if ROWS_OWN else uint32(PITCH)
    across = uint32(PITCH) if ROWS_OWN else uint32(1)
    for n in range(SIDE // 8):
        a, b, c, d = random_words(key, block + int64(n))
        at = line * across + (half + uint32(n) * uint32(4)) * along
        weights[at] = kept if a < limit else T(0)
        weights[at + along] = kept if b < limit else T(0)
        weights[at + uint32(2) * along] = kept if c < limit else T(0)
        weights[at + uint32(3) * along] = kept if d < limit else T(0)


def constants_for(itemsize: int) -> dict[str, int]:
    """How wide a block's part of the result is: half as wide for float64, whose registers are two."""
    columns = 32 // itemsize
    return {**CONSTANTS, "WIDE": 8 * columns, "WIDE_PITCH": 8 * columns + 1, "COLUMNS": columns, "RESULTS": 4 * columns}


def rows_cost(grid, q, k, v, mask, out, *_):
    """Operations, and bytes if everything passes once."""
    return 2 * k.shape[2] * (q.size + out.size), q.nbytes + k.nbytes + v.nbytes + out.nbytes


def gradient_cost(grid, own, other, own2, other2, source, mask, lse, delta, out, *_):
    """Operations, and bytes if everything passes once."""
    return 2 * other.shape[2] * (own.size + own2.size + out.size), own.nbytes + other.nbytes + source.nbytes + out.nbytes


_uses = [load_tile, load_wide, tile_of_products, add_products, score_of, philox, random_words, fill_factors]
_options = {"threads": THREADS, "uses": _uses}


@unrolled_kernel(cost=rows_cost, **_options)
def attention_rows(
    q: "T*", k: "T*", v: "T*", mask: "M*", out: "T*", lse: "T*",
    heads: "int64", rows: "int64", keys: "int64", depth: "int64", columns: "int64", blocks: "int64", chunks: "int64",
    q_batch: "int64", q_head: "int64", q_row: "int64", k_batch: "int64", k_head: "int64", k_row: "int64",
    v_batch: "int64", v_head: "int64", v_row: "int64", out_batch: "int64", out_head: "int64", out_row: "int64",
    mask_batch: "int64", mask_head: "int64", mask_row: "int64", mask_key: "int64",
    scale: "T", threshold: "int64", key: "int64", offset: "int64", kept: "T",
):  # fmt: skip
    """Rows of the result: maxima and sums follow the keys that pass by, and what was summed fades when a maximum grows."""
    tiles = cuda.shared.array(TILES, T)
    weights = cuda.shared.array(WEIGHTS, T)
    sums = cuda.local.array(16, T)
    left = cuda.local.array(4, T)
    right = cuda.local.array(4, T)
    largest = cuda.local.array(4, T)
    total = cuda.local.array(4, T)
    results = cuda.local.array(RESULTS, T)
    thread = uint32(cuda.threadIdx.x)
    x = thread % uint32(8)
    y = thread // uint32(8)
    column0 = int64(cuda.blockIdx.x) % chunks * int64(WIDE)
    rest = int64(cuda.blockIdx.x) // chunks
    first = rest % blocks * int64(SIDE)
    head = rest // blocks
    batch = head // heads
    h = head % heads
    q_at = batch * q_batch + h * q_head + first * q_row
    k_at = batch * k_batch + h * k_head
    v_at = batch * v_batch + h * v_head + column0
    mask_at = batch * mask_batch + h * mask_head
    for i in range(4):
        largest[i] = T(-inf)
        total[i] = T(0)
    for n in range(RESULTS):
        results[n] = T(0)
    end = keys
    if CAUSAL:
        end = min(keys, first + int64(SIDE))
    begin = int64(0)
    while begin < end:
        count = min(keys - begin, int64(SIDE))
        tile_of_products(
            sums, left, right, tiles, q, q_at, q_row, rows - first, k, k_at + begin * k_row, k_row, count, depth, thread
        )
        if DROPOUT:
            fill_factors(weights, head * rows + first, keys, begin, threshold, key, offset, kept, thread)
            cuda.syncthreads()
        for i in range(4):
            row = first + int64(y) + int64(i * 8)
            peak = largest[i]
            for j in range(4):
                number = begin + int64(x) + int64(j * 8)
                sums[i * 4 + j] = score_of(
                    sums[i * 4 + j], scale, mask, mask_at, mask_row, mask_key, row, rows, number, keys
                )
                peak = maximum(peak, sums[i * 4 + j])
            for n in range(3):
                peak = maximum(peak, cuda.shfl_xor_sync(0xFFFFFFFF, peak, 4 >> n))
            shift = T(0) if peak == T(-inf) else peak
            part = T(0)
            for j in range(4):
                probability = exp(sums[i * 4 + j] - shift)
                part += probability
                at = (y + uint32(i * 8)) * uint32(PITCH) + x + uint32(j * 8)
                if DROPOUT:
                    weights[at] = probability * weights[at]
                else:
                    weights[at] = probability
            for n in range(3):
                part += cuda.shfl_xor_sync(0xFFFFFFFF, part, 4 >> n)
            fading = exp(largest[i] - shift)
            largest[i] = peak
            total[i] = total[i] * fading + part
            for c in range(COLUMNS):
                results[i * COLUMNS + c] *= fading
        load_wide(tiles, v, v_at + begin * v_row, v_row, count, columns - column0, thread)
        cuda.syncthreads()
        add_products(results, left, weights, tiles, count, thread)
        cuda.syncthreads()
        begin += int64(SIDE)
    to = batch * out_batch + h * out_head + column0
    for i in range(4):
        row = first + int64(y) + int64(i * 8)
        if row < rows:
            nothing = total[i] == T(0)
            part = T(0) if nothing else T(1) / total[i]
            if column0 == int64(0) and x == uint32(0):
                lse[head * rows + row] = T(inf) if nothing else largest[i] + log(total[i])
            for c in range(COLUMNS):
                if column0 + int64(x) + int64(c * 8) < columns:
                    out[to + row * out_row + int64(x) + int64(c * 8)] = results[i * COLUMNS + c] * part


@unrolled_kernel(cost=gradient_cost, **_options)
def attention_gradient(
    own: "T*", other: "T*", own2: "T*", other2: "T*", source: "T*", mask: "M*", lse: "T*", delta: "T*", out: "T*",
    heads: "int64", owns: "int64", others: "int64", depth: "int64", depth2: "int64", columns: "int64", blocks: "int64",
    chunks: "int64", own_batch: "int64", own_head: "int64", own_line: "int64", other_batch: "int64", other_head: "int64",
    other_line: "int64", own2_batch: "int64", own2_head: "int64", own2_line: "int64", other2_batch: "int64",
    other2_head: "int64", other2_line: "int64", source_batch: "int64", source_head: "int64", source_line: "int64",
    out_batch: "int64", out_head: "int64", out_line: "int64",
    mask_batch: "int64", mask_head: "int64", mask_row: "int64", mask_key: "int64",
    scale: "T", threshold: "int64", key: "int64", offset: "int64", kept: "T",
):  # fmt: skip
    """Lines of a gradient. With p = exp(score - lse) and dropout's factors z: p z for dv, p (z (g @ v.T) - delta) scale else;
    these weights times the lines of `source` that pass by."""
    tiles = cuda.shared.array(TILES, T)
    weights = cuda.shared.array(WEIGHTS, T)
    sums = cuda.local.array(16, T)
    slopes = cuda.local.array(16, T)
    left = cuda.local.array(4, T)
    right = cuda.local.array(4, T)
    shifts = cuda.local.array(4, T)
    inner = cuda.local.array(4, T)
    results = cuda.local.array(RESULTS, T)
    thread = uint32(cuda.threadIdx.x)
    x = thread % uint32(8)
    y = thread // uint32(8)
    column0 = int64(cuda.blockIdx.x) % chunks * int64(WIDE)
    rest = int64(cuda.blockIdx.x) // chunks
    first = rest % blocks * int64(SIDE)
    head = rest // blocks
    batch = head // heads
    h = head % heads
    own_at = batch * own_batch + h * own_head + first * own_line
    other_at = batch * other_batch + h * other_head
    own2_at = batch * own2_batch + h * own2_head + first * own2_line
    other2_at = batch * other2_batch + h * other2_head
    source_at = batch * source_batch + h * source_head + column0
    mask_at = batch * mask_batch + h * mask_head
    rows = owns if ROWS_OWN else others
    keys = others if ROWS_OWN else owns
    for n in range(RESULTS):
        results[n] = T(0)
    begin = int64(0)
    end = others
    if CAUSAL:
        if ROWS_OWN:
            end = min(others, first + int64(SIDE))
        else:
            begin = first  # rows above see none of these keys
    while begin < end:
        count = min(others - begin, int64(SIDE))
        tile_of_products(
            sums, left, right, tiles, own, own_at, own_line, owns - first,
            other, other_at + begin * other_line, other_line, count, depth, thread,
        )  # fmt: skip
        if SLOPES:
            tile_of_products(
                slopes, left, right, tiles, own2, own2_at, own2_line, owns - first,
                other2, other2_at + begin * other2_line, other2_line, count, depth2, thread,
            )  # fmt: skip
        row0 = first if ROWS_OWN else begin
        if DROPOUT:
            fill_factors(
                weights, head * rows + row0, keys, begin if ROWS_OWN else first, threshold, key, offset, kept, thread
            )
            cuda.syncthreads()
        for n in range(4):
            row = row0 + int64(n * 8) + (int64(y) if ROWS_OWN else int64(x))
            shifts[n] = T(0)
            inner[n] = T(0)
            if row < rows:
                shifts[n] = lse[head * rows + row]
                if SLOPES:
                    inner[n] = delta[head * rows + row]
        for i in range(4):
            for j in range(4):
                here = first + int64(y) + int64(i * 8)
                there = begin + int64(x) + int64(j * 8)
                row = here if ROWS_OWN else there
                number = there if ROWS_OWN else here
                score = score_of(sums[i * 4 + j], scale, mask, mask_at, mask_row, mask_key, row, rows, number, keys)
                probability = exp(score - shifts[i if ROWS_OWN else j])
                at = (y + uint32(i * 8)) * uint32(PITCH) + x + uint32(j * 8)
                factor = T(1)
                if DROPOUT:
                    factor = weights[at]
                if SLOPES:
                    weights[at] = probability * (slopes[i * 4 + j] * factor - inner[i if ROWS_OWN else j]) * scale
                else:
                    weights[at] = probability * factor
        load_wide(tiles, source, source_at + begin * source_line, source_line, count, columns - column0, thread)
        cuda.syncthreads()
        add_products(results, left, weights, tiles, count, thread)
        cuda.syncthreads()
        begin += int64(SIDE)
    to = batch * out_batch + h * out_head + column0
    for i in range(4):
        line = first + int64(y) + int64(i * 8)
        if line < owns:
            for c in range(COLUMNS):
                if column0 + int64(x) + int64(c * 8) < columns:
                    out[to + line * out_line + int64(x) + int64(c * 8)] = results[i * COLUMNS + c]
