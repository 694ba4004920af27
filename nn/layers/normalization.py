"""Normalisation layers."""

from __future__ import annotations

from typing import Any

import autograd as ag
from nn import functional, init
from nn.module import Module
from nn.parameter import Parameter


class LayerNorm(Module):
    """(x - mean) / sqrt(var + eps) * weight + bias over the last axes, each sample by itself (Ba et al. 2016).

    Args:
        normalized_shape: the sizes of the last axes, over which mean and variance are taken; an int for one axis.
        eps: added to the variance, so that constant rows give `bias`.
        elementwise_affine: whether there are `weight` and `bias`, of that shape.
        bias: whether there is a bias beside the weight.

    >>> import autograd as ag, nn
    >>> nn.LayerNorm(2)(ag.tensor([[1.0, 3.0]])).tolist()  # doctest: +ELLIPSIS
    [[-0.99999..., 0.99999...]]
    """

    def __init__(
        self, normalized_shape: int | tuple[int, ...], eps: float = 1e-5, elementwise_affine: bool = True,
        bias: bool = True, *, dtype: Any = None, device: str = "cpu",
    ) -> None:  # fmt: skip
        super().__init__()
        shape = (normalized_shape,) if isinstance(normalized_shape, int) else tuple(normalized_shape)
        self.normalized_shape, self.eps, self.elementwise_affine = shape, eps, elementwise_affine
        self.weight = Parameter(ag.empty(shape, dtype=dtype, device=device)) if elementwise_affine else None
        self.bias = Parameter(ag.empty(shape, dtype=dtype, device=device)) if elementwise_affine and bias else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Weight 1 and bias 0."""
        if self.weight is not None:
            init.ones_(self.weight)
        if self.bias is not None:
            init.zeros_(self.bias)

    def forward(self, x: ag.Tensor) -> ag.Tensor:
        return functional.layer_norm(x, self.normalized_shape, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        return f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={self.elementwise_affine}"
