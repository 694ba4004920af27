"""Where an array's elements lie, and how several arrays are walked together: device-neutral.

A `Layout` is (shape, strides, dtype, device), strides in elements. Layouts are interned: equal ones are the same object,
so that "have these operands come this way before?" is one dictionary look-up by identity. From the layouts of an
elementwise operation the functions here (see `kernels.walk`) make the shortest loop nest: sizes broadcast, dimensions that
can be merged merged, the innermost one unit-stride wherever the data has one.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

_LIMIT = 1 << 14  # interned layouts kept; a program with endless new shapes must not fill the memory
_interned: dict[tuple, Layout] = {}


class Layout:
    """An interned (shape, strides in elements, dtype, device); compare by identity.

    `contiguous`: the elements fill a block of memory without gaps in C order. `aligned` is False where a stride is no
    multiple of the element size (a field of a structured array): such an array must be copied before a kernel sees it.
    """

    __slots__ = ("aligned", "contiguous", "device", "dtype", "ndim", "shape", "size", "strides")

    def __init__(self, shape: tuple[int, ...], byte_strides: tuple[int, ...], dtype: np.dtype, device: str) -> None:
        self.shape, self.dtype, self.device, self.ndim, self.size = shape, dtype, device, len(shape), prod(shape)
        item = dtype.itemsize
        self.aligned = not any(s % item for s in byte_strides)
        self.strides = tuple(s // item for s in byte_strides)
        self.contiguous = self.aligned and is_contiguous(shape, self.strides)

    def __repr__(self) -> str:
        return f"Layout({self.shape}, {self.strides}, {self.dtype}, {self.device})"


def layout_of(array: Any) -> Layout:
    """The layout of anything with shape, strides (in bytes), dtype and device."""
    key = (array.shape, array.strides, array.dtype, array.device)
    found = _interned.get(key)
    return found if found is not None else _intern(key)


def dense_layout(
    shape: tuple[int, ...], dtype: np.dtype, order: Sequence[int] | None = None, device: str = "cpu"
) -> Layout:
    """The layout of a freshly made array without gaps whose memory runs along the axes `order`, slowest first.

    >>> dense_layout((2, 3), np.dtype("f4")).strides, dense_layout((2, 3), np.dtype("f4"), (1, 0)).strides
    ((3, 1), (1, 2))
    """
    strides, step = [0] * len(shape), dtype.itemsize
    for axis in reversed(order if order is not None else range(len(shape))):
        strides[axis] = step
        step *= max(shape[axis], 1)
    key = (tuple(shape), tuple(strides), dtype, device)
    found = _interned.get(key)
    return found if found is not None else _intern(key)


def _intern(key: tuple) -> Layout:
    if len(_interned) >= _LIMIT:
        _interned.clear()
    return _interned.setdefault(key, Layout(*key))


def is_contiguous(shape: Sequence[int], strides: Sequence[int]) -> bool:
    """Whether strides (in elements) are those of C order; a dimension of size 1 may have any."""
    expected = 1
    if 0 in shape:
        return True
    for size, stride in zip(reversed(shape), reversed(strides), strict=True):
        if size != 1:
            if stride != expected:
                return False
            expected *= size
    return True


def covers(layout: Layout) -> bool:
    """Whether the elements fill a block of memory without gaps, the axes running in any order, upwards.

    >>> covers(dense_layout((2, 3), np.dtype("f4"), (1, 0)))
    True
    """
    if layout.contiguous or not layout.aligned:
        return layout.contiguous
    order = sorted(range(layout.ndim), key=lambda axis: (-layout.strides[axis], -layout.shape[axis]))
    return is_contiguous([layout.shape[a] for a in order], [layout.strides[a] for a in order])


def broadcast_shapes(name: str, *shapes: tuple[int, ...]) -> tuple[int, ...]:
    """The common shape of operands, sizes of 1 stretched; a ValueError names the operation and every shape."""
    rank = max(map(len, shapes))
    result = []
    for axis in range(-rank, 0):
        sizes = {shape[axis] for shape in shapes if len(shape) >= -axis} - {1}
        if len(sizes) > 1:
            listed = " and ".join(map(str, shapes))
            raise ValueError(
                f"{name}: shapes {listed} do not broadcast: sizes {' and '.join(map(str, sorted(sizes)))} at axis "
                f"{axis} differ and neither is 1"
            )
        result.append(sizes.pop() if sizes else 1)
    return tuple(result)


def broadcast_strides(layout: Any, shape: tuple[int, ...]) -> tuple[int, ...]:
    """The strides of a layout, or of an array, in the broadcast `shape`: 0 where it is stretched."""
    missing = len(shape) - layout.ndim
    own = tuple(
        0 if size == 1 and full != 1 else stride
        for size, stride, full in zip(layout.shape, layout.strides, shape[missing:], strict=True)
    )
    return (0,) * missing + own


def merge_dimensions(
    shape: Sequence[int], strides: Sequence[Sequence[int]]
) -> tuple[tuple[int, ...], tuple[tuple[int, ...], ...]]:
    """Drop dimensions of size 1 and merge neighbours that every operand walks in one step.

    >>> merge_dimensions((4, 5, 6), [(30, 6, 1), (0, 6, 1)])
    ((4, 30), ((30, 1), (0, 1)))
    """
    sizes: list[int] = []
    walked: list[list[int]] = [[] for _ in strides]
    for axis, size in enumerate(shape):
        if size == 1:
            continue
        if sizes and all(w[-1] == s[axis] * size for w, s in zip(walked, strides, strict=True)):
            sizes[-1] *= size
            for w, s in zip(walked, strides, strict=True):
                w[-1] = s[axis]
        else:
            sizes.append(size)
            for w, s in zip(walked, strides, strict=True):
                w.append(s[axis])
    return tuple(sizes), tuple(map(tuple, walked))


def memory_order(layouts: Sequence[Layout], shape: tuple[int, ...]) -> tuple[int, ...]:
    """The axes of the result, slowest first, such that its memory runs as the operands' memory does.

    The order of the first operand that has the full shape and is not in C order already decides, if its elements are
    dense; otherwise C order. So the result of working on transposed operands is transposed too, and no loop jumps.
    """
    full = [layout for layout in layouts if layout.shape == shape]
    if not full or any(layout.contiguous for layout in full) or 0 in shape:
        return tuple(range(len(shape)))
    strides = full[0].strides
    order = tuple(sorted(range(len(shape)), key=lambda axis: (-abs(strides[axis]), axis)))
    permuted = [shape[a] for a in order]
    if any(s < 0 for s in strides) or not is_contiguous(permuted, [strides[a] for a in order]):
        return tuple(range(len(shape)))
    return order

