"""Products of tensors made of matrix products and multiplications: tensordot, vecdot, kron, cross, powers of a matrix."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from autograd.ops.base import normalize_axis
from autograd.ops.complex_numbers import conj
from autograd.ops.creation import asarray, eye
from autograd.ops.linalg import _same, matmul
from autograd.ops.reduce import sum
from autograd.ops.shape import broadcast_to, concat, permute_dims, reshape
from autograd.tensor import Tensor
from kernels.layout import broadcast_shapes


def sum_keeping_dtype(x: Tensor, axis: Any) -> Tensor:
    """The sum over axes in the operand's own dtype: small integers wrap around, as in a matrix product."""
    total = sum(x, axis=axis)
    return total if total.dtype == x.dtype else total.astype(x.dtype)


def vecdot(x1: Tensor, x2: Tensor, /, *, axis: int = -1) -> Tensor:
    """The inner products of vectors along an axis, the other dimensions broadcast; the first vector's complex conjugate counts.

    >>> import autograd as ag
    >>> ag.vecdot(ag.tensor([[1.0, 2.0], [3.0, 4.0]]), ag.tensor([1.0, 1.0]))
    tensor([3., 7.], dtype=float32)
    """
    a, b = _same(x1, x2, "vecdot")
    _no_bools(a, "vecdot")
    if not a.ndim or not b.ndim:
        raise ValueError(f"vecdot: operands must have at least one dimension, got shapes {a.shape} and {b.shape}")
    shape = broadcast_shapes("vecdot", a.shape, b.shape)
    place = normalize_axis(axis, len(shape), "vecdot") - len(shape)  # counted from the end: the same axis of both
    if min(a.ndim, b.ndim) < -place or a.shape[place] != b.shape[place]:
        raise ValueError(f"vecdot: shapes {a.shape} and {b.shape} have different sizes at axis {axis}")
    return sum_keeping_dtype(conj(a) * b, place)


def tensordot(x1: Tensor, x2: Tensor, /, axes: int | tuple[Sequence[int], Sequence[int]] = 2) -> Tensor:
    """The sum over products along pairs of axes; the result has the other axes of x1, then those of x2.

    Args:
        axes: how many last axes of x1 are paired with the first ones of x2; or the axes of x1, and those of x2.

    >>> import autograd as ag
    >>> ag.tensordot(ag.ones((2, 3, 4)), ag.ones((4, 3, 5)), axes=((1, 2), (1, 0))).shape
    (2, 5)
    """
    a, b = _same(x1, x2, "tensordot")
    _no_bools(a, "tensordot")
    left, right = _pairs(a, b, axes)
    if any(a.shape[i] != b.shape[j] for i, j in zip(left, right, strict=True)):
        raise ValueError(f"tensordot: shapes {a.shape} and {b.shape} have different sizes along the axes {left} and {right}")
    rows = [k for k in range(a.ndim) if k not in left]
    columns = [k for k in range(b.ndim) if k not in right]
    shape = [a.shape[k] for k in rows] + [b.shape[k] for k in columns]
    depth = math.prod(a.shape[k] for k in left)
    first = reshape(permute_dims(a, (*rows, *left)), (math.prod(a.shape[k] for k in rows), depth))
    second = reshape(permute_dims(b, (*right, *columns)), (depth, math.prod(b.shape[k] for k in columns)))
    return reshape(matmul(first, second), tuple(shape))


def _pairs(a: Tensor, b: Tensor, axes: Any) -> tuple[list[int], list[int]]:
    if hasattr(axes, "__index__"):
        count = axes.__index__()
        if not 0 <= count <= min(a.ndim, b.ndim):
            raise ValueError(f"tensordot: {count} axes cannot be paired in tensors of shapes {a.shape} and {b.shape}")
        return list(range(a.ndim - count, a.ndim)), list(range(count))
    given = tuple(axes)
    if len(given) != 2:
        raise ValueError(f"tensordot: axes must be a number, or the axes of each of the two tensors, got {axes!r}")
    named = [tuple(g) if isinstance(g, (tuple, list)) else (g,) for g in given]
    left, right = ([normalize_axis(k, t.ndim, "tensordot") for k in n] for n, t in zip(named, (a, b), strict=True))
    if len(left) != len(right) or len(set(left)) != len(left) or len(set(right)) != len(right):
        raise ValueError(f"tensordot: axes must be two lists of equally many distinct axes, got {axes!r}")
    return left, right


def kron(x1: Tensor, x2: Tensor, /) -> Tensor:
    """The Kronecker product: blocks of x2, one multiplied by each element of x1, along every axis.

    >>> import autograd as ag
    >>> ag.kron(ag.tensor([1, 10]), ag.tensor([1, 2, 3])).tolist()
    [1, 2, 3, 10, 20, 30]
    """
    a, b = _same(x1, x2, "kron")
    ndim = max(a.ndim, b.ndim)
    first, second = ((1,) * (ndim - t.ndim) + t.shape for t in (a, b))
    left = reshape(a, tuple(s for size in first for s in (size, 1)))
    right = reshape(b, tuple(s for size in second for s in (1, size)))
    return reshape(left * right, tuple(m * n for m, n in zip(first, second, strict=True)))


def cross(x1: Tensor, x2: Tensor, /, *, axis: int = -1) -> Tensor:
    """The cross products of vectors of 3 elements along an axis, the other dimensions broadcast."""
    a, b = _same(x1, x2, "cross")
    _no_bools(a, "cross")
    shape = broadcast_shapes("cross", a.shape, b.shape)
    place = normalize_axis(axis, len(shape), "cross")
    distance = place - len(shape)
    if any(t.ndim < -distance or t.shape[distance] != 3 for t in (a, b)):
        raise ValueError(f"cross: both operands must have size 3 along axis {axis}, got shapes {a.shape} and {b.shape}")

    def turned(x: Tensor, by: int) -> Tensor:
        whole = (slice(None),) * place
        x = broadcast_to(x, shape)
        return concat([x[(*whole, slice(by, None))], x[(*whole, slice(None, by))]], axis=place)

    return turned(a, 1) * turned(b, 2) - turned(a, 2) * turned(b, 1)


def matrix_power(x: Tensor, n: int, /) -> Tensor:
    """Square matrices multiplied by themselves n times; the inverses' powers for negative n, the identity for 0.

    Special cases:
        negative powers of a singular matrix raise.
    """
    from autograd.ops.lapack import inv

    x = asarray(x)
    if isinstance(n, bool) or not hasattr(n, "__index__"):
        raise TypeError(f"matrix_power: the power must be an integer, got {n!r}")
    if x.ndim < 2 or x.shape[-1] != x.shape[-2]:
        raise ValueError(f"matrix_power: needs square matrices, got shape {x.shape}")
    _no_bools(x, "matrix_power")
    left = n.__index__()
    if left == 0:
        return broadcast_to(eye(x.shape[-1], dtype=x.dtype, device=x.device), x.shape).clone()
    square, found = (inv(x), None) if left < 0 else (x, None)
    left = abs(left)
    while True:
        if left % 2:
            found = square if found is None else found @ square
        left //= 2
        if not left:
            assert found is not None
            return found.clone() if found is x else found
        square = square @ square


def _no_bools(x: Tensor, name: str) -> None:
    if x.dtype.kind == "b":
        raise TypeError(f"{name}: not defined on bool; convert with .astype(autograd.int64)")
