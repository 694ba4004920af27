"""Padding, resizing and rearranging images as functions; `nn.functional` hands them on."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

import autograd as ag
from autograd import Tensor
from autograd.ops.index import scatter_slice
from autograd.ops.windows import AddWindows
from nn.conv_functions import Numbers, per_dimension
from nn.pool_functions import adaptive_avg_pool1d, adaptive_avg_pool2d, adaptive_avg_pool3d

_PAD_MODES = {"constant": "constant", "reflect": "reflect", "replicate": "edge", "circular": "wrap"}
_LINEAR = {"linear": 1, "bilinear": 2, "trilinear": 3}
_NEAREST = ("nearest", "nearest-exact")


def pad(x: Tensor, pad: Sequence[int], mode: str = "constant", value: float | None = None) -> Tensor:
    """x made larger, or with negative numbers smaller, at both ends of its last axes.

    Args:
        pad: numbers before and behind the last axis, then before and behind the one before it, and so on.
        mode: 'constant' (`value`, or 0), 'reflect' (mirrored at the outermost element), 'replicate' (that element) or
            'circular' (from the other side).

    Raises:
        ValueError: there are more numbers than axes; or a mode other than 'constant' wants more than the input has.

    >>> import autograd as ag, nn.functional as F
    >>> F.pad(ag.tensor([[1, 2, 3]]), (1, 2), mode="reflect")
    tensor([[2, 1, 2, 3, 2, 1]], dtype=int64)
    """
    if mode not in _PAD_MODES:
        raise ValueError(f"pad: mode is {' or '.join(map(repr, _PAD_MODES))}, got {mode!r}")
    numbers = list(pad)
    if len(numbers) % 2 or len(numbers) > 2 * x.ndim or any(isinstance(n, bool) or not hasattr(n, "__index__") for n in numbers):
        raise ValueError(f"pad: needs two integers for each of the last axes of shape {x.shape}, got {tuple(numbers)}")
    if mode != "constant" and value is not None:
        raise ValueError(f"pad: mode {mode!r} takes no value")
    pairs = [(0, 0)] * (x.ndim - len(numbers) // 2) + [(numbers[k], numbers[k + 1]) for k in range(len(numbers) - 2, -1, -2)]
    for n, (before, behind) in zip(x.shape, pairs, strict=True):
        if n + before + behind < 0 or n + min(before, 0) + min(behind, 0) < 0:
            raise ValueError(f"pad: {tuple(numbers)} takes away more than shape {x.shape} has")
        # An element is copied once at most: mirrored at an edge there are n - 1 others, around there are n.
        most = {"reflect": n - 1, "circular": n, "replicate": math.inf if n else 0}.get(mode, math.inf)
        if max(before, behind) > max(most, 0):
            raise ValueError(f"pad: {tuple(numbers)} in mode {mode!r} is more than an input of shape {x.shape} has")
    if any(min(pair) < 0 for pair in pairs):
        x = x[tuple(slice(max(-a, 0), n - max(-b, 0)) for n, (a, b) in zip(x.shape, pairs, strict=True))]
        pairs = [(max(a, 0), max(b, 0)) for a, b in pairs]
    if mode == "constant":
        return ag.pad(x, pairs, constant_values=0 if value is None else value)
    return ag.pad(x, pairs, _PAD_MODES[mode])


# --- resizing ---------------------------------------------------------------------------------------------------------


def interpolate(
    x: Tensor, size: Numbers | None = None, scale_factor: float | Sequence[float] | None = None, mode: str = "nearest",
    align_corners: bool | None = None, recompute_scale_factor: bool | None = None,
) -> Tensor:  # fmt: skip
    """Images (N, C, sizes) with one to three sizes brought to other sizes.

    Args:
        size, scale_factor: one of the two: the new sizes, or by how much; one number, or one for each dimension.
        mode: 'nearest', 'nearest-exact'; 'linear', 'bilinear' or 'trilinear', by the number of dimensions; or 'area'.
        align_corners: for the linear modes: whether the centres of the corner elements stay where they are, not their edges.
        recompute_scale_factor: whether positions go by the ratio of the sizes, not by scale_factor itself.

    Raises:
        ValueError: the arguments do not fit together, or the input does not fit the mode.

    >>> import autograd as ag, nn.functional as F
    >>> F.interpolate(ag.tensor([[[1.0, 3.0]]]), scale_factor=2, mode="linear")
    tensor([[[1. , 1.5, 2.5, 3. ]]], dtype=float32)
    """
    sizes, steps = _new_sizes(x, size, scale_factor, recompute_scale_factor)
    dimensions = len(sizes)
    if mode in _LINEAR:
        if _LINEAR[mode] != dimensions:
            raise ValueError(f"interpolate: mode {mode!r} is for {_LINEAR[mode] + 2} axes, got shape {x.shape}")
        _check_floats("interpolate", x)
        for k in range(dimensions):
            x = _linear(x, k + 2, sizes[k], steps[k], bool(align_corners))
        return x
    if align_corners is not None:
        raise ValueError(f"interpolate: align_corners is for the linear modes, not {mode!r}")
    if mode == "area":
        return (adaptive_avg_pool1d, adaptive_avg_pool2d, adaptive_avg_pool3d)[dimensions - 1](x, sizes)
    if mode not in _NEAREST:
        raise ValueError(f"interpolate: mode is {', '.join([*_NEAREST, *_LINEAR, 'area'])}, got {mode!r}")
    for k in range(dimensions):
        # In float32, as PyTorch does it: which neighbour is nearest may hang on the last bit.
        middle = np.float32(0.5 if mode == "nearest-exact" else 0)
        places = np.floor((np.arange(sizes[k], dtype=np.float32) + middle) * np.float32(steps[k]))
        if sizes[k] != x.shape[k + 2] or steps[k] != 1:
            x = ag.take(x, np.minimum(places.astype(np.int64), x.shape[k + 2] - 1).tolist(), axis=k + 2)
    return x


def _new_sizes(x: Tensor, size: Any, scale_factor: Any, recompute: bool | None) -> tuple[tuple[int, ...], list[float]]:
    """The sizes of the result, and how far apart its elements are in the input."""
    dimensions = x.ndim - 2
    if dimensions not in (1, 2, 3) or 0 in x.shape[1:]:
        raise ValueError(f"interpolate: needs an input (N, C, sizes) with one to three sizes, none 0, got shape {x.shape}")
    if (size is None) == (scale_factor is None):
        raise ValueError("interpolate: needs size or scale_factor, and not both")
    if size is not None:
        if recompute:
            raise ValueError("interpolate: recompute_scale_factor goes with scale_factor, not with size")
        sizes = per_dimension("interpolate", "size", size, dimensions, 1)
        return sizes, [n / m for n, m in zip(x.shape[2:], sizes, strict=True)]
    factors = tuple(scale_factor) if isinstance(scale_factor, (tuple, list)) else (scale_factor,) * dimensions
    if len(factors) != dimensions or not all(math.isfinite(f) and f > 0 for f in factors):
        raise ValueError(f"interpolate: scale_factor must be a number above 0 or {dimensions} of them, got {scale_factor!r}")
    sizes = tuple(math.floor(n * float(f)) for n, f in zip(x.shape[2:], factors, strict=True))
    if min(sizes) < 1:
        raise ValueError(f"interpolate: scale_factor={scale_factor!r} leaves nothing of an input of shape {x.shape}")
    if recompute:
        return sizes, [n / m for n, m in zip(x.shape[2:], sizes, strict=True)]
    return sizes, [1.0 / f for f in factors]


def _linear(x: Tensor, axis: int, size: int, step: float, corners: bool) -> Tensor:
    """Between the two nearest elements along one axis."""
    n = x.shape[axis]
    if size == n and (corners or step == 1):
        return x
    places = np.arange(size, dtype=np.float64)
    if corners:
        places = places * ((n - 1) / (size - 1) if size > 1 else 0.0)
    else:
        places = np.maximum((places + 0.5) * step - 0.5, 0.0)
    first = np.minimum(places.astype(np.int64), n - 1)
    second = np.minimum(first + 1, n - 1)
    shape = (size,) + (1,) * (x.ndim - 1 - axis)
    share = ag.tensor(np.minimum(places - first, 1.0).reshape(shape).astype(x.dtype), device=x.device)
    return ag.take(x, first.tolist(), axis=axis) * (1.0 - share) + ag.take(x, second.tolist(), axis=axis) * share


# --- rearranging ------------------------------------------------------------------------------------------------------


def pixel_shuffle(x: Tensor, upscale_factor: int) -> Tensor:
    """(..., C r r, H, W) -> (..., C, H r, W r): channels as the elements of finer images (Shi et al. 2016).

    Raises:
        ValueError: r, the upscale_factor, is below 1, or its square does not divide the channels.
    """
    (r,) = per_dimension("pixel_shuffle", "upscale_factor", upscale_factor, 1, 1)
    if x.ndim < 3 or x.shape[-3] % (r * r):
        raise ValueError(f"pixel_shuffle: needs an input (..., C * {r} * {r}, H, W), got shape {x.shape}")
    *leading, channels, height, width = x.shape
    parts = x.reshape((math.prod(leading), channels // (r * r), r, r, height, width))
    return ag.permute_dims(parts, (0, 1, 4, 2, 5, 3)).reshape((*leading, channels // (r * r), height * r, width * r))


def pixel_unshuffle(x: Tensor, downscale_factor: int) -> Tensor:
    """(..., C, H r, W r) -> (..., C r r, H, W): undoes `pixel_shuffle`.

    Raises:
        ValueError: r, the downscale_factor, is below 1, or does not divide height and width.
    """
    (r,) = per_dimension("pixel_unshuffle", "downscale_factor", downscale_factor, 1, 1)
    if x.ndim < 3 or x.shape[-1] % r or x.shape[-2] % r:
        raise ValueError(f"pixel_unshuffle: needs an input (..., C, H * {r}, W * {r}), got shape {x.shape}")
    *leading, channels, height, width = x.shape
    parts = x.reshape((math.prod(leading), channels, height // r, r, width // r, r))
    return ag.permute_dims(parts, (0, 1, 3, 5, 2, 4)).reshape((*leading, channels * r * r, height // r, width // r))


def channel_shuffle(x: Tensor, groups: int) -> Tensor:
    """(N, C, ...) with the channels of each of the groups spread over all: (g, C / g) turned round (Zhang et al. 2018)."""
    (groups,) = per_dimension("channel_shuffle", "groups", groups, 1, 1)
    if x.ndim < 3 or x.shape[1] % groups:
        raise ValueError(f"channel_shuffle: needs an input (N, C, sizes), C divisible by groups={groups}, got shape {x.shape}")
    n, channels, *sizes = x.shape
    return x.reshape((n, groups, channels // groups, math.prod(sizes))).swapaxes(1, 2).reshape(x.shape)


def unfold(
    x: Tensor, kernel_size: Numbers, dilation: Numbers = 1, padding: Numbers = 0, stride: Numbers = 1
) -> Tensor:
    """The windows of images (N, C, H, W) or (C, H, W) as columns: (N, C * kernel_size, windows).

    Raises:
        ValueError: the input has another rank, or no window fits.

    >>> import autograd as ag, nn.functional as F
    >>> F.unfold(ag.arange(9.0).reshape((1, 1, 3, 3)), 2).tolist()[0][0]
    [0.0, 1.0, 3.0, 4.0]
    """
    taps, apart, around, steps = _window_numbers("unfold", kernel_size, dilation, padding, stride)
    if x.ndim not in (3, 4):
        raise ValueError(f"unfold: needs an input (N, C, H, W) or (C, H, W), got shape {x.shape}")
    if x.ndim == 3:
        out = unfold(x.reshape((1, *x.shape)), kernel_size, dilation, padding, stride)
        return out.reshape(out.shape[1:])
    n, channels = x.shape[:2]
    counts = _counts("unfold", x.shape[2:], taps, apart, around, steps)
    x = ag.pad(x, [(0, 0), (0, 0), *((p, p) for p in around)]) if any(around) else x
    for k in (0, 1):  # (N, C, H, W) -> (N, C, rows, W, reach) -> (N, C, rows, columns, reach, reach)
        x = ag.unfold(x, k + 2, apart[k] * (taps[k] - 1) + 1, steps[k])
    x = x[..., :: apart[0], :: apart[1]]
    return ag.permute_dims(x, (0, 1, 4, 5, 2, 3)).reshape((n, channels * math.prod(taps), math.prod(counts)))


def fold(
    x: Tensor, output_size: Numbers, kernel_size: Numbers, dilation: Numbers = 1, padding: Numbers = 0, stride: Numbers = 1
) -> Tensor:
    """The adjoint of `unfold`: (N, C * kernel_size, windows) -> (N, C, *output_size), what windows share added up.

    Raises:
        ValueError: the input is not what `unfold` gives for images of output_size.

    >>> import autograd as ag, nn.functional as F
    >>> F.fold(F.unfold(ag.ones((1, 1, 3, 3)), 2), 3, 2).tolist()[0][0]
    [[1.0, 2.0, 1.0], [2.0, 4.0, 2.0], [1.0, 2.0, 1.0]]
    """
    taps, apart, around, steps = _window_numbers("fold", kernel_size, dilation, padding, stride)
    sizes = per_dimension("fold", "output_size", output_size, 2, 1)
    if x.ndim == 2:
        out = fold(x.reshape((1, *x.shape)), output_size, kernel_size, dilation, padding, stride)
        return out.reshape(out.shape[1:])
    counts = _counts("fold", sizes, taps, apart, around, steps)
    if x.ndim != 3 or x.shape[1] % math.prod(taps) or x.shape[2] != math.prod(counts):
        raise ValueError(
            f"fold: needs an input (N, C * {math.prod(taps)}, {math.prod(counts)}) or one without N: {counts[0]} x {counts[1]} "
            f"windows of {taps} fit images of {sizes}; got shape {x.shape}"
        )
    n, channels = x.shape[0], x.shape[1] // math.prod(taps)
    reach = [a * (t - 1) + 1 for a, t in zip(apart, taps, strict=True)]
    padded = [s + 2 * p for s, p in zip(sizes, around, strict=True)]
    x = ag.permute_dims(x.reshape((n, channels, *taps, *counts)), (0, 1, 4, 2, 5, 3))
    if max(apart) > 1:  # zeros between the elements of a window
        key = (slice(None), slice(None), slice(None), slice(None, None, apart[0]), slice(None), slice(None, None, apart[1]))
        x = scatter_slice(x, key, (n, channels, counts[0], reach[0], counts[1], reach[1]))
    x = AddWindows.apply(x, shape=(n, channels, counts[0], reach[0], padded[1]), axis=4, step=steps[1])
    x = AddWindows.apply(x, shape=(n, channels, *padded), axis=2, step=steps[0])
    return x[:, :, around[0] : around[0] + sizes[0], around[1] : around[1] + sizes[1]] if any(around) else x


def _window_numbers(name: str, kernel_size: Numbers, dilation: Numbers, padding: Numbers, stride: Numbers) -> tuple[Any, ...]:
    numbers = ("kernel_size", kernel_size, 1), ("dilation", dilation, 1), ("padding", padding, 0), ("stride", stride, 1)
    return tuple(per_dimension(name, what, value, 2, least) for what, value, least in numbers)


def _counts(name: str, sizes: Any, taps: Any, apart: Any, around: Any, steps: Any) -> tuple[int, ...]:
    """How many windows there are along height and width."""
    numbers = zip(sizes, taps, apart, around, steps, strict=True)
    counts = tuple((n + 2 * p - d * (k - 1) - 1) // s + 1 for n, k, d, p, s in numbers)
    if min(counts) < 1:
        raise ValueError(
            f"{name}: windows of {taps} with dilation {apart} do not fit images of {tuple(sizes)} with padding {around}"
        )
    return counts


def bilinear(x1: Tensor, x2: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """x1 weight[k] x2 + bias[k]: (..., in1) and (..., in2) with a weight (out, in1, in2) -> (..., out).

    Raises:
        ValueError: the shapes do not fit.
    """
    last = x1.shape[-1:] + x2.shape[-1:]
    if weight.ndim != 3 or x1.shape[:-1] != x2.shape[:-1] or last != weight.shape[1:]:
        raise ValueError(
            f"bilinear: inputs (..., in1) and (..., in2) of the same leading sizes take a weight (out, in1, in2), got shapes "
            f"{x1.shape}, {x2.shape} and {weight.shape}"
        )
    rows = math.prod(x1.shape[:-1])
    y = ag.einsum("bi,kij,bj->bk", x1.reshape((rows, x1.shape[-1])), weight, x2.reshape((rows, x2.shape[-1])))
    y = y.reshape((*x1.shape[:-1], weight.shape[0]))
    return y if bias is None else y + bias


def _check_floats(name: str, x: Tensor) -> None:
    if x.dtype.kind != "f":
        raise TypeError(f"{name}: needs floats, got shape {x.shape}, {x.dtype}; convert with .astype(autograd.float32)")
