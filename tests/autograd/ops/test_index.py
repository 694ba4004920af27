"""Assignment to parts of a tensor, recorded and not. (Reading parts: test_shape.py and the table of operations.)"""

from __future__ import annotations

import numpy as np
import pytest

import autograd as ag


def test_assignment_equals_numpy():
    for key, value in (
        (0, 5.0), ((slice(None), 1), [7.0, 8.0]), ((Ellipsis, slice(None, None, -2)), 1.5), ((None, 1), np.ones((1, 3))),
        (slice(5, 9), 3.0), ((1, 2), ag.tensor(2.5)), (Ellipsis, ag.tensor([1.0, 2.0, 3.0])), ((), 4.0),
    ):  # fmt: skip
        expected = np.arange(6.0).reshape(2, 3)
        x = ag.tensor(expected)
        expected[key] = value.numpy() if isinstance(value, ag.Tensor) else value
        x[key] = value
        assert np.array_equal(x.numpy(), expected), key


def test_recorded_assignment():
    x = ag.tensor([1.0, 2.0, 3.0], requires_grad=True)
    v = ag.tensor([10.0, 20.0], requires_grad=True)
    y = x * 2
    y[1:] = v * 3
    assert y.tolist() == [2.0, 30.0, 60.0] and y.grad_fn.name == "setitem"
    (y * ag.tensor([1.0, 10.0, 100.0])).sum().backward()
    assert x.grad.tolist() == [2.0, 0.0, 0.0] and v.grad.tolist() == [30.0, 300.0]


def test_recorded_assignment_broadcasts_and_starts_histories():
    v = ag.tensor(2.0, requires_grad=True)
    y = ag.zeros(2, 3)
    y[:, 1] = v
    assert y.requires_grad
    (y * y).sum().backward()
    assert v.grad.item() == 8.0
    x = ag.tensor([1.0, 2.0], dtype=ag.float64, requires_grad=True)

    def swap(t):
        out = t.clone()
        out[0] = t[1] ** 2
        out[1] = t[0] * t[1]
        return out * out

    assert ag.gradcheck(swap, x) and ag.gradgradcheck(swap, x)


def test_assignment_of_a_part_to_another():
    x = ag.tensor(np.arange(5.0))
    x[1:] = x[:-1]
    assert x.tolist() == [0.0, 0.0, 1.0, 2.0, 3.0]
    x[...] = x[::-1]
    assert x.tolist() == [3.0, 2.0, 1.0, 0.0, 0.0]


def test_assignment_converts():
    x = ag.zeros(2)
    x[0] = np.float64(1.5)
    x[1] = ag.tensor(3)
    assert x.dtype == ag.float32 and x.tolist() == [1.5, 3.0]
    n = ag.zeros(2, dtype=ag.int64)
    n[0] = 7
    assert n.tolist() == [7, 0]
    x.fill_(2.0)
    assert x.tolist() == [2.0, 2.0] and x.copy_(ag.tensor([1, 2])).tolist() == [1.0, 2.0] and x.zero_().tolist() == [0.0, 0.0]


def test_mistakes_are_explained():
    x = ag.zeros(2, 3)
    with pytest.raises(ValueError, match=r"setitem: values of shape \(2,\) do not fit the place of shape \(3,\)"):
        x[0] = ag.zeros(2)
    with pytest.raises(ValueError, match=r"setitem: values of shape \(2, 3\) do not fit the place of shape \(3,\)"):
        x[0] = ag.zeros(2, 3)
    with pytest.raises(IndexError, match="setitem: index 2 is out of range for axis 0"):
        x[2] = 0.0
    with pytest.raises(TypeError, match=r"setitem: indices are integers.*boolean masks, got list of float64"):
        x[[0.0, 1.0]] = 0.0
    with pytest.raises(IndexError, match=r"setitem: a mask of shape \(3,\) does not fit axes 0 to 0 .*\(2, 3\), which have sizes \(2,\)"):
        x[x[0] > 0] = 0.0
    with pytest.raises(IndexError, match=r"index -3 is out of range for axis 0 of size 2 \(shape \(2, 3\)\)"):
        x[[1, -3]] = 1.0
    with pytest.raises(TypeError):
        x[0] = "text"
    assert x.tolist() == [[0.0] * 3] * 2


def test_a_failed_assignment_records_nothing():
    v = ag.tensor([1.0, 2.0], requires_grad=True)
    y = v * 1
    before = y.grad_fn
    with pytest.raises(ValueError, match="do not fit"):
        y[0] = v
    assert y.grad_fn is before and y.tolist() == [1.0, 2.0]
    y.sum().backward()
    assert v.grad.tolist() == [1.0, 1.0]
