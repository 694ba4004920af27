"""Convolutions and transposed convolutions as layers, in one, two and three dimensions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar

import autograd as ag
from nn import functional as F
from nn import init
from nn.conv_functions import Numbers, padding_of, per_dimension
from nn.module import Module
from nn.parameter import Parameter

_PAD_MODES = {"reflect": "reflect", "replicate": "edge", "circular": "wrap"}


class _Convolution(Module):
    """What all convolutions have in common: their numbers, a weight and a bias, and how these begin."""

    dimensions: ClassVar[int]
    transposed: ClassVar[bool] = False

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: Numbers, stride: Numbers, padding: Any, dilation: Numbers,
        groups: int, bias: bool, padding_mode: str, output_padding: Numbers, dtype: Any, device: str,
    ) -> None:  # fmt: skip
        super().__init__()
        name, count = type(self).__name__, self.dimensions
        (self.in_channels,) = per_dimension(name, "in_channels", in_channels, 1)
        (self.out_channels,) = per_dimension(name, "out_channels", out_channels, 1)
        (self.groups,) = per_dimension(name, "groups", groups, 1, 1)
        for what, channels in (("in_channels", self.in_channels), ("out_channels", self.out_channels)):
            if channels % self.groups:
                raise ValueError(f"{name}: groups={groups} does not divide {what}={channels}")
        self.kernel_size = per_dimension(name, "kernel_size", kernel_size, count, 1)
        self.stride = per_dimension(name, "stride", stride, count, 1)
        self.dilation = per_dimension(name, "dilation", dilation, count, 1)
        self.output_padding = per_dimension(name, "output_padding", output_padding, count)
        self._paddings = padding_of(name, padding, self.kernel_size, self.stride, self.dilation)
        self.padding = padding if isinstance(padding, str) else self._paddings
        modes = ("zeros",) if self.transposed else ("zeros", *_PAD_MODES)
        if padding_mode not in modes:
            raise ValueError(f"{name}: padding_mode is {' or '.join(map(repr, modes))}, got {padding_mode!r}")
        self.padding_mode = padding_mode
        channels = (self.in_channels, self.out_channels) if self.transposed else (self.out_channels, self.in_channels)
        shape = (channels[0], channels[1] // self.groups, *self.kernel_size)
        self.weight = Parameter(ag.empty(shape, dtype=dtype, device=device))
        self.bias = Parameter(ag.empty((self.out_channels,), dtype=dtype, device=device)) if bias else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the parameters anew."""
        inputs = math.prod(self.weight.shape[1:])
        if inputs:
            init.kaiming_uniform_(self.weight, a=math.sqrt(5))  # that is +-1 / sqrt(inputs)
        if self.bias is not None:
            bound = 1 / math.sqrt(inputs) if inputs else 0.0
            init.uniform_(self.bias, -bound, bound)

    def extra_repr(self) -> str:
        text = f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, stride={self.stride}"
        if self.padding != (0,) * self.dimensions:
            text += f", padding={self.padding}"
        if self.dilation != (1,) * self.dimensions:
            text += f", dilation={self.dilation}"
        if any(self.output_padding):
            text += f", output_padding={self.output_padding}"
        if self.groups != 1:
            text += f", groups={self.groups}"
        if self.bias is None:
            text += ", bias=False"
        return text if self.padding_mode == "zeros" else f"{text}, padding_mode={self.padding_mode}"


class _Conv(_Convolution):
    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Numbers,
        stride: Numbers = 1,
        padding: Numbers | str = 0,
        dilation: Numbers = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        *,
        dtype: Any = None,
        device: str = "cpu",
    ) -> None:
        super().__init__(
            in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias, padding_mode, 0, dtype, device
        )

    def forward(self, x: ag.Tensor) -> ag.Tensor:
        convolve = (F.conv1d, F.conv2d, F.conv3d)[self.dimensions - 1]
        padding: Any = self.padding
        if self.padding_mode != "zeros":
            if x.ndim not in (self.dimensions + 1, self.dimensions + 2):
                raise ValueError(f"{type(self).__name__}: needs {self.dimensions + 2} dimensions (or one less), got {x.shape}")
            x, padding = _padded(x, self._paddings, self.padding_mode, type(self).__name__), 0
        return convolve(x, self.weight, self.bias, self.stride, padding, self.dilation, self.groups)


def _padded(x: ag.Tensor, paddings: Sequence[Any], mode: str, name: str) -> ag.Tensor:
    """The input with its own elements around it along the last dimensions."""
    pairs = [pair if isinstance(pair, tuple) else (pair, pair) for pair in paddings]
    sizes = x.shape[x.ndim - len(pairs) :]
    # An element is copied once at most: mirrored at an edge there are size - 1 others, around there are size.
    most = [{"reflect": n - 1, "circular": n}.get(mode, max(pair) if n else -1) for n, pair in zip(sizes, pairs, strict=True)]
    if any(max(pair) > limit for pair, limit in zip(pairs, most, strict=True)):
        raise ValueError(f"{name}: padding {tuple(pairs)} in mode {mode!r} is more than an input of shape {x.shape} has")
    return ag.pad(x, [(0, 0)] * (x.ndim - len(pairs)) + pairs, _PAD_MODES[mode])


class Conv1d(_Conv):
    """The convolution along one dimension: (N, C, length) or (C, length) -> (N, out_channels, length); see `Conv2d`.

    >>> import autograd as ag, nn
    >>> nn.Conv1d(3, 8, 5, stride=2)(ag.ones((2, 3, 21))).shape
    (2, 8, 9)
    """

    dimensions = 1


class Conv2d(_Conv):
    """The convolution of images: (N, in_channels, H, W) or (in_channels, H, W) -> (N, out_channels, H', W').

    Args:
        kernel_size, stride, dilation: one number, or one for each dimension.
        padding: elements on each side, 'same' or 'valid'.
        groups: divides in_channels and out_channels; each group of outputs sees its own group of inputs.
        padding_mode: what surrounds the input: 'zeros', 'reflect' (mirrored at the outermost element), 'replicate' (that
            element) or 'circular' (from the other side).

    The sizes H' and W' are (size + 2 * padding - dilation * (kernel_size - 1) - 1) // stride + 1. The parameters start
    uniform in +-1 / sqrt(in_channels / groups * taps), as PyTorch's do: `weight` (out_channels, in_channels / groups,
    *kernel_size) and `bias` (out_channels,), which is None with `bias=False`.

    Raises:
        ValueError: groups divide the channels not, or the input does not fit.

    >>> import autograd as ag, nn
    >>> layer = nn.Conv2d(3, 8, 3, padding=1)
    >>> layer(ag.ones((2, 3, 5, 5))).shape
    (2, 8, 5, 5)
    >>> layer
    Conv2d(3, 8, kernel_size=(3, 3), stride=(1, 1), padding=(1, 1))
    """

    dimensions = 2


class Conv3d(_Conv):
    """The convolution of volumes: (N, C, depth, height, width) -> (N, out_channels, ...); see `Conv2d`."""

    dimensions = 3


class _ConvTranspose(_Convolution):
    transposed = True

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Numbers,
        stride: Numbers = 1,
        padding: Numbers = 0,
        output_padding: Numbers = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: Numbers = 1,
        padding_mode: str = "zeros",
        *,
        dtype: Any = None,
        device: str = "cpu",
    ) -> None:
        if isinstance(padding, str):
            raise TypeError(f"{type(self).__name__}: padding must be an integer for each dimension, got {padding!r}")
        super().__init__(
            in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias, padding_mode, output_padding,
            dtype, device,
        )  # fmt: skip

    def forward(self, x: ag.Tensor, output_size: Sequence[int] | None = None) -> ag.Tensor:
        """output_size: the result's last sizes (or all of them), one of those that the convolution takes to x's."""
        transpose = (F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d)[self.dimensions - 1]
        more = self.output_padding if output_size is None else self._more(x, tuple(output_size))
        return transpose(x, self.weight, self.bias, self.stride, self._paddings, more, self.groups, self.dilation)

    def _more(self, x: ag.Tensor, wanted: tuple[int, ...]) -> tuple[int, ...]:
        """The output_padding that gives the result the sizes wanted."""
        name, count = type(self).__name__, self.dimensions
        if len(wanted) not in (count, x.ndim):
            raise ValueError(f"{name}: output_size must have {count} or {x.ndim} numbers, got {wanted}")
        wanted = wanted[-count:]
        numbers = zip(x.shape[-count:], self.kernel_size, self.stride, self._paddings, self.dilation, strict=True)
        least = tuple((n - 1) * s - 2 * p + d * (k - 1) + 1 for n, k, s, p, d in numbers)
        most = tuple(n + s - 1 for n, s in zip(least, self.stride, strict=True))
        if any(not low <= n <= high for low, n, high in zip(least, wanted, most, strict=True)):
            raise ValueError(f"{name}: an input of shape {x.shape} gives sizes from {least} to {most}, not {wanted}")
        return tuple(n - low for n, low in zip(wanted, least, strict=True))


class ConvTranspose1d(_ConvTranspose):
    """The transposed convolution along one dimension: (N, C, length) -> (N, out_channels, length); see `ConvTranspose2d`."""

    dimensions = 1


class ConvTranspose2d(_ConvTranspose):
    """The transposed convolution of images: (N, in_channels, H, W) or without N -> (N, out_channels, H', W').

    It is the gradient by the input of a convolution with the same numbers, which takes H' x W' to H x W. The sizes are
    (size - 1) * stride - 2 * padding + dilation * (kernel_size - 1) + 1 + output_padding. `weight` is (in_channels,
    out_channels / groups, *kernel_size); how it begins, and the rest, as for `Conv2d`.

    >>> import autograd as ag, nn
    >>> nn.ConvTranspose2d(8, 3, 2, stride=2)(ag.ones((2, 8, 5, 5))).shape
    (2, 3, 10, 10)
    """

    dimensions = 2


class ConvTranspose3d(_ConvTranspose):
    """The transposed convolution of volumes: (N, C, depth, height, width) -> (N, out_channels, ...); see
    `ConvTranspose2d`."""

    dimensions = 3
