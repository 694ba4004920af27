"""Tensors as text."""

from __future__ import annotations

import numpy as np

import autograd as ag


def test_what_the_text_shows():
    assert repr(ag.tensor([1.0, 2.5])) == "tensor([1. , 2.5], dtype=float32)"
    assert repr(ag.tensor(3)) == "tensor(3, dtype=int64)"
    assert repr(ag.tensor([True])) == "tensor([ True], dtype=bool)"
    x = ag.tensor([1.0], requires_grad=True)
    assert repr(x) == "tensor([1.], dtype=float32, requires_grad=True)"
    assert repr(x * 2) == "tensor([2.], dtype=float32, grad_fn=<multiply>)"
    assert str(x) == repr(x) == f"{x}"
    assert repr(ag.zeros(0, 3)) == "tensor([], shape=(0, 3), dtype=float32)"


def test_the_text_of_a_large_tensor_is_short_and_costs_little():
    text = repr(ag.tensor(np.ones((1000, 1000), np.float32)))
    assert "..." in text and "shape=(1000, 1000)" in text and len(text) < 1000


def test_text_of_what_is_not_a_number():
    assert repr(ag.tensor([float("nan"), float("-inf")])) == "tensor([ nan, -inf], dtype=float32)"


def test_printing_does_not_touch_the_graph():
    x = ag.tensor([1.0], requires_grad=True)
    y = x * x
    repr(y)
    y.backward()
    assert x.grad.item() == 2.0
