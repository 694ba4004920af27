"""The loops of sorting: rows of whole numbers that are ordered as the elements are, and where each came from.

Every element becomes an unsigned number of the same size (its key): the sign bit of signed integers is turned over, of
negative floats all bits; both zeros get one key, and every NaN the largest. Short rows are sorted by insertion, long ones
by counting byte after byte, from the lowest: both leave equal keys in their order.
"""

# ruff: noqa: F821  (T, scratch are names of the generated module)

# kind: 0 unsigned, 1 signed, 2 float. sign: the sign bit. infinity: the bits of infinity. flip: all bits for a descending
# order, otherwise 0.


def sort_rows(
    low: "int64", high: "int64", x: "T*", keys: "T*", spare: "T*", order: "int64*", spare_order: "int64*",
    length: "int64", digits: "int64", kind: "int64", sign: "T", infinity: "T", flip: "T",
):  # fmt: skip
    counts = scratch(int64, 256)
    for row in range(low, high):
        at = row * length
        for j in range(length):
            bits = T(x[at + j])
            if kind == 1:
                bits = T(bits ^ sign)
            elif kind == 2:
                size = T(bits & T(~sign))
                if size > infinity:
                    bits = T(~T(0))
                elif size == T(0):
                    bits = T(sign)
                elif bits == size:
                    bits = T(bits | sign)
                else:
                    bits = T(~bits)
            keys[at + j] = T(bits ^ flip)
            order[at + j] = j
        if length <= 64:
            for j in range(1, length):
                key = T(keys[at + j])
                k = j
                while k > 0 and T(keys[at + k - 1]) > key:
                    keys[at + k] = T(keys[at + k - 1])
                    order[at + k] = int64(order[at + k - 1])
                    k -= 1
                keys[at + k] = key
                order[at + k] = j
        else:
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
