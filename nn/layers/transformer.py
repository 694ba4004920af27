"""The layers of transformers and their stacks: Vaswani et al. 2017, with PyTorch's names, arguments and state-dict keys.

Sequences are (L, N, E), or (N, L, E) with batch_first, or (L, E) without a batch. Masks are those of `MultiheadAttention`:
True, or -infinity, where a key is not to be seen. `norm_first` normalises what enters a block instead of what leaves it
(Xiong et al. 2020).
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import Any

import autograd as ag
from nn import functional, init
from nn.layers.attention import MultiheadAttention
from nn.layers.container import ModuleList
from nn.layers.dropout import Dropout
from nn.layers.linear import Linear
from nn.layers.normalization import LayerNorm
from nn.module import Module

Activation = str | Callable[[ag.Tensor], ag.Tensor]


def _activation(activation: Activation, name: str) -> Callable[[ag.Tensor], ag.Tensor]:
    known = {"relu": functional.relu, "gelu": functional.gelu}
    if isinstance(activation, str) and activation in known:
        return known[activation]
    if callable(activation):
        return activation
    raise ValueError(f"{name}: activation is 'relu', 'gelu' or a function, got {activation!r}")


class _Layer(Module):
    """What encoder and decoder layers share: attention with itself, and the feed-forward block."""

    norms = 2

    def __init__(
        self, d_model: int, nhead: int, dim_feedforward: int = 2048, dropout: float = 0.1,
        activation: Activation = functional.relu, layer_norm_eps: float = 1e-5, batch_first: bool = False,
        norm_first: bool = False, bias: bool = True, *, dtype: Any = None, device: str = "cpu",
    ) -> None:  # fmt: skip
        super().__init__()
        own: dict[str, Any] = {"dtype": dtype, "device": device}
        self.self_attn = MultiheadAttention(d_model, nhead, dropout, bias, batch_first=batch_first, **own)
        if self.norms == 3:
            self.multihead_attn = MultiheadAttention(d_model, nhead, dropout, bias, batch_first=batch_first, **own)
        self.linear1 = Linear(d_model, dim_feedforward, bias, **own)
        self.dropout = Dropout(dropout)
        self.linear2 = Linear(dim_feedforward, d_model, bias, **own)
        self.norm_first = norm_first
        for n in range(1, self.norms + 1):
            setattr(self, f"norm{n}", LayerNorm(d_model, layer_norm_eps, bias=bias, **own))
        for n in range(1, self.norms + 1):
            setattr(self, f"dropout{n}", Dropout(dropout))
        self.activation = _activation(activation, type(self).__name__)

    def _block(self, number: int, x: ag.Tensor, block: Callable[[ag.Tensor], ag.Tensor]) -> ag.Tensor:
        """x plus what a block makes of it, normalised before or behind."""
        norm, dropout = getattr(self, f"norm{number}"), getattr(self, f"dropout{number}")
        return x + dropout(block(norm(x))) if self.norm_first else norm(x + dropout(block(x)))

    def _feed_forward(self, x: ag.Tensor) -> ag.Tensor:
        return self.linear2(self.dropout(self.activation(self.linear1(x))))


class TransformerEncoderLayer(_Layer):
    """Attention of a sequence with itself, then two linear layers at each position.

    Args:
        d_model: features. nhead: heads of the attention, which divide d_model. dim_feedforward: features between the two
            linear layers. activation: between them: "relu", "gelu" or a function.
        dropout: acts in training on attention weights, on the features between, and on each block's result.
        layer_norm_eps, bias: of the normalisations and linear layers.
        batch_first, norm_first: see the module's text.

    `forward(src, src_mask=None, src_key_padding_mask=None, is_causal=False)`, in the shape of src; is_causal promises that
    src_mask is the causal mask, and may stand without it.

    >>> import autograd as ag, nn
    >>> layer = nn.TransformerEncoderLayer(8, 2, dim_feedforward=16, batch_first=True).eval()
    >>> layer(ag.ones((3, 5, 8))).shape
    (3, 5, 8)
    """

    def forward(
        self, src: ag.Tensor, src_mask: ag.Tensor | None = None, src_key_padding_mask: ag.Tensor | None = None,
        is_causal: bool = False,
    ) -> ag.Tensor:  # fmt: skip
        def attend(x: ag.Tensor) -> ag.Tensor:
            return self.self_attn(x, x, x, src_key_padding_mask, False, src_mask, is_causal=is_causal)[0]

        return self._block(2, self._block(1, src, attend), self._feed_forward)


class TransformerDecoderLayer(_Layer):
    """Attention of a sequence with itself, then with the encoder's result, then two linear layers at each position.

    Arguments as for `TransformerEncoderLayer`. `forward(tgt, memory, tgt_mask=None, memory_mask=None,
    tgt_key_padding_mask=None, memory_key_padding_mask=None, tgt_is_causal=False, memory_is_causal=False)`, in the shape of
    tgt.

    >>> import autograd as ag, nn
    >>> layer = nn.TransformerDecoderLayer(8, 2, dim_feedforward=16, batch_first=True).eval()
    >>> layer(ag.ones((3, 5, 8)), ag.ones((3, 7, 8)), tgt_is_causal=True).shape
    (3, 5, 8)
    """

    norms = 3

    def forward(
        self, tgt: ag.Tensor, memory: ag.Tensor, tgt_mask: ag.Tensor | None = None, memory_mask: ag.Tensor | None = None,
        tgt_key_padding_mask: ag.Tensor | None = None, memory_key_padding_mask: ag.Tensor | None = None,
        tgt_is_causal: bool = False, memory_is_causal: bool = False,
    ) -> ag.Tensor:  # fmt: skip
        def attend(x: ag.Tensor) -> ag.Tensor:
            return self.self_attn(x, x, x, tgt_key_padding_mask, False, tgt_mask, is_causal=tgt_is_causal)[0]

        def look_at_memory(x: ag.Tensor) -> ag.Tensor:
            return self.multihead_attn(
                x, memory, memory, memory_key_padding_mask, False, memory_mask, is_causal=memory_is_causal
            )[0]

        return self._block(3, self._block(2, self._block(1, tgt, attend), look_at_memory), self._feed_forward)


def _copies(layer: Module, num_layers: int, name: str) -> ModuleList:
    if num_layers < 0:
        raise ValueError(f"{name}: num_layers must not be negative, got {num_layers}")
    return ModuleList([copy.deepcopy(layer) for _ in range(num_layers)])


class TransformerEncoder(Module):
    """A stack of `num_layers` copies of an encoder layer, and a last normalisation if one is given.

    `forward(src, mask=None, src_key_padding_mask=None, is_causal=None)`: is_causal says whether the mask is the causal one;
    with None that is looked up in the mask. The arguments enable_nested_tensor and mask_check are accepted, and change
    nothing.

    >>> import autograd as ag, nn
    >>> encoder = nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), 2).eval()
    >>> encoder(ag.ones((3, 5, 8))).shape
    (3, 5, 8)
    """

    def __init__(
        self, encoder_layer: Module, num_layers: int, norm: Module | None = None, enable_nested_tensor: bool = True,
        mask_check: bool = True,
    ) -> None:  # fmt: skip
        super().__init__()
        self.layers, self.num_layers = _copies(encoder_layer, num_layers, "TransformerEncoder"), num_layers
        self.norm = norm

    def forward(
        self, src: ag.Tensor, mask: ag.Tensor | None = None, src_key_padding_mask: ag.Tensor | None = None,
        is_causal: bool | None = None,
    ) -> ag.Tensor:  # fmt: skip
        causal = _is_causal(mask) if is_causal is None else is_causal
        for layer in self.layers:
            src = layer(src, src_mask=mask, src_key_padding_mask=src_key_padding_mask, is_causal=causal)
        return src if self.norm is None else self.norm(src)


class TransformerDecoder(Module):
    """A stack of `num_layers` copies of a decoder layer, and a last normalisation if one is given.

    `forward` takes what the layers take; tgt_is_causal=None looks the answer up in tgt_mask.
    """

    def __init__(self, decoder_layer: Module, num_layers: int, norm: Module | None = None) -> None:
        super().__init__()
        self.layers, self.num_layers = _copies(decoder_layer, num_layers, "TransformerDecoder"), num_layers
        self.norm = norm

    def forward(
        self, tgt: ag.Tensor, memory: ag.Tensor, tgt_mask: ag.Tensor | None = None, memory_mask: ag.Tensor | None = None,
        tgt_key_padding_mask: ag.Tensor | None = None, memory_key_padding_mask: ag.Tensor | None = None,
        tgt_is_causal: bool | None = None, memory_is_causal: bool = False,
    ) -> ag.Tensor:  # fmt: skip
        causal = _is_causal(tgt_mask) if tgt_is_causal is None else tgt_is_causal
        for layer in self.layers:
            tgt = layer(
                tgt, memory, tgt_mask, memory_mask, tgt_key_padding_mask, memory_key_padding_mask, causal, memory_is_causal
            )
        return tgt if self.norm is None else self.norm(tgt)


class Transformer(Module):
    """An encoder and a decoder, each with a last normalisation: the network of Vaswani et al. 2017 without its embeddings.

    Arguments as for the layers; custom_encoder and custom_decoder take the place of the stacks. `forward(src, tgt,
    src_mask=None, tgt_mask=None, memory_mask=None, src_key_padding_mask=None, tgt_key_padding_mask=None,
    memory_key_padding_mask=None, src_is_causal=None, tgt_is_causal=None, memory_is_causal=False)`, in the shape of tgt.

    Raises:
        ValueError: src and tgt have batches of different sizes, or other features than d_model.

    >>> import autograd as ag, nn
    >>> model = nn.Transformer(8, 2, 1, 1, dim_feedforward=16, batch_first=True).eval()
    >>> model(ag.ones((3, 5, 8)), ag.ones((3, 4, 8)), tgt_mask=model.generate_square_subsequent_mask(4)).shape
    (3, 4, 8)
    """

    def __init__(
        self, d_model: int = 512, nhead: int = 8, num_encoder_layers: int = 6, num_decoder_layers: int = 6,
        dim_feedforward: int = 2048, dropout: float = 0.1, activation: Activation = functional.relu,
        custom_encoder: Module | None = None, custom_decoder: Module | None = None, layer_norm_eps: float = 1e-5,
        batch_first: bool = False, norm_first: bool = False, bias: bool = True, *, dtype: Any = None, device: str = "cpu",
    ) -> None:  # fmt: skip
        super().__init__()
        own: dict[str, Any] = {"dtype": dtype, "device": device}
        sizes = (d_model, nhead, dim_feedforward, dropout, activation, layer_norm_eps, batch_first, norm_first, bias)

        def norm() -> LayerNorm:
            return LayerNorm(d_model, layer_norm_eps, bias=bias, **own)

        self.encoder = custom_encoder or TransformerEncoder(
            TransformerEncoderLayer(*sizes, **own), num_encoder_layers, norm()
        )
        self.decoder = custom_decoder or TransformerDecoder(
            TransformerDecoderLayer(*sizes, **own), num_decoder_layers, norm()
        )
        self.d_model, self.nhead, self.batch_first = d_model, nhead, batch_first
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw all matrices anew (Glorot and Bengio 2010)."""
        for parameter in self.parameters():
            if parameter.ndim > 1:
                init.xavier_uniform_(parameter)

    def forward(
        self, src: ag.Tensor, tgt: ag.Tensor, src_mask: ag.Tensor | None = None, tgt_mask: ag.Tensor | None = None,
        memory_mask: ag.Tensor | None = None, src_key_padding_mask: ag.Tensor | None = None,
        tgt_key_padding_mask: ag.Tensor | None = None, memory_key_padding_mask: ag.Tensor | None = None,
        src_is_causal: bool | None = None, tgt_is_causal: bool | None = None, memory_is_causal: bool = False,
    ) -> ag.Tensor:  # fmt: skip
        batch = 0 if self.batch_first else 1
        if src.ndim != tgt.ndim or (src.ndim == 3 and src.shape[batch] != tgt.shape[batch]):
            raise ValueError(f"Transformer: src and tgt must have batches of the same size, got {src.shape} and {tgt.shape}")
        if src.shape[-1] != self.d_model or tgt.shape[-1] != self.d_model:
            raise ValueError(f"Transformer: src and tgt must have {self.d_model} features, got {src.shape} and {tgt.shape}")
        memory = self.encoder(src, mask=src_mask, src_key_padding_mask=src_key_padding_mask, is_causal=src_is_causal)
        return self.decoder(
            tgt, memory, tgt_mask, memory_mask, tgt_key_padding_mask, memory_key_padding_mask, tgt_is_causal, memory_is_causal
        )

    @staticmethod
    def generate_square_subsequent_mask(sz: int, *, dtype: Any = None, device: str = "cpu") -> ag.Tensor:
        """The causal mask as numbers: -infinity where a key comes after the row, 0 elsewhere."""
        return ag.triu(ag.full((sz, sz), -math.inf, dtype=dtype or ag.float32, device=device), 1)


def _is_causal(mask: ag.Tensor | None) -> bool:
    """Whether a mask hides exactly the keys that come after each row."""
    if mask is None or mask.ndim != 2 or mask.shape[0] != mask.shape[1] or mask.requires_grad:
        return False
    later = ag.triu(ag.ones(mask.shape, dtype=ag.bool, device=mask.device), 1)
    if mask.dtype.kind == "b":
        return bool(ag.all(mask == later).item())
    return bool(ag.all(mask == ag.where(later, ag.full((), -math.inf, dtype=mask.dtype, device=mask.device), 0.0)).item())
