"""Attention on the GPU and its gradients, a tile of rows and keys at a time: no T x S matrix is ever in memory.

What `kernels.cpu.attention` does, by the same random blocks; the formulas are told there and in `kernels.attention`. The
three gradients are three launches, each line of a result written by one block: the same bits every time.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from kernels import formulas
from kernels.attention import NO_DROPOUT, Dropout, check, check_backward, mask_kind, mask_strides
from kernels.cuda import attention_kernels
from kernels.cuda.array import DeviceArray, empty
from kernels.cuda.compiler import Kernel
from kernels.cuda.data import copy
from kernels.cuda.elementwise import apply
from kernels.cuda.reduce import sum as sum_along
from kernels.layout import layout_of

Array = DeviceArray

SIDE = attention_kernels.SIDE


def attention(
    q: Array, k: Array, v: Array, mask: Array | None = None, *, scale: float, causal: bool = False,
    dropout: Dropout | None = None,
) -> tuple[Array, Array]:  # fmt: skip
    """softmax(scale * q @ k.T + mask) @ v for each head, and each row's logarithm of the sum of exponentials.

    Arguments, results and errors as for `kernels.cpu.attention.attention`.
    """
    check("attention", q, k, v, mask)
    q, k, v = _in_lines(q), _in_lines(k), _in_lines(v)
    out = _laid_out(q, (*q.shape[:3], v.shape[3]))
    lse = empty(q.shape[:3], q.dtype, q.device)
    blocks, chunks = -(-q.shape[2] // SIDE), max(-(-v.shape[3] // _width(q)), 1)
    grid = q.shape[0] * q.shape[1] * blocks * chunks
    if grid:
        run = _kernel(attention_kernels.attention_rows, q, mask, causal, dropout, ROWS_OWN=1)
        run(
            grid, q, k, v, mask, out, lse, *q.shape[1:3], k.shape[2], q.shape[3], v.shape[3], blocks, chunks,
            *_strides(q, k, v, out), *mask_strides(mask), scale, *(dropout.numbers if dropout else NO_DROPOUT),
        )  # fmt: skip
    return out, lse


def attention_backward(
    g: Array, q: Array, k: Array, v: Array, out: Array, lse: Array, mask: Array | None = None, *, scale: float,
    causal: bool = False, dropout: Dropout | None = None,
) -> tuple[Array, Array, Array]:  # fmt: skip
    """The gradients of q, k and v, from that of the result of `attention`, the result itself and the row's logarithms."""
    check("attention_backward", q, k, v, mask)
    check_backward("attention_backward", g, out, lse, q, v)
    g, q, k, v = (_in_lines(a) for a in (g, q, k, v))
    lse = lse if layout_of(lse).contiguous else copy(lse)
    delta = sum_along(apply(formulas.multiply, g, out), axis=3)
    delta = delta if layout_of(delta).contiguous else copy(delta)
    numbers = (*mask_strides(mask), scale, *(dropout.numbers if dropout else NO_DROPOUT))

    def gradient(
        own: Array, other: Array, own2: Array, other2: Array, source: Array, like: Array, rows: int, slopes: int
    ) -> Array:
        made = _laid_out(like, like.shape)
        blocks, chunks = -(-own.shape[2] // SIDE), -(-like.shape[3] // _width(q))
        grid = own.shape[0] * own.shape[1] * blocks * chunks
        if grid:
            run = _kernel(attention_kernels.attention_gradient, q, mask, causal, dropout, ROWS_OWN=rows, SLOPES=slopes)
            run(
                grid, own, other, own2, other2, source, mask, lse, delta, made, *own.shape[1:3], other.shape[2], q.shape[3],
                v.shape[3], like.shape[3], blocks, chunks, *_strides(own, other, own2, other2, source, made), *numbers,
            )  # fmt: skip
        return made

    return gradient(q, k, g, v, k, q, 1, 1), gradient(k, q, v, g, q, k, 0, 1), gradient(k, q, v, g, g, v, 0, 0)


def _kernel(template, q: Array, mask: Array | None, causal: bool, dropout: Dropout | None, **more: int) -> Kernel:
    """The specialisation for these operands and options."""
    kind = mask_kind(mask)
    types = (q.dtype, np.dtype(np.uint8) if kind == 2 else q.dtype)
    options = {"CAUSAL": int(causal), "MASK": kind, "DROPOUT": int(dropout is not None), **more}
    return _specialised(template, types, **options)


def _specialised(template, types: tuple, **options: int) -> Kernel:
    return template.specialised(types, attention_kernels.THREADS, **options, **attention_kernels.constants_for(types[0].itemsize))


def _width(q: Array) -> int:
    """Columns of a result that a block computes."""
    return attention_kernels.constants_for(q.itemsize)["WIDE"]


def _strides(*arrays: Array) -> list[int]:
    """Along batches, heads and rows, in elements."""
    return [stride // array.itemsize for array in arrays for stride in array.strides[:3]]


def _in_lines(array: Array) -> Array:
    """The array with features that are neighbours in memory."""
    usable = layout_of(array).aligned and (array.shape[-1] <= 1 or array.strides[-1] == array.itemsize)
    return array if usable else copy(array)


def _laid_out(like: Array, shape: tuple[int, ...]) -> Array:
    """Memory for a result (B, H, T, E) in which batches, heads and rows lie as the operand has them."""
    order = sorted(range(3), key=lambda axis: -like.strides[axis]) if 0 not in like.strides[:3] else [0, 1, 2]
    made = empty((*[shape[axis] for axis in order], shape[3]), like.dtype, like.device)
    return made.transpose(*[order.index(axis) for axis in range(3)], 3)


def _variants() -> list[Callable[[], Kernel]]:
    """Both types, each mask, with and without what else there is."""
    made: list[Callable[[], Kernel]] = []
    forms = [("f4", "f4", 0, 1, 0), ("f4", "f4", 1, 0, 1), ("f8", "u1", 2, 1, 1)]
    for numbers, masks, kind, causal, dropout in forms:
        types, options = (np.dtype(numbers), np.dtype(masks)), {"CAUSAL": causal, "MASK": kind, "DROPOUT": dropout}
        made.append(lambda t=types, o=options: _specialised(attention_kernels.attention_rows, t, **o, ROWS_OWN=1))
        for rows, slopes in ((1, 1), (0, 1), (0, 0)):
            more = {**options, "ROWS_OWN": rows, "SLOPES": slopes}
            made.append(lambda t=types, o=more: _specialised(attention_kernels.attention_gradient, t, **o))
    return made


VARIANTS = _variants()
PROMISES: dict[str, tuple[str, ...]] = {
    "attention_rows[*": ("SHFL.BFLY", "LDS", "STS"),
    "attention_gradient[*": ("LDS", "STS"),
}
