"""Layers that change the shape alone."""

from __future__ import annotations

import autograd as ag
from nn.module import Module


class Flatten(Module):
    """Make one axis of the axes from start_dim to end_dim: by default all but the first, (N, ...) -> (N, features).

    >>> import autograd as ag, nn
    >>> nn.Flatten()(ag.zeros((2, 3, 4))).shape
    (2, 12)
    """

    def __init__(self, start_dim: int = 1, end_dim: int = -1) -> None:
        super().__init__()
        self.start_dim, self.end_dim = start_dim, end_dim

    def forward(self, x: ag.Tensor) -> ag.Tensor:
        return x.flatten(self.start_dim, self.end_dim)

    def extra_repr(self) -> str:
        return f"start_dim={self.start_dim}, end_dim={self.end_dim}"


class Unflatten(Module):
    """Make several axes of one, the reverse of Flatten; one of the sizes may be -1.

    >>> import autograd as ag, nn
    >>> nn.Unflatten(1, (3, 4))(ag.zeros((2, 12))).shape
    (2, 3, 4)
    """

    def __init__(self, axis: int, unflattened_size: tuple[int, ...]) -> None:
        super().__init__()
        self.axis, self.unflattened_size = axis, tuple(unflattened_size)

    def forward(self, x: ag.Tensor) -> ag.Tensor:
        if not -x.ndim <= self.axis < x.ndim:
            raise IndexError(f"Unflatten: axis {self.axis} is out of range for a tensor of shape {x.shape}")
        axis = self.axis % x.ndim
        return x.reshape((*x.shape[:axis], *self.unflattened_size, *x.shape[axis + 1 :]))

    def extra_repr(self) -> str:
        return f"axis={self.axis}, unflattened_size={self.unflattened_size}"
