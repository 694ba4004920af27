"""Training steps: zero_grad, forward, cross-entropy, backward, optimizer. By the wall clock, several steps per wait.

All start from the same weights and see the same batch. Before anything is timed each trains a copy for a few steps, and
its losses must be those of a float64 network written out in NumPy (see bench.cases.training).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

import nn
from bench.cases.training import (
    CHECKED_STEPS,
    LEARNING_RATE,
    TIMED_LEARNING_RATE,
    initial_parameters,
    one_step,
    our_step,
    reference_losses,
    torch_step,
)
from bench.gpu.case import Case, Work, normal, ratio
from bench.gpu.contest import Bench
from bench.gpu.elementwise import launches
from bench.harness import check

STEPS = 10  # in a call, so that waiting for the device does not count


def cases(bench: Bench) -> list[Case]:
    """The demo's step, then the usual MLP's, and it again next to PyTorch's fused Adam."""
    demo = bench.size(((64, 128, 10), 32), ((5, 6, 3), 4))
    mlp = bench.size(((784, 512, 512, 10), 128), ((7, 6, 5, 3), 4))
    names = ["-".join(map(str, widths)) for widths, _ in (demo, mlp)]
    batches = [f"batch {batch}" for _, batch in (demo, mlp)]
    return [
        Case("training", f"the demo's step, {names[0]}, AdamW", batches[0], partial(demo_step, bench, *demo)),
        Case("training", f"{names[0]}, Adam", batches[0], partial(mlp_step, bench, *demo, False)),
        Case("training", f"{names[1]}, Adam", batches[1], partial(mlp_step, bench, *mlp, True)),
    ]


def _batch(widths: tuple[int, ...], batch: int) -> tuple[np.ndarray, np.ndarray]:
    return normal((batch, widths[0]), seed=1), np.random.default_rng(2).integers(0, widths[-1], batch)


def several(bench: Bench, step: Callable[[], Any]) -> Callable[[int], Any]:
    """Some steps, one after the other; the last loss."""
    count = bench.size(STEPS, 1)

    def run(_: int) -> Any:
        for _ in range(count):
            loss = step()
        return loss

    return run


def mlp_step(bench: Bench, widths: tuple[int, ...], batch: int, judged: bool) -> Work:
    """A step with Adam."""
    parameters, (x, y) = initial_parameters(widths), _batch(widths, batch)
    makers: dict[str, Callable[..., Callable[[], Any]]] = {"ours": partial(our_step, device="cuda")}
    if bench.torch is not None:
        makers["torch"] = partial(torch_step, device=bench.libraries["torch"].device)  # type: ignore[attr-defined]
        if not bench.rehearsal:
            makers["torch fused"] = partial(makers["torch"], fused=True)
    losses = reference_losses(parameters, x, y, LEARNING_RATE, bench.size(CHECKED_STEPS, 2))
    for name, make in makers.items():
        step = make(parameters, x, y, LEARNING_RATE)
        check(f"{name}, losses of the first steps", [step().item() for _ in losses], losses, tolerance=1e-4, scale=0.0)
    steps = {name: make(parameters, x, y, TIMED_LEARNING_RATE) for name, make in makers.items()}
    contenders = {name: several(bench, step) for name, step in steps.items()}
    return Work(
        contenders, lambda: losses[0], tolerance=1e-4, scale=0.0, wall=True, per_call=STEPS, keep=False,
        targets=[ratio(1.0)] if judged else [], note=f"{launches(steps['ours'])} launches a step",
    )  # fmt: skip


def demo_step(bench: Bench, widths: tuple[int, ...], batch: int) -> Work:
    """The step of learn/examples/digits.py: dropout, label smoothing, AdamW. Random, so it is checked for learning only."""
    inputs, hidden, outputs = widths
    x, y = _batch(widths, batch)

    def layers(library: Any) -> list[Any]:
        return [library.Linear(inputs, hidden), library.ReLU(), library.Dropout(0.3), library.Linear(hidden, outputs)]

    def ours() -> Callable[[], Any]:
        model = nn.Sequential(*layers(nn)).to("cuda")
        adam = nn.optim.AdamW(model.parameters(), lr=5e-3, weight_decay=1e-2)
        loss = nn.CrossEntropyLoss(label_smoothing=0.1)
        return one_step(model, loss, adam, bench.ours.tensor(x), bench.ag.tensor(y, device="cuda"))

    def theirs() -> Callable[[], Any]:
        torch, library = bench.torch, bench.libraries["torch"]
        model = torch.nn.Sequential(*layers(torch.nn)).to(library.device)  # type: ignore[attr-defined]
        adam = torch.optim.AdamW(model.parameters(), lr=5e-3, weight_decay=1e-2)
        loss = torch.nn.CrossEntropyLoss(label_smoothing=0.1)
        return one_step(model, loss, adam, library.array(x), library.array(y))

    bench.ag.manual_seed(0)
    steps = {"ours": ours()}
    if bench.torch is not None:
        steps["torch"] = theirs()
    for name, step in steps.items():
        first = step().item()
        for _ in range(bench.size(50, 1)):
            last = step().item()
        if not np.isfinite(last) or (last >= first and not bench.tiny):
            raise AssertionError(f"{name} does not learn: the loss went from {first:g} to {last:g}")
    contenders = {name: several(bench, step) for name, step in steps.items()}
    return Work(
        contenders, wall=True, per_call=STEPS, keep=False, unchecked=True, targets=[ratio(1.0)],
        note=f"{launches(steps['ours'])} launches a step",
    )  # fmt: skip
