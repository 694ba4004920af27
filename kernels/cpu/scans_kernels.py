"""The loops of running sums, products and the like: along one axis of an (outer, length, inner) array.

A running value has two parts: see `kernels.scan_operations`, whose `first`, `following` and `result` are filled in.
"""

# ruff: noqa: F821  (T, state, scratch, first, following, result are names of the generated module)


def scan(low: "int64", high: "int64", x: "T*", out: "T*", length: "int64", inner: "int64", tiles: "int64"):
    a = scratch(state, 128)
    b = scratch(state, 128)
    for item in range(low, high):
        outer = item // tiles
        column = (item - outer * tiles) * 128
        width = min(inner - column, 128)
        at = outer * length * inner + column
        if inner == 1:
            one, other = first(x[at])
            out[at] = result(one, other)
            for j in range(1, length):
                one, other = following(one, other, x[at + j])
                out[at + j] = result(one, other)
        else:
            for c in range(width):
                one, other = first(x[at + c])
                a[c] = one
                b[c] = other
                out[at + c] = result(one, other)
            for _ in range(1, length):
                at += inner
                for c in range(width):
                    one, other = following(a[c], b[c], x[at + c])
                    a[c] = one
                    b[c] = other
                    out[at + c] = result(one, other)


# out[0] = y[0], and then out[j] = x[j] * out[j-1] + y[j]; x[0] is not read.


def recurrence(low: "int64", high: "int64", x: "T*", y: "T*", out: "T*", length: "int64", inner: "int64", tiles: "int64"):
    for item in range(low, high):
        outer = item // tiles
        column = (item - outer * tiles) * 128
        width = min(inner - column, 128)
        at = outer * length * inner + column
        for c in range(width):
            out[at + c] = y[at + c]
        if inner == 1:
            h = y[at]
            for j in range(1, length):
                h = x[at + j] * h + y[at + j]
                out[at + j] = h
        else:
            for _ in range(1, length):
                at += inner
                for c in range(width):
                    out[at + c] = x[at + c] * out[at - inner + c] + y[at + c]
