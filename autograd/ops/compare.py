"""Comparing with a tolerance, and replacing what is no number."""

from __future__ import annotations

import math
from typing import Any

from autograd import dtypes
from autograd.ops import elementwise as ew
from autograd.ops import reduce
from autograd.ops.complex_numbers import view_as_complex, view_as_real
from autograd.ops.creation import asarray
from autograd.tensor import Tensor

Operand = Tensor | float


def isclose(a: Operand, b: Operand, rtol: float = 1e-05, atol: float = 1e-08, equal_nan: bool = False) -> Tensor:
    """Elementwise, whether |a - b| <= atol + rtol * |b|.

    Special cases:
        infinities of one sign are close; NaN is close to nothing, or to NaN with `equal_nan`.

    >>> import autograd as ag
    >>> ag.isclose(ag.tensor([1.0, 2.0]), ag.tensor([1.0, 2.1]))
    tensor([ True, False], dtype=bool)
    """
    a, b = _pair(a, b)
    if a.dtype.kind == "b":
        return ew.equal(a, b)
    if a.dtype.kind not in dtypes.DIFFERENTIABLE:  # differences of integers could overflow
        a, b = a.astype(dtypes.float64), b.astype(dtypes.float64)
    finite = ew.logical_and(ew.isfinite(a), ew.isfinite(b))
    near = ew.less_equal(ew.abs(ew.subtract(a, b)), ew.add(ew.multiply(ew.abs(b), float(rtol)), float(atol)))
    close = ew.logical_or(ew.logical_and(finite, near), ew.equal(a, b))
    return ew.logical_or(close, ew.logical_and(ew.isnan(a), ew.isnan(b))) if equal_nan else close


def allclose(a: Operand, b: Operand, rtol: float = 1e-05, atol: float = 1e-08, equal_nan: bool = False) -> bool:
    """Whether all elements are close (see `isclose`), as a Python bool: on a GPU this waits.

    Special cases:
        those of `isclose`.
    """
    return bool(reduce.all(isclose(a, b, rtol, atol, equal_nan)).item())


def array_equal(a: Operand, b: Operand, equal_nan: bool = False) -> bool:
    """Whether two tensors have one shape and equal elements, as a Python bool: on a GPU this waits."""
    a, b = _pair(a, b)
    if a.shape != b.shape:
        return False
    same = ew.equal(a, b)
    if equal_nan and a.dtype.kind in dtypes.DIFFERENTIABLE:
        same = ew.logical_or(same, ew.logical_and(ew.isnan(a), ew.isnan(b)))
    return bool(reduce.all(same).item())


def nan_to_num(x: Tensor, nan: float = 0.0, posinf: float | None = None, neginf: float | None = None) -> Tensor:
    """NaN and infinities replaced by numbers.

    Special cases:
        the gradient goes to the elements that were not replaced.

    Args:
        nan: instead of NaN.
        posinf, neginf: instead of infinity and its negative; by default the largest and smallest number of the dtype.

    >>> import autograd as ag
    >>> ag.nan_to_num(ag.tensor([1.0, float("nan"), float("inf")]), posinf=9.0)
    tensor([1., 0., 9.], dtype=float32)
    """
    if x.dtype.kind == "c":
        return view_as_complex(nan_to_num(view_as_real(x), nan, posinf, neginf))
    if x.dtype.kind != "f":
        return x.clone()
    limits = dtypes.finfo(x.dtype)
    high, low = limits.max if posinf is None else float(posinf), limits.min if neginf is None else float(neginf)
    x = ew.where(ew.isnan(x), float(nan), x)
    x = ew.where(ew.equal(x, math.inf), high, x)
    return ew.where(ew.equal(x, -math.inf), low, x)


def _pair(a: Any, b: Any) -> tuple[Tensor, Tensor]:
    """Both as tensors outside the graph, on one device and of the dtype of an operation on them; numbers are weak."""
    device = next((t.device for t in (a, b) if isinstance(t, Tensor)), "cpu")
    kind = dtypes.result_type(*(o if isinstance(o, (Tensor, *dtypes.NUMBERS)) else asarray(o) for o in (a, b)))
    pair = (o.detach() if isinstance(o, Tensor) else asarray(o, dtype=kind, device=device) for o in (a, b))
    left, right = (t if t.dtype == kind else t.astype(kind) for t in pair)
    return left, right
