"""Dropout, of elements and of whole channels. `inplace` is accepted, and changes nothing: the result is new memory.

The random numbers come from the library's generator: `autograd.manual_seed` makes them repeatable.
"""

from __future__ import annotations

import autograd as ag
from nn import functional
from nn.module import Module


class _Dropout(Module):
    def __init__(self, p: float = 0.5, inplace: bool = False) -> None:
        super().__init__()
        if not 0.0 <= p <= 1.0:
            raise ValueError(f"{type(self).__name__}: the probability must lie between 0 and 1, got {p}")
        self.p, self.inplace = p, inplace

    def extra_repr(self) -> str:
        return f"p={self.p}, inplace={self.inplace}"


class Dropout(_Dropout):
    """While training, each element is zeroed with probability p and the others scaled by 1 / (1 - p); else x itself.

    The random numbers come from the library's generator: `autograd.manual_seed` makes them repeatable. See Srivastava
    et al. 2014.

    >>> import autograd as ag, nn
    >>> nn.Dropout(0.5).eval()(ag.ones(3))
    tensor([1., 1., 1.], dtype=float32)
    """

    def forward(self, x: ag.Tensor) -> ag.Tensor:
        return functional.dropout(x, self.p, self.training)


class Dropout1d(_Dropout):
    """While training, whole channels of sequences (N, C, L) or (C, L) are zeroed; see `Dropout2d`."""

    def forward(self, x: ag.Tensor) -> ag.Tensor:
        return functional.dropout1d(x, self.p, self.training)


class Dropout2d(_Dropout):
    """While training, whole channels of images (N, C, H, W) are zeroed with probability p, the others scaled by 1 / (1 - p).

    Neighbouring elements of an image tell the same: zeroing single ones would drop little (Tompson et al. 2015).

    >>> import autograd as ag, nn
    >>> nn.Dropout2d(0.5).eval()(ag.ones((1, 1, 1, 2))).tolist()
    [[[[1.0, 1.0]]]]
    """

    def forward(self, x: ag.Tensor) -> ag.Tensor:
        return functional.dropout2d(x, self.p, self.training)


class Dropout3d(_Dropout):
    """While training, whole channels of volumes (N, C, D, H, W) or (C, D, H, W) are zeroed; see `Dropout2d`."""

    def forward(self, x: ag.Tensor) -> ag.Tensor:
        return functional.dropout3d(x, self.p, self.training)


class AlphaDropout(_Dropout):
    """Dropout that keeps mean 0 and variance 1, for SELU networks (Klambauer et al. 2017).

    While training, each element becomes SELU's lowest value with probability p, and all are then scaled and shifted.

    >>> import autograd as ag, nn
    >>> nn.AlphaDropout(0.5).eval()(ag.ones(2)).tolist()
    [1.0, 1.0]
    """

    def forward(self, x: ag.Tensor) -> ag.Tensor:
        return functional.alpha_dropout(x, self.p, self.training)


class FeatureAlphaDropout(_Dropout):
    """`AlphaDropout` of whole channels (N, C, ...)."""

    def forward(self, x: ag.Tensor) -> ag.Tensor:
        return functional.feature_alpha_dropout(x, self.p, self.training)
