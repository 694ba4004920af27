"""Tables of vectors, read by integers."""

from __future__ import annotations

from typing import Any

import autograd as ag
from nn import functional as F
from nn import init
from nn.embedding_functions import checked_padding
from nn.module import Module
from nn.parameter import Parameter


class _Table(Module):
    """What both layers have in common: the table and the row for padding."""

    def __init__(
        self, num_embeddings: int, embedding_dim: int, padding_idx: int | None, max_norm: float | None, norm_type: float,
        scale_grad_by_freq: bool, sparse: bool, weight: ag.Tensor | None, freeze: bool, dtype: Any, device: str,
    ) -> None:  # fmt: skip
        super().__init__()
        name = type(self).__name__
        if sparse:
            raise NotImplementedError(f"{name}: sparse gradients are not supported; use sparse=False")
        self.num_embeddings, self.embedding_dim = num_embeddings, embedding_dim
        self.padding_idx = checked_padding(name, padding_idx, num_embeddings)
        self.max_norm, self.norm_type, self.scale_grad_by_freq, self.sparse = max_norm, norm_type, scale_grad_by_freq, sparse
        shape = (num_embeddings, embedding_dim)
        if weight is None:
            self.weight = Parameter(ag.empty(shape, dtype=dtype, device=device))
            self.reset_parameters()
        else:
            if weight.shape != shape:
                raise ValueError(f"{name}: the weight must have shape {shape}, got {weight.shape}")
            self.weight = Parameter(weight)
        if freeze:
            self.weight.requires_grad_(False)

    def reset_parameters(self) -> None:
        """Draw the table anew from the normal distribution; the row for padding is 0."""
        init.normal_(self.weight)
        if self.padding_idx is not None:
            with ag.no_grad():
                self.weight[self.padding_idx] = 0.0

    @classmethod
    def from_pretrained(cls, embeddings: ag.Tensor, freeze: bool = True, **options: Any) -> Any:
        """A layer with a given table (rows, columns), which is not trained unless `freeze=False`.

        Raises:
            ValueError: the table does not have two dimensions.

        >>> import autograd as ag, nn
        >>> nn.Embedding.from_pretrained(ag.tensor([[1.0, 2.0], [3.0, 4.0]]))(ag.tensor([1])).tolist()
        [[3.0, 4.0]]
        """
        if embeddings.ndim != 2:
            raise ValueError(f"{cls.__name__}.from_pretrained: needs a table (rows, columns), got shape {embeddings.shape}")
        make: Any = cls
        return make(*embeddings.shape, _weight=embeddings, _freeze=freeze, **options)

    def extra_repr(self) -> str:
        text = f"{self.num_embeddings}, {self.embedding_dim}"
        if self.max_norm is not None:
            text += f", max_norm={self.max_norm}"
        if self.norm_type != 2:
            text += f", norm_type={self.norm_type}"
        return f"{text}, scale_grad_by_freq={self.scale_grad_by_freq}" if self.scale_grad_by_freq else text


class Embedding(_Table):
    """A vector for each of num_embeddings integers: x of any shape -> (*x.shape, embedding_dim).

    Args:
        padding_idx: a row that begins as 0 and gets no gradient; negative ones count from the end.
        max_norm: rows that are read and have a larger `norm_type`-norm are scaled down to it, in place.
        scale_grad_by_freq: whether a row's gradient is divided by how often the batch has it.
        sparse: only False.

    The parameter `weight` (num_embeddings, embedding_dim) starts as normal numbers.

    Raises:
        IndexError: an integer is negative or not below num_embeddings.

    >>> import autograd as ag, nn
    >>> nn.Embedding(10, 4, padding_idx=0)(ag.tensor([[1, 2, 0]])).shape
    (1, 3, 4)
    """

    def __init__(
        self, num_embeddings: int, embedding_dim: int, padding_idx: int | None = None, max_norm: float | None = None,
        norm_type: float = 2.0, scale_grad_by_freq: bool = False, sparse: bool = False, _weight: ag.Tensor | None = None,
        _freeze: bool = False, *, dtype: Any = None, device: str = "cpu",
    ) -> None:  # fmt: skip
        super().__init__(
            num_embeddings, embedding_dim, padding_idx, max_norm, norm_type, scale_grad_by_freq, sparse, _weight, _freeze,
            dtype, device,
        )  # fmt: skip

    def forward(self, x: ag.Tensor) -> ag.Tensor:
        return F.embedding(x, self.weight, self.padding_idx, self.max_norm, self.norm_type, self.scale_grad_by_freq, self.sparse)

    def extra_repr(self) -> str:
        text = super().extra_repr()
        if self.padding_idx is None:
            return text
        sizes = f"{self.num_embeddings}, {self.embedding_dim}"
        return f"{sizes}, padding_idx={self.padding_idx}{text[len(sizes) :]}"


class EmbeddingBag(_Table):
    """The sum, mean or largest elements of the vectors of several integers: (bags, size) -> (bags, embedding_dim).

    Args:
        mode: 'sum', 'mean' or 'max'.
        include_last_offset: whether offsets have one number more, the end of the last bag.
        padding_idx: a row that counts as if it were not in the bag.
        the rest: as in `Embedding`.

    The input may have one dimension, with `offsets` that say where each bag begins; `per_sample_weights`, for 'sum', are
    what vectors are multiplied by.

    >>> import autograd as ag, nn
    >>> nn.EmbeddingBag(10, 4)(ag.tensor([1, 2, 0]), ag.tensor([0, 2])).shape
    (2, 4)
    """

    def __init__(
        self, num_embeddings: int, embedding_dim: int, max_norm: float | None = None, norm_type: float = 2.0,
        scale_grad_by_freq: bool = False, mode: str = "mean", sparse: bool = False, _weight: ag.Tensor | None = None,
        include_last_offset: bool = False, padding_idx: int | None = None, _freeze: bool = False, *, dtype: Any = None,
        device: str = "cpu",
    ) -> None:  # fmt: skip
        if mode not in ("sum", "mean", "max"):
            raise ValueError(f"EmbeddingBag: mode is 'sum', 'mean' or 'max', got {mode!r}")
        super().__init__(
            num_embeddings, embedding_dim, padding_idx, max_norm, norm_type, scale_grad_by_freq, sparse, _weight, _freeze,
            dtype, device,
        )  # fmt: skip
        self.mode, self.include_last_offset = mode, include_last_offset

    def forward(
        self, x: ag.Tensor, offsets: ag.Tensor | None = None, per_sample_weights: ag.Tensor | None = None
    ) -> ag.Tensor:
        return F.embedding_bag(
            x, self.weight, offsets, self.max_norm, self.norm_type, self.scale_grad_by_freq, self.mode, self.sparse,
            per_sample_weights, self.include_last_offset, self.padding_idx,
        )  # fmt: skip

    def extra_repr(self) -> str:
        text = f"{super().extra_repr()}, mode={self.mode!r}"
        return text if self.padding_idx is None else f"{text}, padding_idx={self.padding_idx}"
