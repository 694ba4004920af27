"""Attention on the device, against NumPy's matrix products."""

import numpy as np
import pytest
from attention_checks import check, factors_of, sample
from cuda_support import cpu, cuda, needs_cuda

import autograd as ag
from autograd.ops.attention import attention_and_weights, scaled_dot_product_attention
from kernels.attention import Dropout

pytestmark = needs_cuda
F32, F64 = np.float32, np.float64


@pytest.mark.parametrize("size", [
    (1, 2, 5, 7, 3, 5), (1, 1, 33, 9, 2, 3), (1, 1, 4, 34, 2, 3), (1, 1, 2, 3, 33, 66),
], ids=str)  # fmt: skip
def test_values_and_gradients(size):
    check(cuda(), size)


@pytest.mark.parametrize("size", [(1, 1, 4, 0, 3, 2), (2, 0, 3, 3, 2, 2), (1, 1, 0, 4, 2, 2), (1, 1, 3, 5, 0, 2), (1, 1, 3, 4, 2, 0)])
def test_nothing_to_look_at_and_nothing_to_find(size):
    check(cuda(), size)


@pytest.mark.parametrize("size", [(1, 1, 34, 36, 2, 3)], ids=str)
def test_causal(size):
    check(cuda(), size, causal=True)


@pytest.mark.parametrize("kind", ["bool", "added"])
def test_masks(kind):
    check(cuda(), (2, 1, 3, 5, 2, 3), F32, kind)


def test_float64():
    check(cuda(), (1, 1, 5, 7, 3, 34), F64, "added", causal=True, dropout=Dropout(0.3, 7, 5))


@pytest.mark.parametrize("layout", ["reversed", "stretched"])
def test_any_strides(layout):
    check(cuda(), (1, 2, 3, 4, 2, 3), layout=layout)


def test_dropout_is_that_of_the_random_blocks():
    check(cuda(), (1, 1, 3, 38, 2, 3), dropout=Dropout(0.4, 7, 1 << 40))
    assert 0 < (factors_of(Dropout(0.4, 7, 1 << 40), (1, 2, 3, 38)) == 0).sum() < 2 * 3 * 38


def test_results_lie_as_the_operands_do_and_are_those_of_the_cpu():
    q, k, v = (sample((2, 2, 3, 4), F32, "rows first", n) for n in range(3))
    own = cuda()
    there = [own.from_numpy(np.ascontiguousarray(x.transpose(0, 2, 1, 3))).transpose(0, 2, 1, 3) for x in (q, k, v)]
    found, logarithms = own.attention(*there, scale=0.5)
    expected, other = cpu().attention(q, k, v, scale=0.5)
    assert found.strides == q.strides
    np.testing.assert_allclose(own.to_numpy(found), expected, rtol=1e-5)
    np.testing.assert_allclose(own.to_numpy(logarithms), other, rtol=1e-5)


def test_the_operation_and_its_products_on_the_device():
    arrays = [sample((1, 2, 3, 4), F32, seed=n) for n in range(3)]
    results = []
    for device in ("cpu", "cuda"):
        q, k, v = (ag.tensor(a, requires_grad=True).to(device).detach().requires_grad_() for a in arrays)
        mask = ag.tensor(np.array([[True, False, True]])).to(device)
        out = scaled_dot_product_attention(q, k, v, mask)
        out.sum().backward()
        products, _ = attention_and_weights(q, k, v, mask, 0.0, True)
        results.append([out, q.grad, k.grad, v.grad, products])
    for expected, found in zip(*results, strict=True):
        np.testing.assert_allclose(found.detach().numpy(), expected.detach().numpy(), rtol=1e-4, atol=1e-6)


def test_what_does_not_fit_is_refused():
    own = cuda()
    q, k = own.from_numpy(np.zeros((1, 2, 3, 4), F32)), own.from_numpy(np.zeros((1, 2, 5, 3), F32))
    with pytest.raises(ValueError, match=r"attention: a query \(B, H, T, D\) takes keys"):
        own.attention(q, k, k, scale=1.0)
