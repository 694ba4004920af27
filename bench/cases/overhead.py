"""What the engine itself costs: operations on 16 floats, where the arithmetic is nothing, and whole training steps."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

import autograd as ag
import nn
from bench.cases.elementwise import FUNCTIONS
from bench.cases.rows import softmax
from bench.cases.training import training_step
from bench.machine import torch_module
from bench.suite import Case, Work, contenders, normal

SIZE = 16
CHAIN = 100  # operations
REPEATED = range(100)  # an operation in one call, so that the call around it does not count


def _operands(requires_grad: bool = False) -> tuple[Any, ...]:
    """Two vectors as arrays, as our tensors, and as PyTorch's (None, None where it is not installed)."""
    x, y = normal(SIZE), normal(SIZE, seed=1)
    torch = torch_module()
    pairs = [x, y, ag.tensor(x, requires_grad=requires_grad), ag.tensor(y)]
    if torch is None:
        return (*pairs, None, None)
    return (*pairs, torch.from_numpy(x.copy()).requires_grad_(requires_grad), torch.from_numpy(y))


def _repeated(operation: Callable[..., Any], *operands: Any) -> Callable[[], Any] | None:
    """The operation many times over; None where the operands are those of a library that is not there."""
    if operands[0] is None:
        return None

    def run() -> Any:
        for _ in REPEATED:
            result = operation(*operands)
        return result

    return run


def multiplication(recorded: bool) -> Work:
    """x * y on 16 floats."""

    def run(x: Any, y: Any) -> Callable[[], Any] | None:
        if x is None:
            return None

        def loop() -> Any:
            for _ in REPEATED:
                result = x * y
            return result

        return loop

    a, b, x, y, torch_x, torch_y = _operands(recorded)
    peers = contenders(run(x, y), None if recorded else run(a, b), run(torch_x, torch_y))
    return Work(peers, a.astype(np.float64) * b, per_call=len(REPEATED))


def function(name: str) -> Work:
    """A function of one tensor that requires grad, recorded."""
    a, _, x, _, torch_x, _ = _operands(True)
    torch = torch_module()
    with_torch = None if torch is None else _repeated(getattr(torch, name), torch_x)
    reference = {"exp": np.exp, "relu": lambda v: np.maximum(v, 0), "sum": np.sum}[name](a.astype(np.float64))
    return Work(contenders(_repeated(getattr(ag, name), x), None, with_torch), reference, per_call=len(REPEATED))


def chain() -> Work:
    """Forward and backward, per operation: y = y * a + a fifty times, then y.sum().backward()."""
    _, factors, x, a, torch_x, torch_a = _operands(True)

    def run(x: Any, a: Any) -> Callable[[], Any] | None:
        if x is None:
            return None

        def forward_and_backward() -> Any:
            x.grad = None
            y = x
            for _ in range(CHAIN // 2):
                y = y * a + a
            y.sum().backward()
            return x.grad

        return forward_and_backward

    reference = factors.astype(np.float64) ** (CHAIN // 2)
    return Work(contenders(run(x, a), None, run(torch_x, torch_a)), reference, tolerance=1e-4, per_call=CHAIN)


def linear_layer() -> Work:
    """A fully connected layer of 16 features on one row: module call, kernel and node."""
    layer, x = nn.Linear(SIZE, SIZE), normal((1, SIZE))
    weight, bias = layer.weight.detach().numpy(), layer.bias.detach().numpy()
    with_torch = None
    torch = torch_module()
    if torch is not None:
        other = torch.nn.Linear(SIZE, SIZE)
        other.load_state_dict({"weight": torch.from_numpy(weight.copy()), "bias": torch.from_numpy(bias.copy())})
        with_torch = _repeated(other, torch.from_numpy(x))
    reference = x.astype(np.float64) @ weight.T + bias
    return Work(contenders(_repeated(layer, ag.tensor(x)), None, with_torch), reference, per_call=len(REPEATED))


def adam_step(parameters: int, size: int) -> Work:
    """One step of the optimizer alone, on so many parameters; per parameter."""
    values, grads = normal((parameters, size)), normal((parameters, size), seed=1)
    torch = torch_module()
    ours = [ag.tensor(v, requires_grad=True) for v in values]
    for p, g in zip(ours, grads, strict=True):
        p.grad = ag.tensor(g)
    peers = contenders(_steps(nn.optim.Adam(ours, lr=1e-9), ours))
    if torch is not None:
        theirs = [torch.from_numpy(v.copy()).requires_grad_() for v in values]
        for p, g in zip(theirs, grads, strict=True):
            p.grad = torch.from_numpy(g)
        peers["torch"] = _steps(torch.optim.Adam(theirs, lr=1e-9), theirs)
    return Work(peers, values[0].astype(np.float64), per_call=parameters)


def _steps(optimizer: Any, parameters: list) -> Callable[[], Any]:
    def run() -> Any:
        optimizer.step()
        return parameters[0]

    return run


def fused(size: int) -> Work:
    """tanh(x) * y + x * x: one kernel of ours by `ag.fuse`, four of everybody else's."""
    a, b = normal(size), normal(size, seed=1)
    x, y = ag.tensor(a), ag.tensor(b)

    @ag.fuse
    def together(x, y):
        return ag.tanh(x) * y + x * x

    torch, with_torch = torch_module(), None
    if torch is not None:
        torch_x, torch_y = torch.from_numpy(a), torch.from_numpy(b)

        def with_torch() -> Any:
            return torch.tanh(torch_x) * torch_y + torch_x * torch_x

    def with_numpy() -> np.ndarray:
        return np.tanh(a) * b + a * a

    wide = a.astype(np.float64)
    reference = np.tanh(wide) * b + wide * wide
    return Work(contenders(partial(together, x, y), with_numpy, with_torch), reference, traffic=3.0 * a.nbytes)


def forward(name: str, side: int) -> Work:
    """A function of a square matrix as a user calls it: tensors, nothing recorded."""
    a, torch = normal((side, side)), torch_module()
    reference, ours, torch_function = {
        "softmax": (softmax, ag.softmax, lambda x: torch.softmax(x, -1)),
        "gelu": (FUNCTIONS["gelu"].reference, ag.gelu, lambda x: torch.nn.functional.gelu(x)),
        "tanh": (np.tanh, ag.tanh, lambda x: torch.tanh(x)),
    }[name]
    with_torch = None if torch is None else partial(torch_function, torch.from_numpy(a))
    peers = contenders(partial(ours, ag.tensor(a)), None, with_torch)
    return Work(peers, reference(a.astype(np.float64)), scale=1 / side if name == "softmax" else 1.0, traffic=2.0 * a.nbytes)


def cases() -> list[Case]:
    """All cases of the engine's overhead."""
    small = f"{SIZE}"
    return [
        Case("overhead", "x * y", small, partial(multiplication, False)),
        Case("overhead", "x * y, recorded", small, partial(multiplication, True)),
        Case("overhead", "exp, recorded", small, partial(function, "exp")),
        Case("overhead", "relu, recorded", small, partial(function, "relu")),
        Case("overhead", "sum, recorded", small, partial(function, "sum")),
        Case("overhead", "forward + backward per operation", f"{CHAIN} x {SIZE}", chain),
        Case("overhead", "Linear, recorded", f"{SIZE} to {SIZE}", linear_layer),
        Case("overhead", "Adam, per parameter", f"10 x {SIZE}", partial(adam_step, 10, SIZE)),
        Case("overhead", "Adam, per parameter", "1 x 1M", partial(adam_step, 1, 1 << 20)),
        Case("overhead", "fused tanh(x) * y + x * x", small, partial(fused, SIZE)),
        Case("overhead", "fused tanh(x) * y + x * x", "1M", partial(fused, 1 << 20)),
        Case("overhead", "training step", "64-128-10, 64 rows", partial(training_step, (64, 128, 10), 64)),
        Case("overhead", "training step", "784-512-512-10, 128 rows", partial(training_step, (784, 512, 512, 10), 128)),
    ]
