"""Diagonals are views, on both devices; triangles keep what is not a number out."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from cuda_support import needs_cuda

import autograd as ag
from kernels import backend_for

DEVICES = ["cpu", pytest.param("cuda", marks=needs_cuda)]


@pytest.mark.parametrize("device", DEVICES)
def test_every_diagonal_of_every_pair_of_axes(device):
    backend = backend_for(device)
    values = np.arange(2 * 3 * 4).reshape(2, 3, 4)
    array = backend.from_numpy(values)
    for (first, second), offset in itertools.product(itertools.permutations(range(3), 2), range(-5, 6)):
        view = backend.diagonal(array, offset, first, second)
        assert np.array_equal(backend.to_numpy(view), np.diagonal(values, offset, first, second)), (first, second, offset)
        reversed_view = backend.diagonal(array[::-1, ::-1, ::-1], offset, first, second)
        assert np.array_equal(backend.to_numpy(reversed_view), np.diagonal(values[::-1, ::-1, ::-1], offset, first, second))


@pytest.mark.parametrize("device", DEVICES)
def test_a_diagonal_is_a_view_that_can_be_written(device):
    x = ag.zeros(3, 3, device=device)
    ag.diagonal(x, 1)[...] = 5.0
    ag.linalg.diagonal(x).fill_(2.0)
    assert x.tolist() == [[2.0, 5.0, 0.0], [0.0, 2.0, 5.0], [0.0, 0.0, 2.0]]
    stretched = ag.diagonal(ag.zeros(3, 1, device=device).broadcast_to((3, 3)))
    with pytest.raises(ValueError, match="read-only"):
        stretched[...] = 1.0


def test_a_change_through_a_diagonal_is_noticed_by_backward():
    x = ag.ones((2, 2), requires_grad=True)
    y = x * 1.0
    out = (y * y).sum()
    with ag.no_grad():
        ag.diagonal(y)[...] = 0.0
    with pytest.raises(RuntimeError, match="in-place"):
        out.backward()


def test_a_write_through_a_diagonal_is_recorded_or_refused():
    x = ag.ones((2, 2), requires_grad=True)
    y = x * 2.0
    with pytest.raises(RuntimeError, match="setitem"):
        ag.diagonal(y)[...] = 0.0


@pytest.mark.parametrize("device", DEVICES)
def test_triangles_leave_nan_and_infinity_behind(device):
    x = ag.tensor([[1.0, np.nan], [np.inf, 2.0]], device=device)
    assert ag.tril(x).tolist() == [[1.0, 0.0], [np.inf, 2.0]]
    assert ag.triu(ag.tensor([[1.0, 3.0], [np.nan, 2.0]], device=device)).tolist() == [[1.0, 3.0], [0.0, 2.0]]
    leaf = ag.tensor([[1.0, np.nan], [3.0, 2.0]], device=device, requires_grad=True)
    ag.tril(leaf).square().sum().backward()
    assert leaf.grad.tolist() == [[2.0, 0.0], [6.0, 4.0]]
    assert ag.tril(ag.ones((2, 2), dtype=bool, device=device)).dtype == ag.bool
