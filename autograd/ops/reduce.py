"""Reductions: over any axes, each beside its adjoint, a broadcast."""

from __future__ import annotations

import builtins
import math
from typing import Any

from autograd.ops import complex_numbers
from autograd.ops import elementwise as ew
from autograd.ops.base import Operation, normalize_axes, normalize_axis
from autograd.ops.creation import ones
from autograd.ops.shape import broadcast_to, concat, permute_dims, reshape
from autograd.tensor import Tensor, wrap
from kernels import backend_for


class Reduction(Operation):
    """What reductions share: the axes, and the result's shape with the reduced ones kept at size 1."""

    def remember(self, x, axis, keepdims):
        self.before, self.axes = x.shape, axis
        self.kept_shape = tuple(1 if k in axis else s for k, s in enumerate(x.shape))
        self.count = math.prod(x.shape[a] for a in axis)

    def widen(self, reduced: Tensor) -> Tensor:
        """A reduced tensor in a shape that broadcasts against the operand."""
        if not reduced.ndim or reduced.shape == self.kept_shape:
            return reduced
        return reshape(reduced, self.kept_shape)


class Sum(Reduction):
    takes_complex = "pairs"

    def forward(self, x, axis, keepdims):
        self.remember(x, axis, keepdims)
        return self.backend.sum(x, axis=axis, keepdims=keepdims)

    def backward(self, grad):
        return broadcast_to(self.widen(grad), self.before)


class Mean(Reduction):
    takes_complex = "pairs"

    def forward(self, x, axis, keepdims):
        self.remember(x, axis, keepdims)
        return self.backend.mean(x, axis=axis, keepdims=keepdims)

    def backward(self, grad):
        return broadcast_to(self.widen(grad / builtins.max(self.count, 1)), self.before)


class Prod(Reduction):
    """The derivative is the product of the others: exact with zeros, because it never divides."""

    def forward(self, x, axis, keepdims):
        self.remember(x, axis, keepdims)
        return self.backend.prod(x, axis=axis, keepdims=keepdims)

    def saves(self, needs):
        return needs

    def backward(self, grad):
        return self.widen(grad) * product_of_others(self.operand(0), self.axes)


class Extreme(Reduction):
    """max and min: the gradient is shared evenly by the elements that attain it."""

    saves_result = True

    def saves(self, needs):
        return needs

    def backward(self, grad):
        x = self.operand(0).detach()
        best = self.widen(self.result().detach())
        attained = ew.equal(x, best)
        if x.dtype.kind == "f":
            attained = ew.logical_or(attained, ew.logical_and(ew.isnan(x), ew.isnan(best)))
        mask = attained.astype(grad.dtype)
        share = mask / sum(mask, axis=self.axes, keepdims=True)
        return self.widen(grad) * share


class Max(Extreme):
    def forward(self, x, axis, keepdims):
        self.remember(x, axis, keepdims)
        return self.backend.max(x, axis=axis, keepdims=keepdims)


class Min(Extreme):
    def forward(self, x, axis, keepdims):
        self.remember(x, axis, keepdims)
        return self.backend.min(x, axis=axis, keepdims=keepdims)


class Var(Reduction):
    def forward(self, x, axis, correction, keepdims):
        self.remember(x, axis, keepdims)
        self.divisor = self.count - correction
        return self.backend.var(x, axis=axis, correction=correction, keepdims=keepdims)

    def saves(self, needs):
        return needs

    def backward(self, grad):
        x = self.operand(0)
        centred = x - mean(x, axis=self.axes, keepdims=True)
        factor = 2.0 / self.divisor if self.divisor > 0 else math.nan
        return self.widen(grad) * (centred * factor)


class LogSumExp(Reduction):
    saves_result = True

    def forward(self, x, axis, keepdims):
        self.remember(x, axis, keepdims)
        return self.backend.logsumexp(x, axis=axis, keepdims=keepdims)

    def saves(self, needs):
        return needs

    def backward(self, grad):
        x, total = self.operand(0), self.widen(self.result())
        # Where everything is -inf the result is -inf whatever the elements do: weight 0, not exp(-inf + inf).
        finite = ew.where(ew.equal(total, -math.inf), 0.0, total)
        return self.widen(grad) * ew.exp(x - finite)


# --- functions -------------------------------------------------------------------------------------------------------


def _accumulating(x: Tensor, dtype: Any) -> Tensor:
    return x if dtype is None else x.astype(dtype, copy=False)


def sum(x: Tensor, /, axis: Any = None, dtype: Any = None, keepdims: bool = False) -> Tensor:
    """The sum over axes (all, if None); small integers are summed as 64-bit ones.

    Args:
        axis: an integer, a tuple of them, or None.
        dtype: of the sum; x is converted to it first. It comes before `keepdims`, as in NumPy: write `x.sum(0, keepdims=True)`.
        keepdims: keep the reduced axes with size 1.

    >>> import autograd as ag
    >>> ag.sum(ag.ones((2, 3)), axis=0)
    tensor([2., 2., 2.], dtype=float32)
    """
    x = _accumulating(x, dtype)
    out = Sum.apply(x, axis=normalize_axes(axis, x.ndim, "sum"), keepdims=keepdims)
    return out if dtype is None else _accumulating(out, dtype)


def mean(x: Tensor, /, axis: Any = None, keepdims: bool = False, dtype: Any = None) -> Tensor:
    """The arithmetic mean over axes. Floats only.

    Special cases:
        NaN over no elements.
    """
    x = _accumulating(x, dtype)
    x = x if x.dtype.kind == "c" else _floats(x, "mean")
    return Mean.apply(x, axis=normalize_axes(axis, x.ndim, "mean"), keepdims=keepdims)


def prod(x: Tensor, /, axis: Any = None, dtype: Any = None, keepdims: bool = False) -> Tensor:
    """The product over axes.

    Special cases:
        the gradient is exact with zeros: nothing is divided.
    """
    x = _accumulating(x, dtype)
    axes = normalize_axes(axis, x.ndim, "prod")
    if x.dtype.kind == "c":
        return complex_numbers.prod(x, axes, keepdims)
    out = Prod.apply(x, axis=axes, keepdims=keepdims)
    return out if dtype is None else _accumulating(out, dtype)


def max(x: Tensor, /, axis: Any = None, keepdims: bool = False) -> Tensor:
    """The largest element over axes.

    Special cases:
        NaN if there is one; equal largest elements share the gradient evenly.
    """
    axes = normalize_axes(axis, x.ndim, "max")
    _not_empty(x, axes, "max")
    return Max.apply(x, axis=axes, keepdims=keepdims)


def min(x: Tensor, /, axis: Any = None, keepdims: bool = False) -> Tensor:
    """The smallest element over axes.

    Special cases:
        NaN if there is one; equal smallest elements share the gradient evenly.
    """
    axes = normalize_axes(axis, x.ndim, "min")
    _not_empty(x, axes, "min")
    return Min.apply(x, axis=axes, keepdims=keepdims)


def var(x: Tensor, /, axis: Any = None, correction: float = 0.0, keepdims: bool = False) -> Tensor:
    """The variance over axes: squared distances from the mean, divided by their number minus `correction`."""
    return _variance(x, axis, correction, keepdims, "var")


def std(x: Tensor, /, axis: Any = None, correction: float = 0.0, keepdims: bool = False) -> Tensor:
    """The standard deviation over axes.

    Special cases:
        slope 0 where all elements are equal.
    """
    return _root(_variance(x, axis, correction, keepdims, "std"))


def _variance(x: Tensor, axis: Any, correction: float, keepdims: bool, name: str) -> Tensor:
    axes = normalize_axes(axis, _floats(x, name).ndim, name)
    return Var.apply(x, axis=axes, correction=float(correction), keepdims=keepdims)


def logsumexp(x: Tensor, /, axis: Any = None, keepdims: bool = False) -> Tensor:
    """log(sum(exp(x))).

    Special cases:
        no overflow; -infinity with gradient 0 where all elements are -infinity.
    """
    x = _floats(x, "logsumexp")
    return LogSumExp.apply(x, axis=normalize_axes(axis, x.ndim, "logsumexp"), keepdims=keepdims)


def norm(x: Tensor, /, ord: float = 2, axis: Any = None, keepdims: bool = False) -> Tensor:
    """The vector norm over axes (all, if None): (sum |x|**ord)**(1/ord), inf and -inf the largest and smallest |x|.

    Special cases:
        derivative 0 at zero.
    """
    x = _floats(x, "norm")
    if ord == 2:
        return _root(sum(ew.square(x), axis=axis, keepdims=keepdims))
    if ord == 1:
        return sum(ew.abs(x), axis=axis, keepdims=keepdims)
    if ord == math.inf:
        return max(ew.abs(x), axis=axis, keepdims=keepdims)
    if ord == -math.inf:
        return min(ew.abs(x), axis=axis, keepdims=keepdims)
    if ord == 0:
        return sum(ew.not_equal(x, 0.0).astype(x.dtype), axis=axis, keepdims=keepdims)
    absent = ew.equal(x, 0.0)  # 0 ** ord has an infinite slope for ord < 1; the direction is lost there
    at_zero = 0.0 if ord > 0 else math.inf
    power = ew.where(absent, at_zero, ew.where(absent, 1.0, ew.abs(x)) ** ord)
    total = sum(power, axis=axis, keepdims=keepdims)
    is_zero = ew.equal(total, 0.0)
    return ew.where(is_zero, at_zero, ew.where(is_zero, 1.0, total) ** (1 / ord))


def _root(x: Tensor) -> Tensor:
    """sqrt with derivative 0 at 0: for distances, where the gradient's direction is lost there."""
    is_zero = ew.equal(x, 0.0)
    return ew.where(is_zero, 0.0, ew.sqrt(ew.where(is_zero, 1.0, x)))


def argmax(x: Tensor, /, axis: int | None = None, keepdims: bool = False) -> Tensor:
    """The index of the first largest element along an axis (of all elements, if None); has no gradient.

    Special cases:
        of equal elements the first; NaN counts as the largest.
    """
    return _arg(x, axis, keepdims, "argmax")


def argmin(x: Tensor, /, axis: int | None = None, keepdims: bool = False) -> Tensor:
    """The index of the first smallest element along an axis (of all elements, if None); has no gradient.

    Special cases:
        of equal elements the first; NaN counts as the smallest.
    """
    return _arg(x, axis, keepdims, "argmin")


def _arg(x: Tensor, axis: int | None, keepdims: bool, name: str) -> Tensor:
    if x.dtype.kind == "c":
        raise TypeError(f"{name}: complex numbers have no order, got {x.dtype}; take the real part or the absolute value first")
    place = None if axis is None else normalize_axis(axis, x.ndim, name)
    _not_empty(x, tuple(range(x.ndim)) if place is None else (place,), name)
    return _plain(name, x, axis=place, keepdims=keepdims)


def any(x: Tensor, /, axis: Any = None, keepdims: bool = False) -> Tensor:
    """Whether some element is non-zero, over axes."""
    return _plain("any", x, axis=normalize_axes(axis, x.ndim, "any"), keepdims=keepdims)


def all(x: Tensor, /, axis: Any = None, keepdims: bool = False) -> Tensor:
    """Whether every element is non-zero, over axes."""
    return _plain("all", x, axis=normalize_axes(axis, x.ndim, "all"), keepdims=keepdims)


def count_nonzero(x: Tensor, /, axis: Any = None, keepdims: bool = False) -> Tensor:
    """How many elements are not zero, over axes."""
    return _plain("count_nonzero", x, axis=normalize_axes(axis, x.ndim, "count_nonzero"), keepdims=keepdims)


def _plain(name: str, x: Tensor, **options: Any) -> Tensor:
    """A kernel whose result has no gradient."""
    if x.dtype.kind == "c":
        x = ew.not_equal(x, 0)
    return wrap(getattr(backend_for(x.device), name)(x._data, **options))


def _floats(x: Tensor, name: str) -> Tensor:
    if x.dtype.kind != "f":
        raise TypeError(f"{name}: needs floats, got shape {x.shape}, {x.dtype}; convert with .astype(autograd.float32)")
    return x


def _not_empty(x: Tensor, axes: tuple[int, ...], name: str) -> None:
    if builtins.any(x.shape[a] == 0 for a in axes):
        raise ValueError(f"{name}: no elements to choose from: shape {x.shape}, axis {axes}")


# --- adjoints that other operations share ----------------------------------------------------------------------------


def sum_to_shape(x: Tensor, shape: tuple[int, ...], name: str) -> Tensor:
    """Undo broadcasting: sum over what was stretched to get from `shape` to the shape of x."""
    missing = x.ndim - len(shape)
    stretched = tuple(k for k in range(x.ndim) if k < missing or (shape[k - missing] == 1 and x.shape[k] != 1))
    fits = missing >= 0 and tuple(1 if k in stretched else s for k, s in enumerate(x.shape))[missing:] == shape
    if not fits:
        raise RuntimeError(f"the derivative rule of {name} gave a gradient of shape {x.shape} for an input of shape {shape}")
    return reshape(sum(x, axis=stretched), shape)


def product_of_others(x: Tensor, axes: tuple[int, ...]) -> Tensor:
    """For each element the product of all others along the axes: those before it times those behind it.

    Running products by doubling: after k steps each place holds the product of the 2**k elements before (behind) it, so
    log2(n) passes of differentiable operations, and never a division.
    """
    kept = tuple(a for a in range(x.ndim) if a not in axes)
    moved = permute_dims(x, kept + axes)
    count = math.prod(x.shape[a] for a in axes)
    rows = reshape(moved, (*moved.shape[: len(kept)], count))  # (..., count)

    def shifted(values: Tensor, by: int, forward: bool) -> Tensor:
        fill = ones((*values.shape[:-1], by), dtype=x.dtype, device=x.device)
        parts = [fill, values[..., : count - by]] if forward else [values[..., by:], fill]
        return concat(parts, axis=-1)

    others = None
    for forward in (True, False):
        running, step = shifted(rows, builtins.min(1, count), forward), 1
        while step < count:
            running, step = running * shifted(running, step, forward), 2 * step
        others = running if others is None else others * running
    order = kept + axes
    return permute_dims(reshape(others, moved.shape), tuple(order.index(a) for a in range(x.ndim)))
