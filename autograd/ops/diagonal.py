"""Diagonals and triangles: a diagonal is a view; its adjoint writes into zeros."""

from __future__ import annotations

from typing import Any

from autograd.ops import elementwise as ew
from autograd.ops.base import Operation, normalize_axis
from autograd.ops.creation import arange, asarray
from autograd.ops.reduce import sum
from autograd.ops.shape import expand_dims, moveaxis
from autograd.tensor import Tensor


class Diagonal(Operation):
    is_view = True
    explanation = "{g} on the diagonal, 0 elsewhere"

    takes_complex = "itself"

    def forward(self, x, offset, axis1, axis2):
        self.before, self.place = x.shape, (offset, axis1, axis2)
        return self.backend.diagonal(x, offset, axis1, axis2)

    def backward(self, grad):
        return _on_diagonal(grad, self.before, *self.place)


class OnDiagonal(Operation):
    """The adjoint of a diagonal: zeros, with the elements on a diagonal."""

    explanation = "the diagonal of {g}"

    takes_complex = "itself"

    def forward(self, x, shape, offset, axis1, axis2):
        self.place = offset, axis1, axis2
        out = self.backend.fill(self.backend.empty(shape, x.dtype), 0)
        self.backend.copy(x, out=self.backend.diagonal(out, offset, axis1, axis2))
        return out

    def backward(self, grad):
        return diagonal(grad, *self.place)


def _on_diagonal(x: Tensor, shape: tuple[int, ...], offset: int, axis1: int, axis2: int) -> Tensor:
    return OnDiagonal.apply(x, shape=shape, offset=offset, axis1=axis1, axis2=axis2)


def _offset(offset: Any, name: str) -> int:
    if isinstance(offset, bool) or not hasattr(offset, "__index__"):
        raise TypeError(f"{name}: the number of a diagonal must be an integer (0 the main one, positive above), got {offset!r}")
    return offset.__index__()


def diagonal(x: Tensor, /, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Tensor:
    """The elements on a diagonal of two axes, as the last axis of the result: a view.

    `autograd.linalg.diagonal` takes the diagonals of matrices: of the last two axes.

    Args:
        offset: 0 for the main diagonal, k > 0 for the k-th above, k < 0 for one below it.

    >>> import autograd as ag
    >>> ag.diagonal(ag.reshape(ag.arange(6), (2, 3)), 1)
    tensor([1, 5], dtype=int64)
    """
    x = asarray(x)
    if x.ndim < 2:
        raise ValueError(f"diagonal: needs at least 2 dimensions, got shape {x.shape}; diag makes a matrix of a vector")
    first, second = normalize_axis(axis1, x.ndim, "diagonal"), normalize_axis(axis2, x.ndim, "diagonal")
    if first == second:
        raise ValueError(f"diagonal: axis1 and axis2 must be two different axes, got {axis1} and {axis2}")
    return Diagonal.apply(x, offset=_offset(offset, "diagonal"), axis1=first, axis2=second)


def diag_embed(x: Tensor, /, offset: int = 0, axis1: int = -2, axis2: int = -1) -> Tensor:
    """Zeros with the last axis of x on a diagonal of two new axes, which have the places axis1 and axis2 of the result.

    >>> import autograd as ag
    >>> ag.diag_embed(ag.tensor([1, 2]), offset=1).tolist()
    [[0, 1, 0], [0, 0, 2], [0, 0, 0]]
    """
    x, offset = asarray(x), _offset(offset, "diag_embed")
    if x.ndim < 1:
        raise ValueError("diag_embed: needs at least 1 dimension, got a 0-d tensor")
    first, second = normalize_axis(axis1, x.ndim + 1, "diag_embed"), normalize_axis(axis2, x.ndim + 1, "diag_embed")
    if first == second:
        raise ValueError(f"diag_embed: axis1 and axis2 must be two different axes, got {axis1} and {axis2}")
    size = x.shape[-1] + abs(offset)
    out = _on_diagonal(x, (*x.shape[:-1], size, size), offset, x.ndim - 1, x.ndim)
    return moveaxis(out, (-2, -1), (first, second))


def diag(x: Tensor, /, k: int = 0) -> Tensor:
    """A vector as the k-th diagonal of a matrix of zeros, or the k-th diagonal of a matrix (a view).

    >>> import autograd as ag
    >>> ag.diag(ag.tensor([1, 2])).tolist()
    [[1, 0], [0, 2]]
    """
    x = asarray(x)
    if x.ndim not in (1, 2):
        raise ValueError(
            f"diag: takes a vector or a matrix, got shape {x.shape}; diagonal and diag_embed take any number of dimensions"
        )
    return diag_embed(x, _offset(k, "diag")) if x.ndim == 1 else diagonal(x, _offset(k, "diag"))


def trace(x: Tensor, /, offset: int = 0, axis1: int = 0, axis2: int = 1, dtype: Any = None) -> Tensor:
    """The sum over a diagonal of two axes; small integers are summed as 64-bit ones.

    `autograd.linalg.trace` takes the traces of matrices: of the last two axes.
    """
    x = asarray(x)
    if x.ndim < 2:
        raise ValueError(f"trace: needs at least 2 dimensions, got shape {x.shape}")
    return sum(diagonal(x, _offset(offset, "trace"), axis1, axis2), axis=-1, dtype=dtype)


def tril(x: Tensor, /, k: int = 0) -> Tensor:
    """The lower triangles of matrices (the last two axes), zeros above the k-th diagonal.

    Special cases:
        what is cut off has gradient 0, also if it was NaN.

    >>> import autograd as ag
    >>> ag.tril(ag.ones((2, 3))).tolist()
    [[1.0, 0.0, 0.0], [1.0, 1.0, 0.0]]
    """
    return _triangle(x, k, "tril")


def triu(x: Tensor, /, k: int = 0) -> Tensor:
    """The upper triangles of matrices (the last two axes), zeros below the k-th diagonal.

    Special cases:
        what is cut off has gradient 0, also if it was NaN.
    """
    return _triangle(x, k, "triu")


def _triangle(x: Tensor, k: int, name: str) -> Tensor:
    x, k = asarray(x), _offset(k, name)
    if x.ndim < 2:
        raise ValueError(f"{name}: needs matrices, at least 2 dimensions, got shape {x.shape}")
    rows, columns = x.shape[-2:]
    k = min(max(k, -rows), columns)  # diagonals further out are empty: keep the numbers below in range
    down, across = expand_dims(arange(rows, device=x.device), 1), arange(-k, columns - k, device=x.device)
    inside = ew.less_equal(across, down) if name == "tril" else ew.greater_equal(across, down)
    zero = {"f": 0.0, "b": False}.get(x.dtype.kind, 0)
    return ew.where(inside, x, zero)


# --- the same of matrices, under the names of autograd.linalg ---------------------------------------------------------


def matrix_diagonal(x: Tensor, /, *, offset: int = 0) -> Tensor:
    """The elements on a diagonal of matrices (the last two axes), as the last axis of the result: a view."""
    return diagonal(x, offset, -2, -1)


def matrix_trace(x: Tensor, /, *, offset: int = 0, dtype: Any = None) -> Tensor:
    """The sums over a diagonal of matrices (the last two axes); small integers are summed as 64-bit ones."""
    return trace(x, offset, -2, -1, dtype)
