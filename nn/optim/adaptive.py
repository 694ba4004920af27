"""Optimizers that give each element a step size of its own: NAdam, RAdam, Adamax, Adagrad, Adadelta, RMSprop, and Lion."""

from __future__ import annotations

from collections.abc import Iterable
from math import sqrt
from typing import Any, ClassVar

import autograd as ag
from kernels.formula import Formula
from nn.optim.formulas import FORMULAS
from nn.optim.optimizer import Optimizer, ascending


class _Counting(Optimizer):
    """An optimizer of one formula that counts the steps of each parameter."""

    _formula = ""
    _state: tuple[str, ...] = ()

    def rule(self, group: dict[str, Any]) -> tuple[Formula, tuple[str, ...]]:
        formula = FORMULAS[self._formula]
        return ascending(formula) if group["maximize"] else formula, self._state

    def advance(self, state: dict[str, Any], is_new: bool, group: dict[str, Any]) -> Any:
        step = state["step"] = state.get("step", 0) + 1
        return step

    def check_betas(self, group: dict[str, Any]) -> None:
        """Raise unless `betas` are two numbers from 0 to below 1."""
        betas = group["betas"]
        if len(betas) != 2 or not all(0.0 <= beta < 1.0 for beta in betas):
            raise ValueError(f"{self._name}: betas must be two numbers from 0 to below 1, got {betas}")

    def check_fraction(self, group: dict[str, Any], name: str) -> None:
        """Raise unless the option is from 0 to 1."""
        if not 0.0 <= group[name] <= 1.0:
            raise ValueError(f"{self._name}: {name} must be from 0 to 1, got {group[name]}")


def _decay(group: dict[str, Any]) -> tuple[float, float]:
    """What p is multiplied by, and how much of p is added to the gradient: one of them does the weight decay."""
    if group["decoupled_weight_decay"]:
        return 1 - group["lr"] * group["weight_decay"], 0.0
    return 1.0, group["weight_decay"]


class NAdam(_Counting):
    """Adam with Nesterov's momentum: Dozat 2016.

    Args:
        params: tensors, or dicts {"params": ..., option: value} with options of their own.
        lr: the step size.
        betas: the decay of the running means of gradient and square.
        eps: added to the root of the latter.
        weight_decay: this times p is added to the gradient.
        momentum_decay: how fast the momentum comes to its final value, betas[0].
        decoupled_weight_decay: shrink p by lr * weight_decay instead.
        maximize: climb instead of descending.
    """

    _formula, _state = "nadam", ("exp_avg", "exp_avg_sq")
    counters: ClassVar = {"step": int, "mu_product": float}

    def __init__(
        self, params: Iterable[Any], lr: float = 2e-3, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8,
        weight_decay: float = 0.0, momentum_decay: float = 4e-3, decoupled_weight_decay: bool = False, *,
        maximize: bool = False,
    ) -> None:  # fmt: skip
        options = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "momentum_decay": momentum_decay}
        super().__init__(params, {**options, "decoupled_weight_decay": decoupled_weight_decay, "maximize": maximize})

    def check(self, group: dict[str, Any]) -> None:
        self.require(group, "lr", "eps", "weight_decay", "momentum_decay")
        self.check_betas(group)

    def _momentum(self, group: dict[str, Any], step: int) -> float:
        return group["betas"][0] * (1 - 0.5 * 0.96 ** (step * group["momentum_decay"]))

    def advance(self, state: dict[str, Any], is_new: bool, group: dict[str, Any]) -> Any:
        step = super().advance(state, is_new, group)
        product = state["mu_product"] = state.get("mu_product", 1.0) * self._momentum(group, step)
        return step, product

    def values(self, group: dict[str, Any], when: Any) -> tuple[float, ...]:
        (step, product), (beta1, beta2) = when, group["betas"]
        after = self._momentum(group, step + 1)
        by_gradient = group["lr"] * (1 - self._momentum(group, step)) / (1 - product)
        by_mean = group["lr"] * after / (1 - product * after)
        return *_decay(group), beta1, beta2, group["eps"], 1 - beta2**step, by_gradient, by_mean


class RAdam(_Counting):
    """Adam without the large steps at the beginning, when the running mean of squares is still uncertain: Liu et al. 2020.

    Args: those of `NAdam`, less momentum_decay.
    """

    _formula, _state = "radam", ("exp_avg", "exp_avg_sq")

    def __init__(
        self, params: Iterable[Any], lr: float = 1e-3, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8,
        weight_decay: float = 0.0, decoupled_weight_decay: bool = False, *, maximize: bool = False,
    ) -> None:  # fmt: skip
        options = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay}
        super().__init__(params, {**options, "decoupled_weight_decay": decoupled_weight_decay, "maximize": maximize})

    def check(self, group: dict[str, Any]) -> None:
        self.require(group, "lr", "eps", "weight_decay")
        self.check_betas(group)

    def values(self, group: dict[str, Any], when: int) -> tuple[float, ...]:
        beta1, beta2 = group["betas"]
        correction2 = 1 - beta2**when
        longest = 2 / (1 - beta2) - 1
        length = longest - 2 * when * beta2**when / correction2  # of the mean, in steps
        rectified, plain = 0.0, 1.0
        if length > 5:
            trust = (length - 4) * (length - 2) * longest / ((longest - 4) * (longest - 2) * length)
            rectified, plain = sqrt(trust * correction2), 0.0
        return *_decay(group), beta1, beta2, group["eps"], group["lr"] / (1 - beta1**when), rectified, plain


class Adamax(_Counting):
    """Adam by the largest gradient instead of the mean of squares: Kingma and Ba 2015, section 7.1.

    Args:
        params, lr, betas, weight_decay, maximize: as for `NAdam`.
        eps: added to the size of each gradient.
    """

    _formula, _state = "adamax", ("exp_avg", "exp_inf")

    def __init__(
        self, params: Iterable[Any], lr: float = 2e-3, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8,
        weight_decay: float = 0.0, *, maximize: bool = False,
    ) -> None:  # fmt: skip
        options = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay}
        super().__init__(params, {**options, "maximize": maximize})

    def check(self, group: dict[str, Any]) -> None:
        self.require(group, "lr", "eps", "weight_decay")
        self.check_betas(group)

    def values(self, group: dict[str, Any], when: int) -> tuple[float, ...]:
        beta1, beta2 = group["betas"]
        return group["lr"], group["weight_decay"], beta1, beta2, group["eps"], 1 - beta1**when


class Adagrad(_Counting):
    """Steps that shrink with the sum of all squared gradients so far: Duchi et al. 2011.

    Args:
        params, weight_decay, maximize: as for `NAdam`.
        lr: the step size, divided by 1 + step * lr_decay.
        initial_accumulator_value: where the sum of squares begins.
        eps: added to the root of the sum.
    """

    _formula, _state = "adagrad", ("sum",)

    def __init__(
        self, params: Iterable[Any], lr: float = 1e-2, lr_decay: float = 0.0, weight_decay: float = 0.0,
        initial_accumulator_value: float = 0.0, eps: float = 1e-10, *, maximize: bool = False,
    ) -> None:  # fmt: skip
        options = {"lr": lr, "lr_decay": lr_decay, "weight_decay": weight_decay, "eps": eps}
        start = {"initial_accumulator_value": initial_accumulator_value}
        super().__init__(params, {**options, **start, "maximize": maximize})

    def check(self, group: dict[str, Any]) -> None:
        self.require(group, "lr", "lr_decay", "weight_decay", "initial_accumulator_value", "eps")

    def start(self, p: ag.Tensor, name: str, group: dict[str, Any]) -> ag.Tensor:
        return ag.full_like(p, group["initial_accumulator_value"])

    def values(self, group: dict[str, Any], when: int) -> tuple[float, ...]:
        return group["lr"] / (1 + (when - 1) * group["lr_decay"]), group["weight_decay"], group["eps"]


class Adadelta(_Counting):
    """Steps of the size of the last ones, by the ratio of two running means of squares: Zeiler 2012.

    Args:
        params, weight_decay, maximize: as for `NAdam`.
        lr: what the step is multiplied by.
        rho: the decay of both means.
        eps: added to them; it makes the first steps.
    """

    _formula, _state = "adadelta", ("square_avg", "acc_delta")

    def __init__(
        self, params: Iterable[Any], lr: float = 1.0, rho: float = 0.9, eps: float = 1e-6, weight_decay: float = 0.0, *,
        maximize: bool = False,
    ) -> None:  # fmt: skip
        super().__init__(params, {"lr": lr, "rho": rho, "eps": eps, "weight_decay": weight_decay, "maximize": maximize})

    def check(self, group: dict[str, Any]) -> None:
        self.require(group, "lr", "eps", "weight_decay")
        self.check_fraction(group, "rho")

    def values(self, group: dict[str, Any], when: int) -> tuple[float, ...]:
        return group["lr"], group["weight_decay"], group["rho"], group["eps"]


class RMSprop(_Counting):
    """Gradients divided by the root of the running mean of their squares: Hinton 2012.

    Args:
        params, lr, weight_decay, maximize: as for `NAdam`.
        alpha: the decay of the mean.
        eps: added to its root.
        momentum: how much of the last step is added to the next.
        centered: divide by the standard deviation instead, Graves 2013.
    """

    def __init__(
        self, params: Iterable[Any], lr: float = 1e-2, alpha: float = 0.99, eps: float = 1e-8, weight_decay: float = 0.0,
        momentum: float = 0.0, centered: bool = False, *, maximize: bool = False,
    ) -> None:  # fmt: skip
        options = {"lr": lr, "alpha": alpha, "eps": eps, "weight_decay": weight_decay, "momentum": momentum}
        super().__init__(params, {**options, "centered": centered, "maximize": maximize})

    def check(self, group: dict[str, Any]) -> None:
        self.require(group, "lr", "alpha", "eps", "weight_decay", "momentum")

    def rule(self, group: dict[str, Any]) -> tuple[Formula, tuple[str, ...]]:
        centered, moving = bool(group["centered"]), bool(group["momentum"])
        formula = FORMULAS["rmsprop" + "_centered" * centered + "_momentum" * moving]
        names = ("square_avg", *("grad_avg",) * centered, *("momentum_buffer",) * moving)
        return ascending(formula) if group["maximize"] else formula, names

    def values(self, group: dict[str, Any], when: int) -> tuple[float, ...]:
        return group["lr"], group["weight_decay"], group["alpha"], group["eps"], group["momentum"]


class Lion(_Counting):
    """Steps of the same size in all elements, by the sign of a running mean of the gradient: Chen et al. 2023.

    Args:
        params, maximize: as for `NAdam`.
        lr: the size of the steps: a third to a tenth of AdamW's.
        betas: how much of the mean counts in a step, and the mean's decay.
        weight_decay: p shrinks by lr * weight_decay.

    >>> import autograd as ag, nn
    >>> p = nn.Parameter(ag.ones(2))
    >>> optimizer = nn.optim.Lion([p], lr=0.25)
    >>> (p * ag.tensor([10.0, -0.1])).sum().backward()
    >>> optimizer.step()
    >>> p
    parameter([0.75, 1.25], dtype=float32)
    """

    _formula, _state = "lion", ("exp_avg",)

    def __init__(
        self, params: Iterable[Any], lr: float = 1e-4, betas: tuple[float, float] = (0.9, 0.99), weight_decay: float = 0.0,
        *, maximize: bool = False,
    ) -> None:  # fmt: skip
        super().__init__(params, {"lr": lr, "betas": betas, "weight_decay": weight_decay, "maximize": maximize})

    def check(self, group: dict[str, Any]) -> None:
        self.require(group, "lr", "weight_decay")
        self.check_betas(group)

    def values(self, group: dict[str, Any], when: int) -> tuple[float, ...]:
        return group["lr"], group["weight_decay"], *group["betas"]
