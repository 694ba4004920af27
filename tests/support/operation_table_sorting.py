"""Entries of the table of operations: sorting, running sums and products, searching, sets, quantiles and counts.

Imported at the end of operation_table.py, whose helpers it uses.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from operation_table import INF, NAN, SHAPE, Case, Domain, add, refuses

import autograd as ag


def _named(function: Callable) -> Callable:
    """The options by name, as the functions take them."""
    return lambda *tensors, **options: function(*tensors, **options)


def _is_0d(name: str) -> Any:
    return refuses(lambda: [ag.tensor(1.0)], IndexError, f"{name}: axis -?[01] .*0-d")


def _is_out_of_range(name: str) -> Any:
    return refuses(lambda: [ag.zeros(2, 3)], IndexError, f"{name}: axis 2 is out of range", axis=2)


def _needs_floats(name: str, **options: Any) -> Any:
    return refuses(lambda: [ag.tensor([1, 2])], TypeError, f"{name}: needs floats, got .*int64", **options)


# --- sorting ----------------------------------------------------------------------------------------------------------


def _argsort(x, axis=-1, descending=False):
    if not descending:
        return np.argsort(x, axis=axis, kind="stable")
    backwards = np.argsort(np.flip(x, axis), axis=axis, kind="stable")
    return x.shape[axis] - 1 - np.flip(backwards, axis)


def _sort(x, axis=-1, descending=False):
    return np.take_along_axis(x, _argsort(x, axis, descending), axis)


def _topk(x, k, axis=-1, largest=True, sorted=True):
    places = np.take(_argsort(x, axis, largest), range(k), axis)
    places = places if sorted else np.sort(places, axis)
    return np.take_along_axis(x, places, axis), places


_ORDERS = (
    Case((SHAPE,)), Case((SHAPE,), {"axis": 0}), Case((SHAPE,), {"axis": 1, "descending": True}), Case(((5,),)),
    Case(((1,),), {"descending": True}), Case(((0,),)), Case(((3, 0),), {"axis": 0}), Case(((70,),), {"axis": -1}),
)  # fmt: skip
_SPECIAL = ((2.0,), (NAN,), (INF,), (-0.0,), (0.0,), (-INF,), (2.0,), (NAN,), (-3.0,))
add("sort", _named(ag.sort), _sort, cases=_ORDERS, special=_SPECIAL, kinds="biuf", exact=True,
    refusals=(_is_0d("sort"), _is_out_of_range("sort")))  # fmt: skip
add("argsort", _named(ag.argsort), _argsort, cases=_ORDERS, special=_SPECIAL, kinds="biuf", exact=True, order=0,
    refusals=(_is_0d("argsort"), _is_out_of_range("argsort")))  # fmt: skip
add("topk", lambda x, k, **o: ag.topk(x, k, **o), _topk, kinds="biuf", exact=True, cases=(
        Case((SHAPE,), {"k": 2}), Case((SHAPE,), {"k": 1, "axis": 0, "largest": False}), Case((SHAPE,), {"k": 3, "axis": 1}),
        Case(((40,),), {"k": 3, "sorted": False}), Case(((5,),), {"k": 0}), Case(((0,),), {"k": 0})), special=_SPECIAL,
    refusals=(
        refuses(lambda: [ag.zeros(2, 3)], ValueError, "topk: k must be from 0 to 3, the size of axis -1, got 4", k=4),
        refuses(lambda: [ag.zeros(2, 3)], ValueError, "topk: k must be from 0 to 2, .*got -1", k=-1, axis=0),
        refuses(lambda: [ag.zeros(2, 3)], TypeError, "topk: k must be an integer, got 1.0", k=1.0),
        refuses(lambda: [ag.tensor(1.0)], IndexError, "topk: axis -1 .*0-d", k=1),
    ))  # fmt: skip


# --- running sums and products ------------------------------------------------------------------------------------------


def _running(function: Callable, first: float) -> Callable:
    def reference(x, axis=None, dtype=None, include_initial=False):
        wide = dtype or {"b": np.int64, "i": np.int64, "u": np.uint64}.get(x.dtype.kind, x.dtype)
        found = function(x, axis=0 if axis is None else axis, dtype=wide)
        if include_initial:
            found = np.insert(found, 0, first, axis=0 if axis is None else axis)
        return found

    return reference


def _logaddexp(x, axis=0, dtype=None):
    return np.logaddexp.accumulate(x, axis=axis) if x.size else x


_RUNS = (
    Case((SHAPE,), {"axis": 1}), Case((SHAPE,), {"axis": -1, "include_initial": True}), Case((SHAPE,), {"axis": 0}),
    Case(((5,),)), Case(((0,),)), Case(((0,),), {"include_initial": True}), Case(((3, 0),), {"axis": 0}),
    Case(((1, 67),), {"axis": 1}),
)  # fmt: skip


def _run_refusals(name: str) -> tuple:
    return (
        refuses(lambda: [ag.zeros(2, 3)], ValueError, rf"{name}: say along which axis: .*\(2, 3\)"),
        refuses(lambda: [ag.tensor(1.0)], ValueError, rf"{name}: say along which axis: .*\(\)"),
        _is_out_of_range(name),
    )


_NOT_TO_BOOL = refuses(lambda: [ag.zeros(2)], TypeError, "dtype must be an integer or a float, got bool", dtype=ag.bool)
add("cumulative_sum", _named(ag.cumulative_sum), _running(np.cumsum, 0), kinds="biuf", cases=_RUNS, scale=8,
    refusals=(*_run_refusals("cumulative_sum"), _NOT_TO_BOOL))  # fmt: skip
add("cumulative_prod", _named(ag.cumulative_prod), _running(np.cumprod, 1), kinds="biuf", cases=_RUNS, scale=8,
    domains=(Domain(integers=(1, 3)),), refusals=(*_run_refusals("cumulative_prod"), _NOT_TO_BOOL))  # fmt: skip
add("cumulative_logsumexp", _named(ag.cumulative_logsumexp), _running(_logaddexp, -INF), scale=8,
    cases=tuple(case for case in _RUNS if "include_initial" not in case.options),  # -inf has no finite difference
    refusals=(*_run_refusals("cumulative_logsumexp"), _needs_floats("cumulative_logsumexp")))  # fmt: skip


def _recurrence(a, b, axis=-1):
    a, out = np.moveaxis(a, axis, -1), np.moveaxis(b, axis, -1).copy()
    for k in range(1, out.shape[-1]):
        out[..., k] += a[..., k] * out[..., k - 1]
    return np.moveaxis(out, -1, axis)


add("linear_recurrence", _named(ag.linear_recurrence), _recurrence, scale=16, domains=(Domain(-1.0, 1.0),), cases=(
        Case((SHAPE, SHAPE), {"axis": 1}), Case((SHAPE, SHAPE), {"axis": 0}), Case((SHAPE, SHAPE)), Case(((0,), (0,))),
        Case(((1,), (1,))), Case(((2, 70), (2, 70)))),
    refusals=(
        refuses(lambda: [ag.zeros(2), ag.zeros(3)], ValueError, r"linear_recurrence: .*\(2,\) float32 and \(3,\)"),
        refuses(lambda: [ag.tensor([1]), ag.tensor([1])], TypeError, "linear_recurrence: needs floats"),
        refuses(lambda: [ag.tensor(1.0), ag.tensor(1.0)], IndexError, "linear_recurrence: axis -1 .*0-d"),
    ))  # fmt: skip


# --- searching and sets -------------------------------------------------------------------------------------------------


def _searchsorted(x, wanted, **options):
    return ag.searchsorted(ag.sort(x) if "sorter" not in options else x, wanted, **options)


def _places_in_sorted(x, wanted, side: Any = "left"):
    return np.searchsorted(np.sort(x), wanted, side)


add("searchsorted", _searchsorted, _places_in_sorted, order=0,
    kinds="biuf", exact=True, cases=(
        Case(((5,), SHAPE)), Case(((5,), (3,)), {"side": "right"}), Case(((0,), (3,))), Case(((5,), ())), Case(((5,), (0,)))),
    special=tuple((p, p) for (p,) in _SPECIAL), refusals=(
        refuses(lambda: [ag.zeros(2, 3), ag.zeros(2)], ValueError, r"searchsorted: needs a vector.*\(2, 3\)"),
        refuses(lambda: [ag.zeros(2), ag.zeros(2)], ValueError, "side must be 'left' or 'right', got 'middle'", side="middle"),
        refuses(lambda: [ag.zeros(2), ag.zeros(2)], ValueError, r"sorter must be integers of shape \(2,\), got \(2,\), float32",
                sorter=ag.zeros(2)),
    ))  # fmt: skip


def _unique(*wanted: str) -> Callable:
    def reference(x):
        parts = np.unique(x, return_index=True, return_inverse=True, return_counts=True, equal_nan=False)
        found: dict[str, Any] = dict(zip(("values", "indices", "inverse", "counts"), parts, strict=True))
        found["inverse"] = found["inverse"].reshape(x.shape)
        return tuple(found[name] for name in wanted)

    return reference


_SETS: dict[str, Any] = {"kinds": "biuf", "exact": True, "cases": (Case((SHAPE,)), Case(((7,),)), Case(((),)), Case(((0,),)))}
add("unique_all", _named(ag.unique_all), _unique("values", "indices", "inverse", "counts"), **_SETS)
add("unique_counts", _named(ag.unique_counts), _unique("values", "counts"), **_SETS, special=_SPECIAL)
add("unique_inverse", _named(ag.unique_inverse), _unique("values", "inverse"), **_SETS)
add("unique_values", _named(ag.unique_values), _unique("values"), **_SETS, special=_SPECIAL)
add("isin", _named(ag.isin), lambda a, b, invert=False: np.isin(a, b, invert=invert), order=0, kinds="biuf", exact=True, cases=(
        Case((SHAPE, (5,))), Case((SHAPE, (2, 3)), {"invert": True}), Case(((), (2,))), Case(((3,), (0,))), Case(((0,), (3,)))),
    special=tuple((p, q) for (p,), (q,) in zip(_SPECIAL, reversed(_SPECIAL), strict=True)), refusals=(
        refuses(lambda: [1.0, 2.0], TypeError, "isin: one operand must be a tensor, got float and float"),
    ))  # fmt: skip
add("nonzero", _named(ag.nonzero), np.nonzero, order=0, kinds="biuf", exact=True,
    cases=(Case((SHAPE,)), Case(((7,),)), Case(((0, 2),))), special=_SPECIAL,
    refusals=(refuses(lambda: [ag.tensor(1.0)], ValueError, "nonzero: a 0-d tensor has no indices"),))  # fmt: skip
add("bincount", _named(ag.bincount), lambda x, minlength=0: np.bincount(x.astype(np.int64), minlength=minlength), order=0,
    kinds="u", exact=True, cases=(Case(((20,),)), Case(((0,),)), Case(((7,),), {"minlength": 12})), refusals=(
        refuses(lambda: [ag.zeros(3)], TypeError, r"bincount: needs a vector of integers, got shape \(3,\), float32"),
        refuses(lambda: [ag.tensor([1, -2])], ValueError, "bincount: elements must not be negative, the smallest is -2"),
        refuses(lambda: [ag.tensor([1, 2])], ValueError, "bincount: minlength must be", minlength=-1),
        refuses(lambda: [ag.tensor([1, 2]), ag.zeros(3)], ValueError, r"bincount: needs a weight for each.*\(2,\) and \(3,\)"),
    ))  # fmt: skip


# --- statistics ---------------------------------------------------------------------------------------------------------

_AXES = ({}, {"axis": 1}, {"axis": (0, 2), "keepdims": True}, {"axis": -1})
add("median", _named(ag.median), np.median, cases=tuple(Case((SHAPE,), o) for o in _AXES) + (Case(((),)), Case(((5,),))),
    refusals=(_needs_floats("quantile"), refuses(lambda: [ag.zeros(0)], ValueError, "no elements to choose from")))
add("quantile", lambda x, q, **o: ag.quantile(x, q, **o), np.quantile, scale=4, cases=tuple(
        Case((SHAPE,), {"q": q, **o}) for q, o in zip((0.3, [0.0, 0.25, 1.0], 0.77, [0.5]), _AXES, strict=True))
    + tuple(Case(((5,),), {"q": [0.1, 0.35, 0.8], "method": m}) for m in ("lower", "higher", "nearest", "midpoint")),
    refusals=(
        _needs_floats("quantile", q=0.5),
        refuses(lambda: [ag.zeros(2)], ValueError, "quantile: q must be numbers from 0 to 1.*got 1.5", q=1.5),
        refuses(lambda: [ag.zeros(2)], ValueError, "quantile: method must be one of linear.*got 'weibull'", q=0.5, method="weibull"),
        refuses(lambda: [ag.zeros(2, 0)], ValueError, r"quantile: no elements to choose from: shape \(2, 0\)", q=0.5),
        refuses(lambda: [ag.tensor(1.0)], IndexError, "quantile: axis 0 .*0-d", q=0.5, axis=0),
    ))  # fmt: skip


def _histogram(x, bins=10, range=None, density=False):
    counts, edges = np.histogram(x, bins, range, density=density)
    return counts, edges.astype(x.dtype)


add("histogram", lambda x, bins=10, **o: ag.histogram(x, bins, **o), _histogram, order=0, cases=(
        Case((SHAPE,)), Case((SHAPE,), {"bins": 4, "range": (-1.0, 1.5)}), Case((SHAPE,), {"bins": [-1.0, 0.0, 0.25, 2.0]}),
        Case(((0,),)), Case((SHAPE,), {"bins": 3, "density": True}), Case(((1,),), {"bins": 2})), refusals=(
    refuses(lambda: [ag.zeros(2)], ValueError, "histogram: needs at least 1 bin, got 0", bins=0),
    refuses(lambda: [ag.zeros(2)], ValueError, r"histogram: edges must be a vector of at least 2, got shape \(1,\)", bins=[1.0]),
    refuses(lambda: [ag.zeros(2)], ValueError, "histogram: edges must ascend", bins=[1.0, 0.0]),
    refuses(lambda: [ag.zeros(2)], ValueError, "histogram: the edges must be finite and in order", range=(1.0, 0.0)),
    refuses(lambda: [ag.tensor([NAN])], ValueError, "histogram: the edges must be finite.*give range="),
    refuses(lambda: [ag.zeros(2)], ValueError, "histogram: needs a weight for each element", weights=ag.zeros(3)),
))  # fmt: skip


def _diff(x, *ends, **options):
    return ag.diff(x, **options, **dict(zip(("prepend", "append"), ends, strict=False)))


add("diff", _diff, lambda x, *ends, **o: np.diff(x, **o, **dict(zip(("prepend", "append"), ends, strict=False))), kinds="if",
    cases=(Case((SHAPE,)), Case((SHAPE,), {"axis": 0}), Case((SHAPE,), {"axis": 1, "n": 2}), Case(((3,),), {"n": 0}),
           Case(((3,),), {"n": 4}), Case(((0,),)), Case(((2, 3), (2, 1), (2, 2)))), refusals=(
        _is_0d("diff"), _is_out_of_range("diff"),
        refuses(lambda: [ag.zeros(2)], ValueError, "diff: n must be an integer of at least 0, got -1", n=-1),
        refuses(lambda: [ag.tensor([True])], TypeError, "diff: bool has no differences"),
    ))  # fmt: skip
