"""Linear and Identity."""

import math

import numpy as np
import pytest

import autograd as ag
import nn


@pytest.mark.parametrize("shape", [(4,), (5, 4), (2, 3, 4), (0, 4)])
@pytest.mark.parametrize("bias", [True, False])
def test_linear_is_x_times_weight_transposed_plus_bias(shape, bias):
    layer = nn.Linear(4, 3, bias=bias)
    x = ag.randn(shape)
    expected = x.numpy() @ layer.weight.detach().numpy().T + (layer.bias.detach().numpy() if bias else 0)
    np.testing.assert_allclose(layer(x).detach().numpy(), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("bias", [True, False])
def test_linear_gradients(bias):
    layer = nn.Linear(3, 2, bias=bias).double()
    x = ag.randn(4, 3, dtype=ag.float64, requires_grad=True)
    assert ag.gradcheck(nn.functional.linear, [x, *layer.parameters()])


def test_linear_initial_values_are_uniform_within_one_over_the_root_of_the_inputs():
    ag.manual_seed(0)
    layer = nn.Linear(400, 300)
    for values in (layer.weight.detach().numpy(), layer.bias.detach().numpy()):
        bound = 1 / math.sqrt(400)
        assert np.abs(values).max() <= bound and np.abs(values).max() > 0.98 * bound
        assert abs(values.mean()) < 4 * bound / math.sqrt(3 * values.size)
    assert abs(layer.weight.detach().numpy().std() - bound / math.sqrt(3)) < 0.01 * bound
    ag.manual_seed(0)
    assert ag.equal(nn.Linear(400, 300).weight, layer.weight).all()
    layer.reset_parameters()
    assert not ag.equal(nn.Linear(400, 300).weight, layer.weight).all()


def test_linear_layout_and_errors():
    layer = nn.Linear(4, 3, dtype=ag.float64)
    assert layer.weight.shape == (3, 4) and layer.bias.shape == (3,) and layer.weight.dtype == ag.float64
    assert nn.Linear(4, 3, bias=False).bias is None
    assert nn.Linear(0, 3).bias.tolist() == [0.0] * 3 and nn.Linear(3, 0).weight.shape == (0, 3)
    with pytest.raises(ValueError, match=r"input of shape \(2, 5\) does not fit the weight of shape \(3, 4\)"):
        layer(ag.ones((2, 5), dtype=ag.float64))
    with pytest.raises(TypeError, match="different dtypes"):
        layer(ag.ones((2, 4)))
    with pytest.raises(ValueError, match="in_features must not be negative, got -1"):
        nn.Linear(-1, 3)
    with pytest.raises(TypeError, match=r"out_features must be an integer, got 2.5"):
        nn.Linear(1, 2.5)


def test_identity():
    x = ag.ones(2)
    assert nn.Identity(54, unused=True)(x) is x and repr(nn.Identity(54)) == "Identity()"
