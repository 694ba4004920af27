"""The kernels of matrix products in full precision; `matvec_kernels` and `matmul_tensor` have the others.

    matmul_tile       float32, float64: a block of threads computes a tile of the result, a thread 8x8 (or 4x4) of it
    matmul_shared     integers and bool, any strides
    matmul_combine    the sum over parts of the depth, which the others leave in pieces where the result is small

An operand is *along* the depth where its elements of one row of `a` (one column of `b`) are neighbours, and *across* it
where those of one step of the depth are. All take sizes and strides as numbers; `inner`, `a_outer`, ... say where matrix
number `batch` lies: at batch // inner * a_outer + batch % inner * a_inner.

A kernel's text is completed when it is specialised: `widened` turns what is in memory into what is computed with,
`activated` is the function that is applied to each result, and `narrowed` turns that into what is stored.
"""

from kernels.cuda.unrolling import unrolled, unrolled_kernel
from kernels.template import inlined

# ruff: noqa: F821, SIM102  (cuda, types, functions and numbers in capitals are names of the generated module)
# pyright: reportUndefinedVariable=false

# --- the register tile ------------------------------------------------------------------------------------------------


@inlined
def tile_of_block(rows, columns):
    """(number in the batch, first row, first column) of this block's tile.

    Blocks that run at the same time share lines of both operands: eight tiles of rows go through all columns together.
    """
    tiles_m = uint32((rows + int64(TILE_M - 1)) // int64(TILE_M))
    tiles_n = uint32((columns + int64(TILE_N - 1)) // int64(TILE_N))
    batch = uint32(cuda.blockIdx.x) // (tiles_m * tiles_n)
    number = uint32(cuda.blockIdx.x) % (tiles_m * tiles_n)
    first = number // (uint32(8) * tiles_n) * uint32(8)
    together = min(tiles_m - first, uint32(8))
    within = number % (uint32(8) * tiles_n)
    return int64(batch), int64(first + within % together) * int64(TILE_M), int64(within // together) * int64(TILE_N)


@inlined
def origin(matrix, first, line, begin):
    """Where an operand's first tile begins, at position `first` and step `begin` of its matrix; how far on the next does."""
    if ALONG:
        return matrix + first * line + begin, int64(TILE_K)
    else:
        return matrix + begin * line + first, int64(TILE_K) * line


@inlined
def fetch(place, at, line, extent, left, thread, staged):
    """Load this thread's share of a tile, TILE positions by TILE_K steps of the depth, into registers; zeros outside."""
    if ALONG:
        position = thread // uint32(TILE_K // WIDTH)
        step = thread % uint32(TILE_K // WIDTH) * uint32(WIDTH)
        begin = at + int64(position) * line + int64(step)
    else:
        position = thread % uint32(TILE // WIDTH) * uint32(WIDTH)
        step = thread // uint32(TILE // WIDTH)
        begin = at + int64(step) * line + int64(position)
    for v in range(LOADS):
        if ALONG:
            inside = (step < left) & (position + uint32(v * (THREADS // (TILE_K // WIDTH))) < extent)
            here = begin + int64(v * (THREADS // (TILE_K // WIDTH))) * line
        else:
            inside = (position < extent) & (step + uint32(v * (THREADS // (TILE // WIDTH))) < left)
            here = begin + int64(v * (THREADS // (TILE // WIDTH))) * line
        for e in range(WIDTH):
            staged[v * WIDTH + e] = T(0)
        if inside:
            if WIDTH == 4:
                staged[v * 4], staged[v * 4 + 1], staged[v * 4 + 2], staged[v * 4 + 3] = load4(place, here)
            elif WIDTH == 2:
                staged[v * 2], staged[v * 2 + 1] = load2(place, here)
            else:
                staged[v] = place[here]


@inlined
def put(tiles, base, thread, staged):
    """Store what `fetch` loaded in shared memory, one step of the depth after the other.

    Along the depth, neighbouring threads hold different steps of the same position, which would all fall into one bank of
    shared memory. So position p of step k is kept at p ^ (k // VECTOR * SWIZZLE), which spreads them over all banks.
    """
    if ALONG:
        position = thread // uint32(TILE_K // WIDTH)
        step = thread % uint32(TILE_K // WIDTH) * uint32(WIDTH)
        group = step // uint32(VECTOR) * uint32(SWIZZLE)
        for v in range(LOADS):
            for e in range(WIDTH):
                line = base + (step + uint32(e)) * uint32(TILE)
                tiles[line + ((position + uint32(v * (THREADS // (TILE_K // WIDTH)))) ^ group)] = staged[v * WIDTH + e]
    else:
        position = thread % uint32(TILE // WIDTH) * uint32(WIDTH)
        step = thread // uint32(TILE // WIDTH)
        for v in range(LOADS):
            to = base + (step + uint32(v * (THREADS // (TILE // WIDTH)))) * uint32(TILE) + position
            if WIDTH == 4:
                store4(tiles, to, (staged[v * 4], staged[v * 4 + 1], staged[v * 4 + 2], staged[v * 4 + 3]))
            elif WIDTH == 2:
                store2(tiles, to, (staged[v * 2], staged[v * 2 + 1]))
            else:
                tiles[to] = staged[v]


def parts_of(grid):
    """In how many parts the depth is cut: a row of blocks for each."""
    return grid[1] if isinstance(grid, tuple) else 1


def matmul_cost(grid, a, b, bias, out, rows, columns, depth, *_):
    """Operations, and bytes if everything passes once."""
    items = max(out.size // max(rows * columns * parts_of(grid), 1), 1)
    return 2 * rows * columns * depth * items, a.nbytes + b.nbytes + out.nbytes


@unrolled_kernel(uses=[tile_of_block], cost=matmul_cost)
def matmul_tile(
    a: "T*",
    b: "T*",
    bias: "T*",
    out: "T*",
    rows: "int64",
    columns: "int64",
    depth: "int64",
    a_line: "int64",
    b_line: "int64",
    inner: "int64",
    a_outer: "int64",
    a_inner: "int64",
    b_outer: "int64",
    b_inner: "int64",
    chunk: "int64",
    part: "int64",
):
    """A tile of TILE_M x TILE_N results per block, summed over `chunk` steps of the depth: blocks y = 0, 1, ... take one
    chunk each, and leave their sums `part` elements apart.

    Per step of the depth a thread reads 2 * GROUPS vectors from shared memory and does (GROUPS * VECTOR) ** 2
    multiply-adds with them. The lanes of a warp stand 4 x 8, so that each of those reads is free of bank conflicts. There
    are two tiles of each operand in shared memory: while one is used, the next is on its way through registers.
    """
    tiles = cuda.shared.array(SHARED, T, alignment=16)
    sums = cuda.local.array(SUMS, T)
    left = cuda.local.array(FRAGMENT, T)
    right = cuda.local.array(FRAGMENT, T)
    staged_a = cuda.local.array(STAGED_A, T)
    staged_b = cuda.local.array(STAGED_B, T)
    thread = uint32(cuda.threadIdx.x)
    lane = thread % uint32(32)
    warp = thread // uint32(32)
    own_row = warp % uint32(WARPS_M) * uint32(4 * GROUPS * VECTOR) + lane // uint32(8) * uint32(VECTOR)
    own_column = warp // uint32(WARPS_M) * uint32(8 * GROUPS * VECTOR) + lane % uint32(8) * uint32(VECTOR)

    batch, row0, column0 = tile_of_block(rows, columns)
    outer = batch // inner
    rest = batch % inner
    begin = int64(cuda.blockIdx.y) * chunk
    end = min(depth, begin + chunk)
    extent_m = uint32(min(rows - row0, int64(TILE_M)))
    extent_n = uint32(min(columns - column0, int64(TILE_N)))
    a_at, a_next = origin_a(outer * a_outer + rest * a_inner, row0, a_line, begin)
    b_at, b_next = origin_b(outer * b_outer + rest * b_inner, column0, b_line, begin)

    for i in range(SUMS):
        sums[i] = T(0)
    if begin < end:
        here = uint32(min(end - begin, int64(TILE_K)))
        fetch_a(a, a_at, a_line, extent_m, here, thread, staged_a)
        fetch_b(b, b_at, b_line, extent_n, here, thread, staged_b)
        put_a(tiles, uint32(0), thread, staged_a)
        put_b(tiles, uint32(TILE_M * TILE_K), thread, staged_b)
    cuda.syncthreads()
    base = uint32(0)
    while begin < end:
        begin += int64(TILE_K)
        if begin < end:
            a_at += a_next
            b_at += b_next
            here = uint32(min(end - begin, int64(TILE_K)))
            fetch_a(a, a_at, a_line, extent_m, here, thread, staged_a)
            fetch_b(b, b_at, b_line, extent_n, here, thread, staged_b)
        for g in STEPS(TILE_K // VECTOR):
            swizzle_a = uint32(g) * uint32(SWIZZLE * A_ALONG)
            swizzle_b = uint32(g) * uint32(SWIZZLE * B_ALONG)
            a_line0 = base + uint32(g) * uint32(VECTOR * TILE_M)
            b_line0 = base + uint32(TILE_M * TILE_K) + uint32(g) * uint32(VECTOR * TILE_N)
            for k in unrolled(VECTOR):
                for h in range(GROUPS):
                    a_from = a_line0 + uint32(k * TILE_M) + ((own_row + uint32(h * 4 * VECTOR)) ^ swizzle_a)
                    b_from = b_line0 + uint32(k * TILE_N) + ((own_column + uint32(h * 8 * VECTOR)) ^ swizzle_b)
                    if VECTOR == 4:
                        left[h * 4], left[h * 4 + 1], left[h * 4 + 2], left[h * 4 + 3] = load4(tiles, a_from)
                        right[h * 4], right[h * 4 + 1], right[h * 4 + 2], right[h * 4 + 3] = load4(tiles, b_from)
                    else:
                        left[h * 2], left[h * 2 + 1] = load2(tiles, a_from)
                        right[h * 2], right[h * 2 + 1] = load2(tiles, b_from)
                for i in range(GROUPS * VECTOR):
                    for j in range(GROUPS * VECTOR):
                        sums[i * GROUPS * VECTOR + j] += left[i] * right[j]
        base = base ^ uint32(SHARED // 2)
        if begin < end:
            put_a(tiles, base, thread, staged_a)
            put_b(tiles, base + uint32(TILE_M * TILE_K), thread, staged_b)
        cuda.syncthreads()

    to = int64(cuda.blockIdx.y) * part + (batch * rows + row0) * columns + column0
    for h in range(GROUPS):
        column = own_column + uint32(h * 8 * VECTOR)
        for e in range(VECTOR):
            right[h * VECTOR + e] = T(0)
            if BIAS:
                if column + uint32(e) < extent_n:
                    right[h * VECTOR + e] = bias[column0 + int64(column) + int64(e)]
    # With a long activation the loop over rows stays a loop. So that every sum has a fixed register nevertheless, the rows
    # move up: the one that is finished is always the first. Where the compiler unrolls the loop that costs nothing.
    for i in range(GROUPS * VECTOR):
        row = own_row + uint32(i // VECTOR * 4 * VECTOR + i % VECTOR)
        if row < extent_m:
            line = to + int64(row) * columns
            for h in unrolled(GROUPS):
                column = own_column + uint32(h * 8 * VECTOR)
                for e in unrolled(VECTOR):
                    left[e] = activated(sums[h * VECTOR + e] + right[h * VECTOR + e])
                if OUT_WIDTH == 4:
                    if column < extent_n:
                        store4(out, line + int64(column), (left[0], left[1], left[2], left[3]))
                elif OUT_WIDTH == 2:
                    if column < extent_n:
                        store2(out, line + int64(column), (left[0], left[1]))
                else:
                    for e in unrolled(VECTOR):
                        if column + uint32(e) < extent_n:
                            out[line + int64(column) + int64(e)] = left[e]
        for n in unrolled(SUMS - GROUPS * VECTOR):
            sums[n] = sums[n + GROUPS * VECTOR]


# --- any strides, any numbers -----------------------------------------------------------------------------------------


@unrolled_kernel(cost=matmul_cost)
def matmul_shared(
    a: "T*",
    b: "T*",
    bias: "T*",
    out: "O*",
    rows: "int64",
    columns: "int64",
    depth: "int64",
    a_row: "int64",
    a_step: "int64",
    b_step: "int64",
    b_column: "int64",
    inner: "int64",
    a_outer: "int64",
    a_inner: "int64",
    b_outer: "int64",
    b_inner: "int64",
):
    """A thread per result; a block of TILE x TILE threads brings tiles of both operands to shared memory, one element per
    thread, so that each is read from global memory once per block and not once per thread."""
    tile_a = cuda.shared.array(AREA, R)
    tile_b = cuda.shared.array(AREA, R)
    thread = uint32(cuda.threadIdx.x)
    x = thread % uint32(TILE)
    y = thread // uint32(TILE)
    tiles_m = uint32((rows + int64(TILE - 1)) // int64(TILE))
    tiles_n = uint32((columns + int64(TILE - 1)) // int64(TILE))
    batch = int64(uint32(cuda.blockIdx.x) // (tiles_m * tiles_n))
    number = uint32(cuda.blockIdx.x) % (tiles_m * tiles_n)
    row = int64(number // tiles_n) * int64(TILE) + int64(y)
    column = int64(number % tiles_n) * int64(TILE) + int64(x)
    a_at = batch // inner * a_outer + batch % inner * a_inner + row * a_row
    b_at = batch // inner * b_outer + batch % inner * b_inner + column * b_column
    total = R(0)
    first = int64(0)
    while first < depth:
        value_a = R(0)
        value_b = R(0)
        if row < rows and first + int64(x) < depth:
            value_a = widened(a[a_at + (first + int64(x)) * a_step])
        if column < columns and first + int64(y) < depth:
            value_b = widened(b[b_at + (first + int64(y)) * b_step])
        tile_a[y * uint32(TILE) + x] = value_a
        tile_b[y * uint32(TILE) + x] = value_b
        cuda.syncthreads()
        for k in range(TILE):
            total += tile_a[y * uint32(TILE) + uint32(k)] * tile_b[uint32(k) * uint32(TILE) + x]
        cuda.syncthreads()
        first += int64(TILE)
    if row < rows and column < columns:
        if BIAS:
            total += widened(bias[column])
        out[(batch * rows + row) * columns + column] = narrowed(activated(total))


@unrolled_kernel()
def matmul_combine(parts: "R*", bias: "T*", out: "O*", count: "int64", bias_size: "int64", splits: "int64"):
    """Add the sums over parts of the depth, in order, and finish: a thread per result."""
    i = int64(cuda.blockIdx.x) * int64(THREADS) + int64(cuda.threadIdx.x)
    if i < count:
        total = parts[i]
        for split in range(1, splits):
            total += parts[int64(split) * count + i]
        if BIAS:
            total += widened(bias[i % bias_size])
        out[i] = narrowed(activated(total))
