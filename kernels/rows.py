"""An array seen as rows: (outer, length, inner), the middle dimension being the one an operation works along; device-neutral.

Softmax and normalisation treat each of the outer * inner rows by itself. Memory order is kept: a transposed array is
walked as it lies, and the result lies the same way. Rows that are contiguous (inner == 1) have loops of their own.
"""

from __future__ import annotations

import operator
from math import prod
from typing import Any, TypeVar

import numpy as np

from kernels.layout import layout_of, memory_order, merge_dimensions


class RowView:
    """Where the rows of an array of one layout lie, in elements: element j of row (o, i) at o*outer_stride + j*stride + i.

    `copy` says that the layout cannot be walked so, and holds for a C-ordered copy instead. Results have shape
    `permuted`, to be transposed by `back` (None where that changes nothing).
    """

    __slots__ = ("shape", "dtype", "outer", "length", "inner", "outer_stride", "stride", "copy", "permuted", "back")

    def __init__(self, shape: tuple[int, ...], strides: tuple[int, ...], dtype: np.dtype, axis: int, order: tuple) -> None:
        self.shape, self.dtype, self.copy = shape, dtype, False
        self.permuted = tuple([shape[a] for a in order])
        self.back = None if order == tuple(range(len(shape))) else tuple([int(a) for a in np.argsort(order)])
        at = order.index(axis)
        before, after = order[:at], order[at + 1 :]
        self.outer, self.inner = prod(shape[a] for a in before), prod(shape[a] for a in after)
        self.length = shape[axis]
        dense_outer, dense_inner = _single(shape, strides, before), _single(shape, strides, after)
        self.stride = strides[axis] if self.length > 1 else max(self.inner, 1)
        wanted = dense_inner == 1 if self.inner > 1 else self.stride == 1
        if dense_outer is None or not wanted:
            self.copy, self.stride, dense_outer = True, max(self.inner, 1), self.length * self.inner
        self.outer_stride = dense_outer

    def result(self, out: Any) -> Any:
        """An array of shape `permuted` with its axes in the order of the input's."""
        return out if self.back is None else out.transpose(self.back)


def _single(shape: tuple[int, ...], strides: tuple[int, ...], axes: tuple[int, ...]) -> int | None:
    """The one stride that walks all these dimensions, None where there is none; 0 for a single element."""
    sizes, (merged,) = merge_dimensions([shape[a] for a in axes], [[strides[a] for a in axes]])
    if len(sizes) > 1:
        return None
    return merged[0] if merged else 0


View = TypeVar("View", bound=RowView)


def rows_of(name: str, x: Any, axis: int, kind: type[View] = RowView) -> View:
    """The rows of x, an array of a supported type on any device, along `axis`; errors name the function."""
    try:
        number = operator.index(axis)
    except TypeError:
        raise TypeError(f"{name}: axis must be an integer, got {axis!r}") from None
    if not -x.ndim <= number < x.ndim:
        raise np.exceptions.AxisError(number, x.ndim, name)
    layout = layout_of(x)
    if not layout.aligned:
        view = kind(x.shape, (0,) * x.ndim, x.dtype, number % x.ndim, tuple(range(x.ndim)))
        view.copy = True
        view.outer_stride, view.stride = view.length * view.inner, max(view.inner, 1)
    else:
        order = memory_order([layout], x.shape)
        view = kind(x.shape, layout.strides, x.dtype, number % x.ndim, order)
    return view
