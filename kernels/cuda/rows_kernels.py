"""What the row kernels are made of: a group of neighbouring threads works on a row that lies in one piece.

GROUP threads (a power of two: a part of a warp, a warp, or the whole block) share a row. Each holds ELEMENTS numbers of a
batch of GROUP * ELEMENTS in registers, in pieces of WIDTH neighbours, one 16-byte load each where WIDTH is not 1; the loops
over them are unrolled, for a register has no index. `columns_kernels` has the same functions for rows that lie across
memory, so that one body serves both.

Arrays have type S and numbers type T: the same, or S = uint16 and T = float32 where HALF says 1 (float16) or 2 (bfloat16).
"""

from collections.abc import Callable

from kernels.cuda.compiler import inlined

# ruff: noqa: F821  (cuda, types, functions and numbers in capitals are names of the generated module)


@inlined
def widened(stored):
    """A number in memory as one to calculate with."""
    if HALF == 0:
        return T(stored)
    elif HALF == 1:
        return float32_of_half(stored)
    else:
        return float32_of_bfloat16(stored)


@inlined
def narrowed(number):
    """A number as memory holds it, rounded once."""
    if HALF == 0:
        return number
    elif HALF == 1:
        return half_of_float32(number)
    else:
        return bfloat16_of_float32(number)


@inlined
def item_of():
    """The row that this thread works on; it may be one after the last."""
    thread = uint32(cuda.threadIdx.x)
    return int64(cuda.blockIdx.x) * int64(THREADS // GROUP) + int64(thread // uint32(GROUP))


@inlined
def lane_of():
    """The number of this thread in its group."""
    return int32(uint32(cuda.threadIdx.x) % uint32(GROUP))


@inlined
def first_of(item, inner, outer_stride):
    """The place of a row's first element."""
    return item * outer_stride


@inlined
def load_part(values, place, start, step, left, lane, filler):
    """Fill `values` with this thread's elements of a batch that begins at `start`, `left` of which are in the row."""
    for k in range(ELEMENTS // WIDTH):
        at = int32((k * GROUP + lane) * WIDTH)
        if WIDTH == 1:
            values[k] = widened(place[start + at]) if at < left else filler
        elif at < left:
            if WIDTH == 2:
                a, b = load2(place, start + at)
                values[2 * k] = widened(a)
                values[2 * k + 1] = widened(b)
            elif WIDTH == 4:
                a, b, c, d = load4(place, start + at)
                values[4 * k] = widened(a)
                values[4 * k + 1] = widened(b)
                values[4 * k + 2] = widened(c)
                values[4 * k + 3] = widened(d)
            else:
                a, b, c, d, e, f, g, h = load8(place, start + at)
                values[8 * k] = widened(a)
                values[8 * k + 1] = widened(b)
                values[8 * k + 2] = widened(c)
                values[8 * k + 3] = widened(d)
                values[8 * k + 4] = widened(e)
                values[8 * k + 5] = widened(f)
                values[8 * k + 6] = widened(g)
                values[8 * k + 7] = widened(h)
        else:
            for i in range(WIDTH):
                values[k * WIDTH + i] = filler


@inlined
def store_part(values, place, start, step, left, lane):
    """Write this thread's elements of a batch that begins at `start`, `left` of which are in the row."""
    for k in range(ELEMENTS // WIDTH):
        at = int32((k * GROUP + lane) * WIDTH)
        if at < left:
            if WIDTH == 1:
                place[start + at] = narrowed(values[k])
            elif WIDTH == 2:
                store2(place, start + at, (narrowed(values[2 * k]), narrowed(values[2 * k + 1])))
            elif WIDTH == 4:
                a, b = narrowed(values[4 * k]), narrowed(values[4 * k + 1])
                c, d = narrowed(values[4 * k + 2]), narrowed(values[4 * k + 3])
                store4(place, start + at, (a, b, c, d))
            else:
                a, b = narrowed(values[8 * k]), narrowed(values[8 * k + 1])
                c, d = narrowed(values[8 * k + 2]), narrowed(values[8 * k + 3])
                e, f = narrowed(values[8 * k + 4]), narrowed(values[8 * k + 5])
                g, h = narrowed(values[8 * k + 6]), narrowed(values[8 * k + 7])
                store8(place, start + at, (a, b, c, d, e, f, g, h))


@inlined
def number_of(k, lane):
    """Where in a batch `values[k]` belongs."""
    return int32((k // WIDTH * GROUP + lane) * WIDTH + k % WIDTH)


@inlined
def maximum_of(values):
    """The largest of this thread's numbers; NaN if there is one."""
    largest = values[0]
    for k in range(1, ELEMENTS):
        largest = maximum(largest, values[k])
    return largest


@inlined
def warp_maximum(value, scratch, slot):
    """The largest value of the group, a warp or a part of one, in all its threads."""
    for k in range(5):
        if 16 >> k < GROUP:
            value = maximum(value, cuda.shfl_xor_sync(0xFFFFFFFF, value, 16 >> k))
    return value


@inlined
def warp_sum(value, scratch, slot):
    """The sum of the values of the group, a warp or a part of one; the same bits in all its threads."""
    for k in range(5):
        if 16 >> k < GROUP:
            value += cuda.shfl_xor_sync(0xFFFFFFFF, value, 16 >> k)
    return value


@inlined
def warp_sums(first, second, scratch, slot):
    """Two sums over the group, a warp or a part of one."""
    for k in range(5):
        if 16 >> k < GROUP:
            first += cuda.shfl_xor_sync(0xFFFFFFFF, first, 16 >> k)
            second += cuda.shfl_xor_sync(0xFFFFFFFF, second, 16 >> k)
    return first, second


@inlined
def block_maximum(value, scratch, slot):
    """The largest value of the block, in all its threads. Each `slot` (0, 1, ...) of `scratch` serves one call."""
    for k in range(5):
        value = maximum(value, cuda.shfl_xor_sync(0xFFFFFFFF, value, 16 >> k))
    thread = int32(cuda.threadIdx.x)
    if thread % 32 == 0:
        scratch[slot * 32 + thread // 32] = value
    cuda.syncthreads()
    value = scratch[slot * 32 + thread % 32] if thread % 32 < GROUP // 32 else T(-inf)
    for k in range(5):
        value = maximum(value, cuda.shfl_xor_sync(0xFFFFFFFF, value, 16 >> k))
    return value


@inlined
def block_sum(value, scratch, slot):
    """The sum of the values of the block, the same bits in all its threads; `slot` as above."""
    for k in range(5):
        value += cuda.shfl_xor_sync(0xFFFFFFFF, value, 16 >> k)
    thread = int32(cuda.threadIdx.x)
    if thread % 32 == 0:
        scratch[slot * 32 + thread // 32] = value
    cuda.syncthreads()
    value = scratch[slot * 32 + thread % 32] if thread % 32 < GROUP // 32 else T(0)
    for k in range(5):
        value += cuda.shfl_xor_sync(0xFFFFFFFF, value, 16 >> k)
    return value


@inlined
def block_sums(first, second, scratch, slot):
    """Two sums over the block, for one barrier; they take `slot` and the one after it."""
    for k in range(5):
        first += cuda.shfl_xor_sync(0xFFFFFFFF, first, 16 >> k)
        second += cuda.shfl_xor_sync(0xFFFFFFFF, second, 16 >> k)
    thread = int32(cuda.threadIdx.x)
    if thread % 32 == 0:
        scratch[slot * 32 + thread // 32] = first
        scratch[slot * 32 + 32 + thread // 32] = second
    cuda.syncthreads()
    first = scratch[slot * 32 + thread % 32] if thread % 32 < GROUP // 32 else T(0)
    second = scratch[slot * 32 + 32 + thread % 32] if thread % 32 < GROUP // 32 else T(0)
    for k in range(5):
        first += cuda.shfl_xor_sync(0xFFFFFFFF, first, 16 >> k)
        second += cuda.shfl_xor_sync(0xFFFFFFFF, second, 16 >> k)
    return first, second


@inlined
def finite_shift(largest):
    """What is subtracted before exp: the maximum, but 0 for a row that is masked throughout: -inf - -inf is NaN."""
    return select(largest == T(-inf), T(0), largest)


def rows(group: int) -> dict[str, Callable]:
    """The functions by the names that bodies call them, for groups of so many threads."""
    common = (
        widened, narrowed, item_of, lane_of, first_of, load_part, store_part, number_of, maximum_of, finite_shift,
    )  # fmt: skip
    together = dict(group_maximum=block_maximum, group_sum=block_sum, group_sums=block_sums)
    if group <= 32:
        together = dict(group_maximum=warp_maximum, group_sum=warp_sum, group_sums=warp_sums)
    return {f.__name__: f for f in common} | together
