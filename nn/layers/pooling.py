"""Pooling layers. Inputs are (N, C, sizes) or (C, sizes), with as many sizes as the class is named for."""

from __future__ import annotations

from typing import Any, ClassVar

import autograd as ag
from nn import functional as F
from nn.conv_functions import Numbers, per_dimension
from nn.module import Module
from nn.pool_functions import Sizes


class _Pool(Module):
    """What pooling layers have in common: numbers for one dimension or for all, looked at when the layer is made."""

    dimensions: ClassVar[int]

    def _check(self, least: int = 1, **numbers: Any) -> None:
        for what, value in numbers.items():
            if value is not None:
                per_dimension(type(self).__name__, what, value, self.dimensions, 0 if what == "padding" else least)


class _MaxPool(_Pool):
    def __init__(
        self, kernel_size: Numbers, stride: Numbers | None = None, padding: Numbers = 0, dilation: Numbers = 1,
        return_indices: bool = False, ceil_mode: bool = False,
    ) -> None:  # fmt: skip
        super().__init__()
        self._check(kernel_size=kernel_size, stride=stride, padding=padding, dilation=dilation)
        self.kernel_size, self.stride = kernel_size, kernel_size if stride is None else stride
        self.padding, self.dilation, self.return_indices, self.ceil_mode = padding, dilation, return_indices, ceil_mode

    def forward(self, x: ag.Tensor) -> Any:
        function = (F.max_pool1d, F.max_pool2d, F.max_pool3d)[self.dimensions - 1]
        return function(
            x, self.kernel_size, self.stride, self.padding, self.dilation, self.ceil_mode, self.return_indices
        )

    def extra_repr(self) -> str:
        return (
            f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}, dilation={self.dilation}, "
            f"ceil_mode={self.ceil_mode}"
        )


class MaxPool1d(_MaxPool):
    """The largest element of each window of a sequence; see `MaxPool2d`."""

    dimensions = 1


class MaxPool2d(_MaxPool):
    """The largest element of each window of images (N, C, H, W) or (C, H, W).

    Args:
        kernel_size, stride, padding, dilation: one number, or one for each dimension; stride=None is kernel_size. What lies
            in the padding is never the largest; it is at most half a window.
        return_indices: whether to give a pair: also where each stood, int64, counted through H and W.
        ceil_mode: whether a last window may reach over the end.

    Sizes become (size + 2 * padding - dilation * (kernel_size - 1) - 1) / stride + 1, rounded down (up with ceil_mode).

    >>> import autograd as ag, nn
    >>> nn.MaxPool2d(2)(ag.arange(16.0).reshape((1, 4, 4))).tolist()
    [[[5.0, 7.0], [13.0, 15.0]]]
    """

    dimensions = 2


class MaxPool3d(_MaxPool):
    """The largest element of each window of volumes; see `MaxPool2d`."""

    dimensions = 3


class _AvgPool(_Pool):
    def __init__(
        self, kernel_size: Numbers, stride: Numbers | None = None, padding: Numbers = 0, ceil_mode: bool = False,
        count_include_pad: bool = True, divisor_override: int | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        self._check(kernel_size=kernel_size, stride=stride, padding=padding)
        self.kernel_size, self.stride = kernel_size, kernel_size if stride is None else stride
        self.padding, self.ceil_mode = padding, ceil_mode
        self.count_include_pad, self.divisor_override = count_include_pad, divisor_override
        if divisor_override is not None:
            per_dimension(type(self).__name__, "divisor_override", divisor_override, 1, 1)

    def forward(self, x: ag.Tensor) -> ag.Tensor:
        function = (F.avg_pool2d, F.avg_pool3d)[self.dimensions - 2]
        return function(
            x, self.kernel_size, self.stride, self.padding, self.ceil_mode, self.count_include_pad, self.divisor_override
        )

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class AvgPool1d(_AvgPool):
    """The mean of each window of a sequence; see `AvgPool2d`."""

    dimensions = 1

    def __init__(
        self, kernel_size: Numbers, stride: Numbers | None = None, padding: Numbers = 0, ceil_mode: bool = False,
        count_include_pad: bool = True,
    ) -> None:  # fmt: skip
        super().__init__(kernel_size, stride, padding, ceil_mode, count_include_pad)
        for name in ("kernel_size", "stride", "padding"):  # as PyTorch keeps (and prints) them
            setattr(self, name, per_dimension("AvgPool1d", name, getattr(self, name), 1))

    def forward(self, x: ag.Tensor) -> ag.Tensor:
        return F.avg_pool1d(x, self.kernel_size, self.stride, self.padding, self.ceil_mode, self.count_include_pad)


class AvgPool2d(_AvgPool):
    """The mean of each window of images (N, C, H, W) or (C, H, W).

    Args:
        kernel_size, stride, padding, ceil_mode: as in `MaxPool2d`.
        count_include_pad: whether zeros in the padding count.
        divisor_override: what sums are divided by instead.

    >>> import autograd as ag, nn
    >>> nn.AvgPool2d(2)(ag.arange(16.0).reshape((1, 4, 4))).tolist()
    [[[2.5, 4.5], [10.5, 12.5]]]
    """

    dimensions = 2


class AvgPool3d(_AvgPool):
    """The mean of each window of volumes; see `AvgPool2d`."""

    dimensions = 3


class _LPPool(_Pool):
    def __init__(
        self, norm_type: float, kernel_size: Numbers, stride: Numbers | None = None, ceil_mode: bool = False
    ) -> None:
        super().__init__()
        self._check(kernel_size=kernel_size, stride=stride)
        self.norm_type, self.kernel_size, self.stride, self.ceil_mode = norm_type, kernel_size, stride, ceil_mode

    def forward(self, x: ag.Tensor) -> ag.Tensor:
        function = (F.lp_pool1d, F.lp_pool2d, F.lp_pool3d)[self.dimensions - 1]
        return function(x, float(self.norm_type), self.kernel_size, self.stride, self.ceil_mode)

    def extra_repr(self) -> str:
        return f"norm_type={self.norm_type}, kernel_size={self.kernel_size}, stride={self.stride}, ceil_mode={self.ceil_mode}"


class LPPool1d(_LPPool):
    """The p-norm of each window of a sequence, p = norm_type; see `LPPool2d`."""

    dimensions = 1


class LPPool2d(_LPPool):
    """sum(x ** p) ** (1 / p) of each window of images, p = norm_type: p = 1 adds, a large p comes near the largest.

    >>> import autograd as ag, nn
    >>> nn.LPPool2d(2, 2)(ag.tensor([[[3.0, 0.0], [0.0, 4.0]]])).tolist()
    [[[5.0]]]
    """

    dimensions = 2


class LPPool3d(_LPPool):
    """The p-norm of each window of volumes, p = norm_type; see `LPPool2d`."""

    dimensions = 3


class _AdaptivePool(_Pool):
    def __init__(self, output_size: Sizes) -> None:
        super().__init__()
        given = output_size if isinstance(output_size, (tuple, list)) else (output_size,)
        for size in given:
            if size is not None:
                per_dimension(type(self).__name__, "output_size", size, 1, 1)
        if len(given) not in (1, self.dimensions):
            raise ValueError(f"{type(self).__name__}: output_size must be one number or {self.dimensions}, got {output_size!r}")
        self.output_size = output_size

    def extra_repr(self) -> str:
        return f"output_size={self.output_size}"


class _AdaptiveAvgPool(_AdaptivePool):
    def forward(self, x: ag.Tensor) -> ag.Tensor:
        return (F.adaptive_avg_pool1d, F.adaptive_avg_pool2d, F.adaptive_avg_pool3d)[self.dimensions - 1](x, self.output_size)


class AdaptiveAvgPool1d(_AdaptiveAvgPool):
    """The means of equal shares of a sequence; see `AdaptiveAvgPool2d`."""

    dimensions = 1


class AdaptiveAvgPool2d(_AdaptiveAvgPool):
    """The means of equal shares of images (N, C, H, W) or (C, H, W), whatever their size.

    Args:
        output_size: how many along each side: one number, or one for each; None keeps the size.

    >>> import autograd as ag, nn
    >>> nn.AdaptiveAvgPool2d(1)(ag.arange(16.0).reshape((1, 4, 4))).tolist()
    [[[7.5]]]
    """

    dimensions = 2


class AdaptiveAvgPool3d(_AdaptiveAvgPool):
    """The means of equal shares of volumes; see `AdaptiveAvgPool2d`."""

    dimensions = 3


class _AdaptiveMaxPool(_AdaptivePool):
    def __init__(self, output_size: Sizes, return_indices: bool = False) -> None:
        super().__init__(output_size)
        self.return_indices = return_indices

    def forward(self, x: ag.Tensor) -> Any:
        function = (F.adaptive_max_pool1d, F.adaptive_max_pool2d, F.adaptive_max_pool3d)[self.dimensions - 1]
        return function(x, self.output_size, self.return_indices)


class AdaptiveMaxPool1d(_AdaptiveMaxPool):
    """The largest elements of equal shares of a sequence; see `AdaptiveMaxPool2d`."""

    dimensions = 1


class AdaptiveMaxPool2d(_AdaptiveMaxPool):
    """The largest elements of equal shares of images (N, C, H, W) or (C, H, W).

    Args:
        output_size: how many along each side: one number, or one for each; None keeps the size.
        return_indices: whether to give a pair: also where each stood, int64, counted through H and W.

    >>> import autograd as ag, nn
    >>> nn.AdaptiveMaxPool2d(1)(ag.arange(16.0).reshape((1, 4, 4))).tolist()
    [[[15.0]]]
    """

    dimensions = 2


class AdaptiveMaxPool3d(_AdaptiveMaxPool):
    """The largest elements of equal shares of volumes; see `AdaptiveMaxPool2d`."""

    dimensions = 3
