# type: ignore
# ruff: noqa: F821
# (A kernel's annotations are its types, and T is filled in when it is specialised.)
"""Random numbers on the CPU: each function fills an array from the blocks `offset`, `offset + 1`, ... of a stream.

The arrays are C-contiguous and the arguments valid: `kernels.random` sees to both. `key`, which names the stream, and
`offset` are integers below 2**64. Number i of an array depends on key, offset and i alone: see `kernels.philox`.
"""

from collections.abc import Callable

import numpy as np
from numpy import uint64

from kernels.cpu.compiler import kernel
from kernels.launch import Kernel
from kernels.memory import empty
from kernels.philox import (
    below_narrow,
    below_wide,
    fused_multiply_add,
    inlined,
    normal_pair_float32,
    normal_pair_float64,
    philox,
    random_words,
    select,
    signed,
    stretch,
    stretched,
    uniform_float32,
    uniform_float64,
)

# No flag of `fastmath`, contraction included: what is to be fused says so, or machines would differ in the last bit.
_IMPORTS = """\
from numba.core.types import float32, float64, int32, int64, uint64
from kernels.cpu.intrinsics import bits_of_float32, bits_of_float64, float32_of_bits, float64_of_bits
from kernels.cpu.intrinsics import fused_multiply_add, select, square_root
"""


def _kernel(*uses: Callable):
    return kernel(uses=(philox, random_words, *uses), fastmath=frozenset(), imports=_IMPORTS)


# --- kernels: an item is a block of four words -----------------------------------------------------------------------
#
# The last block of an array need not be used to its end. It is stored by itself, so that the loop over the others has
# no branch and becomes vector code.


@inlined
def store_four(out, at, count, a, b, c, d):
    """Store those of four values that are left of an array of `count`."""
    out[at] = a
    if at + 1 < count:
        out[at + 1] = b
    if at + 2 < count:
        out[at + 2] = c
    if at + 3 < count:
        out[at + 3] = d


@_kernel(store_four)
def random_bits(low: "int64", high: "int64", out: "uint32*", count: "int64", key: "int64", offset: "int64"):
    """The words themselves."""
    whole = count // 4
    for i in range(low, min(high, whole)):
        a, b, c, d = random_words(key, offset + i)
        out[4 * i] = a
        out[4 * i + 1] = b
        out[4 * i + 2] = c
        out[4 * i + 3] = d
    if high > whole:
        a, b, c, d = random_words(key, offset + whole)
        store_four(out, 4 * whole, count, a, b, c, d)


@_kernel(uniform_float32, stretched, store_four)
def random_uniform_float32(
    low: "int64", high: "int64", out: "float32*", count: "int64", key: "int64", offset: "int64",
    lowest: "float32", width: "float32", last: "float32",
):  # fmt: skip
    """One word per value: lowest + width * fraction, at most `last`."""
    whole = count // 4
    for i in range(low, min(high, whole)):
        a, b, c, d = random_words(key, offset + i)
        out[4 * i] = stretched(uniform_float32(a), lowest, width, last)
        out[4 * i + 1] = stretched(uniform_float32(b), lowest, width, last)
        out[4 * i + 2] = stretched(uniform_float32(c), lowest, width, last)
        out[4 * i + 3] = stretched(uniform_float32(d), lowest, width, last)
    if high > whole:
        a, b, c, d = random_words(key, offset + whole)
        store_four(
            out, 4 * whole, count,
            stretched(uniform_float32(a), lowest, width, last), stretched(uniform_float32(b), lowest, width, last),
            stretched(uniform_float32(c), lowest, width, last), stretched(uniform_float32(d), lowest, width, last),
        )  # fmt: skip


@_kernel(uniform_float64, stretched)
def random_uniform_float64(
    low: "int64", high: "int64", out: "float64*", count: "int64", key: "int64", offset: "int64",
    lowest: "float64", width: "float64", last: "float64",
):  # fmt: skip
    """Two words per value: lowest + width * fraction, at most `last`."""
    whole = count // 2
    for i in range(low, min(high, whole)):
        a, b, c, d = random_words(key, offset + i)
        out[2 * i] = stretched(uniform_float64(a, b), lowest, width, last)
        out[2 * i + 1] = stretched(uniform_float64(c, d), lowest, width, last)
    if high > whole:
        a, b, c, d = random_words(key, offset + whole)
        out[2 * whole] = stretched(uniform_float64(a, b), lowest, width, last)


@_kernel(normal_pair_float32, store_four)
def random_normal_float32(
    low: "int64", high: "int64", out: "float32*", count: "int64", key: "int64", offset: "int64",
    mean: "float32", deviation: "float32",
):  # fmt: skip
    """Two words per two values: mean + deviation * standard normal."""
    whole = count // 4
    for i in range(low, min(high, whole)):
        a, b, c, d = random_words(key, offset + i)
        x, y = normal_pair_float32(a, b)
        z, w = normal_pair_float32(c, d)
        out[4 * i] = fused_multiply_add(x, deviation, mean)
        out[4 * i + 1] = fused_multiply_add(y, deviation, mean)
        out[4 * i + 2] = fused_multiply_add(z, deviation, mean)
        out[4 * i + 3] = fused_multiply_add(w, deviation, mean)
    if high > whole:
        a, b, c, d = random_words(key, offset + whole)
        x, y = normal_pair_float32(a, b)
        z, w = normal_pair_float32(c, d)
        store_four(
            out, 4 * whole, count,
            fused_multiply_add(x, deviation, mean), fused_multiply_add(y, deviation, mean),
            fused_multiply_add(z, deviation, mean), fused_multiply_add(w, deviation, mean),
        )  # fmt: skip


@_kernel(normal_pair_float64)
def random_normal_float64(
    low: "int64", high: "int64", out: "float64*", count: "int64", key: "int64", offset: "int64",
    mean: "float64", deviation: "float64",
):  # fmt: skip
    """Four words per two values: mean + deviation * standard normal."""
    whole = count // 2
    for i in range(low, min(high, whole)):
        a, b, c, d = random_words(key, offset + i)
        x, y = normal_pair_float64(a, b, c, d)
        out[2 * i] = fused_multiply_add(x, deviation, mean)
        out[2 * i + 1] = fused_multiply_add(y, deviation, mean)
    if high > whole:
        a, b, c, d = random_words(key, offset + whole)
        x, y = normal_pair_float64(a, b, c, d)
        out[2 * whole] = fused_multiply_add(x, deviation, mean)


@inlined
def unsigned(number):
    """The bits of an int64, as a uint64."""
    return (uint64((number >> 32) & 0xFFFFFFFF) << uint64(32)) | uint64(number & 0xFFFFFFFF)


@_kernel(below_narrow, unsigned)
def random_integers(
    low: "int64", high: "int64", out: "T*", count: "int64", key: "int64", offset: "int64",
    lowest: "int64", span: "int64",
):  # fmt: skip
    """Two words per value: lowest + an integer below `span`, which is 1 to 2**32, in the low bits of an unsigned T."""
    whole = count // 2
    base, width = unsigned(lowest), unsigned(span)
    for i in range(low, min(high, whole)):
        a, b, c, d = random_words(key, offset + i)
        out[2 * i] = T(base + below_narrow(a, b, width))
        out[2 * i + 1] = T(base + below_narrow(c, d, width))
    if high > whole:
        a, b, c, d = random_words(key, offset + whole)
        out[2 * whole] = T(base + below_narrow(a, b, width))


@_kernel(below_wide, unsigned)
def random_wide_integers(
    low: "int64", high: "int64", out: "T*", key: "int64", offset: "int64", lowest: "int64", span: "int64"
):
    """Four words per value: lowest + an integer below `span`, in the low bits of an unsigned T; a span of 0: 2**64."""
    base, width = unsigned(lowest), unsigned(span)
    for i in range(low, high):
        a, b, c, d = random_words(key, offset + i)
        out[i] = T(base + below_wide(a, b, c, d, width))


@_kernel(store_four)
def random_mask(
    low: "int64", high: "int64", out: "T*", count: "int64", key: "int64", offset: "int64", threshold: "int64", one: "T"
):
    """One word per value: `one` where the word is below the threshold (0 to 2**32), else 0."""
    whole = count // 4
    limit, zero = uint64(threshold), T(0)
    for i in range(low, min(high, whole)):
        a, b, c, d = random_words(key, offset + i)
        out[4 * i] = select(a < limit, one, zero)
        out[4 * i + 1] = select(b < limit, one, zero)
        out[4 * i + 2] = select(c < limit, one, zero)
        out[4 * i + 3] = select(d < limit, one, zero)
    if high > whole:
        a, b, c, d = random_words(key, offset + whole)
        store_four(
            out, 4 * whole, count,
            select(a < limit, one, zero), select(b < limit, one, zero),
            select(c < limit, one, zero), select(d < limit, one, zero),
        )  # fmt: skip


# --- arrays ----------------------------------------------------------------------------------------------------------


def words(out: np.ndarray, key: int, offset: int) -> None:
    """Fill a uint32 array with random bits, four words to a block."""
    _run(random_bits[()], out, 4, key, offset)


def uniform(out: np.ndarray, key: int, offset: int, low: float, high: float) -> None:
    """Fill a float32 (four to a block) or float64 (two) array with values in [low, high)."""
    if out.dtype == np.float32:
        run, per_block = random_uniform_float32[()], 4
    else:
        run, per_block = random_uniform_float64[()], 2
    _run(run, out, per_block, key, offset, *stretch(out.dtype.type, low, high))


def normal(out: np.ndarray, key: int, offset: int, mean: float, std: float) -> None:
    """Fill a float32 (four to a block) or float64 (two) array with normal numbers."""
    if out.dtype == np.float32:
        _run(random_normal_float32[()], out, 4, key, offset, float(mean), float(std), work=NORMAL_WORK)
    else:
        _run(random_normal_float64[()], out, 2, key, offset, float(mean), float(std), work=NORMAL_WORK)


def integers(out: np.ndarray, key: int, offset: int, low: int, span: int) -> None:
    """Fill an integer array with low, ..., low + span - 1: two to a block up to a span of 2**32, one above."""
    out = out.view(f"u{out.itemsize}")
    if span <= 1 << 32:
        _run(random_integers[out.dtype.type], out, 2, key, offset, signed(low), span)
    else:
        kernel = random_wide_integers[out.dtype.type]
        kernel(out.size, out, signed(key), signed(offset), signed(low), signed(span), work=BLOCK_WORK)


def mask(out: np.ndarray, key: int, offset: int, threshold: int, one: float) -> None:
    """Fill an array of any type, four to a block: `one` with probability threshold / 2**32, else 0."""
    bits = int(np.array(one, out.dtype).view(f"u{out.itemsize}"))
    out = out.view(f"u{out.itemsize}")
    _run(random_mask[out.dtype.type], out, 4, key, offset, threshold, bits)


def permutation(count: int, key: int, offset: int) -> np.ndarray:
    """The order (int64) that sorts `count` keys of 64 bits, two to a block, equal keys by index.

    There is no sorting kernel yet: NumPy sorts. It is three times as fast on numbers as on an order, so the index takes
    the place of the lower bits; in the rare case that the upper bits do not tell all keys apart, the full keys decide.
    """
    halves = empty((count, 2), np.uint32)
    words(halves, key, offset)
    keys = (halves[:, 0].astype(np.uint64) << np.uint64(32)) | halves[:, 1]
    bits = np.uint64(max(count - 1, 0).bit_length())
    packed = (keys >> bits << bits) | np.arange(count, dtype=np.uint64)
    packed.sort()
    upper = packed >> bits
    if (upper[1:] == upper[:-1]).any():
        return np.argsort(keys, kind="stable").astype(np.int64)
    return (packed & np.uint64((1 << int(bits)) - 1)).astype(np.int64)


# What a block costs, in elements of plain arithmetic (see `Kernel.__call__`).
BLOCK_WORK, NORMAL_WORK = 20, 40


def _run(
    kernel: Kernel, out: np.ndarray, per_block: int, key: int, offset: int, *arguments, work: int = BLOCK_WORK
) -> None:
    blocks = -(-out.size // per_block)
    kernel(blocks, out, out.size, signed(key), signed(offset), *arguments, work=work)
