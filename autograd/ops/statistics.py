"""Statistics of sorted elements and of bins: quantiles, histograms, differences of neighbours."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from autograd import dtypes
from autograd.ops import elementwise as ew
from autograd.ops.base import normalize_axes, normalize_axis
from autograd.ops.creation import asarray, linspace
from autograd.ops.reduce import max, min
from autograd.ops.searching import bincount, searchsorted
from autograd.ops.shape import concat, permute_dims, reshape, stack
from autograd.ops.sorting import sort
from autograd.tensor import Tensor, wrap
from kernels import backend_for

_METHODS = ("linear", "lower", "higher", "nearest", "midpoint")


def median(x: Tensor, /, *, axis: Any = None, keepdims: bool = False) -> Tensor:
    """The middle element over axes (all, if None), the mean of both middle ones of an even number.

    Special cases:
        NaN if there is one; the gradient goes to the elements in the middle.

    >>> import autograd as ag
    >>> ag.median(ag.tensor([3.0, 1.0, 2.0, 10.0]))
    tensor(2.5, dtype=float32)
    """
    return quantile(x, 0.5, axis=axis, keepdims=keepdims, method="midpoint")


def quantile(
    x: Tensor, q: float | Sequence[float] | Tensor, /, *, axis: Any = None, keepdims: bool = False, method: str = "linear"
) -> Tensor:
    """What the fraction `q` of the elements over axes (all, if None) does not exceed.

    Special cases:
        NaN if one element is NaN; the gradient goes to the elements on both sides.

    Args:
        q: a number from 0 to 1, or a sequence of them: the results are stacked along a new first axis then.
        method: between two elements, "linear" interpolation, the "lower", the "higher", the "nearest" or the "midpoint".

    >>> import autograd as ag
    >>> ag.quantile(ag.tensor([1.0, 2.0, 4.0]), [0.25, 1.0])
    tensor([1.5, 4. ], dtype=float32)
    """
    if x.dtype.kind != "f":
        raise TypeError(f"quantile: needs floats, got shape {x.shape}, {x.dtype}; convert with .astype(autograd.float32)")
    if method not in _METHODS:
        raise ValueError(f"quantile: method must be one of {', '.join(_METHODS)}, got {method!r}")
    fractions: Any = q.tolist() if hasattr(q, "tolist") else q  # type: ignore[union-attr]
    wanted = list(fractions) if isinstance(fractions, (list, tuple)) else [fractions]
    if not all(isinstance(f, (int, float)) and 0 <= f <= 1 for f in wanted):
        raise ValueError(f"quantile: q must be numbers from 0 to 1 in one dimension, got {q!r}")
    axes = normalize_axes(axis, x.ndim, "quantile")
    kept = tuple(a for a in range(x.ndim) if a not in axes)
    count = math.prod(x.shape[a] for a in axes)
    if not count:
        raise ValueError(f"quantile: no elements to choose from: shape {x.shape}, axis {axes}")
    shape = tuple(x.shape[a] for a in kept)
    ordered = sort(reshape(permute_dims(x, kept + axes), (*shape, count)))
    last = ordered[..., -1]
    spoilt = ew.isnan(last)
    found = [ew.where(spoilt, last, _between(ordered, f * (count - 1), method)) for f in wanted]
    if keepdims:
        wide = tuple(1 if a in axes else s for a, s in enumerate(x.shape))
        found = [reshape(f, wide) for f in found]
    return stack(found) if isinstance(fractions, (list, tuple)) else found[0]


def _between(ordered: Tensor, position: float, method: str) -> Tensor:
    """The value at a position between two neighbours on the last axis."""
    low, high = math.floor(position), math.ceil(position)
    if low == high or method == "lower":
        return ordered[..., low]
    if method == "higher":
        return ordered[..., high]
    if method == "nearest":
        return ordered[..., round(position)]
    part = 0.5 if method == "midpoint" else position - low
    return ordered[..., low] * (1.0 - part) + ordered[..., high] * part


def histogram(
    x: Tensor,
    /,
    bins: int | Tensor | Sequence[float] = 10,
    *,
    range: tuple[float, float] | None = None,
    weights: Tensor | None = None,
    density: bool = False,
) -> tuple[Tensor, Tensor]:
    """How many elements lie in each bin, and the bins' edges: int64, or sums of the weights, which have gradients.

    A bin holds what is at least its lower edge and less than its upper one.

    Special cases:
        the last bin has its upper edge too; what lies outside, NaN included, is not counted; the gradient goes to the
        weights.

    Args:
        bins: their number, or their edges in ascending order.
        range: the first and the last edge, where `bins` is a number; otherwise those of the elements.
        density: divide by the sum of all and by each bin's width.

    >>> import autograd as ag
    >>> ag.histogram(ag.tensor([0.0, 1.0, 1.5, 2.0]), 2)[0]
    tensor([1, 3], dtype=int64)
    """
    values = reshape(x.detach(), (x.size,))
    if weights is not None:
        if weights.shape != x.shape:
            raise ValueError(f"histogram: needs a weight for each element, got shapes {x.shape} and {weights.shape}")
        weights = reshape(weights, (x.size,))
    edges = _edges(values, bins, range)
    values = values.astype(edges.dtype, copy=False)
    count = edges.size - 1
    if weights is None:
        ordered = sort(values)
        places = concat([searchsorted(ordered, edges[:-1]), searchsorted(ordered, edges[-1:], side="right")], axis=0)
        found = places[1:] - places[:-1]
    else:
        place = searchsorted(edges, values, side="right") - 1
        place = ew.where(ew.equal(values, edges[-1]), count - 1, place)
        inside = ew.logical_and(ew.greater_equal(values, edges[0]), ew.less_equal(values, edges[-1]))
        found = bincount(place[inside], weights[inside], minlength=count)
    if density:
        found = found.astype(edges.dtype, copy=False) if found.dtype.kind != "f" else found
        found = found / (edges[1:] - edges[:-1]) / found.sum()
    return found, edges


def _edges(values: Tensor, bins: Any, limits: tuple[float, float] | None) -> Tensor:
    dtype = values.dtype if values.dtype.kind == "f" else dtypes.float64
    if isinstance(bins, int) and not isinstance(bins, bool):
        if bins < 1:
            raise ValueError(f"histogram: needs at least 1 bin, got {bins}")
        if limits is not None:
            low, high = (float(edge) for edge in limits)
        elif values.size:
            low, high = float(min(values).item()), float(max(values).item())
        else:
            low, high = 0.0, 1.0
        if not (math.isfinite(low) and math.isfinite(high) and low <= high):
            raise ValueError(f"histogram: the edges must be finite and in order, got {low} and {high}; give range=")
        if low == high:
            low, high = low - 0.5, high + 0.5
        return linspace(low, high, bins + 1, dtype=dtype, device=values.device)
    edges = (bins.detach() if isinstance(bins, Tensor) else asarray(bins, device=values.device)).astype(dtype, copy=False)
    if edges.ndim != 1 or edges.size < 2:
        raise ValueError(f"histogram: edges must be a vector of at least 2, got shape {edges.shape}")
    if not bool(wrap(backend_for(edges.device).all(ew.less_equal(edges[:-1], edges[1:])._data)).item()):
        raise ValueError("histogram: edges must ascend")
    return edges


def diff(x: Tensor, /, *, axis: int = -1, n: int = 1, prepend: Tensor | None = None, append: Tensor | None = None) -> Tensor:
    """The differences of neighbours along an axis, x[k+1] - x[k], `n` times over (x itself for 0).

    Args:
        prepend, append: tensors put before and after x along the axis first.

    >>> import autograd as ag
    >>> ag.diff(ag.tensor([1.0, 4.0, 9.0]))
    tensor([3., 5.], dtype=float32)
    """
    place = normalize_axis(axis, x.ndim, "diff")
    if isinstance(n, bool) or not isinstance(n, int) or n < 0:
        raise ValueError(f"diff: n must be an integer of at least 0, got {n!r}")
    if x.dtype.kind == "b":
        raise TypeError("diff: bool has no differences; compare neighbours with !=, or convert with .astype(autograd.int8)")
    if not n:
        return x
    given = [part for part in (prepend, x, append) if part is not None]
    out = concat(given, axis=place) if len(given) > 1 else x
    before = (slice(None),) * place
    for _ in [None] * n:
        out = out[(*before, slice(1, None))] - out[(*before, slice(None, -1))]
    return out
