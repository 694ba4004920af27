"""Layers that resize and rearrange images, and those that compare or join two inputs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import autograd as ag
from nn import functional as F
from nn import init
from nn.conv_functions import Numbers
from nn.module import Module
from nn.parameter import Parameter


class Upsample(Module):
    """Images (N, C, sizes) brought to other sizes: see `nn.functional.interpolate` for the arguments.

    >>> import autograd as ag, nn
    >>> nn.Upsample(scale_factor=2)(ag.tensor([[[1.0, 2.0]]])).tolist()
    [[[1.0, 1.0, 2.0, 2.0]]]
    """

    def __init__(
        self, size: Numbers | None = None, scale_factor: float | Sequence[float] | None = None, mode: str = "nearest",
        align_corners: bool | None = None, recompute_scale_factor: bool | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        self.size = size
        several = isinstance(scale_factor, (tuple, list))
        self.scale_factor: Any = tuple(map(float, scale_factor)) if several else float(scale_factor) if scale_factor else None  # type: ignore[arg-type]
        self.mode, self.align_corners, self.recompute_scale_factor = mode, align_corners, recompute_scale_factor

    def forward(self, x: ag.Tensor) -> ag.Tensor:
        return F.interpolate(x, self.size, self.scale_factor, self.mode, self.align_corners, self.recompute_scale_factor)

    def extra_repr(self) -> str:
        how = f"size={self.size}" if self.scale_factor is None else f"scale_factor={self.scale_factor}"
        return f"{how}, mode={self.mode!r}"


class UpsamplingNearest2d(Upsample):
    """`Upsample` of images (N, C, H, W) with mode='nearest'."""

    def __init__(self, size: Numbers | None = None, scale_factor: float | Sequence[float] | None = None) -> None:
        super().__init__(size, scale_factor, mode="nearest")


class UpsamplingBilinear2d(Upsample):
    """`Upsample` of images (N, C, H, W) with mode='bilinear' and align_corners=True."""

    def __init__(self, size: Numbers | None = None, scale_factor: float | Sequence[float] | None = None) -> None:
        super().__init__(size, scale_factor, mode="bilinear", align_corners=True)


class PixelShuffle(Module):
    """(..., C r r, H, W) -> (..., C, H r, W r), r = upscale_factor: channels as the elements of finer images.

    >>> import autograd as ag, nn
    >>> nn.PixelShuffle(2)(ag.arange(4.0).reshape((4, 1, 1))).tolist()
    [[[0.0, 1.0], [2.0, 3.0]]]
    """

    def __init__(self, upscale_factor: int) -> None:
        super().__init__()
        self.upscale_factor = upscale_factor

    def forward(self, x: ag.Tensor) -> ag.Tensor:
        return F.pixel_shuffle(x, self.upscale_factor)

    def extra_repr(self) -> str:
        return f"upscale_factor={self.upscale_factor}"


class PixelUnshuffle(Module):
    """(..., C, H r, W r) -> (..., C r r, H, W), r = downscale_factor: undoes `PixelShuffle`."""

    def __init__(self, downscale_factor: int) -> None:
        super().__init__()
        self.downscale_factor = downscale_factor

    def forward(self, x: ag.Tensor) -> ag.Tensor:
        return F.pixel_unshuffle(x, self.downscale_factor)

    def extra_repr(self) -> str:
        return f"downscale_factor={self.downscale_factor}"


class ChannelShuffle(Module):
    """(N, C, ...) with the channels of each of the groups spread over all.

    >>> import autograd as ag, nn
    >>> nn.ChannelShuffle(2)(ag.arange(4.0).reshape((1, 4, 1))).ravel().tolist()
    [0.0, 2.0, 1.0, 3.0]
    """

    def __init__(self, groups: int) -> None:
        super().__init__()
        self.groups = groups

    def forward(self, x: ag.Tensor) -> ag.Tensor:
        return F.channel_shuffle(x, self.groups)

    def extra_repr(self) -> str:
        return f"groups={self.groups}"


class Unfold(Module):
    """The windows of images (N, C, H, W) or (C, H, W) as columns: (N, C * kernel_size, windows).

    >>> import autograd as ag, nn
    >>> nn.Unfold(2)(ag.ones((1, 3, 4, 4))).shape
    (1, 12, 9)
    """

    def __init__(self, kernel_size: Numbers, dilation: Numbers = 1, padding: Numbers = 0, stride: Numbers = 1) -> None:
        super().__init__()
        self.kernel_size, self.dilation, self.padding, self.stride = kernel_size, dilation, padding, stride

    def forward(self, x: ag.Tensor) -> ag.Tensor:
        return F.unfold(x, self.kernel_size, self.dilation, self.padding, self.stride)

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}, dilation={self.dilation}, padding={self.padding}, stride={self.stride}"


class Fold(Module):
    """The adjoint of `Unfold`: (N, C * kernel_size, windows) -> (N, C, *output_size), what windows share added up.

    >>> import autograd as ag, nn
    >>> nn.Fold(4, 2)(ag.ones((1, 12, 9))).shape
    (1, 3, 4, 4)
    """

    def __init__(
        self, output_size: Numbers, kernel_size: Numbers, dilation: Numbers = 1, padding: Numbers = 0, stride: Numbers = 1
    ) -> None:
        super().__init__()
        self.output_size = output_size
        self.kernel_size, self.dilation, self.padding, self.stride = kernel_size, dilation, padding, stride

    def forward(self, x: ag.Tensor) -> ag.Tensor:
        return F.fold(x, self.output_size, self.kernel_size, self.dilation, self.padding, self.stride)

    def extra_repr(self) -> str:
        return (
            f"output_size={self.output_size}, kernel_size={self.kernel_size}, dilation={self.dilation}, "
            f"padding={self.padding}, stride={self.stride}"
        )


class Bilinear(Module):
    """x1 weight[k] x2 + bias[k] for each output k: (..., in1_features) and (..., in2_features) -> (..., out_features).

    `weight` (out, in1, in2) and `bias` (out,) start uniform in +-1 / sqrt(in1_features).

    >>> import autograd as ag, nn
    >>> nn.Bilinear(2, 3, 4)(ag.ones((5, 2)), ag.ones((5, 3))).shape
    (5, 4)
    """

    def __init__(
        self, in1_features: int, in2_features: int, out_features: int, bias: bool = True, *, dtype: Any = None,
        device: str = "cpu",
    ) -> None:  # fmt: skip
        super().__init__()
        if in1_features < 1:
            raise ValueError(f"Bilinear: in1_features must be at least 1, got {in1_features}")
        self.in1_features, self.in2_features, self.out_features = in1_features, in2_features, out_features
        self.weight = Parameter(ag.empty((out_features, in1_features, in2_features), dtype=dtype, device=device))
        self.bias = Parameter(ag.empty((out_features,), dtype=dtype, device=device)) if bias else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the parameters anew."""
        bound = 1 / math.sqrt(self.in1_features)
        init.uniform_(self.weight, -bound, bound)
        if self.bias is not None:
            init.uniform_(self.bias, -bound, bound)

    def forward(self, x1: ag.Tensor, x2: ag.Tensor) -> ag.Tensor:
        return F.bilinear(x1, x2, self.weight, self.bias)

    def extra_repr(self) -> str:
        return (
            f"in1_features={self.in1_features}, in2_features={self.in2_features}, out_features={self.out_features}, "
            f"bias={self.bias is not None}"
        )


class CosineSimilarity(Module):
    """The cosine of the angle between vectors along an axis; see `nn.functional.cosine_similarity`."""

    def __init__(self, axis: int = 1, eps: float = 1e-8) -> None:
        super().__init__()
        self.axis, self.eps = axis, eps

    def forward(self, x1: ag.Tensor, x2: ag.Tensor) -> ag.Tensor:
        return F.cosine_similarity(x1, x2, self.axis, self.eps)


class PairwiseDistance(Module):
    """The p-norm of x1 - x2 + eps along the last axis; see `nn.functional.pairwise_distance`."""

    def __init__(self, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False) -> None:
        super().__init__()
        self.norm, self.eps, self.keepdim = p, eps, keepdim

    def forward(self, x1: ag.Tensor, x2: ag.Tensor) -> ag.Tensor:
        return F.pairwise_distance(x1, x2, self.norm, self.eps, self.keepdim)
