"""The kernels of running sums, products and the like: along one axis of an (outer, length, inner) array.

A running value has two parts, a and b: see `kernels.scan_operations`, whose `first`, `joined` and `result` are filled in.
With `first` a function of two elements the operation has two operands (BINARY): out[k] = x[k] * out[k-1] + y[k] is the
composition of maps h -> a*h + b.

Columns (neighbours in memory side by side) are walked by one thread each. Rows are cut into tiles of THREADS * PER elements:
`scan_totals` gives the value of each tile, `scan_parts` runs over these, `scan_rows` runs over each tile from the value of
all before it. The order in which stretches are joined depends on sizes alone: results are the same bits from run to run.
"""

from kernels.cuda.compiler import inlined

# ruff: noqa: F821  (cuda, types, functions and numbers in capitals are names of the generated module)


@inlined
def from_below(value, lanes):
    """The value of the lane so many below (of a float or a 64-bit integer)."""
    if IS_FLOAT:
        return cuda.shfl_up_sync(0xFFFFFFFF, value, lanes)
    return T(cuda.shfl_up_sync(0xFFFFFFFF, int64(value), lanes))


@inlined
def block_scan(a, b, warp_a, warp_b):
    """What all threads before this one hold, joined; whether there are any; and (for the last thread) everything joined.

    warp_a, warp_b: shared memory for a number per warp. All threads of the block take part.
    """
    lane = int32(cuda.threadIdx.x) & int32(31)
    warp = int32(cuda.threadIdx.x) >> int32(5)
    step = int32(1)
    while step < int32(32):
        left_a = from_below(a, step)
        left_b = from_below(b, step)
        both_a, both_b = joined(left_a, left_b, a, b)
        a = select(lane >= step, both_a, a)
        b = select(lane >= step, both_b, b)
        step = int32(step * int32(2))
    if lane == int32(31):
        warp_a[warp] = a
        warp_b[warp] = b
    before_a = from_below(a, int32(1))
    before_b = from_below(b, int32(1))
    cuda.syncthreads()
    left_a = warp_a[0]
    left_b = warp_b[0]
    for k in range(1, THREADS // 32):
        more_a, more_b = joined(left_a, left_b, warp_a[k], warp_b[k])
        left_a = select(int32(k) < warp, more_a, left_a)
        left_b = select(int32(k) < warp, more_b, left_b)
    both_a, both_b = joined(left_a, left_b, before_a, before_b)
    all_a, all_b = joined(left_a, left_b, a, b)
    is_first = warp == int32(0)
    whole_a = select(is_first, a, all_a)
    whole_b = select(is_first, b, all_b)
    if lane == int32(0):
        both_a = left_a
        both_b = left_b
    elif warp == int32(0):
        both_a = before_a
        both_b = before_b
    return both_a, both_b, whole_a, whole_b


def scan_columns(x: "T*", y: "T*", out: "T*", columns: "int64", length: "int64", inner: "int64"):
    item = int64(cuda.blockIdx.x) * int64(THREADS) + int64(cuda.threadIdx.x)
    if item < columns:
        outer = item // inner
        at = outer * length * inner + (item - outer * inner)
        a, b = first(x[at], y[at])
        out[at] = result(a, b)
        for _ in range(1, length):
            at = at + inner
            c, d = first(x[at], y[at])
            a, b = joined(a, b, c, d)
            out[at] = result(a, b)


@inlined
def load_tile(tile_x, tile_y, x, y, row, begin, count):
    """Elements of a tile into shared memory, neighbours by neighbouring threads; every 32nd place is left free."""
    thread = int32(cuda.threadIdx.x)
    for k in range(PER):
        i = int32(k * THREADS + thread)
        if int64(i) < count:
            tile_x[i + (i >> int32(5))] = x[row + begin + int64(i)]
            if BINARY:
                tile_y[i + (i >> int32(5))] = y[row + begin + int64(i)]
    cuda.syncthreads()


def scan_totals(x: "T*", y: "T*", out_a: "T*", out_b: "T*", length: "int64", tiles: "int64"):
    tile_x = cuda.shared.array(TILE, T)
    tile_y = cuda.shared.array(TILE_Y, T)
    warp_a = cuda.shared.array(WARPS, T)
    warp_b = cuda.shared.array(WARPS, T)
    block = int64(cuda.blockIdx.x)
    row = block // tiles
    begin = (block - row * tiles) * int64(THREADS * PER)
    load_tile(tile_x, tile_y, x, y, row * length, begin, min(length - begin, int64(THREADS * PER)))
    at = int32(cuda.threadIdx.x) * int32(PER)
    a = T(0)
    b = T(0)
    for k in range(PER):  # only whole tiles come here
        i = int32(at + k) + (int32(at + k) >> int32(5))
        c, d = first(tile_x[i], tile_y[i if BINARY else 0])
        if k == 0:
            a = c
            b = d
        else:
            a, b = joined(a, b, c, d)
    _before_a, _before_b, a, b = block_scan(a, b, warp_a, warp_b)
    if int32(cuda.threadIdx.x) == int32(THREADS - 1):
        out_a[block] = a
        out_b[block] = b


# The values of the tiles of each row become those of all tiles up to each.


def scan_parts(part_a: "T*", part_b: "T*", out_a: "T*", out_b: "T*", parts: "int64"):
    warp_a = cuda.shared.array(WARPS, T)
    warp_b = cuda.shared.array(WARPS, T)
    carried_a = cuda.shared.array(1, T)
    carried_b = cuda.shared.array(1, T)
    thread = int64(cuda.threadIdx.x)
    start = int64(cuda.blockIdx.x) * parts
    begin = int64(0)
    while begin < parts:
        j = min(begin + thread, parts - int64(1))  # those behind the end do no harm: nothing comes after them
        a = part_a[start + j]
        b = part_b[start + j]
        _before_a, _before_b, a, b = block_scan(a, b, warp_a, warp_b)
        if begin > int64(0):
            a, b = joined(carried_a[0], carried_b[0], a, b)
        if begin + thread < parts:
            out_a[start + j] = a
            out_b[start + j] = b
        cuda.syncthreads()
        if thread == int64(THREADS - 1):
            carried_a[0] = a
            carried_b[0] = b
        cuda.syncthreads()
        begin = begin + int64(THREADS)


def scan_rows(x: "T*", y: "T*", part_a: "T*", part_b: "T*", out: "T*", length: "int64", tiles: "int64"):
    tile_x = cuda.shared.array(TILE, T)
    tile_y = cuda.shared.array(TILE_Y, T)
    warp_a = cuda.shared.array(WARPS, T)
    warp_b = cuda.shared.array(WARPS, T)
    block = int64(cuda.blockIdx.x)
    row = block // tiles
    tile = block - row * tiles
    begin = tile * int64(THREADS * PER)
    count = min(length - begin, int64(THREADS * PER))
    load_tile(tile_x, tile_y, x, y, row * length, begin, count)
    thread = int32(cuda.threadIdx.x)
    at = int32(thread * int32(PER))
    a = T(0)
    b = T(0)
    for k in range(PER):
        j = int32(at + k)
        i = j + (j >> int32(5))
        if int64(j) < count:
            c, d = first(tile_x[i], tile_y[i if BINARY else 0])
            if k == 0:
                a = c
                b = d
            else:
                a, b = joined(a, b, c, d)
    before_a, before_b, c, d = block_scan(a, b, warp_a, warp_b)
    has_before = thread > int32(0)
    if tile > int64(0):
        # There is one part less than tiles: nothing comes after the last.
        c = part_a[row * (tiles - int64(1)) + tile - int64(1)]
        d = part_b[row * (tiles - int64(1)) + tile - int64(1)]
        if has_before:
            before_a, before_b = joined(c, d, before_a, before_b)
        else:
            before_a = c
            before_b = d
        has_before = True
    for k in range(PER):
        j = int32(at + k)
        i = j + (j >> int32(5))
        if int64(j) < count:
            c, d = first(tile_x[i], tile_y[i if BINARY else 0])
            if (k == 0) & (not has_before):
                a = c
                b = d
            elif k == 0:
                a, b = joined(before_a, before_b, c, d)
            else:
                a, b = joined(a, b, c, d)
            tile_x[i] = result(a, b)
    cuda.syncthreads()
    for k in range(PER):
        i = int32(k * THREADS + thread)
        if int64(i) < count:
            out[row * length + begin + int64(i)] = tile_x[i + (i >> int32(5))]
