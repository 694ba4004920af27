"""Covariances, correlations and distances where NumPy's and PyTorch's conventions, or zeros, have a say."""

import math
import warnings

import numpy as np
import pytest
from layouts import tensor_in

import autograd as ag


def numpy_cov(*arguments, **options):
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        return np.cov(*arguments, **options)


@pytest.mark.parametrize(("shape", "options"), [
    ((), {}), ((1,), {}), ((2, 1), {}), ((2, 0), {}), ((3,), {"ddof": 3}), ((2, 3), {"ddof": 5}), ((3,), {"fweights": [1, 0, 0]}),
    ((3,), {"fweights": [1, 1, 1], "ddof": 7}), ((3,), {"aweights": [0.0, 0.0, 2.0]}),
])  # fmt: skip
def test_too_few_observations(shape, options):
    values = np.arange(1.0, 1.0 + math.prod(shape)).reshape(shape)
    got = ag.cov(ag.tensor(values), **options)
    assert np.array_equal(got.numpy(), numpy_cov(values, **options), equal_nan=True)


@pytest.mark.parametrize("function", [ag.cov, ag.corrcoef])
@pytest.mark.parametrize("layout", ["permuted", "negative", "strided"])
def test_layouts_and_second_derivatives(function, layout):
    values = np.random.default_rng(7).normal(size=(2, 3))
    x, _ = tensor_in(values, layout)
    for options in ({}, {"rowvar": False}):
        expected = getattr(np, function.__name__)(values, **options)
        assert np.allclose(function(x, **options).numpy(), expected, rtol=1e-13)
    x.requires_grad_()
    assert ag.gradcheck(function, [x]) and ag.gradgradcheck(function, [x])
    y = ag.tensor(values[:1], requires_grad=True)
    assert ag.gradgradcheck(lambda x, y: function(x, y), [x, y])
    if function is ag.cov:  # a correlation of constants is NaN
        row = ag.tensor([2.0], dtype=ag.float64, requires_grad=True)
        assert ag.gradcheck(lambda r: function(ag.broadcast_to(r, (2, 3)) * ag.tensor(values)), [row])


def test_weights_may_require_grad():
    generator = np.random.default_rng(0)
    x, weights = generator.normal(size=(2, 4)), generator.uniform(0.5, 2.0, 4)
    for options in ({}, {"ddof": 0}, {"fweights": ag.tensor([1, 2, 0, 3])}):
        assert ag.gradcheck(lambda x, w, options=options: ag.cov(x, aweights=w, **options), [x, weights])
    assert ag.gradgradcheck(lambda x, w: ag.cov(x, aweights=w), [x[:, :3], weights[:3]])


def test_covariances_of_far_away_values_do_not_cancel():
    x = 1e4 + np.random.default_rng(1).normal(size=(2, 50)).astype(np.float32)
    assert np.allclose(ag.cov(ag.tensor(x)).numpy(), np.cov(x.astype(np.float64)), rtol=1e-4)


def test_correlations_stay_within_one():
    row = np.random.default_rng(2).normal(size=9).astype(np.float32)
    x = ag.tensor(np.stack([row, 3 * row, -row / 7]), requires_grad=True)
    found = ag.corrcoef(x)
    assert np.abs(found.detach().numpy()).max() <= 1 and np.allclose(np.abs(found.detach().numpy()), 1)
    found.sum().backward()
    assert np.allclose(x.grad.numpy(), 0, atol=1e-5)  # the correlation cannot become larger
    constant = ag.corrcoef(ag.tensor([[1.0, 1.0, 1.0], [1.0, 2.0, 4.0]])).numpy()
    assert np.isnan(constant[0]).all() and np.isnan(constant[:, 0]).all() and constant[1, 1] == 1


# --- distances --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("p", [1, 2, 2.5, math.inf])
def test_equal_vectors_have_distance_and_slope_zero(p):
    x = ag.tensor([[1.0, 2.0], [1.0, 2.0], [1.0, -1.0]], dtype=ag.float64, requires_grad=True)
    distances = ag.cdist(x, x, p=p)
    assert distances.tolist()[0][:2] == [0.0, 0.0] and np.allclose(np.diag(distances.detach().numpy()), 0)
    only_zeros = distances * ag.eye(3, dtype=ag.float64) + distances[:2, :2].sum()
    (first,) = ag.gradients(only_zeros.sum(), x, create_graph=True)
    assert first.tolist() == [[0.0, 0.0]] * 3
    (second,) = ag.gradients(first.sum(), x, allow_unused=True)
    assert second is None or second.tolist() == [[0.0, 0.0]] * 3


def test_near_vectors_do_not_cancel():
    x = ag.tensor([[1e4, 1e4], [1e4 + 0.125, 1e4]], requires_grad=True)
    distances = ag.cdist(x, x)
    assert distances.tolist() == [[0.0, 0.125], [0.125, 0.0]]
    distances[0, 1].backward()
    assert x.grad.tolist() == [[-1.0, 0.0], [1.0, 0.0]]


def test_the_number_of_differences_has_no_gradient():
    x = ag.tensor([[1.0, 2.0], [1.0, 0.0]], requires_grad=True)
    counts = ag.cdist(x, ag.tensor([[1.0, 2.0]]), p=0)
    assert counts.tolist() == [[0.0], [1.0]] and not counts.requires_grad


def test_many_distances_are_computed_in_blocks(monkeypatch):
    from autograd.ops import distances

    monkeypatch.setattr(distances, "_BLOCK", 20)
    generator = np.random.default_rng(3)
    a, b = generator.normal(size=(2, 5, 2)), generator.normal(size=(4, 2))
    expected = np.sqrt(((a[:, :, None] - b) ** 2).sum(-1))
    assert np.allclose(ag.cdist(ag.tensor(a), ag.tensor(b)).numpy(), expected, rtol=1e-14)
    assert ag.gradcheck(ag.cdist, [a, b])


def test_distances_as_pytorchs():
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    generator = np.random.default_rng(4)
    a, b = generator.normal(size=(2, 3, 4)), generator.normal(size=(5, 4))
    for p in (0.0, 0.7, 1.0, 2.0, 3.0, math.inf):
        mine = [ag.tensor(x, requires_grad=True) for x in (a, b)]
        theirs = [torch.tensor(x, requires_grad=True) for x in (a, b)]
        got, expected = ag.cdist(*mine, p=p), torch.cdist(*theirs, p=p)
        assert np.allclose(got.detach().numpy(), expected.detach().numpy(), rtol=1e-12)
        if p:
            (got * got).sum().backward()
            (expected * expected).sum().backward()
            assert all(np.allclose(m.grad.numpy(), t.grad.numpy(), rtol=1e-10) for m, t in zip(mine, theirs, strict=True))


# --- windows ----------------------------------------------------------------------------------------------------------


def test_windows_share_memory():
    x = ag.tensor(np.arange(6.0))
    apart, overlapping = x.unfold(0, 2, 2), ag.unfold(x, 0, 3)
    apart[1] = -1.0
    assert x.tolist() == [0, 1, -1, -1, 4, 5] and overlapping.tolist()[1] == [1, -1, -1]
    with pytest.raises(ValueError, match="read-only"):
        overlapping[0, 0] = 1.0
    w = ag.ones((2, 3), requires_grad=True)
    out = (w * x.unfold(0, 3, 3).astype(ag.float32)).sum() + (w.astype(ag.float64) * x.unfold(0, 3, 3)).sum()
    x += 1
    with pytest.raises(RuntimeError, match="changed by an in-place operation"):
        out.backward()


def test_windows_as_pytorchs():
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    a = np.random.default_rng(5).normal(size=(4, 9, 2))
    for axis, size, step in ((1, 4, 1), (1, 4, 3), (1, 2, 5), (-3, 4, 1), (0, 1, 2), (1, 9, 2), (1, 0, 2)):
        mine, theirs = ag.tensor(a, requires_grad=True), torch.tensor(a, requires_grad=True)
        got, expected = ag.unfold(mine, axis, size, step), theirs.unfold(axis, size, step)
        assert np.array_equal(got.detach().numpy(), expected.detach().numpy())
        (got * got).sum().backward()
        (expected * expected).sum().backward()
        assert np.allclose(mine.grad.numpy(), theirs.grad.numpy(), rtol=1e-14)


def test_an_element_gets_the_gradients_of_all_its_windows():
    x = ag.zeros(5, requires_grad=True)
    ag.unfold(x, 0, 3).sum().backward()
    assert x.grad.tolist() == [1, 2, 3, 2, 1]
