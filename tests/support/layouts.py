"""The same elements in memory that runs differently: what a kernel may be handed."""

from __future__ import annotations

import numpy as np

import autograd as ag
from autograd.tensor import Tensor


def permuted(values: np.ndarray) -> np.ndarray:
    """Memory in which the last axis runs slowest: a view by a 3-cycle of axes, which is not its own inverse."""
    if values.ndim < 2:
        return strided(values)
    order = (values.ndim - 1, *range(values.ndim - 1))
    return np.ascontiguousarray(values.transpose(order)).transpose(np.argsort(order))


def strided(values: np.ndarray) -> np.ndarray:
    """Every second element of a larger array, whose other elements must not be read."""
    room = np.full([2 * size for size in values.shape], 113, values.dtype)
    view = room[(slice(None, None, 2),) * values.ndim] if values.ndim else room
    view[...] = values
    return view


def negative(values: np.ndarray) -> np.ndarray:
    """Memory that runs backwards."""
    backwards = (slice(None, None, -1),) * values.ndim if values.ndim else ...
    return values[backwards].copy()[backwards]


def offset(values: np.ndarray) -> np.ndarray:
    """Dense, but beginning in the middle of an array, off any alignment to more than an element."""
    room = np.full(values.size + 1, 113, values.dtype)
    room[1:] = values.ravel()
    return room[1:].reshape(values.shape)


LAYOUTS = {"permuted": permuted, "strided": strided, "negative": negative, "offset": offset}


def stretched(values: np.ndarray) -> Tensor:
    """A tensor whose first axis is one row, read again and again: strides of 0."""
    row = ag.tensor(values[:1] if values.ndim else values)
    return ag.broadcast_to(row, values.shape)


def tensor_in(values: np.ndarray, layout: str) -> tuple[Tensor, np.ndarray]:
    """A leaf with the values in a layout, and the values it has (other ones where the layout repeats a row)."""
    if layout == "stretched" and values.ndim and values.shape[0]:
        return stretched(values), np.broadcast_to(values[:1], values.shape).copy()
    if layout in LAYOUTS:
        return Tensor(LAYOUTS[layout](values)), values
    return ag.tensor(values), values
