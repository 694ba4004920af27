"""Matrix products: squares from 4x4 to 64 MB, transposes, batches, vectors, and the shapes of small networks."""

from __future__ import annotations

from functools import partial

import numpy as np

from bench.machine import torch_module
from bench.suite import Case, Work, contenders, normal
from kernels import cpu


def product(a_shape: tuple[int, ...], b_shape: tuple[int, ...], transposed: str = "", dtype: str = "float32") -> Work:
    """a @ b; the operand named by `transposed` is stored as its transpose."""
    a, b = normal(a_shape, dtype), normal(b_shape, dtype, seed=1)
    if transposed == "a":
        a = np.ascontiguousarray(a.T).T
    if transposed == "b":
        b = np.ascontiguousarray(b.T).T
    torch = torch_module()
    with_torch = None if torch is None else partial(torch.matmul, torch.from_numpy(a), torch.from_numpy(b))
    expected = a.astype(np.float64) @ b.astype(np.float64)
    depth = a_shape[-1]
    return Work(
        contenders(partial(cpu.matmul, a, b), partial(np.matmul, a, b), with_torch),
        reference=expected,
        tolerance=1e-5 if dtype == "float32" else 1e-14,
        scale=depth**0.5,
        operations=2.0 * expected.size * depth,
        dtype=dtype,
    )


def square(side: int, **options) -> Work:
    """A square matrix times another."""
    return product((side, side), (side, side), **options)


def cases() -> list[Case]:
    """All matrix products."""
    found = [Case("matmul", "square", str(side), partial(square, side)) for side in (4, 16, 64, 128, 256, 512, 1024)]
    found += [
        Case("matmul", "square, float64", "512", partial(square, 512, dtype="float64")),
        Case("matmul", "a transposed", "512", partial(square, 512, transposed="a")),
        Case("matmul", "b transposed", "512", partial(square, 512, transposed="b")),
        Case("matmul", "b transposed", "128x784x512", partial(product, (128, 784), (784, 512), transposed="b")),
        Case("matmul", "a transposed", "512x128x784", partial(product, (512, 128), (128, 784), transposed="a")),
        Case("matmul", "b transposed", "64x64x128", partial(product, (64, 64), (64, 128), transposed="b")),
        Case("matmul", "batch of 64", "64", partial(product, (64, 64, 64), (64, 64, 64))),
        Case("matmul", "matrix, column", "2048", partial(product, (2048, 2048), (2048, 1))),
        Case("matmul", "row, matrix", "2048", partial(product, (1, 2048), (2048, 2048))),
        Case("matmul", "square", "2048", partial(square, 2048), large=True),
        Case("matmul", "square", "4096", partial(square, 4096), large=True),  # 64 MB
    ]
    return found
