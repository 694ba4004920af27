"""What attention means on any device: which shapes fit together, and the numbers that its kernels are started with.

Queries q (B, H, T, D), keys k (B, H, S, D) and values v (B, H, S, E) give softmax(scale * q @ k.T + mask) @ v, a tile of
rows and keys at a time: a row's maximum and sum are kept up to date while its keys pass by (Milakov and Gimelshein 2018),
and the gradients form the tiles anew from each row's logarithm of the sum (Dao et al. 2022). Memory is linear in T and S.

A row without any key to look at gives 0, and gradients of 0; its logarithm of the sum is stored as +infinity, so that
exp(score - logarithm) is 0. `causal` lets row i see the keys 0 to i. Dropout zeroes probabilities by the words of
`kernels.philox`: key j of row number r (of all B * H * T) has word j % 4 of block offset + r * ceil(S / 4) + j // 4.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from kernels.philox import signed

FLOATS = (np.dtype(np.float32), np.dtype(np.float64))


@dataclass(frozen=True)
class Dropout:
    """Probabilities dropped with probability p, by the random blocks from `offset` on of the stream `key`."""

    p: float
    key: int
    offset: int

    @property
    def threshold(self) -> int:
        """Words below it are kept."""
        return round((1.0 - self.p) * 2**32)

    @property
    def kept(self) -> float:
        """What the kept ones are multiplied by."""
        return 1.0 / (1.0 - self.p) if self.p < 1.0 else 0.0

    @property
    def numbers(self) -> tuple[int, int, int, float]:
        """(threshold, key, offset, factor) as a launch carries them."""
        return self.threshold, signed(self.key), signed(self.offset), self.kept


NO_DROPOUT = (-1, 0, 0, 1.0)


def blocks_for(shape: tuple[int, ...], keys: int) -> int:
    """How many random blocks of four words dropout needs, for queries of this shape."""
    return int(np.prod(shape[:3], dtype=object)) * -(-keys // 4)


def check(name: str, q: Any, k: Any, v: Any, mask: Any) -> None:
    """Raise unless the operands fit together."""
    arrays = {"query": q, "key": k, "value": v}
    for what, array in arrays.items():
        if array.dtype not in FLOATS:
            raise TypeError(f"{name}: computes in float32 and float64, the {what} is {array.dtype}; convert with astype")
        if array.dtype != q.dtype:
            raise TypeError(f"{name}: the query is {q.dtype}, the {what} {array.dtype}; convert one with astype")
        if len(array.shape) != 4:
            raise ValueError(f"{name}: the {what} must be (batch, heads, length, features), got shape {tuple(array.shape)}")
    (b, h, t, d), s = q.shape, v.shape[2]
    if tuple(k.shape) != (b, h, s, d) or tuple(v.shape[:2]) != (b, h):
        raise ValueError(
            f"{name}: a query (B, H, T, D) takes keys (B, H, S, D) and values (B, H, S, E), got shapes "
            f"{tuple(q.shape)}, {tuple(k.shape)} and {tuple(v.shape)}"
        )
    if mask is not None:
        if mask.dtype != np.bool_ and mask.dtype != q.dtype:
            raise TypeError(f"{name}: the mask must be bool or {q.dtype}, as the query, got {mask.dtype}")
        if len(mask.shape) != 4 or any(m not in (1, n) for m, n in zip(mask.shape, (b, h, t, s), strict=True)):
            raise ValueError(f"{name}: the mask must broadcast to {(b, h, t, s)}, got shape {tuple(mask.shape)}")


def check_backward(name: str, g: Any, out: Any, lse: Any, q: Any, v: Any) -> None:
    """Raise unless the upstream gradient and what the forward pass returned fit its operands."""
    shape = (*q.shape[:3], v.shape[3])
    for what, array, wanted in (("upstream gradient", g, shape), ("result", out, shape), ("log-sum-exp", lse, shape[:3])):
        if tuple(array.shape) != tuple(wanted) or array.dtype != q.dtype:
            raise ValueError(
                f"{name}: the {what} must be {q.dtype} of shape {tuple(wanted)}, got {array.dtype} of {tuple(array.shape)}"
            )


def mask_kind(mask: Any) -> int:
    """0 for no mask, 1 for one that is added, 2 for one of bools."""
    return 0 if mask is None else 2 if mask.dtype == np.bool_ else 1


def mask_strides(mask: Any) -> list[int]:
    """The mask's strides in elements, 0 where it is broadcast."""
    if mask is None:
        return [0, 0, 0, 0]
    return [0 if n == 1 else stride // mask.itemsize for n, stride in zip(mask.shape, mask.strides, strict=True)]
