"""Dropout of whole channels, and the dropout of self-normalising networks, as functions; `nn.functional` hands them on."""

from __future__ import annotations

import math

import autograd as ag
from autograd import Tensor
from autograd.ops import nn_ops

_LOWEST = 1.7580993408473766  # minus SELU's limit at -infinity: its scale times its alpha


def _channels(name: str, x: Tensor, ranks: tuple[int, ...], form: str, p: float, training: bool) -> Tensor:
    _check(name, x, p)
    if x.ndim not in ranks:
        raise ValueError(f"{name}: needs an input {form}, got shape {x.shape}")
    if not training or p == 0.0:
        return x
    leading = x.ndim - (ranks[0] - 2)
    mask = ag.ones((*x.shape[:leading], *(1,) * (x.ndim - leading)), dtype=x.dtype, device=x.device)
    return x * nn_ops.dropout(mask, p)


def dropout1d(x: Tensor, p: float = 0.5, training: bool = True) -> Tensor:
    """While training, whole channels of (N, C, L) or (C, L) zeroed with probability p, the others scaled by 1 / (1 - p)."""
    return _channels("dropout1d", x, (3, 2), "(N, C, L) or (C, L)", p, training)


def dropout2d(x: Tensor, p: float = 0.5, training: bool = True) -> Tensor:
    """While training, whole channels of (N, C, H, W) zeroed with probability p, the others scaled by 1 / (1 - p)."""
    return _channels("dropout2d", x, (4,), "(N, C, H, W)", p, training)


def dropout3d(x: Tensor, p: float = 0.5, training: bool = True) -> Tensor:
    """While training, whole channels of (N, C, D, H, W) or (C, D, H, W) zeroed; see `dropout2d`."""
    return _channels("dropout3d", x, (5, 4), "(N, C, D, H, W) or (C, D, H, W)", p, training)


def alpha_dropout(x: Tensor, p: float = 0.5, training: bool = False) -> Tensor:
    """Elements brought to SELU's lowest value with probability p, so that mean 0 and variance 1 stay (Klambauer et al. 2017).

    Special cases:
        p = 1 gives zeros.
    """
    return _alpha("alpha_dropout", x, x.shape, p, training)


def feature_alpha_dropout(x: Tensor, p: float = 0.5, training: bool = False) -> Tensor:
    """`alpha_dropout` of whole channels of (N, C, ...)."""
    if x.ndim < 2:
        raise ValueError(f"feature_alpha_dropout: needs an input (N, C, ...), got shape {x.shape}")
    return _alpha("feature_alpha_dropout", x, (*x.shape[:2], *(1,) * (x.ndim - 2)), p, training)


def _alpha(name: str, x: Tensor, shape: tuple[int, ...], p: float, training: bool) -> Tensor:
    _check(name, x, p)
    if not training or p == 0.0:
        return x
    if p == 1.0:
        return x * 0.0
    scale = 1 / math.sqrt((1 - p) * (1 + p * _LOWEST**2))
    kept = (ag.rand(shape, device=x.device) >= p).astype(x.dtype)
    return x * (kept * scale) + ((kept - 1.0) * (_LOWEST * scale) + _LOWEST * scale * p)


def _check(name: str, x: Tensor, p: float) -> None:
    if x.dtype.kind != "f":
        raise TypeError(f"{name}: needs floats, got shape {x.shape}, {x.dtype}; convert with .astype(autograd.float32)")
    if not 0.0 <= p <= 1.0:
        raise ValueError(f"{name}: the probability must lie between 0 and 1, got {p}")
