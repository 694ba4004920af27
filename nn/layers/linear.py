"""Fully connected layers."""

from __future__ import annotations

import math
from typing import Any

import autograd as ag
from nn import functional, init
from nn.module import Module
from nn.parameter import Parameter


class Identity(Module):
    """Gives back what it gets; takes and ignores any arguments, so that it can stand in for any layer."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__()

    def forward(self, x: Any) -> Any:
        return x


class Linear(Module):
    """x @ weight.T + bias: (..., in_features) -> (..., out_features).

    The parameters start uniform in +-1 / sqrt(in_features), as PyTorch's do: `weight` (out_features, in_features) and
    `bias` (out_features,), which is None with `bias=False`.

    Raises:
        ValueError: a number of features is negative, or the input's last size is not in_features.

    >>> import autograd as ag, nn
    >>> layer = nn.Linear(4, 2)
    >>> layer(ag.ones((3, 4))).shape
    (3, 2)
    >>> layer
    Linear(in_features=4, out_features=2, bias=True)
    """

    def __init__(
        self, in_features: int, out_features: int, bias: bool = True, *, dtype: Any = None, device: str = "cpu"
    ) -> None:
        super().__init__()
        for name, size in (("in_features", in_features), ("out_features", out_features)):
            if isinstance(size, bool) or not hasattr(size, "__index__"):
                raise TypeError(f"Linear: {name} must be an integer, got {size!r}")
            if size < 0:
                raise ValueError(f"Linear: {name} must not be negative, got {size}")
        self.in_features, self.out_features = in_features, out_features
        self.weight = Parameter(ag.empty((out_features, in_features), dtype=dtype, device=device))
        self.bias = Parameter(ag.empty((out_features,), dtype=dtype, device=device)) if bias else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the parameters anew."""
        init.kaiming_uniform_(self.weight, a=math.sqrt(5))  # that is +-1 / sqrt(in_features)
        if self.bias is not None:
            bound = 1 / math.sqrt(self.in_features) if self.in_features else 0.0
            init.uniform_(self.bias, -bound, bound)

    def forward(self, x: ag.Tensor) -> ag.Tensor:
        return functional.linear(x, self.weight, self.bias)

    def extra_repr(self) -> str:
        return f"in_features={self.in_features}, out_features={self.out_features}, bias={self.bias is not None}"
