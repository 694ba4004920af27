# ruff: noqa: F821
# pyright: reportUndefinedVariable=false
# (T is filled in when a kernel is made.)
"""Random numbers on the GPU: each function fills an array from the blocks `offset`, `offset + 1`, ... of a stream.

The functions are those of `kernels.cpu.random`, and so are the bits: both follow `kernels.philox`, number i of an array
depends on key, offset and i alone. The arrays are C-contiguous and the arguments valid: `kernels.random` sees to both.

A thread makes the 16 bytes of one store: from one block of four words, or from several where the numbers are short.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from kernels.cuda.array import DeviceArray, empty, from_numpy
from kernels.cuda.compiler import Kernel
from kernels.layout import layout_of
from kernels.philox import (
    below_narrow,
    below_wide,
    fused_multiply_add,
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
from kernels.template import Parameter, inlined, plain_source

THREADS = 256
STORE_BYTES = 16

# --- the numbers of one block ----------------------------------------------------------------------------------------


@inlined
def draw_words(a, b, c, d):
    """The words themselves."""
    return T(a), T(b), T(c), T(d)


@inlined
def draw_uniform_float32(a, b, c, d, lowest, width, last):
    """One word per value: lowest + width * fraction, at most `last`."""
    return (
        stretched(uniform_float32(a), lowest, width, last), stretched(uniform_float32(b), lowest, width, last),
        stretched(uniform_float32(c), lowest, width, last), stretched(uniform_float32(d), lowest, width, last),
    )  # fmt: skip


@inlined
def draw_uniform_float64(a, b, c, d, lowest, width, last):
    """Two words per value: lowest + width * fraction, at most `last`."""
    return stretched(uniform_float64(a, b), lowest, width, last), stretched(uniform_float64(c, d), lowest, width, last)


@inlined
def draw_normal_float32(a, b, c, d, mean, deviation):
    """Two words per two values: mean + deviation * standard normal."""
    x, y = normal_pair_float32(a, b)
    z, w = normal_pair_float32(c, d)
    return (
        fused_multiply_add(x, deviation, mean), fused_multiply_add(y, deviation, mean),
        fused_multiply_add(z, deviation, mean), fused_multiply_add(w, deviation, mean),
    )  # fmt: skip


@inlined
def draw_normal_float64(a, b, c, d, mean, deviation):
    """Four words per two values: mean + deviation * standard normal."""
    x, y = normal_pair_float64(a, b, c, d)
    return fused_multiply_add(x, deviation, mean), fused_multiply_add(y, deviation, mean)


@inlined
def draw_integers(a, b, c, d, lowest, span):
    """Two words per value: lowest + an integer below `span`, which is 1 to 2**32, in the low bits of an unsigned T."""
    base, width = uint64(lowest), uint64(span)
    return T(base + below_narrow(a, b, width)), T(base + below_narrow(c, d, width))


@inlined
def draw_wide_integers(a, b, c, d, lowest, span):
    """Four words per value: lowest + an integer below `span`, in the low bits of an unsigned T; a span of 0: 2**64."""
    return (T(uint64(lowest) + below_wide(a, b, c, d, uint64(span))),)


@inlined
def draw_mask(a, b, c, d, threshold, one):
    """One word per value: `one` where the word is below the threshold (0 to 2**32), else 0."""
    limit, zero = uint64(threshold), T(0)
    return select(a < limit, one, zero), select(b < limit, one, zero), select(c < limit, one, zero), select(d < limit, one, zero)


# --- kernels ---------------------------------------------------------------------------------------------------------


class _Draw(NamedTuple):
    """A way to draw numbers: how many a block gives, by which function, with which helpers and scalars."""

    name: str
    values: int
    function: Callable
    uses: tuple[Callable, ...]
    scalars: tuple[tuple[str, str], ...] = ()  # (name, dtype or T)


_RANGE = (("lowest", "T"), ("width", "T"), ("last", "T"))
_NORMAL = (("mean", "T"), ("deviation", "T"))
_SPAN = (("lowest", "int64"), ("span", "int64"))

WORDS = _Draw("random_bits", 4, draw_words, ())
UNIFORM = {
    "float32": _Draw("random_uniform", 4, draw_uniform_float32, (uniform_float32, stretched), _RANGE),
    "float64": _Draw("random_uniform", 2, draw_uniform_float64, (uniform_float64, stretched), _RANGE),
}
NORMAL = {
    "float32": _Draw("random_normal", 4, draw_normal_float32, (normal_pair_float32,), _NORMAL),
    "float64": _Draw("random_normal", 2, draw_normal_float64, (normal_pair_float64,), _NORMAL),
}
INTEGERS = _Draw("random_integers", 2, draw_integers, (below_narrow,), _SPAN)
WIDE_INTEGERS = _Draw("random_wide_integers", 1, draw_wide_integers, (below_wide,), _SPAN)
MASK = _Draw("random_mask", 4, draw_mask, (), (("threshold", "int64"), ("one", "T")))

_made: dict[tuple[str, str], Kernel] = {}


def _kernel(draw: _Draw, dtype: str) -> Kernel:
    """The kernel that draws numbers of a dtype."""
    made = _made.get((draw.name, dtype))
    if made is None:
        constants = _constants(draw, dtype)
        parameters: list[Parameter] = [("out", dtype, True)]
        parameters += [(name, "int64", False) for name in ("count", "key", "offset")]
        parameters += [(name, dtype if kind == "T" else kind, False) for name, kind in draw.scalars]
        helpers = [plain_source(f) for f in (philox, random_words, *draw.uses, draw.function)]
        source = "\n\n".join([*helpers, _source(draw, parameters, constants["BLOCKS"])])
        made = _made[draw.name, dtype] = Kernel(draw.name, source, parameters, {"T": dtype}, THREADS, constants)
    return made


def _constants(draw: _Draw, dtype: str) -> dict[str, int]:
    """How many blocks of words and how many numbers are a thread's."""
    blocks = max(1, STORE_BYTES // (np.dtype(dtype).itemsize * draw.values))
    return {"BLOCKS": blocks, "PER_THREAD": blocks * draw.values}


def _source(draw: _Draw, parameters: list[Parameter], blocks: int) -> str:
    """The kernel: all numbers of a thread in one store, except at the end of the array."""
    arguments = ", ".join(["a, b, c, d", *(name for name, _ in draw.scalars)])
    values = ", ".join(f"drawn{k}[{i}]" for k in range(blocks) for i in range(draw.values))
    lines = [f"def {draw.name}({', '.join(name for name, _, _ in parameters)}):"]
    lines += [
        "    thread = int64(cuda.blockIdx.x) * int64(THREADS) + int64(cuda.threadIdx.x)",
        "    at = thread * int64(PER_THREAD)",
        "    block = offset + thread * int64(BLOCKS)",
        "    if at + int64(PER_THREAD) <= count:",
    ]
    for k in range(blocks):
        lines += [
            f"        a, b, c, d = random_words(key, block + int64({k}))",
            f"        drawn{k} = {draw.function.__name__}({arguments})",
        ]
    lines += [
        f"        store{blocks * draw.values}(out, at, ({values}))",
        "    else:",
        "        for k in range(BLOCKS):",
        f"            place = at + int64(k) * int64({draw.values})",
        "            if place < count:",
        "                a, b, c, d = random_words(key, block + int64(k))",
        f"                drawn = {draw.function.__name__}({arguments})",
        "                out[place] = drawn[0]",
    ]
    for i in range(1, draw.values):
        lines += [f"                if place + int64({i}) < count:", f"                    out[place + int64({i})] = drawn[{i}]"]
    return "\n".join(lines)


# --- arrays ----------------------------------------------------------------------------------------------------------


def words(out: DeviceArray, key: int, offset: int) -> None:
    """Fill a uint32 array with random bits, four words to a block."""
    _fill(WORDS, out, key, offset)


def uniform(out: DeviceArray, key: int, offset: int, low: float, high: float) -> None:
    """Fill a float32 (four to a block) or float64 (two) array with values in [low, high)."""
    _fill(UNIFORM[out.dtype.name], out, key, offset, *stretch(out.dtype.type, low, high))


def normal(out: DeviceArray, key: int, offset: int, mean: float, std: float) -> None:
    """Fill a float32 (four to a block) or float64 (two) array with normal numbers."""
    _fill(NORMAL[out.dtype.name], out, key, offset, float(mean), float(std))


def integers(out: DeviceArray, key: int, offset: int, low: int, span: int) -> None:
    """Fill an integer array with low, ..., low + span - 1: two to a block up to a span of 2**32, one above."""
    draw = INTEGERS if span <= 1 << 32 else WIDE_INTEGERS
    _fill(draw, out.view(f"u{out.itemsize}"), key, offset, signed(low), signed(span))


def mask(out: DeviceArray, key: int, offset: int, threshold: int, one: float) -> None:
    """Fill an array of any type, four to a block: `one` with probability threshold / 2**32, else 0."""
    bits = int(np.array(one, out.dtype).view(f"u{out.itemsize}"))
    _fill(MASK, out.view(f"u{out.itemsize}"), key, offset, threshold, bits)


def permutation(count: int, key: int, offset: int, device: str = "cuda:0") -> DeviceArray:
    """The order (int64) that sorts `count` keys of 64 bits, two to a block, equal keys by index.

    There is no sorting kernel: the host draws and sorts the keys, the same on every device, and the order is copied.
    """
    from kernels.cpu.random import permutation as on_the_host

    return from_numpy(on_the_host(count, key, offset), device)


def _fill(draw: _Draw, out: DeviceArray, key: int, offset: int, *scalars: Any) -> None:
    if not layout_of(out).contiguous:
        raise ValueError(f"{draw.name}: the array must be C-contiguous, got strides {out.strides} for shape {out.shape}")
    if not out.flags.writeable:
        raise ValueError(f"{draw.name}: the array is read-only")
    if not out.size:
        return
    if out.pointer % STORE_BYTES:  # a view into the middle of an array
        from kernels.cuda.data import copy

        aligned = empty(out.shape, out.dtype, out.device)
        _fill(draw, aligned, key, offset, *scalars)
        copy(aligned, out=out)
        return
    kernel = _kernel(draw, out.dtype.name)
    per_block = kernel.constants["PER_THREAD"] * THREADS
    kernel(-(-out.size // per_block), out, out.size, signed(key), signed(offset), *scalars)


_UNSIGNED = ("uint8", "uint16", "uint32", "uint64")
_VARIANTS: list[tuple[_Draw, str]] = [
    (WORDS, "uint32"),
    *((draws[dtype], dtype) for draws in (UNIFORM, NORMAL) for dtype in ("float32", "float64")),
    *((draw, dtype) for draw in (INTEGERS, MASK) for dtype in _UNSIGNED),
    (WIDE_INTEGERS, "uint64"),
]
VARIANTS: list[Callable[[], Kernel]] = [lambda draw=draw, dtype=dtype: _kernel(draw, dtype) for draw, dtype in _VARIANTS]
PROMISES: dict[str, tuple[str, ...]] = {
    f"{draw.name}[{'_'.join([dtype, *(f'{k}{v}' for k, v in _constants(draw, dtype).items())])}]": ("STG.E.128", "IMAD.WIDE.U32")
    for draw, dtype in _VARIANTS
}
