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
    for item in range(low, high):
        start = o * outer_stride + places[b] * step
        to = item * inner
        if inner == 1:
            out[to] = x[start]
        elif inner_stride == 1:
            for i in range(inner):
                out[to + i] = x[start + i]
        else:
            for i in range(inner):
                out[to + i] = x[start + i * inner_stride]
        b += 1
        if b == count:
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
    low: "int64", high: "int64", values: "T*", places: "int64*", out: "A*", count: "int64", size: "int64", inner: "int64"
):
    """out[o, places[b], i] += values[o, b, i], one b after the other."""
    for o in range(low, high):
        for b in range(count):
            at = (o * count + b) * inner
            to = (o * size + places[b]) * inner
            if inner == 1:
                out[to] += A(values[at])
            else:
                for i in range(inner):
                    out[to + i] += A(values[at + i])


@kernel
def true_places(low: "int64", high: "int64", mask: "uint8*", out: "int64*"):
    """Without branches, which a mask would mislead: out has room for one more than there are."""
    found = 0
    for k in range(low, high):
        out[found] = k
        found += 1 if mask[k] != 0 else 0
