"""Covariances and correlations of variables, as numpy.cov and numpy.corrcoef."""

from __future__ import annotations

from typing import Any

from autograd.ops import elementwise as ew
from autograd.ops.creation import asarray, zeros
from autograd.ops.diagonal import diagonal
from autograd.ops.linalg import _same
from autograd.ops.methods import clip, where
from autograd.ops.reduce import any as any_
from autograd.ops.reduce import mean, sum
from autograd.ops.shape import concat, expand_dims, matrix_transpose, reshape
from autograd.tensor import Tensor


def cov(
    m: Tensor, /, y: Tensor | None = None, rowvar: bool = True, bias: bool = False, ddof: int | None = None,
    fweights: Any = None, aweights: Any = None,
) -> Tensor:  # fmt: skip
    """The covariances of variables, as numpy.cov: the mean products of their distances from their means.

    Special cases:
        NaN of no observations, and of one that is divided by 0.

    Args:
        m: a row per variable and a column per observation (with rowvar=False the other way round); or one variable.
        y: more variables, of the same form.
        bias: divide by the number N of observations, not by N - 1.
        ddof: divide by N - ddof, whatever `bias` says.
        fweights: how often each observation occurred: integers.
        aweights: how much each observation counts: numbers that are not negative. They may require grad.

    Returns:
        (V, V) for V variables; for one variable its variance, a 0-d tensor.

    Raises:
        TypeError: m or y has no floats, or fweights no integers.
        ValueError: there are more than two dimensions, ddof is no integer, or the weights do not fit or are negative.

    >>> import autograd as ag
    >>> ag.cov(ag.tensor([[1.0, 2.0, 3.0], [3.0, 2.0, 1.0]])).tolist()
    [[1.0, -1.0], [-1.0, 1.0]]
    """
    if ddof is not None and (isinstance(ddof, bool) or int(ddof) != ddof):
        raise ValueError(f"cov: ddof must be an integer, got {ddof!r}")
    x = _variables(m, y, rowvar, "cov")  # (variables, observations)
    if not x.shape[0]:
        return zeros((0, 0), dtype=x.dtype, device=x.device)
    lost = (0 if bias else 1) if ddof is None else int(ddof)
    counts, importance = _weights(fweights, "fweights", x), _weights(aweights, "aweights", x)
    if counts is None and importance is None:
        centred = x - mean(x, axis=1, keepdims=True)
        divisor: Any = max(x.shape[1] - lost, 0)
        product = centred @ matrix_transpose(centred)
    else:
        weights: Any = counts if importance is None else importance if counts is None else counts * importance
        total = sum(weights)
        centred = x - sum(x * weights, axis=1, keepdims=True) / total
        divisor = total - lost * (1 if importance is None else sum(weights * importance) / total)
        divisor = where(divisor > 0, divisor, 0.0)
        product = centred @ matrix_transpose(centred * weights)
    return (product if x.shape[0] > 1 else reshape(product, ())) / divisor


def corrcoef(x: Tensor, /, y: Tensor | None = None, rowvar: bool = True) -> Tensor:
    """The correlations of variables, as numpy.corrcoef: covariances divided by both standard deviations, in [-1, 1].

    Special cases:
        NaN for a variable that is constant.

    Args:
        x, y, rowvar: as for `cov`.

    >>> import autograd as ag
    >>> ag.corrcoef(ag.tensor([[1.0, 2.0, 3.0], [6.0, 4.0, 2.0]])).tolist()
    [[1.0, -1.0], [-1.0, 1.0]]
    """
    together = _variables(x, y, rowvar, "corrcoef")
    product = cov(together)
    if not product.ndim:
        return product / product
    deviations = ew.sqrt(diagonal(product))
    return clip(product / expand_dims(deviations, 1) / deviations, -1.0, 1.0)


def _variables(m: Tensor, y: Tensor | None, rowvar: bool, name: str) -> Tensor:
    """All variables as rows of one matrix."""
    given = (asarray(m),) if y is None else _same(m, y, name)
    rows = []
    for place, x in enumerate(given):
        if x.dtype.kind != "f":
            raise TypeError(f"{name}: needs floats, got shape {x.shape}, {x.dtype}; convert with .astype(autograd.float32)")
        if x.ndim > 2:
            raise ValueError(f"{name}: needs variables as rows of a matrix, or one variable, got shape {x.shape}")
        by_rows = rowvar or x.ndim < 2 or (place and x.shape[0] == 1)
        rows.append(reshape(x, (1, -1) if x.ndim else (1, 1)) if x.ndim < 2 else x if by_rows else matrix_transpose(x))
    if len({x.shape[1] for x in rows}) > 1:
        shapes = " and ".join(str(x.shape) for x in given)
        raise ValueError(f"{name}: the variables have different numbers of observations: shapes {shapes}")
    return concat(rows, axis=0) if len(rows) > 1 else rows[0]


def _weights(given: Any, name: str, x: Tensor) -> Tensor | None:
    """Weights of the observations, as numbers of x's dtype."""
    if given is None:
        return None
    weights = asarray(given, device=None if isinstance(given, Tensor) else x.device)
    if name == "fweights" and weights.dtype.kind not in "iu":
        raise TypeError(f"cov: fweights must be integers, got {weights.dtype}")
    if weights.shape != x.shape[1:]:
        raise ValueError(f"cov: {name} must have shape {x.shape[1:]}, one per observation, got {weights.shape}")
    if any_(weights < 0):
        raise ValueError(f"cov: {name} must not be negative")
    return weights.astype(x.dtype, copy=False)
