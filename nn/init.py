"""Initial values, written into tensors in place; PyTorch's names and formulas.

All numbers come from the library's default generator, so `autograd.manual_seed` fixes them, or from `generator`: a
`kernels.random.Generator`, or an integer that seeds one. Every function returns the tensor it was given.
"""

from __future__ import annotations

import math

import numpy as np

import autograd as ag
from kernels.random import Generator, as_generator


def _write(tensor: ag.Tensor, values: ag.Tensor | np.ndarray | float) -> ag.Tensor:
    """Overwrite the elements, parameters included: initial values are no part of any graph."""
    with ag.no_grad():
        return tensor.copy_(values)


def uniform_(tensor: ag.Tensor, a: float = 0.0, b: float = 1.0, generator: Generator | int | None = None) -> ag.Tensor:
    """Uniform numbers in [a, b)."""
    return _write(tensor, as_generator(generator).uniform(tensor.shape, tensor.dtype, a, b, device=tensor.device))


def normal_(
    tensor: ag.Tensor, mean: float = 0.0, std: float = 1.0, generator: Generator | int | None = None
) -> ag.Tensor:
    """Normal numbers."""
    return _write(tensor, as_generator(generator).normal(tensor.shape, tensor.dtype, mean, std, device=tensor.device))


def trunc_normal_(
    tensor: ag.Tensor, mean: float = 0.0, std: float = 1.0, a: float = -2.0, b: float = 2.0,
    generator: Generator | int | None = None,
) -> ag.Tensor:  # fmt: skip
    """Normal numbers, given that they lie in [a, b] (bounds in the numbers' own unit, not in standard deviations)."""
    if not a < b or std <= 0:
        raise ValueError(f"trunc_normal_: needs a < b and std > 0, got a={a}, b={b}, std={std}")
    low, high = (a - mean) / std, (b - mean) / std
    values = _standard_normal_between(low, high, tensor.size, as_generator(generator))
    numbers = np.clip(mean + std * values, a, b).reshape(tensor.shape)
    return _write(tensor, numbers.astype(tensor.dtype))


def _standard_normal_between(low: float, high: float, count: int, generator: Generator) -> np.ndarray:
    """Rejection: normal proposals where most fall inside, otherwise uniform ones, accepted by their density."""
    nearest = min(max(0.0, low), high)  # where the density is highest
    inside = 0.5 * (math.erf(high / math.sqrt(2)) - math.erf(low / math.sqrt(2)))
    first, last = max(low, nearest - 10), min(high, nearest + 10)  # beyond, the density has fallen by exp(-50)
    parts, missing = [], count
    while missing:
        if inside > 0.3:
            x = generator.normal(missing + 16, np.float64)
            x = x[(x >= low) & (x <= high)]
        else:
            x = generator.uniform(4 * missing + 16, np.float64, first, last)
            x = x[generator.uniform(x.size, np.float64) < np.exp((nearest**2 - x**2) / 2)]
        parts.append(x[:missing])
        missing -= len(parts[-1])
    return np.concatenate(parts) if parts else np.empty(0)


def constant_(tensor: ag.Tensor, val: float) -> ag.Tensor:
    """Every element `val`."""
    return _write(tensor, val)


def zeros_(tensor: ag.Tensor) -> ag.Tensor:
    """Every element 0."""
    return _write(tensor, 0.0)


def ones_(tensor: ag.Tensor) -> ag.Tensor:
    """Every element 1."""
    return _write(tensor, 1.0)


def eye_(tensor: ag.Tensor) -> ag.Tensor:
    """Ones on the diagonal of a matrix, zeros elsewhere: as many inputs as possible are passed on."""
    if tensor.ndim != 2:
        raise ValueError(f"eye_: needs a matrix, got shape {tensor.shape}")
    return _write(tensor, ag.eye(*tensor.shape, dtype=tensor.dtype, device=tensor.device))


# --- scaled by the number of connections -----------------------------------------------------------------------------


def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    """How much a nonlinearity shrinks its input's spread, to be made up for by larger weights.

    Args:
        nonlinearity: "linear", "conv1d" and the like, "sigmoid", "tanh", "relu", "leaky_relu" or "selu".
        param: the negative slope of leaky_relu.

    >>> calculate_gain("leaky_relu", 0.0) == calculate_gain("relu")
    True
    """
    linear = ["linear", *(f"conv{'_transpose' * t}{d}d" for t in (0, 1) for d in (1, 2, 3))]
    gains = {**dict.fromkeys([*linear, "sigmoid"], 1.0), "tanh": 5 / 3, "relu": math.sqrt(2), "selu": 3 / 4}
    if nonlinearity == "leaky_relu":
        return math.sqrt(2 / (1 + (0.01 if param is None else float(param)) ** 2))
    if nonlinearity not in gains:
        known = ", ".join([*gains, "leaky_relu"])
        raise ValueError(f"calculate_gain: unknown nonlinearity {nonlinearity!r}; there are {known}")
    return gains[nonlinearity]


def _fans(tensor: ag.Tensor, name: str) -> tuple[int, int]:
    """How many inputs each output has, and how many outputs each input: weights are (out, in, *kernel)."""
    if tensor.ndim < 2:
        raise ValueError(f"{name}: needs a weight of two or more dimensions, got shape {tensor.shape}")
    field = math.prod(tensor.shape[2:])
    return tensor.shape[1] * field, tensor.shape[0] * field


def xavier_uniform_(tensor: ag.Tensor, gain: float = 1.0, generator: Generator | int | None = None) -> ag.Tensor:
    """Uniform with standard deviation gain sqrt(2 / (fan_in + fan_out)): Glorot and Bengio 2010."""
    bound = gain * math.sqrt(6 / max(sum(_fans(tensor, "xavier_uniform_")), 1))
    return uniform_(tensor, -bound, bound, generator)


def xavier_normal_(tensor: ag.Tensor, gain: float = 1.0, generator: Generator | int | None = None) -> ag.Tensor:
    """Normal with standard deviation gain sqrt(2 / (fan_in + fan_out)): Glorot and Bengio 2010."""
    std = gain * math.sqrt(2 / max(sum(_fans(tensor, "xavier_normal_")), 1))
    return normal_(tensor, 0.0, std, generator)


def _kaiming_std(tensor: ag.Tensor, a: float, mode: str, nonlinearity: str, name: str) -> float:
    if mode not in ("fan_in", "fan_out"):
        raise ValueError(f"{name}: mode is 'fan_in' or 'fan_out', got {mode!r}")
    fan = _fans(tensor, name)[mode == "fan_out"]
    return calculate_gain(nonlinearity, a) / math.sqrt(max(fan, 1))


def kaiming_uniform_(
    tensor: ag.Tensor, a: float = 0.0, mode: str = "fan_in", nonlinearity: str = "leaky_relu",
    generator: Generator | int | None = None,
) -> ag.Tensor:  # fmt: skip
    """Uniform with standard deviation gain / sqrt(fan), so that signals keep their size: He et al. 2015.

    Args:
        a: the negative slope, for leaky_relu.
        mode: "fan_in" keeps the size forward, "fan_out" backward.
    """
    bound = math.sqrt(3) * _kaiming_std(tensor, a, mode, nonlinearity, "kaiming_uniform_")
    return uniform_(tensor, -bound, bound, generator)


def kaiming_normal_(
    tensor: ag.Tensor, a: float = 0.0, mode: str = "fan_in", nonlinearity: str = "leaky_relu",
    generator: Generator | int | None = None,
) -> ag.Tensor:  # fmt: skip
    """Normal with standard deviation gain / sqrt(fan): He et al. 2015; arguments as `kaiming_uniform_`."""
    return normal_(tensor, 0.0, _kaiming_std(tensor, a, mode, nonlinearity, "kaiming_normal_"), generator)


def orthogonal_(tensor: ag.Tensor, gain: float = 1.0, generator: Generator | int | None = None) -> ag.Tensor:
    """Rows (or columns, if there are fewer) that are orthonormal, times gain: Saxe et al. 2014.

    The tensor counts as a matrix (first size, all others). All such matrices are equally likely: the Q of a normal
    matrix, with the signs that make R's diagonal positive.
    """
    if tensor.ndim < 2:
        raise ValueError(f"orthogonal_: needs two or more dimensions, got shape {tensor.shape}")
    if not tensor.size:
        return tensor
    rows = tensor.shape[0]
    columns = tensor.size // rows
    normal = as_generator(generator).normal((max(rows, columns), min(rows, columns)), np.float64)
    q, r = np.linalg.qr(normal)
    q *= np.where(np.diag(r) < 0, -1.0, 1.0)
    q = q.T if rows < columns else q
    return _write(tensor, (gain * q).reshape(tensor.shape).astype(tensor.dtype))


def dirac_(tensor: ag.Tensor, groups: int = 1) -> ag.Tensor:
    """A convolution's weight that passes its inputs on: 1 in the middle of the kernel from channel k to channel k.

    Args:
        tensor: (out, in, *kernel) with one to three kernel dimensions.
        groups: each group of outputs passes on the inputs from the first.

    Raises:
        ValueError: another number of dimensions, or outputs that groups do not divide.
    """
    if tensor.ndim not in (3, 4, 5):
        raise ValueError(f"dirac_: needs a convolution's weight of 3 to 5 dimensions, got shape {tensor.shape}")
    if tensor.shape[0] % groups:
        raise ValueError(f"dirac_: {tensor.shape[0]} output channels cannot be divided into {groups} groups")
    each = tensor.shape[0] // groups
    values = np.zeros(tensor.shape, tensor.dtype)
    channels = np.arange(min(each, tensor.shape[1]))
    middle = tuple(size // 2 for size in tensor.shape[2:])
    for group in range(groups):
        values[(group * each + channels, channels, *middle)] = 1
    return _write(tensor, values)


def sparse_(
    tensor: ag.Tensor, sparsity: float, std: float = 0.01, generator: Generator | int | None = None
) -> ag.Tensor:
    """A matrix of normal numbers in which each column has the part `sparsity`, at random places, set to 0: Martens 2010."""
    if tensor.ndim != 2:
        raise ValueError(f"sparse_: needs a matrix, got shape {tensor.shape}")
    if not 0 <= sparsity <= 1:
        raise ValueError(f"sparse_: sparsity must be from 0 to 1, got {sparsity}")
    source = as_generator(generator)
    values = source.normal(tensor.shape, np.float64) * std
    order = np.argsort(source.uniform(tensor.shape, np.float64), axis=0)
    values[order[: math.ceil(sparsity * tensor.shape[0])], np.arange(tensor.shape[1])] = 0
    return _write(tensor, values.astype(tensor.dtype))
