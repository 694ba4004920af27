"""Sorting along an axis. Every derivative goes back through the permutation: its adjoint is its inverse.

Sorting is stable, so equal elements keep their order, and of equal elements the gradient goes to the very one whose place
`argsort` gives. NaN counts as larger than every number: last in an ascending order, first in a descending one.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from autograd.ops.base import Operation, normalize_axis
from autograd.ops.index import Gather
from autograd.ops.selection import along
from autograd.tensor import Tensor, wrap
from kernels import backend_for


class Sort(Operation):
    """The elements in order; `places` is where they stood."""

    def forward(self, x, axis, descending):
        self.axis = axis
        values, self.places = self.backend.sort_with_places(x, axis, descending)
        return values

    def backward(self, grad):
        return permuted(grad, self.backend.argsort(self.places, self.axis), self.axis)


class Permuted(Operation):
    """The elements along an axis in another order, a permutation of all."""

    def forward(self, x, places, axis):
        self.places, self.axis = places, axis
        return self.backend.permuted(x, places, axis)

    def backward(self, grad):
        return permuted(grad, self.backend.argsort(self.places, self.axis), self.axis)


class TopK(NamedTuple):
    """What `topk` gives."""

    values: Tensor
    indices: Tensor


def permuted(x: Tensor, places: Any, axis: int) -> Tensor:
    """The elements along an axis in another order: `places` is an array that permutes the axis."""
    return Permuted.apply(x, places=places, axis=axis)


def sort(x: Tensor, /, *, axis: int = -1, descending: bool = False, stable: bool = True) -> Tensor:
    """The elements along an axis in order, stable whatever `stable` says.

    Special cases:
        NaN counts as larger than every number; equal elements stay in their order, so the gradient of each result goes to
        the very element it was.

    Raises:
        IndexError: the axis is outside the rank; a 0-d tensor has none.

    >>> import autograd as ag
    >>> ag.sort(ag.tensor([3.0, 1.0, 2.0]))
    tensor([1., 2., 3.], dtype=float32)
    """
    return Sort.apply(x, axis=normalize_axis(axis, x.ndim, "sort"), descending=bool(descending))


def argsort(x: Tensor, /, *, axis: int = -1, descending: bool = False, stable: bool = True) -> Tensor:
    """The indices, int64, that put the elements along an axis in order; see `sort`.

    Special cases:
        NaN counts as larger than every number; equal elements stay in their order.

    >>> import autograd as ag
    >>> ag.argsort(ag.tensor([3.0, 1.0, 2.0]), descending=True)
    tensor([0, 2, 1], dtype=int64)
    """
    place = normalize_axis(axis, x.ndim, "argsort")
    return wrap(backend_for(x.device).argsort(x._data, place, bool(descending)))


def topk(x: Tensor, k: int, /, *, axis: int = -1, largest: bool = True, sorted: bool = True) -> TopK:
    """The k largest (or smallest) elements along an axis, and their indices; where not `sorted`, as they stand in x.

    Special cases:
        NaN counts as larger than every number; of equal elements the first, and it has the gradient.

    Raises:
        ValueError: the axis has fewer than k elements.

    >>> import autograd as ag
    >>> ag.topk(ag.tensor([3.0, 1.0, 2.0]), 2)
    TopK(values=tensor([3., 2.], dtype=float32), indices=tensor([0, 2], dtype=int64))
    """
    place = normalize_axis(axis, x.ndim, "topk")
    if isinstance(k, bool) or not hasattr(k, "__index__"):
        raise TypeError(f"topk: k must be an integer, got {k!r}")
    count = k.__index__()
    if not 0 <= count <= x.shape[place]:
        raise ValueError(f"topk: k must be from 0 to {x.shape[place]}, the size of axis {axis}, got {count}")
    values, places = backend_for(x.device).topk(x._data, count, place, bool(largest), bool(sorted))
    indices = wrap(places)
    if x._edge is None:
        return TopK(wrap(values), indices)
    return TopK(Gather.apply(x, indices=tuple(along(x, indices, place)), start=0, unique=True), indices)
