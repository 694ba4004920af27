"""Attention with several heads."""

from __future__ import annotations

import math
from typing import Any

import autograd as ag
from autograd.ops.attention import attention_and_weights
from nn import functional, init
from nn.layers.linear import Linear
from nn.module import Module
from nn.parameter import Parameter


class MultiheadAttention(Module):
    """Attention of several heads, each on its own part of projected queries, keys and values: Vaswani et al. 2017.

    Args:
        embed_dim: features of the queries and of the result; num_heads divides it.
        dropout: the probability with which a weight is left out while training.
        bias: whether the projections have biases.
        add_bias_kv: whether a learned key and value (`bias_k`, `bias_v`) are added at the end of the sequences.
        add_zero_attn: whether a key and value of zeros is added there.
        kdim, vdim: features of keys and values, if they are not embed_dim.
        batch_first: sequences are (N, L, E); otherwise (L, N, E). Without a batch they are (L, E).

    `forward(query, key, value, key_padding_mask=None, need_weights=True, attn_mask=None, average_attn_weights=True,
    is_causal=False)` returns the result, of the query's shape, and the weights: (N, L, S) on average over the heads,
    (N, heads, L, S) with average_attn_weights=False, None with need_weights=False. The weights are an L x S matrix; without
    them memory is linear in L and S.

    Masks, as PyTorch has them: key_padding_mask (N, S) and attn_mask (L, S) or (N * heads, L, S); bool with True where a
    key is *not* to be seen, or numbers that are added to the scores. is_causal promises that attn_mask is the causal mask,
    which then is not read and may be left out. A row that sees no key gives the output projection of zeros, where PyTorch
    gives NaN if weights are asked for.

    Parameters: `in_proj_weight` (3 E, E), or `q_proj_weight`, `k_proj_weight`, `v_proj_weight` if kdim or vdim differ,
    `in_proj_bias` (3 E,), `out_proj.weight`, `out_proj.bias`.

    Raises:
        ValueError: num_heads does not divide embed_dim; shapes of inputs or masks do not fit.

    >>> import autograd as ag, nn
    >>> attention = nn.MultiheadAttention(8, 2, batch_first=True)
    >>> x = ag.ones((1, 3, 8))
    >>> out, weights = attention(x, x, x)
    >>> out.shape, weights.shape
    ((1, 3, 8), (1, 3, 3))
    """

    def __init__(
        self, embed_dim: int, num_heads: int, dropout: float = 0.0, bias: bool = True, add_bias_kv: bool = False,
        add_zero_attn: bool = False, kdim: int | None = None, vdim: int | None = None, batch_first: bool = False, *,
        dtype: Any = None, device: str = "cpu",
    ) -> None:  # fmt: skip
        super().__init__()
        if embed_dim <= 0 or num_heads <= 0:
            raise ValueError(f"MultiheadAttention: embed_dim and num_heads must be positive, got {embed_dim} and {num_heads}")
        if embed_dim % num_heads:
            raise ValueError(f"MultiheadAttention: num_heads must divide embed_dim, got {num_heads} and {embed_dim}")
        if not 0.0 <= dropout <= 1.0:
            raise ValueError(f"MultiheadAttention: dropout must lie between 0 and 1, got {dropout}")
        self.embed_dim, self.num_heads, self.dropout = embed_dim, num_heads, dropout
        self.kdim, self.vdim = kdim or embed_dim, vdim or embed_dim
        self.batch_first, self.add_zero_attn, self.head_dim = batch_first, add_zero_attn, embed_dim // num_heads

        def parameter(*shape: int) -> Parameter:
            return Parameter(ag.empty(shape, dtype=dtype, device=device))

        same = self.kdim == self.vdim == embed_dim
        self.in_proj_weight = parameter(3 * embed_dim, embed_dim) if same else None
        self.q_proj_weight = None if same else parameter(embed_dim, embed_dim)
        self.k_proj_weight = None if same else parameter(embed_dim, self.kdim)
        self.v_proj_weight = None if same else parameter(embed_dim, self.vdim)
        self.in_proj_bias = parameter(3 * embed_dim) if bias else None
        self.out_proj = Linear(embed_dim, embed_dim, bias=bias, dtype=dtype, device=device)
        self.bias_k = parameter(1, 1, embed_dim) if add_bias_kv else None
        self.bias_v = parameter(1, 1, embed_dim) if add_bias_kv else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the projections' weights anew (Glorot and Bengio 2010), and set their biases to 0."""
        for weight in (self.in_proj_weight, self.q_proj_weight, self.k_proj_weight, self.v_proj_weight):
            if weight is not None:
                init.xavier_uniform_(weight)
        for bias in (self.in_proj_bias, self.out_proj.bias):
            if bias is not None:
                init.zeros_(bias)
        for bias in (self.bias_k, self.bias_v):
            if bias is not None:
                init.xavier_normal_(bias)

    def forward(
        self, query: ag.Tensor, key: ag.Tensor, value: ag.Tensor, key_padding_mask: ag.Tensor | None = None,
        need_weights: bool = True, attn_mask: ag.Tensor | None = None, average_attn_weights: bool = True,
        is_causal: bool = False,
    ) -> tuple[ag.Tensor, ag.Tensor | None]:  # fmt: skip
        batched = self._check(query, key, value)
        q, k, v = (self._heads(x, batched) for x in self._projected(query, key, value))
        k, v, more = self._with_extra_keys(k, v, batched)
        causal = is_causal and not more
        if is_causal and more and attn_mask is None:
            attn_mask = _hidden_by_causality(q.shape[-2], k.shape[-2] - more, q.device)
        mask = self._mask(None if causal else attn_mask, key_padding_mask, q, k, more)
        p = self.dropout if self.training else 0.0
        out, weights = attention_and_weights(q, k, v, mask, p, causal, need_weights)
        out = self.out_proj(self._joined(out, query.shape, batched))
        if weights is not None:
            weights = weights.mean(axis=1) if average_attn_weights else weights
            weights = weights if batched else weights[0]
        return out, weights

    # --- shapes: (N, L, E) or (L, N, E) or (L, E) to (N, heads, L, E / heads), and back

    def _check(self, query: ag.Tensor, key: ag.Tensor, value: ag.Tensor) -> bool:
        """Whether there is a batch; raise unless the inputs fit together."""
        shapes = f"got query {query.shape}, key {key.shape}, value {value.shape}"
        if query.ndim not in (2, 3) or not query.ndim == key.ndim == value.ndim:
            form = "(N, L, E)" if self.batch_first else "(L, N, E)"
            raise ValueError(f"MultiheadAttention: query, key and value must all be {form}, or (L, E) without a batch, {shapes}")
        for what, x, size in (("query", query, self.embed_dim), ("key", key, self.kdim), ("value", value, self.vdim)):
            if x.shape[-1] != size:
                raise ValueError(f"MultiheadAttention: the {what} must have {size} features, {shapes}")
        batch = 0 if self.batch_first else 1
        if key.shape[:-1] != value.shape[:-1] or (query.ndim == 3 and query.shape[batch] != key.shape[batch]):
            raise ValueError(f"MultiheadAttention: key and value must be equally long, and batches of one size, {shapes}")
        return query.ndim == 3

    def _projected(self, query: ag.Tensor, key: ag.Tensor, value: ag.Tensor) -> tuple[ag.Tensor, ...]:
        e, bias = self.embed_dim, self.in_proj_bias
        biases = (None, None, None) if bias is None else (bias[:e], bias[e : 2 * e], bias[2 * e :])
        if self.in_proj_weight is not None and query is key is value:
            return ag.split(functional.linear(query, self.in_proj_weight, bias), e, axis=-1)
        weights = self._weights()
        return tuple(functional.linear(x, w, b) for x, w, b in zip((query, key, value), weights, biases, strict=True))

    def _weights(self) -> tuple[ag.Tensor, ...]:
        """The projections' weights for query, key and value."""
        if self.in_proj_weight is not None:
            return ag.split(self.in_proj_weight, self.embed_dim)
        assert self.q_proj_weight is not None and self.k_proj_weight is not None and self.v_proj_weight is not None
        return self.q_proj_weight, self.k_proj_weight, self.v_proj_weight

    def _heads(self, x: ag.Tensor, batched: bool) -> ag.Tensor:
        """(L, N, E) or the like as (N, heads, L, E / heads), a view."""
        x = x if batched else ag.expand_dims(x, 0)
        split = x.reshape((*x.shape[:2], self.num_heads, self.head_dim))
        return ag.permute_dims(split, (0, 2, 1, 3) if self.batch_first or not batched else (1, 2, 0, 3))

    def _joined(self, x: ag.Tensor, shape: tuple[int, ...], batched: bool) -> ag.Tensor:
        """(N, heads, L, E / heads) in the query's shape: a view, for attention leaves its result in the query's order."""
        return ag.permute_dims(x, (0, 2, 1, 3) if self.batch_first or not batched else (2, 0, 1, 3)).reshape(shape)

    def _with_extra_keys(self, k: ag.Tensor, v: ag.Tensor, batched: bool) -> tuple[ag.Tensor, ag.Tensor, int]:
        """Keys and values with those that the layer adds, and how many those are."""
        more = 0
        if self.bias_k is not None and self.bias_v is not None:
            shape = (k.shape[0], self.num_heads, 1, self.head_dim)
            rows = [b.reshape((1, self.num_heads, 1, self.head_dim)) for b in (self.bias_k, self.bias_v)]
            k, v = (ag.concat([x, ag.broadcast_to(row, shape)], axis=2) for x, row in zip((k, v), rows, strict=True))
            more += 1
        if self.add_zero_attn:
            zeros = ag.zeros((k.shape[0], self.num_heads, 1, self.head_dim), dtype=k.dtype, device=k.device)
            k, v = ag.concat([k, zeros], axis=2), ag.concat([v, zeros], axis=2)
            more += 1
        return k, v, more

    # --- masks

    def _mask(
        self, attn_mask: ag.Tensor | None, padding: ag.Tensor | None, q: ag.Tensor, k: ag.Tensor, more: int
    ) -> ag.Tensor | None:
        """Both masks as one of four axes in the sense of scaled_dot_product_attention: bools are True where a key is seen."""
        (n, heads, length), keys = q.shape[:3], k.shape[2] - more
        parts = []
        if attn_mask is not None:
            if attn_mask.shape not in ((length, keys), (n * heads, length, keys)):
                raise ValueError(
                    f"MultiheadAttention: attn_mask must be (L, S) = {(length, keys)} or (N * heads, L, S) = "
                    f"{(n * heads, length, keys)}, got shape {attn_mask.shape}"
                )
            parts.append(attn_mask.reshape((1, 1, length, keys) if attn_mask.ndim == 2 else (n, heads, length, keys)))
        if padding is not None:
            if padding.shape != (n, keys) and (n != 1 or padding.shape != (keys,)):
                raise ValueError(f"MultiheadAttention: key_padding_mask must be (N, S) = {(n, keys)}, got shape {padding.shape}")
            parts.append(padding.reshape((n, 1, 1, keys)))
        if not parts:
            return None
        if all(part.dtype.kind == "b" for part in parts):
            allowed = [_more_keys(ag.logical_not(part), more, True) for part in parts]
            return allowed[0] if len(allowed) == 1 else ag.logical_and(*allowed)
        added = [_more_keys(_as_addend(part, q.dtype), more, 0.0) for part in parts]
        return added[0] if len(added) == 1 else added[0] + added[1]


def _as_addend(mask: ag.Tensor, dtype: Any) -> ag.Tensor:
    """A mask as numbers that are added to scores: -infinity where a key is not to be seen."""
    if mask.dtype.kind == "b":
        return ag.where(mask, ag.full((), -math.inf, dtype=dtype, device=mask.device), 0.0)
    if mask.dtype.kind != "f":
        raise TypeError(f"MultiheadAttention: masks must be bool or floating, got {mask.dtype}")
    return mask if mask.dtype == dtype else mask.astype(dtype)


def _more_keys(mask: ag.Tensor, more: int, value: Any) -> ag.Tensor:
    """The mask with `more` keys at the end that are seen."""
    if not more:
        return mask
    return ag.concat([mask, ag.full((*mask.shape[:-1], more), value, dtype=mask.dtype, device=mask.device)], axis=-1)


def _hidden_by_causality(length: int, keys: int, device: str) -> ag.Tensor:
    """True where a key comes after the row."""
    return ag.triu(ag.ones((length, keys), dtype=ag.bool, device=device), 1)
