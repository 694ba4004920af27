"""softmax, cross-entropy, layer norm, dropout: the points at which they go wrong."""

from __future__ import annotations

import math

import numpy as np
import pytest

import autograd as ag
from autograd.ops.nn_ops import cross_entropy

INF = math.inf


@pytest.mark.parametrize("dtype", [ag.float32, ag.float64], ids=lambda d: d.name)
def test_t30_softmax_of_large_logits(dtype):
    x = ag.tensor([[1e4, 0.0, -1e4], [1e4, 1e4, 0.0]], dtype=dtype, requires_grad=True)
    out = ag.softmax(x)
    assert out.tolist() == [[1.0, 0.0, 0.0], [0.5, 0.5, 0.0]]
    out.sum().backward()
    assert x.grad.tolist() == [[0.0] * 3] * 2
    log = ag.log_softmax(x)
    assert np.allclose(log.detach().numpy(), [[0, -1e4, -2e4], [-math.log(2), -math.log(2), -1e4 - math.log(2)]], rtol=1e-6)


def test_t30_masked_rows():
    x = ag.tensor([[-INF, -INF], [-INF, 0.0]], dtype=ag.float64, requires_grad=True)
    out = ag.softmax(x)
    assert out.tolist() == [[0.0, 0.0], [0.0, 1.0]]
    (first,) = ag.gradients(out, x, ag.tensor([[1.0, 2.0], [3.0, 4.0]], dtype=ag.float64), create_graph=True)
    assert first.tolist() == [[0.0, 0.0], [0.0, 0.0]]
    (second,) = ag.gradients(first.sum(), x)
    assert np.isfinite(second.numpy()).all()


def test_t30_cross_entropy_of_large_logits():
    x = ag.tensor([[1e4, -1e4], [1e4, -1e4]], requires_grad=True)
    losses = cross_entropy(x, ag.tensor([0, 1]), reduction="none")
    assert losses.tolist() == [0.0, 2e4]
    losses.sum().backward()
    assert x.grad.tolist() == [[0.0, 0.0], [1.0, -1.0]]


def test_t30_the_last_class_and_ignored_rows():
    x = ag.tensor(np.zeros((3, 4)), requires_grad=True)
    loss = cross_entropy(x, ag.tensor([3, -100, 0]))
    assert loss.item() == pytest.approx(math.log(4))
    loss.backward()
    assert np.allclose(x.grad.numpy(), [[0.125, 0.125, 0.125, -0.375], [0] * 4, [-0.375, 0.125, 0.125, 0.125]])
    assert cross_entropy(x, ag.tensor([3, 7, 0]), ignore_index=7).item() == pytest.approx(math.log(4))
    everything = cross_entropy(x, ag.tensor([-100] * 3))
    assert math.isnan(everything.item())
    assert cross_entropy(x, ag.tensor([-100] * 3), reduction="sum").item() == 0.0


@pytest.mark.parametrize("options", [
    {}, {"label_smoothing": 0.3}, {"weight": [0.5, 2.0, 1.0, 3.0]}, {"weight": [0.5, 2.0, 1.0, 3.0], "label_smoothing": 0.2},
], ids=str)  # fmt: skip
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_t30_cross_entropy_equals_pytorch(options, reduction):
    torch = pytest.importorskip("torch")
    generator = np.random.default_rng(0)
    logits, targets = generator.normal(size=(6, 4)), np.array([0, 3, -100, 1, 2, 3])
    x = ag.tensor(logits, requires_grad=True)
    mine_options = {k: ag.tensor(np.array(v)) if k == "weight" else v for k, v in options.items()}
    mine = cross_entropy(x, ag.tensor(targets), reduction=reduction, **mine_options)
    y = torch.tensor(logits, requires_grad=True)
    their_options = {k: torch.tensor(v, dtype=torch.float64) if k == "weight" else v for k, v in options.items()}
    theirs = torch.nn.functional.cross_entropy(y, torch.tensor(targets), reduction=reduction, **their_options)
    assert np.allclose(mine.detach().numpy(), theirs.detach().numpy(), rtol=1e-12)
    upstream = generator.normal(size=mine.shape)
    mine.backward(ag.tensor(upstream))
    theirs.backward(torch.tensor(upstream))
    assert np.allclose(x.grad.numpy(), y.grad.numpy(), rtol=1e-11, atol=1e-14)
    assert ag.gradgradcheck(lambda t: cross_entropy(t, ag.tensor(targets), reduction=reduction, **mine_options), x)


def test_cross_entropy_checks_its_targets():
    x = ag.zeros(2, 3)
    with pytest.raises(TypeError, match="cross_entropy: targets must be integers .*float32"):
        cross_entropy(x, ag.zeros(2))
    for bad in (3, -1, 2**40):
        with pytest.raises((ValueError, IndexError), match=rf"cross_entropy: .*{bad}"):
            cross_entropy(x, ag.tensor([0, bad]))


def test_layer_norm_of_constant_rows():
    x = ag.tensor(np.full((2, 4), 3.0), requires_grad=True)
    out = ag.layer_norm(x)
    assert out.tolist() == [[0.0] * 4] * 2
    out.backward(ag.tensor(np.random.default_rng(0).normal(size=(2, 4))))
    assert np.isfinite(x.grad.numpy()).all()


def test_layer_norm_needs():
    generator = np.random.default_rng(0)
    x, w, b = (ag.tensor(generator.normal(size=s), requires_grad=True) for s in ((5, 4), (4,), (4,)))
    seed = ag.tensor(generator.normal(size=(5, 4)))
    all_three = ag.gradients(ag.layer_norm(x, w, b), [x, w, b], seed)
    for k, operand in enumerate((x, w, b)):
        operands = [t if t is operand else t.detach() for t in (x, w, b)]
        (alone,) = ag.gradients(ag.layer_norm(*operands), operand, seed)
        assert np.allclose(alone.numpy(), all_three[k].numpy(), rtol=1e-12)
    shifted = ag.layer_norm(x, None, b)
    assert np.allclose(shifted.detach().numpy(), (ag.layer_norm(x) + b).detach().numpy())


def test_t35_dropout():
    ag.manual_seed(7)
    x = ag.ones(4000, requires_grad=True)
    out = ag.dropout(x, 0.25)
    values = np.unique(out.detach().numpy())
    assert np.allclose(values, [0.0, 1 / 0.75]) and abs(out.mean().item() - 1) < 0.05
    out.sum().backward()
    assert np.array_equal(x.grad.numpy(), out.detach().numpy())
    ag.manual_seed(7)
    assert np.array_equal(ag.dropout(x, 0.25).detach().numpy(), out.detach().numpy())
    assert not np.array_equal(ag.dropout(x, 0.25).detach().numpy(), out.detach().numpy())
    assert ag.dropout(x, 0.25, training=False) is x and ag.dropout(x, 0.0) is x
    nothing = ag.dropout(x, 1.0)
    assert nothing.tolist() == [0.0] * 4000
    x.grad = None
    nothing.sum().backward()
    assert x.grad.tolist() == [0.0] * 4000, "no 0/0"
