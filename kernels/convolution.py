"""What convolutions mean on any device: which shapes fit together, and the passes over windows that compute them.

Everything is three-dimensional: fewer dimensions are sizes of 1 in front. A result and its two gradients are sums of
products over *windows*: at position p and tap t a window reads its source at p * step + t * dilation + offset, or zero
where that is outside. The forward pass and the gradient by the weight have windows of the input with the step and
dilation of the convolution. The gradient by the input reads windows of the gradient: an input element i is met by tap t
of output (i + padding - t * dilation) / stride, where that is whole; so the elements with the same remainder by the
stride are one pass, with a step of 1 and those taps that fit (Dumoulin and Visin 2016, section 4).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from math import gcd
from typing import Any

import numpy as np

Three = tuple[int, int, int]
Padding = int | Sequence[int | Sequence[int]]

_FAR = 1 << 62
_FLOATS = (np.dtype(np.float32), np.dtype(np.float64))


@dataclass(frozen=True)
class Geometry:
    """A convolution's numbers, those with a tuple for depth, height and width.

    batch: images. groups; inputs, outputs: channels of each. sizes: of the input. taps: of the weight. before: zeros in
    front of the input. positions: sizes of the output. dimensions: how many of the three the arrays have.
    """

    batch: int
    groups: int
    inputs: int
    outputs: int
    sizes: Three
    taps: Three
    stride: Three
    before: Three
    dilation: Three
    positions: Three
    dimensions: int

    @property
    def x_shape(self) -> tuple[int, ...]:
        return (self.batch, self.groups * self.inputs, *self.sizes[3 - self.dimensions :])

    @property
    def weight_shape(self) -> tuple[int, ...]:
        return (self.groups * self.outputs, self.inputs, *self.taps[3 - self.dimensions :])

    @property
    def out_shape(self) -> tuple[int, ...]:
        return (self.batch, self.groups * self.outputs, *self.positions[3 - self.dimensions :])


@dataclass(frozen=True)
class Pass:
    """Sums over windows: see the module's text for `step`, `dilation` and `offset`.

    positions: windows along each dimension; the result of window p is element p * out_step + first_out of the output.
    sizes: of the source. taps: of a window; they are tap t * tap_step + first_tap of the weight.
    """

    positions: Three
    taps: Three
    step: Three
    dilation: Three
    offset: Three
    sizes: Three
    first_tap: Three = (0, 0, 0)
    tap_step: Three = (1, 1, 1)
    first_out: Three = (0, 0, 0)
    out_step: Three = (1, 1, 1)


def forward_pass(g: Geometry) -> Pass:
    """The windows of the input, one for each element of the output."""
    return Pass(g.positions, g.taps, g.stride, g.dilation, tuple(-b for b in g.before), g.sizes)  # type: ignore[arg-type]


def input_passes(g: Geometry) -> list[Pass]:
    """The windows of the output's gradient, for input elements that have the same remainders by the strides."""
    found = []
    for remainders in product(*(range(min(s, n)) for s, n in zip(g.stride, g.sizes, strict=True))):
        columns = [_input_pass(g, d, remainder) for d, remainder in enumerate(remainders)]
        found.append(Pass(*zip(*columns, strict=True)))  # type: ignore[arg-type]
    return found


def _input_pass(g: Geometry, d: int, remainder: int) -> tuple[int, ...]:
    """The fields of a `Pass` along one dimension."""
    stride, dilation = g.stride[d], g.dilation[d]
    positions = -(-(g.sizes[d] - remainder) // stride)
    tap_step = stride // gcd(stride, dilation)
    fitting = [t for t in range(min(tap_step, g.taps[d])) if (remainder + g.before[d] - t * dilation) % stride == 0]
    if not fitting:
        return positions, 0, 1, 1, 0, g.positions[d], 0, 1, remainder, stride
    first = fitting[0]
    taps = -(-(g.taps[d] - first) // tap_step)
    offset = (remainder + g.before[d] - first * dilation) // stride
    step = -(tap_step * dilation // stride)
    return positions, taps, 1, step, offset, g.positions[d], first, tap_step, remainder, stride


def merged(p: Pass, read: Sequence[int], written: Sequence[int]) -> tuple[Pass, list[int], list[int]]:
    """The pass with neighbouring dimensions as one wherever windows and memory allow it, and the strides that go with it.

    read, written: strides of the source and of the output along depth, height and width. A kernel of one tap (1 x 1) on
    arrays without gaps walks a single line.
    """
    fields = ("positions", "taps", "step", "dilation", "offset", "sizes")
    numbers = [[getattr(p, name)[d] for name in fields] + [read[d], written[d]] for d in range(3)]
    kept = [numbers[2]]
    for outer in (numbers[1], numbers[0]):
        inner = kept[0]
        plain = all(n[1:3] == [1, 1] and n[4] == 0 and n[0] == n[5] for n in (outer, inner))
        if plain and (outer[0] == 1 or all(outer[s] == inner[s] * inner[0] for s in (6, 7))):
            kept[0] = [outer[0] * inner[0], *inner[1:5], outer[5] * inner[5], *inner[6:]]
        else:
            kept.insert(0, outer)
    kept = [[1, 1, 1, 1, 0, 1, 0, 0]] * (3 - len(kept)) + kept
    columns = list(zip(*kept, strict=True))
    if kept[2][0] == 1 == kept[2][5]:
        columns[6] = (*columns[6][:2], 1)
    # The stride of a dimension of one position does not matter; in front it is what makes the output dense, if it can be.
    for d in (1, 0):
        if columns[0][d] == 1:
            columns[7] = (*columns[7][:d], columns[7][d + 1] * columns[0][d + 1], *columns[7][d + 1 :])
    rest = (p.first_tap, p.tap_step, p.first_out, p.out_step)
    return Pass(*columns[:6], *rest), list(columns[6]), list(columns[7])  # type: ignore[arg-type, call-arg]


@lru_cache(maxsize=1 << 12, typed=True)
def _remembered(name: str, *arguments: Any) -> Geometry:
    return geometry(name, *arguments)


def remembered(name: str, *arguments: Any) -> Geometry:
    """`geometry`, worked out once for the same arguments."""
    try:
        return _remembered(name, *arguments)
    except TypeError:  # lists are not hashable; and wrong types are refused where they are looked at
        return geometry(name, *arguments)


# --- checks -----------------------------------------------------------------------------------------------------------


def geometry(
    name: str,
    x_shape: tuple[int, ...],
    weight_shape: tuple[int, ...],
    stride: int | Sequence[int] = 1,
    padding: Padding = 0,
    dilation: int | Sequence[int] = 1,
    groups: int = 1,
) -> Geometry:
    """The numbers of the convolution of an input (N, C, sizes) by a weight (outputs, C / groups, taps), checked.

    padding: for each dimension the zeros on both sides, or a pair of numbers (in front, behind); a negative number behind
        leaves the input's last elements unread, which the transposed convolution asks for.

    Raises:
        TypeError: something is no integer.
        ValueError: it cannot be: the message says why, beginning with `name`.
    """
    dimensions = len(weight_shape) - 2
    if dimensions not in (1, 2, 3) or len(x_shape) != len(weight_shape):
        raise ValueError(
            f"{name}: needs an input (N, C, sizes) and a weight (outputs, C / groups, taps) with 1 to 3 sizes each, got shapes "
            f"{x_shape} and {weight_shape}"
        )
    strides = _numbers(name, "stride", stride, dimensions, 1)
    dilations = _numbers(name, "dilation", dilation, dimensions, 1)
    pairs = _pairs(name, padding, dimensions)
    (groups,) = _numbers(name, "groups", groups, 1, 1)
    channels, outputs, inputs = x_shape[1], *weight_shape[:2]
    if outputs % groups:
        raise ValueError(f"{name}: groups={groups} does not divide the weight's {outputs} output channels (shape {weight_shape})")
    if channels != inputs * groups:
        raise ValueError(
            f"{name}: a weight of shape {weight_shape} with groups={groups} takes {inputs * groups} input channels, the input "
            f"of shape {x_shape} has {channels}"
        )
    sizes, taps = x_shape[2:], weight_shape[2:]
    if 0 in taps:
        raise ValueError(f"{name}: a weight needs at least one tap in every dimension, got shape {weight_shape}")
    padded = tuple(n + before + behind for n, (before, behind) in zip(sizes, pairs, strict=True))
    reach = tuple(d * (t - 1) + 1 for d, t in zip(dilations, taps, strict=True))
    if any(r > n for r, n in zip(reach, padded, strict=True)):
        raise ValueError(
            f"{name}: the weight reaches over {reach} elements (taps {taps}, dilation {dilations}), the padded input has only "
            f"{padded}"
        )
    positions = tuple((n - r) // s + 1 for n, r, s in zip(padded, reach, strides, strict=True))
    before = tuple(pair[0] for pair in pairs)
    return Geometry(
        x_shape[0], groups, inputs, outputs // groups, _three(sizes, 1), _three(taps, 1), _three(strides, 1),
        _three(before, 0), _three(dilations, 1), _three(positions, 1), dimensions,
    )  # fmt: skip


def check_arrays(name: str, given: dict[str, tuple[Any, tuple[int, ...]]]) -> None:
    """Raise unless arrays (with the shapes they must have) are of the same floating-point dtype; None stands for none."""
    arrays = {key: (array, shape) for key, (array, shape) in given.items() if array is not None}
    first = next(iter(arrays.values()))[0]
    for key, (array, shape) in arrays.items():
        if array.dtype not in _FLOATS:
            raise TypeError(f"{name}: computes in float32 and float64, the {key} is {array.dtype}; convert with astype")
        if array.dtype != first.dtype:
            raise TypeError(f"{name}: the {key} is {array.dtype}, {next(iter(arrays))} is {first.dtype}; convert one with astype")
        if tuple(array.shape) != shape:
            raise ValueError(f"{name}: the {key} must have shape {shape}, got {tuple(array.shape)}")


def _three(numbers: Sequence[int], missing: int) -> Three:
    return (*((missing,) * (3 - len(numbers))), *numbers)  # type: ignore[return-value]


def _integer(name: str, what: str, value: Any, least: int) -> int:
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise TypeError(f"{name}: {what} must be given in integers, got {value!r}")
    number = value.__index__()
    if number < least:
        raise ValueError(f"{name}: {what} must be at least {least}, got {number}")
    return number


def _numbers(name: str, what: str, value: Any, count: int, least: int) -> tuple[int, ...]:
    given = tuple(value) if isinstance(value, (tuple, list)) else (value,) * count
    if len(given) != count:
        raise ValueError(f"{name}: {what} must be one integer or {count}, one for each dimension, got {value!r}")
    return tuple(_integer(name, what, v, least) for v in given)


def _pairs(name: str, padding: Any, count: int) -> list[tuple[int, int]]:
    given = tuple(padding) if isinstance(padding, (tuple, list)) else (padding,) * count
    if len(given) != count:
        raise ValueError(f"{name}: padding must be one integer or {count}, one (or a pair) for each dimension, got {padding!r}")
    pairs = []
    for entry in given:
        pair = tuple(entry) if isinstance(entry, (tuple, list)) else (entry, entry)
        if len(pair) != 2:
            raise ValueError(f"{name}: the padding of a dimension is one integer or a pair (in front, behind), got {entry!r}")
        least = -_FAR if isinstance(entry, (tuple, list)) else 0
        pairs.append((_integer(name, "padding", pair[0], 0), _integer(name, "padding", pair[1], least)))
    return pairs
