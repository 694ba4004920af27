"""The kernel of top-k: of each stretch of a row the elements with the smallest keys, without sorting the rest.

A block finds the count-th smallest key byte after byte, from the highest: it counts the values that the next byte has among
the keys that agree so far (whole numbers, so the order of additions does not matter), and sees which value the wanted key has.
Then it writes all smaller keys, and the first that are equal, in the order of the row.
"""

from kernels.cuda.compiler import inlined

# ruff: noqa: F821  (cuda, types, functions and numbers in capitals are names of the generated module)


@inlined
def running_sum(value):
    """The sum of a whole number over the lanes up to this one."""
    lane = int32(cuda.threadIdx.x) & int32(31)
    step = int32(1)
    while step < int32(32):
        left = cuda.shfl_up_sync(0xFFFFFFFF, value, step)
        value = int32(value + select(lane >= step, left, int32(0)))
        step = int32(step * int32(2))
    return value


@inlined
def sought_key(x, at):
    """The key of an element; with GIVEN_KEYS they are keys already."""
    if GIVEN_KEYS:
        return K(x[at])
    key = key_of(x[at])
    return K(~key) if DESCENDING else K(key)


@inlined
def choose_digit(counts, chosen, wanted):
    """By the first warp: the value of a byte that the wanted-th smallest key has, and the how-manyth it is with that one."""
    lane = int32(cuda.threadIdx.x)
    own = int32(0)
    for k in range(8):
        own = int32(own + counts[lane * int32(8) + int32(k)])
    total = running_sum(own)
    before = int32(total - own)
    if (before < wanted) & (wanted <= total):
        digit = int32(lane * int32(8))
        while int32(before + counts[digit]) < wanted:
            before = int32(before + counts[digit])
            digit = int32(digit + int32(1))
        chosen[0] = digit
        chosen[1] = int32(wanted - before)


# Rows of `length` elements in `stretches` parts that are as long as one another, or one element longer. What is chosen of each
# is `count` keys and places; with GIVEN_KEYS, x is keys that were chosen before, and their places are in `before`.


def select_rows(
    x: "T*", before: "int64*", keys: "K*", places: "int64*", length: "int64", stretches: "int64", count: "int64",
):  # fmt: skip
    counts = cuda.shared.array(256, int32)
    chosen = cuda.shared.array(2, int32)
    warp_sums = cuda.shared.array(WARPS, int32)
    staged = cuda.local.array(4, K)
    thread = int32(cuda.threadIdx.x)
    block = int64(cuda.blockIdx.x)
    row = block // stretches
    stretch = block - row * stretches
    begin = row * length + stretch * length // stretches
    end = row * length + (stretch + int64(1)) * length // stretches
    limit = K(0)
    decided = K(0)
    wanted = int32(count)
    for digit in range(BITS // 8):
        shift = K(BITS - 8 - 8 * digit)
        for k in range(256 // THREADS):
            counts[k * THREADS + thread] = int32(0)
        cuda.syncthreads()
        at = begin + int64(thread)
        while at < end:  # four loads in flight
            for k in range(4):
                staged[k] = sought_key(x, min(at + int64(k * THREADS), end - int64(1)))
            for k in range(4):
                key = staged[k]
                if (K(key & decided) == limit) & (at + int64(k * THREADS) < end):
                    cuda.atomic.add(counts, int32(K(key >> shift) & K(255)), int32(1))
            at = at + int64(4 * THREADS)
        cuda.syncthreads()
        if thread < int32(32):
            choose_digit(counts, chosen, wanted)
        cuda.syncthreads()
        limit = K(limit | K(K(chosen[0]) << shift))
        decided = K(decided | K(K(255) << shift))
        wanted = chosen[1]
    # Sums of two numbers in one: how many keys are smaller, and in the upper half how many are equal.
    lane = int32(thread & int32(31))
    warp = int32(thread >> int32(5))
    smaller = int32(0)
    equal = int32(0)
    tile = begin
    while tile < end:
        at = tile + int64(thread)
        key = sought_key(x, min(at, end - int64(1)))
        mine = select(at < end, select(key < limit, int32(1), select(key == limit, int32(65536), int32(0))), int32(0))
        if cuda.syncthreads_or(mine) != 0:
            up_to = running_sum(mine)
            if lane == int32(31):
                warp_sums[warp] = up_to
            cuda.syncthreads()
            there = int32(up_to - mine)
            total = int32(0)
            for w in range(WARPS):
                there = int32(there + select(int32(w) < warp, warp_sums[w], int32(0)))
                total = int32(total + warp_sums[w])
            equal_there = int32(equal + (there >> int32(16)))
            if (mine == int32(1)) | ((mine == int32(65536)) & (equal_there < wanted)):
                to = block * count + int64(smaller + (there & int32(65535))) + int64(min(equal_there, wanted))
                keys[to] = key
                places[to] = before[at] if GIVEN_KEYS else at - row * length
            smaller = int32(smaller + (total & int32(65535)))
            equal = int32(equal + (total >> int32(16)))
        tile = tile + int64(THREADS)
