"""Padding, resizing, rearranging: derivatives, inverses, what is refused. Values are in test_against_pytorch.py."""

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
        lambda x: F.pad(x, (1, -1, 2, 0)),
        lambda x: F.pad(x, (2, 1, 1, 1), "reflect"),
        lambda x: F.pad(x, (2, 1), "circular"),
        lambda x: F.interpolate(x, (5, 2)),
        lambda x: F.interpolate(x, scale_factor=1.5, mode="bilinear"),
        lambda x: F.interpolate(x, (2, 6), mode="bilinear", align_corners=True),
        lambda x: F.interpolate(x, (2, 2), mode="area"),
        lambda x: F.pixel_unshuffle(x[..., :2, :], 2),
        lambda x: F.unfold(x, 2, dilation=(1, 2), padding=1, stride=2),
        lambda x: F.fold(x.reshape((1, 8, 6)), (3, 4), 2, stride=1),
        lambda x: F.bilinear(x, x * 2, ag.ones((2, 4, 4), dtype=ag.float64)),
    ],
)
def test_derivatives(function):
    x = drawn(1, 4, 3, 4)
    assert ag.gradcheck(function, (x,))
    assert ag.gradgradcheck(lambda x: function(x) ** 2, (x,))


def test_inverses_and_adjoints():
    x = drawn(2, 8, 3, 4).detach()
    assert ag.array_equal(F.pixel_unshuffle(F.pixel_shuffle(x, 2), 2), x)
    assert ag.array_equal(F.channel_shuffle(F.channel_shuffle(x, 2), 4), x)
    columns = F.unfold(x, (2, 3), stride=2, padding=1)
    assert ag.allclose((columns * columns).sum(), (x * F.fold(columns, (3, 4), (2, 3), stride=2, padding=1)).sum())
    assert F.pad(x, (0, 0)).tolist() == x.tolist()


def test_layers_start_as_pytorchs_do():
    layer = nn.Bilinear(16, 3, 4)
    for values in (layer.weight.detach().numpy(), layer.bias.detach().numpy()):
        assert np.abs(values).max() <= 0.25
    assert np.abs(layer.weight.detach().numpy()).max() > 0.2


def test_what_is_refused():
    x = ag.ones((2, 3, 4, 5))
    with pytest.raises(ValueError, match="mode is 'constant' or 'reflect'"):
        F.pad(x, (1, 1), "mirror")
    with pytest.raises(ValueError, match="two integers for each of the last axes"):
        F.pad(x, (1, 1, 1))
    with pytest.raises(ValueError, match="takes away more than shape"):
        F.pad(x, (-3, -3))
    with pytest.raises(ValueError, match=r"\(5, 0\) in mode 'reflect' is more than an input"):
        F.pad(x, (5, 0), "reflect")
    with pytest.raises(ValueError, match="ReflectionPad2d: padding must be an integer or 4 of them"):
        nn.ReflectionPad2d((1, 2))
    with pytest.raises(ValueError, match="CircularPad1d: needs 3 axes"):
        nn.CircularPad1d(1)(x)
    with pytest.raises(ValueError, match="needs size or scale_factor, and not both"):
        F.interpolate(x, 3, 2)
    with pytest.raises(ValueError, match="mode 'linear' is for 3 axes"):
        F.interpolate(x, 3, mode="linear")
    with pytest.raises(ValueError, match="align_corners is for the linear modes"):
        F.interpolate(x, 3, align_corners=True)
    with pytest.raises(ValueError, match="leaves nothing of an input"):
        F.interpolate(x, scale_factor=0.1)
    with pytest.raises(ValueError, match="scale_factor must be a number above 0"):
        F.interpolate(x, scale_factor=-1.0)
    with pytest.raises(ValueError, match=r"pixel_shuffle: needs an input \(\.\.\., C \* 2 \* 2, H, W\)"):
        F.pixel_shuffle(x, 2)
    with pytest.raises(ValueError, match=r"pixel_unshuffle: needs an input \(\.\.\., C, H \* 2, W \* 2\)"):
        F.pixel_unshuffle(x, 2)
    with pytest.raises(ValueError, match="divisible by groups=2"):
        F.channel_shuffle(x, 2)
    with pytest.raises(ValueError, match=r"windows of \(5, 2\) with dilation \(1, 1\) do not fit images of \(4, 5\)"):
        F.unfold(x, (5, 2))
    with pytest.raises(ValueError, match=r"fold: needs an input \(N, C \* 4, 12\)"):
        F.fold(ag.ones((1, 8, 11)), (4, 5), 2)
    with pytest.raises(ValueError, match="bilinear: inputs"):
        F.bilinear(x, x, ag.ones((2, 5, 4)))
