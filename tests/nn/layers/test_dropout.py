"""Dropout (T35)."""

import numpy as np
import pytest

import autograd as ag
import nn
import nn.functional as F


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
    assert repr(nn.Dropout(0.3)) == "Dropout(p=0.3, inplace=False)"
    for p in (-0.1, 1.1, float("nan")):
        with pytest.raises(ValueError, match="the probability must lie between 0 and 1"):
            nn.Dropout(p)


@pytest.mark.parametrize(
    ("function", "shape", "leading"),
    [
        (F.dropout1d, (40, 50, 3), 2),
        (F.dropout1d, (2000, 3), 1),
        (F.dropout2d, (40, 50, 2, 2), 2),
        (F.dropout3d, (40, 50, 1, 2, 2), 2),
        (F.dropout3d, (2000, 1, 2, 2), 1),
    ],
)
def test_whole_channels_are_dropped(function, shape, leading):
    ag.manual_seed(0)
    x = ag.ones(shape, requires_grad=True)
    y = function(x, 0.25)
    y.sum().backward()
    rows = y.detach().numpy().reshape(2000, -1)
    assert (rows == rows[:, :1]).all() and set(np.unique(rows)) == {0.0, np.float32(1 / 0.75)}
    assert abs((rows[:, 0] == 0).mean() - 0.25) < 0.04
    assert np.array_equal(x.grad.numpy(), y.detach().numpy())
    assert function(x, 0.25, training=False) is x


def test_alpha_dropout_keeps_mean_and_variance():
    ag.manual_seed(0)
    x = ag.randn(200_000)
    for function, given in ((F.alpha_dropout, x), (F.feature_alpha_dropout, x.reshape((2000, 100)))):
        y = function(given, 0.3, training=True).numpy()
        assert abs(y.mean()) < 0.02 and abs(y.std() - 1) < 0.02
        assert function(given, 0.3) is given
    scale = 1 / np.sqrt(0.7 * (1 + 0.3 * 1.7580993408473766**2))
    lowest, kept = np.unique(F.alpha_dropout(ag.ones(1000), 0.3, True).numpy())
    assert np.isclose(lowest, scale * 1.7580993408473766 * (0.3 - 1)) and np.isclose(kept, scale * (1 + 1.7580993408473766 * 0.3))
    assert F.alpha_dropout(x, 1.0, True).abs().max().item() == 0
    rows = F.feature_alpha_dropout(ag.ones((20, 30, 4)), 0.5, True).numpy()
    assert (rows == rows[..., :1]).all() and len(np.unique(rows)) == 2


def test_what_channel_dropout_refuses():
    with pytest.raises(ValueError, match=r"dropout2d: needs an input \(N, C, H, W\), got shape \(2, 3\)"):
        F.dropout2d(ag.ones((2, 3)))
    with pytest.raises(ValueError, match="Dropout2d: the probability must lie between 0 and 1"):
        nn.Dropout2d(1.5)
    with pytest.raises(ValueError, match=r"feature_alpha_dropout: needs an input \(N, C, ...\)"):
        F.feature_alpha_dropout(ag.ones(3), training=True)
    with pytest.raises(TypeError, match="alpha_dropout: needs floats"):
        nn.AlphaDropout()(ag.ones(3, dtype=ag.int64))
