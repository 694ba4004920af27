"""What convolution and its gradients must give on every device, against sliding windows in NumPy; `k` is the device's package."""

from __future__ import annotations

from itertools import product
from math import prod
from typing import Any

import numpy as np

# (shape of the input, of the weight, options): ragged sizes, one to three dimensions, everything that has its own path.
CASES = [
    ((2, 3, 7, 9), (4, 3, 3, 3), {}),
    ((2, 3, 7, 9), (4, 3, 3, 3), {"padding": 1}),
    ((2, 4, 7, 9), (6, 2, 3, 2), {"groups": 2, "padding": (1, 2), "stride": (2, 3), "dilation": (2, 1)}),
    ((3, 5, 40), (33, 5, 3), {"padding": 1, "stride": 2}),
    ((2, 2, 5, 6, 7), (3, 2, 2, 3, 1), {"padding": 1, "stride": (1, 2, 1)}),
    ((2, 2, 3, 4, 5), (4, 1, 2, 1, 2), {"groups": 2, "padding": (0, 1, (2, 0)), "dilation": (2, 1, 3)}),
    ((2, 8, 5, 5), (8, 1, 3, 3), {"groups": 8, "padding": 1}),  # depthwise
    ((2, 3, 6, 19), (6, 1, 3, 5), {"groups": 3, "padding": (1, 2), "stride": (2, 1)}),
    ((2, 8, 6, 6), (16, 8, 1, 1), {}),  # a matrix product
    ((2, 8, 6, 6), (16, 8, 1, 1), {"stride": 4}),  # the stride is larger than the window
    ((2, 3, 12), (4, 3, 2), {"stride": 6, "dilation": 4}),
    ((2, 3, 12), (4, 3, 2), {"stride": 4, "dilation": 2, "padding": 5}),
    ((1, 2, 2, 2), (3, 2, 5, 4), {"padding": (2, 3)}),  # the window is larger than the input
    ((5, 2, 3, 3), (3, 2, 3, 3), {}),  # one position
    ((1, 1, 1), (1, 1, 1), {}),
    ((0, 3, 5, 5), (4, 3, 3, 3), {}),
    ((2, 3, 0), (4, 3, 1), {"padding": 1}),
    ((2, 0, 4), (3, 0, 2), {}),
    ((2, 3, 4), (0, 3, 2), {}),
    ((2, 2, 9), (3, 2, 3), {"padding": ((0, 3),)}),
    ((2, 2, 9), (3, 2, 3), {"padding": ((1, -2),), "stride": 2}),  # the end is not read
    ((3, 17, 6, 33), (35, 17, 3, 3), {"padding": 1}),  # deeper than a panel
    ((1, 2, 70), (200, 2, 3), {"stride": 2}),  # more rows than are computed at a time
]
LAYOUTS = ("dense", "channels last", "reversed", "gaps", "stretched")


def sample(shape: tuple[int, ...], dtype: Any, layout: str = "dense", seed: int = 0) -> np.ndarray:
    """Random values that lie in memory as the layout says."""
    generator = np.random.default_rng(seed + sum(shape))

    def values(*shape: int) -> np.ndarray:
        return generator.standard_normal(shape).astype(dtype)

    if layout == "channels last":
        return np.moveaxis(values(shape[0], *shape[2:], shape[1]), -1, 1)
    if layout == "reversed":
        return values(*shape)[..., ::-1, ::-1]
    if layout == "gaps":
        return values(shape[0], 2 * shape[1], *shape[2:-1], 3 * shape[-1])[:, ::2, ..., ::3]
    if layout == "stretched":
        return np.broadcast_to(values(1, shape[1], *shape[2:-1], 1), shape)
    return values(*shape)


def patches(x: np.ndarray, taps: tuple[int, ...], stride: Any, padding: Any, dilation: Any) -> tuple[np.ndarray, np.ndarray]:
    """All windows of x (N, C, sizes) in float64: (N, C, positions, taps); and the place in x of each, or -1 outside."""
    rank = len(taps)

    def each(value: Any) -> tuple:
        return tuple(value) if isinstance(value, (tuple, list)) else (value,) * rank

    pairs = [p if isinstance(p, tuple) else (p, p) for p in each(padding)]
    places = np.arange(prod(x.shape[2:])).reshape(x.shape[2:])
    for axis, (before, behind) in enumerate(pairs):
        places = places[(slice(None),) * axis + (slice(0, places.shape[axis] + min(behind, 0)),)]
        places = np.pad(places, [(before, max(behind, 0)) if a == axis else (0, 0) for a in range(rank)], constant_values=-1)
    steps, gaps = each(stride), each(dilation)
    counts = [(n - d * (t - 1) - 1) // s + 1 for n, t, s, d in zip(places.shape, taps, steps, gaps, strict=True)]
    indices = np.empty((*counts, *taps), np.int64)
    for tap in product(*map(range, taps)):
        cut = tuple(slice(t * d, t * d + (n - 1) * s + 1, s) for t, d, n, s in zip(tap, gaps, counts, steps, strict=True))
        indices[(..., *tap)] = places[cut]
    flat = np.concatenate([x.astype(np.float64).reshape(*x.shape[:2], prod(x.shape[2:])), np.zeros((*x.shape[:2], 1))], axis=2)
    return flat[..., indices], indices


def reference(x, weight, bias=None, grad=None, stride=1, padding=0, dilation=1, groups=1):
    """The convolution in float64, and the gradients of input and weight for the gradient given."""
    taps = weight.shape[2:]
    windows, indices = patches(x, taps, stride, padding, dilation)
    batch, channels, *counts = windows.shape[: 2 + len(taps)]
    windows = windows.reshape(batch, groups, channels // groups, prod(counts), prod(taps))
    w = weight.astype(np.float64).reshape(groups, weight.shape[0] // groups, channels // groups, prod(taps))
    y = np.einsum("ngcpt,goct->ngop", windows, w).reshape(batch, weight.shape[0], *counts)
    y = y if bias is None else y + bias.astype(np.float64).reshape(-1, *[1] * len(taps))
    if grad is None:
        return y
    g = grad.astype(np.float64).reshape(batch, groups, weight.shape[0] // groups, prod(counts))
    to_weight = np.einsum("ngop,ngcpt->goct", g, windows).reshape(weight.shape)
    pieces = np.einsum("ngop,goct->ngcpt", g, w).reshape(batch, channels, prod(counts) * prod(taps))
    to_x = np.zeros((batch, channels, prod(x.shape[2:]) + 1))
    np.add.at(to_x, (slice(None), slice(None), indices.reshape(-1)), pieces)
    return y, to_x[..., :-1].reshape(x.shape), to_weight


def close(found: np.ndarray, expected: np.ndarray, dtype: Any) -> None:
    """Equal but for roundings of sums of a few hundred numbers of size 1."""
    assert found.shape == expected.shape and found.dtype == dtype
    tolerance = 2e-5 if dtype == np.float32 else 1e-12
    np.testing.assert_allclose(found, expected, rtol=tolerance, atol=8 * tolerance)


def check(k: Any, shape, weight_shape, options, dtype, layout: str = "dense", biased: bool = True) -> None:
    """All three kernels on operands of these shapes, without a bias and with one; the operands stay as they are."""
    x, weight = sample(shape, dtype, layout), sample(weight_shape, dtype, layout, 1)
    grad = sample(reference(x, weight, **options).shape, dtype, layout, 2)
    bias, input_bias = sample(weight_shape[:1], dtype, seed=3), sample(shape[1:2], dtype, seed=4)
    y, to_x, to_weight = reference(x, weight, None, grad, **options)
    before = [a.copy() for a in (x, weight, grad)]
    there = [on(k, a) for a in (x, weight, grad)]
    b, c = k.from_numpy(bias), k.from_numpy(input_bias)
    column = (-1, *[1] * (len(shape) - 2))
    close(k.to_numpy(k.conv(there[0], there[1], **options)), y, dtype)
    if biased:
        close(k.to_numpy(k.conv(there[0], there[1], b, **options)), y + bias.astype(np.float64).reshape(column), dtype)
    close(k.to_numpy(k.conv_input_gradient(there[2], there[1], shape, **options)), to_x, dtype)
    with_bias = to_x + input_bias.astype(np.float64).reshape(column)
    if biased:
        close(k.to_numpy(k.conv_input_gradient(there[2], there[1], shape, c, **options)), with_bias, dtype)
    close(k.to_numpy(k.conv_weight_gradient(there[2], there[0], weight_shape, **options)), to_weight, dtype)
    for array, own in zip(there, before, strict=True):
        np.testing.assert_array_equal(k.to_numpy(array), own)


def on(k: Any, array: np.ndarray) -> Any:
    """The array on the device with the same strides, as far as there are views for it."""
    if getattr(k, "__name__", "") == "kernels.cpu":
        return array
    base = array
    while isinstance(base.base, np.ndarray):
        base = base.base
    if 0 in array.shape or 0 in array.strides or any(s < 0 for s in array.strides) or base.ndim != array.ndim:
        return k.from_numpy(np.ascontiguousarray(array))
    order = sorted(range(array.ndim), key=lambda axis: -array.strides[axis])
    made = k.from_numpy(np.ascontiguousarray(array.transpose(order)))
    return made.transpose(tuple(int(n) for n in np.argsort(order)))
