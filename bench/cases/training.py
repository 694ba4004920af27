"""One training step of a fully connected network: zero_grad, forward, cross-entropy, backward, Adam.

All contenders start from the same weights and see the same batch. Before anything is timed, each trains a copy for a few
steps, and its losses must be those of a float64 network written out in NumPy.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np

import autograd as ag
import nn
from bench.harness import check
from bench.machine import torch_module
from bench.suite import Work, contenders, normal

LEARNING_RATE = 1e-3
# While it is timed a network should stay what it is: one that has learnt its only batch computes with denormal numbers.
TIMED_LEARNING_RATE = 1e-9
CHECKED_STEPS = 5
Parameters = list[np.ndarray]  # weight (out, in) and bias (out,) of each layer in turn


def training_step(widths: tuple[int, ...], batch: int, fused_adam: bool = False) -> Work:
    """A step of the network with these layer widths; `fused_adam`: with PyTorch's Adam(fused=True), which is not its default."""
    parameters = initial_parameters(widths)
    x, y = normal((batch, widths[0]), seed=1), np.random.default_rng(2).integers(0, widths[-1], batch)
    makers = {"ours": our_step}
    if torch_module() is not None:
        makers["torch"] = lambda *given: torch_step(*given, fused=fused_adam)
    expected = reference_losses(parameters, x, y, LEARNING_RATE, CHECKED_STEPS)
    for name, make in makers.items():
        step = make(parameters, x, y, LEARNING_RATE)
        check(f"{name}, losses of the first steps", [step().item() for _ in expected], expected, tolerance=1e-4, scale=0.0)
    steps = {name: make(parameters, x, y, TIMED_LEARNING_RATE) for name, make in makers.items()}
    return Work(
        contenders(steps["ours"], None, steps.get("torch")), reference=expected[0], tolerance=1e-4, scale=0.0,
        operations=6.0 * batch * sum(p.size for p in parameters if p.ndim == 2),
    )  # fmt: skip


def initial_parameters(widths: tuple[int, ...]) -> Parameters:
    """Uniform in +-1 / sqrt(inputs), as both libraries begin."""
    generator = np.random.default_rng(0)
    found = []
    for inputs, outputs in pairwise(widths):
        bound = inputs**-0.5
        found.append(generator.uniform(-bound, bound, (outputs, inputs)).astype(np.float32))
        found.append(generator.uniform(-bound, bound, outputs).astype(np.float32))
    return found


def _layers(library: Any, parameters: Parameters) -> list[Any]:
    layers: list[Any] = []
    for weight in parameters[::2]:
        layers += [library.Linear(weight.shape[1], weight.shape[0]), library.ReLU()]
    return layers[:-1]


def our_step(parameters: Parameters, x: np.ndarray, y: np.ndarray, lr: float, device: str = "cpu") -> Callable[[], Any]:
    """A step of ours; it returns the loss."""
    model = nn.Sequential(*_layers(nn, parameters))
    model.load_state_dict({name: ag.tensor(p) for (name, _), p in zip(model.named_parameters(), parameters, strict=True)})
    adam = nn.optim.Adam(model.to(device).parameters(), lr=lr)
    return one_step(model, nn.CrossEntropyLoss(), adam, ag.tensor(x, device=device), ag.tensor(y, device=device))


def torch_step(
    parameters: Parameters, x: np.ndarray, y: np.ndarray, lr: float, fused: bool = False, device: str = "cpu"
) -> Callable[[], Any]:
    """A step of PyTorch's."""
    torch = torch_module()
    assert torch is not None
    model = torch.nn.Sequential(*_layers(torch.nn, parameters))
    names = [name for name, _ in model.named_parameters()]
    model.load_state_dict({name: torch.from_numpy(p.copy()) for name, p in zip(names, parameters, strict=True)})
    adam = torch.optim.Adam(model.to(device).parameters(), lr=lr, **({"fused": True} if fused else {}))
    return one_step(model, torch.nn.CrossEntropyLoss(), adam, torch.tensor(x, device=device), torch.tensor(y, device=device))


def one_step(model: Any, loss_function: Any, optimizer: Any, x: Any, y: Any) -> Callable[[], Any]:
    """zero_grad, forward, backward and update of any library's network; it returns the loss."""

    def step() -> Any:
        optimizer.zero_grad()
        loss = loss_function(model(x), y)
        loss.backward()
        optimizer.step()
        return loss

    return step


def reference_losses(parameters: Parameters, x: np.ndarray, y: np.ndarray, lr: float, steps: int) -> np.ndarray:
    """The loss of each step in float64, by the textbook's formulas."""
    current = [p.astype(np.float64) for p in parameters]
    means, squares = ([np.zeros_like(p) for p in current] for _ in range(2))
    losses, rows = [], np.arange(len(y))
    for step in range(1, steps + 1):
        inputs = [x.astype(np.float64)]
        for weight, bias in zip(current[::2], current[1::2], strict=True):
            inputs.append(np.maximum(inputs[-1] @ weight.T + bias, 0))
        logits = inputs[-2] @ current[-2].T + current[-1]  # the last layer has no ReLU
        shifted = logits - logits.max(axis=1, keepdims=True)
        log_probabilities = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
        losses.append(-log_probabilities[rows, y].mean())
        slope = np.exp(log_probabilities)
        slope[rows, y] -= 1
        slope /= len(y)
        grads: list[np.ndarray] = []
        for layer in reversed(range(len(current) // 2)):
            grads = [slope.T @ inputs[layer], slope.sum(axis=0), *grads]
            slope = slope @ current[2 * layer] * (inputs[layer] > 0)
        for p, g, m, v in zip(current, grads, means, squares, strict=True):
            m += 0.1 * (g - m)
            v += 0.001 * (g * g - v)
            p -= lr * m / (1 - 0.9**step) / (np.sqrt(v / (1 - 0.999**step)) + 1e-8)
    return np.array(losses)
