"""Attention on the CPU and its gradients, a tile of rows and keys at a time: no T x S matrix is ever in memory.

float32 and float64; any strides, but features that are not neighbours in memory are copied first. Results lie in memory as
the queries, keys and values do, and do not depend on the number of threads.
"""

from __future__ import annotations

import numpy as np

from kernels import memory
from kernels.attention import NO_DROPOUT, Dropout, check, check_backward, mask_kind, mask_strides
from kernels.cpu.attention_kernels import (
    KEYS,
    ROWS,
    attention_delta,
    attention_gradients,
    attention_rows,
)
from kernels.cpu.data import copy
from kernels.cpu.reduce import sum as sum_parts
from kernels.layout import layout_of

Array = np.ndarray

_NO_BOOLS = np.zeros(1, np.bool_)
_PARTS = 8  # items that a backward pass has at least, if there are keys enough; it must not depend on the threads
_PART = 128  # keys that a part has at least


def attention(
    q: Array, k: Array, v: Array, mask: Array | None = None, *, scale: float, causal: bool = False,
    dropout: Dropout | None = None,
) -> tuple[Array, Array]:  # fmt: skip
    """softmax(scale * q @ k.T + mask) @ v for each head, and each row's logarithm of the sum of exponentials.

    Args:
        q: (B, H, T, D). k: (B, H, S, D). v: (B, H, S, E). float32 or float64.
        mask: four dimensions that broadcast to (B, H, T, S); bool (True: the key takes part) or numbers that are added.
        causal: whether row i sees the keys 0 to i only.
        dropout: which probabilities to leave out; the others grow accordingly.

    Returns:
        (B, H, T, E), and (B, H, T), which is +infinity for rows that see no key and are 0.

    Raises:
        TypeError: dtypes differ, or are none of these.
        ValueError: shapes do not fit.

    >>> import numpy as np
    >>> q = np.zeros((1, 1, 2, 3))
    >>> out, _ = attention(q, q, np.array([[[[1.0], [3.0]]]]), scale=1.0, causal=True)
    >>> out.ravel()
    array([1., 2.])
    """
    check("attention", q, k, v, mask)
    q, k, v = _in_lines(q), _in_lines(k), _in_lines(v)
    out = _laid_out(q, (*q.shape[:3], v.shape[3]))
    lse = memory.empty(q.shape[:3], q.dtype)
    blocks = -(-q.shape[2] // ROWS)
    sizes = _sizes(q, k, v, mask, out, blocks, causal)
    items = q.shape[0] * q.shape[1] * blocks
    if items:
        work = 1 + ROWS * k.shape[2] * (q.shape[3] + v.shape[3] + 24) // 8
        numbers = dropout.numbers if dropout else NO_DROPOUT
        masks = _masks(q, mask)
        attention_rows[q.dtype](items, q, k, v, *masks, out, lse, np.array(sizes, np.int64), scale, *numbers, work=work)
    return out, lse


def attention_backward(
    g: Array, q: Array, k: Array, v: Array, out: Array, lse: Array, mask: Array | None = None, *, scale: float,
    causal: bool = False, dropout: Dropout | None = None,
) -> tuple[Array, Array, Array]:  # fmt: skip
    """The gradients of q, k and v, from that of the result of `attention`, the result itself and the row's logarithms."""
    check("attention_backward", q, k, v, mask)
    check_backward("attention_backward", g, out, lse, q, v)
    g, q, k, v, out = (_in_lines(a) for a in (g, q, k, v, out))
    lse = lse if lse.flags.c_contiguous else copy(lse)
    heads, (rows, depth), keys = q.shape[0] * q.shape[1], q.shape[2:], k.shape[2]
    parts = max(min(-(-_PARTS // max(heads, 1)), -(-keys // _PART)), 1)
    part = -(-keys // (parts * KEYS)) * KEYS
    parts = max(-(-keys // max(part, 1)), 1)
    dq, dk, dv = _laid_out(q, q.shape), _laid_out(k, k.shape), _laid_out(v, v.shape)
    partial = dq if parts == 1 else memory.empty((parts, *q.shape), q.dtype)
    sizes = _sizes(q, k, v, mask, out, parts, causal)
    for array in (g, partial if parts == 1 else partial[0], dk, dv):
        sizes += _strides(array)
    table = np.array([*sizes, max(part, 1), q.size], np.int64)
    if heads * rows:
        delta = memory.empty(q.shape[:3], q.dtype)
        attention_delta[q.dtype](heads * rows, g, out, delta, table, work=1 + v.shape[3])
        numbers = dropout.numbers if dropout else NO_DROPOUT
        work = 1 + rows * min(part, keys) * (2 * depth + 2 * v.shape[3] + 24) // 5
        attention_gradients[q.dtype](
            heads * parts, g, q, k, v, *_masks(q, mask), lse, delta, partial, dk, dv, table, scale, *numbers, work=work
        )
    else:
        dk.fill(0)
        dv.fill(0)
    return (dq if parts == 1 else sum_parts(partial, axis=0)), dk, dv


def _masks(q: Array, mask: Array | None) -> tuple[Array, Array]:
    """The mask as the kernels' two operands, one of numbers and one of bools; what is not there is not read."""
    if mask is None:
        return q, _NO_BOOLS
    return (q, mask) if mask.dtype == np.bool_ else (mask, _NO_BOOLS)


def _sizes(q: Array, k: Array, v: Array, mask: Array | None, out: Array, items: int, causal: bool) -> list[int]:
    """What the kernels know of shapes and strides, up to the mask."""
    sizes = [q.shape[1], q.shape[2], k.shape[2], q.shape[3], v.shape[3], items, int(causal), mask_kind(mask)]
    for array in (q, k, v, out):
        sizes += _strides(array)
    return sizes + mask_strides(mask)


def _strides(array: Array) -> list[int]:
    return [stride // array.itemsize for stride in array.strides[:3]]


def _in_lines(array: Array) -> Array:
    """The array with features that are neighbours in memory."""
    usable = layout_of(array).aligned and array.flags.aligned
    if usable and (array.shape[-1] <= 1 or array.strides[-1] == array.itemsize):
        return array
    return copy(array) if usable else array.copy()


def _laid_out(like: Array, shape: tuple[int, ...]) -> Array:
    """Memory for a result (B, H, T, E) in which batches, heads and rows lie as the operand has them.

    Layers split features into heads without moving them: so they are joined again without moving.
    """
    order = sorted(range(3), key=lambda axis: -like.strides[axis]) if 0 not in like.strides[:3] else [0, 1, 2]
    made = memory.empty((*[shape[axis] for axis in order], shape[3]), like.dtype)
    return made.transpose(*[order.index(axis) for axis in range(3)], 3)
