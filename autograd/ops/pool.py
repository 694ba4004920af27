"""Pooling. The mean of windows is linear; the largest element is as linear, once it is known where it stands."""

from __future__ import annotations

import math

from autograd.ops.base import Operation
from autograd.ops.shape import reshape
from autograd.tensor import Tensor, wrap
from kernels import backend_for
from kernels.pooling import Windows


class MaxPool(Operation):
    """The largest element of each window, which was found before."""

    fresh = True
    explanation = "{g} added where the largest element of each window stood"

    def forward(self, x, values, places, windows):
        self.places, self.windows = places, windows
        return values

    def backward(self, grad):
        return MaxPoolGradient.apply(grad, places=self.places, windows=self.windows)


class MaxPoolGradient(Operation):
    """Zeros, with the elements added where the windows' largest elements stood."""

    fresh = True
    explanation = "the elements of {g} where the largest ones stood"

    def forward(self, grad, places, windows):
        self.places, self.windows = places, windows
        return self.backend.max_pool_backward(grad, places, windows)

    def backward(self, grad):
        from autograd.ops.selection import take_along_axis

        windows = self.windows
        planes = reshape(grad, (windows.planes, math.prod(windows.sizes)))
        places = reshape(wrap(self.places), (windows.planes, math.prod(windows.positions)))
        return reshape(take_along_axis(planes, places), windows.out_shape)


class AvgPool(Operation):
    fresh = True
    explanation = "the shares of {g} added up over the windows that an element is in"

    def forward(self, x, windows, divisor, count_padding):
        self.options = {"windows": windows, "divisor": divisor, "count_padding": count_padding}
        return self.backend.avg_pool(x, **self.options)

    def backward(self, grad):
        return AvgPoolGradient.apply(grad, **self.options)


class AvgPoolGradient(Operation):
    """The adjoint of the mean of windows: every element of a window gets its share."""

    fresh = True
    explanation = "the means of {g} over the windows"

    def forward(self, grad, windows, divisor, count_padding):
        self.options = {"windows": windows, "divisor": divisor, "count_padding": count_padding}
        return self.backend.avg_pool_backward(grad, **self.options)

    def backward(self, grad):
        return AvgPool.apply(grad, **self.options)


# --- functions --------------------------------------------------------------------------------------------------------


def max_pool(name: str, x: Tensor, windows: Windows) -> tuple[Tensor, Tensor]:
    """The largest element of each window, and where in its plane it stands (int64); `name` begins error messages."""
    _check(name, x)
    values, places = backend_for(x.device).max_pool(x._data, windows)
    if x._edge is None:
        return wrap(values), wrap(places)
    return MaxPool.apply(x, values=values, places=places, windows=windows), wrap(places)


def avg_pool(name: str, x: Tensor, windows: Windows, divisor: int = 0, count_padding: bool = True) -> Tensor:
    """The mean of each window; see `kernels.cpu.pool.avg_pool`."""
    _check(name, x)
    return AvgPool.apply(x, windows=windows, divisor=divisor, count_padding=count_padding)


def _check(name: str, x: Tensor) -> None:
    if x.dtype.kind != "f":
        raise TypeError(f"{name}: needs floats, got shape {x.shape}, {x.dtype}; convert with .astype(autograd.float32)")
