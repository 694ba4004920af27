"""Normalisation over a batch, and by the root mean square; layer normalisation is in `nn_ops`.

Statistics are reductions, and what is done with them is one formula, forward and backward.
"""

from __future__ import annotations

import math

from autograd.mode import grad_mode
from autograd.ops import elementwise as ew
from autograd.ops.base import Operation
from autograd.ops.reduce import mean, sum
from autograd.ops.shape import reshape
from autograd.tensor import Tensor, wrap
from kernels import backend_for
from kernels import scalar as s
from kernels.formulas import define

standardised = ew.Elementwise(define("standardised", lambda x, mean, scale: (x - mean) * scale))
shifted = ew.Elementwise(define("standardised_shifted", lambda x, mean, scale, bias: (x - mean) * scale + bias))
scaled = ew.Elementwise(define("scaled_shifted", lambda x, scale, bias: x * scale + bias))
_reciprocal_deviation = define("reciprocal_deviation", lambda var, *, eps: s.rsqrt(var + eps))
_times_deviation = define("times_deviation", lambda g, x, mean: g * (x - mean))
# What the gradient needs of each channel: the mean of g, the slope along x - mean, and the scale.
_gradient_numbers = define(
    "batch_norm_gradient_numbers",
    lambda total, dot, rstd, weight, *, share: (total * share, rstd * rstd * dot * share, rstd * weight),
)
_gradient = define("batch_norm_gradient", lambda g, x, mean, centre, slope, scale: (g - centre - (x - mean) * slope) * scale)


class BatchNorm(Operation):
    """(x - mean) / sqrt(var + eps) * weight + bias for each channel, the axis 1 (Ioffe and Szegedy 2015).

    Weight and bias have x's number of axes and a size other than 1 along that axis only, as the statistics do.
    """

    fresh = True

    def forward(self, x, weight=None, bias=None, *, mean, var, eps, axes):
        backend = self.backend
        self.eps, self.axes, self.mean = eps, axes, mean
        self.rstd = scale = backend.apply(_reciprocal_deviation, var, eps=eps)
        if weight is not None:
            scale = backend.apply(ew.OPERATIONS["multiply"].formula, scale, weight)
        if bias is None:
            return backend.apply(standardised.formula, x, mean, scale)
        return backend.apply(shifted.formula, x, mean, scale, bias)

    def saves(self, needs):
        return (True, True, False)[: len(needs)]

    def backward(self, grad):
        needs = [edge is not None for edge in self.inputs]
        x, weight = self.operand(0), self.operand(1) if len(needs) > 1 else None
        if grad_mode.get() and any(t is not None and t.requires_grad for t in (grad, x, weight)):
            return self._by_operations(grad, x, weight)
        backend, g, values, axes = self.backend, grad._data, x._data, self.axes
        total = backend.sum(g, axis=axes, keepdims=True)
        dot = backend.sum(backend.apply(_times_deviation, g, values, self.mean), axis=axes, keepdims=True)
        to_x = to_weight = None
        if needs[0]:
            share = 1 / math.prod([x.shape[a] for a in axes])
            given = 1.0 if weight is None else weight._data
            numbers = backend.apply(_gradient_numbers, total, dot, self.rstd, given, share=share)
            to_x = wrap(backend.apply(_gradient, g, values, self.mean, *numbers))
        if any(needs[1:2]):
            to_weight = wrap(backend.apply(ew.OPERATIONS["multiply"].formula, dot, self.rstd))
        return (to_x, to_weight, wrap(total))[: len(needs)]

    def _by_operations(self, grad, x, weight):
        """The same in differentiable operations, for gradients of gradients."""
        axes = self.axes
        centred = x - mean(x, axis=axes, keepdims=True)
        rstd = ew.rsqrt(mean(ew.square(centred), axis=axes, keepdims=True) + self.eps)
        normal = centred * rstd
        inner = grad if weight is None else grad * weight
        to_x = rstd * (inner - mean(inner, axis=axes, keepdims=True) - normal * mean(inner * normal, axis=axes, keepdims=True))
        return (to_x, sum(grad * normal, axis=axes, keepdims=True), sum(grad, axis=axes, keepdims=True))[: len(self.inputs)]


class RMSNorm(Operation):
    """Rows divided by their root mean square, then scaled (Zhang and Sennrich 2019)."""

    fresh = True

    def forward(self, x, weight=None, *, eps):
        self.eps = eps
        y, self.rstd = self.backend.rms_norm(x, weight, eps)
        return y

    def saves(self, needs):
        return (True,) * len(needs)

    def backward(self, grad):
        x = self.operand(0)
        weight = self.operand(1) if len(self.inputs) > 1 else None
        if grad_mode.get() and any(t is not None and t.requires_grad for t in (grad, x, weight)):
            rstd = ew.rsqrt(mean(ew.square(x), axis=-1, keepdims=True) + self.eps)
            normal = x * rstd
            inner = grad if weight is None else grad * weight
            to_x = rstd * (inner - normal * mean(inner * normal, axis=-1, keepdims=True))
            return (to_x, sum(grad * normal, axis=0))[: len(self.inputs)]
        arrays = self.backend.rms_norm_backward(grad._data, x._data, self.rstd, None if weight is None else weight._data)
        return tuple(None if e is None else wrap(a) for e, a in zip(self.inputs, arrays, strict=False))


# --- functions --------------------------------------------------------------------------------------------------------


def batch_norm(
    x: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float
) -> tuple[Tensor, Tensor, Tensor]:
    """x (N, C, ...) normalised over all axes but 1, and the means and (biased) variances that this was done by, (C,).

    weight, bias: (C,) or None.
    """
    backend = backend_for(x.device)
    axes, shape = (0, *range(2, x.ndim)), (1, x.shape[1], *(1,) * (x.ndim - 2))
    means = backend.mean(x._data, axis=axes, keepdims=True)
    variances = backend.var(x._data, axis=axes, correction=0, keepdims=True)
    if weight is None and bias is not None:
        operands, extra = (x,), reshape(bias, shape)
    else:
        operands, extra = (x, *[reshape(p, shape) for p in (weight, bias) if p is not None]), None
    y = BatchNorm.apply(*operands, mean=means, var=variances, eps=float(eps), axes=axes)
    y = y if extra is None else y + extra
    return y, wrap(means.reshape((x.shape[1],))), wrap(variances.reshape((x.shape[1],)))


def rms_norm(x: Tensor, weight: Tensor | None, eps: float) -> Tensor:
    """x (..., C) divided by the root mean square over the last axis, times weight (C,) or nothing."""
    rows = reshape(x, (math.prod(x.shape[:-1]), x.shape[-1]))
    return reshape(RMSNorm.apply(rows, *(() if weight is None else (weight,)), eps=float(eps)), x.shape)
