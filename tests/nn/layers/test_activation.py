"""Activations as modules and functions: against NumPy, and against PyTorch where it is installed."""

import math

import numpy as np
import pytest

import autograd as ag
import nn
import nn.functional as F

X = np.array([-30.0, -6.5, -3.0, -1.0, -0.6, -0.3, 0.0, 0.2, 0.5, 0.9, 1.5, 3.0, 5.9, 6.0, 8.0, 25.0])


def sigmoid(x):
    return np.where(x < 0, np.exp(np.minimum(x, 0)) / (1 + np.exp(np.minimum(x, 0))), 1 / (1 + np.exp(-np.maximum(x, 0))))


def erf(x):
    return np.vectorize(math.erf)(x)


SQRT_2_PI = math.sqrt(2 / math.pi)
SELU_SCALE, SELU_ALPHA = 1.0507009873554805, 1.6732632423543772

# name, arguments, what it says of itself, the same in NumPy
TABLE = [
    ("ReLU", (), "", lambda x: np.maximum(x, 0)),
    ("ReLU6", (), "", lambda x: np.clip(x, 0, 6)),
    ("LeakyReLU", (0.2,), "negative_slope=0.2", lambda x: np.where(x > 0, x, 0.2 * x)),
    ("ELU", (1.5,), "alpha=1.5", lambda x: np.where(x > 0, x, 1.5 * np.expm1(np.minimum(x, 0)))),
    ("CELU", (1.5,), "alpha=1.5", lambda x: np.where(x > 0, x, 1.5 * np.expm1(np.minimum(x, 0) / 1.5))),
    ("SELU", (), "", lambda x: SELU_SCALE * np.where(x > 0, x, SELU_ALPHA * np.expm1(np.minimum(x, 0)))),
    ("GELU", (), "approximate='none'", lambda x: x * (1 + erf(x / np.sqrt(2))) / 2),
    ("GELU", ("tanh",), "approximate='tanh'", lambda x: x / 2 * (1 + np.tanh(SQRT_2_PI * (x + 0.044715 * x**3)))),
    ("SiLU", (), "", lambda x: x * sigmoid(x)),
    ("Mish", (), "", lambda x: x * np.tanh(np.logaddexp(0, x))),
    ("Softplus", (2.0, 10.0), "beta=2.0, threshold=10.0", lambda x: np.where(2 * x > 10, x, np.logaddexp(0, 2 * x) / 2)),
    ("LogSigmoid", (), "", lambda x: -np.logaddexp(0, -x)),
    ("Hardtanh", (-0.5, 2.0), "min_val=-0.5, max_val=2.0", lambda x: np.clip(x, -0.5, 2.0)),
    ("Hardswish", (), "", lambda x: x * np.clip(x + 3, 0, 6) / 6),
    ("Hardsigmoid", (), "", lambda x: np.clip(x + 3, 0, 6) / 6),
    ("Softsign", (), "", lambda x: x / (1 + np.abs(x))),
    ("Tanhshrink", (), "", lambda x: x - np.tanh(x)),
    ("Hardshrink", (0.7,), "0.7", lambda x: np.where(np.abs(x) > 0.7, x, 0)),
    ("Softshrink", (0.7,), "0.7", lambda x: np.sign(x) * np.maximum(np.abs(x) - 0.7, 0)),
    ("Sigmoid", (), "", sigmoid),
    ("Tanh", (), "", np.tanh),
    ("Threshold", (0.5, 2.0), "threshold=0.5, value=2.0", lambda x: np.where(x > 0.5, x, 2.0)),
    ("PReLU", (), "num_parameters=1", lambda x: np.where(x > 0, x, 0.25 * x)),
]
SPECIAL = ("Softmax", "LogSoftmax", "Softmin", "Softmax2d", "GLU", "RReLU")  # not one number after the other, or drawn
IDS = [f"{name}{arguments}" for name, arguments, *_ in TABLE]


@pytest.mark.parametrize(("name", "arguments", "text", "function"), TABLE, ids=IDS)
def test_activation_against_numpy(name, arguments, text, function):
    module = getattr(nn, name)(*arguments)
    assert repr(module) == f"{name}({text})"
    np.testing.assert_allclose(module.double()(ag.tensor(X)).detach().numpy(), function(X), rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize(("name", "arguments"), [(name, arguments) for name, arguments, *_ in TABLE], ids=IDS)
def test_activation_and_its_gradient_equal_torchs(name, arguments):
    torch = pytest.importorskip("torch")
    ours, theirs = getattr(nn, name)(*arguments), getattr(torch.nn, name)(*arguments)
    x = X.astype(np.float32)
    a, b = ag.tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
    y, z = ours(a), theirs(b)
    np.testing.assert_allclose(y.detach().numpy(), z.detach().numpy(), rtol=2e-6, atol=1e-6)
    y.sum().backward()
    z.sum().backward()
    np.testing.assert_allclose(a.grad.numpy(), b.grad.numpy(), rtol=5e-6, atol=2e-6)


@pytest.mark.parametrize("name", [n for n in dir(nn) if isinstance(getattr(nn, n), type)])
def test_every_activation_is_in_the_table(name):
    if getattr(nn, name).__module__ == "nn.layers.activation" and name not in SPECIAL:
        assert any(entry[0] == name for entry in TABLE)


def test_inplace_is_accepted_and_leaves_the_input_alone():
    x = ag.tensor([-1.0, 1.0])
    assert nn.ReLU(inplace=True)(x).tolist() == [0.0, 1.0] and x.tolist() == [-1.0, 1.0]
    assert nn.LeakyReLU(0.5, inplace=True)(x).tolist() == [-0.5, 1.0]


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_softmax_family(axis):
    x = np.random.default_rng(0).normal(size=(3, 4))
    e = np.exp(x - x.max(axis, keepdims=True))
    expected = e / e.sum(axis, keepdims=True)
    np.testing.assert_allclose(nn.Softmax(axis)(ag.tensor(x)).numpy(), expected, rtol=1e-12)
    np.testing.assert_allclose(nn.LogSoftmax(axis)(ag.tensor(x)).numpy(), np.log(expected), rtol=1e-12)
    np.testing.assert_allclose(nn.Softmin(axis)(ag.tensor(-x)).numpy(), expected, rtol=1e-12)
    assert repr(nn.Softmax(axis)) == f"Softmax(axis={axis})"
    t = ag.tensor(x, requires_grad=True)
    for function in (nn.Softmax(axis), nn.LogSoftmax(axis), nn.Softmin(axis)):
        assert ag.gradcheck(function, [t]) and ag.gradgradcheck(function, [t])


def test_prelu_per_channel_learns_its_slopes():
    layer = nn.PReLU(3, init=0.5).double()
    x = ag.randn(2, 3, 4, dtype=ag.float64, requires_grad=True)
    expected = np.where(x.detach().numpy() > 0, x.detach().numpy(), 0.5 * x.detach().numpy())
    np.testing.assert_allclose(layer(x).detach().numpy(), expected)
    assert ag.gradcheck(F.prelu, [x, layer.weight])
    with pytest.raises(ValueError, match=r"one per channel \(axis 1\) of the input \(2, 4\), got \(3,\)"):
        layer(ag.ones((2, 4), dtype=ag.float64))


def test_numbers_may_be_integers_whatever_the_size():
    for size in (10, 3_000_000):  # the larger one runs on several threads
        x = ag.full((size,), -1.0)
        for y in (F.leaky_relu(x, 2), x * 2, F.leaky_relu(x, np.float32(2)), F.leaky_relu(x, 2.0)):
            assert np.unique(y.numpy()).tolist() == [-2.0]


def test_normalize():
    x = ag.tensor([[3.0, 4.0], [0.0, 0.0]])
    np.testing.assert_allclose(F.normalize(x).numpy(), [[0.6, 0.8], [0.0, 0.0]], rtol=1e-6)


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_glu(axis):
    x = np.random.default_rng(0).normal(size=(4, 6))
    first, second = np.split(x, 2, axis)
    np.testing.assert_allclose(nn.GLU(axis)(ag.tensor(x)).numpy(), first * sigmoid(second), rtol=1e-12)
    t = ag.tensor(x, requires_grad=True)
    assert ag.gradcheck(nn.GLU(axis), t) and ag.gradgradcheck(nn.GLU(axis), t) and repr(nn.GLU(axis)) == f"GLU(axis={axis})"


def test_rrelu():
    layer = nn.RReLU(0.2, 0.4)
    x = ag.full((1000,), -1.0, requires_grad=True)
    slopes = -layer(x)
    assert slopes.min().item() >= 0.2 and slopes.max().item() <= 0.4 and slopes.std().item() > 0.04
    slopes.sum().backward()
    np.testing.assert_allclose(-x.grad.numpy(), slopes.detach().numpy(), rtol=1e-6)
    assert repr(layer) == "RReLU(lower=0.2, upper=0.4)"
    np.testing.assert_allclose(layer.eval()(ag.tensor([-1.0, 2.0])).numpy(), [-0.3, 2.0], rtol=1e-6)


def test_softmax2d():
    x = ag.randn(2, 3, 4, 5)
    np.testing.assert_allclose(nn.Softmax2d()(x).numpy(), ag.softmax(x, 1).numpy())
    with pytest.raises(ValueError, match="needs images"):
        nn.Softmax2d()(ag.ones((2, 3)))


def test_errors():
    with pytest.raises(ValueError, match="must have an even size"):
        F.glu(ag.ones((2, 3)))
    with pytest.raises(ValueError, match="needs 0 <= lower <= upper"):
        nn.RReLU(0.5, 0.2)
    with pytest.raises(ValueError, match="approximate is 'none' or 'tanh', got 'erf'"):
        nn.GELU("erf")(ag.ones(1))
    with pytest.raises(ValueError, match="min_val must be below max_val"):
        nn.Hardtanh(1.0, 1.0)
    with pytest.raises(ValueError, match="lambd must not be negative"):
        nn.Softshrink(-1.0)(ag.ones(1))
    with pytest.raises(IndexError, match="axis 2 is out of range"):
        nn.Softmax(2)(ag.ones((2, 2)))
