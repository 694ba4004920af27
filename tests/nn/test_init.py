"""Initial values: their statistics by PyTorch's formulas, their seeds, their errors."""

import math

import numpy as np
import pytest

import autograd as ag
from kernels.random import Generator
from nn import Parameter, init

SHAPE = (120, 50, 3, 3)  # as of a convolution: 450 connections in, 1080 out
FAN_IN, FAN_OUT = 450, 1080
RELU, LEAKY, TANH = math.sqrt(2), math.sqrt(2 / 1.04), 5 / 3

# function, arguments, standard deviation, bound (None for normal numbers)
SPREAD = [
    ("uniform_", {}, 1 / math.sqrt(12), None),
    ("normal_", {"mean": 0.0, "std": 2.0}, 2.0, None),
    ("xavier_uniform_", {"gain": TANH}, TANH * math.sqrt(2 / (FAN_IN + FAN_OUT)), math.sqrt(3)),
    ("xavier_normal_", {"gain": TANH}, TANH * math.sqrt(2 / (FAN_IN + FAN_OUT)), None),
    ("kaiming_uniform_", {"nonlinearity": "relu"}, RELU / math.sqrt(FAN_IN), math.sqrt(3)),
    ("kaiming_uniform_", {"a": 0.2, "mode": "fan_out"}, LEAKY / math.sqrt(FAN_OUT), math.sqrt(3)),
    ("kaiming_normal_", {"nonlinearity": "relu"}, RELU / math.sqrt(FAN_IN), None),
    ("kaiming_normal_", {"mode": "fan_out", "nonlinearity": "linear"}, 1 / math.sqrt(FAN_OUT), None),
    ("trunc_normal_", {"std": 1.0}, 0.8796, None),  # scipy.stats.truncnorm(-2, 2).std()
]


@pytest.mark.parametrize(("name", "options", "std", "bound"), SPREAD)
def test_spread(name, options, std, bound):
    tensor = Parameter(ag.zeros(SHAPE))
    ag.manual_seed(0)
    assert getattr(init, name)(tensor, **options) is tensor
    values = tensor.detach().numpy()
    mean = 0.5 if name == "uniform_" else 0.0
    assert abs(values.mean() - mean) < 4 * std / math.sqrt(values.size)
    assert abs(values.std() / std - 1) < 0.01
    if bound is not None:
        assert 0.999 * bound * std < np.abs(values).max() <= bound * std * (1 + 1e-6)
    ag.manual_seed(0)
    again = getattr(init, name)(ag.zeros(SHAPE), **options).numpy()
    np.testing.assert_array_equal(again, values)
    assert (getattr(init, name)(ag.zeros(SHAPE), **options).numpy() != values).any()


@pytest.mark.parametrize(("name", "options", "std", "bound"), [entry for entry in SPREAD if entry[0] != "uniform_"])
def test_spread_equals_torchs(name, options, std, bound):
    torch = pytest.importorskip("torch")
    theirs = getattr(torch.nn.init, name)(torch.zeros(SHAPE), **options)
    assert abs(theirs.std().item() / std - 1) < 0.01


@pytest.mark.parametrize(("a", "b"), [(-2.0, 2.0), (0.0, 0.1), (3.0, 4.0), (-9.0, -8.0), (6.0, 1e6), (-1.0, 50.0)])
def test_trunc_normal_follows_the_truncated_distribution(a, b):
    values = init.trunc_normal_(ag.zeros(20_000, dtype=ag.float64), a=a, b=b, generator=1).numpy()
    assert values.min() >= a and values.max() <= b
    # the cumulative function at each number is uniform in [0, 1]: Kolmogorov and Smirnov
    def tail(x):
        return 0.5 * np.vectorize(math.erfc)(np.abs(x) / math.sqrt(2))

    def cumulative(x):
        if a >= 0:
            return (tail(a) - tail(x)) / (tail(a) - tail(b))
        if b <= 0:
            return (tail(x) - tail(a)) / (tail(b) - tail(a))
        cdf = lambda v: np.where(v < 0, tail(v), 1 - tail(v))  # noqa: E731
        return (cdf(x) - cdf(a)) / (cdf(b) - cdf(a))

    steps = np.arange(1, values.size + 1) / values.size
    assert np.abs(np.sort(cumulative(values)) - steps).max() < 1.95 / math.sqrt(values.size)  # one in a thousand


def test_constants():
    assert init.constant_(ag.zeros(2), 3).tolist() == [3.0, 3.0]
    assert init.ones_(ag.zeros(2)).tolist() == [1.0, 1.0] and init.zeros_(ag.ones(2)).tolist() == [0.0, 0.0]
    assert init.eye_(ag.full((2, 3), 7.0)).tolist() == [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]


@pytest.mark.parametrize("shape", [(5, 5), (3, 7), (7, 3), (4, 2, 3)])
def test_orthogonal(shape):
    matrix = init.orthogonal_(ag.zeros(shape, dtype=ag.float64), gain=2.0).numpy().reshape(shape[0], -1)
    product = matrix @ matrix.T if matrix.shape[0] <= matrix.shape[1] else matrix.T @ matrix
    np.testing.assert_allclose(product, 4 * np.eye(len(product)), atol=1e-12)


@pytest.mark.parametrize(
    ("nonlinearity", "param"),
    [("linear", None), ("conv2d", None), ("sigmoid", None), ("tanh", None), ("relu", None), ("leaky_relu", None),
     ("leaky_relu", 0.3), ("selu", None), ("conv_transpose1d", None)],
)  # fmt: skip
def test_calculate_gain_equals_torchs(nonlinearity, param):
    torch = pytest.importorskip("torch")
    assert init.calculate_gain(nonlinearity, param) == pytest.approx(torch.nn.init.calculate_gain(nonlinearity, param))


def test_a_generator_can_be_given():
    a = init.normal_(ag.zeros(5), generator=3).tolist()
    ag.manual_seed(0)
    first = ag.randn(1).tolist()
    ag.manual_seed(0)
    assert init.normal_(ag.zeros(5), generator=Generator(3)).tolist() == a
    assert ag.randn(1).tolist() == first  # the default generator was left alone


def test_initial_values_are_no_part_of_a_graph():
    p = Parameter(ag.zeros(3))
    init.uniform_(p)
    assert p.is_leaf and p.requires_grad


def test_errors():
    with pytest.raises(ValueError, match=r"kaiming_uniform_: needs a weight of two or more dimensions, got shape \(3,\)"):
        init.kaiming_uniform_(ag.zeros(3))
    with pytest.raises(ValueError, match=r"xavier_normal_: needs a weight"):
        init.xavier_normal_(ag.zeros(3))
    with pytest.raises(ValueError, match="mode is 'fan_in' or 'fan_out', got 'fan'"):
        init.kaiming_normal_(ag.zeros((2, 2)), mode="fan")
    with pytest.raises(ValueError, match="unknown nonlinearity 'softmax'; there are linear"):
        init.calculate_gain("softmax")
    with pytest.raises(ValueError, match="needs a matrix"):
        init.eye_(ag.zeros(3))
    with pytest.raises(ValueError, match="needs two or more dimensions"):
        init.orthogonal_(ag.zeros(3))
    with pytest.raises(ValueError, match=r"needs a < b and std > 0, got a=1.0, b=0.0"):
        init.trunc_normal_(ag.zeros(3), a=1.0, b=0.0)
    assert init.xavier_uniform_(ag.zeros((0, 3))).size == 0 and init.orthogonal_(ag.zeros((0, 3))).size == 0


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("shape", [(4, 3, 3), (4, 2, 3, 5), (2, 4, 2, 3, 3)])
def test_dirac_passes_channels_on(shape, groups):
    weight = init.dirac_(ag.ones(shape), groups).numpy()
    each = shape[0] // groups
    expected = np.zeros(shape)
    for out in range(shape[0]):
        if out % each < shape[1]:
            expected[(out, out % each, *(s // 2 for s in shape[2:]))] = 1
    np.testing.assert_array_equal(weight, expected)


def test_sparse_columns():
    weight = init.sparse_(ag.ones((20, 7)), 0.3, std=2.0, generator=0).numpy()
    assert ((weight == 0).sum(axis=0) == 6).all() and 1.0 < weight[weight != 0].std() < 3.0
    assert (init.sparse_(ag.ones((20, 7)), 0.3, std=2.0, generator=0).numpy() == weight).all()


@pytest.mark.parametrize(("call", "words"), [
    (lambda: init.dirac_(ag.ones((2, 2))), "3 to 5 dimensions"),
    (lambda: init.dirac_(ag.ones((3, 2, 3)), 2), "cannot be divided into 2 groups"),
    (lambda: init.sparse_(ag.ones(3), 0.5), "needs a matrix"),
    (lambda: init.sparse_(ag.ones((3, 3)), 1.5), "from 0 to 1"),
])  # fmt: skip
def test_dirac_and_sparse_refuse(call, words):
    with pytest.raises(ValueError, match=words):
        call()
