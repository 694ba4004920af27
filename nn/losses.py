"""Losses as modules; what they compute is said at the functions of `nn.functional` that they call."""

from __future__ import annotations

from typing import Any

import autograd as ag
from nn import functional as F
from nn.loss_functions import check_reduction
from nn.module import Module


class _Loss(Module):
    """A loss with a `reduction`: "mean", "sum" or "none"."""

    def __init__(self, reduction: str = "mean") -> None:
        super().__init__()
        check_reduction(reduction, type(self).__name__)
        self.reduction = reduction

    def extra_repr(self) -> str:
        return "" if self.reduction == "mean" else f"reduction={self.reduction!r}"


class MSELoss(_Loss):
    """The squared differences of input and target, which have the same shape.

    >>> import autograd as ag, nn
    >>> nn.MSELoss()(ag.tensor([1.0, 2.0]), ag.tensor([1.0, 4.0]))
    tensor(2., dtype=float32)
    """

    def forward(self, x: ag.Tensor, target: Any) -> ag.Tensor:
        return F.mse_loss(x, target, self.reduction)


class L1Loss(_Loss):
    """The absolute differences of input and target."""

    def forward(self, x: ag.Tensor, target: Any) -> ag.Tensor:
        return F.l1_loss(x, target, self.reduction)


class HuberLoss(_Loss):
    """Half the squared difference where it is below delta, and a line of slope delta beyond."""

    def __init__(self, reduction: str = "mean", delta: float = 1.0) -> None:
        super().__init__(reduction)
        self.delta = delta

    def forward(self, x: ag.Tensor, target: Any) -> ag.Tensor:
        return F.huber_loss(x, target, self.reduction, self.delta)


class SmoothL1Loss(_Loss):
    """The Huber loss divided by beta."""

    def __init__(self, reduction: str = "mean", beta: float = 1.0) -> None:
        super().__init__(reduction)
        self.beta = beta

    def forward(self, x: ag.Tensor, target: Any) -> ag.Tensor:
        return F.smooth_l1_loss(x, target, self.reduction, self.beta)


class KLDivLoss(_Loss):
    """The Kullback-Leibler divergence from logarithms of probabilities to target probabilities."""

    def __init__(self, reduction: str = "mean", log_target: bool = False) -> None:
        super().__init__("mean" if reduction == "batchmean" else reduction)
        self.reduction, self.log_target = reduction, log_target

    def forward(self, x: ag.Tensor, target: Any) -> ag.Tensor:
        return F.kl_div(x, target, self.reduction, self.log_target)


class _WeightedLoss(_Loss):
    """A loss with factors, which are a buffer: they move with `to`, and are saved where there are any."""

    def __init__(self, weight: ag.Tensor | None = None, reduction: str = "mean") -> None:
        super().__init__(reduction)
        self.register_buffer("weight", weight)


class BCELoss(_WeightedLoss):
    """The binary cross-entropy of probabilities; BCEWithLogitsLoss is the accurate form for logits."""

    def forward(self, x: ag.Tensor, target: Any) -> ag.Tensor:
        return F.binary_cross_entropy(x, target, self.weight, self.reduction)


class BCEWithLogitsLoss(_WeightedLoss):
    """The binary cross-entropy of logits, sigmoid included.

    Args:
        weight: a factor for each loss, broadcast.
        pos_weight: a factor for the loss of positive targets, broadcast.
    """

    def __init__(
        self, weight: ag.Tensor | None = None, reduction: str = "mean", pos_weight: ag.Tensor | None = None
    ) -> None:
        super().__init__(weight, reduction)
        self.register_buffer("pos_weight", pos_weight)

    def forward(self, x: ag.Tensor, target: Any) -> ag.Tensor:
        return F.binary_cross_entropy_with_logits(x, target, self.weight, self.reduction, self.pos_weight)


class NLLLoss(_WeightedLoss):
    """Minus the input (logarithms of probabilities) at the target's class."""

    def __init__(self, weight: ag.Tensor | None = None, ignore_index: int = -100, reduction: str = "mean") -> None:
        super().__init__(weight, reduction)
        self.ignore_index = ignore_index

    def forward(self, x: ag.Tensor, target: Any) -> ag.Tensor:
        return F.nll_loss(x, target, self.weight, self.ignore_index, self.reduction)


class CrossEntropyLoss(_WeightedLoss):
    """The cross-entropy of logits (N, C, ...) with class indices or probabilities, softmax included.

    Args:
        weight: (C,) a factor per class.
        ignore_index: targets of this number count nothing.
        label_smoothing: how much of the target's probability is spread over all classes.

    >>> import autograd as ag, nn
    >>> nn.CrossEntropyLoss()(ag.zeros((2, 4)), ag.tensor([1, 3]))
    tensor(1.3863, dtype=float32)
    """

    def __init__(
        self, weight: ag.Tensor | None = None, ignore_index: int = -100, reduction: str = "mean",
        label_smoothing: float = 0.0,
    ) -> None:  # fmt: skip
        super().__init__(weight, reduction)
        if not 0.0 <= label_smoothing <= 1.0:
            raise ValueError(f"CrossEntropyLoss: label_smoothing must lie between 0 and 1, got {label_smoothing}")
        self.ignore_index, self.label_smoothing = ignore_index, label_smoothing

    def forward(self, x: ag.Tensor, target: Any) -> ag.Tensor:
        return F.cross_entropy(x, target, self.weight, self.ignore_index, self.reduction, self.label_smoothing)
