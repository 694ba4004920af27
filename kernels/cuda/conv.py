"""Convolution on the GPU, and its gradients: implicit matrix products that read windows in place, through any strides."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from math import prod
from typing import Any

import numpy as np

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
from kernels.cuda import data
from kernels.cuda.array import DeviceArray, empty, from_interface
from kernels.cuda.compiler import Kernel
from kernels.cuda.conv_kernels import conv_tile
from kernels.cuda.reduce import sum as sum_parts

Sizes = int | Sequence[int]

_STEPS = 16  # of the depth, in a tile
_BUSY = 128  # blocks of large tiles from which on a device is busy with them
_PART, _PARTS = 4096, 256  # steps of the depth that a block sums one after the other, and parts of so many at most
_FAR = 1 << 30  # coordinates are 32-bit numbers


def conv(
    x: Any,
    weight: Any,
    bias: Any = None,
    stride: Sizes = 1,
    padding: Padding = 0,
    dilation: Sizes = 1,
    groups: int = 1,
) -> DeviceArray:
    """The convolution of images x (N, C, sizes) by a weight (outputs, C / groups, taps): see `kernels.cpu.conv.conv`."""
    x, weight, bias = _arrays("conv", x, weight, bias)
    g = remembered("conv", x.shape, weight.shape, stride, padding, dilation, groups)
    check_arrays("conv", {"input": (x, g.x_shape), "weight": (weight, g.weight_shape), "bias": (bias, g.out_shape[1:2])})
    out = empty(g.out_shape, x.dtype, x.device)
    own = _strides(g, weight)
    _windows(g, forward_pass(g), weight, own[0], own[1], g.outputs, g.inputs, x, out, bias)
    return out


def conv_input_gradient(
    grad: Any,
    weight: Any,
    shape: Sequence[int],
    bias: Any = None,
    stride: Sizes = 1,
    padding: Padding = 0,
    dilation: Sizes = 1,
    groups: int = 1,
) -> DeviceArray:
    """The gradient of `conv` by its input, which has this shape: see `kernels.cpu.conv.conv_input_gradient`."""
    name = "conv_input_gradient"
    grad, weight, bias = _arrays(name, grad, weight, bias)
    g = remembered(name, tuple(shape), weight.shape, stride, padding, dilation, groups)
    check_arrays(name, {"gradient": (grad, g.out_shape), "weight": (weight, g.weight_shape), "bias": (bias, g.x_shape[1:2])})
    out = empty(g.x_shape, grad.dtype, grad.device)
    own = _strides(g, weight)
    for p in input_passes(g):
        _windows(g, p, weight, own[1], own[0], g.inputs, g.outputs, grad, out, bias)
    return out


def _windows(
    g: Geometry, p: Pass, weight: DeviceArray, row: int, channel: int, rows: int, channels: int,
    source: DeviceArray, out: DeviceArray, bias: DeviceArray | None,
) -> None:  # fmt: skip
    """One pass: weights times windows. row, channel: strides of the weight from result to result, from source to source."""
    tap_strides, read, written = (_strides(g, array) for array in (weight, source, out))
    first_tap = sum(t * s for t, s in zip(p.first_tap, tap_strides[2:], strict=True))
    taps = [t * s for t, s in zip(p.tap_step, tap_strides[2:], strict=True)]
    begin = sum(t * s for t, s in zip(p.first_out, written[2:], strict=True))
    to = [t * s for t, s in zip(p.out_step, written[2:], strict=True)]
    p, lines, to = merged(p, read[2:], to)
    columns, depth = g.batch * prod(p.positions), channels * prod(p.taps)
    tile, tiles = _tiles(rows, columns, g.groups)
    if not tiles:
        return
    _check_sizes(p, columns, depth)
    weight_group = g.outputs * tap_strides[0]
    numbers = (
        g.groups, rows, columns, depth, first_tap, weight_group, row, channels * read[1], begin, rows * written[1], written[1],
        *p.sizes, *lines, *p.positions, read[0], *p.step, *p.offset, written[0], *to,
        *p.taps, read[1], *p.dilation, channel, *taps,
    )  # fmt: skip
    kernel = _kernel(source.dtype, tile, False, bias is not None)
    kernel((tiles, 1), weight, source, bias, out, *numbers, max(depth, 1), 0)


def conv_weight_gradient(
    grad: Any,
    x: Any,
    shape: Sequence[int],
    stride: Sizes = 1,
    padding: Padding = 0,
    dilation: Sizes = 1,
    groups: int = 1,
) -> DeviceArray:
    """The gradient of `conv` by its weight, which has this shape: see `kernels.cpu.conv.conv_weight_gradient`."""
    name = "conv_weight_gradient"
    grad, x, _ = _arrays(name, grad, x, None)
    g = remembered(name, x.shape, tuple(shape), stride, padding, dilation, groups)
    check_arrays(name, {"gradient": (grad, g.out_shape), "input": (x, g.x_shape)})
    p = forward_pass(g)
    own, read = _strides(g, grad), _strides(g, x)
    columns, depth = g.inputs * prod(g.taps), g.batch * prod(g.positions)
    tile, tiles = _tiles(g.outputs, columns, g.groups)
    parts = min(max(-(-depth // _PART), 1), _PARTS)
    chunk = max(-(-depth // (parts * _STEPS)) * _STEPS, 1)
    out = empty((parts, *g.weight_shape), x.dtype, x.device)
    if tiles:
        _check_sizes(p, columns, depth)
        numbers = (
            g.groups, g.outputs, columns, depth, 0, g.outputs * own[1], own[1], g.inputs * read[1], 0,
            g.outputs * columns, columns, *p.sizes, *read[2:],
            *p.taps, read[1], *p.dilation, *p.offset, prod(p.taps), p.taps[1] * p.taps[2], p.taps[2], 1,
            *p.positions, read[0], *p.step, own[0], *own[2:],
        )  # fmt: skip
        kernel = _kernel(x.dtype, tile, True, False)
        kernel((tiles, parts), grad, x, None, out, *numbers, chunk, prod(g.weight_shape))
    return out[0] if parts == 1 else sum_parts(out, axis=0)


def _arrays(name: str, first: Any, second: Any, bias: Any) -> tuple[DeviceArray, DeviceArray, DeviceArray | None]:
    """The operands as aligned device arrays on one device; the bias in one piece."""
    found = []
    for operand in (first, second, bias):
        if operand is not None and not isinstance(operand, DeviceArray):
            if not hasattr(operand, "__cuda_array_interface__"):
                raise TypeError(
                    f"{name}: operands are arrays on the device, got {type(operand).__name__}; bring arrays there with "
                    "kernels.cuda.from_numpy"
                )
            operand = from_interface(operand)
        if operand is not None and (not operand.flags.aligned or (operand is bias and not operand.flags.c_contiguous)):
            operand = data.copy(operand)
        found.append(operand)
    devices = {operand.device for operand in found if operand is not None}
    if len(devices) > 1:
        raise RuntimeError(f"{name}: operands are on {' and '.join(sorted(devices))}; bring them to one device")
    return found[0], found[1], found[2]


def _check_sizes(p: Pass, columns: int, depth: int) -> None:
    if max(*p.sizes, *p.positions, *(abs(n) for n in (*p.offset, *p.step, *p.dilation))) >= _FAR >> 1 or depth >= 1 << 32:
        raise ValueError(f"conv: sizes {p.sizes} (padded), or sums of {depth} products, are more than 2**29 and 2**32")
    if columns >= 1 << 36:
        raise ValueError(f"conv: {columns} positions are too many for one launch")


def _strides(g: Geometry, array: DeviceArray) -> list[int]:
    """The strides in elements of the two dimensions in front, and along depth, height and width."""
    own = [stride // array.itemsize for stride in array.strides]
    return [*own[:2], *[0] * (3 - g.dimensions), *own[2:]]


def _tiles(rows: int, columns: int, groups: int) -> tuple[int, int]:
    """The side of the tiles, and their number: large ones share more of what they load, small ones waste less."""
    large = -(-rows // 64) * -(-columns // 64) * groups
    if min(rows, columns) > 32 and large >= _BUSY:
        return 64, large
    return 32, -(-rows // 32) * -(-columns // 32) * groups


@cache
def _kernel(dtype: np.dtype, tile: int, along: bool, bias: bool) -> Kernel:
    pitch, threads = tile + 4, (tile // 4) ** 2  # lines of shared memory begin in different banks
    constants = {"TILE": tile, "TILE_K": _STEPS, "ALONG": int(along), "BIAS": int(bias), "VECTOR": 16 // dtype.itemsize}
    derived = {
        "PITCH": pitch, "AREA": _STEPS * pitch, "LOADS": tile * _STEPS // threads, "FAR": _FAR,
        "TILE_PLACES": 3 * tile, "DEPTH_PLACES": 3 * _STEPS,
    }  # fmt: skip
    return conv_tile.built({"T": dtype.name}, threads, constants, derived=derived)


_VARIANTS = [
    (np.float32, 64, False, True), (np.float32, 64, True, False), (np.float32, 32, False, False),
    (np.float32, 32, True, False), (np.float64, 64, False, False), (np.float64, 32, True, False),
]  # fmt: skip
VARIANTS: list[Callable[[], Kernel]] = [
    lambda dtype=dtype, tile=tile, along=along, bias=bias: _kernel(np.dtype(dtype), tile, along, bias)
    for dtype, tile, along, bias in _VARIANTS
]
PROMISES: dict[str, tuple[str, ...]] = {"conv_tile[float32*": ("LDS.128", "FFMA"), "conv_tile[float64*": ("LDS.128", "DFMA")}
