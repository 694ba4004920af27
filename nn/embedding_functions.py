"""Looking up rows of a table, alone or added up in bags, as functions; `nn.functional` hands them on."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import autograd as ag
from autograd import Tensor
from autograd.ops import embedding as lookup


def embedding(
    x: Tensor, weight: Tensor, padding_idx: int | None = None, max_norm: float | None = None, norm_type: float = 2.0,
    scale_grad_by_freq: bool = False, sparse: bool = False,
) -> Tensor:  # fmt: skip
    """The rows of weight (rows, columns) at the integers x of any shape: (*x.shape, columns).

    Args:
        padding_idx: a row that gets no gradient; negative ones count from the end.
        max_norm: rows that are read and have a larger `norm_type`-norm are first scaled down to it, in place.
        scale_grad_by_freq: whether a row's gradient is divided by how often x has it.
        sparse: only False: gradients have every row here.

    Raises:
        IndexError: an integer is negative or not below the number of rows.
        TypeError: x has no integers.

    >>> import autograd as ag, nn.functional as F
    >>> F.embedding(ag.tensor([2, 0]), ag.tensor([[0.0, 1.0], [2.0, 3.0], [4.0, 5.0]]))
    tensor([[4., 5.],
            [0., 1.]], dtype=float32)
    """
    name = "embedding"
    padding = _check(name, x, weight, padding_idx, sparse)
    if max_norm is not None:
        _bring_below(weight, x, float(max_norm), float(norm_type))
    found = lookup.embedding(weight, x, padding)
    return _divided_by_counts(found, x, weight.shape[0]) if scale_grad_by_freq else found


def embedding_bag(
    x: Tensor, weight: Tensor, offsets: Tensor | None = None, max_norm: float | None = None, norm_type: float = 2.0,
    scale_grad_by_freq: bool = False, mode: str = "mean", sparse: bool = False, per_sample_weights: Tensor | None = None,
    include_last_offset: bool = False, padding_idx: int | None = None,
) -> Tensor:  # fmt: skip
    """The sum, mean or largest elements of the rows of weight (rows, columns) in each of several bags: (bags, columns).

    Special cases:
        an empty bag gives zeros.

    Args:
        x: integers (bags, size), or in one dimension, with the bags one after the other.
        offsets: for x in one dimension where each bag begins; with include_last_offset also where the last ends.
        mode: 'sum', 'mean' or 'max'.
        per_sample_weights: like x, what rows are multiplied by; only for 'sum'.
        padding_idx: a row that counts as if it were not in the bag.

    Raises:
        IndexError, TypeError: as for `embedding`.
        ValueError: shapes or offsets do not fit.

    >>> import autograd as ag, nn.functional as F
    >>> table = ag.tensor([[0.0, 1.0], [2.0, 3.0], [4.0, 5.0]])
    >>> F.embedding_bag(ag.tensor([2, 0, 1]), table, ag.tensor([0, 2]), mode="sum")
    tensor([[4., 6.],
            [2., 3.]], dtype=float32)
    """
    name = "embedding_bag"
    padding = _check(name, x, weight, padding_idx, sparse)
    if mode not in ("sum", "mean", "max"):
        raise ValueError(f"{name}: mode is 'sum', 'mean' or 'max', got {mode!r}")
    if per_sample_weights is not None:
        if mode != "sum":
            raise ValueError(f"{name}: per_sample_weights are for mode='sum', not {mode!r}")
        if per_sample_weights.shape != x.shape or per_sample_weights.dtype != weight.dtype:
            raise ValueError(
                f"{name}: per_sample_weights must be {weight.dtype} of the shape of x, {x.shape}, got "
                f"{per_sample_weights.dtype} {per_sample_weights.shape}"
            )
    if scale_grad_by_freq and mode == "max":
        raise ValueError(f"{name}: scale_grad_by_freq is not for mode='max'")
    begins, ends = _bags(name, x, offsets, include_last_offset)
    flat = x.reshape((x.size,))
    rows = embedding(flat, weight, padding, max_norm, norm_type, scale_grad_by_freq)  # (L, columns)
    counts = None if padding is None else flat != padding
    if mode == "max":
        return _largest(rows, begins, ends, counts)
    if per_sample_weights is not None:
        rows = rows * per_sample_weights.reshape((x.size, 1))
    return _added(rows, begins, ends, counts, mode == "mean")


# --- parts ------------------------------------------------------------------------------------------------------------


def _check(name: str, x: Any, weight: Tensor, padding_idx: int | None, sparse: bool) -> int | None:
    """The row that does not count, from the front."""
    if not isinstance(x, Tensor) or x.dtype.kind not in "iu":
        got = x.dtype if isinstance(x, Tensor) else type(x).__name__
        raise TypeError(f"{name}: the input must be a tensor of integers, the rows to read, got {got}")
    if weight.ndim != 2 or weight.dtype.kind != "f":
        raise ValueError(f"{name}: the weight must be a table (rows, columns) of floats, got {weight.dtype} {weight.shape}")
    if sparse:
        raise NotImplementedError(f"{name}: sparse gradients are not supported; use sparse=False")
    return checked_padding(name, padding_idx, weight.shape[0])


def checked_padding(name: str, padding_idx: int | None, rows: int) -> int | None:
    """padding_idx counted from the front.

    Raises:
        ValueError: there is no such row.
    """
    if padding_idx is None:
        return None
    if not -rows <= padding_idx < rows:
        raise ValueError(f"{name}: padding_idx={padding_idx} must be from {-rows} to {rows - 1}")
    return padding_idx % rows


def _bring_below(weight: Tensor, x: Tensor, max_norm: float, norm_type: float) -> None:
    """Scale rows that will be read and have a larger norm down to it."""
    with ag.no_grad():
        places = ag.unique_values(x)
        rows = lookup.embedding(weight.detach(), places)  # raises for a wrong index, before anything is changed
        norms = ag.norm(rows, norm_type, axis=1, keepdims=True)
        if bool((norms > max_norm).any()):
            weight[places] = ag.where(norms > max_norm, rows * (max_norm / (norms + 1e-7)), rows)


def _divided_by_counts(found: Tensor, x: Tensor, rows: int) -> Tensor:
    """`found`, whose gradient is that of `found` divided by how often x has each row."""
    counts = ag.bincount(x.reshape((x.size,)), minlength=rows)
    share = 1.0 / ag.take(counts, x, axis=0).astype(found.dtype)
    # The same value in two parts, one of which lets the gradient pass.
    part = found * share.reshape((*x.shape, 1))
    return part + (found - part).detach()


def _bags(name: str, x: Tensor, offsets: Tensor | None, include_last: bool) -> tuple[Tensor, Tensor]:
    """Where each bag begins and ends in the flattened x."""
    if x.ndim == 2:
        if offsets is not None:
            raise ValueError(f"{name}: an input (bags, size) takes no offsets")
        begins = ag.arange(x.shape[0], dtype=ag.int64, device=x.device) * x.shape[1]
        return begins, begins + x.shape[1]
    if x.ndim != 1 or offsets is None or offsets.ndim != 1 or offsets.dtype.kind not in "iu":
        raise ValueError(f"{name}: needs an input (bags, size), or one in one dimension with offsets (bags,) of integers")
    if not offsets.size:
        if include_last:
            raise ValueError(f"{name}: with include_last_offset there must be at least one offset")
        return offsets, offsets
    known = offsets.tolist()
    if known[0] != 0 or known[-1] > x.size or any(a > b for a, b in pairwise(known)):
        raise ValueError(f"{name}: offsets must begin with 0 and never fall, up to at most {x.size}, got {known}")
    if include_last and known[-1] != x.size:
        raise ValueError(f"{name}: with include_last_offset the last offset must be the input's size {x.size}, got {known[-1]}")
    offsets = offsets.astype(ag.int64)
    if include_last:
        return offsets[:-1], offsets[1:]
    return offsets, ag.concat([offsets[1:], ag.full((1,), x.size, dtype=ag.int64, device=x.device)])


def _added(rows: Tensor, begins: Tensor, ends: Tensor, counts: Tensor | None, mean: bool) -> Tensor:
    """The sum or the mean of the rows of each bag that count."""
    bags = begins.shape[0]
    out = ag.zeros((bags, rows.shape[1]), dtype=rows.dtype, device=rows.device)
    if not bags or not rows.shape[0]:
        return out + rows.sum() * 0.0
    places = ag.arange(rows.shape[0], dtype=ag.int64, device=rows.device)
    if counts is not None:
        rows = ag.where(counts.reshape((rows.shape[0], 1)), rows, 0.0)
    bag = ag.searchsorted(begins, places, side="right") - 1
    out = ag.index_add(out, 0, bag, rows)
    if not mean:
        return out
    if counts is None:
        number = ends - begins
    else:
        number = ag.index_add(ag.zeros(bags, dtype=ag.int64, device=rows.device), 0, bag, counts.astype(ag.int64))
    return out / ag.maximum(number, 1).astype(rows.dtype).reshape((bags, 1))


def _largest(rows: Tensor, begins: Tensor, ends: Tensor, counts: Tensor | None) -> Tensor:
    """The largest elements of each bag; of equal ones the first has the gradient."""
    bags, columns = begins.shape[0], rows.shape[1]
    longest = int((ends - begins).max().item()) if bags else 0
    if not longest:
        return ag.zeros((bags, columns), dtype=rows.dtype, device=rows.device) + rows.sum() * 0.0
    along = begins.reshape((bags, 1)) + ag.arange(longest, dtype=ag.int64, device=rows.device)  # (bags, longest)
    inside = along < ends.reshape((bags, 1))
    along = ag.where(inside, along, 0)
    if counts is not None:
        inside = inside & ag.take(counts, along, axis=0)
    candidates = ag.where(inside.reshape((bags, longest, 1)), ag.take(rows.detach(), along, axis=0), -float("inf"))
    first = ag.argmax(candidates, axis=1)  # (bags, columns)
    chosen = ag.take_along_axis(rows, ag.take_along_axis(along, first, axis=1), axis=0)
    return ag.where(inside.any(axis=1).reshape((bags, 1)), chosen, 0.0)
