"""The kernels of a matrix times a vector: they are as fast as the matrix is read.

    matmul_rows       a matrix whose rows lie in one piece
    matmul_columns    a matrix whose columns do

Arguments, and what completes the text, are those of `matmul_kernels`.
"""

from kernels.cuda.matmul_kernels import parts_of
from kernels.cuda.unrolling import unrolled, unrolled_kernel

# ruff: noqa: F821, SIM102  (cuda, types, functions and numbers in capitals are names of the generated module)
# pyright: reportUndefinedVariable=false


def vector_cost(grid, matrix, x, bias, out, rows, depth, *_):
    """Operations, and bytes if everything passes once."""
    return 2 * rows * depth * max(out.size // max(rows * parts_of(grid), 1), 1), matrix.nbytes + x.nbytes + out.nbytes


@unrolled_kernel(cost=vector_cost)
def matmul_rows(
    matrix: "T*",
    x: "T*",
    bias: "T*",
    out: "O*",
    rows: "int64",
    depth: "int64",
    line: "int64",
    inner: "int64",
    matrix_outer: "int64",
    matrix_inner: "int64",
    x_outer: "int64",
    x_inner: "int64",
    bias_step: "int64",
    chunk: "int64",
    part: "int64",
):
    """LANES threads sum a row, WIDTH neighbours at a time, four such vectors under way; then they add up pairwise."""
    shared = cuda.shared.array(32, R)
    sums = cuda.local.array(SUMS, R)
    thread = uint32(cuda.threadIdx.x)
    blocks = uint32((rows + int64(THREADS // LANES - 1)) // int64(THREADS // LANES))
    batch = int64(uint32(cuda.blockIdx.x) // blocks)
    row = int64(uint32(cuda.blockIdx.x) % blocks) * int64(THREADS // LANES) + int64(thread // uint32(LANES))
    outer = batch // inner
    rest = batch % inner
    begin = int64(cuda.blockIdx.y) * chunk
    end = min(depth, begin + chunk)
    for i in range(SUMS):
        sums[i] = R(0)
    if row < rows:
        k = begin + int64(thread % uint32(LANES)) * int64(WIDTH)
        at = outer * matrix_outer + rest * matrix_inner + row * line
        x_at = outer * x_outer + rest * x_inner
        while k + int64(3 * LANES * WIDTH) < end:
            for u in unrolled(4):
                here = k + int64(u * LANES * WIDTH)
                if WIDTH == 1:
                    sums[u] += widened(matrix[at + here]) * widened(x[x_at + here])
                else:
                    left = LOAD(matrix, at + here)
                    right = LOAD(x, x_at + here)
                    for e in unrolled(WIDTH):
                        sums[u * WIDTH + e] += widened(left[e]) * widened(right[e])
            k += int64(4 * LANES * WIDTH)
        while k < end:
            if WIDTH == 1:
                sums[0] += widened(matrix[at + k]) * widened(x[x_at + k])
            else:
                left = LOAD(matrix, at + k)
                right = LOAD(x, x_at + k)
                for e in unrolled(WIDTH):
                    sums[e] += widened(left[e]) * widened(right[e])
            k += int64(LANES * WIDTH)
    for half in unrolled(LOG_SUMS):
        for i in unrolled(SUMS >> (half + 1)):
            sums[i] = sums[2 * i] + sums[2 * i + 1]
    total = sums[0]
    for half in unrolled(5):
        total += cuda.shfl_xor_sync(uint32(0xFFFFFFFF), total, 16 >> half)
    if LANES > 32:
        if thread % uint32(32) == uint32(0):
            shared[thread // uint32(32)] = total
        cuda.syncthreads()
        total = R(0)
        if thread == uint32(0):
            for w in range(THREADS // 32):
                total += shared[w]
    if thread % uint32(LANES) == uint32(0):
        if row < rows:
            if BIAS:
                total += widened(bias[row * bias_step])
            out[int64(cuda.blockIdx.y) * part + batch * rows + row] = narrowed(activated(total))


@unrolled_kernel(cost=vector_cost)
def matmul_columns(
    matrix: "T*",
    x: "T*",
    bias: "T*",
    out: "O*",
    rows: "int64",
    depth: "int64",
    line: "int64",
    inner: "int64",
    matrix_outer: "int64",
    matrix_inner: "int64",
    x_outer: "int64",
    x_inner: "int64",
    bias_step: "int64",
    chunk: "int64",
    part: "int64",
):
    """A matrix that lies by steps of the depth: a lane sums WIDTH neighbouring results, the block's warps take the steps
    of the depth in turn, and add up in a fixed order."""
    shared = cuda.shared.array(SHARED, R)
    sums = cuda.local.array(SUMS, R)
    thread = uint32(cuda.threadIdx.x)
    lane = thread % uint32(32)
    warp = thread // uint32(32)
    blocks = uint32((rows + int64(32 * WIDTH - 1)) // int64(32 * WIDTH))
    batch = int64(uint32(cuda.blockIdx.x) // blocks)
    first = int64(uint32(cuda.blockIdx.x) % blocks) * int64(32 * WIDTH)
    outer = batch // inner
    rest = batch % inner
    begin = int64(cuda.blockIdx.y) * chunk
    end = min(depth, begin + chunk)
    for i in range(SUMS):
        sums[i] = R(0)
    own = first + int64(lane) * int64(WIDTH)
    if own < rows:
        k = begin + int64(warp)
        at = outer * matrix_outer + rest * matrix_inner + own
        x_at = outer * x_outer + rest * x_inner
        while k + int64(3 * (THREADS // 32)) < end:
            for u in unrolled(4):
                here = k + int64(u * (THREADS // 32))
                factor = widened(x[x_at + here])
                if WIDTH == 1:
                    sums[u] += widened(matrix[at + here * line]) * factor
                else:
                    left = LOAD(matrix, at + here * line)
                    for e in unrolled(WIDTH):
                        sums[u * WIDTH + e] += widened(left[e]) * factor
            k += int64(4 * (THREADS // 32))
        while k < end:
            factor = widened(x[x_at + k])
            if WIDTH == 1:
                sums[0] += widened(matrix[at + k * line]) * factor
            else:
                left = LOAD(matrix, at + k * line)
                for e in unrolled(WIDTH):
                    sums[e] += widened(left[e]) * factor
            k += int64(THREADS // 32)
    for e in unrolled(WIDTH):
        total = (sums[e] + sums[WIDTH + e]) + (sums[2 * WIDTH + e] + sums[3 * WIDTH + e])
        shared[(warp * uint32(WIDTH) + uint32(e)) * uint32(32) + lane] = total
    cuda.syncthreads()
    if thread < uint32(32 * WIDTH):
        row = first + int64(thread)
        if row < rows:
            total = R(0)
            place = thread % uint32(WIDTH) * uint32(32) + thread // uint32(WIDTH)
            for w in range(THREADS // 32):
                total += shared[uint32(w * 32 * WIDTH) + place]
            if BIAS:
                total += widened(bias[row * bias_step])
            out[int64(cuda.blockIdx.y) * part + batch * rows + row] = narrowed(activated(total))
