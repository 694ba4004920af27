"""LayerNorm."""

import numpy as np
import pytest

import autograd as ag
import nn
import nn.functional as F


def reference(x, axes, weight=1.0, bias=0.0, eps=1e-5):
    mean, var = x.mean(axes, keepdims=True), x.var(axes, keepdims=True)
    return (x - mean) / np.sqrt(var + eps) * weight + bias


@pytest.mark.parametrize(("shape", "normalized"), [((5, 7), 7), ((2, 3, 4), (4,)), ((2, 3, 4), (3, 4)), ((6,), 6)])
def test_layer_norm_against_numpy(shape, normalized):
    layer = nn.LayerNorm(normalized, dtype=ag.float64)
    axes = tuple(range(len(shape) - len(layer.normalized_shape), len(shape)))
    x = np.random.default_rng(0).normal(3, 2, shape)
    with ag.no_grad():
        nn.init.normal_(layer.weight)
        nn.init.normal_(layer.bias)
    weight, bias = layer.weight.detach().numpy(), layer.bias.detach().numpy()
    np.testing.assert_allclose(layer(ag.tensor(x)).detach().numpy(), reference(x, axes, weight, bias), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("shape", "normalized"), [((3, 5), (5,)), ((2, 3, 2), (3, 2))])
def test_layer_norm_gradients_to_second_order(shape, normalized):
    x, w, b = (ag.randn(s, dtype=ag.float64, requires_grad=True) for s in (shape, normalized, normalized))
    assert ag.gradcheck(lambda x, w, b: F.layer_norm(x, normalized, w, b), [x, w, b])
    assert ag.gradgradcheck(lambda x, w, b: F.layer_norm(x, normalized, w, b), [x, w, b])
    assert ag.gradcheck(lambda x: F.layer_norm(x, normalized), [x])


def test_layer_norm_of_constant_rows_is_the_bias():  # T36
    layer = nn.LayerNorm(3)
    with ag.no_grad():
        layer.bias.fill_(2.0)
    x = ag.full((2, 3), 7.0, requires_grad=True)
    y = layer(x)
    assert y.tolist() == [[2.0] * 3] * 2
    y.sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), 0, atol=1e-4)


@pytest.mark.parametrize(("shape", "normalized"), [((0, 3), 3), ((0, 2, 3), (2, 3)), ((2, 0, 3), 3)])
def test_layer_norm_of_nothing(shape, normalized):
    layer, x = nn.LayerNorm(normalized), ag.zeros(shape, requires_grad=True)
    y = layer(x)
    y.sum().backward()
    assert y.shape == x.grad.shape == shape and not layer.weight.grad.numpy().any()


def test_layer_norm_parameters_and_errors():
    assert list(nn.LayerNorm(3).state_dict()) == ["weight", "bias"]
    assert nn.LayerNorm(3).weight.tolist() == [1.0] * 3 and nn.LayerNorm(3).bias.tolist() == [0.0] * 3
    assert nn.LayerNorm(3, bias=False).bias is None and nn.LayerNorm(3, elementwise_affine=False).weight is None
    assert nn.LayerNorm(3, elementwise_affine=False)(ag.randn(2, 3)).shape == (2, 3)
    assert repr(nn.LayerNorm((2, 3))) == "LayerNorm((2, 3), eps=1e-05, elementwise_affine=True)"
    with pytest.raises(ValueError, match=r"input's shape \(2, 4\) does not end in normalized_shape \(3,\)"):
        nn.LayerNorm(3)(ag.randn(2, 4))
    with pytest.raises(ValueError, match=r"weight has shape \(2,\), expected normalized_shape \(3,\)"):
        F.layer_norm(ag.randn(2, 3), 3, ag.ones(2))
    with pytest.raises(TypeError, match="needs floats"):
        F.layer_norm(ag.ones((2, 3), dtype=ag.int64), 3)


def test_layer_norm_equals_torchs():
    torch = pytest.importorskip("torch")
    x = np.random.default_rng(1).normal(size=(4, 3, 6)).astype(np.float32)
    for shape in ((6,), (3, 6)):
        ours, theirs = nn.LayerNorm(shape), torch.nn.LayerNorm(shape)
        a, b = ag.tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
        (ours(a) ** 2 * a).sum().backward()
        (theirs(b) ** 2 * b).sum().backward()
        np.testing.assert_allclose(a.grad.numpy(), b.grad.numpy(), rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(ours.weight.grad.numpy(), theirs.weight.grad.numpy(), rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(ours.bias.grad.numpy(), theirs.bias.grad.numpy(), rtol=1e-4, atol=1e-4)
