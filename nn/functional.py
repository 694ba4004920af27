"""The functions that layers and losses are made of, without their parameters: `import nn.functional as F`.

Names and arguments are PyTorch's, with `axis` for `dim`. Activations are differentiable to any order; what they do at
kinks and infinities is the README's convention table.
"""

from __future__ import annotations

from math import prod

import autograd as ag
from autograd import Tensor
from autograd.ops import nn_ops
from autograd.ops.attention import scaled_dot_product_attention
from autograd.ops.elementwise import OPERATIONS, Elementwise
from kernels import scalar as s
from kernels.formulas import define
from nn.conv_functions import (
    conv1d,
    conv2d,
    conv3d,
    conv_transpose1d,
    conv_transpose2d,
    conv_transpose3d,
)
from nn.dropout_functions import (
    alpha_dropout,
    dropout1d,
    dropout2d,
    dropout3d,
    feature_alpha_dropout,
)
from nn.embedding_functions import (
    embedding,
    embedding_bag,
)
from nn.loss_functions import (
    binary_cross_entropy,
    binary_cross_entropy_with_logits,
    cross_entropy,
    huber_loss,
    kl_div,
    l1_loss,
    mse_loss,
    nll_loss,
    one_hot,
    smooth_l1_loss,
)
from nn.margin_losses import (
    cosine_embedding_loss,
    cosine_similarity,
    ctc_loss,
    gaussian_nll_loss,
    hinge_embedding_loss,
    margin_ranking_loss,
    multi_margin_loss,
    multilabel_soft_margin_loss,
    pairwise_distance,
    poisson_nll_loss,
    soft_margin_loss,
    triplet_margin_loss,
)
from nn.norm_functions import (
    batch_norm,
    group_norm,
    instance_norm,
    rms_norm,
)
from nn.pool_functions import (
    adaptive_avg_pool1d,
    adaptive_avg_pool2d,
    adaptive_avg_pool3d,
    adaptive_max_pool1d,
    adaptive_max_pool2d,
    adaptive_max_pool3d,
    avg_pool1d,
    avg_pool2d,
    avg_pool3d,
    lp_pool1d,
    lp_pool2d,
    lp_pool3d,
    max_pool1d,
    max_pool2d,
    max_pool3d,
)
from nn.vision_functions import (
    bilinear,
    channel_shuffle,
    fold,
    interpolate,
    pad,
    pixel_shuffle,
    pixel_unshuffle,
    unfold,
)

__all__ = [
    "bilinear", "channel_shuffle", "fold", "interpolate", "pad", "pixel_shuffle", "pixel_unshuffle", "unfold",
    "alpha_dropout", "dropout1d", "dropout2d", "dropout3d", "feature_alpha_dropout",
    "embedding", "embedding_bag",
    "batch_norm", "group_norm", "instance_norm", "rms_norm",
    "adaptive_avg_pool1d", "adaptive_avg_pool2d", "adaptive_avg_pool3d", "adaptive_max_pool1d", "adaptive_max_pool2d",
    "adaptive_max_pool3d", "avg_pool1d", "avg_pool2d", "avg_pool3d", "lp_pool1d", "lp_pool2d", "lp_pool3d",
    "max_pool1d", "max_pool2d", "max_pool3d",
    "conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d",
    "cosine_embedding_loss", "cosine_similarity", "ctc_loss", "gaussian_nll_loss", "glu", "hinge_embedding_loss",
    "margin_ranking_loss", "multi_margin_loss", "multilabel_soft_margin_loss", "pairwise_distance", "poisson_nll_loss", "rrelu",
    "scaled_dot_product_attention", "soft_margin_loss", "threshold", "triplet_margin_loss",
    "binary_cross_entropy", "binary_cross_entropy_with_logits", "celu", "cross_entropy", "dropout", "elu", "gelu",
    "hardshrink", "hardsigmoid", "hardswish", "hardtanh", "huber_loss", "kl_div", "l1_loss", "layer_norm",
    "leaky_relu", "linear", "log_softmax", "logsigmoid", "mish", "mse_loss", "nll_loss", "normalize", "one_hot",
    "prelu", "relu", "relu6", "selu", "sigmoid", "silu", "smooth_l1_loss", "softmax", "softmin", "softplus",
    "softshrink", "softsign", "tanh", "tanhshrink",
]  # fmt: skip

linear = ag.linear
softmax = ag.softmax
log_softmax = ag.log_softmax
dropout = nn_ops.dropout

relu = OPERATIONS["relu"]
relu6 = OPERATIONS["relu6"]
selu = OPERATIONS["selu"]
silu = OPERATIONS["silu"]
mish = OPERATIONS["mish"]
tanh = OPERATIONS["tanh"]
sigmoid = OPERATIONS["sigmoid"]
logsigmoid = OPERATIONS["log_sigmoid"]
softsign = OPERATIONS["softsign"]
tanhshrink = OPERATIONS["tanhshrink"]
hardswish = OPERATIONS["hardswish"]
hardsigmoid = OPERATIONS["hardsigmoid"]


def gelu(x: Tensor, approximate: str = "none") -> Tensor:
    """x times the normal distribution's cumulative function; `approximate="tanh"` for the approximation by tanh."""
    if approximate not in ("none", "tanh"):
        raise ValueError(f"gelu: approximate is 'none' or 'tanh', got {approximate!r}")
    return OPERATIONS["gelu" if approximate == "none" else "gelu_tanh"](x)


def leaky_relu(x: Tensor, negative_slope: float = 0.01) -> Tensor:
    """x where it is positive, negative_slope * x elsewhere."""
    return OPERATIONS["leaky_relu"](x, negative_slope=negative_slope)


def prelu(x: Tensor, weight: Tensor) -> Tensor:
    """x where it is positive, weight * x elsewhere; weight has one element, or one per channel (axis 1 of x)."""
    if weight.size != 1:
        if weight.ndim != 1 or x.ndim < 2 or x.shape[1] != weight.size:
            raise ValueError(
                f"prelu: the weight must have one element, or one per channel (axis 1) of the input {x.shape}, got "
                f"{weight.shape}"
            )
        weight = weight.reshape((weight.size,) + (1,) * (x.ndim - 2))
    return OPERATIONS["prelu"](x, weight)


def elu(x: Tensor, alpha: float = 1.0) -> Tensor:
    """x where it is positive, alpha (exp(x) - 1) elsewhere."""
    return OPERATIONS["elu"](x, alpha=alpha)


def celu(x: Tensor, alpha: float = 1.0) -> Tensor:
    """x where it is positive, alpha (exp(x / alpha) - 1) elsewhere."""
    return OPERATIONS["celu"](x, alpha=alpha)


def softplus(x: Tensor, beta: float = 1.0, threshold: float = 20.0) -> Tensor:
    """log(1 + exp(beta x)) / beta, and x itself where beta x is above the threshold."""
    return OPERATIONS["softplus"](x, beta=beta, threshold=threshold)


def hardtanh(x: Tensor, min_val: float = -1.0, max_val: float = 1.0) -> Tensor:
    """x brought between two bounds."""
    return OPERATIONS["hardtanh"](x, lower=min_val, upper=max_val)


def hardshrink(x: Tensor, lambd: float = 0.5) -> Tensor:
    """x where |x| is above lambd, 0 elsewhere."""
    return OPERATIONS["hardshrink"](x, threshold=lambd)


def softshrink(x: Tensor, lambd: float = 0.5) -> Tensor:
    """x brought nearer to 0 by lambd, and 0 where it is nearer than that."""
    if lambd < 0:
        raise ValueError(f"softshrink: lambd must not be negative, got {lambd}")
    return OPERATIONS["softshrink"](x, threshold=lambd)


_threshold = Elementwise(define("threshold", lambda x, *, threshold, value: s.where(x > threshold, x, value)))


def threshold(x: Tensor, threshold: float, value: float) -> Tensor:
    """x where it is above the threshold, the value elsewhere."""
    return _threshold(x, threshold=float(threshold), value=float(value))


def glu(x: Tensor, axis: int = -1) -> Tensor:
    """The first half along an axis times the sigmoid of the second: Dauphin et al. 2017.

    Raises:
        ValueError: the axis has an odd size.
    """
    size = x.shape[axis] if x.ndim else 1
    if size % 2:
        raise ValueError(f"glu: axis {axis} of shape {x.shape} must have an even size")
    first, second = ag.split(x, size // 2, axis)
    return first * sigmoid(second)


def rrelu(x: Tensor, lower: float = 1 / 8, upper: float = 1 / 3, training: bool = False) -> Tensor:
    """x where it is not negative, a * x elsewhere: a is drawn from [lower, upper] in training, else their mean."""
    if not 0 <= lower <= upper:
        raise ValueError(f"rrelu: needs 0 <= lower <= upper, got {lower} and {upper}")
    if not training:
        return leaky_relu(x, (lower + upper) / 2)
    slopes = ag.rand(x.shape, dtype=x.dtype, device=x.device) * (upper - lower) + lower
    return OPERATIONS["prelu"](x, slopes)


def softmin(x: Tensor, axis: int = -1) -> Tensor:
    """The softmax of -x along an axis."""
    return softmax(-x, axis)


def layer_norm(
    x: Tensor,
    normalized_shape: int | tuple[int, ...],
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    """(x - mean) / sqrt(var + eps) * weight + bias over the last axes of x.

    Args:
        normalized_shape: the sizes of those axes, as weight and bias have them.

    Raises:
        ValueError: x does not end in normalized_shape, or weight or bias have another shape.
    """
    shape = (normalized_shape,) if isinstance(normalized_shape, int) else tuple(normalized_shape)
    if not shape or x.shape[-len(shape) :] != shape:
        raise ValueError(f"layer_norm: the input's shape {x.shape} does not end in normalized_shape {shape}")
    for name, parameter in (("weight", weight), ("bias", bias)):
        if parameter is not None and parameter.shape != shape:
            raise ValueError(f"layer_norm: {name} has shape {parameter.shape}, expected normalized_shape {shape}")
    if len(shape) == 1:
        return nn_ops.layer_norm(x, weight, bias, eps)
    flat, before = (prod(shape),), x.shape
    weight, bias = (None if p is None else p.reshape(flat) for p in (weight, bias))
    return nn_ops.layer_norm(x.reshape(before[: -len(shape)] + flat), weight, bias, eps).reshape(before)


def normalize(x: Tensor, p: float = 2.0, axis: int = 1, eps: float = 1e-12) -> Tensor:
    """x divided by its p-norm along an axis, or by eps where the norm is smaller."""
    return x / OPERATIONS["maximum"](ag.norm(x, p, axis=axis, keepdims=True), eps)
