"""What matrix products mean on any device: which operands fit together, and how their batches are walked."""

from __future__ import annotations

from typing import Any

import numpy as np

from kernels.layout import Layout


def check_operands(a: Layout, b: Layout, bias: bool, halves: bool = False) -> None:
    """Raise unless the product is defined; `halves`: whether there are kernels for float16 and bfloat16 (a structure)."""
    if a.dtype != b.dtype:
        raise TypeError(f"matmul: operands have dtypes {a.dtype} and {b.dtype}; kernels do not promote, convert one with astype")
    kind, native = a.dtype.kind, a.dtype.isnative
    known = kind in "biu" or (kind == "f" and a.dtype.itemsize in (4, 8)) or (halves and (kind == "V" or a.dtype.itemsize == 2))
    if not known or not native:
        small = "float16, bfloat16, " if halves else ""
        raise TypeError(f"matmul: computes in {small}float32, float64, integers and bool, got {a.dtype}; convert with astype")
    if not a.ndim or not b.ndim:
        raise ValueError(f"matmul: operands need at least one dimension, got shapes {a.shape} and {b.shape}")
    inner = b.shape[-2] if b.ndim > 1 else b.shape[0]
    if a.shape[-1] != inner:
        raise ValueError(
            f"matmul: shapes {a.shape} and {b.shape} do not fit: the inner sizes {a.shape[-1]} (last axis of a) and "
            f"{inner} ({'second-to-last' if b.ndim > 1 else 'only'} axis of b) differ"
        )
    if bias and b.ndim == 1:
        raise ValueError(f"matmul: a bias is added to rows, and with b of shape {b.shape} the result has none")


def check_bias(bias: Any, shape: tuple[int, ...], dtype: np.dtype) -> None:
    """Raise unless a bias fits a result of this shape and dtype."""
    if bias.dtype != dtype:
        raise TypeError(f"matmul: the bias has dtype {bias.dtype}, the operands {dtype}; convert with astype")
    if bias.shape != shape[-1:]:
        raise ValueError(f"matmul: the bias must have shape {shape[-1:]}, one value per column; got {bias.shape}")


def check_out(out: Any, shape: tuple[int, ...], dtype: np.dtype) -> None:
    """Raise unless a result of this shape and dtype can be written into `out`."""
    if out.shape != shape or out.dtype != dtype:
        raise ValueError(f"matmul: out must be {dtype}{shape}, got {out.dtype}{out.shape}")
    if not out.flags.writeable:
        raise ValueError("matmul: out is read-only")


def batch_shape(a: Layout, b: Layout) -> tuple[int, ...]:
    """The broadcast shape of all dimensions before the matrices'."""
    try:
        return np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    except ValueError:
        raise ValueError(
            f"matmul: shapes {a.shape} and {b.shape} do not fit: their batch dimensions {a.shape[:-2]} and "
            f"{b.shape[:-2]} do not broadcast"
        ) from None


def batch_strides(a: Layout, b: Layout, batch: tuple[int, ...]) -> list[tuple[int, ...]]:
    """The strides of both operands along the batch, 0 where one is stretched."""
    found = []
    for layout in (a, b):
        own = layout.shape[:-2]
        steps = [0 if size == 1 else s for size, s in zip(own, layout.strides[: len(own)], strict=True)]
        found.append((0,) * (len(batch) - len(own)) + tuple(steps))
    return found
