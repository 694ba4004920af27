"""Reductions: exactness, ties, zeros, emptiness."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import autograd as ag

INF = math.inf


def leaf(values, dtype=ag.float64):
    return ag.tensor(values, dtype=dtype, requires_grad=True)


@pytest.mark.parametrize(("values", "expected"), [
    ([0.0, 2.0, 3.0], [6.0, 0.0, 0.0]), ([0.0, 0.0, 3.0], [0.0, 0.0, 0.0]), ([2.0, 3.0, 4.0], [12.0, 8.0, 6.0]),
    ([-1.0, 0.0], [0.0, -1.0]), ([5.0], [1.0]), ([0.0], [1.0]),
])  # fmt: skip
def test_t23_prod_with_zeros(values, expected):
    x = leaf(values)
    x.prod().backward()
    assert x.grad.tolist() == expected


def test_t23_prod_with_zeros_to_second_order_and_along_axes():
    assert ag.gradcheck(ag.prod, leaf([0.0, 2.0, 0.0])) and ag.gradgradcheck(ag.prod, leaf([0.0, 2.0, 0.0]))
    x = leaf([[0.0, 2.0, 3.0], [4.0, 0.0, 0.0]])
    x.prod(axis=1).sum().backward()
    assert x.grad.tolist() == [[6.0, 0.0, 0.0], [0.0, 0.0, 0.0]]
    assert ag.gradgradcheck(lambda t: ag.prod(t, axis=(0, 2)), leaf(np.arange(12.0).reshape(2, 3, 2)))
    for n in range(1, 10):  # every length of the doubling
        assert ag.gradcheck(ag.prod, leaf(np.linspace(-1, 1, n) if n > 1 else [0.0]))


def test_t24_norm_and_std_where_they_have_no_slope():
    x = leaf([0.0, 0.0])
    x.norm().backward()
    assert x.grad.tolist() == [0.0, 0.0]
    y = leaf([[3.0, 3.0, 3.0], [1.0, 2.0, 3.0]])
    y.std(axis=1).sum().backward()
    assert y.grad.tolist()[0] == [0.0, 0.0, 0.0] and np.isfinite(y.grad.numpy()).all()
    z = leaf([3.0, 4.0])
    z.norm().backward()
    assert np.allclose(z.grad.numpy(), [0.6, 0.8])
    w = leaf([0.0, 0.0])
    w.norm(ord=3).backward()
    assert w.grad.tolist() == [0.0, 0.0]
    (first,) = ag.gradients(leaf([0.0, 0.0]).norm() + (v := leaf([0.0, 0.0])).norm(), v, create_graph=True)
    assert first.tolist() == [0.0, 0.0]


@pytest.mark.parametrize("name", ["max", "min"])
def test_t26_ties_share_evenly(name):
    sign = 1.0 if name == "max" else -1.0
    x = leaf([[1.0, 3.0, 3.0], [2.0, 2.0, 2.0], [5.0, 1.0, 0.0]])
    getattr(x * sign, name)(axis=1).sum().backward()
    third = 1 / 3
    assert np.allclose(x.grad.numpy(), sign * np.array([[0, 0.5, 0.5], [third] * 3, [1, 0, 0]]))
    y = leaf([2.0, 1.0, 2.0])
    (y * sign).__getattribute__(name)().backward()
    assert y.grad.tolist() == [0.5 * sign, 0.0, 0.5 * sign]


def test_t26_many_ties_do_not_overflow():
    x = ag.zeros(70_000, requires_grad=True)
    x.max().backward()
    assert x.grad.sum().item() == pytest.approx(1.0, rel=1e-5)


def test_t38_the_largest_of_negatives_and_of_infinities():
    assert ag.tensor([-5.0, -3.0]).max().item() == -3.0 and ag.tensor([-INF, -INF]).max().item() == -INF
    assert ag.tensor([5.0, 3.0]).min().item() == 3.0 and ag.tensor([-7], dtype=ag.int8).max().item() == -7
    assert math.isnan(ag.tensor([1.0, math.nan]).max().item()) and math.isnan(ag.tensor([math.nan, 1.0]).min().item())
    x = leaf([1.0, math.nan, 2.0])
    x.max().backward()
    assert x.grad.tolist() == [0.0, 1.0, 0.0]


def test_t31_sums_are_exact_enough():
    ones = ag.broadcast_to(ag.tensor(1.0), (10_000_000,))
    assert ones.sum().item() == 1e7 and ag.ones(10_000_000).sum().item() == 1e7
    x = ag.tensor(np.full(1_000_000, 0.1, np.float32))
    assert x.sum().item() == pytest.approx(np.float64(np.float32(0.1)) * 1e6, rel=1e-6)
    assert x.mean().item() == pytest.approx(0.1, rel=1e-6)


def test_t31_variance():
    x = leaf([1.0, 2.0, 4.0])
    assert x.var().item() == pytest.approx(np.var([1, 2, 4])) and x.var(correction=1).item() == pytest.approx(np.var([1, 2, 4], ddof=1))
    shifted = ag.tensor(np.array([1.0, 2.0, 4.0], np.float32) + np.float32(10_000))
    assert shifted.var().item() == pytest.approx(np.var([1, 2, 4]), rel=1e-3)
    assert math.isnan(leaf([1.0]).var(correction=1).item())
    assert math.isnan(ag.zeros(0).var().item()) and math.isnan(ag.zeros(0).mean().item())
    few = leaf([1.0, 2.0])
    few.var(correction=3).backward()
    assert np.isnan(few.grad.numpy()).all()


def test_t31_empty_reductions():
    empty = ag.zeros(0, 3, requires_grad=True)
    assert empty.sum(axis=0).tolist() == [0.0, 0.0, 0.0] and empty.prod(axis=0).tolist() == [1.0, 1.0, 1.0]
    assert ag.any(empty).item() is False and ag.all(empty).item() is True
    assert ag.logsumexp(empty, axis=0).tolist() == [-INF] * 3
    assert empty.max(axis=1).shape == (0,)
    (empty.sum() + empty.prod() + empty.logsumexp(axis=0).sum()).backward()
    assert empty.grad.shape == (0, 3)


def test_t30_logsumexp():
    assert ag.logsumexp(ag.tensor([1e4, 1e4])).item() == pytest.approx(1e4 + math.log(2))
    assert ag.logsumexp(ag.tensor([-1e4, -1e4])).item() == pytest.approx(-1e4 + math.log(2))
    x = leaf([[-INF, -INF], [-INF, 0.0], [INF, 0.0]])
    out = x.logsumexp(axis=1)
    assert out.tolist() == [-INF, 0.0, INF]
    out[:2].sum().backward()
    assert x.grad.tolist()[:2] == [[0.0, 0.0], [0.0, 1.0]]
    y = leaf([[-INF, -INF]])
    (first,) = ag.gradients(y.logsumexp(axis=1), y, create_graph=True)
    assert first.tolist() == [[0.0, 0.0]]
    assert ag.gradgradcheck(lambda t: ag.logsumexp(t, axis=0), leaf([[1.0, 30.0], [-2.0, 31.0]]))


def test_t43_a_count_beyond_32_bits():
    many = ag.broadcast_to(ag.tensor(1, dtype=ag.int8), (2**16, 2**15 + 1))
    assert many.sum().item() == 2**16 * (2**15 + 1) == ag.count_nonzero(many).item()


def test_argmax_takes_the_first():
    assert ag.argmax(ag.tensor([1.0, 3.0, 3.0])).item() == 1 and ag.argmin(ag.tensor([2.0, 0.0, 0.0])).item() == 1
    assert ag.argmax(ag.tensor([1.0, math.nan, 3.0])).item() == 1
    assert ag.argmax(ag.tensor([[1, 2], [4, 3]])).item() == 2 and ag.argmax(ag.zeros(2, 2)).dtype == ag.int64


def test_accumulating_dtype():
    assert ag.sum(ag.ones(300, dtype=ag.uint8)).item() == 300 and ag.ones(300, dtype=ag.int8).sum().dtype == ag.int64
    assert ag.ones(3, dtype=bool).sum().dtype == ag.int64
    x = ag.ones(3, requires_grad=True)
    out = ag.sum(x, dtype=ag.float64)
    out.backward()
    assert out.dtype == ag.float64 and x.grad.dtype == ag.float32


@given(st.data())
def test_reductions_over_random_axes(data):
    shape = tuple(data.draw(st.lists(st.integers(1, 4), min_size=0, max_size=4), label="shape"))
    axes = data.draw(
        st.one_of(st.none(), st.lists(st.integers(-len(shape), len(shape) - 1), unique_by=lambda a: a % len(shape)).map(tuple))
        if shape else st.sampled_from([None, ()]), label="axes",
    )  # fmt: skip
    keepdims = data.draw(st.booleans(), label="keepdims")
    name = data.draw(st.sampled_from(["sum", "mean", "max", "prod"]), label="name")
    values = np.random.default_rng(sum(shape)).normal(size=shape)
    x = ag.tensor(values, requires_grad=True)
    out = getattr(ag, name)(x, axis=axes, keepdims=keepdims)
    expected = getattr(np, name)(values, axis=axes, keepdims=keepdims)
    assert out.shape == expected.shape and np.allclose(out.detach().numpy(), expected, rtol=1e-12, atol=1e-13)
    upstream = np.random.default_rng(1).normal(size=out.shape)
    out.backward(ag.tensor(upstream))
    kept = np.asarray(getattr(np, name)(values, axis=axes, keepdims=True))
    wide = upstream.reshape(kept.shape)
    count = values.size / max(kept.size, 1)
    slope = {"sum": 1.0, "mean": 1 / count, "max": (values == kept), "prod": kept / values}[name]
    assert np.allclose(x.grad.numpy(), wide * slope * np.ones(shape), rtol=1e-9, atol=1e-12)
