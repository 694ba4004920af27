"""Matrix products on tensor cores: float16, bfloat16, and float32 by way of tf32.

`mma.sync` multiplies 16x16 by 16x8 (float16, bfloat16) or 16x8 by 8x8 (tf32) and adds in float32. A block computes a tile
of TILE_M x TILE_N results, each of its warps WARP_M x WARP_N of them. Global memory is copied to shared memory in the
background, STAGES tiles ahead of the arithmetic, in pieces of 16 bytes.

Shared memory has 32 banks of 4 bytes: 8 pieces of 16 bytes are read at once if they lie in different eighths of 128 bytes.
A tile's line of 64 bytes (along the depth) or 256 (across it) would put the pieces that an instruction wants in the same
place, so a piece's number within its line is xor-ed with the line's.

tf32 is float32 with 10 bits of fraction. For "3xtf32" each operand is split in two such numbers, x = high + low, and
low*high + high*low + high*high comes within a few units of float32's last place. A number that is infinite, or rounds to
infinity, has no low part: results that it touches may be NaN.
"""

from kernels.cuda.matmul_kernels import matmul_cost, tile_of_block
from kernels.cuda.unrolling import unrolled, unrolled_kernel
from kernels.template import inlined

# ruff: noqa: F821  (cuda, types, functions and numbers in capitals are names of the generated module)
# pyright: reportUndefinedVariable=false


@inlined
def copy(tiles, base, place, at, line, extent, left, thread):
    """Start to copy a tile to shared memory: TILE positions by TILE_K steps of the depth, zeros outside."""
    if ALONG:
        position = thread // uint32(TILE_K // CHUNK)
        step = thread % uint32(TILE_K // CHUNK) * uint32(CHUNK)
        twisted = step ^ (position // uint32(2) % uint32(4) * uint32(CHUNK))
        start = base + position * uint32(TILE_K) + twisted
        begin = at + int64(position) * line + int64(step)
        most = min(max(left, step) - step, uint32(CHUNK))
    else:
        position = thread % uint32(TILE // CHUNK) * uint32(CHUNK)
        step = thread // uint32(TILE // CHUNK)
        start = base + step * uint32(TILE) + (position ^ (step % uint32(MASK) * uint32(SPREAD * CHUNK)))
        begin = at + int64(step) * line + int64(position)
        most = min(max(extent, position) - position, uint32(CHUNK))
    for v in range(LOADS):
        if ALONG:  # the lines of a thread are a multiple of 8 apart, so its pieces are xor-ed with the same number
            to = start + uint32(v * (THREADS // (TILE_K // CHUNK) * TILE_K))
            here = begin + int64(v * (THREADS // (TILE_K // CHUNK))) * line
            valid = select(position + uint32(v * (THREADS // (TILE_K // CHUNK))) < extent, uint32(most), uint32(0))
        else:
            to = start + uint32(v * (THREADS // (TILE // CHUNK) * TILE))
            here = begin + int64(v * (THREADS // (TILE // CHUNK))) * line
            valid = select(step + uint32(v * (THREADS // (TILE // CHUNK))) < left, uint32(most), uint32(0))
        if ASYNC:
            cp_async16_zero(tiles, to, place, here, valid * uint32(16 // CHUNK))
        else:
            for e in range(CHUNK):
                value = T(0)
                if uint32(e) < valid:
                    value = place[here + int64(e)]
                tiles[to + uint32(e)] = value


@inlined
def fragment(tiles, base, first, k, lane):
    """The warp's 16 positions from `first` at substep k as four registers, each of 8 positions and half of the steps.

    As `a` has them: both eights of rows at the first half of the steps, then at the second.
    """
    matrix = lane // uint32(8)
    if ALONG:
        position = first + matrix % uint32(2) * uint32(8) + lane % uint32(8)
        piece = uint32(2 * k) + matrix // uint32(2)
        twisted = piece ^ (position // uint32(2) % uint32(4))
        return ldmatrix_x4(tiles, base + position * uint32(TILE_K) + twisted * uint32(CHUNK))
    elif CHUNK == 8:
        step = uint32(16 * k) + matrix // uint32(2) * uint32(8) + lane % uint32(8)
        piece = first // uint32(8) + matrix % uint32(2)
        return ldmatrix_x4_transposed(tiles, base + step * uint32(TILE) + (piece ^ (step % uint32(MASK))) * uint32(8))
    else:
        low = base + (uint32(8 * k) + lane % uint32(4)) * uint32(TILE)
        high = low + uint32(4 * TILE)
        twist = lane % uint32(4) * uint32(8)
        left = (first + lane // uint32(4)) ^ twist
        right = (first + uint32(8) + lane // uint32(4)) ^ twist
        return (
            uint32(bits_of_float32(tiles[low + left])),
            uint32(bits_of_float32(tiles[low + right])),
            uint32(bits_of_float32(tiles[high + left])),
            uint32(bits_of_float32(tiles[high + right])),
        )


@inlined
def rounded(bits):
    """A float32's bits rounded to tf32."""
    return tf32_of_float32(float32_of_bits(bits))


@inlined
def remainder_of(bits, high):
    """What rounding to tf32 left over, rounded itself."""
    return tf32_of_float32(float32_of_bits(bits) - float32_of_bits(high))


@unrolled_kernel(uses=[tile_of_block, rounded, remainder_of], cost=matmul_cost)
def matmul_tensor(
    a: "T*",
    b: "T*",
    bias: "T*",
    out: "O*",
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
    """A tile of TILE_M x TILE_N results per block, on tensor cores; arguments as of `matmul_tile`.

    At any moment one tile is being multiplied while STAGES - 1 are on their way. There is one barrier per tile: behind it
    all threads have finished the tile before, whose place the next copy takes.
    """
    tiles = cuda.shared.array(SHARED, T, alignment=128)
    sums = cuda.local.array(SUMS, R)
    left = cuda.local.array(8, uint32)
    right = cuda.local.array(RIGHT, uint32)
    thread = uint32(cuda.threadIdx.x)
    lane = thread % uint32(32)
    warp = thread // uint32(32)
    warp_row = warp % uint32(TILE_M // WARP_M) * uint32(WARP_M)
    warp_column = warp // uint32(TILE_M // WARP_M) * uint32(WARP_N)
    batch, row0, column0 = tile_of_block(rows, columns)
    outer = batch // inner
    rest = batch % inner
    begin = int64(cuda.blockIdx.y) * chunk
    steps = max(min(depth - begin, chunk), int64(0))
    extent_m = uint32(min(rows - row0, int64(TILE_M)))
    extent_n = uint32(min(columns - column0, int64(TILE_N)))
    a_at, a_next = origin_a(outer * a_outer + rest * a_inner, row0, a_line, begin)
    b_at, b_next = origin_b(outer * b_outer + rest * b_inner, column0, b_line, begin)

    for i in range(SUMS):
        sums[i] = R(0)
    fetched = int64(0)
    for s in range(STAGES - 1):
        if fetched < steps:
            here = uint32(min(steps - fetched, int64(TILE_K)))
            copy_a(tiles, uint32(s * STAGE), a, a_at, a_line, extent_m, here, thread)
            copy_b(tiles, uint32(s * STAGE + TILE_M * TILE_K), b, b_at, b_line, extent_n, here, thread)
        a_at += a_next
        b_at += b_next
        fetched += int64(TILE_K)
        cp_async_commit()
    base = uint32(0)
    fill = uint32((STAGES - 1) * STAGE)
    done = int64(0)
    while done < steps:
        WAIT()
        cuda.syncthreads()
        if fetched < steps:
            here = uint32(min(steps - fetched, int64(TILE_K)))
            copy_a(tiles, fill, a, a_at, a_line, extent_m, here, thread)
            copy_b(tiles, fill + uint32(TILE_M * TILE_K), b, b_at, b_line, extent_n, here, thread)
        a_at += a_next
        b_at += b_next
        fetched += int64(TILE_K)
        cp_async_commit()
        for k in unrolled(2):
            for j in range(WARP_N // 16):
                from_b = fragment_b(tiles, base + uint32(TILE_M * TILE_K), warp_column + uint32(j * 16), k, lane)
                for r in unrolled(4):  # both halves of the steps for the first 8 columns, then for the others
                    bits = from_b[r % 2 * 2 + r // 2]
                    if CHUNK == 4:
                        right[j * 4 + r] = rounded(bits)
                    else:
                        right[j * 4 + r] = bits
                    if PRODUCTS == 3:
                        right[WARP_N // 4 + j * 4 + r] = remainder_of(bits, right[j * 4 + r])
            for i in range(WARP_M // 16):
                from_a = fragment_a(tiles, base, warp_row + uint32(i * 16), k, lane)
                for r in unrolled(4):
                    if CHUNK == 4:
                        left[r] = rounded(from_a[r])
                    else:
                        left[r] = from_a[r]
                    if PRODUCTS == 3:
                        left[4 + r] = remainder_of(from_a[r], left[r])
                for p in unrolled(PRODUCTS):
                    for j in range(WARP_N // 8):
                        o = i * (WARP_N // 2) + j * 4
                        x = 4 * (PRODUCTS == 3 and p == 0)
                        y = (WARP_N // 4) * (PRODUCTS == 3 and p == 1) + j * 2
                        sums[o], sums[o + 1], sums[o + 2], sums[o + 3] = MMA(
                            left[x], left[x + 1], left[x + 2], left[x + 3], right[y], right[y + 1],
                            sums[o], sums[o + 1], sums[o + 2], sums[o + 3],
                        )  # fmt: skip
        done += int64(TILE_K)
        base = base + uint32(STAGE)
        if base == uint32(STAGES * STAGE):
            base = uint32(0)
        fill = fill + uint32(STAGE)
        if fill == uint32(STAGES * STAGE):
            fill = uint32(0)

    to = int64(cuda.blockIdx.y) * part + (batch * rows + row0) * columns + column0
    for i in range(WARP_M // 16):  # the sums move up, as in `matmul_tile`
        row = warp_row + uint32(i * 16) + lane // uint32(4)
        for j in unrolled(WARP_N // 8):
            column = warp_column + uint32(j * 8) + lane % uint32(4) * uint32(2)
            bias0 = R(0)
            bias1 = R(0)
            if BIAS:
                if column < extent_n:
                    bias0 = widened(bias[column0 + int64(column)])
                if column + uint32(1) < extent_n:
                    bias1 = widened(bias[column0 + int64(column) + int64(1)])
            for half in unrolled(2):
                value0 = narrowed(activated(sums[j * 4 + 2 * half] + bias0))
                value1 = narrowed(activated(sums[j * 4 + 2 * half + 1] + bias1))
                if row + uint32(8 * half) < extent_m:
                    at = to + int64(row + uint32(8 * half)) * columns + int64(column)
                    if OUT_WIDTH == 2:
                        if column < extent_n:
                            store2(out, at, (value0, value1))
                    else:
                        if column < extent_n:
                            out[at] = value0
                        if column + uint32(1) < extent_n:
                            out[at + int64(1)] = value1
        for n in unrolled(SUMS - WARP_N // 2):
            sums[n] = sums[n + WARP_N // 2]
