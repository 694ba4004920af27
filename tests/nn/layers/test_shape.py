"""Flatten and Unflatten."""

import pytest

import autograd as ag
import nn


def test_flatten():
    x = ag.randn(2, 3, 4, 5)
    assert nn.Flatten()(x).shape == (2, 60)
    assert nn.Flatten(0)(x).shape == (120,) and nn.Flatten(1, 2)(x).shape == (2, 12, 5)
    assert nn.Flatten()(x).tolist() == x.reshape((2, -1)).tolist()
    assert repr(nn.Flatten(1, 2)) == "Flatten(start_dim=1, end_dim=2)"
    with pytest.raises(IndexError, match="axis 1 is out of range"):
        nn.Flatten()(ag.ones(3))


def test_unflatten():
    x = ag.randn(2, 12)
    assert nn.Unflatten(1, (3, 4))(x).shape == (2, 3, 4) and nn.Unflatten(-1, (-1, 6))(x).shape == (2, 2, 6)
    assert nn.Flatten()(nn.Unflatten(1, (3, 4))(x)).tolist() == x.tolist()
    assert repr(nn.Unflatten(1, [3, 4])) == "Unflatten(axis=1, unflattened_size=(3, 4))"
    with pytest.raises(IndexError, match="axis 2 is out of range"):
        nn.Unflatten(2, (1, 1))(x)
