"""What the tests of the Array API have in common: the strict reference, strategies for tensors, and comparing with it.

Each loop over another dtype or memory layout is another kernel to compile. So with Numba's compiler on there are the
dtypes and layouts that other tests have compiled already; with it off (tests/array_api/test_without_compiler.py) all.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from types import FunctionType, ModuleType
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.errors import HypothesisWarning
from hypothesis.extra.array_api import make_strategies_namespace

import autograd as ag
from kernels.cpu.pointer import JIT_DISABLED

_strict = pytest.importorskip("array_api_strict", reason="array-api-strict is not installed: pip install 'gradloom[dev]'")


class Recorded:
    """The strict reference, which notes in `CALLED` which of its functions a test calls."""

    def __init__(self, module: ModuleType, prefix: str = "") -> None:
        self._module, self._prefix = module, prefix

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._module, name)
        if isinstance(value, ModuleType):
            value = Recorded(value, f"{name}.")
        elif isinstance(value, FunctionType):
            value = _noted(f"{self._prefix}{name}", value)
        self.__dict__[name] = value
        return value


def _noted(name: str, function: Callable) -> Callable:
    @functools.wraps(function)
    def call(*arguments: Any, **options: Any) -> Any:
        CALLED.add(name)
        return function(*arguments, **options)

    return call


strict: Any = Recorded(_strict)
CALLED: set[str] = set()  # by the test that runs
COMPARED: dict[str, list[str]] = {}  # a function of the standard, and the tests that compare it with the strict reference


def compares(*names: str, exhaustive: bool = False) -> Callable:
    """Mark a test as comparing functions of the standard with the strict reference: conftest.py checks that it calls them.

    exhaustive: the test goes through all there is, and Hypothesis draws nothing.
    """

    def mark(test: Any) -> Any:
        assert exhaustive or hasattr(test, "hypothesis"), f"{test.__name__} draws nothing by Hypothesis"
        test.compares = names
        for name in names:
            COMPARED.setdefault(name, []).append(test.__name__)
        return test

    return mark


def function(name: str, namespace: Any = ag) -> Any:
    """A function by its name, which may begin with "linalg." or "fft."."""
    return functools.reduce(getattr, name.split("."), namespace)


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
    x = draw(xps.arrays(dtype=dtype, shape=size, elements=elements if elements is not None else limits or None))
    if JIT_DISABLED and x.ndim and draw(st.booleans()):
        axis = draw(st.integers(0, x.ndim - 1))
        x = ag.flip(ag.swapaxes(x, 0, axis).clone(), axis=axis)
        x = ag.swapaxes(x, 0, axis)
    return x


def reference(x: Any) -> Any:
    """Tensors, in tuples and lists or alone, as arrays of the strict reference; dtypes as its dtypes."""
    if isinstance(x, ag.Tensor):
        return _strict.asarray(np.array(x.numpy()))
    if isinstance(x, np.dtype):
        return getattr(_strict, x.name)
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
    if mine.dtype.kind == "c":  # real and imaginary parts side by side
        mine, theirs = (np.stack([z.real, z.imag], axis=-1) for z in (mine, theirs))
    if mine.dtype.kind != "f":
        assert np.array_equal(mine, theirs), (mine, theirs)
        return
    with np.errstate(all="ignore"):
        near = np.abs(mine - theirs) <= ulps * (np.finfo(mine.dtype).eps * np.abs(theirs) + np.finfo(mine.dtype).smallest_subnormal)
        same = (mine == theirs) | (np.isnan(mine) & np.isnan(theirs)) | near
        signs = np.isnan(mine) | (np.signbit(mine) == np.signbit(theirs))
    assert (same & signs).all(), (mine[~(same & signs)], theirs[~(same & signs)])


def assert_near(got: Any, expected: Any, tolerance: float = 64, scale: float = 1.0) -> None:
    """The same shape and dtype, and elements but for rounding: errors of intermediate values of this scale."""
    if isinstance(expected, (tuple, list)):
        assert isinstance(got, tuple) and len(got) == len(expected), (got, expected)
        for mine, theirs in zip(got, expected, strict=True):
            assert_near(mine, theirs, tolerance, scale)
        return
    mine, theirs = got.numpy(), np.asarray(expected)
    assert mine.shape == theirs.shape and mine.dtype == theirs.dtype, (mine, theirs)
    if mine.dtype.kind not in "fc":
        assert np.array_equal(mine, theirs), (mine, theirs)
        return
    error = tolerance * float(np.finfo(mine.dtype).eps)
    with np.errstate(all="ignore"):
        assert np.allclose(mine, theirs, rtol=error, atol=error * scale, equal_nan=True), (mine, theirs)


def expected_of(name: str, *arguments: Any, **options: Any) -> Any:
    """What the strict reference gives for the same arguments."""
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return function(name, strict)(*map(reference, arguments), **{k: reference(v) for k, v in options.items()})


def compare_near(name: str, *arguments: Any, tolerance: float = 64, scale: float = 1.0, **options: Any) -> None:
    """The same but for rounding; or the strict reference refuses, and so do we."""
    try:
        expected = expected_of(name, *arguments, **options)
    except (ValueError, IndexError, np.linalg.LinAlgError):
        with pytest.raises((ValueError, IndexError)):
            function(name)(*arguments, **options)
        return
    assert_near(function(name)(*arguments, **options), expected, tolerance, scale)


def compare(name: str, *arguments: Any, ulps: float = 0, **options: Any) -> None:
    """A function of the standard gives what the strict reference gives, and leaves its operands alone."""
    given = [a.numpy().copy() for a in arguments if isinstance(a, ag.Tensor)]
    got = function(name)(*arguments, **options)
    assert_same(got, expected_of(name, *arguments, **options), ulps)
    for tensor, before in zip([a for a in arguments if isinstance(a, ag.Tensor)], given, strict=True):
        assert np.array_equal(tensor.numpy(), before, equal_nan=before.dtype.kind in "fc"), f"{name} changed its operand"
