"""Elements by index: gather (embeddings), put, scatter-add, masks."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from bench.machine import torch_module
from bench.suite import Case, Work, contenders, normal, size_label
from kernels import cpu


def gather(rows: int, width: int, count: int) -> Work:
    """Rows of a table; single elements of a vector where the width is 0."""
    x, index, torch = normal((rows, width) if width else rows), places(rows, count), torch_module()
    with_torch = None if torch is None else partial(torch.index_select, torch.from_numpy(x), 0, torch.from_numpy(index))
    with_numpy = partial(np.take, x, index, 0)
    traffic = 8.0 * max(width, 1) * count
    return Work(contenders(partial(cpu.gather, x, [index]), with_numpy, with_torch), with_numpy(), traffic=traffic)


def put(rows: int, width: int, count: int) -> Work:
    """Rows of a table overwritten, each at most once."""
    index, values, torch = np.random.default_rng(0).permutation(rows)[:count], normal((count, width), seed=1), torch_module()
    tables = [np.zeros((rows, width), np.float32) for _ in range(3)]

    def ours() -> np.ndarray:
        cpu.put(tables[0], [index], values)
        return tables[0]

    def with_numpy() -> np.ndarray:
        tables[1][index] = values
        return tables[1]

    with_torch = None
    if torch is not None:
        with_torch = partial(torch.from_numpy(tables[2]).index_copy_, 0, torch.from_numpy(index), torch.from_numpy(values))
    expected = np.zeros((rows, width))
    expected[index] = values
    return Work(contenders(ours, with_numpy, with_torch), expected, traffic=8.0 * values.size)


def scatter_add(rows: int, width: int, count: int) -> Work:
    """The gradient of `gather`: what was taken from one place is added up there."""
    shape = (rows, width) if width else (rows,)
    index, values, torch = places(rows, count), normal((count, *shape[1:]), seed=1), torch_module()

    def added(kind: Any = np.float32) -> np.ndarray:
        total = np.zeros(shape, kind)
        np.add.at(total, index, values)
        return total

    with_torch = None
    if torch is not None:
        given = torch.from_numpy(index), torch.from_numpy(values)

        def with_torch() -> Any:
            return torch.zeros(shape).index_add_(0, *given)

    traffic = 4.0 * (values.size + rows * max(width, 1))
    return Work(
        contenders(partial(cpu.scatter_add, values, [index], shape), added, with_torch), added(np.float64),
        scale=(count / rows + 1) ** 0.5, traffic=traffic,
    )  # fmt: skip


def nonzero(size: int, share: float) -> Work:
    mask, torch = np.random.default_rng(0).random(size) < share, torch_module()
    with_torch = None if torch is None else partial(torch.nonzero, torch.from_numpy(mask), as_tuple=True)
    return Work(
        contenders(lambda: cpu.nonzero(mask)[0], lambda: np.nonzero(mask)[0], with_torch), np.nonzero(mask)[0],
        traffic=size * (1 + 8 * share),
    )  # fmt: skip


def masked_select(size: int, share: float) -> Work:
    x, mask, torch = normal(size), np.random.default_rng(0).random(size) < share, torch_module()
    with_torch = None if torch is None else partial(torch.masked_select, torch.from_numpy(x), torch.from_numpy(mask))
    return Work(
        contenders(lambda: cpu.gather(x, cpu.nonzero(mask)), lambda: x[mask], with_torch), x[mask], traffic=size * (5 + 4 * share)
    )


def places(rows: int, count: int) -> np.ndarray:
    """Indices among which some occur more than once."""
    return np.random.default_rng(2).integers(0, rows, count)


def cases() -> list[Case]:
    """All of them."""
    found = []

    def add(name: str, size: str, make: Any, large: bool = True) -> None:
        found.append(Case("indexing", name, size, make, large))

    for function, verb in ((gather, "gather"), (put, "put"), (scatter_add, "scatter_add")):
        for rows, width, count in ((32, 32, 100), (50_000, 512, 4096), (1000, 512, 4096)):
            if function is not put or count < rows:
                add(f"{verb}, {count} rows", f"{rows}x{width}", partial(function, rows, width, count), rows > 1000)
    for rows, count in ((1 << 10, 1000), (1_000_000, 100_000), (1000, 100_000)):
        for function, verb in ((gather, "gather"), (scatter_add, "scatter_add")):
            add(f"{verb}, {count} elements", size_label(rows), partial(function, rows, 0, count), rows > 1 << 10)
    for function, verb in ((nonzero, "nonzero"), (masked_select, "masked_select")):
        for size, share in ((1 << 10, 0.5), (1_000_000, 0.01), (1_000_000, 0.5), (1_000_000, 0.99)):
            add(f"{verb}, {share:.0%}", size_label(size), partial(function, size, share), size > 1 << 10)
    return found
