"""The functions of `rows_kernels` for rows that lie across memory: neighbouring threads work on neighbouring columns.

A block holds THREADS // GROUP columns; the GROUP threads of a column take its elements in turn and meet in shared memory.
Columns are numbered through all outer indices.
"""

from collections.abc import Callable

from kernels.cuda.compiler import inlined
from kernels.cuda.rows_kernels import finite_shift, maximum_of, narrowed, widened

# ruff: noqa: F821  (cuda, types, functions and numbers in capitals are names of the generated module)


@inlined
def item_of():
    """The column that this thread works on; it may be one after the last."""
    thread = uint32(cuda.threadIdx.x)
    return int64(cuda.blockIdx.x) * int64(THREADS // GROUP) + int64(thread % uint32(THREADS // GROUP))


@inlined
def lane_of():
    """The number of this thread in its column."""
    return int32(uint32(cuda.threadIdx.x) // uint32(THREADS // GROUP))


@inlined
def first_of(item, inner, outer_stride):
    """The place of a column's first element."""
    outer = item // inner
    return outer * outer_stride + (item - outer * inner)


@inlined
def load_part(values, place, start, step, left, lane, filler):
    """Fill `values` with this thread's elements of a batch that begins at `start`, `left` of which are in the column."""
    for k in range(ELEMENTS):
        at = int32(k * GROUP + lane)
        values[k] = widened(place[start + int64(at) * step]) if at < left else filler


@inlined
def store_part(values, place, start, step, left, lane):
    """Write this thread's elements of a batch that begins at `start`, `left` of which are in the column."""
    for k in range(ELEMENTS):
        at = int32(k * GROUP + lane)
        if at < left:
            place[start + int64(at) * step] = narrowed(values[k])


@inlined
def alone(value, scratch, slot):
    """The maximum or sum of a group of one thread."""
    return value


@inlined
def column_maximum(value, scratch, slot):
    """The largest value of the column, in all its threads. Each `slot` (0, 1, ...) of `scratch` serves one call."""
    thread = int32(cuda.threadIdx.x)
    scratch[slot * THREADS + thread] = value
    cuda.syncthreads()
    for k in range(GROUP):
        value = maximum(value, scratch[slot * THREADS + k * (THREADS // GROUP) + thread % (THREADS // GROUP)])
    return value


@inlined
def column_sum(value, scratch, slot):
    """The sum of the values of the column, the same bits in all its threads; `slot` as above."""
    thread = int32(cuda.threadIdx.x)
    scratch[slot * THREADS + thread] = value
    cuda.syncthreads()
    value = T(0)
    for k in range(GROUP):
        value += scratch[slot * THREADS + k * (THREADS // GROUP) + thread % (THREADS // GROUP)]
    return value


def columns(group: int) -> dict[str, Callable]:
    """The functions by the names that bodies call them, for groups of so many threads."""
    common = (widened, narrowed, item_of, lane_of, first_of, load_part, store_part, maximum_of, finite_shift)
    together = dict(group_maximum=column_maximum, group_sum=column_sum)
    return {f.__name__: f for f in common} | (dict(group_maximum=alone, group_sum=alone) if group == 1 else together)
