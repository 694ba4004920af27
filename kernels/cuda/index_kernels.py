"""The bodies of indexing by integers: gather, put, scatter-add and masked selection.

What may meet at one place is brought into order first, by a stable sort of the places (`kernels.cuda.sorting`): so there are
no atomics, and a result has the same bits from run to run.
"""

from kernels.cuda.compiler import inlined, kernel

# ruff: noqa: F821  (cuda, types, T and numbers in capitals are names of the generated module)

CHUNK = 32  # the elements that a thread walks


@inlined
def quotient(a, b):
    """a // b of numbers that are not negative; a division of 64 bits takes four times as long."""
    if a < int64(4294967296) and b < int64(4294967296):
        return int64(uint32(a) // uint32(b))
    return a // b


@inlined
def number_of_thread():
    """This thread's number in the grid."""
    return int64(cuda.blockIdx.x) * int64(THREADS) + int64(cuda.threadIdx.x)


@inlined
def first_not_below(keys, count, key):
    """Where in sorted keys the first is that is not below a key."""
    low = int64(0)
    high = count
    while low < high:
        middle = (low + high) >> int64(1)
        if keys[middle] < key:
            low = middle + int64(1)
        else:
            high = middle
    return low


@kernel(uses=[number_of_thread])
def wrap_index(index: "I*", out: "int64*", flag: "int32*", count: "int64", size: "int64", lowest: "int64"):
    k = number_of_thread()
    if k < count:
        place = int64(index[k])
        if place < lowest or place >= size:
            flag[0] = int32(1)
            place = int64(0)
        elif place < int64(0):
            place += size
        out[k] = place


@kernel(uses=[quotient, number_of_thread])
def gather_elements(
    x: "T*", places: "int64*", out: "T*", total: "int64", count: "int64", inner: "int64", outer_stride: "int64",
    step: "int64", inner_stride: "int64",
):  # fmt: skip
    e = number_of_thread()
    if e < total:
        item = quotient(e, inner)
        o = quotient(item, count)
        out[e] = x[o * outer_stride + places[item - o * count] * step + (e - item * inner) * inner_stride]


@kernel(uses=[quotient, number_of_thread])
def put_elements(
    x: "T*", places: "int64*", values: "T*", keys: "int64*", order: "int64*", total: "int64", count: "int64",
    inner: "int64", outer_stride: "int64", step: "int64", inner_stride: "int64", value_step: "int64",
):  # fmt: skip
    """With SORTED, keys are sorted and only the last of equal ones is written."""
    e = number_of_thread()
    if e < total:
        item = quotient(e, inner)
        o = quotient(item, count)
        b = item - o * count
        wins = True
        if SORTED:
            s = b
            b = order[s]
            wins = s + int64(1) == count or keys[s] != keys[min(s + int64(1), count - int64(1))]
        if wins:
            i = e - item * inner
            to = o * outer_stride + places[b] * step + i * inner_stride
            x[to] = values[((o * count + b) * inner + i) * value_step]


# The same where rows are whole vectors of 16 bytes: `inner` and `total` count these, strides count elements. A vector has WIDTH
# elements; `load_vector` and `store_vector` are those of this many.


def gather_vectors(
    x: "T*", places: "int64*", out: "T*", total: "int64", count: "int64", inner: "int64", outer_stride: "int64", step: "int64",
):  # fmt: skip
    e = number_of_thread()
    if e < total:
        item = quotient(e, inner)
        o = quotient(item, count)
        start = o * outer_stride + places[item - o * count] * step
        store_vector(out, e * int64(WIDTH), load_vector(x, start + (e - item * inner) * int64(WIDTH)))


def put_vectors(
    x: "T*", places: "int64*", values: "T*", keys: "int64*", order: "int64*", total: "int64", count: "int64",
    inner: "int64", outer_stride: "int64", step: "int64",
):  # fmt: skip
    e = number_of_thread()
    if e < total:
        item = quotient(e, inner)
        o = quotient(item, count)
        b = item - o * count
        wins = True
        if SORTED:
            s = b
            b = order[s]
            wins = s + int64(1) == count or keys[s] != keys[min(s + int64(1), count - int64(1))]
        if wins:
            i = (e - item * inner) * int64(WIDTH)
            value = load_vector(values, (o * count + b) * inner * int64(WIDTH) + i)
            store_vector(x, o * outer_stride + places[b] * step + i, value)


@kernel(threads=128, uses=[quotient, first_not_below])
def sum_segments(
    values: "T*", keys: "int64*", order: "int64*", out: "T*", count: "int64", size: "int64", inner: "int64",
    tiles: "int64",
):  # fmt: skip
    """out[o, d, i] is the sum over the positions b whose key is d of values[o, b, i].

    A block has COLUMNS neighbouring i of one d; the positions are shared out among the rows of its threads. Sums carry
    their rounding error along (Kahan 1965), which a plain sum stands in for where infinities make it NaN.
    """
    totals = cuda.shared.array(THREADS, T)
    errors = cuda.shared.array(THREADS, T)
    plains = cuda.shared.array(THREADS, T)
    thread = int64(cuda.threadIdx.x)
    row = thread // COLUMNS
    block = int64(cuda.blockIdx.x)
    item = quotient(block, tiles)
    i = (block - item * tiles) * COLUMNS + (thread - row * COLUMNS)
    o = quotient(item, size)
    d = item - o * size
    begin = first_not_below(keys, count, d)
    end = first_not_below(keys, count, d + int64(1))
    total = T(0)
    error = T(0)
    plain = T(0)
    if i < inner:
        base = o * count
        for s in range(begin + row, end, THREADS // COLUMNS):
            value = values[(base + order[s]) * inner + i]
            plain = T(plain + value)
            part = T(value - error)
            longer = T(total + part)
            error = T(T(longer - total) - part)
            total = longer
    totals[thread] = total
    errors[thread] = error
    plains[thread] = plain
    cuda.syncthreads()
    if thread < COLUMNS and i < inner:
        for other in range(thread + COLUMNS, THREADS, COLUMNS):
            plain = T(plain + plains[other])
            part = T(totals[other] - T(error + errors[other]))
            longer = T(total + part)
            error = T(T(longer - total) - part)
            total = longer
        out[item * inner + i] = total if total == total else plain


@kernel(uses=[number_of_thread])
def count_true(mask: "uint8*", counts: "int64*", length: "int64", walkers: "int64"):
    """How many of a walker's CHUNK elements are set, behind a 0: running sums are where each walker begins, then the total."""
    walker = number_of_thread()
    if walker < walkers:
        found = int64(0)
        for k in range(walker * CHUNK, min(length, (walker + int64(1)) * CHUNK)):
            if mask[k] != 0:
                found += int64(1)
        counts[walker + int64(1)] = found
    elif walker == walkers:
        counts[0] = int64(0)


@kernel(uses=[number_of_thread])
def write_true(mask: "uint8*", starts: "int64*", out: "int64*", length: "int64", walkers: "int64"):
    walker = number_of_thread()
    if walker < walkers:
        to = starts[walker]
        for k in range(walker * CHUNK, min(length, (walker + int64(1)) * CHUNK)):
            if mask[k] != 0:
                out[to] = int64(k)
                to += int64(1)
