"""fuse: one kernel for a function of elementwise operations, and the same numbers as without it."""

from __future__ import annotations

import numpy as np
import pytest

import autograd as ag
from kernels import launch


def gaussian(x, mean, width):
    return ag.exp(-(((x - mean) / width) ** 2) / 2)


def polynomial(x, y):
    return ag.where(x > y, x * y + abs(x), x.tanh() - 2 * y) % 3.0


def both(x, y):
    return x * y, (x + y).sin()


def test_values_and_derivatives_equal_the_unfused():
    generator = np.random.default_rng(0)
    a, b, c = (ag.tensor(generator.uniform(0.5, 2, s), requires_grad=True) for s in ((3, 4), (4,), (3, 1)))
    for function, operands in ((gaussian, (a, b, c)), (polynomial, (a, b))):
        fused = ag.fuse(function)
        assert np.allclose(fused(*operands).detach().numpy(), function(*operands).detach().numpy(), rtol=1e-14)
        assert ag.gradcheck(fused, operands) and ag.gradgradcheck(fused, operands)
    fused = ag.fuse(both)
    for mine, theirs in zip(fused(a, b), both(a, b), strict=True):
        assert np.allclose(mine.detach().numpy(), theirs.detach().numpy(), rtol=1e-14)
    assert ag.gradcheck(fused, (a, b)) and ag.gradgradcheck(fused, (a, b))


def test_one_launch_forward_and_one_backward():
    fused = ag.fuse(gaussian)
    x = ag.tensor([0.5, 1.0], requires_grad=True)
    m = ag.tensor([0.25, 1.0], requires_grad=True)
    seed = ag.ones(2)
    fused(x, m, 2.0).backward(seed)
    launches = []
    with launch.observe(launches.append):
        out = fused(x, m, 2.0)
        assert len(launches) == 1
        ag.gradients(out, [x, m], seed)
    assert len(launches) == 2, launches


def test_numbers_keywords_and_parameters():
    @ag.fuse
    def scaled(x, shift=1.0, *, factor, power=2.0):
        return factor * (x + shift) ** power

    x = ag.tensor([1.0, 2.0], dtype=ag.float64, requires_grad=True)
    assert np.allclose(scaled(x, factor=3.0).detach().numpy(), [12.0, 27.0])
    assert np.allclose(scaled(x, 0.0, factor=3.0, power=3.0).detach().numpy(), [3.0, 24.0])
    assert np.allclose(scaled(shift=2.0, x=x, factor=1.0).detach().numpy(), [9.0, 16.0])
    scaled(x, factor=3.0).sum().backward()
    assert x.grad.tolist() == [12.0, 18.0]
    with pytest.raises(TypeError, match="factor"):
        scaled(x)
    with pytest.raises(TypeError, match="unexpected|nonsense"):
        scaled(x, factor=1.0, nonsense=2)


def test_a_fused_function_inside_another():
    inner = ag.fuse(lambda x: x * x + 1)
    outer = ag.fuse(lambda x: inner(x).exp() - inner(2 * x))
    x = ag.tensor([0.5], dtype=ag.float64, requires_grad=True)
    assert outer(x).item() == pytest.approx(np.exp(1.25) - 2.0)
    assert outer(x).grad_fn.inputs == (x._edge,)
    assert ag.gradcheck(outer, x)


def test_memory_layouts_and_dtypes():
    fused = ag.fuse(lambda x, y: x * y + x)
    x = ag.tensor(np.arange(24.0).reshape(2, 3, 4))
    y = ag.permute_dims(ag.tensor(np.arange(24.0).reshape(4, 2, 3)), (1, 2, 0))
    assert np.array_equal(fused(x, y).numpy(), x.numpy() * y.numpy() + x.numpy())
    assert fused(ag.ones(2), 2.0).dtype == ag.float32
    assert fused(ag.ones(2), ag.ones(2, dtype=ag.float64)).dtype == ag.float64
    assert fused(ag.zeros(0, 3), ag.ones(3)).shape == (0, 3)


def test_what_cannot_be_fused_is_explained():
    x = ag.ones(2)
    outside = ag.ones(2)
    with pytest.raises(TypeError, match="cannot branch on a tensor's value; use autograd.where"):
        ag.fuse(lambda a: a if a > 0 else -a)(x)
    with pytest.raises(AttributeError, match="a tensor's 'sum' cannot be used inside a fused function"):
        ag.fuse(lambda a: a.sum())(x)
    with pytest.raises(TypeError, match="Pass other tensors in as arguments"):
        ag.fuse(lambda a: a + outside)(x)
    with pytest.raises(TypeError, match="cannot be iterated"):
        ag.fuse(lambda a: sum(a))(x)
    with pytest.raises(TypeError, match=r"must name its arguments one by one"):
        ag.fuse(lambda *a: a[0])
    with pytest.raises(ValueError, match=r"shapes \(2,\) and \(3,\)"):
        ag.fuse(lambda a, b: a + b)(x, ag.ones(3))


def test_t25_a_fused_where_selects_its_derivative():
    fused = ag.fuse(lambda x: ag.where(x <= 0, ag.exp(x), 1 + x))
    x = ag.tensor([1000.0, 0.0, -1.0], dtype=ag.float64, requires_grad=True)
    fused(x).sum().backward()
    assert np.allclose(x.grad.numpy(), [1.0, 1.0, np.exp(-1)])
