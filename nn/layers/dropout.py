"""Dropout."""

from __future__ import annotations

import autograd as ag
from nn import functional
from nn.module import Module


class Dropout(Module):
    """While training, each element is zeroed with probability p and the others scaled by 1 / (1 - p); else x itself.

    The random numbers come from the library's generator: `autograd.manual_seed` makes them repeatable. See Srivastava
    et al. 2014.

    >>> import autograd as ag, nn
    >>> nn.Dropout(0.5).eval()(ag.ones(3))
    tensor([1., 1., 1.], dtype=float32)
    """

    def __init__(self, p: float = 0.5) -> None:
        super().__init__()
        if not 0.0 <= p <= 1.0:
            raise ValueError(f"Dropout: the probability must lie between 0 and 1, got {p}")
        self.p = p

    def forward(self, x: ag.Tensor) -> ag.Tensor:
        return functional.dropout(x, self.p, self.training)

    def extra_repr(self) -> str:
        return f"p={self.p}"
