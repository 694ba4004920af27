"""What the tests of the Array API have in common: the strict reference, strategies for tensors, and comparing with it.

Each loop over another dtype or memory layout is another kernel to compile. So with Numba's compiler on there are the
dtypes and layouts that other tests have compiled already; with it off (tests/array_api/test_without_compiler.py) all.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.errors import HypothesisWarning
from hypothesis.extra.array_api import make_strategies_namespace

import autograd as ag
from kernels.cpu.pointer import JIT_DISABLED

strict = pytest.importorskip("array_api_strict", reason="array-api-strict is not installed: pip install 'gradloom[dev]'")

with warnings.catch_warnings():
    warnings.simplefilter("ignore", HypothesisWarning)  # of the complex dtypes that are not there yet
    xps = make_strategies_namespace(ag)

examples = settings(max_examples=25, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))

FLOATS = ("float32", "float64")
INTEGERS = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64") if JIT_DISABLED else ("int64", "uint8")
NUMBERS, WHOLE = INTEGERS + FLOATS, ("bool", *INTEGERS)
ALL = ("bool", *NUMBERS)


def shapes(min_dims: int = 0, max_dims: int = 3, min_side: int = 0, max_side: int = 4) -> st.SearchStrategy:
    """Shapes of small tensors, those without elements and without dimensions among them."""
    return xps.array_shapes(min_dims=min_dims, max_dims=max_dims, min_side=min_side, max_side=max_side)


@st.composite
def tensors(draw: Any, dtypes: tuple[str, ...] = ALL, shape: Any = None, elements: Any = None, **limits: Any) -> Any:
    """Tensors of one of the dtypes, contiguous or (where nothing is compiled for it) a view of any strides."""
    dtype = getattr(ag, draw(st.sampled_from(dtypes)))
    size = shape if isinstance(shape, tuple) else draw(shapes() if shape is None else shape)
    x = draw(xps.arrays(dtype=dtype, shape=size, elements=elements or limits or None))
    if JIT_DISABLED and x.ndim and draw(st.booleans()):
        axis = draw(st.integers(0, x.ndim - 1))
        x = ag.flip(ag.swapaxes(x, 0, axis).clone(), axis=axis)
        x = ag.swapaxes(x, 0, axis)
    return x


def reference(x: Any) -> Any:
    """Tensors, in tuples and lists or alone, as arrays of the strict reference; dtypes as its dtypes."""
    if isinstance(x, ag.Tensor):
        return strict.asarray(np.array(x.numpy()))
    if isinstance(x, np.dtype):
        return getattr(strict, x.name)
    return type(x)(reference(y) for y in x) if isinstance(x, (tuple, list)) else x


def assert_same(got: Any, expected: Any, ulps: float = 0) -> None:
    """The same shape, dtype and elements, down to the sign of zero; floats within some units in the last place."""
    if isinstance(expected, (tuple, list)):
        assert isinstance(got, tuple) and len(got) == len(expected), (got, expected)
        for mine, theirs in zip(got, expected, strict=True):
            assert_same(mine, theirs, ulps)
        return
    assert isinstance(got, ag.Tensor), got
    mine, theirs = got.numpy(), np.asarray(expected)
    assert mine.shape == theirs.shape and mine.dtype == theirs.dtype, (mine, theirs)
    if mine.dtype.kind != "f":
        assert np.array_equal(mine, theirs), (mine, theirs)
        return
    with np.errstate(all="ignore"):
        near = np.abs(mine - theirs) <= ulps * (np.finfo(mine.dtype).eps * np.abs(theirs) + np.finfo(mine.dtype).smallest_subnormal)
        same = (mine == theirs) | (np.isnan(mine) & np.isnan(theirs)) | near
        signs = np.isnan(mine) | (np.signbit(mine) == np.signbit(theirs))
    assert (same & signs).all(), (mine[~(same & signs)], theirs[~(same & signs)])


def compare(name: str, *arguments: Any, ulps: float = 0, **options: Any) -> None:
    """A function of the standard gives what the strict reference gives, and leaves its operands alone."""
    given = [a.numpy().copy() for a in arguments if isinstance(a, ag.Tensor)]
    got = getattr(ag, name)(*arguments, **options)
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = getattr(strict, name)(*map(reference, arguments), **{k: reference(v) for k, v in options.items()})
    assert_same(got, expected, ulps)
    for tensor, before in zip([a for a in arguments if isinstance(a, ag.Tensor)], given, strict=True):
        assert np.array_equal(tensor.numpy(), before, equal_nan=before.dtype.kind == "f"), f"{name} changed its operand"
