"""Help with gradients and parameters of whole networks."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from math import inf

import autograd as ag
from autograd.ops.elementwise import OPERATIONS
from autograd.ops.inplace import update_in_place
from nn import parametrizations
from nn import sequences as rnn

sys.modules[__name__ + ".parametrizations"] = parametrizations
sys.modules[__name__ + ".rnn"] = rnn  # for `from nn.utils.rnn import pad_sequence`, as in PyTorch


def _gradients(parameters: ag.Tensor | Iterable[ag.Tensor]) -> list[ag.Tensor]:
    given = [parameters] if isinstance(parameters, ag.Tensor) else list(parameters)
    return [p.grad for p in given if p.grad is not None]


def clip_grad_norm_(
    parameters: ag.Tensor | Iterable[ag.Tensor],
    max_norm: float,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
) -> ag.Tensor:
    """Scale all gradients down, in place, such that their common norm is at most max_norm (Pascanu et al. 2013).

    Args:
        parameters: those without a gradient are passed over.
        norm_type: the order of the norm; `inf` for the largest absolute value.
        error_if_nonfinite: raise if the norm is NaN or infinite, before any gradient is changed.

    Returns:
        The norm before scaling, a 0-d tensor.

    >>> import autograd as ag, nn
    >>> p = nn.Parameter(ag.zeros(2))
    >>> (p * ag.tensor([3.0, 4.0])).sum().backward()
    >>> nn.utils.clip_grad_norm_(p, 1.0)
    tensor(5., dtype=float32)
    >>> p.grad
    tensor([0.6, 0.8], dtype=float32)
    """
    gradients = _gradients(parameters)
    if not gradients:
        return ag.tensor(0.0)
    with ag.no_grad():
        norms = [ag.norm(g, norm_type) for g in gradients]
        total = ag.norm(ag.stack(norms), norm_type)
        if error_if_nonfinite and not abs(total.item()) < inf:
            raise RuntimeError(f"clip_grad_norm_: the norm of the gradients is {total.item()}; they were not changed")
        factor = ag.clip(max_norm / (total + 1e-6), None, 1.0)
        for g in gradients:
            update_in_place(OPERATIONS["multiply"], g, factor if factor.dtype == g.dtype else factor.astype(g.dtype))
    return total


def clip_grad_value_(parameters: ag.Tensor | Iterable[ag.Tensor], clip_value: float) -> None:
    """Bring every element of all gradients between -clip_value and clip_value, in place."""
    with ag.no_grad():
        for g in _gradients(parameters):
            update_in_place(OPERATIONS["clip_scalar"], g, lower=-float(clip_value), upper=float(clip_value))


def parameters_to_vector(parameters: Iterable[ag.Tensor]) -> ag.Tensor:
    """All elements of all parameters in one dimension; gradients flow back through it."""
    return ag.concat([p.reshape((p.size,)) for p in parameters])


def vector_to_parameters(vector: ag.Tensor, parameters: Iterable[ag.Tensor]) -> None:
    """Write a vector, as `parameters_to_vector` gives it, back into parameters.

    Raises:
        ValueError: the vector has another number of elements.
    """
    parameters = list(parameters)
    total = sum(p.size for p in parameters)
    if vector.shape != (total,):
        raise ValueError(f"vector_to_parameters: the parameters have {total} elements, the vector shape {vector.shape}")
    start = 0
    with ag.no_grad():
        for p in parameters:
            p.copy_(vector[start : start + p.size].reshape(p.shape))
            start += p.size
