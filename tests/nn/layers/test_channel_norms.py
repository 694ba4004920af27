"""Batch, group, instance and RMS normalisation: derivatives, statistics, what is refused. Values: test_against_pytorch.py."""

import numpy as np
import pytest

import autograd as ag
import nn
import nn.functional as F


def drawn(*shape, seed=0):
    return ag.tensor(np.random.default_rng(seed).normal(size=shape), requires_grad=True)


@pytest.mark.parametrize(
    "function",
    [
        lambda x, w, b: F.batch_norm(x, None, None, w, b, training=True),
        lambda x, w, b: F.batch_norm(x, ag.tensor([0.1, 0.2]) + 0 * w.detach(), ag.tensor([0.5, 2.0]) + 0 * w.detach(), w, b),
        lambda x, w, b: F.batch_norm(x, None, None, None, b, training=True) * w[0],
        lambda x, w, b: F.group_norm(x, 1, w, b),
        lambda x, w, b: F.instance_norm(x, weight=w, bias=b),
        lambda x, w, b: F.rms_norm(x * b[0], (3,), ag.concat((w, w[:1]))),
    ],
)
def test_derivatives(function):
    operands = (drawn(3, 2, 3), drawn(2, seed=1), drawn(2, seed=2))
    assert ag.gradcheck(function, operands)
    assert ag.gradgradcheck(function, operands)


def test_a_large_mean_costs_few_digits():
    x = np.random.default_rng(0).normal(size=(64, 3, 8)).astype(np.float32)
    y = F.batch_norm(ag.tensor(x + 1000), None, None, training=True).numpy()
    exact = (x + np.float32(1000)).astype(np.float64)
    exact = (exact - exact.mean((0, 2), keepdims=True)) / np.sqrt(exact.var((0, 2), keepdims=True) + 1e-5)
    assert np.abs(y - exact).max() < 1e-4


def test_statistics_follow_the_batches():
    layer = nn.BatchNorm1d(2, momentum=0.25)
    x = ag.tensor([[1.0, 0.0], [3.0, 4.0]])
    layer(x)
    assert layer.running_mean.tolist() == [0.5, 0.5] and layer.running_var.tolist() == [0.75 + 0.5, 0.75 + 2.0]
    assert layer.num_batches_tracked.item() == 1 and layer.num_batches_tracked.dtype == ag.int64
    layer.eval()(x)
    assert layer.num_batches_tracked.item() == 1
    layer.reset_running_stats()
    assert layer.running_mean.tolist() == [0, 0] and layer.running_var.tolist() == [1, 1]
    assert layer.num_batches_tracked.item() == 0
    assert [p.requires_grad for p in (layer.running_mean, layer.running_var)] == [False, False]


def test_a_constant_channel_gives_the_bias():
    layer = nn.BatchNorm2d(2)
    with ag.no_grad():
        layer.bias[...] = ag.tensor([1.0, 2.0])
    assert layer(ag.full((2, 2, 3, 3), 7.0)).detach().numpy()[:, :, 0, 0].tolist() == [[1, 2], [1, 2]]


def test_what_is_refused_leaves_the_statistics():
    layer = nn.BatchNorm1d(3)
    for wrong, message in (
        (ag.ones((1, 3)), "training needs more than one value per channel"),
        (ag.ones((4, 2)), r"BatchNorm1d: needs an input \(N, 3\) or \(N, 3, L\), got shape \(4, 2\)"),
        (ag.ones((4, 3, 2, 2)), "BatchNorm1d: needs an input"),
        (ag.full((4, 3), float("nan"), dtype=ag.float64), "the input is float64 and running_mean float32"),
        (ag.ones((4, 3), dtype=ag.int64), "needs floats"),
    ):
        with pytest.raises((ValueError, TypeError), match=message):
            layer(wrong)
    assert layer.running_mean.tolist() == [0, 0, 0] and layer.num_batches_tracked.item() == 0
    with pytest.raises(ValueError, match="num_features must be an integer of at least 0"):
        nn.BatchNorm2d(-1)
    with pytest.raises(ValueError, match="without training it needs running_mean"):
        F.batch_norm(ag.ones((2, 3)), None, None)
    with pytest.raises(ValueError, match=r"weight must have shape \(3,\), one number for each channel"):
        F.batch_norm(ag.ones((2, 3)), None, None, ag.ones(2), training=True)
    with pytest.raises(ValueError, match="running_mean and running_var are given together"):
        F.batch_norm(ag.ones((2, 3)), ag.ones(3), None, training=True)
    with pytest.raises(ValueError, match="num_groups=4 must divide num_channels=6"):
        nn.GroupNorm(4, 6)
    with pytest.raises(ValueError, match=r"GroupNorm: needs an input \(N, 6\)"):
        nn.GroupNorm(3, 6)(ag.ones((2, 3)))
    with pytest.raises(ValueError, match="more than one element per channel and sample"):
        nn.InstanceNorm1d(3)(ag.ones((2, 3, 1)))
    with pytest.raises(ValueError, match=r"InstanceNorm2d: needs an input \(N, 4, H, W\)"):
        nn.InstanceNorm2d(4, affine=True)(ag.ones((2, 3, 4, 4)))
    with pytest.raises(ValueError, match="does not end in normalized_shape"):
        nn.RMSNorm(4)(ag.ones((2, 3)))
