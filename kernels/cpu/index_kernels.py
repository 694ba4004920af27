"""The loops of indexing by integers. Elements that are only moved are unsigned integers of their size."""

from kernels.cpu.compiler import kernel

# ruff: noqa: F821  (T, A and int64 are names of the generated module)


@kernel
def wrap_index(low: "int64", high: "int64", index: "I*", out: "int64*", bad: "int64*", size: "int64", lowest: "int64"):
    wrong = 0
    for k in range(low, high):
        place = int64(index[k])
        wrong += place < lowest or place >= size
        out[k] = place + size if place < 0 else place
    bad[0] = wrong


@kernel
def gather_rows(
    low: "int64", high: "int64", x: "T*", places: "int64*", out: "T*", count: "int64", inner: "int64",
    outer_stride: "int64", step: "int64", inner_stride: "int64",
):  # fmt: skip
    o = low // count
    b = low - o * count
    item = low
    while item < high:
        run = min(count - b, high - item)
        start = o * outer_stride
        if inner == 1:
            for k in range(run):
                out[item + k] = x[start + places[b + k] * step]
        elif inner_stride == 1:
            for k in range(run):
                at = start + places[b + k] * step
                to = (item + k) * inner
                for i in range(inner):
                    out[to + i] = x[at + i]
        else:
            for k in range(run):
                at = start + places[b + k] * step
                to = (item + k) * inner
                for i in range(inner):
                    out[to + i] = x[at + i * inner_stride]
        item += run
        b = 0
        o += 1


@kernel
def put_rows(
    low: "int64", high: "int64", x: "T*", places: "int64*", values: "T*", count: "int64", inner: "int64",
    outer_stride: "int64", step: "int64", inner_stride: "int64", value_step: "int64",
):  # fmt: skip
    for o in range(low, high):
        for b in range(count):  # in order: the last of equal places wins
            to = o * outer_stride + places[b] * step
            at = (o * count + b) * inner
            for i in range(inner):
                x[to + i * inner_stride] = values[(at + i) * value_step]


@kernel
def sort_places(low: "int64", high: "int64", places: "int64*", order: "int64*", ends: "int64*", count: "int64", size: "int64"):
    """A counting sort: order[ends[d - 1]:ends[d]] are the positions whose place is d, increasing."""
    for d in range(size):
        ends[d] = 0
    for b in range(count):
        ends[places[b]] += 1
    total = 0
    for d in range(size):
        here = ends[d]
        ends[d] = total
        total += here
    for b in range(count):
        d = places[b]
        order[ends[d]] = b
        ends[d] += 1


@kernel
def sum_segments(
    low: "int64", high: "int64", values: "T*", order: "int64*", ends: "int64*", out: "T*", count: "int64", size: "int64",
    inner: "int64", zero: "A",
):  # fmt: skip
    """out[o, d, i] is the sum over the positions b whose place is d of values[o, b, i]."""
    for item in range(low, high):
        o = item // size
        d = item - o * size
        begin = ends[d - 1] if d > 0 else 0
        end = ends[d]
        to = item * inner
        base = o * count * inner
        if end == begin:
            for i in range(inner):
                out[to + i] = T(0)
        elif end - begin <= 8:  # a few rows, each in one go
            start = base + order[begin] * inner
            for i in range(inner):
                out[to + i] = values[start + i]
            for s in range(begin + 1, end):
                start = base + order[s] * inner
                for i in range(inner):
                    out[to + i] += values[start + i]
        else:
            for i in range(inner):
                total = zero
                for s in range(begin, end):
                    total += A(values[base + order[s] * inner + i])
                out[to + i] = T(total)


@kernel
def add_in_order(
    low: "int64", high: "int64", values: "T*", places: "int64*", total: "A*", out: "T*", count: "int64", size: "int64",
    inner: "int64", is_apart: "int64",
):  # fmt: skip
    """out[o, d, i] is the sum of values[o, b, i] whose place is d, one b after the other; `total` is `out` unless apart."""
    for o in range(low, high):
        begin = o * size * inner
        end = begin + size * inner
        for i in range(begin, end):
            total[i] = A(0)
        for b in range(count):
            at = (o * count + b) * inner
            to = begin + places[b] * inner
            if inner == 1:
                total[to] += A(values[at])
            else:
                for i in range(inner):
                    total[to + i] += A(values[at + i])
        if is_apart:
            for i in range(begin, end):
                out[i] = T(total[i])


@kernel
def true_places(low: "int64", high: "int64", mask: "uint8*", words: "uint64*", out: "int64*", whole: "int64"):
    """`whole` of the mask's bytes can be read eight at a time. `out` has room for eight more than there are.

    Eight that are not set, or all set, cost one step; others cost no branch, which a mask would mislead.
    """
    found = 0
    for w in range(whole // 8):
        word = words[w]
        k = w * 8
        if word == uint64(0x0101010101010101):
            for i in range(8):
                out[found + i] = k + i
            found += 8
        elif word != uint64(0):
            for i in range(8):
                out[found] = k + i
                found += 1 if mask[k + i] != 0 else 0
    for k in range(whole, high):
        out[found] = k
        found += 1 if mask[k] != 0 else 0
