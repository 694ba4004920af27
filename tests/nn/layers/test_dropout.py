"""Dropout (T35)."""

import numpy as np
import pytest

import autograd as ag
import nn


def test_dropout_zeroes_and_scales():
    ag.manual_seed(0)
    x = ag.ones((1000, 100), requires_grad=True)
    y = nn.Dropout(0.2)(x)
    values = y.detach().numpy()
    np.testing.assert_allclose(np.unique(values), [0.0, 1.25], rtol=1e-6)
    assert abs((values == 0).mean() - 0.2) < 0.005 and abs(values.mean() - 1) < 0.01
    y.sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), values)  # the same mask backward


def test_dropout_by_nothing_and_by_everything():
    x = ag.tensor([1.0, np.inf, -2.0], requires_grad=True)
    assert nn.Dropout(0.0)(x).tolist() == [1.0, np.inf, -2.0]
    finite = ag.tensor([1.0, -2.0], requires_grad=True)
    y = nn.Dropout(1.0)(finite)
    assert np.abs(y.detach().numpy()).tolist() == [0.0, 0.0]  # and no 0 / 0
    y.sum().backward()
    assert finite.grad.tolist() == [0.0, 0.0]


def test_dropout_does_nothing_in_evaluation():
    x = ag.randn(5)
    assert nn.Dropout(0.9).eval()(x) is x
    assert nn.Dropout(1.0).eval()(x) is x


def test_dropout_repeats_with_the_seed():
    layer, x = nn.Dropout(0.5), ag.ones(100)
    ag.manual_seed(3)
    first, second = layer(x).tolist(), layer(x).tolist()
    ag.manual_seed(3)
    assert layer(x).tolist() == first and first != second


def test_checkpoint_recomputes_the_same_mask():
    layer, x = nn.Dropout(0.5), ag.ones(1000, requires_grad=True)
    y = ag.checkpoint(layer, x)
    y.sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), y.detach().numpy())


def test_dropout_arguments():
    assert repr(nn.Dropout(0.3)) == "Dropout(p=0.3)"
    for p in (-0.1, 1.1, float("nan")):
        with pytest.raises(ValueError, match="the probability must lie between 0 and 1"):
            nn.Dropout(p)
