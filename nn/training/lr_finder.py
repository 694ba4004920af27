"""The learning-rate range test: train for a few steps at ever higher rates, and see where the loss falls fastest."""

from __future__ import annotations

import copy
import math
import os
from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

from kernels.random import default_generator
from nn.module import Module
from nn.optim.optimizer import Optimizer


@dataclass(frozen=True)
class LearningRates:
    """What `lr_find` found: the rates that were tried, the loss at each, smoothed, and the rate where it fell fastest."""

    rates: list[float]
    losses: list[float]
    suggestion: float

    def plot(self, path: str | os.PathLike | None = None) -> Any:
        """The losses over the rates as a matplotlib Figure, also written to a file.

        Raises:
            ImportError: matplotlib is not installed.
        """
        try:
            from matplotlib.figure import Figure
        except ImportError as error:
            raise ImportError("LearningRates.plot needs matplotlib: pip install 'gradloom[viz]'") from error
        figure = Figure(figsize=(5, 4), layout="constrained")
        axes = figure.subplots()
        axes.semilogx(self.rates, self.losses)
        axes.axvline(self.suggestion, linestyle="--")
        axes.set_xlabel("learning rate")
        axes.set_ylabel("loss")
        if path is not None:
            figure.savefig(path)
        return figure


def lr_find(
    model: Module, optimizer: Optimizer, loss: Any, loader: Any, *, start: float = 1e-6, end: float = 10.0, steps: int = 100,
    smoothing: float = 0.9, divergence: float = 4.0,
) -> LearningRates:  # fmt: skip
    """Find a learning rate by a range test (Smith, "Cyclical learning rates for training neural networks", 2017).

    The rate of all parameter groups grows geometrically from `start` to `end`; the test ends early where the smoothed loss is
    NaN or `divergence` times its best. Model, optimizer, loader and random numbers are left as they were.

    Args:
        loss: a function (output, target) -> 0-d tensor.
        loader: batches of inputs and a target, read again from the beginning as often as needed.
        smoothing: how much of the mean before each new loss keeps (with the correction of Adam for its beginning).

    Returns:
        The rates and losses; the suggestion is the rate of the steepest fall.

    Raises:
        ValueError: no batches, rates that do not ascend, fewer than 3 steps, or a loss that is not finite from the first.
    """
    if not 0 < start < end or not isinstance(steps, int) or steps < 3 or not 0 <= smoothing < 1 or not divergence > 1:
        raise ValueError(
            "lr_find: expected 0 < start < end, 3 steps or more, smoothing from 0 to below 1 and divergence above 1, got "
            f"{start}, {end}, {steps}, {smoothing} and {divergence}"
        )
    parts = [part for part in (model, optimizer, loader) if hasattr(part, "load_state_dict")]
    before = [copy.deepcopy(part.state_dict()) for part in parts]
    modes, random_state = [(module, module.training) for module in model.modules()], default_generator.state()
    rates, losses = [], []
    mean, best = 0.0, math.inf
    batches = _repeated(loader)
    try:
        model.train()
        for k in range(steps):
            rate = start * (end / start) ** (k / (steps - 1))
            for group in optimizer.param_groups:
                group["lr"] = rate
            value = _step(model, optimizer, loss, next(batches))
            mean = smoothing * mean + (1 - smoothing) * value
            smooth = mean / (1 - smoothing ** (k + 1))
            if not math.isfinite(smooth) or smooth > divergence * best > 0:
                break
            best = min(best, smooth)
            rates.append(rate)
            losses.append(smooth)
    finally:
        batches.close()
        optimizer.zero_grad()
        for part, state in zip(parts, before, strict=True):
            part.load_state_dict(state)
        default_generator.set_state(random_state)
        for module, training in modes:
            module.training = training
    if len(losses) < 3:
        raise ValueError(f"lr_find: the loss grew without bound after {len(losses)} steps; choose a smaller start than {start}")
    near = max(1, len(losses) // 10)  # slopes over several steps: batches differ from one another
    falls = [losses[k + near] - losses[k - near] for k in range(near, len(losses) - near)]
    return LearningRates(rates, losses, rates[near + falls.index(min(falls))])


def _step(model: Module, optimizer: Optimizer, loss: Any, batch: Any) -> float:
    *inputs, target = batch

    def closure() -> float:
        optimizer.zero_grad()
        value = loss(model(*inputs), target)
        value.backward()
        return value.item()

    return float(optimizer.step(closure))


def _repeated(loader: Any) -> Generator[Any, None, None]:
    """The batches of one pass after another."""
    while True:
        empty = True
        for batch in loader:
            empty = False
            yield batch
        if empty:
            raise ValueError("lr_find: the loader gave no batches")
