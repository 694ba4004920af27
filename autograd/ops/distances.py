"""Distances between all pairs of two sets of vectors."""

from __future__ import annotations

import math

from autograd.ops import elementwise as ew
from autograd.ops.linalg import _same
from autograd.ops.reduce import _root, max, norm, sum
from autograd.ops.shape import concat, expand_dims
from autograd.tensor import Tensor
from kernels.layout import broadcast_shapes

_BLOCK = 1 << 18  # differences in memory at a time: they and their squares stay in the cache


def cdist(x1: Tensor, x2: Tensor, /, p: float = 2.0) -> Tensor:
    """The p-norm of the difference of every vector of x1 and every vector of x2, as torch.cdist.

    It is computed from the differences themselves, never as x1**2 - 2 x1 x2 + x2**2, in which near vectors cancel.

    Special cases:
        gradient 0 where two vectors are equal, to any order.

    Args:
        x1: (..., P, M), floats.
        x2: (..., R, M), floats; the dimensions before the last two broadcast.
        p: 2 for Euclid's distance, 1 for the sum and infinity for the largest of the absolute differences, 0 for the
            number of elements that differ (which has no gradient), or any other positive number.

    Returns:
        (..., P, R)

    Raises:
        TypeError: x1 or x2 has no floats.
        ValueError: they have less than two dimensions or vectors of different sizes, or p is negative.

    >>> import autograd as ag
    >>> ag.cdist(ag.tensor([[0.0, 0.0], [3.0, 0.0]]), ag.tensor([[3.0, 4.0]])).tolist()
    [[5.0], [4.0]]
    """
    a, b = _same(x1, x2, "cdist")
    if a.dtype.kind != "f":
        raise TypeError(f"cdist: needs floats, got {a.dtype} (shapes {a.shape} and {b.shape}); use .astype(autograd.float32)")
    if a.ndim < 2 or b.ndim < 2 or a.shape[-1] != b.shape[-1]:
        raise ValueError(f"cdist: needs (..., P, M) and (..., R, M), got shapes {a.shape} and {b.shape}")
    if not p >= 0:
        raise ValueError(f"cdist: p must be 0 or more, got {p}")
    batch = broadcast_shapes("cdist", a.shape[:-2], b.shape[:-2])
    left, right = expand_dims(a, -2), expand_dims(b, -3)  # (..., P, 1, M), (..., 1, R, M)
    count = a.shape[-2]
    rows = 1 + _BLOCK // (1 + math.prod(batch) * math.prod(b.shape[-2:]))
    if count <= rows:
        return _norms(left, right, p)
    return concat([_norms(left[..., k : k + rows, :, :], right, p) for k in range(0, count, rows)], axis=-2)


def _norms(left: Tensor, right: Tensor, p: float) -> Tensor:
    if p == 2:  # these save the vectors, not their differences
        return _root(sum(ew.OPERATIONS["squared_error"](left, right), axis=-1))
    if p == 1 or not left.shape[-1]:
        return sum(ew.OPERATIONS["absolute_error"](left, right), axis=-1)
    if p == math.inf:
        return max(ew.OPERATIONS["absolute_error"](left, right), axis=-1)
    return norm(left - right, ord=p, axis=-1)
