"""Elements moved, not computed with: copies of permuted arrays, concat and pad."""

from __future__ import annotations

from functools import partial

import numpy as np

import autograd as ag
from bench.machine import torch_module
from bench.suite import Case, Work, contenders, normal
from kernels import cpu

Shape = tuple[int, ...]


def _numbers(shape: Shape, dtype: str) -> np.ndarray:
    return normal(shape, dtype) if dtype.startswith("float") else (100 * normal(shape)).astype(dtype)


def permuted_copy(shape: Shape, axes: tuple[int, ...], dtype: str = "float32") -> Work:
    x, torch = _numbers(shape, dtype), torch_module()
    view = x.transpose(axes)
    with_torch = None if torch is None else torch.from_numpy(x).permute(*axes).contiguous
    return Work(
        contenders(partial(cpu.copy, view), partial(np.ascontiguousarray, view), with_torch), view.astype(np.float64),
        traffic=2.0 * x.nbytes, dtype=dtype,
    )  # fmt: skip


def concat(count: int, shape: Shape, axis: int) -> Work:
    pieces, torch = [normal(shape, seed=n) for n in range(count)], torch_module()
    tensors = [ag.asarray(p) for p in pieces]
    with_torch = None if torch is None else partial(torch.cat, [torch.from_numpy(p) for p in pieces], axis)
    return Work(
        contenders(lambda: ag.concat(tensors, axis=axis).numpy(), partial(np.concatenate, pieces, axis), with_torch),
        np.concatenate(pieces, axis).astype(np.float64), traffic=2.0 * count * pieces[0].nbytes,
    )  # fmt: skip


def pad(shape: Shape, width: int) -> Work:
    """Zeros around the last two axes."""
    x, torch = normal(shape), torch_module()
    widths = ((0, 0),) * (x.ndim - 2) + ((width, width),) * 2
    tensor = ag.asarray(x)
    with_torch = None if torch is None else partial(torch.nn.functional.pad, torch.from_numpy(x), (width,) * 4)
    padded = np.pad(x, widths)
    return Work(
        contenders(lambda: ag.pad(tensor, widths).numpy(), partial(np.pad, x, widths), with_torch), padded.astype(np.float64),
        traffic=float(x.nbytes + padded.nbytes),
    )  # fmt: skip


COPIES: list[tuple[str, Shape, tuple[int, ...], str]] = [
    ("transpose", (2048, 2048), (1, 0), "float32"),
    ("transpose", (2048, 2048), (1, 0), "float64"),
    ("transpose", (2048, 2048), (1, 0), "int8"),
    ("transpose", (4096, 33), (1, 0), "float32"),
    ("transpose", (16, 16), (1, 0), "float32"),
    ("matrices", (8, 512, 64), (0, 2, 1), "float32"),
    ("NCHW to NHWC", (32, 64, 56, 56), (0, 2, 3, 1), "float32"),
    ("NHWC to NCHW", (32, 56, 56, 64), (0, 3, 1, 2), "float32"),
    ("heads", (8, 128, 12, 64), (0, 2, 1, 3), "float32"),
]
CONCATS: list[tuple[int, Shape, int]] = [(1000, (16,), 0), (2, (16,), 0), (3, (1024, 256), 1), (3, (1024, 1024), 0)]
PADS: list[tuple[Shape, int]] = [((16, 16), 2), ((1000, 1000), 1), ((32, 64, 28, 28), 1)]


def _size(shape: Shape) -> str:
    return "x".join(map(str, shape))


def cases() -> list[Case]:
    """Copies, concats and pads."""
    return [
        *(
            Case("moving", f"copy: {name}", f"{_size(shape)} {dtype}", partial(permuted_copy, shape, axes, dtype))
            for name, shape, axes, dtype in COPIES
        ),
        *(
            Case("moving", f"concat, axis {axis}", f"{count} of {_size(shape)}", partial(concat, count, shape, axis))
            for count, shape, axis in CONCATS
        ),
        *(Case("moving", "pad", f"{_size(shape)} by {width}", partial(pad, shape, width)) for shape, width in PADS),
    ]
