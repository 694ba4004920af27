"""Random tensors, from the library's own counter-based generator: the same seed gives the same numbers everywhere."""

from __future__ import annotations

from typing import Any

from autograd import dtypes
from autograd.ops.creation import _shape, _variadic
from autograd.tensor import Tensor
from kernels import random


def manual_seed(seed: int) -> None:
    """Start the default generator anew: equal seeds give equal numbers, on any device and with any number of threads."""
    random.manual_seed(seed)


def rand(*shape: Any, dtype: Any = None, device: str = "cpu", requires_grad: bool = False) -> Tensor:
    """Uniform numbers in [0, 1).

    >>> import autograd as ag
    >>> ag.manual_seed(0)
    >>> ag.rand(2, 3).shape
    (2, 3)
    """
    kind = dtypes.as_dtype(dtype) if dtype is not None else dtypes.default_float
    return Tensor(random.default_generator.uniform(_variadic(shape, "rand"), dtype=kind, device=device), requires_grad)


def randn(*shape: Any, dtype: Any = None, device: str = "cpu", requires_grad: bool = False) -> Tensor:
    """Normal numbers with mean 0 and standard deviation 1."""
    kind = dtypes.as_dtype(dtype) if dtype is not None else dtypes.default_float
    return Tensor(random.default_generator.normal(_variadic(shape, "randn"), dtype=kind, device=device), requires_grad)


def randint(low: int, high: int | None = None, shape: Any = (), *, dtype: Any = None, device: str = "cpu") -> Tensor:
    """Integers from low to high - 1, all equally likely; `randint(high, shape=...)` starts at 0."""
    first, last = (0, low) if high is None else (low, high)
    kind = dtypes.as_dtype(dtype) if dtype is not None else dtypes.default_int
    return Tensor(random.default_generator.integers(first, last, _shape(shape, "randint"), dtype=kind, device=device))


def randperm(n: int, *, device: str = "cpu") -> Tensor:
    """The integers 0 to n - 1 in random order."""
    return Tensor(random.default_generator.permutation(n, device=device))


def bernoulli(p: float, shape: Any = (), *, dtype: Any = None, device: str = "cpu") -> Tensor:
    """Ones with probability p, zeros otherwise."""
    kind = dtypes.as_dtype(dtype) if dtype is not None else dtypes.default_float
    return Tensor(random.default_generator.bernoulli(_shape(shape, "bernoulli"), p, dtype=kind, device=device))
