"""The loop of top-k: of each row the elements with the smallest keys, without sorting the rest.

A row is walked once. Its first elements fill a buffer; the count-th smallest key there is a threshold that later elements must
fall below to enter it, and whenever the buffer is full, only its count smallest stay, and the threshold falls. So most elements
cost no more than a comparison, 64 of them in a few instructions, whatever order they come in. What is in the buffer stays in
the order of the row: of equal keys the first are kept.
"""

from kernels.cpu.compiler import inlined

# ruff: noqa: F821  (T, scratch, key_of and rank_places are names of the generated module)


@inlined
def keep_smallest(keys, places, to, found, count, top):
    """Of `found` entries keep the `count` smallest, in their order; a limit that none of the others is below.

    The count-th smallest key is found bit after bit, from the `top` one, by counting keys: whole vectors of them at a time.
    """
    limit = T(0)
    below = 0
    bit = top
    while bit != T(0):
        trial = T(limit | bit)
        number = 0
        for i in range(to, to + found):
            number += 1 if T(keys[i]) < trial else 0
        if number <= count:
            limit = trial
            below = number
        bit = T(0) if number == count else T(bit >> T(1))
    wanted = count - below  # of those that are equal to the limit
    kept = to
    for i in range(to, to + found):
        key = T(keys[i])
        is_last = (key == limit) & (wanted > 0)
        place = places[i]
        if (key < limit) | is_last:
            keys[kept] = key
            places[kept] = place
            kept += 1
        wanted -= int64(is_last)
    return limit


# Of each row of x the `count` elements with the smallest keys: in order where `in_order` (count is at most 128 then), otherwise
# in the order of the row. `room` entries of keys and places belong to each row: all of it, or at least count + 128.


def select_rows(
    low: "int64", high: "int64", x: "T*", keys: "T*", places: "int64*", values: "T*", chosen: "int64*", length: "int64",
    room: "int64", count: "int64", in_order: "int64", sign: "T", positive: "T", negative: "T",
    magnitude: "T", infinity: "T", minus_zero: "T", flip: "T",
):  # fmt: skip
    order = scratch(int64, 128)
    block = scratch(T, 64)
    for row in range(low, high):
        at = row * length
        to = row * room
        for j in range(room):
            keys[to + j] = key_of(T(x[at + j]), sign, positive, negative, magnitude, infinity, minus_zero, flip)
            places[to + j] = j
        found = room
        done = room
        while done < length:
            threshold = keep_smallest(keys, places, to, found, count, sign)
            found = count
            while done < length and found + 64 <= room:
                end = min(done + 64, length)
                hits = T(0)
                for j in range(end - done):
                    key = key_of(T(x[at + done + j]), sign, positive, negative, magnitude, infinity, minus_zero, flip)
                    block[j] = key
                    hits |= T(key < threshold)
                if hits != T(0):
                    for j in range(end - done):
                        key = T(block[j])
                        keys[to + found] = key
                        places[to + found] = done + j
                        found += int64(key < threshold)
                done = end
        if found > count:
            keep_smallest(keys, places, to, found, count, sign)
        out = row * count
        if in_order:
            rank_places(keys, to, count, order, 0)
        for j in range(count):
            place = places[to + (order[j] if in_order else j)]
            chosen[out + j] = place
            values[out + j] = x[at + place]
