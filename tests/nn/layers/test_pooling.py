"""Pooling: second derivatives, NaN, what is refused. Values are in test_against_pytorch.py."""

import numpy as np
import pytest

import autograd as ag
import nn
import nn.functional as F


def drawn(*shape):
    return ag.tensor(np.random.default_rng(0).permutation(int(np.prod(shape))).reshape(shape) / 10.0, requires_grad=True)


@pytest.mark.parametrize(
    "function",
    [
        lambda x: F.max_pool2d(x, (2, 3), (1, 2), 1),
        lambda x: F.max_pool1d(x[:, 0], 2, dilation=2),
        lambda x: F.avg_pool2d(x, (2, 3), (1, 2), 1, count_include_pad=False),
        lambda x: F.avg_pool3d(x, 2, 1, divisor_override=3),
        lambda x: F.adaptive_avg_pool2d(x, (3, 2)),
        lambda x: F.adaptive_max_pool2d(x, (3, 4)),
        lambda x: F.lp_pool2d(x + 1, 3, 2),
    ],
)
def test_derivatives(function):
    x = drawn(2, 2, 4, 5)
    assert ag.gradcheck(function, (x,))
    assert ag.gradgradcheck(function, (x,))
    assert ag.gradgradcheck(lambda x: function(x**2), (x,))


def test_nan_propagates_and_indices_are_places():
    x = ag.tensor([[[1.0, 2.0, float("nan"), 0.0]]], requires_grad=True)
    values, places = F.max_pool1d(x, 2, return_indices=True)
    assert np.array_equal(values.detach().numpy(), [[[2, np.nan]]], equal_nan=True)
    assert places.dtype == ag.int64 and places.tolist() == [[[1, 2]]] and not places.requires_grad
    values.sum().backward()
    assert x.grad.tolist() == [[[0, 1, 1, 0]]]
    assert np.isnan(F.avg_pool1d(x.detach(), 2).numpy()).tolist() == [[[False, True]]]


def test_a_window_of_zeros_has_norm_gradient_zero():
    x = ag.zeros((1, 1, 4), requires_grad=True)
    F.lp_pool1d(x, 2, 2).sum().backward()
    assert x.grad.tolist() == [[[0, 0, 0, 0]]]


def test_empty_batches_and_views():
    assert F.max_pool2d(ag.ones((0, 3, 4, 4)), 2).shape == F.adaptive_avg_pool2d(ag.ones((0, 3, 4, 4)), 2).shape == (0, 3, 2, 2)
    x = ag.tensor(np.random.default_rng(0).normal(size=(4, 6, 3)))
    turned = x.permute_dims((2, 1, 0)) if hasattr(x, "permute_dims") else ag.permute_dims(x, (2, 1, 0))
    expected = F.avg_pool2d(ag.tensor(turned.numpy().copy()), 2)
    assert np.array_equal(F.avg_pool2d(turned, 2).numpy(), expected.numpy())


def test_what_is_refused():
    x = ag.ones((2, 3, 5, 5))
    with pytest.raises(ValueError, match=r"max_pool2d: needs an input \(N, C, height, width\) or \(C, height, width\), got shape"):
        F.max_pool2d(ag.ones((5, 5)), 2)
    with pytest.raises(ValueError, match=r"avg_pool1d: needs an input \(N, C, length\)"):
        F.avg_pool1d(x, 2)
    with pytest.raises(ValueError, match=r"max_pool2d: padding \(2, 2\) must be at most half"):
        F.max_pool2d(x, 2, padding=2)
    with pytest.raises(ValueError, match="a window reaches over 6 elements"):
        nn.MaxPool2d(6)(x)
    with pytest.raises(TypeError, match="avg_pool2d: needs floats, got shape .* int64"):
        F.avg_pool2d(ag.ones((1, 4, 4), dtype=ag.int64), 2)
    with pytest.raises(ValueError, match="MaxPool2d: kernel_size must be at least 1"):
        nn.MaxPool2d(0)
    with pytest.raises(TypeError, match="AvgPool2d: stride must be an integer"):
        nn.AvgPool2d(2, 1.5)
    with pytest.raises(ValueError, match="AvgPool2d: divisor_override must be at least 1"):
        nn.AvgPool2d(2, divisor_override=0)
    with pytest.raises(ValueError, match="AdaptiveAvgPool2d: output_size must be one number or 2"):
        nn.AdaptiveAvgPool2d((1, 2, 3))
    with pytest.raises(ValueError, match="output_size must be at least 1"):
        F.adaptive_max_pool1d(ag.ones((1, 3)), 0)
    with pytest.raises(ValueError, match="norm_type must be a number other than 0"):
        F.lp_pool1d(ag.ones((1, 3)), 0, 2)
