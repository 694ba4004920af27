"""Pooling as functions; `nn.functional` hands them on."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import autograd as ag
from autograd import Tensor
from autograd.ops import pool
from autograd.ops.elementwise import OPERATIONS
from kernels import pooling
from nn.conv_functions import Numbers, per_dimension

Sizes = int | None | Sequence[int | None]


def _windows(
    name: str, dimensions: int, x: Tensor, kernel_size: Numbers, stride: Numbers | None, padding: Numbers, dilation: Numbers,
    ceil_mode: bool,
) -> pooling.Windows:  # fmt: skip
    """The windows of an input (N, C, sizes) or (C, sizes)."""
    _check_rank(name, dimensions, x)
    taps = per_dimension(name, "kernel_size", kernel_size, dimensions, 1)
    given = stride is not None and stride != () and stride != []
    steps = per_dimension(name, "stride", stride, dimensions, 1) if given else taps
    before = per_dimension(name, "padding", padding, dimensions)
    apart = per_dimension(name, "dilation", dilation, dimensions, 1)
    return pooling.windows(name, x.shape, taps, steps, before, apart, ceil_mode)


def _check_rank(name: str, dimensions: int, x: Tensor) -> None:
    if x.ndim not in (dimensions + 1, dimensions + 2):
        letters = ", ".join(("depth", "height", "width")[3 - dimensions :] if dimensions > 1 else ("length",))
        raise ValueError(f"{name}: needs an input (N, C, {letters}) or (C, {letters}), got shape {x.shape}")


def _max_pool(dimensions: int, x: Tensor, numbers: tuple, return_indices: bool) -> Any:
    name = f"max_pool{dimensions}d"
    found = pool.max_pool(name, x, _windows(name, dimensions, x, *numbers))
    return found if return_indices else found[0]


def max_pool1d(
    x: Tensor, kernel_size: Numbers, stride: Numbers | None = None, padding: Numbers = 0, dilation: Numbers = 1,
    ceil_mode: bool = False, return_indices: bool = False,
) -> Any:  # fmt: skip
    """The largest element of each window of (N, C, length) or (C, length); see `max_pool2d`."""
    return _max_pool(1, x, (kernel_size, stride, padding, dilation, ceil_mode), return_indices)


def max_pool2d(
    x: Tensor, kernel_size: Numbers, stride: Numbers | None = None, padding: Numbers = 0, dilation: Numbers = 1,
    ceil_mode: bool = False, return_indices: bool = False,
) -> Any:  # fmt: skip
    """The largest element of each window of images (N, C, H, W) or (C, H, W).

    Special cases:
        NaN counts as larger than every number. Of equal elements the first has the gradient.

    Args:
        kernel_size, stride, padding, dilation: one number, or one for each dimension; stride=None is kernel_size. What lies
            in the padding is never the largest.
        ceil_mode: whether a last window may reach over the end.
        return_indices: whether to give a pair: also where each stood, int64, counted through H and W.

    Raises:
        TypeError: x has no floats.
        ValueError: the windows do not fit, or padding is more than half a window.

    >>> import autograd as ag, nn.functional as F
    >>> F.max_pool2d(ag.arange(16.0).reshape((1, 4, 4)), 2)
    tensor([[[ 5.,  7.],
             [13., 15.]]], dtype=float32)
    """
    return _max_pool(2, x, (kernel_size, stride, padding, dilation, ceil_mode), return_indices)


def max_pool3d(
    x: Tensor, kernel_size: Numbers, stride: Numbers | None = None, padding: Numbers = 0, dilation: Numbers = 1,
    ceil_mode: bool = False, return_indices: bool = False,
) -> Any:  # fmt: skip
    """The largest element of each window of (N, C, D, H, W) or (C, D, H, W); see `max_pool2d`."""
    return _max_pool(3, x, (kernel_size, stride, padding, dilation, ceil_mode), return_indices)


def _avg_pool(dimensions: int, x: Tensor, numbers: tuple, count_include_pad: bool, divisor: int | None = None) -> Tensor:
    name = f"avg_pool{dimensions}d"
    kernel_size, stride, padding, ceil_mode = numbers
    windows = _windows(name, dimensions, x, kernel_size, stride, padding, 1, ceil_mode)
    if divisor is not None:
        (divisor,) = per_dimension(name, "divisor_override", divisor, 1, 1)
    return pool.avg_pool(name, x, windows, divisor or 0, bool(count_include_pad))


def avg_pool1d(
    x: Tensor, kernel_size: Numbers, stride: Numbers | None = None, padding: Numbers = 0, ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Tensor:  # fmt: skip
    """The mean of each window of (N, C, length) or (C, length); see `avg_pool2d`."""
    return _avg_pool(1, x, (kernel_size, stride, padding, ceil_mode), count_include_pad)


def avg_pool2d(
    x: Tensor, kernel_size: Numbers, stride: Numbers | None = None, padding: Numbers = 0, ceil_mode: bool = False,
    count_include_pad: bool = True, divisor_override: int | None = None,
) -> Tensor:  # fmt: skip
    """The mean of each window of images (N, C, H, W) or (C, H, W).

    Args:
        kernel_size, stride, padding, ceil_mode: as in `max_pool2d`.
        count_include_pad: whether zeros in the padding count; what lies behind the padding never does.
        divisor_override: what sums are divided by instead.

    Raises:
        TypeError: x has no floats.
        ValueError: the windows do not fit, or padding is more than half a window.

    >>> import autograd as ag, nn.functional as F
    >>> F.avg_pool2d(ag.arange(16.0).reshape((1, 4, 4)), 2)
    tensor([[[ 2.5,  4.5],
             [10.5, 12.5]]], dtype=float32)
    """
    return _avg_pool(2, x, (kernel_size, stride, padding, ceil_mode), count_include_pad, divisor_override)


def avg_pool3d(
    x: Tensor, kernel_size: Numbers, stride: Numbers | None = None, padding: Numbers = 0, ceil_mode: bool = False,
    count_include_pad: bool = True, divisor_override: int | None = None,
) -> Tensor:  # fmt: skip
    """The mean of each window of (N, C, D, H, W) or (C, D, H, W); see `avg_pool2d`."""
    return _avg_pool(3, x, (kernel_size, stride, padding, ceil_mode), count_include_pad, divisor_override)


# --- adaptive ---------------------------------------------------------------------------------------------------------


def _adaptive(name: str, dimensions: int, x: Tensor, output_size: Sizes) -> pooling.Windows:
    _check_rank(name, dimensions, x)
    given = tuple(output_size) if isinstance(output_size, (tuple, list)) else (output_size,) * dimensions
    if len(given) != dimensions:
        raise ValueError(f"{name}: output_size must be one number or {dimensions}, got {output_size!r}")
    sizes = tuple(None if n is None else per_dimension(name, "output_size", n, 1, 1)[0] for n in given)
    return pooling.adaptive_windows(name, x.shape, sizes)


def _adaptive_avg_pool(dimensions: int, x: Tensor, output_size: Sizes) -> Tensor:
    name = f"adaptive_avg_pool{dimensions}d"
    windows = _adaptive(name, dimensions, x, output_size)
    if math.prod(windows.positions) == 1 and x.dtype.kind == "f":  # the reductions walk whole planes faster
        return ag.mean(x, axis=tuple(range(x.ndim - dimensions, x.ndim)), keepdims=True)
    return pool.avg_pool(name, x, windows)


def adaptive_avg_pool1d(x: Tensor, output_size: Sizes) -> Tensor:
    """The means of `output_size` equal shares of (N, C, length) or (C, length); see `adaptive_avg_pool2d`."""
    return _adaptive_avg_pool(1, x, output_size)


def adaptive_avg_pool2d(x: Tensor, output_size: Sizes) -> Tensor:
    """The means of equal shares of images (N, C, H, W) or (C, H, W), as many along each side as `output_size` says.

    A share is widened to whole elements, so that neighbours may overlap: it goes from floor(p H / H') to
    ceil((p + 1) H / H').

    Args:
        output_size: one number, or one for each dimension; None keeps the size.

    >>> import autograd as ag, nn.functional as F
    >>> F.adaptive_avg_pool2d(ag.arange(16.0).reshape((1, 4, 4)), (2, 1))
    tensor([[[ 3.5],
             [11.5]]], dtype=float32)
    """
    return _adaptive_avg_pool(2, x, output_size)


def adaptive_avg_pool3d(x: Tensor, output_size: Sizes) -> Tensor:
    """The means of equal shares of (N, C, D, H, W) or (C, D, H, W); see `adaptive_avg_pool2d`."""
    return _adaptive_avg_pool(3, x, output_size)


def _adaptive_max_pool(dimensions: int, x: Tensor, output_size: Sizes, return_indices: bool) -> Any:
    name = f"adaptive_max_pool{dimensions}d"
    found = pool.max_pool(name, x, _adaptive(name, dimensions, x, output_size))
    return found if return_indices else found[0]


def adaptive_max_pool1d(x: Tensor, output_size: Sizes, return_indices: bool = False) -> Any:
    """The largest elements of equal shares of (N, C, length) or (C, length); see `adaptive_max_pool2d`."""
    return _adaptive_max_pool(1, x, output_size, return_indices)


def adaptive_max_pool2d(x: Tensor, output_size: Sizes, return_indices: bool = False) -> Any:
    """The largest elements of equal shares of images: shares as in `adaptive_avg_pool2d`, the rest as in `max_pool2d`."""
    return _adaptive_max_pool(2, x, output_size, return_indices)


def adaptive_max_pool3d(x: Tensor, output_size: Sizes, return_indices: bool = False) -> Any:
    """The largest elements of equal shares of (N, C, D, H, W) or (C, D, H, W); see `adaptive_max_pool2d`."""
    return _adaptive_max_pool(3, x, output_size, return_indices)


# --- norms ------------------------------------------------------------------------------------------------------------


def _lp_pool(
    dimensions: int, x: Tensor, norm_type: float, kernel_size: Numbers, stride: Numbers | None, ceil_mode: bool
) -> Tensor:
    p = float(norm_type)
    if math.isnan(p) or not p:
        raise ValueError(f"lp_pool{dimensions}d: norm_type must be a number other than 0, got {norm_type}")
    if math.isinf(p):
        largest = _max_pool(dimensions, ag.abs(x) * math.copysign(1, p), (kernel_size, stride, 0, 1, ceil_mode), False)
        return largest * math.copysign(1, p)
    taps = per_dimension(f"lp_pool{dimensions}d", "kernel_size", kernel_size, dimensions, 1)
    means = _avg_pool(dimensions, x**norm_type, (kernel_size, stride, 0, ceil_mode), True)
    # As PyTorch does it: the mean of those inside times the elements of a whole window. The relu changes no value; it makes
    # the derivative 0 where the sum is 0, as that of a norm is.
    return (ag.sign(means) * OPERATIONS["relu"](ag.abs(means)) * math.prod(taps)) ** (1 / p)


def lp_pool1d(
    x: Tensor, norm_type: float, kernel_size: Numbers, stride: Numbers | None = None, ceil_mode: bool = False
) -> Tensor:
    """The p-norm of each window of (N, C, length) or (C, length), p = norm_type; see `lp_pool2d`."""
    return _lp_pool(1, x, norm_type, kernel_size, stride, ceil_mode)


def lp_pool2d(
    x: Tensor, norm_type: float, kernel_size: Numbers, stride: Numbers | None = None, ceil_mode: bool = False
) -> Tensor:
    """sum(x ** p) ** (1 / p) of each window of images (N, C, H, W) or (C, H, W), p = norm_type.

    Special cases:
        x is not made positive: an odd p adds with signs, and a sum below 0 gives NaN. An infinite p gives the
        largest absolute value.

    >>> import autograd as ag, nn.functional as F
    >>> F.lp_pool2d(ag.tensor([[[3.0, 0.0], [0.0, 4.0]]]), 2, 2)
    tensor([[[5.]]], dtype=float32)
    """
    return _lp_pool(2, x, norm_type, kernel_size, stride, ceil_mode)


def lp_pool3d(
    x: Tensor, norm_type: float, kernel_size: Numbers, stride: Numbers | None = None, ceil_mode: bool = False
) -> Tensor:
    """The p-norm of each window of (N, C, D, H, W) or (C, D, H, W); see `lp_pool2d`."""
    return _lp_pool(3, x, norm_type, kernel_size, stride, ceil_mode)
