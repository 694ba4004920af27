"""Averages of a model's weights over its training: what is averaged often does better than the last step."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import autograd as ag
from nn.module import Module

Average = Callable[[ag.Tensor, ag.Tensor, int], ag.Tensor]


def get_ema_avg_fn(decay: float = 0.999) -> Average:
    """An exponential moving average for `AveragedModel`: average * decay + weights * (1 - decay) at each update."""
    if not 0.0 <= decay <= 1.0:
        raise ValueError(f"get_ema_avg_fn: decay must lie between 0 and 1, got {decay}")
    return lambda average, current, count: ag.lerp(average, current, 1.0 - decay)


def get_swa_avg_fn() -> Average:
    """The mean of all updates, for `AveragedModel`: stochastic weight averaging (Izmailov et al. 2018)."""
    return lambda average, current, count: average + (current - average) / (count + 1)


class AveragedModel(Module):
    """A copy of a model whose weights are an average over the calls of `update_parameters`; names and keys are PyTorch's.

    The copy is `module`; the first update copies the weights. In its state are "n_averaged" and "module.*".

    Args:
        model: copied now; the copy's parameters are not trained.
        avg_fn: (average, weights, number of updates so far) -> average, elementwise; by default the mean of all.
        use_buffers: whether floating-point buffers are averaged too; otherwise all buffers are copied at each update.

    >>> import autograd as ag, nn
    >>> model = nn.Linear(1, 1, bias=False)
    >>> average = AveragedModel(model, get_ema_avg_fn(0.5))
    >>> for value in (1.0, 2.0, 4.0):
    ...     with ag.no_grad():
    ...         _ = model.weight.copy_(ag.full((1, 1), value))
    ...     average.update_parameters(model)
    >>> average.module.weight.item()
    2.75
    """

    def __init__(self, model: Module, avg_fn: Average | None = None, use_buffers: bool = False) -> None:
        super().__init__()
        self.module = copy.deepcopy(model).requires_grad_(False)
        self.register_buffer("n_averaged", ag.tensor(0))
        self.avg_fn, self.use_buffers = avg_fn or get_swa_avg_fn(), bool(use_buffers)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self.module(*args, **kwargs)

    def update_parameters(self, model: Module) -> None:
        """Take the model's weights into the average.

        Raises:
            ValueError: another model; nothing is changed then.
        """
        own, given = (dict(m.named_parameters()) for m in (self.module, model))
        own_buffers, buffers = (dict(m.named_buffers()) for m in (self.module, model))
        shapes = {name: tensor.shape for name, tensor in (*own.items(), *own_buffers.items())}
        given_shapes = {name: tensor.shape for name, tensor in (*given.items(), *buffers.items())}
        if shapes != given_shapes:
            different = sorted(name for name in shapes.keys() | given_shapes if shapes.get(name) != given_shapes.get(name))
            raise ValueError(f"AveragedModel: the model given is another; these differ: {', '.join(different[:10])}")
        count = int(self.n_averaged.item())
        with ag.no_grad():
            for name, average in (*own.items(), *own_buffers.items()):
                current = (given if name in own else buffers)[name].detach()
                averaged = count and average.dtype.kind == "f" and (name in own or self.use_buffers)
                average.copy_(self.avg_fn(average.detach(), current, count) if averaged else current)
            self.n_averaged.copy_(ag.tensor(count + 1))
