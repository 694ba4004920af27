"""Losses as functions; `nn.functional` hands them on, `nn.losses` makes modules of them.

All take `reduction`: "mean" (over all elements, unless stated otherwise), "sum", or "none" for the single losses.
"""

from __future__ import annotations

from typing import Any

import autograd as ag
from autograd import Tensor
from autograd.ops import nn_ops
from autograd.ops.elementwise import OPERATIONS, Elementwise
from autograd.ops.selection import element_of_rows
from kernels import scalar as s
from kernels.formulas import define


def check_reduction(reduction: str, name: str) -> None:
    if reduction not in ("mean", "sum", "none"):
        raise ValueError(f"{name}: reduction is 'mean', 'sum' or 'none', got {reduction!r}")


def _reduced(losses: Tensor, reduction: str) -> Tensor:
    return losses.mean() if reduction == "mean" else losses.sum() if reduction == "sum" else losses


def _pair(x: Tensor, target: Any, name: str, reduction: str) -> Tensor:
    """The target as a tensor; it must have the input's shape, for broadcasting there is nearly always a mistake."""
    check_reduction(reduction, name)
    if not isinstance(target, Tensor):
        target = ag.asarray(target, device=x.device)
    if target.shape != x.shape:
        raise ValueError(
            f"{name}: the input has shape {x.shape} and the target {target.shape}; they must be the same, so reshape "
            "one of them (a column (N, 1) against (N,) would give all N * N differences)"
        )
    return target


# --- of numbers ------------------------------------------------------------------------------------------------------


def mse_loss(x: Tensor, target: Any, reduction: str = "mean") -> Tensor:
    """The squared differences.

    >>> import autograd as ag, nn.functional as F
    >>> F.mse_loss(ag.tensor([1.0, 2.0]), ag.tensor([1.0, 4.0]))
    tensor(2., dtype=float32)
    """
    return _reduced(OPERATIONS["squared_error"](x, _pair(x, target, "mse_loss", reduction)), reduction)


def l1_loss(x: Tensor, target: Any, reduction: str = "mean") -> Tensor:
    """The absolute differences; the slope at 0 is 0."""
    return _reduced(OPERATIONS["absolute_error"](x, _pair(x, target, "l1_loss", reduction)), reduction)


def huber_loss(x: Tensor, target: Any, reduction: str = "mean", delta: float = 1.0) -> Tensor:
    """Half the squared difference where it is below delta, and a line of slope delta beyond (Huber 1964)."""
    if delta <= 0:
        raise ValueError(f"huber_loss: delta must be positive, got {delta}")
    return _reduced(OPERATIONS["huber"](x, _pair(x, target, "huber_loss", reduction), delta=delta), reduction)


def smooth_l1_loss(x: Tensor, target: Any, reduction: str = "mean", beta: float = 1.0) -> Tensor:
    """The Huber loss divided by beta: for large differences the absolute value; `l1_loss` for beta = 0."""
    if beta < 0:
        raise ValueError(f"smooth_l1_loss: beta must not be negative, got {beta}")
    if beta == 0:
        return l1_loss(x, target, reduction)
    return _reduced(OPERATIONS["smooth_l1"](x, _pair(x, target, "smooth_l1_loss", reduction), beta=beta), reduction)


# --- of probabilities ------------------------------------------------------------------------------------------------


def binary_cross_entropy_with_logits(
    x: Tensor, target: Any, weight: Tensor | None = None, reduction: str = "mean", pos_weight: Tensor | None = None
) -> Tensor:
    """-(t log sigmoid(x) + (1 - t) log(1 - sigmoid(x))), exact for large logits of either sign.

    Args:
        x, target: logits and probabilities of the same shape.
        weight: a factor for each loss, broadcast.
        pos_weight: a factor for the first term, broadcast: above 1 it weighs positive examples more.
    """
    name = "binary_cross_entropy_with_logits"
    target = _pair(x, target, name, reduction)
    if pos_weight is None:
        losses = OPERATIONS[name](x, target)
    else:
        losses = OPERATIONS["binary_cross_entropy_with_logits_weighted"](x, target, pos_weight)
    return _reduced(_weighted(losses, weight, name), reduction)


def _bce(p, t):
    # The logarithms stop at -100, as PyTorch's do, so that a wrong certainty costs 100 rather than infinity.
    return -(t * s.maximum(s.log(p), -100.0) + (1 - t) * s.maximum(s.log1p(-p), -100.0))


_binary_cross_entropy = Elementwise(define("binary_cross_entropy", _bce))


def binary_cross_entropy(x: Tensor, target: Any, weight: Tensor | None = None, reduction: str = "mean") -> Tensor:
    """-(t log(x) + (1 - t) log(1 - x)) for probabilities x from 0 to 1, the logarithms no lower than -100.

    From logits use `binary_cross_entropy_with_logits`, which loses no accuracy.

    Raises:
        ValueError: the shapes differ, or an input lies outside [0, 1].
    """
    target = _pair(x, target, "binary_cross_entropy", reduction)
    inside = ag.logical_and(ag.greater_equal(x, 0.0), ag.less_equal(x, 1.0))
    if not bool(ag.logical_or(inside, ag.isnan(x)).all()):
        low, high = x.min().item(), x.max().item()
        raise ValueError(
            f"binary_cross_entropy: inputs must be probabilities from 0 to 1, got values from {low} to {high}; logits "
            "go into binary_cross_entropy_with_logits"
        )
    return _reduced(_weighted(_binary_cross_entropy(x, target), weight, "binary_cross_entropy"), reduction)


def _weighted(losses: Tensor, weight: Tensor | None, name: str) -> Tensor:
    if weight is None:
        return losses
    weighted = losses * weight
    if weighted.shape != losses.shape:
        raise ValueError(f"{name}: the weight {weight.shape} does not broadcast to the losses {losses.shape}")
    return weighted


def _kl(x, t):
    return s.where(s.equal(t, 0), 0, t * (s.log(t) - x))


_kl_divergence = Elementwise(define("kl_divergence", _kl))
_kl_divergence_of_logs = Elementwise(define("kl_divergence_of_logs", lambda x, t: s.exp(t) * (t - x)))


def kl_div(x: Tensor, target: Any, reduction: str = "mean", log_target: bool = False) -> Tensor:
    """The Kullback-Leibler divergence t (log(t) - x), x being logarithms of probabilities, and t probabilities.

    Args:
        reduction: also "batchmean": the sum divided by the first size, which is the divergence's definition.
        log_target: whether the target is given as logarithms too.
    """
    target = _pair(x, target, "kl_div", "sum" if reduction == "batchmean" else reduction)
    losses = (_kl_divergence_of_logs if log_target else _kl_divergence)(x, target)
    if reduction == "batchmean":
        return losses.sum() / (x.shape[0] if x.ndim else 1)
    return _reduced(losses, reduction)


# --- of classes ------------------------------------------------------------------------------------------------------


def cross_entropy(
    x: Tensor,
    target: Any,
    weight: Tensor | None = None,
    ignore_index: int = -100,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Tensor:
    """-log softmax(x) at the target's class.

    Args:
        x: logits (N, C), (N, C, d1, ...) or (C,): the classes are axis 1, or the only one.
        target: class indices, of x's shape without the class axis; or probabilities, floats of x's shape.
        weight: (C,) a factor per class.
        ignore_index: targets of this number count nothing (class indices only).
        reduction: "mean" divides by the sum of the targets' weights; it is NaN where all are ignored.
        label_smoothing: how much of the target's probability, from 0 to 1, is spread over all classes.

    Raises:
        ValueError: shapes that do not go together, an unknown reduction, label_smoothing outside [0, 1].
        IndexError: a class index that is neither below C nor ignore_index.

    >>> import autograd as ag, nn.functional as F
    >>> F.cross_entropy(ag.zeros((2, 4)), ag.tensor([1, 3]))
    tensor(1.3863, dtype=float32)
    """
    check_reduction(reduction, "cross_entropy")
    if not isinstance(target, Tensor):
        target = ag.asarray(target, device=x.device)
    if x.ndim == 2 and target.ndim == 1:
        return nn_ops.cross_entropy(x, target, weight, ignore_index, label_smoothing, reduction)
    if target.dtype.kind == "f":
        return _soft_cross_entropy(x, target, weight, reduction, label_smoothing)
    rows, labels = _rows(x, target, "cross_entropy")
    losses = nn_ops.cross_entropy(rows, labels, weight, ignore_index, label_smoothing, reduction)
    return losses.reshape(target.shape) if reduction == "none" else losses


def _rows(x: Tensor, target: Tensor, name: str) -> tuple[Tensor, Tensor]:
    """Inputs with classes in axis 1 as (rows, C), and the targets as (rows,)."""
    batched = x.ndim > 1
    shape = x.shape[:1] + x.shape[2:] if batched else ()
    if not x.ndim or target.shape != shape:
        raise ValueError(
            f"{name}: an input of shape {x.shape} needs class indices of shape {shape} (the classes are "
            f"{'axis 1' if batched else 'its only axis'}), got {target.shape}"
        )
    if not batched:
        return x.reshape((1, -1)), target.reshape((1,))
    classes = x.shape[1]
    return ag.moveaxis(x, 1, -1).reshape((target.size, classes)), target.reshape((target.size,))


def _soft_cross_entropy(
    x: Tensor, target: Tensor, weight: Tensor | None, reduction: str, label_smoothing: float
) -> Tensor:
    """Cross-entropy with probabilities as targets; its mean is over all positions, whatever the weights."""
    if target.shape != x.shape or not x.ndim:
        raise ValueError(
            f"cross_entropy: targets that are probabilities must have the logits' shape {x.shape}, got {target.shape}, "
            f"{target.dtype}; class indices are integers"
        )
    if not 0.0 <= label_smoothing <= 1.0:
        raise ValueError(f"cross_entropy: label_smoothing must lie between 0 and 1, got {label_smoothing}")
    axis = 1 if x.ndim > 1 else 0
    classes = x.shape[axis]
    if label_smoothing:
        target = target * (1 - label_smoothing) + label_smoothing / classes
    if weight is not None:
        if weight.shape != (classes,):
            raise ValueError(f"cross_entropy: weight has shape {weight.shape}, expected ({classes},), one per class")
        target = target * weight.reshape((classes,) + (1,) * (x.ndim - axis - 1))
    return _reduced(-(target * ag.log_softmax(x, axis)).sum(axis=axis), reduction)


def nll_loss(
    x: Tensor, target: Any, weight: Tensor | None = None, ignore_index: int = -100, reduction: str = "mean"
) -> Tensor:
    """Minus the input at the target's class, the input being logarithms of probabilities; arguments as `cross_entropy`.

    After `log_softmax` this is the cross-entropy, which computes both in one pass.
    """
    check_reduction(reduction, "nll_loss")
    target = target if isinstance(target, Tensor) else ag.asarray(target, device=x.device)
    if target.dtype.kind not in "iu":
        raise TypeError(f"nll_loss: targets must be integers (class indices), got {target.dtype}")
    rows, labels = _rows(x, target, "nll_loss")
    classes = rows.shape[1]
    if x.device == "cpu":  # elsewhere the gather finds it, without waiting
        _check_classes(labels, classes, ignore_index, "nll_loss")
    if weight is not None and weight.shape != (classes,):
        raise ValueError(f"nll_loss: weight has shape {weight.shape}, expected ({classes},), one per class")
    counts = ag.not_equal(labels, ignore_index)
    chosen = ag.where(counts, labels, 0) if classes else labels
    factor = counts.astype(x.dtype)
    if weight is not None:
        factor = ag.where(counts, ag.take(weight.astype(x.dtype, copy=False), chosen), 0.0)
    picked = element_of_rows(rows, chosen)
    losses = -ag.where(counts, picked * factor, 0.0)  # where, not a product: what is ignored may be -inf
    if reduction == "mean":
        return losses.sum() / factor.sum()
    return losses.sum() if reduction == "sum" else losses.reshape(target.shape)


def _check_classes(labels: Tensor, classes: int, ignore_index: int | None, name: str) -> None:
    outside = ag.logical_or(ag.less(labels, 0), ag.greater_equal(labels, classes))
    if ignore_index is not None:
        outside = ag.logical_and(outside, ag.not_equal(labels, ignore_index))
    if labels.size and bool(outside.any()):
        row = ag.argmax(outside.astype("int8")).item()
        hint = "" if ignore_index is None else f", or {ignore_index} to be ignored"
        raise IndexError(
            f"{name}: target {labels[row].item()} (number {row}) is no class: expected 0 to {classes - 1}{hint}"
        )


def one_hot(labels: Any, num_classes: int = -1) -> Tensor:
    """Class indices (...) as rows (..., num_classes) of int64 with a 1 at the class; -1 stands for the largest plus 1.

    >>> import autograd as ag, nn.functional as F
    >>> F.one_hot(ag.tensor([0, 2]))
    tensor([[1, 0, 0],
            [0, 0, 1]], dtype=int64)
    """
    labels = labels if isinstance(labels, Tensor) else ag.asarray(labels)
    if num_classes > 0 and labels.dtype.kind in "iu" and labels.device == "cpu":
        _check_classes(labels.reshape((labels.size,)), num_classes, None, "one_hot")
    return ag.one_hot(labels, num_classes)
