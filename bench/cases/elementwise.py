"""Elementwise kernels: from 16 elements, where a call is all overhead, to 64 MB, where memory decides."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from bench.machine import torch_module
from bench.suite import Case, Work, contenders, normal, size_label
from kernels import cpu, formulas


def erf(x: np.ndarray) -> np.ndarray:
    """The error function in float64, from the C library."""
    return np.fromiter(map(math.erf, x.ravel().tolist()), np.float64, x.size).reshape(x.shape)


@dataclass(frozen=True)
class Function:
    """An elementwise function three times: NumPy's (None where it has none), PyTorch's, and the float64 reference."""

    arity: int
    torch: Callable[[Any], Callable]
    reference: Callable[..., np.ndarray]
    numpy: Callable[..., np.ndarray] | None = None


FUNCTIONS = {
    "add": Function(2, lambda t: t.add, np.add, np.add),
    "multiply": Function(2, lambda t: t.mul, np.multiply, np.multiply),
    "relu": Function(1, lambda t: t.relu, lambda x: np.maximum(x, 0), lambda x: np.maximum(x, 0)),
    "exp": Function(1, lambda t: t.exp, np.exp, np.exp),
    "log": Function(1, lambda t: t.log, np.log, np.log),
    "sin": Function(1, lambda t: t.sin, np.sin, np.sin),
    "tanh": Function(1, lambda t: t.tanh, np.tanh, np.tanh),
    "sigmoid": Function(1, lambda t: t.sigmoid, lambda x: 1 / (1 + np.exp(-x)), lambda x: 1 / (1 + np.exp(-x))),
    "gelu": Function(1, lambda t: t.nn.functional.gelu, lambda x: 0.5 * x * (1 + erf(x / math.sqrt(2)))),
}

SIZES = (16, 1 << 10, 1 << 16, 1 << 20, 1 << 24)
OVER_ALL_SIZES = ("add", "exp", "tanh")
SMALL_SIZES = SIZES[:-1]  # gelu's reference takes a second for 64 MB


def dense(name: str, size: int, dtype: str = "float32") -> Work:
    """A function of contiguous arrays."""
    operands = [normal(size, dtype, seed) for seed in range(FUNCTIONS[name].arity)]
    return _work(name, operands, dtype)


def transposed(name: str, side: int) -> Work:
    """A matrix and a transposed one: one of the two is read across its rows."""
    return _work(name, [normal((side, side)), normal((side, side), seed=1).T])


def broadcast_row(name: str, side: int) -> Work:
    """A matrix and a row, as for a bias."""
    return _work(name, [normal((side, side)), normal(side, seed=1)])


def every_other(name: str, size: int) -> Work:
    """Every other element of an array twice as long."""
    return _work(name, [normal(2 * size)[::2]] + [normal(size, seed=1)] * (FUNCTIONS[name].arity - 1))


def _work(name: str, operands: list[np.ndarray], dtype: str = "float32") -> Work:
    function, formula = FUNCTIONS[name], formulas.TABLE[name]
    if name == "log":
        operands = [np.abs(x) for x in operands]
    torch = torch_module()
    with_torch = with_numpy = None
    if torch is not None:
        tensors, torch_function = [torch.from_numpy(x) for x in operands], function.torch(torch)
        with_torch = partial(torch_function, *tensors)
    if function.numpy is not None:
        with_numpy = partial(function.numpy, *operands)
    reference = function.reference(*(x.astype(np.float64) for x in operands))
    return Work(
        contenders(partial(cpu.apply, formula, *operands), with_numpy, with_torch),
        reference=reference,
        tolerance=2e-6 if dtype == "float32" else 1e-14,
        traffic=sum(x.nbytes for x in operands) + reference.size * np.dtype(dtype).itemsize,
        dtype=dtype,
    )


def update_with_adam(size: int) -> Work:
    """Adam's update, in place: four arrays read and three written in one pass, where NumPy needs a dozen."""
    parameter, gradient, mean, square = normal(size), normal(size, seed=1), np.zeros(size, np.float32), np.zeros(size, np.float32)
    settings = {"lr": 0.0, "beta1": 0.9, "beta2": 0.999, "eps": 1e-8, "weight_decay": 0.0}
    corrections = {"bias_correction1": 0.1, "bias_correction2": 0.001}
    expected = parameter.astype(np.float64)  # with lr 0 nothing moves, however often it is called
    state = mean.copy(), square.copy(), parameter.copy()

    def ours() -> np.ndarray:
        out = (parameter, mean, square)
        return cpu.apply(formulas.adam, parameter, gradient, mean, square, out=out, **settings, **corrections)[0]

    def with_numpy() -> np.ndarray:
        m, v, p = state
        m *= 0.9
        m += 0.1 * gradient
        v *= 0.999
        v += 0.001 * gradient * gradient
        p -= 0.0 * (m / 0.1) / (np.sqrt(v / 0.001) + 1e-8)
        return p

    return Work(contenders(ours, with_numpy), expected, traffic=7.0 * parameter.nbytes)


def cases() -> list[Case]:
    """All elementwise cases."""
    found = []
    for name in (*OVER_ALL_SIZES, "gelu"):
        sizes = SIZES if name in OVER_ALL_SIZES else SMALL_SIZES
        found += [Case("elementwise", name, size_label(size), partial(dense, name, size), size == SIZES[-1]) for size in sizes]
    large = 1 << 20
    others = ("multiply", "relu", "sigmoid", "log", "sin")
    found += [Case("elementwise", name, size_label(large), partial(dense, name, large)) for name in others]
    for name in ("add", "exp", "tanh"):
        found.append(Case("elementwise", f"{name}, float64", size_label(large), partial(dense, name, large, "float64")))
    found += [
        Case("elementwise", "add, one transposed", "1024x1024", partial(transposed, "add", 1024)),
        Case("elementwise", "add, a row", "1024x1024", partial(broadcast_row, "add", 1024)),
        Case("elementwise", "exp, every other", "1M", partial(every_other, "exp", large)),
        Case("elementwise", "Adam update", "1M", partial(update_with_adam, large)),
    ]
    return found
