"""Weights that are computed from others each time they are used: weight and spectral normalisation.

    layer = weight_norm(nn.Linear(20, 40))
    layer.parametrizations.weight.original0.shape      # (40, 1)

Names, semantics and state-dict keys are those of torch.nn.utils.parametrizations: the module loses its parameter "weight"
and gains a child "parametrizations", which holds what is trained instead.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import autograd as ag
from nn.layers.container import ModuleDict
from nn.layers.convolution import ConvTranspose1d, ConvTranspose2d, ConvTranspose3d
from nn.module import Module
from nn.parameter import Parameter


class _WeightNorm(Module):
    """original0, the lengths g, and original1, the directions v: the weight is g v / |v|."""

    def __init__(self, weight: ag.Tensor, axis: int | None) -> None:
        super().__init__()
        self.axes = tuple(k for k in range(weight.ndim) if axis is None or k != axis % weight.ndim)
        self.is_whole = axis is None
        self.original0 = Parameter(self._norm(weight.detach()))
        self.original1 = Parameter(weight.detach().clone())

    def _norm(self, v: ag.Tensor) -> ag.Tensor:
        return (v * v).sum(axis=self.axes, keepdims=not self.is_whole).sqrt()

    def forward(self) -> ag.Tensor:
        return self.original1 * (self.original0 / self._norm(self.original1))


class _Power(Module):
    """The vectors of the power method, under the names and shapes that PyTorch gives them."""

    def __init__(self, matrix: ag.Tensor, eps: float) -> None:
        super().__init__()
        rows, columns = matrix.shape
        options: dict[str, Any] = dict(dtype=matrix.dtype, device=matrix.device)
        self.eps = eps
        self.register_buffer("_u", _normalised(ag.randn(rows, **options), eps))
        self.register_buffer("_v", _normalised(ag.randn(columns, **options), eps))
        self.advance(matrix, 15)

    def advance(self, matrix: ag.Tensor, times: int) -> None:
        """Steps of the power method, towards the largest singular value."""
        with ag.no_grad():
            for _ in range(times):
                self._u.copy_(_normalised(matrix @ self._v, self.eps))
                self._v.copy_(_normalised(matrix.T @ self._u, self.eps))


class _SpectralNorm(Module):
    """original, the weight W, divided by u W v, an estimate of its largest singular value."""

    def __init__(self, weight: ag.Tensor, iterations: int, eps: float, axis: int) -> None:
        super().__init__()
        self.axis, self.iterations, self.eps = axis % weight.ndim, iterations, eps
        self.original = Parameter(weight.detach().clone())
        if weight.ndim > 1:
            with ag.no_grad():
                self.register_module("0", _Power(self._matrix(weight.detach()), eps))

    def _matrix(self, weight: ag.Tensor) -> ag.Tensor:
        order = (self.axis, *(k for k in range(weight.ndim) if k != self.axis))
        return ag.permute_dims(weight, order).reshape((weight.shape[self.axis], -1))

    def forward(self) -> ag.Tensor:
        weight = self.original
        if weight.ndim == 1:
            return _normalised(weight, self.eps)
        power: Any = getattr(self, "0")
        matrix = self._matrix(weight)
        if self.training:
            power.advance(matrix.detach(), self.iterations)
        u, v = power._u.clone(), power._v.clone()  # the backward pass needs those of now
        return weight / (u * (matrix @ v)).sum()


def weight_norm(module: Module, name: str = "weight", axis: int | None = 0) -> Module:
    """Train the length and the direction of a weight apart (Salimans and Kingma 2016); the module itself is returned.

    Args:
        axis: each index along it has a length of its own; None: one length for the whole weight.

    >>> import nn
    >>> list(weight_norm(nn.Linear(2, 3)).state_dict())
    ['bias', 'parametrizations.weight.original0', 'parametrizations.weight.original1']

    Raises:
        ValueError: the module has no such parameter, or no such axis.
    """
    weight = _parameter_of(module, name, "weight_norm", 0 if axis is None else axis)
    return _parametrize(module, name, _WeightNorm(weight, axis))


def spectral_norm(
    module: Module, name: str = "weight", n_power_iterations: int = 1, eps: float = 1e-12, axis: int | None = None
) -> Module:
    """Divide a weight by its largest singular value (Miyato et al. 2018), which the power method estimates.

    In training mode each use of the weight makes `n_power_iterations` steps of it.

    Args:
        axis: the rows of the weight seen as a matrix; by default 1 for transposed convolutions and else 0.

    Raises:
        ValueError: the module has no such parameter, no such axis, or less than one iteration is asked for.
    """
    if not isinstance(n_power_iterations, int) or n_power_iterations < 1:
        raise ValueError(f"spectral_norm: n_power_iterations must be an integer, 1 or more, got {n_power_iterations!r}")
    if axis is None:
        axis = 1 if isinstance(module, (ConvTranspose1d, ConvTranspose2d, ConvTranspose3d)) else 0
    weight = _parameter_of(module, name, "spectral_norm", axis)
    return _parametrize(module, name, _SpectralNorm(weight, n_power_iterations, eps, axis))


def remove_parametrizations(module: Module, name: str = "weight") -> Module:
    """Make a weight an ordinary parameter again, with its present value; the module itself is returned."""
    holders = module.__dict__.get("parametrizations")
    if holders is None or name not in holders:
        raise ValueError(f"remove_parametrizations: {type(module).__name__} has no parametrized {name!r}")
    with ag.no_grad():
        value = getattr(module, name).detach().clone()
    del holders[name]
    original = next(kind for kind in type(module).__mro__ if "_computed" not in vars(kind))
    object.__setattr__(module, "__class__", original)
    for left in holders:
        object.__setattr__(module, "__class__", _computing(type(module), left))
    if not len(holders):
        del module.parametrizations
    setattr(module, name, Parameter(value))
    return module


def _parameter_of(module: Module, name: str, asker: str, axis: int) -> Parameter:
    weight = module.__dict__.get(name)
    if not isinstance(weight, Parameter):
        raise ValueError(f"{asker}: {type(module).__name__} has no parameter {name!r} of its own")
    if not -weight.ndim <= axis < weight.ndim:
        raise ValueError(f"{asker}: {name!r} has shape {weight.shape}, and no axis {axis}")
    return weight


def _parametrize(module: Module, name: str, holder: Module) -> Module:
    holder.train(module.training)
    delattr(module, name)
    if "parametrizations" not in module.__dict__:
        module.register_module("parametrizations", ModuleDict())
    module.parametrizations[name] = holder
    object.__setattr__(module, "__class__", _computing(type(module), name))
    return module


@cache
def _computing(kind: type[Module], name: str) -> type[Module]:
    """A subclass whose attribute is computed by the module that stands for it."""
    value: Callable = lambda self: self.parametrizations[name]()  # noqa: E731
    return type(f"Parametrized{kind.__name__.removeprefix('Parametrized')}", (kind,), {name: property(value), "_computed": name})


def _normalised(x: ag.Tensor, eps: float) -> ag.Tensor:
    return x / ag.clip((x * x).sum().sqrt(), eps, None)
