"""Normalisation layers."""

from __future__ import annotations

from typing import Any

import autograd as ag
from nn import functional, init
from nn.module import Module
from nn.parameter import Parameter


class LayerNorm(Module):
    """(x - mean) / sqrt(var + eps) * weight + bias over the last axes, each sample by itself (Ba et al. 2016).

    Args:
        normalized_shape: the sizes of the last axes, over which mean and variance are taken; an int for one axis.
        eps: added to the variance, so that constant rows give `bias`.
        elementwise_affine: whether there are `weight` and `bias`, of that shape.
        bias: whether there is a bias beside the weight.

    >>> import autograd as ag, nn
    >>> nn.LayerNorm(2)(ag.tensor([[1.0, 3.0]])).tolist()  # doctest: +ELLIPSIS
    [[-0.99999..., 0.99999...]]
    """

    def __init__(
        self, normalized_shape: int | tuple[int, ...], eps: float = 1e-5, elementwise_affine: bool = True,
        bias: bool = True, *, dtype: Any = None, device: str = "cpu",
    ) -> None:  # fmt: skip
        super().__init__()
        shape = (normalized_shape,) if isinstance(normalized_shape, int) else tuple(normalized_shape)
        self.normalized_shape, self.eps, self.elementwise_affine = shape, eps, elementwise_affine
        self.weight = Parameter(ag.empty(shape, dtype=dtype, device=device)) if elementwise_affine else None
        self.bias = Parameter(ag.empty(shape, dtype=dtype, device=device)) if elementwise_affine and bias else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Weight 1 and bias 0."""
        if self.weight is not None:
            init.ones_(self.weight)
        if self.bias is not None:
            init.zeros_(self.bias)

    def forward(self, x: ag.Tensor) -> ag.Tensor:
        return functional.layer_norm(x, self.normalized_shape, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        return f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={self.elementwise_affine}"


class RMSNorm(Module):
    """x / sqrt(mean(x ** 2) + eps) * weight over the last axes, each sample by itself (Zhang and Sennrich 2019).

    Args:
        normalized_shape: the sizes of the last axes; an int for one axis.
        eps: added to the mean square; None is the dtype's distance from 1 to the next number.
        elementwise_affine: whether there is a `weight`, of that shape.

    >>> import autograd as ag, nn
    >>> nn.RMSNorm(2)(ag.tensor([[1.0, 1.0]])).detach().numpy().round(3).tolist()
    [[1.0, 1.0]]
    """

    def __init__(
        self, normalized_shape: int | tuple[int, ...], eps: float | None = None, elementwise_affine: bool = True, *,
        dtype: Any = None, device: str = "cpu",
    ) -> None:  # fmt: skip
        super().__init__()
        shape = (normalized_shape,) if isinstance(normalized_shape, int) else tuple(normalized_shape)
        self.normalized_shape, self.eps, self.elementwise_affine = shape, eps, elementwise_affine
        self.weight = Parameter(ag.ones(shape, dtype=dtype, device=device)) if elementwise_affine else None

    def reset_parameters(self) -> None:
        """Weight 1."""
        if self.weight is not None:
            init.ones_(self.weight)

    def forward(self, x: ag.Tensor) -> ag.Tensor:
        return functional.rms_norm(x, self.normalized_shape, self.weight, self.eps)

    def extra_repr(self) -> str:
        return f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={self.elementwise_affine}"


class GroupNorm(Module):
    """Groups of neighbouring channels of each sample brought to mean 0 and variance 1, then scaled (Wu and He 2018).

    Args:
        num_groups: of the num_channels, the size of axis 1, which it divides.
        affine: whether there are a `weight` and, with `bias`, a `bias`, a number for each channel.

    >>> import autograd as ag, nn
    >>> nn.GroupNorm(2, 4)(ag.ones((1, 4, 3))).tolist()[0][0]
    [0.0, 0.0, 0.0]
    """

    def __init__(
        self, num_groups: int, num_channels: int, eps: float = 1e-5, affine: bool = True, *, bias: bool = True,
        dtype: Any = None, device: str = "cpu",
    ) -> None:  # fmt: skip
        super().__init__()
        if num_groups < 1 or num_channels % num_groups:
            raise ValueError(f"GroupNorm: num_groups={num_groups} must divide num_channels={num_channels}")
        self.num_groups, self.num_channels, self.eps, self.affine = num_groups, num_channels, eps, affine
        self.weight = Parameter(ag.ones((num_channels,), dtype=dtype, device=device)) if affine else None
        self.bias = Parameter(ag.zeros((num_channels,), dtype=dtype, device=device)) if affine and bias else None

    def reset_parameters(self) -> None:
        """Weight 1 and bias 0."""
        if self.weight is not None:
            init.ones_(self.weight)
        if self.bias is not None:
            init.zeros_(self.bias)

    def forward(self, x: ag.Tensor) -> ag.Tensor:
        if x.ndim < 2 or x.shape[1] != self.num_channels:
            n = self.num_channels
            raise ValueError(f"GroupNorm: needs an input (N, {n}) or (N, {n}, sizes), got shape {x.shape}")
        return functional.group_norm(x, self.num_groups, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        bias = self.bias is not None
        return f"{self.num_groups}, {self.num_channels}, eps={self.eps}, affine={self.affine}, bias={bias}"


class _ChannelNorm(Module):
    """What batch and instance normalisation have in common: a number for each channel, and running statistics."""

    def __init__(
        self, num_features: int, eps: float, momentum: float | None, affine: bool, track_running_stats: bool, bias: bool,
        dtype: Any, device: str,
    ) -> None:  # fmt: skip
        super().__init__()
        if isinstance(num_features, bool) or not hasattr(num_features, "__index__") or num_features < 0:
            raise ValueError(f"{type(self).__name__}: num_features must be an integer of at least 0, got {num_features!r}")
        self.num_features, self.eps, self.momentum = num_features, eps, momentum
        self.affine, self.track_running_stats = affine, track_running_stats
        shape, options = (num_features,), {"dtype": dtype, "device": device}
        self.weight = Parameter(ag.ones(shape, **options)) if affine else None
        self.bias = Parameter(ag.zeros(shape, **options)) if affine and bias else None
        self.register_buffer("running_mean", ag.zeros(shape, **options) if track_running_stats else None)
        self.register_buffer("running_var", ag.ones(shape, **options) if track_running_stats else None)
        counter = ag.zeros((), dtype=ag.int64, device=device) if track_running_stats else None
        self.register_buffer("num_batches_tracked", counter)

    def reset_running_stats(self) -> None:
        """Means 0, variances 1, no batches seen."""
        if self.track_running_stats:
            with ag.no_grad():
                self.running_mean[...] = 0.0
                self.running_var[...] = 1.0
                self.num_batches_tracked[...] = 0

    def reset_parameters(self) -> None:
        """Weight 1, bias 0, and the statistics as at first."""
        self.reset_running_stats()
        if self.weight is not None:
            init.ones_(self.weight)
        if self.bias is not None:
            init.zeros_(self.bias)

    def extra_repr(self) -> str:
        return (
            f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, affine={self.affine}, "
            f"bias={self.bias is not None}, track_running_stats={self.track_running_stats}"
        )


class _BatchNorm(_ChannelNorm):
    ranks: tuple[int, ...]
    form: str

    def __init__(
        self, num_features: int, eps: float = 1e-5, momentum: float | None = 0.1, affine: bool = True,
        track_running_stats: bool = True, *, bias: bool = True, dtype: Any = None, device: str = "cpu",
    ) -> None:  # fmt: skip
        super().__init__(num_features, eps, momentum, affine, track_running_stats, bias, dtype, device)

    def forward(self, x: ag.Tensor) -> ag.Tensor:
        if x.ndim not in self.ranks or x.shape[1] != self.num_features:
            form = self.form.replace("C", str(self.num_features))
            raise ValueError(f"{type(self).__name__}: needs an input {form}, got shape {x.shape}")
        if not self.training:
            by_batch = self.running_mean is None
            return functional.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, by_batch, 0.0, self.eps)
        share = self.momentum
        if self.track_running_stats and share is None:  # all batches count the same
            share = 1 / (self.num_batches_tracked.item() + 1)
        y = functional.batch_norm(
            x, self.running_mean, self.running_var, self.weight, self.bias, True, 0.0 if share is None else share, self.eps
        )
        if self.num_batches_tracked is not None:
            with ag.no_grad():
                self.num_batches_tracked[...] = self.num_batches_tracked + 1
        return y


class BatchNorm1d(_BatchNorm):
    """Each feature of (N, C), or channel of (N, C, L), normalised over the batch; see `BatchNorm2d`."""

    ranks, form = (2, 3), "(N, C) or (N, C, L)"


class BatchNorm2d(_BatchNorm):
    """Each channel of images (N, C, H, W) normalised over the batch: (x - mean) / sqrt(var + eps) * weight + bias.

    While training, mean and variance are the batch's, and the buffers `running_mean` and `running_var` (unbiased) move
    towards them; evaluating, the buffers are used. See Ioffe and Szegedy 2015.

    Args:
        num_features: channels, the size of axis 1.
        momentum: the share of a new batch in the running statistics; None: all batches count the same.
        affine: whether there are a `weight` and, with `bias`, a `bias`, a number for each channel.
        track_running_stats: whether there are running statistics; without, evaluating uses the batch's too.

    Raises:
        ValueError: the input has other channels, or training has a single value per channel.

    >>> import autograd as ag, nn
    >>> layer = nn.BatchNorm2d(3)
    >>> layer(ag.ones((2, 3, 4, 4))).shape, layer.running_mean.tolist()
    ((2, 3, 4, 4), [0.10000000149011612, 0.10000000149011612, 0.10000000149011612])
    """

    ranks, form = (4,), "(N, C, H, W)"


class BatchNorm3d(_BatchNorm):
    """Each channel of volumes (N, C, D, H, W) normalised over the batch; see `BatchNorm2d`."""

    ranks, form = (5,), "(N, C, D, H, W)"


class _InstanceNorm(_ChannelNorm):
    dimensions: int

    def __init__(
        self, num_features: int, eps: float = 1e-5, momentum: float = 0.1, affine: bool = False,
        track_running_stats: bool = False, *, bias: bool = True, dtype: Any = None, device: str = "cpu",
    ) -> None:  # fmt: skip
        super().__init__(num_features, eps, momentum, affine, track_running_stats, bias, dtype, device)

    def forward(self, x: ag.Tensor) -> ag.Tensor:
        wrong = x.ndim not in (self.dimensions + 1, self.dimensions + 2)
        if wrong or ((self.affine or self.track_running_stats) and x.shape[-self.dimensions - 1] != self.num_features):
            form = f"(N, {self.num_features}, {', '.join('DHW'[3 - self.dimensions :] if self.dimensions > 1 else 'L')})"
            raise ValueError(f"{type(self).__name__}: needs an input {form}, or one without N, got shape {x.shape}")
        batch = x if x.ndim == self.dimensions + 2 else x.reshape((1, *x.shape))
        y = functional.instance_norm(
            batch, self.running_mean, self.running_var, self.weight, self.bias,
            self.training or not self.track_running_stats, 0.0 if self.momentum is None else self.momentum, self.eps,
        )  # fmt: skip
        return y if batch is x else y.reshape(x.shape)


class InstanceNorm1d(_InstanceNorm):
    """Each channel of each sequence (N, C, L) or (C, L) normalised by itself; see `InstanceNorm2d`."""

    dimensions = 1


class InstanceNorm2d(_InstanceNorm):
    """Each channel of each image (N, C, H, W) or (C, H, W) normalised by itself (Ulyanov et al. 2016).

    Args:
        num_features, eps, momentum, bias: as in `BatchNorm2d`.
        affine, track_running_stats: as there, but not so unless asked for.

    >>> import autograd as ag, nn
    >>> nn.InstanceNorm2d(1)(ag.tensor([[[1.0, 3.0]]])).numpy().round(2).tolist()
    [[[-1.0, 1.0]]]
    """

    dimensions = 2


class InstanceNorm3d(_InstanceNorm):
    """Each channel of each volume (N, C, D, H, W) or (C, D, H, W) normalised by itself; see `InstanceNorm2d`."""

    dimensions = 3
