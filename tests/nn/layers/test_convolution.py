"""Convolution layers: against PyTorch's stored results (tests/nn/reference/convolution.py), and what is refused."""

import importlib.util
import math
from pathlib import Path

import numpy as np
import pytest
from cuda_support import needs_cuda

import autograd as ag
import nn
import nn.functional as F

_spec = importlib.util.spec_from_file_location("reference_convolution", Path(__file__).parents[1] / "reference" / "convolution.py")
reference = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(reference)
STORED = np.load(reference.STORED)
NUMBERS = range(len(reference.CASES))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("number", NUMBERS)
def test_values_gradients_text_and_keys_are_pytorchs(number, dtype):
    name, (arguments, options), shape = reference.CASES[number]
    layer = getattr(nn, name)(*arguments, **options, dtype=dtype)
    parameters = list(layer.parameters())
    assert repr(layer) == str(STORED[f"{number} text"])
    assert list(layer.state_dict()) == list(STORED[f"{number} keys"])
    values = reference.draw(number, *[p.shape for p in parameters])
    layer.load_state_dict(dict(zip(layer.state_dict(), [ag.tensor(v.astype(dtype)) for v in values], strict=True)))
    x = ag.tensor(reference.draw(number + 100, shape)[0].astype(dtype), requires_grad=True)
    y = layer(x)
    y.backward(ag.tensor(reference.draw(number + 200, y.shape)[0].astype(dtype)))
    tolerance = 1e-5 if dtype == np.float32 else 1e-10
    for key, found in (("y", y.detach()), ("x", x.grad), *[(str(n), p.grad) for n, p in enumerate(parameters)]):
        expected = STORED[f"{number} {key}"]
        assert found.shape == expected.shape and found.dtype == dtype
        np.testing.assert_allclose(found.numpy(), expected, rtol=tolerance, atol=tolerance * np.abs(expected).max())


def test_initial_values_are_uniform_within_one_over_the_root_of_the_inputs():
    ag.manual_seed(0)
    for layer in (nn.Conv2d(32, 48, 3, groups=2), nn.ConvTranspose2d(48, 32, 3, groups=2)):
        bound = 1 / math.sqrt(16 * 9)
        for values in (layer.weight.detach().numpy(), layer.bias.detach().numpy()):
            assert 0.9 * bound < np.abs(values).max() <= bound
        assert abs(layer.weight.detach().numpy().std() - bound / math.sqrt(3)) < 0.02 * bound
    ag.manual_seed(0)
    first = nn.Conv2d(32, 48, 3, groups=2)
    assert not ag.equal(first.weight, nn.Conv2d(32, 48, 3, groups=2).weight).all()


def test_output_size_chooses_among_the_sizes_of_a_stride():
    layer = nn.ConvTranspose2d(2, 3, 3, stride=3)
    x = ag.randn(1, 2, 4, 4)
    assert layer(x).shape == (1, 3, 12, 12)
    assert layer(x, output_size=(13, 14)).shape == layer(x, output_size=(1, 3, 13, 14)).shape == (1, 3, 13, 14)
    assert nn.Conv2d(3, 2, 3, stride=3)(layer(x, output_size=(13, 14))).shape == x.shape
    with pytest.raises(ValueError, match=r"gives sizes from \(12, 12\) to \(14, 14\), not \(15, 12\)"):
        layer(x, output_size=(15, 12))
    with pytest.raises(ValueError, match="output_size must have 2 or 4 numbers"):
        layer(x, output_size=(12, 12, 12))


def test_what_layers_refuse():
    with pytest.raises(ValueError, match="Conv2d: groups=2 does not divide in_channels=3"):
        nn.Conv2d(3, 4, 3, groups=2)
    with pytest.raises(ValueError, match="ConvTranspose2d: groups=3 does not divide out_channels=4"):
        nn.ConvTranspose2d(3, 4, 3, groups=3)
    with pytest.raises(ValueError, match=r"kernel_size must be an integer or 2 of them.*got \(3, 3, 3\)"):
        nn.Conv2d(3, 4, (3, 3, 3))
    with pytest.raises(ValueError, match="kernel_size must be at least 1, got 0"):
        nn.Conv2d(3, 4, 0)
    with pytest.raises(TypeError, match=r"stride must be an integer or 1 of them, got 1.5"):
        nn.Conv1d(3, 4, 3, stride=1.5)
    with pytest.raises(ValueError, match="padding is 'same', 'valid' or a number for each dimension, got 'full'"):
        nn.Conv2d(3, 4, 3, padding="full")
    with pytest.raises(ValueError, match=r"padding='same' keeps the sizes, which a stride of \(2, 2\) does not"):
        nn.Conv2d(3, 4, 3, padding="same", stride=2)
    with pytest.raises(ValueError, match=r"padding_mode is 'zeros' or 'reflect' or .* got 'mirror'"):
        nn.Conv2d(3, 4, 3, padding_mode="mirror")
    with pytest.raises(ValueError, match="padding_mode is 'zeros', got 'reflect'"):
        nn.ConvTranspose2d(3, 4, 3, padding_mode="reflect")
    with pytest.raises(TypeError, match="padding must be an integer for each dimension, got 'same'"):
        nn.ConvTranspose2d(3, 4, 3, padding="same")
    with pytest.raises(ValueError, match=r"padding \(\(3, 3\), \(3, 3\)\) in mode 'reflect' is more than an input of shape"):
        nn.Conv2d(1, 1, 3, padding=3, padding_mode="reflect")(ag.ones((1, 1, 3, 4)))


def test_what_functions_refuse():
    x, weight = ag.ones((2, 3, 5, 5)), ag.ones((4, 3, 3, 3))
    for given in ((ag.ones((3, 5)), weight), (x, ag.ones((4, 3, 3))), (ag.ones((1, 2, 3, 5, 5)), weight)):
        with pytest.raises(ValueError, match=r"conv2d: needs an input \(N, C, height, width\)"):
            F.conv2d(*given)
    with pytest.raises(ValueError, match=r"conv2d: a weight of shape .* takes 3 input channels, the input .* has 4"):
        F.conv2d(ag.ones((2, 4, 5, 5)), weight)
    with pytest.raises(ValueError, match="conv2d: groups=3 does not divide the weight's 4 output channels"):
        F.conv2d(x, weight, groups=3)
    with pytest.raises(ValueError, match=r"conv2d: the weight reaches over \(7, 7\) elements"):
        F.conv2d(x, weight, dilation=3)
    with pytest.raises(ValueError, match=r"conv2d: the bias must have shape \(4,\), one number per output channel, got \(3,\)"):
        F.conv2d(x, weight, ag.ones(3))
    with pytest.raises(TypeError, match="conv2d: needs floats, the input is int64"):
        F.conv2d(ag.ones((2, 3, 5, 5), dtype=ag.int64), weight)
    with pytest.raises(TypeError, match="conv2d: the input is float32 and the weight float64"):
        F.conv2d(x, weight.double() if hasattr(weight, "double") else weight.astype(ag.float64))
    with pytest.raises(TypeError, match="needs floats, the input is complex64"):
        F.conv2d(x.astype(ag.complex64), weight)
    with pytest.raises(ValueError, match=r"conv_transpose2d: an input \(N, C, sizes\) takes a weight \(C, outputs / groups, taps\)"):
        F.conv_transpose2d(x, weight)
    with pytest.raises(ValueError, match="output_padding must be smaller than stride or dilation"):
        F.conv_transpose2d(ag.ones((2, 4, 5, 5)), weight, stride=2, output_padding=2)
    with pytest.raises(ValueError, match=r"gives a result of sizes \(-1,\)"):
        F.conv_transpose1d(ag.ones((1, 2, 1)), ag.ones((2, 3, 2)), padding=2, stride=2, output_padding=1)
    with pytest.raises(ValueError, match="groups=3 does not divide"):
        F.conv_transpose2d(ag.ones((2, 4, 5, 5)), weight, groups=3)


@needs_cuda
@pytest.mark.parametrize("number", [4, 11])
def test_on_the_gpu(number):
    name, (arguments, options), shape = reference.CASES[number]
    layer = getattr(nn, name)(*arguments, **options)
    values = reference.draw(number, *[p.shape for p in layer.parameters()])
    layer.load_state_dict(dict(zip(layer.state_dict(), [ag.tensor(v.astype(np.float32)) for v in values], strict=True)))
    layer = layer.to("cuda")
    x = ag.tensor(reference.draw(number + 100, shape)[0].astype(np.float32), device="cuda", requires_grad=True)
    y = layer(x)
    y.backward(ag.tensor(reference.draw(number + 200, y.shape)[0].astype(np.float32), device="cuda"))
    parameters = [(str(n), p.grad) for n, p in enumerate(layer.parameters())]
    for key, found in (("y", y.detach()), ("x", x.grad), *parameters):
        expected = STORED[f"{number} {key}"]
        np.testing.assert_allclose(found.numpy(), expected, rtol=1e-5, atol=1e-5 * np.abs(expected).max())


def test_a_small_network_learns():
    """Which of two stripes an image shows: what no pixel alone tells."""
    ag.manual_seed(0)
    generator = np.random.default_rng(0)
    images = generator.normal(0, 0.3, (64, 1, 8, 8)).astype(np.float32)
    labels = generator.integers(0, 2, 64)
    for image, label, place in zip(images, labels, generator.integers(0, 8, 64), strict=True):
        image[(0, place) if label else (0, slice(None), place)] += 1
    model = nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 8, 3, stride=2), nn.ReLU(), nn.Flatten(), nn.Linear(72, 2))
    optimizer = nn.optim.Adam(model.parameters(), lr=0.01)
    x, y = ag.tensor(images), ag.tensor(labels)
    for _ in range(40):
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.05
