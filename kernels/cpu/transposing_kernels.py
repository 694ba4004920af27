"""The loops of copies that transpose, of copies row by row, and of joining.

Elements are only moved: their type is any number of their size.
"""

from kernels.cpu.compiler import kernel

# ruff: noqa: F821  (T, int64 and SIDE are names of the generated module)


@kernel(imports="from kernels.cpu.simd_moving import SIDE_{T} as SIDE, transpose_square")
def transpose_tiles(low: "int64", high: "int64", walk: "int64*", x: "T*", out: "T*"):
    """Item by item one tile; `walk` is what `packed` gives."""
    rows = walk[0]
    columns = walk[1]
    step_in = walk[2]
    step_out = walk[3]
    tile_rows = walk[4]
    tile_columns = walk[5]
    across = max(columns // tile_columns, 1)  # the last tile has what is left over, too
    down = max(rows // tile_rows, 1)
    rank = walk[6]
    for item in range(low, high):
        matrix = item // (across * down)
        tile = item - matrix * (across * down)
        at = int64(0)
        to = int64(0)
        for axis in range(rank):  # the fastest first
            size = walk[7 + 3 * axis]
            place = matrix % size
            matrix //= size
            at += place * walk[8 + 3 * axis]
            to += place * walk[9 + 3 * axis]
        i_begin = tile // across * tile_rows
        j_begin = tile % across * tile_columns
        i_end = rows if i_begin // tile_rows == down - 1 else i_begin + tile_rows
        j_end = columns if j_begin // tile_columns == across - 1 else j_begin + tile_columns
        i_whole = i_begin + (i_end - i_begin) // SIDE * SIDE
        j_whole = j_begin + (j_end - j_begin) // SIDE * SIDE
        # A large rest is covered by squares that reach back over what is done already, a small one element by element.
        i_back = i_end - i_whole > SIDE // 4 and i_whole > i_begin
        j_back = j_end - j_whole > SIDE // 4 and j_whole > j_begin
        i_stop = i_end if i_back else i_whole
        j_stop = j_end if j_back else j_whole
        for i0 in range(i_begin, i_stop, SIDE):
            i = min(i0, i_end - SIDE)
            for j0 in range(j_begin, j_stop, SIDE):
                j = min(j0, j_end - SIDE)
                transpose_square(out, to + i * step_out + j, step_out, x, at + i + j * step_in, step_in, SIDE)
        for j in range(j_stop, j_end):
            for i in range(i_begin, i_end):
                out[to + i * step_out + j] = x[at + i + j * step_in]
        for i in range(i_stop, i_end):
            for j in range(j_begin, j_stop):
                out[to + i * step_out + j] = x[at + i + j * step_in]


@kernel(imports="from kernels.cpu.simd_moving import copy_row")
def copy_rows(low: "int64", high: "int64", walk: "int64*", x: "T*", out: "T*"):
    """Item by item `walk[1]` rows of `walk[0]` elements, `walk[2]` apart in x and `walk[3]` in the result."""
    inner = walk[0]
    rank = walk[4]
    for item in range(low, high):
        at = int64(0)
        to = int64(0)
        rest = int64(item)
        for axis in range(rank):  # the fastest first
            size = walk[5 + 3 * axis]
            place = rest % size
            rest //= size
            at += place * walk[6 + 3 * axis]
            to += place * walk[7 + 3 * axis]
        for row in range(walk[1]):
            copy_row(out, to + row * walk[3], x, at + row * walk[2], inner)


@kernel(imports="from kernels.cpu.simd_moving import copy_from")
def join_rows(low: "int64", high: "int64", table: "int64*", out: "uint8*", count: "int64", step: "int64"):
    """Item by item a row of one of `count` arrays into its place in a row of the result.

    table: the arrays' addresses, where each begins in the axis, and the axis's size; `step` bytes to a step along it.
    """
    width = table[2 * count] * step
    for item in range(low, high):
        row = item // count
        piece = item - row * count
        start = table[count + piece] * step
        own = table[count + piece + 1] * step - start
        copy_from(out, row * width + start, table[piece], row * own, own)
