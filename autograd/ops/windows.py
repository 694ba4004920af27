"""Sliding windows: a view in which every window has an axis of its own; the adjoint adds up what windows share."""

from __future__ import annotations

from typing import Any

from autograd.ops.base import Operation, normalize_axis
from autograd.ops.creation import asarray
from autograd.ops.shape import moveaxis
from autograd.tensor import Tensor
from kernels import formulas


class Windows(Operation):
    """Windows along an axis: their number takes its place, and their elements are the axis behind it."""

    is_view = True
    takes_complex = "itself"
    explanation = "the sum of {g} over the windows that an element is in"

    def forward(self, x, axis, size, step):
        self.before, self.axis, self.window_size, self.step = x.shape, axis, size, step
        return self.backend.windows(x, axis, size, step)

    def backward(self, grad):
        return AddWindows.apply(grad, shape=self.before, axis=self.axis, step=self.step)


class AddWindows(Operation):
    """The adjoint of windows: zeros of the given shape, with every window added at its place."""

    fresh = True
    takes_complex = "pairs"
    explanation = "the windows of {g}"

    @classmethod
    def options_on_pairs(cls, options):
        return options | {"shape": (*options["shape"], 2)}

    def forward(self, x, shape, axis, step):
        self.axis, self.window_size, self.step = axis, x.shape[axis + 1], step
        backend, size = self.backend, self.window_size
        out = backend.fill(backend.empty(shape, x.dtype), 0)
        before = (slice(None),) * axis
        # Parts of the windows that are no longer than the step do not overlap: as many launches as windows overlap.
        for start in range(0, size, step):
            part = x[(*before, slice(None), slice(start, start + step))]
            place = backend.windows(out[(*before, slice(start, None))], axis, part.shape[axis + 1], step)
            place = place[(*before, slice(0, x.shape[axis]))]
            backend.apply(formulas.add, place, part, out=place)
        return out

    def backward(self, grad):
        return Windows.apply(grad, axis=self.axis, size=self.window_size, step=self.step)


def unfold(x: Tensor, /, axis: int, size: int, step: int = 1) -> Tensor:
    """All windows of `size` elements along an axis that begin `step` elements apart: a view, as torch.Tensor.unfold.

    Special cases:
        an element that several windows share gets the sum of their gradients.

    Args:
        size: of a window, at most the axis's; elements at the end that fill no window are left out.
        step: from the beginning of one window to that of the next, at least 1.

    Returns:
        the windows as a new last axis, and their number (n - size) // step + 1 in the place of `axis`. Read-only where
        windows overlap, since one change would be seen in several places.

    Raises:
        ValueError: the windows are larger than the axis, or the step is less than 1.

    >>> import autograd as ag
    >>> ag.unfold(ag.arange(5), 0, 3).tolist()
    [[0, 1, 2], [1, 2, 3], [2, 3, 4]]
    >>> ag.unfold(ag.arange(5), 0, 2, 2).tolist()
    [[0, 1], [2, 3]]
    """
    x = asarray(x)
    place = normalize_axis(axis, x.ndim, "unfold")
    length, distance = _integer(size, "size"), _integer(step, "step")
    if not 0 <= length <= x.shape[place]:
        raise ValueError(f"unfold: windows of {length} elements do not fit axis {axis} of a tensor of shape {x.shape}")
    if distance < 1:
        raise ValueError(f"unfold: the step from window to window must be at least 1, got {distance}")
    return moveaxis(Windows.apply(x, axis=place, size=length, step=distance), place + 1, -1)


def _integer(value: Any, what: str) -> int:
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise TypeError(f"unfold: the {what} must be an integer, got {value!r}")
    return value.__index__()
