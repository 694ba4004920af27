"""The loops of argmax and argmin: the first place of the largest (smallest) element, or of the first NaN.

`better`, `extreme` and `differs` are filled in per operation: whether v takes the place of best, the extreme of two, and
whether v is not the extreme that was found.
"""

# ruff: noqa: F821  (T, A, better, extreme, differs, scratch are names of the generated module)

# The table of arg_rows: 0 kept dimensions, 1 elements of a row, 2 their stride; then (size, stride) of each kept
# dimension, innermost first.


def arg_rows(low: "int64", high: "int64", x: "T*", out: "int64*", table: "int64*"):
    kept, length, stride = table[0], table[1], table[2]
    for row in range(low, high):
        at = 0
        rest = row
        for k in range(kept):
            size = table[3 + 2 * k]
            at += (rest % size) * table[4 + 2 * k]
            rest //= size
        best = x[at]
        place = 0
        if stride == 1:
            # Many elements at once: first the extreme of each block without its place, then the place in that block.
            for begin in range(0, length, 256):
                block = x[at + begin]
                for j in range(at + begin, at + min(begin + 256, length)):
                    block = extreme(block, x[j])
                if better(block, best):
                    best = block
                    place = begin
            count = min(length - place, 256)
            first = count
            for j in range(count):
                v = x[at + place + j]
                first = min(first, count if differs(v, best) else j)
            place += first
        else:
            for j in range(1, length):
                v = x[at + j * stride]
                if better(v, best):
                    best = v
                    place = j
        out[row] = place


# Down tiles of at most 512 neighbouring columns. The table: 0 kept outer dimensions, 1 rows, 2 their stride, 3 columns,
# 4 tiles, 5 columns per tile; then (size, stride) of each outer kept dimension, innermost first.


def arg_columns(low: "int64", high: "int64", x: "T*", out: "int64*", table: "int64*"):
    kept, rows, stride, columns, tiles, tile = table[0], table[1], table[2], table[3], table[4], table[5]
    best = scratch(T, 512)
    place = scratch(int64, 512)
    for item in range(low, high):
        rest = item // tiles
        column = (item - rest * tiles) * tile
        width = min(tile, columns - column)
        to = rest * columns + column
        at = column
        for k in range(kept):
            size = table[6 + 2 * k]
            at += (rest % size) * table[7 + 2 * k]
            rest //= size
        for c in range(width):
            best[c] = x[at + c]
            place[c] = 0
        for j in range(1, rows):
            for c in range(width):
                v = x[at + j * stride + c]
                taken = better(v, best[c])
                best[c] = v if taken else best[c]
                place[c] = j if taken else place[c]
        for c in range(width):
            out[to + c] = place[c]
