"""The kernels of matrix products in full precision: a register tile for large products, and one each for what is special.

    matmul_tile       float32, float64: a block of threads computes a tile of the result, a thread 8x8 (or 4x4) of it
    matmul_rows       a matrix whose rows lie in one piece times a vector
    matmul_columns    a matrix whose columns do, times a vector
    matmul_integers   integers and bool, any strides
    matmul_combine    the sum over parts of the depth, which the others leave in pieces where the result is small

An operand is *along* the depth where its elements of one row of `a` (one column of `b`) are neighbours, and *across* it
where those of one step of the depth are. All take sizes and strides as numbers; `inner`, `a_outer`, ... say where matrix
number `batch` lies: at batch // inner * a_outer + batch % inner * a_inner.

A kernel's text is completed when it is specialised: `widened` turns what is in memory into what is computed with,
`activated` is the function that is applied to each result, and `narrowed` turns that into what is stored.
"""

from kernels.cuda.unrolling import unrolled, unrolled_kernel
from kernels.template import inlined

# --- the register tile ------------------------------------------------------------------------------------------------


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
    for v in unrolled(LOADS):
        if ALONG:
            inside = (step < left) & (position + uint32(v * (THREADS // (TILE_K // WIDTH))) < extent)
            here = begin + int64(v * (THREADS // (TILE_K // WIDTH))) * line
        else:
            inside = (position < extent) & (step + uint32(v * (THREADS // (TILE // WIDTH))) < left)
            here = begin + int64(v * (THREADS // (TILE // WIDTH))) * line
        for e in unrolled(WIDTH):
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
        for v in unrolled(LOADS):
            for e in unrolled(WIDTH):
                line = base + (step + uint32(e)) * uint32(TILE)
                tiles[line + ((position + uint32(v * (THREADS // (TILE_K // WIDTH)))) ^ group)] = staged[v * WIDTH + e]
    else:
        position = thread % uint32(TILE // WIDTH) * uint32(WIDTH)
        step = thread // uint32(TILE // WIDTH)
        for v in unrolled(LOADS):
            to = base + (step + uint32(v * (THREADS // (TILE // WIDTH)))) * uint32(TILE) + position
            if WIDTH == 4:
                store4(tiles, to, (staged[v * 4], staged[v * 4 + 1], staged[v * 4 + 2], staged[v * 4 + 3]))
            elif WIDTH == 2:
                store2(tiles, to, (staged[v * 2], staged[v * 2 + 1]))
            else:
                tiles[to] = staged[v]


def matmul_cost(grid, a, b, bias, out, rows, columns, depth, *_):
    """Operations, and bytes if everything passes once."""
    items = max(out.size // max(rows * columns, 1), 1)
    return 2 * rows * columns * depth * items, a.nbytes + b.nbytes + out.nbytes


@unrolled_kernel(cost=matmul_cost)
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
    out_row: "int64",
    inner: "int64",
    a_outer: "int64",
    a_inner: "int64",
    b_outer: "int64",
    b_inner: "int64",
    out_outer: "int64",
    out_inner: "int64",
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

    # Blocks that run at the same time share lines of both operands: eight tiles of rows go through all columns together.
    tiles_m = uint32((rows + int64(TILE_M - 1)) // int64(TILE_M))
    tiles_n = uint32((columns + int64(TILE_N - 1)) // int64(TILE_N))
    batch = uint32(cuda.blockIdx.x) // (tiles_m * tiles_n)
    number = uint32(cuda.blockIdx.x) % (tiles_m * tiles_n)
    first = number // (uint32(8) * tiles_n) * uint32(8)
    together = min(tiles_m - first, uint32(8))
    within = number % (uint32(8) * tiles_n)
    row0 = int64(first + within % together) * int64(TILE_M)
    column0 = int64(within // together) * int64(TILE_N)
    outer = int64(batch) // inner
    rest = int64(batch) % inner
    begin = int64(cuda.blockIdx.y) * chunk
    end = min(depth, begin + chunk)
    extent_m = uint32(min(rows - row0, int64(TILE_M)))
    extent_n = uint32(min(columns - column0, int64(TILE_N)))
    if A_ALONG:
        a_at = outer * a_outer + rest * a_inner + row0 * a_line + begin
        a_next = int64(TILE_K)
    else:
        a_at = outer * a_outer + rest * a_inner + begin * a_line + row0
        a_next = int64(TILE_K) * a_line
    if B_ALONG:
        b_at = outer * b_outer + rest * b_inner + column0 * b_line + begin
        b_next = int64(TILE_K)
    else:
        b_at = outer * b_outer + rest * b_inner + begin * b_line + column0
        b_next = int64(TILE_K) * b_line

    for i in unrolled(SUMS):
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
        for g in ROLLED(TILE_K // VECTOR):
            swizzle_a = uint32(g) * uint32(SWIZZLE * A_ALONG)
            swizzle_b = uint32(g) * uint32(SWIZZLE * B_ALONG)
            a_line0 = base + uint32(g) * uint32(VECTOR * TILE_M)
            b_line0 = base + uint32(TILE_M * TILE_K) + uint32(g) * uint32(VECTOR * TILE_N)
            for k in unrolled(VECTOR):
                for h in unrolled(GROUPS):
                    a_from = a_line0 + uint32(k * TILE_M) + ((own_row + uint32(h * 4 * VECTOR)) ^ swizzle_a)
                    b_from = b_line0 + uint32(k * TILE_N) + ((own_column + uint32(h * 8 * VECTOR)) ^ swizzle_b)
                    if VECTOR == 4:
                        left[h * 4], left[h * 4 + 1], left[h * 4 + 2], left[h * 4 + 3] = load4(tiles, a_from)
                        right[h * 4], right[h * 4 + 1], right[h * 4 + 2], right[h * 4 + 3] = load4(tiles, b_from)
                    else:
                        left[h * 2], left[h * 2 + 1] = load2(tiles, a_from)
                        right[h * 2], right[h * 2 + 1] = load2(tiles, b_from)
                for i in unrolled(GROUPS * VECTOR):
                    for j in unrolled(GROUPS * VECTOR):
                        sums[i * GROUPS * VECTOR + j] += left[i] * right[j]
        base = base ^ uint32(SHARED // 2)
        if begin < end:
            put_a(tiles, base, thread, staged_a)
            put_b(tiles, base + uint32(TILE_M * TILE_K), thread, staged_b)
        cuda.syncthreads()

    to = int64(cuda.blockIdx.y) * part + outer * out_outer + rest * out_inner + row0 * out_row + column0
    for h in unrolled(GROUPS):
        column = own_column + uint32(h * 8 * VECTOR)
        for e in unrolled(VECTOR):
            right[h * VECTOR + e] = T(0)
            if BIAS:
                if column + uint32(e) < extent_n:
                    right[h * VECTOR + e] = bias[column0 + int64(column) + int64(e)]
    for i in unrolled(GROUPS * VECTOR):
        row = own_row + uint32(i // VECTOR * 4 * VECTOR + i % VECTOR)
        if row < extent_m:
            line = to + int64(row) * out_row
            for h in unrolled(GROUPS):
                column = own_column + uint32(h * 8 * VECTOR)
                for e in unrolled(VECTOR):
                    j = h * VECTOR + e
                    left[e] = activated(sums[i * GROUPS * VECTOR + h * VECTOR + e] + right[h * VECTOR + e])
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
