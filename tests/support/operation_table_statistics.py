"""Entries of the table of operations: covariances, distances and sliding windows.

Imported at the end of operation_table.py, whose helpers it uses.
"""

from __future__ import annotations

import numpy as np
from operation_table import SHAPE, Case, Domain, _needs_floats, _shaped, add, refuses

import autograd as ag

# --- covariances ------------------------------------------------------------------------------------------------------

_FREQUENCIES = (1, 3, 0, 2)
_FLAT_AND_FULL = (
    Case(((3, 4),)), Case(((4, 3),), {"rowvar": False}), Case(((5,),)), Case(((1, 5),)), Case(((2, 4), (3, 4))),
    Case(((2, 4), (4,))), Case(((4,), (4,))), Case(((4, 2), (1, 4)), {"rowvar": False}), Case(((0, 4),)),
)  # fmt: skip


def _np_cov(m, y=None, **options):
    return np.cov(m, y, **options)


# Made of operations that have entries: layouts and second derivatives on small operands in test_covariance.py.
add("cov", ag.cov, _np_cov, scale=4, every_layout=False, cases=(
    *_FLAT_AND_FULL, Case(((2, 1),), {"ddof": 0}), Case(((3, 4),), {"bias": True}), Case(((3, 4),), {"ddof": 2}),
    Case(((3, 4),), {"ddof": 0, "bias": True}), Case(((2, 4),), {"fweights": _FREQUENCIES}),
    Case(((2, 4), (4,)), {"aweights": (0.5, 2.0, 0.0, 1.0)}),
    Case(((2, 4),), {"aweights": (0.5, 2.0, 1.0, 1.0), "fweights": _FREQUENCIES, "ddof": 0})), refusals=(
        _needs_floats("cov"),
        refuses(lambda: [ag.zeros(2, 3, 4)], ValueError, r"cov: needs variables as rows of a matrix.*\(2, 3, 4\)"),
        refuses(lambda: [ag.zeros(2, 3), ag.zeros(2, 4)], ValueError, r"cov: .*observations: shapes \(2, 3\) and \(2, 4\)"),
        refuses(lambda: [ag.zeros(2, 3)], ValueError, "cov: ddof must be an integer, got 0.5", ddof=0.5),
        refuses(lambda: [ag.zeros(2, 3)], TypeError, "cov: fweights must be integers, got float64", fweights=np.ones(3)),
        refuses(lambda: [ag.zeros(2, 3)], ValueError, r"cov: aweights must have shape \(3,\).*got \(2,\)", aweights=(1, 1)),
        refuses(lambda: [ag.zeros(2, 3)], ValueError, "cov: fweights must not be negative", fweights=(1, -1, 1)),
    ))  # fmt: skip
add("corrcoef", ag.corrcoef, lambda x, y=None, **options: np.corrcoef(x, y, **options), scale=4, every_layout=False,
    cases=_FLAT_AND_FULL, refusals=(
    _needs_floats("corrcoef"),
    refuses(lambda: [ag.zeros(2, 3), ag.zeros(4)], ValueError, r"corrcoef: .*observations: shapes \(2, 3\) and \(4,\)"),
))  # fmt: skip

# --- distances --------------------------------------------------------------------------------------------------------


def _np_cdist(x1, x2, p=2.0):
    difference = np.abs(x1[..., :, None, :] - x2[..., None, :, :])
    if p == 0:
        return np.sum(difference != 0, axis=-1).astype(difference.dtype)
    if p == np.inf:
        return np.max(difference, axis=-1, initial=0.0)
    return np.sum(difference**p, axis=-1) ** (1 / p)


add("cdist", ag.cdist, _np_cdist, scale=4, domains=(Domain(-2, -0.5), Domain(0.5, 2)), cases=(
    Case(((3, 2), (4, 2))), *(Case(((2, 3), (3, 3)), {"p": p}) for p in (1, 1.5, 3.0, 0.5, np.inf)), Case(((2, 1, 3, 2), (3, 1, 2))),
    Case(((0, 2), (3, 2))), Case(((2, 0), (3, 0))), Case(((2, 0), (3, 0)), {"p": np.inf}), Case(((2, 0), (3, 0)), {"p": 3.0})), refusals=(
        refuses(lambda: [ag.zeros(2), ag.zeros(3, 2)], ValueError, r"cdist: needs .* shapes \(2,\) and \(3, 2\)"),
        refuses(lambda: [ag.zeros(2, 3), ag.zeros(3, 2)], ValueError, r"cdist: needs .* shapes \(2, 3\) and \(3, 2\)"),
        refuses(lambda: [ag.zeros(2, 2, 3), ag.zeros(3, 2, 3)], ValueError, r"cdist: shapes \(2,\) and \(3,\)"),
        refuses(lambda: [ag.zeros(2, 3), ag.zeros(3, 3)], ValueError, "cdist: p must be 0 or more, got -1", p=-1),
        refuses(lambda: [ag.zeros((2, 3), dtype=int)] * 2, TypeError, r"cdist: needs floats, got int64 \(shapes"),
    ))  # fmt: skip

# --- windows ----------------------------------------------------------------------------------------------------------


def _np_unfold(x, axis, size, step=1):
    windows = np.lib.stride_tricks.sliding_window_view(x, size, axis) if size else np.zeros((*x.shape, 0), x.dtype)
    if not size:  # NumPy has none of these: there is one more place for them than elements
        windows = np.concatenate([windows, windows[..., :1, :]], axis=-2) if x.ndim == 1 else windows
    return windows[(slice(None),) * (axis % x.ndim) + (slice(None, None, step),)]


_shaped("unfold", ag.unfold, _np_unfold, Case((SHAPE,), {"axis": -1, "size": 2}), Case((SHAPE,), {"axis": 1, "size": 2, "step": 1}),
        Case(((7,),), {"axis": 0, "size": 3, "step": 2}), Case(((7,),), {"axis": 0, "size": 2, "step": 3}),
        Case(((3, 5),), {"axis": 1, "size": 5}), Case(((3, 5),), {"axis": 0, "size": 1, "step": 7}), Case(((0, 3),), {"axis": 1, "size": 2}),
        Case(((3,),), {"axis": 0, "size": 0}), refusals=(
    refuses(lambda: [ag.zeros(2, 3)], ValueError, r"unfold: windows of 4 elements do not fit axis 1 .*\(2, 3\)", axis=1, size=4),
    refuses(lambda: [ag.zeros(2, 3)], ValueError, r"unfold: windows of -1 elements do not fit", axis=1, size=-1),
    refuses(lambda: [ag.zeros(2, 3)], ValueError, "unfold: the step .* at least 1, got 0", axis=1, size=2, step=0),
    refuses(lambda: [ag.zeros(2, 3)], TypeError, "unfold: the size must be an integer, got 1.0", axis=1, size=1.0),
    refuses(lambda: [ag.zeros(2, 3)], IndexError, "unfold: axis 2 is out of range", axis=2, size=1),
))  # fmt: skip

# --- einsum with lists of numbers for letters -------------------------------------------------------------------------


def _in_turns(function):
    def call(*operands, lists, result=None):
        arguments = [part for pair in zip(operands, lists, strict=True) for part in pair]
        return function(*arguments, *([] if result is None else [result]))

    return call


add("einsum_of_lists", _in_turns(ag.einsum), _in_turns(np.einsum), kinds="iuf", scale=16, cases=(
    Case(((2, 3), (3, 4)), {"lists": ([0, 1], [1, 2]), "result": [2, 0]}), Case(((2, 3),), {"lists": ((27, 3),)}),
    Case(((2, 3, 3),), {"lists": ([..., 1, 1],), "result": (..., 1)}), Case(((3,), (3,)), {"lists": ([5], [5])})), refusals=(
    refuses(lambda: [ag.zeros(2)], ValueError, "einsum: .* a number from 0 to 51 or Ellipsis, got 52", lists=([52],)),
    refuses(lambda: [ag.zeros(2)], ValueError, "einsum: .* a number from 0 to 51 or Ellipsis, got 'i'", lists=(["i"],)),
    refuses(lambda: [ag.zeros(2)], TypeError, "einsum: the subscripts must be text .* got Tensor first", lists=("i",)),
))  # fmt: skip
