"""Clipping gradients, and parameters as one vector."""

import math

import numpy as np
import pytest

import autograd as ag
import nn
from nn.utils import clip_grad_norm_, clip_grad_value_, parameters_to_vector, vector_to_parameters


def make(dtypes=(ag.float32, ag.float32)):
    rng = np.random.default_rng(0)
    parameters = [nn.Parameter(ag.zeros(s, dtype=d)) for s, d in zip([(3, 2), (4,)], dtypes, strict=True)]
    for p in parameters:
        p.grad = ag.tensor(rng.normal(size=p.shape), dtype=p.dtype)
    return [*parameters, nn.Parameter(ag.zeros(2))]


@pytest.mark.parametrize("order", [2.0, 1.0, 3.0, math.inf])
@pytest.mark.parametrize("limit", [0.5, 100.0])
def test_clip_grad_norm(order, limit):
    parameters = make()
    held = [p.grad for p in parameters]
    before = np.concatenate([g.numpy().ravel() for g in held if g is not None])
    total = np.linalg.norm(before, order)
    assert np.isclose(clip_grad_norm_(iter(parameters), limit, order).item(), total, rtol=1e-5)
    after = np.concatenate([p.grad.numpy().ravel() for p in parameters if p.grad is not None])
    np.testing.assert_allclose(after, before * min(1.0, limit / (total + 1e-6)), rtol=1e-5)
    assert all(p.grad is g for p, g in zip(parameters, held, strict=True))  # in place


def test_clip_grad_norm_equals_torchs():
    torch = pytest.importorskip("torch")
    ours = make()
    theirs = [torch.nn.Parameter(torch.zeros(p.shape)) for p in ours]
    for p, q in zip(ours, theirs, strict=True):
        q.grad = None if p.grad is None else torch.tensor(p.grad.numpy().copy())
    assert np.isclose(clip_grad_norm_(ours, 0.7).item(), torch.nn.utils.clip_grad_norm_(theirs, 0.7).item(), rtol=1e-6)
    for p, q in zip(ours[:2], theirs, strict=False):
        np.testing.assert_allclose(p.grad.numpy(), q.grad.numpy(), rtol=1e-6)


def test_clip_grad_norm_of_mixed_types_nothing_and_infinity():
    mixed = make((ag.float32, ag.float64))
    total = np.linalg.norm(np.concatenate([p.grad.numpy().ravel() for p in mixed[:2]]))
    assert np.isclose(clip_grad_norm_(mixed, 0.1).item(), total, rtol=1e-5)
    assert [p.grad.dtype for p in mixed[:2]] == [ag.float32, ag.float64]
    assert clip_grad_norm_(make()[2], 1.0).item() == 0.0
    p = make()[0]
    p.grad = ag.full(p.shape, math.inf)
    with pytest.raises(RuntimeError, match="the norm of the gradients is inf; they were not changed"):
        clip_grad_norm_(p, 1.0, error_if_nonfinite=True)
    assert p.grad.numpy()[0, 0] == math.inf


def test_clip_grad_value():
    parameters = make()
    before = [p.grad.numpy().copy() for p in parameters[:2]]
    clip_grad_value_(parameters, 0.3)
    for p, g in zip(parameters[:2], before, strict=True):
        np.testing.assert_allclose(p.grad.numpy(), np.clip(g, -0.3, 0.3), rtol=1e-6)


def test_parameters_to_vector_and_back():
    model = nn.Linear(3, 2)
    vector = parameters_to_vector(model.parameters())
    assert vector.shape == (8,) and vector.requires_grad
    np.testing.assert_array_equal(vector.detach().numpy()[6:], model.bias.detach().numpy())
    vector.sum().backward()
    assert model.weight.grad.tolist() == [[1.0] * 3] * 2
    vector_to_parameters(ag.arange(8.0), model.parameters())
    assert model.weight.tolist() == [[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]] and model.bias.tolist() == [6.0, 7.0]
    with pytest.raises(ValueError, match=r"the parameters have 8 elements, the vector shape \(7,\)"):
        vector_to_parameters(ag.zeros(7), model.parameters())
