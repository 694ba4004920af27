"""Reductions: over everything, along rows, along columns."""

from __future__ import annotations

from functools import partial
from math import prod

import numpy as np

from bench.machine import torch_module
from bench.suite import Case, Work, contenders, normal, size_label
from kernels import cpu


def logsumexp(x: np.ndarray, axis: int | None = None) -> np.ndarray:
    """As it is written in NumPy."""
    largest = x.max(axis=axis, keepdims=True)
    return np.log(np.exp(x - largest).sum(axis=axis)) + largest.squeeze(axis)


# NumPy's function, and PyTorch's of (module, x, axis).
FUNCTIONS = {
    "sum": (np.sum, lambda t, x, axis: t.sum(x, dim=axis)),
    "mean": (np.mean, lambda t, x, axis: t.mean(x, dim=axis)),
    "max": (np.max, lambda t, x, axis: t.amax(x, dim=axis)),
    "var": (np.var, lambda t, x, axis: t.var(x, dim=axis, correction=0)),
    "argmax": (np.argmax, lambda t, x, axis: t.argmax(x, dim=axis)),
    "logsumexp": (logsumexp, lambda t, x, axis: t.logsumexp(x, dim=axis)),
}
AXES = {None: "all", 0: "columns", -1: "rows"}


def reduction(name: str, shape: tuple[int, ...], axis: int | None) -> Work:
    """One reduction of a C-ordered array."""
    with_numpy, torch_function = FUNCTIONS[name]
    x = normal(shape)
    torch = torch_module()
    with_torch = None if torch is None else partial(torch_function, torch, torch.from_numpy(x), axis)
    count = x.size if axis is None else shape[axis]
    return Work(
        contenders(partial(getattr(cpu, name), x, axis=axis), partial(with_numpy, x, axis=axis), with_torch),
        reference=with_numpy(x.astype(np.float64), axis=axis),
        scale=count**0.5 if name == "sum" else 1.0,
        traffic=x.nbytes,
    )


def cases() -> list[Case]:
    """All reductions."""
    found = []

    def add(name: str, shape: tuple[int, ...], axis: int | None) -> None:
        label = size_label(prod(shape)) if len(shape) == 1 else "x".join(map(str, shape))
        large = prod(shape) > 1 << 22
        found.append(Case("reduce", f"{name}, {AXES[axis]}", label, partial(reduction, name, shape, axis), large))

    for size in (16, 1 << 10, 1 << 16, 1 << 20, 1 << 24):
        add("sum", (size,), None)
    for axis in (0, -1):
        for shape in ((32, 32), (256, 256), (1024, 1024), (4096, 4096), (64, 1 << 16), (1 << 16, 64)):
            add("sum", shape, axis)
    for name in ("mean", "max", "var", "argmax", "logsumexp"):
        for axis in (-1, 0):
            add(name, (1024, 1024), axis)
    return found
