"""Stochastic gradient descent."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from kernels import formulas
from kernels.formula import Formula
from nn.optim.optimizer import Optimizer, ascending


class SGD(Optimizer):
    """p -= lr * g; with momentum, lr times a running sum of gradients (Sutskever et al. 2013, in PyTorch's form).

    Args:
        params: tensors, or dicts {"params": ..., option: value} with options of their own.
        lr: the step size.
        momentum: the factor of the running sum in each step.
        dampening: 1 - dampening is the factor of a gradient when it enters the sum; the first one enters whole.
        weight_decay: this times p is added to the gradient.
        nesterov: look ahead by one step; needs momentum, and no dampening.
        maximize: climb instead of descending.

    >>> import autograd as ag, nn
    >>> p = nn.Parameter(ag.ones(2))
    >>> optimizer = nn.optim.SGD([p], lr=0.5)
    >>> p.sum().backward()
    >>> optimizer.step()
    >>> p
    parameter([0.5, 0.5], dtype=float32)
    """

    def __init__(
        self, params: Iterable[Any], lr: float = 1e-3, momentum: float = 0.0, dampening: float = 0.0,
        weight_decay: float = 0.0, nesterov: bool = False, *, maximize: bool = False,
    ) -> None:  # fmt: skip
        options = {"lr": lr, "momentum": momentum, "dampening": dampening, "weight_decay": weight_decay}
        super().__init__(params, {**options, "nesterov": nesterov, "maximize": maximize})

    def check(self, group: dict[str, Any]) -> None:
        self.require(group, "lr", "momentum", "weight_decay")
        if group["nesterov"] and (group["momentum"] <= 0 or group["dampening"] != 0):
            raise ValueError(
                f"SGD: nesterov needs a momentum above 0 and no dampening, got momentum={group['momentum']} and "
                f"dampening={group['dampening']}"
            )

    def rule(self, group: dict[str, Any]) -> tuple[Formula, tuple[str, ...]]:
        if not group["momentum"]:
            formula, names = formulas.sgd, ()
        else:
            formula, names = formulas.sgd_nesterov if group["nesterov"] else formulas.sgd_momentum, ("momentum_buffer",)
        return ascending(formula) if group["maximize"] else formula, names

    def advance(self, state: dict[str, Any], is_new: bool, group: dict[str, Any]) -> bool:
        return is_new

    def values(self, group: dict[str, Any], when: bool) -> tuple[float, ...]:
        lr, weight_decay, momentum = group["lr"], group["weight_decay"], group["momentum"]
        if not momentum:
            return lr, weight_decay
        return lr, momentum, 0.0 if when else group["dampening"], weight_decay
