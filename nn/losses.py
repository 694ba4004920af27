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


# --- of distances and margins -----------------------------------------------------------------------------------------


class _MarginLoss(_Loss):
    """A loss with a margin."""

    def __init__(self, margin: float = 0.0, reduction: str = "mean") -> None:
        super().__init__(reduction)
        self.margin = margin

    def extra_repr(self) -> str:
        return ", ".join(filter(None, [f"margin={self.margin}", super().extra_repr()]))


class CosineEmbeddingLoss(_MarginLoss):
    """1 - cos for pairs with target 1, max(0, cos - margin) for those with target -1."""

    def forward(self, x1: ag.Tensor, x2: ag.Tensor, target: Any) -> ag.Tensor:
        return F.cosine_embedding_loss(x1, x2, target, self.margin, self.reduction)


class MarginRankingLoss(_MarginLoss):
    """max(0, -target (x1 - x2) + margin)."""

    def forward(self, x1: ag.Tensor, x2: ag.Tensor, target: Any) -> ag.Tensor:
        return F.margin_ranking_loss(x1, x2, target, self.margin, self.reduction)


class HingeEmbeddingLoss(_MarginLoss):
    """A distance where the target is 1, max(0, margin - distance) where it is -1."""

    def __init__(self, margin: float = 1.0, reduction: str = "mean") -> None:
        super().__init__(margin, reduction)

    def forward(self, x: ag.Tensor, target: Any) -> ag.Tensor:
        return F.hinge_embedding_loss(x, target, self.margin, self.reduction)


class SoftMarginLoss(_Loss):
    """log(1 + exp(-target x)), for targets 1 and -1."""

    def forward(self, x: ag.Tensor, target: Any) -> ag.Tensor:
        return F.soft_margin_loss(x, target, self.reduction)


class TripletMarginLoss(_MarginLoss):
    """max(0, d(anchor, positive) - d(anchor, negative) + margin), d being the p-norm of the difference."""

    def __init__(
        self, margin: float = 1.0, p: float = 2.0, eps: float = 1e-6, swap: bool = False, reduction: str = "mean"
    ) -> None:
        super().__init__(margin, reduction)
        if margin <= 0:
            raise ValueError(f"TripletMarginLoss: margin must be above 0, got {margin}")
        self.p, self.eps, self.swap = p, eps, swap

    def forward(self, anchor: ag.Tensor, positive: ag.Tensor, negative: ag.Tensor) -> ag.Tensor:
        return F.triplet_margin_loss(anchor, positive, negative, self.margin, self.p, self.eps, self.swap, self.reduction)


class MultiMarginLoss(_WeightedLoss):
    """How far the scores of other classes come within a margin of the target's."""

    def __init__(
        self, p: int = 1, margin: float = 1.0, weight: ag.Tensor | None = None, reduction: str = "mean"
    ) -> None:
        super().__init__(weight, reduction)
        if p not in (1, 2):
            raise ValueError(f"MultiMarginLoss: p is 1 or 2, got {p}")
        self.p, self.margin = p, margin

    def forward(self, x: ag.Tensor, target: Any) -> ag.Tensor:
        return F.multi_margin_loss(x, target, self.p, self.margin, self.weight, self.reduction)


class MultiLabelSoftMarginLoss(_WeightedLoss):
    """The mean over classes of the binary cross-entropy of logits."""

    def forward(self, x: ag.Tensor, target: Any) -> ag.Tensor:
        return F.multilabel_soft_margin_loss(x, target, self.weight, self.reduction)


# --- of distributions and sequences -----------------------------------------------------------------------------------


class PoissonNLLLoss(_Loss):
    """Minus the log-probability of counts under Poisson distributions of the given (log) rates."""

    def __init__(self, log_input: bool = True, full: bool = False, eps: float = 1e-8, reduction: str = "mean") -> None:
        super().__init__(reduction)
        self.log_input, self.full, self.eps = log_input, full, eps

    def forward(self, x: ag.Tensor, target: Any) -> ag.Tensor:
        return F.poisson_nll_loss(x, target, self.log_input, self.full, self.eps, self.reduction)


class GaussianNLLLoss(_Loss):
    """Minus the log-density of the targets under normal distributions of the given means and variances."""

    def __init__(self, *, full: bool = False, eps: float = 1e-6, reduction: str = "mean") -> None:
        super().__init__(reduction)
        self.full, self.eps = full, eps

    def forward(self, x: ag.Tensor, target: Any, var: Any) -> ag.Tensor:
        return F.gaussian_nll_loss(x, target, var, self.full, self.eps, self.reduction)


class CTCLoss(_Loss):
    """Minus the log-probability of label sequences over all alignments: see `nn.functional.ctc_loss`."""

    def __init__(self, blank: int = 0, reduction: str = "mean", zero_infinity: bool = False) -> None:
        super().__init__(reduction)
        self.blank, self.zero_infinity = blank, zero_infinity

    def forward(self, log_probs: ag.Tensor, targets: Any, input_lengths: Any, target_lengths: Any) -> ag.Tensor:
        return F.ctc_loss(
            log_probs, targets, input_lengths, target_lengths, self.blank, self.reduction, self.zero_infinity
        )
