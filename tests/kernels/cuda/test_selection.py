"""Top-k on the GPU (or the simulator) against NumPy's stable sort: all kinds of elements, ties, NaN, rows cut into stretches."""

from __future__ import annotations

import numpy as np
import pytest
from cuda_support import cuda, needs_cuda
from selection_checks import check, drawn

from kernels.cuda import selection

pytestmark = needs_cuda


def check_here(x: np.ndarray, k: int, axis: int = -1) -> None:
    check(cuda().topk, x, k, axis, cuda().from_numpy, cuda().to_numpy)


@pytest.mark.parametrize("dtype", "bool int8 uint16 int32 uint64 float32 float64".split())
def test_what_is_chosen_is_what_a_stable_sort_puts_first(monkeypatch, dtype):
    """Short rows are sorted on a GPU, so that they come here by a smaller limit."""
    monkeypatch.setattr(selection, "_SHORT", 1)
    check_here(drawn((2, 100), dtype), 7)


def test_any_axis_and_memory_layout(monkeypatch):
    monkeypatch.setattr(selection, "_SHORT", 1)
    k, x = cuda(), drawn((2, 6, 5), "float32")
    there = k.from_numpy(x)
    for mine, theirs in ((there.transpose(2, 0, 1), x.transpose(2, 0, 1)), (there[::-1, ::2, ::-1], x[::-1, ::2, ::-1])):
        found = [k.to_numpy(a) for a in k.topk(mine, 1, 1, False)]
        expected = np.take(np.argsort(theirs, 1, kind="stable"), [0], 1)
        assert np.array_equal(found[1], expected)
        assert np.array_equal(found[0], np.take_along_axis(theirs, expected, 1), equal_nan=True)


def test_rows_cut_into_stretches_of_which_is_chosen_again(monkeypatch):
    monkeypatch.setattr(selection, "_STRETCH", 64)
    x = drawn((1, 600), "float32")
    check_here(x, 5)
    x[0, 100:] = x[0, 99]
    check_here(x, 9)


def test_a_long_row():
    check_here(drawn((1029,), "float32"), 40)


def test_short_rows_no_elements_and_none_wanted():
    check_here(drawn((3, 5), "float32"), 2, 0)
    for shape, k in (((0,), 0), ((3, 0), 0), ((0, 3), 2), ((2, 3), 0)):
        values, places = cuda().topk(cuda().from_numpy(np.zeros(shape)), k, -1, True, False)
        assert values.shape == places.shape == (*shape[:-1], k)


def test_refusals():
    x = cuda().from_numpy(np.zeros((2, 3)))
    with pytest.raises(ValueError, match="topk: k must be from 0 to 3, the size of axis -1, got 4"):
        cuda().topk(x, 4)
    with pytest.raises(IndexError, match="topk: axis 2 is out of range"):
        cuda().topk(x, 1, 2)
