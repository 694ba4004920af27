"""Adam and AdamW."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from kernels import formulas
from kernels.formula import Formula
from nn.optim.optimizer import Optimizer, ascending


class Adam(Optimizer):
    """Steps of about lr in each element, by running means of the gradient and its square: Kingma and Ba 2015.

    Args:
        params: tensors, or dicts {"params": ..., option: value} with options of their own.
        lr: the step size.
        betas: the decay of the running means of gradient and square.
        eps: added to the root of the latter.
        weight_decay: this times p is added to the gradient (AdamW shrinks p directly instead).
        amsgrad: divide by the root of the largest running mean so far: Reddi et al. 2018.
        maximize: climb instead of descending.

    >>> import autograd as ag, nn
    >>> p = nn.Parameter(ag.ones(2))
    >>> optimizer = nn.optim.Adam([p], lr=0.5)
    >>> (p * ag.tensor([10.0, -0.1])).sum().backward()
    >>> optimizer.step()
    >>> p
    parameter([0.5, 1.5], dtype=float32)
    """

    _formulas = ("adam", "adam_amsgrad")

    def __init__(
        self, params: Iterable[Any], lr: float = 1e-3, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8,
        weight_decay: float = 0.0, amsgrad: bool = False, *, maximize: bool = False,
    ) -> None:  # fmt: skip
        options = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay}
        super().__init__(params, {**options, "amsgrad": amsgrad, "maximize": maximize})

    def check(self, group: dict[str, Any]) -> None:
        self.require(group, "lr", "eps", "weight_decay")
        betas = group["betas"]
        if len(betas) != 2 or not all(0.0 <= beta < 1.0 for beta in betas):
            raise ValueError(f"{self._name}: betas must be two numbers from 0 to below 1, got {betas}")

    def rule(self, group: dict[str, Any]) -> tuple[Formula, tuple[str, ...]]:
        formula = formulas.TABLE[self._formulas[bool(group["amsgrad"])]]
        names = ("exp_avg", "exp_avg_sq", "max_exp_avg_sq") if group["amsgrad"] else ("exp_avg", "exp_avg_sq")
        return ascending(formula) if group["maximize"] else formula, names

    def advance(self, state: dict[str, Any], is_new: bool, group: dict[str, Any]) -> int:
        step = state["step"] = state.get("step", 0) + 1
        return step

    def values(self, group: dict[str, Any], when: int) -> tuple[float, ...]:
        beta1, beta2 = group["betas"]
        return group["lr"], beta1, beta2, group["eps"], group["weight_decay"], 1 - beta1**when, 1 - beta2**when


class AdamW(Adam):
    """Adam with weight decay apart from the gradient: p shrinks by lr * weight_decay, Loshchilov and Hutter 2019."""

    _formulas = ("adamw", "adamw_amsgrad")

    def __init__(
        self, params: Iterable[Any], lr: float = 1e-3, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8,
        weight_decay: float = 1e-2, amsgrad: bool = False, *, maximize: bool = False,
    ) -> None:  # fmt: skip
        super().__init__(params, lr, betas, eps, weight_decay, amsgrad, maximize=maximize)
