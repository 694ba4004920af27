"""Top-k on the CPU against NumPy's stable sort: all dtypes, any axis, ties, NaN, rows that fill the buffer many times over."""

from __future__ import annotations

import numpy as np
import pytest
from selection_checks import DTYPES, check, drawn

from kernels import launch
from kernels.cpu.selection import topk


@pytest.mark.parametrize("dtype", DTYPES)
def test_what_is_chosen_is_what_a_stable_sort_puts_first(dtype):
    for shape, k, axis in (((1,), 1, 0), ((5,), 0, 0), ((33,), 5, 0), ((3, 40), 7, 1), ((300, 3), 2, 0), ((2, 700, 3), 40, 1)):
        check(topk, drawn(shape, dtype), k, axis)


@pytest.mark.parametrize("dtype", ["uint8", "int16", "float32", "float64"])
@pytest.mark.parametrize("k", [1, 128, 129, 500, 1900, 2500, 5000])
def test_rows_longer_than_the_buffer(dtype, k):
    """Whatever order they come in: what is in the buffer is replaced again and again, or never."""
    x = drawn((5000,), dtype)
    for given in (x, np.sort(x), np.sort(x)[::-1], np.zeros_like(x)):
        check(topk, given, k, 0)


def test_ties_at_the_limit_and_rows_of_nothing_but_nan():
    x = np.ones((2, 3000), np.float32)
    x[0, 1000:1005] = 2
    x[1] = np.nan
    check(topk, x, 9, 1)


@pytest.mark.parametrize("dtype", ["float32", "uint8"])
def test_t48_any_memory_layout(dtype):
    x = drawn((4, 70, 6), dtype)
    for view in (x.transpose(2, 0, 1), x[::-1, ::2, ::-1], np.broadcast_to(x[:, :1], x.shape), x.astype(x.dtype.newbyteorder())):
        for axis in range(3):
            check(topk, view, 2, axis)


def test_no_elements():
    for shape, axis in (((0,), 0), ((3, 0), 0), ((0, 3), 1), ((3, 0), 1)):
        k = min(2, shape[axis])
        values, places = topk(np.zeros(shape), k, axis)
        assert values.shape == places.shape == tuple(k if a == axis else n for a, n in enumerate(shape))


def test_t43_the_number_of_threads_changes_nothing(monkeypatch):
    x = drawn((40, 900), "float32")
    expected = [a.tobytes() for a in topk(x, 30)]
    monkeypatch.setattr(launch, "parallel_work", 1)
    assert [a.tobytes() for a in topk(x, 30)] == expected


def test_refusals():
    x = np.zeros((2, 3))
    with pytest.raises(ValueError, match="topk: k must be from 0 to 3, the size of axis -1, got 4"):
        topk(x, 4)
    with pytest.raises(ValueError, match="topk: k must be from 0 to 2, the size of axis 0, got -1"):
        topk(x, -1, 0)
    with pytest.raises(IndexError, match="topk: axis 0 is out of range .*0-d array has none"):
        topk(np.array(1.0), 1, 0)
    with pytest.raises(TypeError, match="topk: takes bool, integers and floats, got complex128"):
        topk(np.zeros(2, complex), 1)
