"""Encodings of positions: waves that are added to a sequence, and rotations of its queries and keys."""

from __future__ import annotations

import math
from typing import Any

import autograd as ag
from nn.layers.dropout import Dropout
from nn.module import Module


def _angles(positions: ag.Tensor, features: int, base: float) -> ag.Tensor:
    """positions * base ** (-2 i / features) for i = 0 ... features / 2 - 1, in float64: (L, features / 2)."""
    steps = ag.arange(0, features, 2, dtype=ag.float64) * (-math.log(base) / features)
    return positions.reshape((-1, 1)) * ag.exp(steps)


def _check(name: str, features: int, base: float) -> None:
    if features <= 0 or features % 2:
        raise ValueError(f"{name}: the number of features must be even and positive, got {features}")
    if not base > 1:
        raise ValueError(f"{name}: base must be above 1, got {base}")


class SinusoidalEncoding(Module):
    """x plus waves of its positions, then dropout: Vaswani et al. 2017, section 3.5.

    Feature 2 i of position p gets sin(p / base ** (2 i / d_model)), feature 2 i + 1 the cosine.

    Args:
        d_model: features, an even number. dropout: as the layer `Dropout`. max_len: the longest sequence.
        batch_first: x is (N, L, E); otherwise (L, N, E). Without a batch it is (L, E).

    The table is the buffer `pe` (max_len, d_model), which is not part of the state.

    Raises:
        ValueError: d_model is odd; x is longer than max_len or has other features.

    >>> import autograd as ag, nn
    >>> nn.SinusoidalEncoding(4)(ag.zeros((2, 4))).tolist()  # doctest: +ELLIPSIS
    [[0.0, 1.0, 0.0, 1.0], [0.8414..., 0.5403..., 0.0099..., 0.9999...]]
    """

    def __init__(
        self, d_model: int, dropout: float = 0.0, max_len: int = 5000, base: float = 10000.0, batch_first: bool = False, *,
        dtype: Any = None, device: str = "cpu",
    ) -> None:  # fmt: skip
        super().__init__()
        _check("SinusoidalEncoding", d_model, base)
        self.d_model, self.max_len, self.base, self.batch_first = d_model, max_len, base, batch_first
        self.dropout = Dropout(dropout)
        angles = _angles(ag.arange(max_len, dtype=ag.float64), d_model, base)
        table = ag.stack([ag.sin(angles), ag.cos(angles)], axis=-1).reshape((max_len, d_model))
        self.register_buffer("pe", table.astype(dtype or ag.float32).to(device), persistent=False)

    def forward(self, x: ag.Tensor) -> ag.Tensor:
        axis = 0 if x.ndim == 2 or not self.batch_first else 1
        if x.ndim not in (2, 3) or x.shape[-1] != self.d_model or x.shape[axis] > self.max_len:
            form = "(N, L, E)" if self.batch_first else "(L, N, E)"
            raise ValueError(
                f"SinusoidalEncoding: needs {form} or (L, E) with L up to {self.max_len} and E = {self.d_model}, got shape "
                f"{x.shape}"
            )
        table = self.pe[: x.shape[axis]]
        if x.ndim == 3 and not self.batch_first:
            table = ag.expand_dims(table, 1)
        return self.dropout(x + table)

    def extra_repr(self) -> str:
        return f"d_model={self.d_model}, max_len={self.max_len}"


class RotaryEmbedding(Module):
    """Pairs of features turned by angles that grow with the position: Su et al. 2021.

    Applied to queries and keys, it makes their products depend on the distance of their positions alone. Pair i of
    features turns by p / base ** (2 i / features) at position p.

    Args:
        features: of a head, an even number.
        interleaved: which features make a pair. False: i and i + features / 2, as GPT-NeoX and Hugging Face's Llama have
            it. True: 2 i and 2 i + 1, as the paper, GPT-J and Meta's Llama weights have it.
        base: of the wave lengths.

    `forward(x, offset=0, positions=None)`: x is (..., L, features), such as (N, heads, L, features); its positions are
    offset, offset + 1, ... or the tensor `positions` (L,). There are no parameters and no state.

    Raises:
        ValueError: features is odd; x or positions have another shape.

    >>> import autograd as ag, nn
    >>> turn = nn.RotaryEmbedding(2, base=10.0)
    >>> turn(ag.tensor([[1.0, 0.0], [1.0, 0.0]])).tolist()  # position 0 stays  # doctest: +ELLIPSIS
    [[1.0, 0.0], [0.5403..., 0.8414...]]
    """

    def __init__(self, features: int, interleaved: bool = False, base: float = 10000.0) -> None:
        super().__init__()
        _check("RotaryEmbedding", features, base)
        self.features, self.interleaved, self.base = features, interleaved, base
        self._tables: dict[tuple, tuple[ag.Tensor, ag.Tensor]] = {}

    def forward(self, x: ag.Tensor, offset: int = 0, positions: ag.Tensor | None = None) -> ag.Tensor:
        if x.ndim < 2 or x.shape[-1] != self.features:
            raise ValueError(f"RotaryEmbedding: needs (..., L, {self.features}), got shape {x.shape}")
        cosine, sine = self._table(x, offset, positions)
        half = self.features // 2
        if self.interleaved:
            pairs = x.reshape((*x.shape[:-1], half, 2))
            first, second = pairs[..., 0], pairs[..., 1]
            turned = ag.stack([first * cosine - second * sine, second * cosine + first * sine], axis=-1)
            return turned.reshape(x.shape)
        first, second = x[..., :half], x[..., half:]
        return ag.concat([first * cosine - second * sine, second * cosine + first * sine], axis=-1)

    def _table(self, x: ag.Tensor, offset: int, positions: ag.Tensor | None) -> tuple[ag.Tensor, ag.Tensor]:
        """The cosines and sines of the angles at each position, (L, features / 2); the last ones are remembered."""
        length = x.shape[-2]
        key = (length, offset, x.dtype, x.device)
        if positions is None and key in self._tables:
            return self._tables[key]
        with ag.no_grad():
            if positions is None:
                given = ag.arange(offset, offset + length, dtype=ag.float64)
            elif positions.shape == (length,):
                given = positions.detach().to("cpu").astype(ag.float64)
            else:
                raise ValueError(f"RotaryEmbedding: positions must have shape {(length,)}, one per row, got {positions.shape}")
            angles = _angles(given, self.features, self.base)
            cosine, sine = (f(angles).astype(x.dtype).to(x.device) for f in (ag.cos, ag.sin))
        if positions is None:
            self._tables = {key: (cosine, sine)}
        return cosine, sine

    def extra_repr(self) -> str:
        return f"{self.features}, interleaved={self.interleaved}, base={self.base}"
