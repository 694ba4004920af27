"""Encodings of positions, against their definitions in NumPy."""

import numpy as np
import pytest

import autograd as ag
import nn


def test_sinusoidal_encoding_is_the_papers():
    p, i = np.arange(7)[:, None], np.arange(3)
    table = np.empty((7, 6))
    table[:, 0::2], table[:, 1::2] = np.sin(p / 10000 ** (2 * i / 6)), np.cos(p / 10000 ** (2 * i / 6))
    x = np.random.default_rng(0).standard_normal((2, 5, 6))
    last = nn.SinusoidalEncoding(6, max_len=7, dtype=np.float64)
    first = nn.SinusoidalEncoding(6, max_len=7, batch_first=True, dtype=np.float64)
    np.testing.assert_allclose(first(ag.tensor(x)).numpy(), x + table[:5], rtol=1e-12)
    np.testing.assert_allclose(last(ag.tensor(x)).numpy(), x + table[:2, None], rtol=1e-12)
    np.testing.assert_allclose(last(ag.tensor(x[0])).numpy(), x[0] + table[:5], rtol=1e-12)
    assert not last.state_dict() and last.float().pe.dtype == np.float32
    assert (nn.SinusoidalEncoding(6, dropout=1.0)(ag.tensor(x)).numpy() == 0).all()


@pytest.mark.parametrize("interleaved", [False, True])
def test_rotation_turns_pairs_as_documented(interleaved):
    features, base = 6, 100.0
    x = np.random.default_rng(0).standard_normal((2, 3, 5, features))
    turn = nn.RotaryEmbedding(features, interleaved, base)
    pairs = [(2 * i, 2 * i + 1) if interleaved else (i, i + 3) for i in range(3)]
    for offset in (0, 4):
        expected = np.empty_like(x)
        for n, (a, b) in enumerate(pairs):
            turned = (x[..., a] + 1j * x[..., b]) * np.exp(1j * (offset + np.arange(5)) / base ** (2 * n / features))
            expected[..., a], expected[..., b] = turned.real, turned.imag
        np.testing.assert_allclose(turn(ag.tensor(x), offset=offset).numpy(), expected, rtol=1e-10, atol=1e-12)
        given = turn(ag.tensor(x), positions=ag.arange(offset, offset + 5))
        np.testing.assert_allclose(given.numpy(), expected, rtol=1e-10, atol=1e-12)
    assert not turn.state_dict() and repr(turn) == f"RotaryEmbedding(6, interleaved={interleaved}, base=100.0)"
    assert ag.gradcheck(turn, (ag.tensor(x, requires_grad=True),))


def test_products_of_rotated_vectors_depend_on_the_distance_alone():
    q, k = np.random.default_rng(1).standard_normal((2, 1, 8))
    turn = nn.RotaryEmbedding(8)

    def product(i, j):
        return (turn(ag.tensor(q), offset=i) * turn(ag.tensor(k), offset=j)).sum().item()

    np.testing.assert_allclose(product(3, 1), product(1003, 1001), rtol=1e-8)


def test_a_table_of_another_pass_takes_part_in_gradients():
    turn = nn.RotaryEmbedding(4)
    with ag.no_grad():
        turn(ag.ones((3, 4)))
    x = ag.ones((3, 4), requires_grad=True)
    turn(x).sum().backward()
    assert x.grad is not None and x.grad.shape == (3, 4)


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="number of features must be even and positive, got 5"):
        nn.RotaryEmbedding(5)
    with pytest.raises(ValueError, match="base must be above 1"):
        nn.SinusoidalEncoding(4, base=1.0)
    with pytest.raises(ValueError, match=r"needs \(\.\.\., L, 4\), got shape \(3, 6\)"):
        nn.RotaryEmbedding(4)(ag.zeros((3, 6)))
    with pytest.raises(ValueError, match=r"positions must have shape \(3,\)"):
        nn.RotaryEmbedding(4)(ag.zeros((3, 4)), positions=ag.arange(4))
    with pytest.raises(ValueError, match="with L up to 3 and E = 4"):
        nn.SinusoidalEncoding(4, max_len=3)(ag.zeros((4, 1, 4)))
