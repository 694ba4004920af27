"""Losses of distances, margins and distributions as functions; `nn.functional` hands them on.

All take `reduction`: "mean" over all losses, "sum", or "none" for the single ones.
"""

from __future__ import annotations

import math
from typing import Any

import autograd as ag
from autograd import Tensor
from autograd.ops.elementwise import Elementwise
from autograd.ops.selection import element_of_rows
from kernels import scalar as s
from kernels.formulas import define
from nn.loss_functions import _check_classes, _pair, _reduced, check_reduction


def _elementwise(name: str):
    """The decorated formula as a function of tensors."""
    return lambda formula: Elementwise(define(name, formula))


def _tensor(x: Any, like: Tensor) -> Tensor:
    return x if isinstance(x, Tensor) else ag.asarray(x, device=like.device)


# --- distances --------------------------------------------------------------------------------------------------------


def cosine_similarity(x1: Tensor, x2: Tensor, axis: int = 1, eps: float = 1e-8) -> Tensor:
    """The cosine of the angle between vectors along an axis: x1 . x2 / (|x1| |x2|), norms being at least eps.

    >>> import autograd as ag, nn.functional as F
    >>> F.cosine_similarity(ag.tensor([[1.0, 0.0]]), ag.tensor([[1.0, 1.0]]))
    tensor([0.7071], dtype=float32)
    """
    x1, x2 = ag.broadcast_arrays(x1, x2)
    first, second = (ag.maximum(ag.norm(x, axis=axis, keepdims=True), eps) for x in (x1, x2))
    return ((x1 / first) * (x2 / second)).sum(axis=axis)


def pairwise_distance(x1: Tensor, x2: Tensor, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False) -> Tensor:
    """The p-norm of x1 - x2 + eps along the last axis; eps keeps the slope of equal vectors finite."""
    return ag.norm(x1 - x2 + eps, p, axis=-1, keepdims=keepdim)


# --- of pairs and triplets --------------------------------------------------------------------------------------------


def cosine_embedding_loss(
    x1: Tensor, x2: Tensor, target: Any, margin: float = 0.0, reduction: str = "mean"
) -> Tensor:
    """1 - cos for pairs that belong together (target 1), max(0, cos - margin) for those that do not (-1).

    Args:
        x1, x2: vectors (N, D) or (D,).
        target: (N,) or ().
    """
    check_reduction(reduction, "cosine_embedding_loss")
    target = _tensor(target, x1)
    if x1.shape != x2.shape or target.shape != x1.shape[:-1]:
        raise ValueError(
            f"cosine_embedding_loss: needs two inputs (N, D) and targets (N,), got {x1.shape}, {x2.shape} and {target.shape}"
        )
    tiny = 1e-12  # as PyTorch has it: under the root
    sizes = ag.sqrt(((x1 * x1).sum(axis=-1) + tiny) * ((x2 * x2).sum(axis=-1) + tiny))
    cosine = (x1 * x2).sum(axis=-1) / sizes
    together = ag.where(ag.equal(target, 1), 1 - cosine, 0.0)
    apart = ag.where(ag.equal(target, -1), ag.relu(cosine - margin), 0.0)
    return _reduced(together + apart, reduction)


@_elementwise("margin_ranking")
def _margin_ranking(x1, x2, target, *, margin):
    return s.maximum(-target * (x1 - x2) + margin, 0)


def margin_ranking_loss(x1: Tensor, x2: Tensor, target: Any, margin: float = 0.0, reduction: str = "mean") -> Tensor:
    """max(0, -target (x1 - x2) + margin): x1 shall be the larger where the target is 1, the smaller where it is -1."""
    check_reduction(reduction, "margin_ranking_loss")
    return _reduced(_margin_ranking(x1, x2, _tensor(target, x1), margin=margin), reduction)


@_elementwise("hinge_embedding")
def _hinge_embedding(x, target, *, margin):
    near = s.where(s.not_equal(target, -1), x, 0)
    far = s.where(s.not_equal(target, 1), s.maximum(margin - x, 0), 0)
    return near + far


def hinge_embedding_loss(x: Tensor, target: Any, margin: float = 1.0, reduction: str = "mean") -> Tensor:
    """x, a distance, where the target is 1, and max(0, margin - x) where it is -1."""
    return _reduced(_hinge_embedding(x, _pair(x, target, "hinge_embedding_loss", reduction), margin=margin), reduction)


@_elementwise("soft_margin")
def _soft_margin(x, target):
    return s.softplus(-target * x)


def soft_margin_loss(x: Tensor, target: Any, reduction: str = "mean") -> Tensor:
    """log(1 + exp(-target x)), for targets 1 and -1."""
    return _reduced(_soft_margin(x, _pair(x, target, "soft_margin_loss", reduction)), reduction)


def triplet_margin_loss(
    anchor: Tensor, positive: Tensor, negative: Tensor, margin: float = 1.0, p: float = 2.0, eps: float = 1e-6,
    swap: bool = False, reduction: str = "mean",
) -> Tensor:  # fmt: skip
    """max(0, d(anchor, positive) - d(anchor, negative) + margin), d being `pairwise_distance`.

    Args:
        swap: take d(positive, negative) for the second distance where that is smaller: Balntas et al. 2016.
    """
    check_reduction(reduction, "triplet_margin_loss")
    if margin <= 0:
        raise ValueError(f"triplet_margin_loss: margin must be above 0, got {margin}")
    shapes = [t.shape for t in (anchor, positive, negative)]
    if len({len(shape) for shape in shapes}) > 1:
        raise ValueError(f"triplet_margin_loss: the inputs must have as many dimensions, got {shapes}")
    near, far = pairwise_distance(anchor, positive, p, eps), pairwise_distance(anchor, negative, p, eps)
    if swap:
        far = ag.minimum(far, pairwise_distance(positive, negative, p, eps))
    return _reduced(ag.relu(near - far + margin), reduction)


# --- of classes -------------------------------------------------------------------------------------------------------


def multi_margin_loss(
    x: Tensor, target: Any, p: int = 1, margin: float = 1.0, weight: Tensor | None = None, reduction: str = "mean"
) -> Tensor:
    """The mean over classes of max(0, margin - x[target] + x[class])**p, the target's own left out.

    Args:
        x: scores (N, C) or (C,).
        target: class indices (N,) or ().
        p: 1 or 2.
        weight: (C,) a factor per class, the target's.
    """
    check_reduction(reduction, "multi_margin_loss")
    target = _tensor(target, x)
    if x.ndim not in (1, 2) or target.shape != x.shape[:-1]:
        raise ValueError(f"multi_margin_loss: needs scores (N, C) or (C,) and classes (N,) or (), got {x.shape}, {target.shape}")
    if p not in (1, 2):
        raise ValueError(f"multi_margin_loss: p is 1 or 2, got {p}")
    if target.dtype.kind not in "iu":
        raise TypeError(f"multi_margin_loss: targets must be integers (class indices), got {target.dtype}")
    classes = x.shape[-1]
    rows, labels = x.reshape((target.size, classes)), target.reshape((target.size,))
    if x.device == "cpu":
        _check_classes(labels, classes, None, "multi_margin_loss")
    if weight is not None and weight.shape != (classes,):
        raise ValueError(f"multi_margin_loss: weight has shape {weight.shape}, expected ({classes},), one per class")
    own = element_of_rows(rows, labels)[:, None]
    others = ag.not_equal(ag.arange(classes, device=x.device)[None, :], labels[:, None])
    excess = ag.where(others, ag.relu(margin - own + rows), 0.0) ** p
    losses = excess.sum(axis=1) / classes
    if weight is not None:
        losses = losses * ag.take(weight, labels)
    return losses.reshape(target.shape) if reduction == "none" else _reduced(losses, reduction)


def multilabel_soft_margin_loss(
    x: Tensor, target: Any, weight: Tensor | None = None, reduction: str = "mean"
) -> Tensor:
    """The mean over classes (the last axis) of the binary cross-entropy of logits, each class being there or not."""
    from nn.loss_functions import binary_cross_entropy_with_logits

    check_reduction(reduction, "multilabel_soft_margin_loss")
    return _reduced(binary_cross_entropy_with_logits(x, target, weight, "none").mean(axis=-1), reduction)


# --- of distributions -------------------------------------------------------------------------------------------------


@_elementwise("poisson_nll_of_log")
def _poisson_nll_of_log(x, target):
    return s.exp(x) - target * x


@_elementwise("poisson_nll_of_rate")
def _poisson_nll_of_rate(x, target, *, eps):
    return x - target * s.log(x + eps)


@_elementwise("stirling")
def _stirling(target):
    safe = s.maximum(target, 1)
    return s.where(target > 1, safe * s.log(safe) - safe + 0.5 * s.log(2 * math.pi * safe), 0)


def poisson_nll_loss(
    x: Tensor, target: Any, log_input: bool = True, full: bool = False, eps: float = 1e-8, reduction: str = "mean"
) -> Tensor:
    """Minus the log-probability of counts under Poisson distributions, less what depends on the counts alone.

    Args:
        x: the logarithms of the rates, or with `log_input` False the rates.
        target: counts of x's shape.
        full: add Stirling's approximation of log(target!).
        eps: added to the rates before the logarithm.
    """
    target = _pair(x, target, "poisson_nll_loss", reduction)
    losses = _poisson_nll_of_log(x, target) if log_input else _poisson_nll_of_rate(x, target, eps=eps)
    if full:
        losses = losses + _stirling(target.astype(x.dtype, copy=False))
    return _reduced(losses, reduction)


@_elementwise("gaussian_nll")
def _gaussian_nll(x, target, variance):
    return 0.5 * (s.log(variance) + s.square(x - target) / variance)


def gaussian_nll_loss(
    x: Tensor, target: Any, var: Any, full: bool = False, eps: float = 1e-6, reduction: str = "mean"
) -> Tensor:
    """Minus the log-density of the targets under normal distributions of mean x: (log var + (x - t)**2 / var) / 2.

    Args:
        var: variances of x's shape, one for each row (x's shape with a last size of 1, or without it), or a number. Those
            below eps count as eps, and still get a gradient.
        full: add log(2 pi) / 2.

    Raises:
        ValueError: shapes that do not fit, or a negative variance.
    """
    target = _pair(x, target, "gaussian_nll_loss", reduction)
    var = ag.full_like(x, var) if isinstance(var, (int, float)) else var
    if var.shape == x.shape[:-1] and var.shape != x.shape:
        var = var[..., None]
    if var.shape not in (x.shape, (*x.shape[:-1], 1)):
        raise ValueError(f"gaussian_nll_loss: var has shape {var.shape}, the input {x.shape}: one per element or per row")
    if bool(ag.any(ag.less(var, 0))):
        raise ValueError("gaussian_nll_loss: a variance is negative")
    fixed = var.detach()
    losses = _gaussian_nll(x, target, var + (ag.maximum(fixed, eps) - fixed))
    return _reduced(losses + 0.5 * math.log(2 * math.pi) if full else losses, reduction)


# --- of sequences -----------------------------------------------------------------------------------------------------


def ctc_loss(
    log_probs: Tensor, targets: Any, input_lengths: Any, target_lengths: Any, blank: int = 0, reduction: str = "mean",
    zero_infinity: bool = False,
) -> Tensor:  # fmt: skip
    """Connectionist temporal classification: minus the log-probability of a label sequence, over all its alignments.

    Graves et al. 2006. An alignment gives each time step a label or the blank; repeated labels count once, unless a blank
    stands between them.

    Args:
        log_probs: (T, N, C) or (T, C) logarithms of probabilities, as `log_softmax` gives them.
        targets: (N, S) labels, of which the first target_lengths count, or all sequences one after the other, (sum,).
        input_lengths, target_lengths: (N,) or N integers.
        blank: the blank's class.
        reduction: "mean" divides each loss by its target's length, then takes the mean.
        zero_infinity: count sequences that are too long for their input as 0 instead of infinity.

    Raises:
        ValueError: lengths or shapes that do not fit.
        IndexError: a label outside the classes.
    """
    check_reduction(reduction, "ctc_loss")
    batched = log_probs.ndim == 3
    scores = log_probs if batched else log_probs[:, None, :]
    if scores.ndim != 3:
        raise ValueError(f"ctc_loss: log_probs must be (T, N, C) or (T, C), got shape {log_probs.shape}")
    steps, count, classes = scores.shape
    times = _lengths(input_lengths, count, steps, "input_lengths")
    labels, sizes = _labels(targets, target_lengths, count, classes, blank)
    losses = -_log_likelihood(scores, labels, sizes, times, blank)
    if zero_infinity:
        losses = ag.where(ag.isinf(losses), 0.0, losses)
    if reduction == "mean":
        return (losses / ag.maximum(sizes, 1).astype(losses.dtype)).mean()
    return losses.sum() if reduction == "sum" else losses if batched else losses[0]


def _lengths(given: Any, count: int, most: int, name: str) -> Tensor:
    lengths = given if isinstance(given, Tensor) else ag.asarray(given)
    lengths = lengths.detach().cpu().reshape((lengths.size,))
    if lengths.dtype.kind not in "iu" or lengths.size != count:
        raise ValueError(f"ctc_loss: {name} must be {count} integers, got shape {lengths.shape}, {lengths.dtype}")
    if count and not 0 <= ag.min(lengths).item() <= ag.max(lengths).item() <= most:
        raise ValueError(f"ctc_loss: {name} must be from 0 to {most}, got {lengths.tolist()}")
    return lengths.astype("int64", copy=False)


def _labels(targets: Any, lengths: Any, count: int, classes: int, blank: int) -> tuple[Tensor, Tensor]:
    """The labels as (N, S), filled up with blanks, and their numbers."""
    given = targets if isinstance(targets, Tensor) else ag.asarray(targets)
    given = given.detach().cpu()
    if given.dtype.kind not in "iu":
        raise TypeError(f"ctc_loss: targets must be integers (class indices), got {given.dtype}")
    in_rows = given.ndim == 2 or (given.ndim == 1 and count == 1)
    rows = given.reshape((count, -1)) if in_rows and given.size else given
    sizes = _lengths(lengths, count, rows.shape[-1] if in_rows and rows.ndim == 2 else given.size, "target_lengths")
    longest = ag.max(sizes).item() if count else 0
    places = ag.arange(longest)[None, :]
    counts = ag.less(places, sizes[:, None])
    if not in_rows:
        if given.ndim != 1 or given.size != sizes.sum().item():
            raise ValueError(
                f"ctc_loss: targets must be (N, S) = ({count}, S), or all {sizes.sum().item()} labels in a row, got {given.shape}"
            )
        starts = ag.cumulative_sum(sizes, axis=0) - sizes
        rows = given[ag.where(counts, starts[:, None] + places, 0)] if given.size else ag.zeros((count, 0), dtype="int64")
    else:
        rows = rows[:, :longest] if rows.ndim == 2 else ag.zeros((count, 0), dtype="int64")
    labels = ag.where(counts, rows.astype("int64", copy=False), blank)
    if not 0 <= blank < classes:
        raise IndexError(f"ctc_loss: the blank {blank} is no class: expected 0 to {classes - 1}")
    _check_classes(labels.reshape((labels.size,)), classes, None, "ctc_loss")
    return labels, sizes


def _log_likelihood(scores: Tensor, labels: Tensor, sizes: Tensor, times: Tensor, blank: int) -> Tensor:
    """The log-probability of each sequence of labels, by the forward recursion over labels with blanks between them."""
    steps, count, _ = scores.shape
    states = 2 * labels.shape[1] + 1
    blanks = ag.full((count, labels.shape[1] + 1), blank, dtype="int64")
    mixed = ag.stack([blanks[:, :-1], labels], axis=-1).reshape((count, states - 1))
    path = ag.concat([mixed, blanks[:, -1:]], axis=1)  # (N, states): blank, label, blank, label, ..., blank
    before = ag.concat([ag.full((count, min(2, states)), blank, dtype="int64"), path[:, :-2]], axis=1)[:, :states]
    skips = ag.logical_and(ag.not_equal(path, blank), ag.not_equal(path, before)).to(device=scores.device)
    index = ag.broadcast_to(path.to(device=scores.device)[None], (steps, count, states))
    emitted = ag.take_along_axis(scores, index, axis=2)
    never = -math.inf
    start = ag.arange(states, device=scores.device)[None, :]
    reached = ag.where(ag.less(start, 1), 0.0, ag.full((count, states), never, dtype=scores.dtype, device=scores.device))
    lasting = times.to(device=scores.device)[:, None]
    for step in range(steps):
        # Before the first step all stand at a blank that is not there: from it lead ways to the first blank and label.
        one = _shifted(reached, 1, never)
        two = ag.where(skips, _shifted(reached, 2, never), never)
        moved = ag.logsumexp(ag.stack([reached, one, two]), axis=0) + emitted[step]
        reached = ag.where(ag.less(step, lasting), moved, reached)
    ends = (2 * sizes).to(device=scores.device)[:, None]
    last = ag.take_along_axis(reached, ends, axis=1)
    label = ag.where(ag.greater(ends, 0), ag.take_along_axis(reached, ag.maximum(ends - 1, 0), axis=1), never)
    return ag.logsumexp(ag.concat([last, label], axis=1), axis=1)


def _shifted(x: Tensor, by: int, value: float) -> Tensor:
    """Each row moved to the right, the places that become free filled."""
    return ag.pad(x, ((0, 0), (by, 0)), constant_values=value)[:, : x.shape[1]]
