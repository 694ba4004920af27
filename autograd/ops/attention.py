"""Attention: one operation whose kernels go through rows and keys in tiles, and the same in matrix products.

The kernels' memory is linear in the number of rows and keys. The products, which hold every row's probabilities, are for
what the kernels do not give: derivatives of derivatives, the gradient of an additive mask, and the probabilities
themselves.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from autograd.mode import grad_mode
from autograd.ops.base import Operation
from autograd.ops.diagonal import tril
from autograd.ops.elementwise import where
from autograd.ops.nn_ops import softmax
from autograd.ops.reduce import sum
from autograd.ops.shape import broadcast_to, matrix_transpose, reshape
from autograd.tensor import Tensor, wrap
from kernels import backend_for
from kernels.attention import Dropout, blocks_for
from kernels.random import default_generator


class Attention(Operation):
    """softmax(scale * q @ k.T + mask) @ v for each head; operands of four dimensions, as the kernels take them.

    Vaswani et al. 2017; in tiles as Dao et al. 2022.
    """

    fresh = True
    saves_result = True

    def forward(self, q, k, v, mask=None, *, scale, causal, dropout):
        self.options = {"scale": scale, "causal": causal, "dropout": dropout}
        out, self.logarithms = self.backend.attention(q, k, v, mask, **self.options)
        return out

    def saves(self, needs):
        return (True,) * len(needs)

    def backward(self, grad):
        operands = [self.operand(n) for n in range(len(self.inputs))]
        q, k, v, *mask = operands
        if grad_mode.get():
            return (*_gradients(grad, q, k, v, *(mask or [None]), **self.options), None)[: len(operands)]
        arrays = self.backend.attention_backward(
            grad._data, q._data, k._data, v._data, self.result()._data, self.logarithms, *[m._data for m in mask],
            **self.options,
        )  # fmt: skip
        return tuple(None if e is None else wrap(a) for e, a in zip(self.inputs, (*arrays, None), strict=False))


def _gradients(grad, q, k, v, mask, *, scale, causal, dropout):
    """The gradients of q, k and v in differentiable operations."""
    p = probabilities(q, k, mask, scale=scale, causal=causal)
    to_p = grad @ matrix_transpose(v)
    kept = p
    if dropout is not None:
        factors = dropout_factors(dropout, p)
        to_p, kept = to_p * factors, p * factors
    slopes = p * (to_p - sum(p * to_p, axis=-1, keepdims=True)) * scale
    return slopes @ k, matrix_transpose(slopes) @ q, matrix_transpose(kept) @ grad


def probabilities(q: Tensor, k: Tensor, mask: Tensor | None, *, scale: float, causal: bool) -> Tensor:
    """How much each row looks at each key, (..., T, S): rows that see none have zeros."""
    scores = (q * scale) @ matrix_transpose(k)
    if mask is not None:
        scores = where(mask, scores, -math.inf) if mask.dtype.kind == "b" else scores + mask
    if causal:
        seen = np.ones(scores.shape[-2:], np.bool_)
        scores = where(tril(wrap(backend_for(q.device).from_numpy(seen))), scores, -math.inf)
    return softmax(scores, axis=-1)


def dropout_factors(dropout: Dropout, p: Tensor) -> Tensor:
    """What the kernels multiply the probabilities p (B, H, T, S) by: the same numbers from the same random blocks."""
    backend, (*rows, keys) = backend_for(p.device), p.shape
    factors = backend.empty((*rows, -(-keys // 4) * 4), p.dtype)
    if factors.size:
        backend.mask(factors, dropout.key, dropout.offset, dropout.threshold, dropout.kept)
    return wrap(factors)[..., :keys]


def by_products(
    q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, *, scale: float, causal: bool, dropout: Dropout | None
) -> tuple[Tensor, Tensor]:
    """The result of `Attention` and the probabilities after dropout, by matrix products."""
    p = probabilities(q, k, mask, scale=scale, causal=causal)
    if dropout is not None:
        p = p * dropout_factors(dropout, p)
    return p @ v, p


# --- functions --------------------------------------------------------------------------------------------------------


def scaled_dot_product_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
) -> Tensor:
    """softmax(scale * query @ key.T + mask) @ value: each row's mean of the values, weighted by how well its key fits.

    Args:
        query: (..., T, D). key: (..., S, D). value: (..., S, E). float32 or float64; the axes in front are broadcast.
        attn_mask: broadcasts to (..., T, S). bool: True where a key takes part. Otherwise numbers of the query's dtype
            that are added to the scores.
        dropout_p: the probability with which each weight is left out, while the others are divided by 1 - dropout_p. It
            applies whenever it is not 0: a layer passes 0 outside training.
        is_causal: row i sees the keys 0 to i only; not together with attn_mask.
        scale: 1 / sqrt(D) if not given.

    Returns:
        (..., T, E). Rows that see no key are 0.

    Memory is linear in T and S, forward and backward. But where the mask requires grad, or a derivative is to be
    differentiated again, all the weights are held at once: (..., T, S).

    Raises:
        ValueError: shapes do not fit, attn_mask beside is_causal, dropout_p is no probability.
        TypeError: dtypes differ, or are none of these.

    >>> import autograd as ag, nn.functional as F
    >>> x = ag.reshape(ag.arange(6.0), (3, 2))
    >>> F.scaled_dot_product_attention(x, x, x, is_causal=True).shape
    (3, 2)
    """
    if attn_mask is not None and is_causal:
        raise ValueError(
            "scaled_dot_product_attention: give attn_mask or is_causal, not both; a causal mask can be part of attn_mask"
        )
    out, _ = _attend(query, key, value, attn_mask, dropout_p, is_causal, scale, need_weights=False)
    return out


def attention_and_weights(
    query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, dropout_p: float, is_causal: bool,
    need_weights: bool = True,
) -> tuple[Tensor, Tensor | None]:  # fmt: skip
    """`scaled_dot_product_attention` with the weights (..., T, S), after dropout; here is_causal may come with a mask."""
    return _attend(query, key, value, mask, dropout_p, is_causal, None, need_weights)


def _attend(
    query: Tensor, key: Tensor, value: Tensor, attn_mask: Tensor | None, dropout_p: float, is_causal: bool,
    scale: float | None, need_weights: bool,
) -> tuple[Tensor, Tensor | None]:  # fmt: skip
    name = "scaled_dot_product_attention"
    lead = _check(name, query, key, value, dropout_p)
    length, keys, features = query.shape[-2], key.shape[-2], query.shape[-1]
    q, k, v = (_with_heads(x, lead) for x in (query, key, value))
    mask = None if attn_mask is None else _mask_with_heads(name, attn_mask, lead, length, keys, q.dtype)
    dropout = None
    if dropout_p > 0:
        dropout = Dropout(dropout_p, *default_generator.take_blocks(blocks_for(q.shape, keys)))
    if scale is None:
        scale = 1 / math.sqrt(features) if features else 1.0
    options: dict[str, Any] = {"scale": float(scale), "causal": bool(is_causal), "dropout": dropout}
    weights = None
    if need_weights or (mask is not None and mask.requires_grad and grad_mode.get()):
        out, weights = by_products(q, k, v, mask, **options)
    else:
        out = Attention.apply(q, k, v, *([] if mask is None else [mask]), **options)
    if len(lead) == 2:
        return out, weights
    out = reshape(out, (*lead, length, value.shape[-1]))
    return out, None if weights is None else reshape(weights, (*lead, length, keys))


def _check(name: str, query: Tensor, key: Tensor, value: Tensor, dropout_p: float) -> tuple[int, ...]:
    """Raise unless the operands fit; the sizes of the axes in front of rows and features."""
    for what, x in (("query", query), ("key", key), ("value", value)):
        if not isinstance(x, Tensor):
            raise TypeError(f"{name}: the {what} must be a tensor, got {type(x).__name__}")
        if x.dtype.kind != "f":
            raise TypeError(f"{name}: needs floats, the {what} is {x.dtype}; convert with .astype(autograd.float32)")
        if x.dtype != query.dtype:
            raise TypeError(f"{name}: the query is {query.dtype}, the {what} {x.dtype}; convert one with .astype")
        if x.ndim < 2:
            raise ValueError(f"{name}: the {what} must be (..., length, features), got shape {x.shape}")
    shapes = f"got query {query.shape}, key {key.shape}, value {value.shape}"
    if query.shape[-1] != key.shape[-1]:
        raise ValueError(f"{name}: query and key must have equally many features, {shapes}")
    if key.shape[-2] != value.shape[-2]:
        raise ValueError(f"{name}: key and value must be equally long, {shapes}")
    if not 0.0 <= dropout_p <= 1.0:
        raise ValueError(f"{name}: dropout_p must lie between 0 and 1, got {dropout_p}")
    try:
        return tuple(np.broadcast_shapes(query.shape[:-2], key.shape[:-2], value.shape[:-2]))
    except ValueError:
        raise ValueError(f"{name}: the axes in front of length and features must broadcast, {shapes}") from None


def _with_heads(x: Tensor, lead: tuple[int, ...]) -> Tensor:
    """x (..., length, features) as (B, H, length, features), with the axes in front brought to `lead`."""
    shape = (*lead, *x.shape[-2:])
    x = x if x.shape == shape else broadcast_to(x, shape)
    return x if len(lead) == 2 else reshape(x, (*_two(lead), *x.shape[-2:]))


def _two(lead: tuple[int, ...]) -> tuple[int, int]:
    """Any number of sizes as two."""
    return (math.prod(lead[:-1]), lead[-1]) if len(lead) > 1 else (math.prod(lead), 1)


def _mask_with_heads(name: str, mask: Tensor, lead: tuple[int, ...], length: int, keys: int, dtype: Any) -> Tensor:
    """The mask with four axes that broadcast to (B, H, length, keys); not copied if the query has up to four axes."""
    if not isinstance(mask, Tensor):
        raise TypeError(f"{name}: attn_mask must be a tensor, got {type(mask).__name__}")
    if mask.dtype.kind != "b" and mask.dtype != dtype:
        raise TypeError(f"{name}: attn_mask must be bool or {dtype}, as the query, got {mask.dtype}")
    full = (*lead, length, keys)
    try:
        fits = np.broadcast_shapes(mask.shape, full) == full
    except ValueError:
        fits = False
    if not fits:
        raise ValueError(f"{name}: attn_mask must broadcast to (..., T, S) = {full}, got shape {mask.shape}")
    front, own = mask.shape[:-2], (1,) * (2 - mask.ndim) + mask.shape[-2:]
    if len(lead) > 2 and math.prod(front) > 1:
        mask, front = broadcast_to(mask, (*lead, *own)), lead
        return reshape(mask, (*_two(lead), *own))
    front = (1,) * (len(lead) - len(front)) + front
    front = front if len(lead) == 2 else (front[0], 1) if len(lead) == 1 else (1, 1)
    return mask if mask.shape == (*front, *own) else reshape(mask, (*front, *own))
