"""What attention and its gradients must give on every device, against matrix products in NumPy; `k` is the device's package."""

from __future__ import annotations

from typing import Any

import numpy as np

from kernels.attention import Dropout
from kernels.cpu.random import mask as random_mask

# (batch, heads, rows, keys, features of queries and keys, features of values)
SMALL = [(1, 1, 1, 1, 1, 1), (2, 3, 5, 7, 3, 5), (1, 2, 3, 3, 4, 8), (1, 2, 9, 33, 5, 6), (1, 1, 33, 9, 8, 17)]
EMPTY = [(1, 1, 4, 0, 3, 2), (2, 0, 3, 3, 2, 2), (1, 1, 0, 4, 2, 2), (1, 1, 3, 5, 0, 2), (1, 2, 3, 4, 2, 0)]
LARGE = [(1, 2, 64, 64, 32, 32), (2, 2, 65, 130, 17, 40), (1, 1, 200, 70, 70, 33), (1, 1, 5, 700, 8, 8), (1, 1, 33, 65, 300, 64)]
MASKS = ("none", "bool", "rows", "added", "keys")
LAYOUTS = ("dense", "rows first", "reversed", "gaps", "stretched")


def sample(shape: tuple[int, ...], dtype: Any, layout: str = "dense", seed: int = 0) -> np.ndarray:
    """Random values (B, H, T, D) that lie in memory as the layout says."""
    generator = np.random.default_rng(seed + sum(shape))
    b, h, t, d = shape

    def values(*shape: int) -> np.ndarray:
        return generator.standard_normal(shape).astype(dtype)

    if layout == "rows first":
        return values(b, t, h, d).transpose(0, 2, 1, 3)
    if layout == "reversed":
        return values(*shape)[:, ::-1, ::-1, ::-1]
    if layout == "gaps":
        return values(b, 2 * h, t, 3 * d)[:, ::2, :, ::3]
    if layout == "stretched":
        return np.broadcast_to(values(1, h, 1, d), shape)
    return values(*shape)


def mask_for(kind: str, size: tuple[int, ...], dtype: Any) -> np.ndarray | None:
    """A mask for (B, H, T, S): whole or broadcast, of bools or numbers; some of them leave rows without keys."""
    b, h, t, s = size
    generator = np.random.default_rng(sum(size))
    if kind == "bool":
        return generator.random((b, h, t, s)) > 0.5
    if kind == "rows":
        return generator.random((1, h, t, 1)) > 0.3
    if kind == "added":
        values = generator.standard_normal((b, 1, t, s)).astype(dtype)
        return np.where(generator.random((b, 1, t, s)) > 0.8, -np.inf, values).astype(dtype)
    if kind == "keys":
        return np.where(generator.random((b, 1, 1, s)) > 0.5, -np.inf, 0.5).astype(dtype)
    return None


def factors_of(dropout: Dropout, size: tuple[int, ...]) -> np.ndarray:
    """What dropout multiplies the probabilities (B, H, T, S) by."""
    factors = np.zeros((*size[:3], -(-size[3] // 4) * 4))
    if factors.size:
        random_mask(factors, dropout.key, dropout.offset, dropout.threshold, dropout.kept)
    return factors[..., : size[3]]


def reference(g, q, k, v, mask, scale, causal, dropout):
    """The result, the rows' logarithms and the three gradients, in float64 (but for the rounding of the operands)."""
    g, q, k, v = (x.astype(np.float64) for x in (g, q, k, v))
    scores = scale * q @ k.swapaxes(-1, -2)
    if mask is not None:
        scores = np.where(mask, scores, -np.inf) if mask.dtype == bool else scores + mask
    if causal:
        scores = np.where(np.tril(np.ones(scores.shape[-2:], bool)), scores, -np.inf)
    largest = scores.max(-1, keepdims=True, initial=-np.inf)
    e = np.exp(scores - np.where(np.isinf(largest), 0, largest))
    total = e.sum(-1, keepdims=True)
    with np.errstate(divide="ignore"):
        logarithms = np.where(total == 0, np.inf, np.log(total) + largest)[..., 0]
    p = e / np.where(total == 0, 1, total)
    z = 1.0 if dropout is None else factors_of(dropout, scores.shape)
    to_p = z * (g @ v.swapaxes(-1, -2))
    slopes = p * (to_p - (p * to_p).sum(-1, keepdims=True)) * scale
    return (p * z) @ v, logarithms, slopes @ k, slopes.swapaxes(-1, -2) @ q, (p * z).swapaxes(-1, -2) @ g


def check(k, size, dtype=np.float32, kind="none", causal=False, dropout=None, layout="dense", tolerance=None) -> None:
    """Compare forward and backward with the reference; the operands stay as they were."""
    b, h, t, s, d, e = size
    shapes = ((b, h, t, e), (b, h, t, d), (b, h, s, d), (b, h, s, e))
    arrays = [sample(shape, dtype, layout, seed) for seed, shape in enumerate(shapes)]
    mask = mask_for(kind, (b, h, t, s), dtype)
    scale = 0.7 / max(d, 1) ** 0.5
    wanted = reference(*arrays, mask, scale, causal, dropout)
    g, *there = [k.from_numpy(array) for array in arrays]
    mask_there = None if mask is None else k.from_numpy(mask)
    options = {"scale": scale, "causal": causal, "dropout": dropout}
    out, logarithms = k.attention(*there, mask_there, **options)
    found = (out, logarithms, *k.attention_backward(g, *there, out, logarithms, mask_there, **options))
    tolerance = tolerance or (2e-5 if dtype == np.float32 else 1e-12)
    for name, ours, theirs in zip(("out", "lse", "dq", "dk", "dv"), found, wanted, strict=True):
        ours = k.to_numpy(ours)
        assert ours.shape == theirs.shape and ours.dtype == dtype, name
        finite = theirs[np.isfinite(theirs)]
        largest = max(1.0, float(np.abs(finite).max(initial=0)))
        np.testing.assert_allclose(
            ours, theirs, rtol=tolerance, atol=tolerance * largest, err_msg=f"{name} {size} {dtype} {kind} {causal} {layout}"
        )
    for seed, (array, shape) in enumerate(zip((g, *there), shapes, strict=True)):
        assert np.array_equal(k.to_numpy(array), sample(shape, dtype, layout, seed)), "an operand was changed"
