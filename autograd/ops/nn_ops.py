"""What networks need beyond arithmetic, fused into row kernels: softmax, cross-entropy, layer norm, dropout."""

from __future__ import annotations

import math

from autograd.mode import grad_mode
from autograd.ops import elementwise as ew
from autograd.ops.base import Operation, normalize_axis
from autograd.ops.creation import asarray
from autograd.ops.reduce import mean, sum
from autograd.ops.shape import broadcast_to, expand_dims, reshape
from autograd.tensor import Tensor, wrap
from kernels.random import default_generator


class Softmax(Operation):
    saves_result = True

    def forward(self, x, axis):
        self.axis = axis
        return self.backend.softmax(x, axis=axis)

    def backward(self, grad):
        return SoftmaxBackward.apply(grad, self.result(), axis=self.axis)


class SoftmaxBackward(Operation):
    """y * (g - sum(g * y)), which is linear in g and quadratic in y."""

    fresh = True

    def forward(self, grad, y, axis):
        self.axis = axis
        return self.backend.softmax_backward(grad, y, axis=axis)

    def saves(self, needs):
        return needs[1], True

    def backward(self, upstream):
        y = self.operand(1)
        inner = sum(upstream * y, axis=self.axis, keepdims=True)
        to_grad = y * (upstream - inner) if self.inputs[0] is not None else None
        to_y = None
        if self.inputs[1] is not None:
            grad = self.operand(0)
            to_y = upstream * (grad - sum(grad * y, axis=self.axis, keepdims=True)) - grad * inner
        return to_grad, to_y


class LogSoftmax(Operation):
    saves_result = True

    def forward(self, x, axis):
        self.axis = axis
        return self.backend.log_softmax(x, axis=axis)

    def backward(self, grad):
        return LogSoftmaxBackward.apply(grad, self.result(), axis=self.axis)


class LogSoftmaxBackward(Operation):
    """g - exp(y) * sum(g)."""

    fresh = True

    def forward(self, grad, y, axis):
        self.axis = axis
        return self.backend.log_softmax_backward(grad, y, axis=axis)

    def saves(self, needs):
        return needs[1], True

    def backward(self, upstream):
        p = ew.exp(self.operand(1))
        inner = sum(upstream * p, axis=self.axis, keepdims=True)
        to_grad = upstream - inner if self.inputs[0] is not None else None
        to_y = None
        if self.inputs[1] is not None:
            to_y = -(upstream * p) * sum(self.operand(0), axis=self.axis, keepdims=True)
        return to_grad, to_y


class LayerNorm(Operation):
    """Rows brought to mean 0 and variance 1, then scaled and shifted (Ba, Kiros and Hinton 2016)."""

    fresh = True

    def forward(self, x, weight=None, bias=None, *, eps):
        self.eps = eps
        y, self.mean, self.rstd = self.backend.layer_norm(x, weight, bias, eps)
        return y

    def saves(self, needs):
        return (True, True, False)[: len(needs)]

    def backward(self, grad):
        x = self.operand(0)
        weight = self.operand(1) if len(self.inputs) > 1 else None
        needs_graph = any(t is not None and t.requires_grad for t in (grad, x, weight)) and grad_mode.get()
        if needs_graph:
            return self._by_operations(grad, x, weight)
        arrays = self.backend.layer_norm_backward(
            grad._data, x._data, self.mean, self.rstd, None if weight is None else weight._data
        )
        return tuple(None if e is None else wrap(a) for e, a in zip(self.inputs, arrays, strict=False))

    def _by_operations(self, grad, x, weight):
        """The same in differentiable operations, for gradients of gradients."""
        centred = x - mean(x, axis=-1, keepdims=True)
        rstd = ew.rsqrt(mean(ew.square(centred), axis=-1, keepdims=True) + self.eps)
        normal = centred * rstd
        inner = grad if weight is None else grad * weight
        to_x = rstd * (inner - mean(inner, axis=-1, keepdims=True) - normal * mean(inner * normal, axis=-1, keepdims=True))
        return (to_x, sum(grad * normal, axis=0), sum(grad, axis=0))[: len(self.inputs)]


class CrossEntropy(Operation):
    """The loss of each row, their sum or their weighted mean, with the reduction in the same node.

    The gradient, softmax minus target, is formed from the logits and the rows' normalisers in one pass.
    """

    fresh = True

    def forward(self, logits, targets, *, options, reduction):
        self.targets, self.options, self.total_weight = targets, options, None
        losses, self.normalisers, weights = self.backend.cross_entropy(logits, targets, **options)
        if reduction == "none":
            return losses
        total = self.backend.sum(losses)
        if reduction == "sum":
            return total
        self.total_weight = wrap(self.backend.sum(weights))  # ignored rows weigh nothing; 0 / 0, if all are, is NaN
        return ew.divide(wrap(total), self.total_weight)._data

    def saves(self, needs):
        return True, True

    def backward(self, grad):
        logits = self.operand(0)
        self.operand(1)  # raises if the targets were changed since
        if self.total_weight is not None:
            grad = grad / self.total_weight
        if not grad.ndim:
            grad = broadcast_to(grad, self.targets.shape)
        return CrossEntropyBackward.apply(grad, logits, node=self), None


class CrossEntropyBackward(Operation):
    """From the gradient of each row's loss to that of the logits."""

    fresh = True

    def forward(self, grad, logits, node):
        self.targets, self.options, self.normalisers = node.targets, node.options, node.normalisers
        return self.backend.cross_entropy_backward(grad, logits, self.targets, self.normalisers, **self.options)

    def saves(self, needs):
        return needs[1], True

    def backward(self, upstream):
        logits = self.operand(1)
        ones = wrap(self.backend.fill(self.backend.empty(self.targets.shape, logits.dtype), 1.0))
        slope = CrossEntropyBackward.apply(ones, logits.detach(), node=self)  # d loss / d logits, (N, C)
        to_grad = sum(upstream * slope, axis=-1) if self.inputs[0] is not None else None
        to_logits = None
        if self.inputs[1] is not None:
            # The slope is scale * softmax - const, and scale is the row's total weight: minus the sum of the constants.
            to_logits = self._through_softmax(upstream, logits)
        return to_grad, to_logits

    def _through_softmax(self, upstream, logits):
        grad = self.operand(0)
        p = softmax(logits, axis=-1)
        scale = self._row_scale(logits)
        weighted = upstream * p
        # Where all rows are ignored, the upstream gradient of a mean is 1 / 0; ignored rows give 0 all the same.
        ignored = ew.equal(wrap(self.targets), self.options.get("ignore_index", -100))
        factor = ew.where(ignored, 0.0, grad * scale)
        return expand_dims(factor, -1) * (weighted - p * sum(weighted, axis=-1, keepdims=True))

    def _row_scale(self, logits):
        """The factor of the softmax in each row's slope, if not ignored: the sum of its (weighted, smoothed) targets."""
        weight, smoothing = self.options.get("weight"), self.options.get("label_smoothing", 0.0)
        _, _, own = self.backend.cross_entropy(  # each row's own weight, 0 where it is ignored
            logits._data, self.targets, weight, self.options.get("ignore_index", -100)
        )
        own = wrap(own)
        if weight is None:
            return own
        return own * (1 - smoothing) + mean(wrap(weight)) * smoothing


# --- functions -------------------------------------------------------------------------------------------------------


def softmax(x: Tensor, axis: int = -1) -> Tensor:
    """exp(x) / sum(exp(x)) along an axis.

    Special cases:
        no overflow; a row of -infinity alone (nothing to attend to) gives zeros.

    >>> import autograd as ag
    >>> ag.softmax(ag.zeros(4))
    tensor([0.25, 0.25, 0.25, 0.25], dtype=float32)
    """
    return Softmax.apply(_floats(x, "softmax"), axis=normalize_axis(axis, x.ndim, "softmax"))


def log_softmax(x: Tensor, axis: int = -1) -> Tensor:
    """x - log(sum(exp(x))) along an axis.

    Special cases:
        no overflow.
    """
    return LogSoftmax.apply(_floats(x, "log_softmax"), axis=normalize_axis(axis, x.ndim, "log_softmax"))


def layer_norm(x: Tensor, weight: Tensor | None = None, bias: Tensor | None = None, eps: float = 1e-5) -> Tensor:
    """Normalise over the last axis: (x - mean) / sqrt(var + eps) * weight + bias.

    Args:
        x: (..., C); weight, bias: (C,) or None (a bias needs a weight).
    """
    rows = reshape(_floats(x, "layer_norm"), (math.prod(x.shape[:-1]), x.shape[-1]))
    for name, parameter in (("weight", weight), ("bias", bias)):
        if parameter is not None and parameter.shape != x.shape[-1:]:
            raise ValueError(f"layer_norm: {name} of shape {parameter.shape} does not fit the last axis of {x.shape}")
    if weight is None and bias is not None:
        return layer_norm(x, None, None, eps) + bias
    given = [p for p in (weight, bias) if p is not None]
    return reshape(LayerNorm.apply(rows, *given, eps=float(eps)), x.shape)


def cross_entropy(
    logits: Tensor,
    targets: Tensor,
    weight: Tensor | None = None,
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
    reduction: str = "mean",
) -> Tensor:
    """The cross-entropy of rows of logits (N, C) with integer targets (N,): see nn.functional.cross_entropy."""
    labels = targets if isinstance(targets, Tensor) else asarray(targets, device=logits.device)
    if labels.dtype.kind not in "iu":
        raise TypeError(f"cross_entropy: targets must be integers (class indices), got {labels.dtype}")
    if logits.ndim != 2 or labels.shape != logits.shape[:1]:
        raise ValueError(f"cross_entropy: logits must be (N, C) and targets (N,), got {logits.shape} and {labels.shape}")
    if reduction not in ("mean", "sum", "none"):
        raise ValueError(f"cross_entropy: reduction must be 'mean', 'sum' or 'none', got {reduction!r}")
    options = {"weight": None, "ignore_index": ignore_index, "label_smoothing": label_smoothing}
    if weight is not None:
        if weight.shape != logits.shape[1:]:
            raise ValueError(f"cross_entropy: weight has shape {weight.shape}, expected {logits.shape[1:]}, one per class")
        if weight.device != logits.device:
            raise RuntimeError(
                f"cross_entropy: the logits are on {logits.device}, weight on {weight.device}; bring them together by .to(device)"
            )
        options["weight"] = weight.detach().astype(logits.dtype)._data
    return CrossEntropy.apply(_floats(logits, "cross_entropy"), labels, reduction=reduction, options=options)


def dropout(x: Tensor, p: float = 0.5, training: bool = True) -> Tensor:
    """Each element zeroed with probability p, the others scaled by 1 / (1 - p), while training; otherwise x itself.

    Special cases:
        p = 1 gives zeros.
    """
    if not 0.0 <= p <= 1.0:
        raise ValueError(f"dropout: the probability must lie between 0 and 1, got {p}")
    if not training or p == 0.0:
        return x
    return x * wrap(default_generator.dropout_mask(x.shape, p, x.dtype, device=x.device))


def _floats(x: Tensor, name: str) -> Tensor:
    if x.dtype.kind != "f":
        raise TypeError(f"{name}: needs floats, got shape {x.shape}, {x.dtype}; convert with .astype(autograd.float32)")
    return x
