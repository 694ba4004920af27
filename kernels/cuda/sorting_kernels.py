"""The kernels of sorting: unsigned keys in the order of the elements, sorted in shared memory, then merged.

Keys are those of `kernels.cpu.sorting_kernels`, of 32 or 64 bits. A block sorts tiles of TILE pairs (key, place) by Batcher's
bitonic network; of equal keys the lower place comes first, so that the order is stable. Longer rows are then merged, two
stretches at a time: every element finds its place in the result by a binary search in the other stretch.
"""

from kernels.cuda.compiler import inlined

# ruff: noqa: F821  (cuda, types, functions and numbers in capitals are names of the generated module)


@inlined
def unsigned_key(v):
    """Bool and unsigned integers as they are."""
    return K(v)


@inlined
def signed_key(v):
    """Signed integers with the sign turned over."""
    return K(K(v) ^ SIGN_BIT)


@inlined
def float32_key(v):
    """float32: all bits of negative numbers turned over, one key for both zeros, the largest for NaN."""
    bits = uint32(bits_of_float32(v + float32(0)))
    turned = select(v < float32(0), uint32(~bits), uint32(bits | uint32(SIGN_BIT)))
    return select(v == v, turned, uint32(NOT_A_NUMBER))


@inlined
def float64_key(v):
    """The same of float64."""
    bits = uint64(bits_of_float64(v + float64(0)))
    turned = select(v < float64(0), uint64(~bits), uint64(bits | uint64(SIGN_BIT)))
    return select(v == v, turned, uint64(NOT_A_NUMBER))


@inlined
def goes_first(key, place, other_key, other_place):
    """Whether a pair comes before another; no two have the same place."""
    return (key < other_key) | ((key == other_key) & (place < other_place))


# Rows of `length` elements in `tiles` tiles each; SEGMENT elements of a block's TILE belong to one row or to a part of it.
# Several short rows share a block: SEGMENT is a power of two of at least `length` then, and `tiles` is 1.


def sort_tiles(x: "T*", keys: "K*", order: "int64*", rows: "int64", length: "int64", tiles: "int64"):
    sorted_keys = cuda.shared.array(TILE, K)
    places = cuda.shared.array(TILE, int32)
    thread = int32(cuda.threadIdx.x)
    block = int64(cuda.blockIdx.x)
    for k in range(TILE // THREADS):
        i = int32(k * THREADS + thread)
        segment = block * int64(TILE // SEGMENT) + int64(i // int32(SEGMENT))
        row = segment // tiles
        j = (segment - row * tiles) * int64(SEGMENT) + int64(i % int32(SEGMENT))
        there = (row < rows) & (j < length)
        key = K(0)
        if there:
            key = key_of(x[row * length + j])
            if DESCENDING:
                key = K(~key)
        sorted_keys[i] = key
        places[i] = select(there, i, int32(i | int32(TILE)))  # what is not there comes last
    cuda.syncthreads()
    size = 2
    while size <= SEGMENT:
        step = size // 2
        while step > 0:
            for k in range(TILE // THREADS // 2):
                pair = int32(k * THREADS + thread)
                low = int32(2 * pair - (pair & int32(step - 1)))
                high = int32(low + int32(step))
                falling = ((low & int32(size)) != 0) & (size < SEGMENT)
                a = sorted_keys[low]
                b = sorted_keys[high]
                p = places[low]
                q = places[high]
                p_there = p < int32(TILE)
                q_there = q < int32(TILE)
                first = (p_there & (not q_there)) | ((p_there == q_there) & goes_first(a, p, b, q))
                if first == falling:
                    sorted_keys[low] = b
                    sorted_keys[high] = a
                    places[low] = q
                    places[high] = p
            cuda.syncthreads()
            step = step // 2
        size = size * 2
    for k in range(TILE // THREADS):
        i = int32(k * THREADS + thread)
        segment = block * int64(TILE // SEGMENT) + int64(i // int32(SEGMENT))
        row = segment // tiles
        begin = (segment - row * tiles) * int64(SEGMENT)
        j = begin + int64(i % int32(SEGMENT))
        if (row < rows) & (j < length):
            keys[row * length + j] = sorted_keys[i]
            order[row * length + j] = begin + int64(places[i] % int32(SEGMENT))


# Stretches of `width` sorted pairs, two by two, merged into stretches twice as long.


def merge_stretches(
    keys: "K*", order: "int64*", merged_keys: "K*", merged_order: "int64*", total: "int64", length: "int64", width: "int64",
):  # fmt: skip
    item = int64(cuda.blockIdx.x) * int64(THREADS) + int64(cuda.threadIdx.x)
    if item < total:
        row = item // length
        j = item - row * length
        start = row * length
        pair = j // (width * int64(2)) * (width * int64(2))
        middle = min(pair + width, length)
        key = keys[item]
        is_left = j < middle
        low = select(is_left, middle, pair)
        high = select(is_left, min(middle + width, length), middle)
        begin = low
        while begin < high:
            at = (begin + high) // int64(2)
            other = keys[start + at]
            if (other < key) | ((not is_left) & (other == key)):
                begin = at + int64(1)
            else:
                high = at
        to = start + select(is_left, j, j - (middle - pair)) + (begin - low)
        merged_keys[to] = key
        merged_order[to] = order[item]


# values[row, j] = x[row, places[row, j]] for j < count; rows of `stride` places.


def take_rows(
    x: "T*", places: "int64*", values: "T*", total: "int64", length: "int64", stride: "int64", count: "int64",
):  # fmt: skip
    item = int64(cuda.blockIdx.x) * int64(THREADS) + int64(cuda.threadIdx.x)
    if item < total:
        row = item // count
        values[item] = x[row * length + places[row * stride + (item - row * count)]]
