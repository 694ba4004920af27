"""Normalisation as functions; `nn.functional` hands them on."""

from __future__ import annotations

from math import prod

import numpy as np

import autograd as ag
from autograd import Tensor
from autograd.ops import nn_ops, normalize


def batch_norm(
    x: Tensor, running_mean: Tensor | None, running_var: Tensor | None, weight: Tensor | None = None,
    bias: Tensor | None = None, training: bool = False, momentum: float = 0.1, eps: float = 1e-5,
) -> Tensor:  # fmt: skip
    """(x - mean) / sqrt(var + eps) * weight + bias for each channel of x (N, C) or (N, C, sizes) (Ioffe and Szegedy 2015).

    Args:
        running_mean, running_var: (C,): the statistics to use, where not training; training, they are moved in place towards
            those of the batch (the variance unbiased) by the share `momentum`. None: always those of the batch.
        weight, bias: (C,), or None for 1 and 0.

    Raises:
        TypeError: x has no floats, or another dtype than the rest.
        ValueError: a shape does not fit, or training has a single value per channel.
    """
    name = "batch_norm"
    given = {"running_mean": running_mean, "running_var": running_var, "weight": weight, "bias": bias}
    _check(name, x, 2, given)
    if (running_mean is None) != (running_var is None):
        raise ValueError(f"{name}: running_mean and running_var are given together or not at all")
    if not training:
        if running_mean is None or running_var is None:
            raise ValueError(f"{name}: without training it needs running_mean and running_var")
        return _by_statistics(x, running_mean, running_var, weight, bias, eps)
    values = x.size // max(1, x.shape[1])
    if values < 2:
        raise ValueError(f"{name}: training needs more than one value per channel, got an input of shape {x.shape}")
    y, mean, var = normalize.batch_norm(x, weight, bias, eps)
    if running_mean is not None and running_var is not None:
        _move(running_mean, mean, momentum)
        _move(running_var, var * (values / (values - 1)), momentum)
    return y


def instance_norm(
    x: Tensor, running_mean: Tensor | None = None, running_var: Tensor | None = None, weight: Tensor | None = None,
    bias: Tensor | None = None, use_input_stats: bool = True, momentum: float = 0.1, eps: float = 1e-5,
) -> Tensor:  # fmt: skip
    """Each channel of each sample of x (N, C, sizes) normalised by itself (Ulyanov, Vedaldi and Lempitsky 2016).

    Args:
        running_mean, running_var: (C,), moved towards the means of the samples' statistics; with use_input_stats=False
            what is normalised by.

    Raises:
        TypeError, ValueError: as for `batch_norm`.
    """
    name = "instance_norm"
    _check(name, x, 3, {"running_mean": running_mean, "running_var": running_var, "weight": weight, "bias": bias})
    if not use_input_stats:
        if running_mean is None or running_var is None:
            raise ValueError(f"{name}: with use_input_stats=False it needs running_mean and running_var")
        return _by_statistics(x, running_mean, running_var, weight, bias, eps)
    values = prod(x.shape[2:])
    if values < 2:
        raise ValueError(f"{name}: needs more than one element per channel and sample, got an input of shape {x.shape}")
    if running_mean is not None and running_var is not None:
        axes = tuple(range(2, x.ndim))
        _move(running_mean, ag.mean(ag.mean(x.detach(), axis=axes), axis=0), momentum)
        _move(running_var, ag.mean(ag.var(x.detach(), axis=axes, correction=1), axis=0), momentum)
    return _scaled(_rows_normal(x, x.shape[1], eps), weight, bias)


def group_norm(x: Tensor, num_groups: int, weight: Tensor | None = None, bias: Tensor | None = None, eps: float = 1e-5) -> Tensor:
    """Groups of neighbouring channels of each sample of x (N, C, sizes) normalised (Wu and He 2018).

    Raises:
        TypeError, ValueError: as for `batch_norm`; or num_groups does not divide C.
    """
    _check("group_norm", x, 2, {"weight": weight, "bias": bias})
    if isinstance(num_groups, bool) or not hasattr(num_groups, "__index__") or num_groups < 1 or x.shape[1] % num_groups:
        raise ValueError(f"group_norm: num_groups={num_groups} must divide the channels (axis 1) of the input {x.shape}")
    return _scaled(_rows_normal(x, num_groups, eps), weight, bias)


def rms_norm(
    x: Tensor, normalized_shape: int | tuple[int, ...], weight: Tensor | None = None, eps: float | None = None
) -> Tensor:
    """x / sqrt(mean(x ** 2) + eps) * weight over the last axes of x (Zhang and Sennrich 2019).

    Args:
        normalized_shape: the sizes of those axes, as weight has them.
        eps: None is the dtype's distance from 1 to the next number.

    Raises:
        TypeError: x has no floats.
        ValueError: x does not end in normalized_shape, or weight has another shape.
    """
    shape = (normalized_shape,) if isinstance(normalized_shape, int) else tuple(normalized_shape)
    _check_floats("rms_norm", x)
    if not shape or x.shape[-len(shape) :] != shape:
        raise ValueError(f"rms_norm: the input's shape {x.shape} does not end in normalized_shape {shape}")
    if weight is not None and weight.shape != shape:
        raise ValueError(f"rms_norm: weight has shape {weight.shape}, expected normalized_shape {shape}")
    eps = float(np.finfo(x.dtype).eps) if eps is None else eps
    if len(shape) > 1:
        flat = None if weight is None else weight.reshape((prod(shape),))
        rows = x.reshape((*x.shape[: -len(shape)], prod(shape)))
        return normalize.rms_norm(rows, flat, eps).reshape(x.shape)
    return normalize.rms_norm(x, weight, eps)


# --- parts ------------------------------------------------------------------------------------------------------------


def _by_statistics(
    x: Tensor, mean: Tensor, var: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float
) -> Tensor:
    shape = _beside(x)
    scale = ag.rsqrt(var + eps) if weight is None else ag.rsqrt(var + eps) * weight
    if bias is None:
        return normalize.standardised(x, mean.reshape(shape), scale.reshape(shape))
    return normalize.shifted(x, mean.reshape(shape), scale.reshape(shape), bias.reshape(shape))


def _rows_normal(x: Tensor, groups: int, eps: float) -> Tensor:
    """x with each of the groups of channels of each sample brought to mean 0 and variance 1."""
    rows = x.reshape((x.shape[0] * groups, prod(x.shape[1:]) // groups))
    return nn_ops.layer_norm(rows, None, None, eps).reshape(x.shape)


def _scaled(y: Tensor, weight: Tensor | None, bias: Tensor | None) -> Tensor:
    shape = _beside(y)
    if weight is None:
        return y if bias is None else y + bias.reshape(shape)
    if bias is None:
        return y * weight.reshape(shape)
    return normalize.scaled(y, weight.reshape(shape), bias.reshape(shape))


def _beside(x: Tensor) -> tuple[int, ...]:
    """The shape in which a number for each channel broadcasts against x."""
    return (x.shape[1], *(1,) * (x.ndim - 2))


def _move(running: Tensor, found: Tensor, momentum: float) -> None:
    with ag.no_grad():
        running[...] = running * (1 - momentum) + found * momentum


def _check_floats(name: str, x: Tensor) -> None:
    if x.dtype.kind != "f":
        raise TypeError(f"{name}: needs floats, got shape {x.shape}, {x.dtype}; convert with .astype(autograd.float32)")


def _check(name: str, x: Tensor, least: int, given: dict[str, Tensor | None]) -> None:
    _check_floats(name, x)
    if x.ndim < least:
        form = "(N, C) or (N, C, sizes)" if least == 2 else "(N, C, sizes)"
        raise ValueError(f"{name}: needs an input {form}, got shape {x.shape}")
    for what, tensor in given.items():
        if tensor is None:
            continue
        if tensor.shape != (x.shape[1],):
            raise ValueError(
                f"{name}: {what} must have shape ({x.shape[1]},), one number for each channel of the input {x.shape}, got "
                f"{tensor.shape}"
            )
        if tensor.dtype != x.dtype:
            raise TypeError(f"{name}: the input is {x.dtype} and {what} {tensor.dtype}; convert one with .astype or .to(dtype)")
