"""The kernel of convolutions: an implicit matrix product, whose right operand is read from windows as it is needed.

Forward, and for the gradient by the input, rows are output channels, columns are positions, and the depth is channels and
taps; for the gradient by the weight columns are channels and taps, and the depth is positions. In both a window's place is a
sum, of what the column says and what the step of the depth says: an offset in memory, and a coordinate along depth, height
and width that decides whether it is inside. Columns and steps are numbers of four digits (image or channel, then three
dimensions), and each digit has its strides; tables in shared memory hold the sums, so that a number is taken apart once per
block and not once per element.
"""

from kernels.cuda.unrolling import unrolled, unrolled_kernel

# ruff: noqa: F821  (cuda, types, functions and numbers in capitals are names of the generated module)
# pyright: reportUndefinedVariable=false


def conv_cost(grid, a, b, bias, out, groups, rows, columns, depth, *_):
    """Operations, and bytes if everything passes once."""
    return 2 * rows * columns * depth * groups, a.nbytes + b.nbytes + out.nbytes


@unrolled_kernel(cost=conv_cost)
def conv_tile(
    a: "T*",
    b: "T*",
    bias: "T*",
    out: "T*",
    groups: "int64",
    rows: "int64",
    columns: "int64",
    depth: "int64",
    a_first: "int64",
    a_group: "int64",
    a_row: "int64",
    b_group: "int64",
    out_first: "int64",
    out_group: "int64",
    out_row: "int64",
    size_z: "int64",
    size_y: "int64",
    size_x: "int64",
    b_z: "int64",
    b_y: "int64",
    b_x: "int64",
    column_z: "int64",
    column_y: "int64",
    column_x: "int64",
    column_b: "int64",
    column_step_z: "int64",
    column_step_y: "int64",
    column_step_x: "int64",
    offset_z: "int64",
    offset_y: "int64",
    offset_x: "int64",
    column_out: "int64",
    column_out_z: "int64",
    column_out_y: "int64",
    column_out_x: "int64",
    depth_z: "int64",
    depth_y: "int64",
    depth_x: "int64",
    depth_b: "int64",
    depth_step_z: "int64",
    depth_step_y: "int64",
    depth_step_x: "int64",
    depth_a: "int64",
    depth_a_z: "int64",
    depth_a_y: "int64",
    depth_a_x: "int64",
    chunk: "int64",
    part: "int64",
):
    """A tile of TILE x TILE results per block, 4 x 4 per thread, summed over `chunk` steps of the depth: blocks y = 0, 1,
    ... take one chunk each, and leave their sums `part` elements apart.

    A column's digits run up to column_z, column_y, column_x (the first is what is left), likewise the depth's. ALONG: steps
    of the depth, not columns, are neighbours in `b`.
    """
    tile_a = cuda.shared.array(AREA, T, alignment=16)
    tile_b = cuda.shared.array(AREA, T, alignment=16)
    column_at = cuda.shared.array(TILE, int64)
    column_to = cuda.shared.array(TILE, int64)
    column_place = cuda.shared.array(TILE_PLACES, int32)
    depth_at = cuda.shared.array(TILE_K, int64)
    depth_from = cuda.shared.array(TILE_K, int64)
    depth_place = cuda.shared.array(DEPTH_PLACES, int32)
    sums = cuda.local.array(16, T)
    left = cuda.local.array(4, T)
    right = cuda.local.array(4, T)
    thread = uint32(cuda.threadIdx.x)
    tiles_m = (rows + int64(TILE - 1)) // int64(TILE)
    group = int64(cuda.blockIdx.x) % groups
    number = int64(cuda.blockIdx.x) // groups
    row0 = number % tiles_m * int64(TILE)
    column0 = number // tiles_m * int64(TILE)
    begin = int64(cuda.blockIdx.y) * chunk
    end = min(depth, begin + chunk)
    a_at = a_first + group * a_group + row0 * a_row
    b_at = group * b_group

    if thread < uint32(TILE):
        column = column0 + int64(thread)
        z = int64(FAR)  # a column beyond the last has its windows outside
        y = int64(0)
        x = int64(0)
        at = int64(0)
        to = int64(0)
        if column < columns:
            x = column % column_x
            y = column // column_x % column_y
            z = column // column_x // column_y % column_z
            first = column // column_x // column_y // column_z
            to = first * column_out + z * column_out_z + y * column_out_y + x * column_out_x
            z = z * column_step_z + offset_z
            y = y * column_step_y + offset_y
            x = x * column_step_x + offset_x
            at = first * column_b + z * b_z + y * b_y + x * b_x
        column_at[thread] = at
        column_to[thread] = to
        column_place[thread] = int32(z)
        column_place[thread + uint32(TILE)] = int32(y)
        column_place[thread + uint32(2 * TILE)] = int32(x)
    for i in unrolled(16):
        sums[i] = T(0)

    while begin < end:
        if thread < uint32(TILE_K):
            step = begin + int64(thread)
            z = int64(FAR)
            y = int64(0)
            x = int64(0)
            at = int64(0)
            start = int64(0)
            if step < end:
                rest = uint32(step)
                x = int64(rest % uint32(depth_x))
                rest = rest // uint32(depth_x)
                y = int64(rest % uint32(depth_y))
                rest = rest // uint32(depth_y)
                z = int64(rest % uint32(depth_z))
                first = int64(rest // uint32(depth_z))
                start = first * depth_a + z * depth_a_z + y * depth_a_y + x * depth_a_x
                z = z * depth_step_z
                y = y * depth_step_y
                x = x * depth_step_x
                at = first * depth_b + z * b_z + y * b_y + x * b_x
            depth_at[thread] = at
            depth_from[thread] = start
            depth_place[thread] = int32(z)
            depth_place[thread + uint32(TILE_K)] = int32(y)
            depth_place[thread + uint32(2 * TILE_K)] = int32(x)
        cuda.syncthreads()
        for v in unrolled(LOADS):
            k = thread % uint32(TILE_K)
            row = thread // uint32(TILE_K) + uint32(v * (THREADS // TILE_K))
            value = T(0)
            if row0 + int64(row) < rows and begin + int64(k) < end:
                value = a[a_at + int64(row) * a_row + depth_from[k]]
            tile_a[k * uint32(PITCH) + row] = value
        for v in unrolled(LOADS):
            if ALONG:
                k = thread % uint32(TILE_K)
                position = thread // uint32(TILE_K) + uint32(v * (THREADS // TILE_K))
            else:
                position = thread % uint32(TILE)
                k = thread // uint32(TILE) + uint32(v * (THREADS // TILE))
            z32 = uint32(column_place[position] + depth_place[k])
            y32 = uint32(column_place[position + uint32(TILE)] + depth_place[k + uint32(TILE_K)])
            x32 = uint32(column_place[position + uint32(2 * TILE)] + depth_place[k + uint32(2 * TILE_K)])
            value = T(0)
            if (z32 < uint32(size_z)) & (y32 < uint32(size_y)) & (x32 < uint32(size_x)):
                value = b[b_at + column_at[position] + depth_at[k]]
            tile_b[k * uint32(PITCH) + position] = value
        cuda.syncthreads()
        own_row = thread // uint32(TILE // 4) * uint32(4)
        own_column = thread % uint32(TILE // 4) * uint32(4)
        for k in range(TILE_K):
            a_from = uint32(k) * uint32(PITCH) + own_row
            b_from = uint32(k) * uint32(PITCH) + own_column
            if VECTOR == 4:
                left[0], left[1], left[2], left[3] = load4(tile_a, a_from)
                right[0], right[1], right[2], right[3] = load4(tile_b, b_from)
            else:
                left[0], left[1] = load2(tile_a, a_from)
                left[2], left[3] = load2(tile_a, a_from + uint32(2))
                right[0], right[1] = load2(tile_b, b_from)
                right[2], right[3] = load2(tile_b, b_from + uint32(2))
            for i in unrolled(4):
                for j in unrolled(4):
                    sums[i * 4 + j] += left[i] * right[j]
        begin += int64(TILE_K)

    cuda.syncthreads()  # the columns' table, where there is no step at all
    first_row = thread // uint32(TILE // 4) * uint32(4)
    first_column = thread % uint32(TILE // 4) * uint32(4)
    base = int64(cuda.blockIdx.y) * part + out_first + group * out_group
    for i in unrolled(4):
        own = row0 + int64(first_row + uint32(i))
        if own < rows:
            extra = T(0)
            if BIAS:
                extra = bias[group * rows + own]
            for j in unrolled(4):
                if column0 + int64(first_column + uint32(j)) < columns:
                    out[base + own * out_row + column_to[first_column + uint32(j)]] = sums[i * 4 + j] + extra
