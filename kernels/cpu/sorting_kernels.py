"""The loops of sorting: rows of whole numbers that are ordered as the elements are, and where each came from.

Every element becomes an unsigned number of the same size (its key): the sign bit of signed integers is turned over, of
negative floats all bits; both zeros get one key, and every NaN the largest. A short row is sorted by counting, for each
element, how many go before it, which is one comparison of whole vectors; a long one by counting byte after byte, from the
lowest. Both leave equal keys in their order.
"""

from kernels.cpu.compiler import inlined

# ruff: noqa: F821  (T, scratch, select and key_of are names of the generated module)

# How bits become a key is said by `rules`, numbers of the elements' type: see `kernels.cpu.sorting.key_rules`.


@inlined
def key_of(bits, sign, positive, negative, magnitude, infinity, minus_zero, flip):
    turned = select((bits & sign) == T(0), T(bits ^ positive), T(bits ^ negative))
    turned = select(bits == minus_zero, sign, turned)
    turned = select(T(bits & magnitude) > infinity, T(~T(0)), turned)
    return T(turned ^ flip)


@inlined
def rank_places(keys, at, length, order, to):
    """Where each of at most 128 keys goes: behind all that are smaller, and behind equal ones before it."""
    padded = scratch(T, 128)
    before = scratch(T, 64)
    whole = (length + 63) // 64 * 64
    for i in range(length):
        padded[i] = T(keys[at + i])
    for i in range(length, whole):
        padded[i] = T(~T(0))
    for block in range(0, whole, 64):
        for j in range(64):
            before[j] = T(0)
        for i in range(length):
            key = T(padded[i])
            number = T(i)
            for j in range(64):
                other = T(padded[block + j])
                before[j] += T((key < other) | ((key == other) & (number < T(block + j))))
        for j in range(block, min(block + 64, length)):
            order[to + int64(before[j - block])] = j


def sort_rows(
    low: "int64", high: "int64", x: "T*", keys: "T*", spare: "T*", order: "int64*", spare_order: "int64*",
    length: "int64", digits: "int64", sign: "T", positive: "T", negative: "T", magnitude: "T", infinity: "T",
    minus_zero: "T", flip: "T",
):  # fmt: skip
    counts = scratch(int64, 256)
    for row in range(low, high):
        at = row * length
        for j in range(length):
            keys[at + j] = key_of(T(x[at + j]), sign, positive, negative, magnitude, infinity, minus_zero, flip)
        if length <= 128:
            rank_places(keys, at, length, order, at)
        else:
            for j in range(length):
                order[at + j] = j
            from_keys, to_keys = keys, spare
            from_order, to_order = order, spare_order
            swapped = 0
            for digit in range(digits):
                shift = T(8 * digit)
                for d in range(256):
                    counts[d] = 0
                for j in range(length):
                    d = int64(T(from_keys[at + j]) >> shift) & 255
                    counts[d] += 1
                first = int64(T(from_keys[at]) >> shift) & 255
                if counts[first] < length:  # otherwise all are equal here
                    total = 0
                    for d in range(256):
                        count = counts[d]
                        counts[d] = total
                        total += count
                    for j in range(length):
                        key = T(from_keys[at + j])
                        d = int64(key >> shift) & 255
                        place = counts[d]
                        counts[d] = place + 1
                        to_keys[at + place] = key
                        to_order[at + place] = int64(from_order[at + j])
                    from_keys, to_keys = to_keys, from_keys
                    from_order, to_order = to_order, from_order
                    swapped = 1 - swapped
            if swapped:
                for j in range(length):
                    order[at + j] = int64(spare_order[at + j])


# values[row, j] = x[row, places[row, j]] for j < count; rows of `stride` places.


def take_rows(
    low: "int64", high: "int64", x: "T*", places: "int64*", values: "T*", length: "int64", stride: "int64", count: "int64",
):  # fmt: skip
    for row in range(low, high):
        for j in range(count):
            values[row * count + j] = x[row * length + places[row * stride + j]]
