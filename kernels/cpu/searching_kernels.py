"""The loop of searching: binary search in a sorted vector."""

# ruff: noqa: F821  (T, int64 are names of the generated module)

# A NaN counts as larger than every number and equal to itself.


def search_sorted(low: "int64", high: "int64", x: "T*", wanted: "T*", out: "int64*", length: "int64", right: "int64"):
    for item in range(low, high):
        v = wanted[item]
        begin = 0
        end = length
        while begin < end:
            middle = (begin + end) >> 1
            w = x[middle]
            if right:
                before = not ((v < w) | ((v == v) & (w != w)))
            else:
                before = (w < v) | ((w == w) & (v != v))
            if before:
                begin = middle + 1
            else:
                end = middle
        out[item] = begin
