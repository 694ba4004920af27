"""Matrix products: vectors, broadcasting, no elements, integers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import autograd as ag

SHAPES = [((4,), (4,)), ((4,), (4, 5)), ((3, 4), (4,)), ((3, 4), (4, 5)), ((2, 3, 4), (4,)), ((4,), (2, 4, 3)),
          ((2, 1, 3, 4), (5, 4, 2)), ((1, 3, 4), (6, 4, 2))]  # fmt: skip


@pytest.mark.parametrize("shapes", SHAPES, ids=str)
def test_t22_gradients_have_the_operands_shapes(shapes):
    generator = np.random.default_rng(0)
    a, b = (ag.tensor(generator.normal(size=s), requires_grad=True) for s in shapes)
    out = a @ b
    upstream = generator.normal(size=out.shape)
    out.backward(ag.tensor(upstream))
    left, right = a.detach().numpy(), b.detach().numpy()
    wide_left = left[None, :] if left.ndim == 1 else left
    wide_right = right[:, None] if right.ndim == 1 else right
    wide = upstream
    if left.ndim == 1:
        wide = np.expand_dims(wide, -1 if right.ndim == 1 else -2)
    if right.ndim == 1:
        wide = np.expand_dims(wide, -1)
    for tensor, full in ((a, wide @ np.swapaxes(wide_right, -1, -2)), (b, np.swapaxes(wide_left, -1, -2) @ wide)):
        full = full.reshape(full.shape[:-2] + (full.shape[-1],)) if tensor is a and left.ndim == 1 else full
        full = full[..., 0] if tensor is b and right.ndim == 1 else full
        while full.ndim > tensor.ndim:
            full = full.sum(0)
        for axis, size in enumerate(tensor.shape):
            full = full.sum(axis, keepdims=True) if size == 1 and full.shape[axis] != 1 else full
        assert np.allclose(tensor.grad.numpy(), full, rtol=1e-12)


def test_t22_no_elements_between():
    a, b = ag.zeros(3, 0, requires_grad=True), ag.zeros(0, 2, requires_grad=True)
    out = a @ b
    assert out.tolist() == [[0.0, 0.0]] * 3
    out.sum().backward()
    assert a.grad.shape == (3, 0) and b.grad.shape == (0, 2)
    assert (ag.zeros(0) @ ag.zeros(0)).item() == 0.0


def test_the_same_tensor_on_both_sides():
    x = ag.tensor([[1.0, 2.0], [3.0, 4.0]], dtype=ag.float64, requires_grad=True)
    assert ag.gradcheck(lambda t: t @ t, x) and ag.gradgradcheck(lambda t: t @ t.T @ t, x)


def test_transposes_without_copies_give_the_same():
    generator = np.random.default_rng(1)
    a, b = generator.normal(size=(7, 5)), generator.normal(size=(7, 6))
    assert np.allclose((ag.tensor(a).T @ ag.tensor(b)).numpy(), a.T @ b, rtol=1e-13)
    assert np.allclose((ag.tensor(b).T @ ag.tensor(a)).numpy(), b.T @ a, rtol=1e-13)
    assert np.allclose((ag.tensor(a)[::-1].T @ ag.tensor(b)).numpy(), a[::-1].T @ b, rtol=1e-13)
    assert np.allclose((ag.tensor(a)[::2, ::3].T @ ag.tensor(b)[::2, 1::2]).numpy(), a[::2, ::3].T @ b[::2, 1::2], rtol=1e-13)


def test_integer_products_are_exact():
    big = ag.tensor([[2**53 + 1, 1]])
    assert (big @ ag.tensor([[1], [0]])).item() == 2**53 + 1
    assert (ag.tensor([[1, 2]], dtype=ag.int8) @ ag.tensor([[3], [4]], dtype=ag.int8)).item() == 11
    assert (ag.tensor([1, 2]) @ ag.tensor([1.5, 2.0])).dtype == ag.float32


@given(st.integers(0, 20), st.integers(0, 20), st.integers(0, 20), st.booleans(), st.booleans())
def test_products_of_any_size(rows, depth, columns, transpose_left, transpose_right):
    generator = np.random.default_rng(rows + 21 * depth)
    a = generator.normal(size=(depth, rows) if transpose_left else (rows, depth))
    b = generator.normal(size=(columns, depth) if transpose_right else (depth, columns))
    left, right = (ag.tensor(a).T if transpose_left else ag.tensor(a)), (ag.tensor(b).T if transpose_right else ag.tensor(b))
    expected = (a.T if transpose_left else a) @ (b.T if transpose_right else b)
    assert np.allclose((left @ right).numpy(), expected, rtol=1e-12, atol=1e-12)


def test_linear_equals_its_definition_to_second_order():
    generator = np.random.default_rng(2)
    x, w, b = (ag.tensor(generator.normal(size=s), requires_grad=True) for s in ((5, 3), (4, 3), (4,)))
    fused, plain = ag.linear(x, w, b), x @ w.T + b
    assert np.allclose(fused.detach().numpy(), plain.detach().numpy(), rtol=1e-13)
    seed = ag.tensor(generator.normal(size=(5, 4)))
    for one, two in zip(ag.gradients(fused, [x, w, b], seed), ag.gradients(plain, [x, w, b], seed), strict=True):
        assert np.allclose(one.numpy(), two.numpy(), rtol=1e-12)
    for needs in ((True, False, False), (False, True, False), (False, False, True), (True, True, False)):
        operands = [t.detach().requires_grad_(n) for t, n in zip((x, w, b), needs, strict=True)]
        ag.linear(*operands).backward(seed)
        assert [t.grad is not None for t in operands] == list(needs)
