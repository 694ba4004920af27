"""Schedules of learning rates. Each is a function of the number of steps, so it can be asked, plotted and resumed anywhere.

>>> import autograd as ag, nn
>>> optimizer = nn.optim.SGD([nn.Parameter(ag.ones(1))], lr=1.0)
>>> schedule = nn.optim.lr_scheduler.StepLR(optimizer, step_size=2, gamma=0.1)
>>> for epoch in range(3):
...     optimizer.step()
...     schedule.step()
>>> schedule.get_last_lr()
[0.1]
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from nn.optim.optimizer import Optimizer

__all__ = [
    "ChainedScheduler", "ConstantLR", "CosineAnnealingLR", "CosineAnnealingWarmRestarts", "ExponentialLR", "LRScheduler",
    "LambdaLR", "LinearLR", "MultiStepLR", "OneCycleLR", "PolynomialLR", "ReduceLROnPlateau", "SequentialLR", "StepLR",
]  # fmt: skip


class LRScheduler:
    """What schedules share: the learning rate of each parameter group is `rate(group's number, steps done)`.

    Making a schedule sets the rates of step 0. The rate a group had when it was first given one is its `initial_lr`.
    Two schedules of one optimizer take turns in a `SequentialLR` or act together in a `ChainedScheduler`.

    Args:
        optimizer: whose `param_groups` are set.
        last_epoch: the number of the last step done, to begin in the middle; the groups then need an "initial_lr".
    """

    def __init__(self, optimizer: Optimizer, last_epoch: int = -1) -> None:
        if not isinstance(optimizer, Optimizer):
            raise TypeError(f"{self._name}: expected an optimizer, got a {type(optimizer).__name__}")
        self.optimizer = optimizer
        for number, group in enumerate(optimizer.param_groups):
            if last_epoch == -1:
                group.setdefault("initial_lr", float(group["lr"]))
            elif "initial_lr" not in group:
                raise KeyError(f"{self._name}: param_groups[{number}] has no 'initial_lr', which last_epoch={last_epoch} needs")
        self.base_lrs = [float(group["initial_lr"]) for group in optimizer.param_groups]
        self.last_epoch: float = last_epoch + 1
        self._write()

    @property
    def _name(self) -> str:
        return type(self).__name__

    def rate(self, group: int, step: float) -> float:
        """The learning rate of a parameter group after so many steps."""
        raise NotImplementedError(f"{self._name} must define rate(group, step)")

    def step(self, epoch: float | None = None) -> None:
        """Go on by one step, or to the step `epoch`, and set the learning rates."""
        if epoch is not None and epoch < 0:
            raise ValueError(f"{self._name}: the epoch must not be negative, got {epoch}")
        self.last_epoch = self.last_epoch + 1 if epoch is None else epoch
        self._write()

    def _write(self) -> None:
        rates = [self.rate(number, self.last_epoch) for number in range(len(self.optimizer.param_groups))]
        for group, lr in zip(self.optimizer.param_groups, rates, strict=True):
            group["lr"] = lr

    def get_last_lr(self) -> list[float]:
        """The learning rates of the groups as they are."""
        return [float(group["lr"]) for group in self.optimizer.param_groups]

    def state_dict(self) -> dict[str, Any]:
        """Everything but the optimizer and functions."""
        return {k: v for k, v in self.__dict__.items() if k != "optimizer" and not callable(v)}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Continue from what `state_dict` gave; the rates in the optimizer are its own to restore."""
        unknown = state_dict.keys() - self.__dict__.keys()
        if unknown:
            raise ValueError(f"{self._name}: the state has unknown entries {', '.join(sorted(unknown))}")
        self.__dict__.update(state_dict)

    def _require(self, **numbers: float) -> None:
        for name, value in numbers.items():
            if not value > 0:
                raise ValueError(f"{self._name}: {name} must be above 0, got {value}")


def _for_each(given: Any, groups: int) -> list:
    """What is given for each group, or for all."""
    return list(given) if isinstance(given, (list, tuple)) else [given] * groups


class LambdaLR(LRScheduler):
    """The initial rate times `lr_lambda(step)`: one function, or one for each group."""

    def __init__(self, optimizer: Optimizer, lr_lambda: Callable | Sequence[Callable], last_epoch: int = -1) -> None:
        count = len(optimizer.param_groups)
        self.lr_lambdas: list[Callable] = _for_each(lr_lambda, count)
        if len(self.lr_lambdas) != count:
            raise ValueError(f"LambdaLR: {len(self.lr_lambdas)} functions for {count} parameter groups")
        super().__init__(optimizer, last_epoch)

    def rate(self, group: int, step: float) -> float:
        return self.base_lrs[group] * self.lr_lambdas[group](step)

    def state_dict(self) -> dict[str, Any]:
        """Everything but the optimizer and the functions."""
        return {k: v for k, v in super().state_dict().items() if k != "lr_lambdas"}


class StepLR(LRScheduler):
    """The rate times gamma after every `step_size` steps."""

    def __init__(self, optimizer: Optimizer, step_size: int, gamma: float = 0.1, last_epoch: int = -1) -> None:
        self._require(step_size=step_size)
        self.step_size, self.gamma = step_size, gamma
        super().__init__(optimizer, last_epoch)

    def rate(self, group: int, step: float) -> float:
        return self.base_lrs[group] * self.gamma ** (step // self.step_size)


class MultiStepLR(LRScheduler):
    """The rate times gamma at each of the `milestones`, numbers of steps."""

    def __init__(self, optimizer: Optimizer, milestones: Iterable[int], gamma: float = 0.1, last_epoch: int = -1) -> None:
        self.milestones, self.gamma = sorted(milestones), gamma
        super().__init__(optimizer, last_epoch)

    def rate(self, group: int, step: float) -> float:
        return self.base_lrs[group] * self.gamma ** bisect_right(self.milestones, step)


class ExponentialLR(LRScheduler):
    """The rate times gamma after every step."""

    def __init__(self, optimizer: Optimizer, gamma: float, last_epoch: int = -1) -> None:
        self.gamma = gamma
        super().__init__(optimizer, last_epoch)

    def rate(self, group: int, step: float) -> float:
        return self.base_lrs[group] * self.gamma**step


class ConstantLR(LRScheduler):
    """The rate times `factor` for `total_iters` steps, then the rate itself."""

    def __init__(self, optimizer: Optimizer, factor: float = 1 / 3, total_iters: int = 5, last_epoch: int = -1) -> None:
        self.factor, self.total_iters = factor, total_iters
        super().__init__(optimizer, last_epoch)

    def rate(self, group: int, step: float) -> float:
        return self.base_lrs[group] * (self.factor if step < self.total_iters else 1.0)


class LinearLR(LRScheduler):
    """The rate times a factor that goes from `start_factor` to `end_factor` in a straight line: a warm-up, by default."""

    def __init__(
        self, optimizer: Optimizer, start_factor: float = 1 / 3, end_factor: float = 1.0, total_iters: int = 5,
        last_epoch: int = -1,
    ) -> None:  # fmt: skip
        self._require(total_iters=total_iters)
        if not 0 < start_factor <= 1 or not 0 <= end_factor <= 1:
            raise ValueError(f"LinearLR: factors must be from 0 to 1, and the first not 0, got {start_factor} and {end_factor}")
        self.start_factor, self.end_factor, self.total_iters = start_factor, end_factor, total_iters
        super().__init__(optimizer, last_epoch)

    def rate(self, group: int, step: float) -> float:
        part = min(step, self.total_iters) / self.total_iters
        return self.base_lrs[group] * (self.start_factor + (self.end_factor - self.start_factor) * part)


class PolynomialLR(LRScheduler):
    """From the rate to 0 in `total_iters` steps, as what is left of them to the power `power`."""

    def __init__(self, optimizer: Optimizer, total_iters: int = 5, power: float = 1.0, last_epoch: int = -1) -> None:
        self._require(total_iters=total_iters)
        self.total_iters, self.power = total_iters, power
        super().__init__(optimizer, last_epoch)

    def rate(self, group: int, step: float) -> float:
        return self.base_lrs[group] * (1 - min(step, self.total_iters) / self.total_iters) ** self.power


def _cosine(start: float, end: float, part: float) -> float:
    """From start to end along half a cosine."""
    return end + (start - end) * (1 + math.cos(math.pi * part)) / 2


class CosineAnnealingLR(LRScheduler):
    """Half a cosine from the rate down to `eta_min` in `T_max` steps (and up again): Loshchilov and Hutter 2017."""

    def __init__(self, optimizer: Optimizer, T_max: int, eta_min: float = 0.0, last_epoch: int = -1) -> None:
        self._require(T_max=T_max)
        self.T_max, self.eta_min = T_max, eta_min
        super().__init__(optimizer, last_epoch)

    def rate(self, group: int, step: float) -> float:
        return _cosine(self.base_lrs[group], self.eta_min, step / self.T_max)


class CosineAnnealingWarmRestarts(LRScheduler):
    """Half cosines from the rate to `eta_min`, the first in `T_0` steps, each `T_mult` times as long as the one before.

    `step(epoch)` takes fractions, to go on within an epoch. Loshchilov and Hutter 2017.
    """

    def __init__(
        self, optimizer: Optimizer, T_0: int, T_mult: int = 1, eta_min: float = 0.0, last_epoch: int = -1
    ) -> None:
        self._require(T_0=T_0)
        if T_mult < 1 or T_mult != int(T_mult):
            raise ValueError(f"CosineAnnealingWarmRestarts: T_mult must be an integer of at least 1, got {T_mult}")
        self.T_0, self.T_mult, self.eta_min = T_0, int(T_mult), eta_min
        super().__init__(optimizer, last_epoch)

    def rate(self, group: int, step: float) -> float:
        length = self.T_0
        if self.T_mult == 1:
            step %= length
        while step >= length:
            step -= length
            length *= self.T_mult
        return _cosine(self.base_lrs[group], self.eta_min, step / length)


class OneCycleLR(LRScheduler):
    """Up to `max_lr` and down to nearly nothing, once; the momentum goes the other way: Smith and Topin 2019.

    Args:
        max_lr: the highest rate, or one for each group.
        total_steps: the number of steps; or give epochs and steps_per_epoch.
        pct_start: the part of the steps that go up.
        anneal_strategy: "cos" or "linear".
        cycle_momentum: let `momentum` (or the first of `betas`) go from max_momentum to base_momentum and back.
        div_factor: max_lr is this many times the first rate.
        final_div_factor: the first rate is this many times the last.
        three_phase: go down as slowly as up, and then to the last rate.
    """

    def __init__(
        self, optimizer: Optimizer, max_lr: float | Sequence[float], total_steps: int | None = None,
        epochs: int | None = None, steps_per_epoch: int | None = None, pct_start: float = 0.3,
        anneal_strategy: str = "cos", cycle_momentum: bool = True, base_momentum: float = 0.85, max_momentum: float = 0.95,
        div_factor: float = 25.0, final_div_factor: float = 1e4, three_phase: bool = False, last_epoch: int = -1,
    ) -> None:  # fmt: skip
        if total_steps is None:
            if epochs is None or steps_per_epoch is None:
                raise ValueError("OneCycleLR: give total_steps, or both epochs and steps_per_epoch")
            total_steps = epochs * steps_per_epoch
        self._require(total_steps=total_steps)
        if not 0 <= pct_start <= 1:
            raise ValueError(f"OneCycleLR: pct_start must be from 0 to 1, got {pct_start}")
        if anneal_strategy not in ("cos", "linear"):
            raise ValueError(f"OneCycleLR: anneal_strategy is 'cos' or 'linear', got {anneal_strategy!r}")
        groups = optimizer.param_groups
        self.max_lrs: list[float] = _for_each(max_lr, len(groups))
        if len(self.max_lrs) != len(groups):
            raise ValueError(f"OneCycleLR: {len(self.max_lrs)} max_lr for {len(groups)} parameter groups")
        if cycle_momentum and not any(name in optimizer.defaults for name in ("momentum", "betas")):
            raise ValueError(f"OneCycleLR: {type(optimizer).__name__} has no momentum to cycle; pass cycle_momentum=False")
        self.total_steps, self.anneal_strategy, self.cycle_momentum = total_steps, anneal_strategy, cycle_momentum
        self.div_factor, self.final_div_factor = div_factor, final_div_factor
        self.base_momentum, self.max_momentum = base_momentum, max_momentum
        up = pct_start * total_steps - 1
        ends = [up, 2 * pct_start * total_steps - 2, total_steps - 1] if three_phase else [up, total_steps - 1]
        self.ends: list[float] = [float(end) for end in ends]
        for group, highest in zip(groups, self.max_lrs, strict=True):
            group["initial_lr"] = highest / div_factor
        super().__init__(optimizer, last_epoch)

    def _between(self, levels: Sequence[float], step: float) -> float:
        """What is at the step, of levels at the beginning and at the end of each phase."""
        if step > self.total_steps:
            raise ValueError(f"OneCycleLR: step {step} of {self.total_steps}: the cycle is over")
        phase = next((k for k, end in enumerate(self.ends) if step <= end), len(self.ends) - 1)
        begin = self.ends[phase - 1] if phase else 0.0
        length = self.ends[phase] - begin
        part = (step - begin) / length if length else 1.0
        start, end = levels[phase], levels[phase + 1]
        return _cosine(start, end, part) if self.anneal_strategy == "cos" else start + (end - start) * part

    def rate(self, group: int, step: float) -> float:
        first, highest = self.base_lrs[group], self.max_lrs[group]
        back = [first] if len(self.ends) == 3 else []
        return self._between([first, highest, *back, first / self.final_div_factor], step)

    def _write(self) -> None:
        super()._write()
        if not self.cycle_momentum:
            return
        rest = [self.max_momentum] * (len(self.ends) - 1)
        momentum = self._between([self.max_momentum, self.base_momentum, *rest], self.last_epoch)
        for group in self.optimizer.param_groups:
            if "betas" in group:
                group["betas"] = (momentum, *group["betas"][1:])
            else:
                group["momentum"] = momentum


class _Composed(LRScheduler):
    """A schedule made of others, of the same optimizer."""

    def __init__(self, optimizer: Optimizer, schedulers: Sequence[LRScheduler], last_epoch: int = -1) -> None:
        if not schedulers:
            raise ValueError(f"{self._name}: needs at least one schedule")
        for number, schedule in enumerate(schedulers):
            if not isinstance(schedule, LRScheduler):
                raise TypeError(
                    f"{self._name}: schedule number {number} is a {type(schedule).__name__}, which is no function of the step"
                )
            if schedule.optimizer is not optimizer:
                raise ValueError(f"{self._name}: schedule number {number} ({schedule._name}) belongs to another optimizer")
        self._schedulers = list(schedulers)
        super().__init__(optimizer, last_epoch)

    def state_dict(self) -> dict[str, Any]:
        """Its own entries, and the states of its schedules."""
        return {**super().state_dict(), "_schedulers": [s.state_dict() for s in self._schedulers]}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Continue from what `state_dict` gave."""
        given = dict(state_dict)
        states = given.pop("_schedulers")
        if len(states) != len(self._schedulers):
            raise ValueError(f"{self._name}: the state has {len(states)} schedules, this one {len(self._schedulers)}")
        for schedule, state in zip(self._schedulers, states, strict=True):
            schedule.load_state_dict(state)
        super().load_state_dict(given)


class SequentialLR(_Composed):
    """One schedule after the other: the next takes over, from its step 0, at each of the `milestones`.

    >>> import autograd as ag, nn
    >>> from nn.optim.lr_scheduler import CosineAnnealingLR, LinearLR, SequentialLR
    >>> optimizer = nn.optim.SGD([nn.Parameter(ag.ones(1))], lr=1.0)
    >>> warm_up, then = LinearLR(optimizer, 0.1, total_iters=10), CosineAnnealingLR(optimizer, T_max=90)
    >>> schedule = SequentialLR(optimizer, [warm_up, then], milestones=[10])
    >>> optimizer.param_groups[0]["lr"]
    0.1
    """

    def __init__(
        self, optimizer: Optimizer, schedulers: Sequence[LRScheduler], milestones: Sequence[int], last_epoch: int = -1
    ) -> None:
        if len(milestones) != len(schedulers) - 1:
            raise ValueError(f"SequentialLR: {len(schedulers)} schedules need {len(schedulers) - 1} milestones, got {milestones}")
        self._milestones = list(milestones)
        super().__init__(optimizer, schedulers, last_epoch)

    def _turn(self, step: float) -> tuple[LRScheduler, float]:
        number = bisect_right(self._milestones, step)
        return self._schedulers[number], step - (self._milestones[number - 1] if number else 0)

    def rate(self, group: int, step: float) -> float:
        schedule, own = self._turn(step)
        return schedule.rate(group, own)

    def _write(self) -> None:
        schedule, schedule.last_epoch = self._turn(self.last_epoch)
        schedule._write()


class ChainedScheduler(_Composed):
    """Several schedules at once: their factors multiply."""

    def __init__(self, schedulers: Sequence[LRScheduler], optimizer: Optimizer | None = None) -> None:
        super().__init__(schedulers[0].optimizer if optimizer is None and schedulers else optimizer, schedulers)  # type: ignore[arg-type]

    def rate(self, group: int, step: float) -> float:
        base = self.base_lrs[group]
        return base * math.prod(s.rate(group, step) / base for s in self._schedulers) if base else 0.0


class ReduceLROnPlateau:
    """The rate times `factor` when a metric, given to `step`, has not become better for more than `patience` steps.

    Args:
        mode: "min" or "max": whether smaller or larger is better.
        threshold: how much better counts: a part of the best value ("rel") or a difference ("abs"), by `threshold_mode`.
        cooldown: steps to wait after a reduction.
        min_lr: no rate becomes smaller; one for all groups, or for each.
        eps: smaller reductions are not made.

    >>> import autograd as ag, nn
    >>> optimizer = nn.optim.SGD([nn.Parameter(ag.ones(1))], lr=1.0)
    >>> schedule = nn.optim.lr_scheduler.ReduceLROnPlateau(optimizer, patience=1)
    >>> for loss in (3.0, 2.0, 2.0, 2.0): schedule.step(loss)
    >>> schedule.get_last_lr()
    [0.1]
    """

    def __init__(
        self, optimizer: Optimizer, mode: str = "min", factor: float = 0.1, patience: int = 10, threshold: float = 1e-4,
        threshold_mode: str = "rel", cooldown: int = 0, min_lr: float | Sequence[float] = 0.0, eps: float = 1e-8,
    ) -> None:  # fmt: skip
        if not 0 <= factor < 1:
            raise ValueError(f"ReduceLROnPlateau: factor must be from 0 to below 1, got {factor}")
        if mode not in ("min", "max") or threshold_mode not in ("rel", "abs"):
            given = f"got {mode!r} and {threshold_mode!r}"
            raise ValueError(f"ReduceLROnPlateau: mode is 'min' or 'max' and threshold_mode 'rel' or 'abs', {given}")
        groups = optimizer.param_groups
        self.min_lrs = _for_each(min_lr, len(groups))
        if len(self.min_lrs) != len(groups):
            raise ValueError(f"ReduceLROnPlateau: {len(self.min_lrs)} min_lr for {len(groups)} parameter groups")
        self.optimizer, self.mode, self.factor, self.patience = optimizer, mode, factor, patience
        self.threshold, self.threshold_mode, self.cooldown, self.eps = threshold, threshold_mode, cooldown, eps
        self.best = math.inf if mode == "min" else -math.inf
        self.num_bad_epochs = self.cooldown_counter = self.last_epoch = 0

    def is_better(self, value: float) -> bool:
        """Whether a value of the metric is better than the best so far, by more than the threshold."""
        margin = self.threshold * abs(self.best) if self.threshold_mode == "rel" else self.threshold
        if math.isinf(self.best):
            return value < self.best if self.mode == "min" else value > self.best
        return value < self.best - margin if self.mode == "min" else value > self.best + margin

    def step(self, metrics: Any) -> None:
        """Take the metric's next value (a number or a 0-d tensor), and reduce the rates where it is time."""
        value = float(metrics)
        self.last_epoch += 1
        if self.is_better(value):
            self.best, self.num_bad_epochs = value, 0
        else:
            self.num_bad_epochs += 1
        if self.cooldown_counter:
            self.cooldown_counter -= 1
            self.num_bad_epochs = 0
        if self.num_bad_epochs > self.patience:
            for group, least in zip(self.optimizer.param_groups, self.min_lrs, strict=True):
                reduced = max(group["lr"] * self.factor, least)
                if group["lr"] - reduced > self.eps:
                    group["lr"] = reduced
            self.cooldown_counter, self.num_bad_epochs = self.cooldown, 0

    get_last_lr = LRScheduler.get_last_lr
    state_dict = LRScheduler.state_dict
    load_state_dict = LRScheduler.load_state_dict
    _name = LRScheduler._name
