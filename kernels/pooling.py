"""What pooling means on any device: which windows there are, and which elements each of them reads.

Everything is three-dimensional: fewer dimensions are sizes of 1 in front. A window at position p begins at p * stride -
before and has `taps` elements, `dilation` apart; what lies outside the input is passed over. An adaptive window, of which
`taps` is 0, is p of `positions` equal shares of the axis, both ends rounded outwards: from p * size // positions to
ceil((p + 1) * size / positions).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

Three = tuple[int, int, int]
FLOATS = (np.dtype(np.float32), np.dtype(np.float64))


@dataclass(frozen=True)
class Windows:
    """The windows of an array (..., sizes): as many planes as the leading axes have elements.

    The numbers with three entries are for depth, height and width; `numbers` is all of them, as kernels take them.
    """

    x_shape: tuple[int, ...]
    out_shape: tuple[int, ...]
    planes: int
    sizes: Three
    positions: Three
    taps: Three
    stride: Three
    before: Three
    dilation: Three

    @property
    def numbers(self) -> tuple[int, ...]:
        return (*self.positions, *self.sizes, *self.taps, *self.stride, *self.before, *self.dilation)


def windows(
    name: str,
    x_shape: tuple[int, ...],
    kernel_size: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    ceil_mode: bool = False,
) -> Windows:
    """The windows over the last axes of an array, one number for each of these axes; checked.

    ceil_mode: windows may reach over the end, as long as they begin inside the input or in front of it.

    Raises:
        ValueError: it cannot be: the message says why, beginning with `name`.
    """
    return _windows(name, tuple(x_shape), *map(tuple, (kernel_size, stride, padding, dilation)), bool(ceil_mode))  # type: ignore[arg-type]


@lru_cache(maxsize=1 << 10)
def _windows(
    name: str, x_shape: tuple[int, ...], taps: tuple[int, ...], stride: tuple[int, ...], padding: tuple[int, ...],
    dilation: tuple[int, ...], ceil_mode: bool,
) -> Windows:  # fmt: skip
    sizes = _sizes(name, x_shape, len(taps))
    positions = []
    for n, k, s, p, d in zip(sizes, taps, stride, padding, dilation, strict=True):
        if min(k, s, d) < 1 or p < 0:
            raise ValueError(
                f"{name}: kernel_size, stride and dilation must be at least 1 and padding at least 0, got kernel_size={taps}, "
                f"stride={stride}, dilation={dilation}, padding={padding}"
            )
        reach = d * (k - 1) + 1
        if p > reach // 2:
            raise ValueError(f"{name}: padding {padding} must be at most half of what a window reaches over, {reach} elements")
        count = (n + 2 * p - reach + (s - 1 if ceil_mode else 0)) // s + 1
        if ceil_mode and (count - 1) * s >= n + p:
            count -= 1
        if count < 1:
            raise ValueError(
                f"{name}: a window reaches over {reach} elements, an input of shape {x_shape} with padding {padding} has less"
            )
        if d > 1 and p and not all(any(0 <= i * s - p + t * d < n for t in range(k)) for i in range(count)):
            raise ValueError(
                f"{name}: with dilation {dilation} and padding {padding} there is a window without an element of the input"
            )
        positions.append(count)
    return _made(x_shape, sizes, tuple(positions), taps, stride, padding, dilation)


@lru_cache(maxsize=1 << 10)
def adaptive_windows(name: str, x_shape: tuple[int, ...], output_size: tuple[int | None, ...]) -> Windows:
    """As many windows along each of the last axes as `output_size` says; None keeps the size.

    Raises:
        ValueError: the input has too few axes or none of a size, or a wanted size is below 1.
    """
    sizes = _sizes(name, x_shape, len(output_size))
    wanted = tuple(n if w is None else w for n, w in zip(sizes, output_size, strict=True))
    if min(wanted) < 1:
        raise ValueError(f"{name}: sizes of the result must be at least 1, got {output_size}")
    taps, stride = [], []
    for n, w in zip(sizes, wanted, strict=True):  # equal shares are ordinary windows
        taps.append(0 if n % w else n // w)
        stride.append(1 if n % w else n // w)
    ones = (1,) * len(wanted)
    return _made(x_shape, sizes, wanted, tuple(taps), tuple(stride), (0,) * len(wanted), ones)


def check(name: str, what: str, array: Any, shape: tuple[int, ...]) -> None:
    """Raise unless an array has floats and this shape."""
    if array.dtype not in FLOATS:
        raise TypeError(f"{name}: computes in float32 and float64, {what} is {array.dtype}; convert with astype")
    if tuple(array.shape) != shape:
        raise ValueError(f"{name}: {what} must have shape {shape}, got {tuple(array.shape)}")


def check_places(name: str, places: Any, g: Any) -> None:
    """Raise unless the places are as `max_pool` gave them."""
    if places.dtype != np.int64 or tuple(places.shape) != tuple(g.shape):
        raise ValueError(
            f"{name}: the places must be int64 of shape {tuple(g.shape)}, as max_pool gave them, got {places.dtype} "
            f"{tuple(places.shape)}"
        )


def _sizes(name: str, x_shape: tuple[int, ...], dimensions: int) -> tuple[int, ...]:
    if not 1 <= dimensions <= 3 or len(x_shape) < dimensions:
        raise ValueError(f"{name}: needs windows of 1 to 3 dimensions and an input of at least as many, got shape {x_shape}")
    sizes = x_shape[len(x_shape) - dimensions :]
    if 0 in sizes:
        raise ValueError(f"{name}: an input of shape {x_shape} has no elements along an axis that is pooled")
    return sizes


def _made(
    x_shape: tuple[int, ...], sizes: tuple[int, ...], positions: tuple[int, ...], taps: tuple[int, ...],
    stride: tuple[int, ...], before: tuple[int, ...], dilation: tuple[int, ...],
) -> Windows:  # fmt: skip
    leading = x_shape[: len(x_shape) - len(sizes)]
    planes = 1
    for n in leading:
        planes *= n

    def three(numbers: tuple[int, ...], missing: int) -> Three:
        return (*((missing,) * (3 - len(numbers))), *numbers)  # type: ignore[return-value]

    return Windows(
        x_shape, (*leading, *positions), planes, three(sizes, 1), three(positions, 1), three(taps, 1), three(stride, 1),
        three(before, 0), three(dilation, 1),
    )  # fmt: skip
