"""Running sums and products along an axis, each beside its adjoint, which runs the other way.

One operation has all the derivatives: the linear recurrence h[k] = a[k] * h[k-1] + b[k]. A running product is one, with
itself for the factors, and so are the adjoints of products, of logsumexps and of the recurrence. None of them divides, so
zeros do no harm.
"""

from __future__ import annotations

import math
from typing import Any

from autograd.dtypes import as_dtype
from autograd.ops import complex_numbers
from autograd.ops import elementwise as ew
from autograd.ops.base import Operation, normalize_axis
from autograd.ops.creation import full
from autograd.ops.shape import concat, flip, reshape
from autograd.tensor import Tensor


class CumulativeSum(Operation):
    takes_complex = "pairs"

    def forward(self, x, axis):
        self.axis = axis
        return self.backend.cumulative_sum(x, axis)

    def backward(self, grad):
        return flip(CumulativeSum.apply(flip(grad, axis=self.axis), axis=self.axis), axis=self.axis)


class CumulativeProd(Operation):
    """y[k] = x[k] * y[k-1]: what arrives at y[k] and behind it, times y[k-1]."""

    saves_result = True

    def forward(self, x, axis):
        self.axis = axis
        return self.backend.cumulative_prod(x, axis)

    def saves(self, needs):
        return needs

    def backward(self, grad):
        before = _shifted(self.result(), self.axis, 1.0)
        return _backwards(self.operand(0), grad, self.axis) * before


class LinearRecurrence(Operation):
    """h[0] = b[0], h[k] = a[k] * h[k-1] + b[k]."""

    saves_result = True

    def forward(self, a, b, axis):
        self.axis = axis
        return self.backend.linear_recurrence(a, b, axis)

    def saves(self, needs):
        return True, False

    def backward(self, grad):
        arrived = _backwards(self.operand(0), grad, self.axis)
        if self.inputs[0] is None:
            return None, arrived
        return arrived * _shifted(self.result(), self.axis, 0.0), arrived


class CumulativeLogSumExp(Operation):
    """y[k] = log(sum of exp(x[j]), j <= k): x[j] has the weight exp(x[j] - y[k]) = exp(x[j] - y[j]) * exp(y[j] - y[k]).

    The second factor is a product of exp(y[i] - y[i+1]) <= 1 for j <= i < k, so the sum over k is a linear recurrence.
    """

    saves_result = True

    def forward(self, x, axis):
        self.axis = axis
        return self.backend.cumulative_logsumexp(x, axis)

    def saves(self, needs):
        return needs

    def backward(self, grad):
        x, y = self.operand(0), self.result()
        if not x.shape[self.axis]:
            return grad
        nothing = ew.equal(y, -math.inf)  # so far: these have weight 0 in all that follows
        safe = ew.where(nothing, 0.0, y)
        later, nothing = flip(safe, axis=self.axis), flip(nothing, axis=self.axis)
        steps = later - concat([later[_part(self.axis, 0, 1)], later[_part(self.axis, None, -1)]], axis=self.axis)
        decay = ew.where(nothing, 0.0, ew.exp(ew.where(nothing, 0.0, steps)))
        arrived = LinearRecurrence.apply(decay, flip(grad, axis=self.axis), axis=self.axis)
        return ew.exp(x - safe) * flip(arrived, axis=self.axis)


def _part(axis: int, *bounds: int | None) -> tuple:
    return (slice(None),) * axis + (slice(*bounds),)


def _shifted(x: Tensor, axis: int, initial: float) -> Tensor:
    """For each element the one before it; `initial` for the first."""
    if not x.shape[axis]:
        return x
    shape = (*x.shape[:axis], 1, *x.shape[axis + 1 :])
    return concat([full(shape, initial, dtype=x.dtype, device=x.device), x[_part(axis, None, -1)]], axis=axis)


def _backwards(factors: Tensor, grad: Tensor, axis: int) -> Tensor:
    """out[k] = grad[k] + factors[k+1] * out[k+1], from the last to the first."""
    turned = _shifted(flip(factors, axis=axis), axis, 0.0)
    return flip(LinearRecurrence.apply(turned, flip(grad, axis=axis), axis=axis), axis=axis)


def linear_recurrence(a: Tensor, b: Tensor, /, *, axis: int = -1) -> Tensor:
    """h[0] = b[0], h[k] = a[k] * h[k-1] + b[k] along an axis, for two floats of one shape and dtype; a[0] is not read.

    On a GPU stretches are put together as maps h -> a*h + b: where a product of neighbouring a alone overflows, a zero
    before it gives NaN.

    Special cases:
        a[0] is not read.

    >>> import autograd as ag
    >>> ag.linear_recurrence(ag.tensor([9.0, 0.5, 0.5]), ag.tensor([4.0, 0.0, 1.0]))
    tensor([4., 2., 2.], dtype=float32)
    """
    _floats(a, "linear_recurrence")
    if a.shape != b.shape or a.dtype != b.dtype:
        raise ValueError(
            f"linear_recurrence: needs two tensors of one shape and dtype, got {a.shape} {a.dtype} and {b.shape} {b.dtype}"
        )
    return LinearRecurrence.apply(a, b, axis=normalize_axis(axis, a.ndim, "linear_recurrence"))


def cumulative_sum(
    x: Tensor, /, *, axis: int | None = None, dtype: Any = None, include_initial: bool = False
) -> Tensor:
    """The running sum along an axis; integers are summed as 64-bit ones.

    A sum of floats is carried in twice their precision, so each result is right to its last places.

    Args:
        axis: may be left out for one dimension.
        dtype: of the sum: convert to it first.
        include_initial: begin with the sum of no elements, 0: one result more.

    >>> import autograd as ag
    >>> ag.cumulative_sum(ag.tensor([1.0, 2.0, 3.0]), include_initial=True)
    tensor([0., 1., 3., 6.], dtype=float32)
    """
    return _running(CumulativeSum, "cumulative_sum", x, axis, dtype, 0 if include_initial else None)


def cumulative_prod(
    x: Tensor, /, *, axis: int | None = None, dtype: Any = None, include_initial: bool = False
) -> Tensor:
    """The running product along an axis; integers are multiplied as 64-bit ones.

    Special cases:
        the gradient is exact with zeros: nothing is divided.

    Args: those of `cumulative_sum`; the product of no elements is 1.
    """
    return _running(CumulativeProd, "cumulative_prod", x, axis, dtype, 1 if include_initial else None)


def cumulative_logsumexp(x: Tensor, /, *, axis: int | None = None, include_initial: bool = False) -> Tensor:
    """log of the running sum of exp(x) along an axis, without overflow.

    Special cases:
        -infinity with gradient 0 while all elements are -infinity.

    Args: those of `cumulative_sum`; that of no elements is -inf.
    """
    _floats(x, "cumulative_logsumexp")
    return _running(CumulativeLogSumExp, "cumulative_logsumexp", x, axis, None, -math.inf if include_initial else None)


def _running(operation: type[Operation], name: str, x: Tensor, axis: Any, dtype: Any, initial: float | None) -> Tensor:
    if axis is None:
        if x.ndim != 1:
            raise ValueError(f"{name}: say along which axis: a tensor of shape {x.shape} does not have just one")
        axis = 0
    place = normalize_axis(axis, x.ndim, name)
    wanted = None if dtype is None else as_dtype(dtype)
    if wanted is not None and wanted.kind == "b":
        raise TypeError(f"{name}: the result's dtype must be an integer or a float, got {wanted}")
    if wanted is not None and wanted != x.dtype:
        x = x.astype(wanted)
    is_product = operation is CumulativeProd
    out = complex_numbers.cumulative_prod(x, place) if is_product and x.dtype.kind == "c" else operation.apply(x, axis=place)
    if wanted is not None and wanted != out.dtype:
        out = out.astype(wanted)
    if initial is None:
        return out
    shape = (*x.shape[:place], 1, *x.shape[place + 1 :])
    return concat([full(shape, initial, dtype=out.dtype, device=x.device), out], axis=place)


def _floats(x: Tensor, name: str) -> None:
    if x.dtype.kind != "f":
        raise TypeError(f"{name}: needs floats, got shape {x.shape}, {x.dtype}; convert with .astype(autograd.float32)")


def cumsum(x: Tensor, axis: int | None = None, dtype: Any = None) -> Tensor:
    """NumPy's name for `cumulative_sum`; without an axis, over all elements in C order."""
    return cumulative_sum(reshape(x, (x.size,)), dtype=dtype) if axis is None else cumulative_sum(x, axis=axis, dtype=dtype)


def cumprod(x: Tensor, axis: int | None = None, dtype: Any = None) -> Tensor:
    """NumPy's name for `cumulative_prod`; without an axis, over all elements in C order."""
    return cumulative_prod(reshape(x, (x.size,)), dtype=dtype) if axis is None else cumulative_prod(x, axis=axis, dtype=dtype)
