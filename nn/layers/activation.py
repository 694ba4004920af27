"""Activations as modules, with PyTorch's names and arguments (`axis` for `dim`).

`inplace` is accepted where PyTorch has it, and changes nothing: the result is always new memory.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import autograd as ag
from nn import functional as F
from nn.module import Module
from nn.parameter import Parameter


class _Activation(Module):
    """An elementwise activation without parameters."""

    function: Callable[[ag.Tensor], ag.Tensor]

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()

    def forward(self, x: ag.Tensor) -> ag.Tensor:
        return self.function(x)


class ReLU(_Activation):
    """max(x, 0); its derivative at 0 is 0."""

    function = staticmethod(F.relu)


class ReLU6(_Activation):
    """min(max(x, 0), 6)."""

    function = staticmethod(F.relu6)


class SELU(_Activation):
    """The self-normalising activation of Klambauer et al. 2017."""

    function = staticmethod(F.selu)


class SiLU(_Activation):
    """x sigmoid(x), also called swish."""

    function = staticmethod(F.silu)


class Mish(_Activation):
    """x tanh(softplus(x)): Misra 2019."""

    function = staticmethod(F.mish)


class Hardswish(_Activation):
    """x clip(x + 3, 0, 6) / 6: Howard et al. 2019."""

    function = staticmethod(F.hardswish)


class Hardsigmoid(_Activation):
    """clip(x / 6 + 1/2, 0, 1)."""

    function = staticmethod(F.hardsigmoid)


class Tanh(_Activation):
    """The hyperbolic tangent."""

    function = staticmethod(F.tanh)


class Sigmoid(_Activation):
    """1 / (1 + exp(-x))."""

    function = staticmethod(F.sigmoid)


class LogSigmoid(_Activation):
    """log(sigmoid(x)), exact for large x of either sign."""

    function = staticmethod(F.logsigmoid)


class Softsign(_Activation):
    """x / (1 + |x|)."""

    function = staticmethod(F.softsign)


class Tanhshrink(_Activation):
    """x - tanh(x)."""

    function = staticmethod(F.tanhshrink)


class GELU(Module):
    """x times the normal distribution's cumulative function (Hendrycks and Gimpel 2016).

    approximate: "none" for the exact function, "tanh" for the approximation by tanh.
    """

    def __init__(self, approximate: str = "none") -> None:
        super().__init__()
        self.approximate = approximate

    def forward(self, x: ag.Tensor) -> ag.Tensor:
        return F.gelu(x, self.approximate)

    def extra_repr(self) -> str:
        return f"approximate={self.approximate!r}"


class LeakyReLU(Module):
    """x where it is positive, negative_slope * x elsewhere."""

    def __init__(self, negative_slope: float = 0.01, inplace: bool = False) -> None:
        super().__init__()
        self.negative_slope = negative_slope

    def forward(self, x: ag.Tensor) -> ag.Tensor:
        return F.leaky_relu(x, self.negative_slope)

    def extra_repr(self) -> str:
        return f"negative_slope={self.negative_slope}"


class RReLU(Module):
    """LeakyReLU with slopes drawn from [lower, upper] in training, their mean otherwise: Xu et al. 2015."""

    def __init__(self, lower: float = 1 / 8, upper: float = 1 / 3, inplace: bool = False) -> None:
        super().__init__()
        if not 0 <= lower <= upper:
            raise ValueError(f"RReLU: needs 0 <= lower <= upper, got {lower} and {upper}")
        self.lower, self.upper = lower, upper

    def forward(self, x: ag.Tensor) -> ag.Tensor:
        return F.rrelu(x, self.lower, self.upper, self.training)

    def extra_repr(self) -> str:
        return f"lower={self.lower}, upper={self.upper}"


class Threshold(Module):
    """x where it is above the threshold, the value elsewhere."""

    def __init__(self, threshold: float, value: float, inplace: bool = False) -> None:
        super().__init__()
        self.threshold, self.value = threshold, value

    def forward(self, x: ag.Tensor) -> ag.Tensor:
        return F.threshold(x, self.threshold, self.value)

    def extra_repr(self) -> str:
        return f"threshold={self.threshold}, value={self.value}"


class GLU(Module):
    """The first half along an axis times the sigmoid of the second: Dauphin et al. 2017."""

    def __init__(self, axis: int = -1) -> None:
        super().__init__()
        self.axis = axis

    def forward(self, x: ag.Tensor) -> ag.Tensor:
        return F.glu(x, self.axis)

    def extra_repr(self) -> str:
        return f"axis={self.axis}"


class PReLU(Module):
    """LeakyReLU with a learned slope: one for all, or one per channel (axis 1)."""

    def __init__(
        self, num_parameters: int = 1, init: float = 0.25, *, dtype: Any = None, device: str = "cpu"
    ) -> None:
        super().__init__()
        self.num_parameters = num_parameters
        self.weight = Parameter(ag.full((num_parameters,), float(init), dtype=dtype, device=device))

    def forward(self, x: ag.Tensor) -> ag.Tensor:
        return F.prelu(x, self.weight)

    def extra_repr(self) -> str:
        return f"num_parameters={self.num_parameters}"


class ELU(Module):
    """x where it is positive, alpha (exp(x) - 1) elsewhere: Clevert et al. 2016."""

    def __init__(self, alpha: float = 1.0, inplace: bool = False) -> None:
        super().__init__()
        self.alpha = alpha

    def forward(self, x: ag.Tensor) -> ag.Tensor:
        return F.elu(x, self.alpha)

    def extra_repr(self) -> str:
        return f"alpha={self.alpha}"


class CELU(ELU):
    """x where it is positive, alpha (exp(x / alpha) - 1) elsewhere: Barron 2017."""

    def forward(self, x: ag.Tensor) -> ag.Tensor:
        return F.celu(x, self.alpha)


class Softplus(Module):
    """log(1 + exp(beta x)) / beta, and x itself where beta x is above the threshold."""

    def __init__(self, beta: float = 1.0, threshold: float = 20.0) -> None:
        super().__init__()
        self.beta, self.threshold = beta, threshold

    def forward(self, x: ag.Tensor) -> ag.Tensor:
        return F.softplus(x, self.beta, self.threshold)

    def extra_repr(self) -> str:
        return f"beta={self.beta}, threshold={self.threshold}"


class Hardtanh(Module):
    """x brought between min_val and max_val; its derivative on the bounds is 0."""

    def __init__(self, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False) -> None:
        super().__init__()
        if not min_val < max_val:
            raise ValueError(f"Hardtanh: min_val must be below max_val, got {min_val} and {max_val}")
        self.min_val, self.max_val = min_val, max_val

    def forward(self, x: ag.Tensor) -> ag.Tensor:
        return F.hardtanh(x, self.min_val, self.max_val)

    def extra_repr(self) -> str:
        return f"min_val={self.min_val}, max_val={self.max_val}"


class Hardshrink(Module):
    """x where |x| is above lambd, 0 elsewhere."""

    def __init__(self, lambd: float = 0.5) -> None:
        super().__init__()
        self.lambd = lambd

    def forward(self, x: ag.Tensor) -> ag.Tensor:
        return F.hardshrink(x, self.lambd)

    def extra_repr(self) -> str:
        return str(self.lambd)


class Softshrink(Hardshrink):
    """x brought nearer to 0 by lambd, and 0 where it is nearer than that."""

    def forward(self, x: ag.Tensor) -> ag.Tensor:
        return F.softshrink(x, self.lambd)


class Softmax(Module):
    """exp(x) / sum(exp(x)) along an axis. A row of -inf alone gives zeros."""

    def __init__(self, axis: int = -1) -> None:
        super().__init__()
        self.axis = axis

    def forward(self, x: ag.Tensor) -> ag.Tensor:
        return F.softmax(x, self.axis)

    def extra_repr(self) -> str:
        return f"axis={self.axis}"


class LogSoftmax(Softmax):
    """x - log(sum(exp(x))) along an axis."""

    def forward(self, x: ag.Tensor) -> ag.Tensor:
        return F.log_softmax(x, self.axis)


class Softmin(Softmax):
    """The softmax of -x along an axis."""

    def forward(self, x: ag.Tensor) -> ag.Tensor:
        return F.softmax(-x, self.axis)


class Softmax2d(Module):
    """The softmax over the channels at each place of images (N, C, H, W) or (C, H, W)."""

    def forward(self, x: ag.Tensor) -> ag.Tensor:
        if x.ndim not in (3, 4):
            raise ValueError(f"Softmax2d: needs images (N, C, H, W) or (C, H, W), got shape {x.shape}")
        return F.softmax(x, -3)
