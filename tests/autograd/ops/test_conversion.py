"""Between types, and out of the engine."""

from __future__ import annotations

import numpy as np
import pytest

import autograd as ag

TYPES = [ag.bool, ag.int8, ag.int16, ag.int32, ag.int64, ag.uint8, ag.uint16, ag.uint32, ag.uint64, ag.float32, ag.float64]


@pytest.mark.parametrize("source", TYPES, ids=lambda d: d.name)
def test_types_become_others(source):
    array = np.array([0, 1, 3, 100]).astype(source)
    for target in TYPES if source == ag.float64 else (ag.bool, ag.int16, ag.float32):
        made = ag.tensor(array).astype(target)
        assert made.dtype == target and np.array_equal(made.numpy(), array.astype(target))
    assert np.array_equal(ag.tensor(array).clone().numpy(), array)


def test_truth_and_truncation():
    x = ag.tensor([0.0, -0.0, 0.25, -1.75, float("nan"), float("inf")])
    assert x.astype(ag.bool).tolist() == [False, False, True, True, True, True]
    assert x[:4].astype(ag.int64).tolist() == [0, 0, 0, -1]
    assert ag.tensor([300, -1]).astype(ag.uint8).tolist() == [44, 255]
    assert ag.tensor([256, 0]).astype(ag.bool).tolist() == [True, False]


def test_astype_without_need():
    x = ag.ones(2, requires_grad=True)
    assert x.astype(ag.float32) is not x and x.astype(ag.float32, copy=False) is x
    assert x.to(ag.float32) is x and x.to("float64").dtype == ag.float64 and x.to(dtype=ag.float64, device="cpu").requires_grad
    assert x.to(ag.float32, copy=True) is not x and x.float() is x and x.double().dtype == ag.float64


def test_gradients_through_types():
    x = ag.tensor([1.5, 2.5], requires_grad=True)
    y = x.astype(ag.float64) * ag.tensor([1 / 3, 2.0], dtype=ag.float64)
    y.sum().backward()
    assert x.grad.dtype == ag.float32 and np.allclose(x.grad.numpy(), [1 / 3, 2.0], rtol=1e-7)
    assert not x.astype(ag.int64).requires_grad and not x.astype(ag.bool).requires_grad


def test_clone_has_memory_of_its_own():
    x = ag.tensor([1.0, 2.0], requires_grad=True)
    y = x.clone()
    assert not np.shares_memory(x.detach().numpy(), y.detach().numpy())
    (y * y).sum().backward()
    assert x.grad.tolist() == [2.0, 4.0]


def test_lists():
    assert ag.tensor([[1, 2], [3, 4]]).tolist() == [[1, 2], [3, 4]] and ag.tensor(1.5).tolist() == 1.5
    assert ag.tensor([1.0], requires_grad=True).tolist() == [1.0] and ag.zeros(0, 2).tolist() == []
    assert type(ag.tensor([True]).tolist()[0]) is bool
