"""The kernel of searching: binary search in a sorted vector."""

# ruff: noqa: F821  (cuda, types, functions and numbers in capitals are names of the generated module)

# A NaN counts as larger than every number and equal to itself.


def search_sorted(x: "T*", wanted: "T*", out: "int64*", total: "int64", length: "int64", right: "int64"):
    item = int64(cuda.blockIdx.x) * int64(THREADS) + int64(cuda.threadIdx.x)
    if item < total:
        v = wanted[item]
        begin = int64(0)
        end = length
        while begin < end:
            middle = (begin + end) // int64(2)
            w = x[middle]
            larger = (v < w) | ((v == v) & (w != w))
            smaller = (w < v) | ((w == w) & (v != v))
            if smaller | ((right != int64(0)) & (not larger)):
                begin = middle + int64(1)
            else:
                end = middle
        out[item] = begin
