"""Convolutions as functions; `nn.functional` hands them on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from autograd import Tensor
from autograd.ops.conv import convolution, transposed_convolution

Numbers = int | Sequence[int]


def per_dimension(name: str, what: str, value: Any, count: int, least: int = 0) -> tuple[int, ...]:
    """One integer for each dimension, from one integer or as many.

    Raises:
        TypeError: something else.
        ValueError: there are more or fewer, or one is less than `least`.
    """
    given = tuple(value) if isinstance(value, (tuple, list)) else (value,)
    if any(isinstance(v, bool) or not hasattr(v, "__index__") for v in given):
        raise TypeError(f"{name}: {what} must be an integer or {count} of them, got {value!r}")
    numbers = tuple(v.__index__() for v in given)
    numbers = numbers * count if len(numbers) == 1 else numbers
    if len(numbers) != count:
        raise ValueError(f"{name}: {what} must be an integer or {count} of them, one for each dimension, got {value!r}")
    if min(numbers) < least:
        raise ValueError(f"{name}: {what} must be at least {least}, got {value!r}")
    return numbers


def padding_of(name: str, padding: Any, taps: Sequence[int], stride: Sequence[int], dilation: Sequence[int]) -> tuple:
    """The padding of each dimension: a number, or a pair (in front, behind) where 'same' asks for an odd number."""
    if not isinstance(padding, str):
        return per_dimension(name, "padding", padding, len(taps))
    if padding not in ("same", "valid"):
        raise ValueError(f"{name}: padding is 'same', 'valid' or a number for each dimension, got {padding!r}")
    if padding == "valid":
        return (0,) * len(taps)
    if any(s != 1 for s in stride):
        raise ValueError(f"{name}: padding='same' keeps the sizes, which a stride of {tuple(stride)} does not; it needs stride=1")
    both = [d * (k - 1) for k, d in zip(taps, dilation, strict=True)]
    return tuple((n // 2, n - n // 2) for n in both)


def _batched(name: str, x: Tensor, weight: Tensor, dimensions: int) -> tuple[Tensor, bool]:
    """The input as a batch of images, and whether it was one."""
    if weight.ndim != dimensions + 2 or x.ndim not in (dimensions + 1, dimensions + 2):
        letters = ", ".join(("depth", "height", "width")[3 - dimensions :] if dimensions > 1 else ("length",))
        raise ValueError(
            f"{name}: needs an input (N, C, {letters}) or (C, {letters}) and a weight with {dimensions + 2} dimensions, got "
            f"shapes {x.shape} and {weight.shape}"
        )
    return (x, True) if x.ndim == dimensions + 2 else (x.reshape((1, *x.shape)), False)


def _conv(
    dimensions: int,
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: Numbers,
    padding: Any,
    dilation: Numbers,
    groups: int,
) -> Tensor:
    name = f"conv{dimensions}d"
    images, is_batch = _batched(name, x, weight, dimensions)
    strides = per_dimension(name, "stride", stride, dimensions, 1)
    dilations = per_dimension(name, "dilation", dilation, dimensions, 1)
    paddings = padding_of(name, padding, weight.shape[2:], strides, dilations)
    (groups,) = per_dimension(name, "groups", groups, 1, 1)
    out = convolution(name, images, weight, bias, strides, paddings, dilations, groups)
    return out if is_batch else out.reshape(out.shape[1:])


def conv1d(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Numbers = 1,
    padding: Numbers | str = 0,
    dilation: Numbers = 1,
    groups: int = 1,
) -> Tensor:
    """The convolution (in the sense of deep learning: nothing is flipped) along one dimension; see `conv2d`.

    Args:
        x: (N, C, length) or (C, length).
        weight: (outputs, C / groups, taps).

    >>> import autograd as ag, nn.functional as F
    >>> F.conv1d(ag.tensor([[1.0, 2.0, 4.0]]), ag.tensor([[[-1.0, 1.0]]]))
    tensor([[1., 2.]], dtype=float32)
    """
    return _conv(1, x, weight, bias, stride, padding, dilation, groups)


def conv2d(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Numbers = 1,
    padding: Numbers | str = 0,
    dilation: Numbers = 1,
    groups: int = 1,
) -> Tensor:
    """The convolution (in the sense of deep learning: nothing is flipped) of images; differentiable to any order.

    Args:
        x: (N, C, height, width) or (C, height, width).
        weight: (outputs, C / groups, taps down, taps across).
        bias: (outputs,).
        stride: from window to window; one number or one for each dimension, as for padding and dilation.
        padding: zeros on each side, 'valid' (none) or 'same' (so many that the sizes stay; at an odd number the further one
            is behind).
        dilation: from tap to tap.
        groups: parts of the channels, each convolved by its own part of the weight; C of them is the depthwise convolution.

    Returns:
        (N, outputs, height, width), each size (size + 2 * padding - dilation * (taps - 1) - 1) // stride + 1.

    Raises:
        TypeError: operands are no floats, or of different dtypes.
        ValueError: channels, groups or sizes do not fit.

    >>> import autograd as ag, nn.functional as F
    >>> F.conv2d(ag.ones((2, 3, 8, 8)), ag.ones((5, 3, 3, 3)), padding="same").shape
    (2, 5, 8, 8)
    """
    return _conv(2, x, weight, bias, stride, padding, dilation, groups)


def conv3d(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Numbers = 1,
    padding: Numbers | str = 0,
    dilation: Numbers = 1,
    groups: int = 1,
) -> Tensor:
    """The convolution of volumes x (N, C, depth, height, width) by a weight (outputs, C / groups, taps); see `conv2d`."""
    return _conv(3, x, weight, bias, stride, padding, dilation, groups)


def _conv_transpose(
    dimensions: int,
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: Numbers,
    padding: Numbers,
    output_padding: Numbers,
    groups: int,
    dilation: Numbers,
) -> Tensor:
    name = f"conv_transpose{dimensions}d"
    images, is_batch = _batched(name, x, weight, dimensions)
    strides = per_dimension(name, "stride", stride, dimensions, 1)
    dilations = per_dimension(name, "dilation", dilation, dimensions, 1)
    paddings = per_dimension(name, "padding", padding, dimensions)
    more = per_dimension(name, "output_padding", output_padding, dimensions)
    (groups,) = per_dimension(name, "groups", groups, 1, 1)
    if any(m >= max(s, d) for m, s, d in zip(more, strides, dilations, strict=True)):
        raise ValueError(
            f"{name}: output_padding must be smaller than stride or dilation in every dimension, got output_padding={more}, "
            f"stride={strides}, dilation={dilations}"
        )
    out = transposed_convolution(name, images, weight, bias, strides, paddings, more, dilations, groups)
    return out if is_batch else out.reshape(out.shape[1:])


def conv_transpose1d(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Numbers = 1,
    padding: Numbers = 0,
    output_padding: Numbers = 0,
    groups: int = 1,
    dilation: Numbers = 1,
) -> Tensor:
    """The transposed convolution along one dimension: x (N, C, length), weight (C, outputs / groups, taps); see
    `conv_transpose2d`."""
    return _conv_transpose(1, x, weight, bias, stride, padding, output_padding, groups, dilation)


def conv_transpose2d(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Numbers = 1,
    padding: Numbers = 0,
    output_padding: Numbers = 0,
    groups: int = 1,
    dilation: Numbers = 1,
) -> Tensor:
    """The transposed convolution of images: what `conv2d` of these numbers does to the gradient of its input.

    Args:
        x: (N, C, height, width) or (C, height, width).
        weight: (C, outputs / groups, taps down, taps across).
        bias: (outputs,).
        stride, padding, dilation, groups: those of the convolution whose transpose this is.
        output_padding: what is added to the result's sizes, less than stride or dilation: a convolution with a stride gives
            one size for several.

    Returns:
        (N, outputs, height, width), each (size - 1) * stride - 2 * padding + dilation * (taps - 1) + 1 + output_padding.

    Raises:
        TypeError: operands are no floats, or of different dtypes.
        ValueError: channels, groups or sizes do not fit.

    >>> import autograd as ag, nn.functional as F
    >>> F.conv_transpose2d(ag.ones((2, 3, 4, 4)), ag.ones((3, 5, 2, 2)), stride=2).shape
    (2, 5, 8, 8)
    """
    return _conv_transpose(2, x, weight, bias, stride, padding, output_padding, groups, dilation)


def conv_transpose3d(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Numbers = 1,
    padding: Numbers = 0,
    output_padding: Numbers = 0,
    groups: int = 1,
    dilation: Numbers = 1,
) -> Tensor:
    """The transposed convolution of volumes: x (N, C, depth, height, width), weight (C, outputs / groups, taps); see
    `conv_transpose2d`."""
    return _conv_transpose(3, x, weight, bias, stride, padding, output_padding, groups, dilation)
