"""Convolution on the CPU, and its gradients: windows packed straight into the panels of the matrix product's tile.

What a call needs besides the arithmetic depends on the operands' layouts alone: it is worked out once, kept as a `Plan`,
and looked up by calls that come the same way again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import Any

import numpy as np

from kernels import memory
from kernels.convolution import (
    Geometry,
    Padding,
    Pass,
    check_arrays,
    forward_pass,
    input_passes,
    merged,
    remembered,
)
from kernels.cpu.conv_kernels import conv_weight_windows, conv_windows
from kernels.cpu.data import copy
from kernels.cpu.depthwise_kernels import conv_depthwise, conv_depthwise_weight
from kernels.cpu.reduce import sum as sum_parts
from kernels.cpu.simd import LANES_float32, LANES_float64, PANEL_float32, PANEL_float64
from kernels.cpu.simd_windows import MOST_TAPS, PARTIAL, STEPS, WINDOW_ROWS
from kernels.launch import Kernel
from kernels.layout import layout_of

_PANELS = {np.dtype(np.float32): PANEL_float32, np.dtype(np.float64): PANEL_float64}
_LANES = {np.dtype(np.float32): LANES_float32, np.dtype(np.float64): LANES_float64}
_PART, _PARTS = 8192, 64  # positions that are summed one block after the other, and parts of so many at most
_FEW_ROWS, _GROUPS = 4, 32  # a group's results in a depthwise convolution at most, and groups in a block
_IMAGE_PARTS = 16  # parts of the images that a depthwise convolution's gradient is summed in, at most
_SMALL = 32  # panels of an image from which on a last one that is not full does not matter

Array = np.ndarray
Sizes = int | Sequence[int]


class Launch:
    """One pass over windows: a kernel with its numbers, and which part of the weight it takes."""

    __slots__ = ("items", "kernel", "parts", "sizes", "taps", "work")

    def __init__(self, kernel: Kernel, items: int, work: int, sizes: list[int], taps: tuple = (), parts: int = 1) -> None:
        self.kernel, self.items, self.work, self.taps, self.parts = kernel, items, work, taps, parts
        self.sizes = np.array(sizes, np.int64)


def conv(
    x: Array,
    weight: Array,
    bias: Array | None = None,
    stride: Sizes = 1,
    padding: Padding = 0,
    dilation: Sizes = 1,
    groups: int = 1,
) -> Array:
    """The convolution (cross-correlation, as everywhere in deep learning) of images by a weight, in 1 to 3 dimensions.

    Args:
        x: (N, C, sizes).
        weight: (outputs, C / groups, taps).
        bias: (outputs,), added to every position.
        stride, dilation: from window to window, and from tap to tap; a number, or one for each dimension.
        padding: zeros around x: a number, or for each dimension a number or a pair (in front, behind).
        groups: parts of the channels that are convolved each by its part of the weight.

    Returns:
        (N, outputs, sizes), each size (padded - dilation * (taps - 1) - 1) // stride + 1.

    float32 and float64, any strides in memory. Every sum runs in an order that depends on the sizes alone.

    Raises:
        TypeError: dtypes differ, or are none of these.
        ValueError: shapes do not fit, or the windows are larger than the padded input.

    >>> import numpy as np
    >>> conv(np.array([[[1.0, 2.0, 4.0]]]), np.array([[[1.0, -1.0]]]), padding=1)
    array([[[-1., -1., -2.,  4.]]])
    """
    x, weight = _usable(x), _usable(weight)
    g = remembered("conv", x.shape, weight.shape, stride, padding, dilation, groups)
    check_arrays("conv", {"input": (x, g.x_shape), "weight": (weight, g.weight_shape), "bias": (bias, g.out_shape[1:2])})
    x = _in_lines(x)
    out = memory.empty(g.out_shape, x.dtype)
    launches = _planned(_forward_plan, g, x, out, bias is not None)
    return _run(launches, x, copy_if_needed(weight), out, bias)


def conv_input_gradient(
    grad: Array,
    weight: Array,
    shape: Sequence[int],
    bias: Array | None = None,
    stride: Sizes = 1,
    padding: Padding = 0,
    dilation: Sizes = 1,
    groups: int = 1,
) -> Array:
    """The gradient of `conv` by its input, which is also the transposed convolution of `grad`.

    grad: like the result of `conv`; shape: the input's; bias: (C,), added to every position; the rest as for `conv`.
    """
    grad, weight = _usable(grad), _usable(weight)
    name = "conv_input_gradient"
    g = remembered(name, tuple(shape), weight.shape, stride, padding, dilation, groups)
    check_arrays(name, {"gradient": (grad, g.out_shape), "weight": (weight, g.weight_shape), "bias": (bias, g.x_shape[1:2])})
    grad = _in_lines(grad)
    out = memory.empty(g.x_shape, grad.dtype)
    launches = _planned(_input_plan, g, grad, out, bias is not None)
    grouped = weight.reshape(g.groups, g.outputs, g.inputs, *g.taps).transpose(0, 2, 1, 3, 4, 5)
    return _run(launches, grad, grouped, out, bias)


def conv_weight_gradient(
    grad: Array,
    x: Array,
    shape: Sequence[int],
    stride: Sizes = 1,
    padding: Padding = 0,
    dilation: Sizes = 1,
    groups: int = 1,
) -> Array:
    """The gradient of `conv` by its weight. grad: like the result of `conv`; shape: the weight's; the rest as for `conv`."""
    grad, x = _usable(grad), _usable(x)
    name = "conv_weight_gradient"
    g = remembered(name, x.shape, tuple(shape), stride, padding, dilation, groups)
    check_arrays(name, {"gradient": (grad, g.out_shape), "input": (x, g.x_shape)})
    grad, x = copy_if_needed(grad), _in_lines(x)
    depth = g.inputs * prod(g.taps)
    (launch,) = _planned(_weight_plan, g, x, grad, False)
    depthwise = launch.kernel is not conv_weight_windows[x.dtype]
    shape = (g.outputs, depth) if depthwise else (depth, g.outputs)
    parts = memory.empty((launch.parts, g.groups, *shape), x.dtype)
    if launch.parts and parts.size:
        launch.kernel(launch.items, x, grad, parts, launch.sizes, work=launch.work)
    made = parts[0] if launch.parts == 1 else sum_parts(parts, axis=0)
    if depthwise:
        return made.reshape(g.weight_shape)
    return copy(made.transpose(0, 2, 1)).reshape(g.weight_shape)


def _run(launches: list[Launch], source: Array, weight: Array, out: Array, bias: Array | None) -> Array:
    bias = None if bias is None else np.ascontiguousarray(bias)
    for launch in launches:
        part = weight[launch.taps] if launch.taps else weight
        part = copy_if_needed(part)
        launch.kernel(launch.items, source, part, out, out if bias is None else bias, launch.sizes, work=launch.work)
    return out


def _usable(array: Any) -> Array:
    """The operand as an array whose elements lie whole numbers of elements apart."""
    array = np.asarray(array)
    return array if layout_of(array).aligned and array.flags.aligned else array.copy()


def copy_if_needed(array: Array) -> Array:
    """The array, or a copy of it, in C order."""
    return array if array.flags.c_contiguous else copy(array)


def _in_lines(array: Array) -> Array:
    """The array with neighbours along its last axis neighbours in memory: lines are copied as vectors."""
    return array if array.shape[-1] <= 1 or array.strides[-1] == array.itemsize else copy(array)


# --- plans ------------------------------------------------------------------------------------------------------------

_PLANS = 1 << 12  # plans kept; a program with endless new shapes must not fill the memory
_plans: dict[tuple, list[Launch]] = {}


def _planned(make: Callable, g: Geometry, source: Array, out: Array, bias: bool) -> list[Launch]:
    """The launches for operands that come like this."""
    key = (make, g, source.strides, out.strides, source.dtype, bias)
    found = _plans.get(key)
    if found is None:
        if len(_plans) >= _PLANS:
            _plans.clear()
        found = _plans[key] = make(g, source, out, bias)
    return found


def _forward_plan(g: Geometry, x: Array, out: Array, bias: bool) -> list[Launch]:
    return _windows_launch(g, forward_pass(g), x, out, g.outputs, g.inputs, bias, ())


def _input_plan(g: Geometry, grad: Array, out: Array, bias: bool) -> list[Launch]:
    launches = []
    for p in input_passes(g):
        taps = tuple(
            slice(first, first + count * step, step)
            for first, count, step in zip(p.first_tap, p.taps, p.tap_step, strict=True)
        )
        launches += _windows_launch(g, p, grad, out, g.inputs, g.outputs, bias, (..., *taps))
    return launches


def _windows_launch(
    g: Geometry, p: Pass, source: Array, out: Array, rows: int, channels: int, bias: bool, taps: tuple
) -> list[Launch]:
    """The launch of `conv_windows` for a pass; none if there is nothing to compute."""
    panel, lanes = _PANELS[source.dtype], _LANES[source.dtype]
    read, written = (_strides(g, array) for array in (source, out))
    begin = sum(first * stride for first, stride in zip(p.first_out, written[2:], strict=True))
    written[2:] = [stride * step for stride, step in zip(written[2:], p.out_step, strict=True)]
    p, read[2:], written[2:] = merged(p, read[2:], written[2:])
    count = prod(p.positions)
    depthwise = _is_depthwise(g, p, rows, channels, read, written)
    crossing = count % lanes and count < _SMALL * panel and not depthwise
    together = g.batch if crossing else 1  # images whose positions share panels
    images = g.batch // max(together, 1)
    panels = -(-together * count // panel)
    items = panels * g.groups * images
    if not items or not rows:
        return []
    dense = written[4] == 1 and written[3] == p.positions[2] and written[2] == p.positions[1] * p.positions[2]
    sizes = [rows, channels, *p.taps, g.groups, images, together, *p.positions]
    sizes += [*p.step, *p.dilation, *p.offset, *p.sizes]
    for channel_count, strides in ((channels, read), (rows, written)):
        sizes += [strides[0], channel_count * strides[1], strides[1], strides[0], *strides[2:]]
    sizes += [begin, int(dense), int(bias), panels]
    if depthwise:
        return [_depthwise_launch(g, source.dtype, sizes, taps)]
    depth = channels * prod(p.taps)
    return [Launch(conv_windows[source.dtype], items, 1 + (rows + 8) * depth * panel // 5, sizes, taps)]


def _is_depthwise(g: Geometry, p: Pass, rows: int, channels: int, read: list[int], written: list[int]) -> bool:
    """Whether the kernels without a matrix product do it: one channel per group, lines that are vectors on both sides."""
    few = channels == 1 < g.groups and rows <= _FEW_ROWS and prod(p.taps) <= MOST_TAPS
    return few and p.step[2] == 1 == read[4] and written[4] == 1


def _depthwise_launch(g: Geometry, dtype: np.dtype, sizes: list[int], taps: tuple) -> Launch:
    """The launch of `conv_depthwise` for a pass, from the numbers for `conv_windows` with an image at a time."""
    blocks = -(-g.groups // _GROUPS)
    rows, count, tap_count = sizes[0], prod(sizes[7:11]), prod(sizes[2:5])
    work = 1 + min(_GROUPS, g.groups) * rows * count * (tap_count + 4) // 8
    return Launch(conv_depthwise[dtype], blocks * g.batch, work, [*sizes[:40], blocks, _GROUPS], taps)


def _depthwise_weight_launch(g: Geometry, dtype: np.dtype, sizes: list[int]) -> Launch:
    """The launch of `conv_depthwise_weight`, from the numbers for `conv_weight_windows`."""
    together = max(PARTIAL // max(g.outputs * prod(g.taps), 1), 1)
    blocks, images = -(-g.groups // together), max(-(-g.batch // _IMAGE_PARTS), 1)
    parts = -(-g.batch // images)
    work = 1 + together * g.outputs * images * prod(g.positions) * (prod(g.taps) + 4) // 8
    numbers = [*sizes[:40], blocks, together, parts, images]
    return Launch(conv_depthwise_weight[dtype], blocks * parts, work, numbers, parts=parts)


def _weight_plan(g: Geometry, x: Array, grad: Array, bias: bool) -> list[Launch]:
    read, written = _strides(g, x), _strides(g, grad)
    p, read[2:], written[2:] = merged(forward_pass(g), read[2:], written[2:])
    depth = g.inputs * prod(g.taps)
    blocks = -(-depth // WINDOW_ROWS)
    sizes = [g.outputs, g.inputs, *p.taps, g.groups, 1, g.batch, *p.positions]
    sizes += [*p.step, *p.dilation, *p.offset, *p.sizes]
    for channel_count, strides in ((g.inputs, read), (g.outputs, written)):
        sizes += [0, channel_count * strides[1], strides[1], strides[0], *strides[2:]]
    if g.batch and _is_depthwise(g, p, g.outputs, g.inputs, read, written):
        return [_depthwise_weight_launch(g, x.dtype, [*sizes, 0, 1, 0])]
    positions = g.batch * prod(p.positions)
    parts = min(-(-positions // _PART), _PARTS)
    length = -(-positions // (max(parts, 1) * STEPS)) * STEPS
    parts = -(-positions // max(length, 1))
    sizes += [0, 1, 0, blocks, parts, length]
    work = 1 + length * (g.outputs + 8) * min(depth, WINDOW_ROWS) // 5
    return [Launch(conv_weight_windows[x.dtype], blocks * g.groups * parts, work, sizes, parts=parts)]


def _strides(g: Geometry, array: Array) -> list[int]:
    """The strides in elements along images, channels, depth, height and width; 1 along a width of 1."""
    own = [stride // array.itemsize for stride in array.strides]
    strides = [*own[:2], *[0] * (3 - g.dimensions), *own[2:]]
    if array.shape[-1] <= 1:
        strides[4] = 1
    return strides
