"""Elements in order along an axis: sorting, top-k, searching, running sums and products."""

from __future__ import annotations

from functools import partial
from math import prod
from typing import Any

import numpy as np

from bench.machine import torch_module
from bench.suite import Case, Work, contenders, normal, size_label
from kernels import cpu

Shape = tuple[int, ...]


def stable_sort(shape: Shape, dtype: str) -> Work:
    """The elements and where they stood; NumPy and PyTorch are asked for a stable order, too, for ours always is."""
    x, torch = drawn(shape, dtype), torch_module()

    def with_numpy() -> tuple[np.ndarray, np.ndarray]:
        order = np.argsort(x, axis=-1, kind="stable")
        return np.take_along_axis(x, order, -1), order

    with_torch = None if torch is None else partial(torch.sort, torch.from_numpy(x), stable=True)
    traffic = 2 * x.nbytes + 8 * x.size
    return Work(contenders(partial(cpu.sort_with_places, x), with_numpy, with_torch), np.sort(x), traffic=traffic)


def argsort(shape: Shape, dtype: str) -> Work:
    x, torch = drawn(shape, dtype), torch_module()
    with_torch = None if torch is None else partial(torch.argsort, torch.from_numpy(x), stable=True)
    with_numpy = partial(np.argsort, x, kind="stable")
    return Work(contenders(partial(cpu.argsort, x), with_numpy, with_torch), with_numpy(), traffic=x.nbytes + 8 * x.size)


def topk(shape: Shape, k: int) -> Work:
    """The k largest in order; NumPy's is a partition, of which k are sorted."""
    x, torch = normal(shape), torch_module()

    def with_numpy() -> tuple[np.ndarray, np.ndarray]:
        places = np.argpartition(x, x.shape[-1] - k, axis=-1)[..., x.shape[-1] - k :]
        values = np.take_along_axis(x, places, -1)
        order = np.argsort(-values, axis=-1)
        return np.take_along_axis(values, order, -1), np.take_along_axis(places, order, -1)

    with_torch = None if torch is None else partial(torch.topk, torch.from_numpy(x), k)
    return Work(contenders(partial(cpu.topk, x, k), with_numpy, with_torch), np.sort(x)[..., : -k - 1 : -1], traffic=x.nbytes)


def searching(size: int, wanted: int) -> Work:
    x, values, torch = np.sort(normal(size)), normal(wanted, seed=1), torch_module()
    with_torch = None if torch is None else partial(torch.searchsorted, torch.from_numpy(x), torch.from_numpy(values))
    with_numpy = partial(np.searchsorted, x, values)
    return Work(contenders(partial(cpu.searchsorted, x, values), with_numpy, with_torch), with_numpy(), traffic=12.0 * wanted)


def running(name: str, shape: Shape, axis: int, dtype: str) -> Work:
    """A running sum, or a running product of numbers near 1."""
    x, torch = normal(shape, dtype), torch_module()
    if name == "prod":
        x = (1 + x * 1e-3).astype(dtype)
    with_torch = None if torch is None else partial(getattr(torch, f"cum{name}"), torch.from_numpy(x), axis)
    function = {"sum": np.cumsum, "prod": np.cumprod}[name]
    return Work(
        contenders(partial(getattr(cpu, f"cumulative_{name}"), x, axis), partial(function, x, axis), with_torch),
        function(x.astype(np.longdouble), axis), tolerance=1e-4 if dtype == "float32" else 1e-11, scale=shape[axis] ** 0.5,
        traffic=2.0 * x.nbytes,
    )  # fmt: skip


def drawn(shape: Shape, dtype: str) -> np.ndarray:
    """Numbers without an order."""
    x: Any = normal(shape, "float64")
    return (x if np.dtype(dtype).kind == "f" else x * 1e6).astype(dtype)


def cases() -> list[Case]:
    """All of them."""
    found = []

    def add(name: str, shape: Shape, make: Any) -> None:
        label = size_label(prod(shape)) if len(shape) == 1 else "x".join(map(str, shape))
        found.append(Case("sorting", name, label, make, prod(shape) > 1 << 19))

    for dtype in ("float32", "float64", "int64"):
        for shape in ((1 << 10,), (1_000_000,), (1000, 1000), (10_000, 50)):
            add(f"sort, {dtype}", shape, partial(stable_sort, shape, dtype))
            if dtype == "float32":
                add(f"argsort, {dtype}", shape, partial(argsort, shape, dtype))
    for shape, k in (((1 << 10,), 5), ((1_000_000,), 10), ((1_000_000,), 1000), ((128, 10_000), 5), ((64, 32_000), 50)):
        add(f"top {k}", shape, partial(topk, shape, k))
    for size, wanted in ((1 << 10, 100), (1000, 100_000), (1_000_000, 10_000)):
        add(f"searchsorted, {wanted} in", (size,), partial(searching, size, wanted))
    for name in ("sum", "prod"):
        for dtype in ("float32", "float64"):
            for shape, axis in (((1 << 10,), 0), ((1_000_000,), 0), ((1000, 1000), 0), ((1000, 1000), 1)):
                where = "" if len(shape) == 1 else ", columns" if axis == 0 else ", rows"
                add(f"cumulative_{name}{where}, {dtype}", shape, partial(running, name, shape, axis, dtype))
    return found
