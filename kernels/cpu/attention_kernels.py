# ruff: noqa: F821 - a kernel's own type is called T
"""The loops of attention: tiles of ROWS rows and KEYS keys on the stack, products by the matrix product's register tile.

What is the same for every call of a kind comes as one array `sizes` (strides in elements; features are neighbours):

    0 heads   1 rows   2 keys   3 features of queries and keys   4 features of values
    5 items of a head: blocks of rows forward, parts of the keys backward   6 whether it is causal
    7 the kind of mask: 0 none, 1 added, 2 bools
    8 to 10 strides of q along batch, head, row   11 to 13 of k   14 to 16 of v   17 to 19 of the result
    20 to 23 strides of the mask along batch, head, row, key
    24 to 26 strides of the upstream gradient   27 to 29 of that of q   30 to 32 of k   33 to 35 of v
    36 keys of a part   37 stride of the gradients of q from part to part

An item writes what nobody else does, and its sums run in an order that the sizes determine.
"""

from kernels.cpu.compiler import REASSOCIATE, inlined, kernel
from kernels.cpu.scratch import scratch
from kernels.cpu.simd import DEPTH, multiply_rows, pack_panel
from kernels.cpu.simd import DEPTH_PANEL_float32 as DEPTH_PANEL  # a kernel sees those of its own type
from kernels.cpu.simd import LANES_float32 as LANES
from kernels.cpu.simd import PANEL_float32 as PANEL
from kernels.philox import philox, random_words

ROWS, KEYS = 64, 64  # multiples of a panel's width on every processor
TILE = ROWS * KEYS

_IMPORTS = """from numpy import inf
from numba.core.types import uint64
from kernels.cpu.attention_kernels import KEYS, ROWS, TILE
from kernels.cpu.math_nonpositive import EXP_NONPOSITIVE
from kernels.cpu.scratch import scratch
from kernels.cpu.simd import DEPTH, multiply_rows, pack_panel
from kernels.cpu.simd import DEPTH_PANEL_{T} as DEPTH_PANEL, LANES_{T} as LANES, PANEL_{T} as PANEL
"""
_EXP = "exp_nonpositive = EXP_NONPOSITIVE[T]\n"


def forward_cost(low, high, q, k, v, mask, allowed, out, lse, sizes, *numbers):
    """(operations, bytes) of a launch, for the profiler."""
    return _cost(low, high, sizes, 1, q.nbytes + k.nbytes + v.nbytes + out.nbytes)


def backward_cost(low, high, g, q, k, v, mask, allowed, lse, delta, dq, dk, dv, sizes, *numbers):
    """(operations, bytes) of a launch of the backward pass: five products where the forward pass has two."""
    return _cost(low, high, sizes, 2.5, 2 * (q.nbytes + k.nbytes + v.nbytes) + g.nbytes)


def _cost(low, high, sizes, factor, touched):
    pairs = int(sizes[1]) * int(sizes[2]) / (2 if sizes[6] else 1) / max(int(sizes[5]), 1) * (high - low)
    return int(2 * pairs * int(sizes[3] + sizes[4]) * factor), int(touched)


@inlined
def multiply_turned(out, rows, columns, depth, a, a_at, a_row, b, b_at, b_row, panel):
    """out[i * KEYS + j] = sum over c of a[i, c] * b[j, c]: a tile of scores."""
    for column in range(0, columns, PANEL):
        width = min(PANEL, columns - column)
        for step in range(0, max(depth, 1), DEPTH):
            steps = min(DEPTH, depth - step)
            pack_panel(0, panel, 0, PANEL, b, b_at + column * b_row + step, b_row, 1, width, steps)
            if width > LANES:
                multiply_rows(
                    15, 2, rows, width, steps, a, a_at + step, a_row, 1, panel, 0, PANEL,
                    out, column, KEYS, step, a, 0, 0,
                )  # fmt: skip
            else:
                multiply_rows(
                    15, 1, rows, width, steps, a, a_at + step, a_row, 1, panel, 0, PANEL,
                    out, column, KEYS, step, a, 0, 0,
                )  # fmt: skip


@inlined
def multiply_tile(out, out_at, out_row, rows, columns, depth, tile, tile_row, tile_step, b, b_at, b_row, accumulate, panel):
    """out[i, j] (+)= sum over c of tile[i, c] * b[c, j], for any number of columns."""
    for column in range(0, columns, PANEL):
        width = min(PANEL, columns - column)
        if width == PANEL:  # whole vectors are there to be read in place
            multiply_rows(
                15, 2, rows, width, depth, tile, 0, tile_row, tile_step, b, b_at + column, b_row,
                out, out_at + column, out_row, accumulate, b, 0, 0,
            )  # fmt: skip
            continue
        pack_panel(0, panel, 0, PANEL, b, b_at + column, 1, b_row, width, depth)
        if width > LANES:
            multiply_rows(
                15, 2, rows, width, depth, tile, 0, tile_row, tile_step, panel, 0, PANEL,
                out, out_at + column, out_row, accumulate, b, 0, 0,
            )  # fmt: skip
        else:
            multiply_rows(
                15, 1, rows, width, depth, tile, 0, tile_row, tile_step, panel, 0, PANEL,
                out, out_at + column, out_row, accumulate, b, 0, 0,
            )  # fmt: skip


@inlined
def finish_scores(scores, at, keys, scale, kind, mask, allowed, mask_at, mask_step, visible):
    """Scale a row's scores, apply the mask of this kind, and hide the keys from number `visible` on."""
    for j in range(keys):
        scores[at + j] *= scale
    if kind == 1 and mask_step == 1:
        for j in range(keys):
            scores[at + j] += mask[mask_at + j]
    elif kind == 1:
        for j in range(keys):
            scores[at + j] += mask[mask_at + j * mask_step]
    elif kind == 2:
        for j in range(keys):
            scores[at + j] = scores[at + j] if allowed[mask_at + j * mask_step] else T(-inf)
    for j in range(max(visible, 0), keys):
        scores[at + j] = T(-inf)


@inlined
def dropout_row(factors, keys, threshold, key, block, kept):
    """The factors of a row's next `keys` probabilities: 0 or `kept`. There is room for four more than wanted."""
    limit = uint64(threshold)
    for i in range((keys + 3) // 4):
        a, b, c, d = random_words(key, block + i)
        factors[4 * i] = kept if a < limit else T(0)
        factors[4 * i + 1] = kept if b < limit else T(0)
        factors[4 * i + 2] = kept if c < limit else T(0)
        factors[4 * i + 3] = kept if d < limit else T(0)


_uses = [_EXP, multiply_turned, multiply_tile, finish_scores, philox, random_words, dropout_row]
_options = {"uses": _uses, "fastmath": REASSOCIATE, "imports": _IMPORTS}


@kernel(cost=forward_cost, **_options)
def attention_rows(
    low: "int64", high: "int64", q: "T*", k: "T*", v: "T*", mask: "T*", allowed: "bool*", out: "T*", lse: "T*", sizes: "int64*",
    scale: "T", threshold: "int64", key: "int64", offset: "int64", kept: "T",
):  # fmt: skip
    """An item is ROWS rows of one head: their keys pass by, KEYS at a time."""
    scores = scratch(T, TILE)
    panel = scratch(T, DEPTH_PANEL)
    largest = scratch(T, ROWS)
    total = scratch(T, ROWS)
    factors = scratch(T, KEYS)
    length, features = sizes[2], sizes[4]
    for item in range(low, high):
        head = item // sizes[5]
        first = (item - head * sizes[5]) * ROWS
        batch, h = head // sizes[0], head % sizes[0]
        rows = min(ROWS, sizes[1] - first)
        q_at = batch * sizes[8] + h * sizes[9] + first * sizes[10]
        k_at = batch * sizes[11] + h * sizes[12]
        v_at = batch * sizes[14] + h * sizes[15]
        out_at = batch * sizes[17] + h * sizes[18] + first * sizes[19]
        mask_at = batch * sizes[20] + h * sizes[21] + first * sizes[22]
        row_number = head * sizes[1] + first
        for i in range(rows):
            largest[i] = T(-inf)
            total[i] = T(0)
        end = min(length, first + rows) if sizes[6] else length
        for begin in range(0, end, KEYS):
            keys = min(KEYS, end - begin)
            multiply_turned(scores, rows, keys, sizes[3], q, q_at, sizes[10], k, k_at + begin * sizes[13], sizes[13], panel)
            for i in range(rows):
                at = i * KEYS
                visible = first + i + 1 - begin if sizes[6] else keys
                finish_scores(
                    scores, at, keys, scale, sizes[7], mask, allowed, mask_at + i * sizes[22] + begin * sizes[23], sizes[23],
                    visible,
                )  # fmt: skip
                before = largest[i]
                peak = before
                for j in range(keys):
                    peak = maximum(peak, scores[at + j])
                shift = T(0) if peak == T(-inf) else peak
                part = T(0)
                for j in range(keys):
                    e = exp_nonpositive(scores[at + j] - shift)
                    scores[at + j] = e
                    part += e
                fading = exp_nonpositive(before - shift)
                largest[i] = peak
                total[i] = total[i] * fading + part
                if threshold >= 0:
                    block = offset + (row_number + i) * ((length + 3) // 4) + begin // 4
                    dropout_row(factors, keys, threshold, key, block, kept)
                    for j in range(keys):
                        scores[at + j] *= factors[j]
                if begin and fading != T(1):
                    for c in range(features):
                        out[out_at + i * sizes[19] + c] *= fading
            multiply_tile(
                out, out_at, sizes[19], rows, features, keys, scores, KEYS, 1, v, v_at + begin * sizes[16], sizes[16], begin,
                panel,
            )  # fmt: skip
        for i in range(rows):
            at = out_at + i * sizes[19]
            nothing = total[i] == T(0)
            part = T(0) if nothing else T(1) / total[i]
            lse[row_number + i] = T(inf) if nothing else largest[i] + log(total[i])
            for c in range(features):
                out[at + c] = T(0) if nothing else out[at + c] * part


@kernel(fastmath=REASSOCIATE)
def attention_delta(low: "int64", high: "int64", g: "T*", out: "T*", delta: "T*", sizes: "int64*"):
    """delta = sum(g * out) for each row; an item is a row of all heads."""
    for item in range(low, high):
        head = item // sizes[1]
        row = item - head * sizes[1]
        batch, h = head // sizes[0], head % sizes[0]
        g_at = batch * sizes[24] + h * sizes[25] + row * sizes[26]
        out_at = batch * sizes[17] + h * sizes[18] + row * sizes[19]
        total = T(0)
        for c in range(sizes[4]):
            total += g[g_at + c] * out[out_at + c]
        delta[item] = total


@kernel(cost=backward_cost, **_options)
def attention_gradients(
    low: "int64", high: "int64", g: "T*", q: "T*", k: "T*", v: "T*", mask: "T*", allowed: "bool*", lse: "T*",
    delta: "T*", dq: "T*", dk: "T*", dv: "T*", sizes: "int64*",
    scale: "T", threshold: "int64", key: "int64", offset: "int64", kept: "T",
):  # fmt: skip
    """An item is a part of the keys of one head: for each KEYS of them the rows pass by, and gather their part of dq.

    With p = exp(score - lse) and dropout's factors z: dv = (p z).T @ g, ds = p (z (g @ v.T) - delta) scale, dq = ds @ k,
    dk = ds.T @ q.
    """
    scores = scratch(T, TILE)
    slopes = scratch(T, TILE)
    panel = scratch(T, DEPTH_PANEL)
    factors = scratch(T, KEYS)
    for item in range(low, high):
        head = item // sizes[5]
        number = item - head * sizes[5]
        batch, h = head // sizes[0], head % sizes[0]
        q_at, k_at = batch * sizes[8] + h * sizes[9], batch * sizes[11] + h * sizes[12]
        v_at, g_at = batch * sizes[14] + h * sizes[15], batch * sizes[24] + h * sizes[25]
        dq_at = number * sizes[37] + batch * sizes[27] + h * sizes[28]
        for row in range(sizes[1]):
            for c in range(sizes[3]):
                dq[dq_at + row * sizes[29] + c] = T(0)
        for begin in range(number * sizes[36], min((number + 1) * sizes[36], sizes[2]), KEYS):
            keys = min(KEYS, min((number + 1) * sizes[36], sizes[2]) - begin)
            dk_at = batch * sizes[30] + h * sizes[31] + begin * sizes[32]
            dv_at = batch * sizes[33] + h * sizes[34] + begin * sizes[35]
            top = begin // ROWS * ROWS if sizes[6] else 0  # rows above see none of these keys
            if top >= sizes[1]:
                for j in range(keys):
                    for c in range(sizes[3]):
                        dk[dk_at + j * sizes[32] + c] = T(0)
                    for c in range(sizes[4]):
                        dv[dv_at + j * sizes[35] + c] = T(0)
            for first in range(top, sizes[1], ROWS):
                rows = min(ROWS, sizes[1] - first)
                q_row, g_row = q_at + first * sizes[10], g_at + first * sizes[26]
                k_row, v_row = k_at + begin * sizes[13], v_at + begin * sizes[16]
                mask_at = batch * sizes[20] + h * sizes[21] + first * sizes[22] + begin * sizes[23]
                row_number = head * sizes[1] + first
                multiply_turned(scores, rows, keys, sizes[3], q, q_row, sizes[10], k, k_row, sizes[13], panel)
                multiply_turned(slopes, rows, keys, sizes[4], g, g_row, sizes[26], v, v_row, sizes[16], panel)
                for i in range(rows):
                    at = i * KEYS
                    visible = first + i + 1 - begin if sizes[6] else keys
                    finish_scores(
                        scores, at, keys, scale, sizes[7], mask, allowed, mask_at + i * sizes[22], sizes[23], visible
                    )
                    shift, inner = lse[row_number + i], delta[row_number + i]
                    if threshold >= 0:
                        block = offset + (row_number + i) * ((sizes[2] + 3) // 4) + begin // 4
                        dropout_row(factors, keys, threshold, key, block, kept)
                        for j in range(keys):
                            p = exp_nonpositive(scores[at + j] - shift)
                            scores[at + j] = p * factors[j]
                            slopes[at + j] = p * (slopes[at + j] * factors[j] - inner) * scale
                    else:
                        for j in range(keys):
                            p = exp_nonpositive(scores[at + j] - shift)
                            scores[at + j] = p
                            slopes[at + j] = p * (slopes[at + j] - inner) * scale
                multiply_tile(
                    dv, dv_at, sizes[35], keys, sizes[4], rows, scores, 1, KEYS, g, g_row, sizes[26], first - top, panel
                )
                multiply_tile(
                    dk, dk_at, sizes[32], keys, sizes[3], rows, slopes, 1, KEYS, q, q_row, sizes[10], first - top, panel
                )
                multiply_tile(
                    dq, dq_at + first * sizes[29], sizes[29], rows, sizes[3], keys, slopes, KEYS, 1, k, k_row, sizes[13], 1,
                    panel,
                )  # fmt: skip
