"""Searching and sets: searchsorted, the distinct elements of a tensor, and which elements occur in another one.

All of it is made of sorting, comparing neighbours and binary search. Positions have no gradient; the distinct values do:
each goes back to the first element that has it.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from autograd import dtypes
from autograd.ops import elementwise as ew
from autograd.ops.base import _different_devices
from autograd.ops.complex_numbers import imag, real
from autograd.ops.creation import arange, asarray, full, ones, zeros
from autograd.ops.cumulative import cumulative_sum
from autograd.ops.index import getitem
from autograd.ops.shape import concat, reshape
from autograd.ops.sorting import argsort
from autograd.tensor import Tensor, wrap
from kernels import backend_for


class UniqueAll(NamedTuple):
    """What `unique_all` gives."""

    values: Tensor
    indices: Tensor
    inverse_indices: Tensor
    counts: Tensor


class UniqueCounts(NamedTuple):
    """What `unique_counts` gives."""

    values: Tensor
    counts: Tensor


class UniqueInverse(NamedTuple):
    """What `unique_inverse` gives."""

    values: Tensor
    inverse_indices: Tensor


def searchsorted(x1: Tensor, x2: Any, /, *, side: str = "left", sorter: Tensor | None = None) -> Tensor:
    """Where each of `x2` has to be put into the ascending vector x1 so that it stays in order: int64, in x2's shape.

    Special cases:
        NaN counts as larger than every number.

    Args:
        x2: a tensor or a number.
        side: "left" before equal elements, "right" after them.
        sorter: the order that sorts x1, as `argsort` gives it, where x1 is not sorted.

    >>> import autograd as ag
    >>> ag.searchsorted(ag.tensor([1.0, 2.0, 2.0, 5.0]), ag.tensor([2.0, 6.0]))
    tensor([1, 4], dtype=int64)
    """
    if x1.ndim != 1:
        raise ValueError(f"searchsorted: needs a vector to search in, got shape {x1.shape}")
    if side not in ("left", "right"):
        raise ValueError(f"searchsorted: side must be 'left' or 'right', got {side!r}")
    if sorter is not None:
        if sorter.dtype.kind not in "iu" or sorter.shape != x1.shape:
            raise ValueError(f"searchsorted: sorter must be integers of shape {x1.shape}, got {sorter.shape}, {sorter.dtype}")
        x1 = getitem(x1.detach(), sorter)
    dtype = dtypes.result_type(x1, x2)
    if dtype.kind == "c":
        raise TypeError(f"searchsorted: complex numbers have no order, got {dtype}; search among the parts or absolute values")
    wanted = _as(x2, dtype, x1, "searchsorted")
    return wrap(backend_for(x1.device).searchsorted(_as(x1, dtype, x1, "searchsorted")._data, wanted._data, side == "right"))


def _as(x: Any, dtype: Any, like: Tensor, name: str) -> Tensor:
    """A tensor of this dtype, without its history, on the device of `like`."""
    if not isinstance(x, Tensor):
        return asarray(x, dtype=dtype, device=like.device)
    if x.device != like.device:
        raise _different_devices(name, (like, x))
    return x.detach().astype(dtype, copy=False)


def unique_all(x: Tensor, /) -> UniqueAll:
    """The distinct elements in ascending order, where each occurs first, which of them each element is, and how many there are.

    indices are those of the flattened tensor, and
    inverse_indices has the shape of x.

    Special cases:
        every NaN is distinct, both zeros are one; the gradient of each value goes to the first element that has it.

    >>> import autograd as ag
    >>> ag.unique_all(ag.tensor([3, 1, 3])).counts
    tensor([1, 2], dtype=int64)
    """
    values, order, flags, starts = _distinct(x)
    return UniqueAll(values, getitem(order, starts), _inverse(x, order, flags), _counts(x, starts))


def unique_counts(x: Tensor, /) -> UniqueCounts:
    """The distinct elements in ascending order, and how many there are of each; see `unique_all`.

    Special cases:
        those of `unique_all`.
    """
    values, _, _, starts = _distinct(x)
    return UniqueCounts(values, _counts(x, starts))


def unique_inverse(x: Tensor, /) -> UniqueInverse:
    """The distinct elements in ascending order, and which of them each element is; see `unique_all`.

    Special cases:
        those of `unique_all`.
    """
    values, order, flags, _ = _distinct(x)
    return UniqueInverse(values, _inverse(x, order, flags))


def unique_values(x: Tensor, /) -> Tensor:
    """The distinct elements in ascending order; see `unique_all`.

    Special cases:
        those of `unique_all`.
    """
    return _distinct(x)[0]


def _distinct(x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The distinct values; the order that sorts x; where in it a new value begins, as flags and as places."""
    flat = reshape(x, (x.size,))
    ordered, order = _in_order(flat.detach())
    begin = ones(min(1, x.size), dtype=dtypes.bool, device=x.device)
    flags = concat([begin, ew.not_equal(ordered[1:], ordered[:-1])], axis=0)
    starts = wrap(backend_for(x.device).nonzero(flags._data)[0])
    return getitem(flat, getitem(order, starts)), order, flags, starts


def _in_order(flat: Tensor) -> tuple[Tensor, Tensor]:
    """A vector in ascending order, complex numbers by their real and then their imaginary parts; and where each was."""
    if flat.dtype.kind == "c":
        order = argsort(imag(flat))
        order = getitem(order, argsort(getitem(real(flat), order)))
        return getitem(flat, order), order
    values, places = backend_for(flat.device).sort_with_places(flat._data)
    return wrap(values), wrap(places)


def _inverse(x: Tensor, order: Tensor, flags: Tensor) -> Tensor:
    numbers = cumulative_sum(flags) - 1
    return reshape(getitem(numbers, argsort(order)), x.shape)


def _counts(x: Tensor, starts: Tensor) -> Tensor:
    ends = concat([starts[1:], full(min(1, x.size), x.size, dtype=dtypes.int64, device=x.device)], axis=0)
    return ends - starts


def isin(x1: Any, x2: Any, /, *, invert: bool = False) -> Tensor:
    """Whether each element of x1 is equal to one of x2 (to none, with `invert`).

    Special cases:
        NaN is equal to nothing.

    Args:
        x1, x2: tensors; one of them may be a number.

    >>> import autograd as ag
    >>> ag.isin(ag.tensor([1, 2, 3]), ag.tensor([3, 1]))
    tensor([ True, False,  True], dtype=bool)
    """
    like = x1 if isinstance(x1, Tensor) else x2
    if not isinstance(like, Tensor):
        raise TypeError(f"isin: one operand must be a tensor, got {type(x1).__name__} and {type(x2).__name__}")
    dtype = dtypes.result_type(x1, x2)
    wanted, known = _as(x1, dtype, like, "isin"), _as(x2, dtype, like, "isin")
    if not known.size:
        return full(wanted.shape, bool(invert), dtype=dtypes.bool, device=like.device)
    if dtype.kind == "c":
        found = _among(wanted, known)
        return ew.logical_not(found) if invert else found
    backend = backend_for(like.device)
    ordered = wrap(backend.sort(reshape(known, (known.size,))._data))
    places = ew.minimum(wrap(backend.searchsorted(ordered._data, wanted._data, False)), known.size - 1)
    found = getitem(ordered, places)
    return ew.not_equal(found, wanted) if invert else ew.equal(found, wanted)


def _among(wanted: Tensor, known: Tensor) -> Tensor:
    """Whether each element of one tensor is in another: by the numbers that their distinct elements get together."""
    numbers = unique_inverse(concat([reshape(known, (known.size,)), reshape(wanted, (wanted.size,))], axis=0)).inverse_indices
    is_known = zeros(numbers.size, dtype=dtypes.bool, device=known.device)
    is_known[numbers[: known.size]] = True
    return reshape(is_known[numbers[known.size :]], wanted.shape)


def nonzero(x: Tensor, /) -> tuple[Tensor, ...]:
    """Where the elements are not zero, in C order: a vector of int64 indices per axis.

    Special cases:
        NaN is not zero.

    >>> import autograd as ag
    >>> ag.nonzero(ag.tensor([0.0, 2.0, 3.0]))
    (tensor([1, 2], dtype=int64),)
    """
    if not x.ndim:
        raise ValueError("nonzero: a 0-d tensor has no indices; reshape it to (1,)")
    mask = x.detach() if x.dtype.kind == "b" else ew.not_equal(x.detach(), 0)
    return tuple(wrap(found) for found in backend_for(x.device).nonzero(mask._data))


def bincount(x: Tensor, /, weights: Tensor | None = None, *, minlength: int = 0) -> Tensor:
    """How often each of 0, 1, 2, ... occurs in a vector of integers, int64; with weights the sum of those at each.

    Special cases:
        the gradient goes to the weights: each gets that of its bin.

    >>> import autograd as ag
    >>> ag.bincount(ag.tensor([0, 2, 2]))
    tensor([1, 0, 2], dtype=int64)
    """
    from autograd.ops.index import AddAt

    if x.ndim != 1 or x.dtype.kind not in "iu":
        raise TypeError(f"bincount: needs a vector of integers, got shape {x.shape}, {x.dtype}")
    if isinstance(minlength, bool) or not isinstance(minlength, int) or minlength < 0:
        raise ValueError(f"bincount: minlength must be an integer of at least 0, got {minlength!r}")
    if weights is not None and weights.shape != x.shape:
        raise ValueError(f"bincount: needs a weight for each element, got shapes {x.shape} and {weights.shape}")
    if weights is not None and weights.device != x.device:
        raise _different_devices("bincount", (x, weights))
    place = x.astype(dtypes.int64, copy=False)
    ordered = wrap(backend_for(x.device).sort(place._data))
    if x.size and int(ordered[0].item()) < 0:
        raise ValueError(f"bincount: elements must not be negative, the smallest is {ordered[0].item()}")
    size = max(int(ordered[-1].item()) + 1 if x.size else 0, minlength)
    if weights is not None:
        if not x.size:
            return zeros(size, dtype=weights.dtype, device=x.device)
        return AddAt.apply(weights, indices=[backend_for(x.device).copy(place._data)], shape=(size,), start=0)
    edges = searchsorted(ordered, arange(size + 1, dtype=dtypes.int64, device=x.device))
    return edges[1:] - edges[:-1]
