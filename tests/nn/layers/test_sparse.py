"""Embeddings: derivatives, weights of samples, what is refused. Values are in test_against_pytorch.py."""

import numpy as np
import pytest

import autograd as ag
import nn
import nn.functional as F


def table(rows=4, columns=2):
    return ag.tensor(np.random.default_rng(0).normal(size=(rows, columns)), requires_grad=True)


@pytest.mark.parametrize("padding", [None, 1])
def test_derivatives(padding):
    x = ag.tensor([[0, 3], [3, 2]])
    assert ag.gradcheck(lambda w: F.embedding(x, w, padding), (table(),))
    assert ag.gradgradcheck(lambda w: F.embedding(x, w, padding) ** 2, (table(),))
    samples = ag.tensor(np.random.default_rng(1).normal(size=(2, 2)), requires_grad=True)
    assert ag.gradcheck(lambda w, s: F.embedding_bag(x, w, mode="sum", per_sample_weights=s, padding_idx=padding), (table(), samples))
    assert ag.gradgradcheck(lambda w: F.embedding_bag(x, w, mode="max", padding_idx=padding) ** 2, (table(),))


def test_the_row_for_padding_begins_as_zero_and_stays():
    layer = nn.Embedding(4, 2, padding_idx=-3)
    assert layer.padding_idx == 1 and layer.weight[1].tolist() == [0, 0]
    (layer(ag.tensor([1, 2, 1])) ** 2).sum().backward()
    assert layer.weight.grad[1].tolist() == [0, 0] and layer.weight.grad[2].tolist() != [0, 0]


def test_pretrained_tables_are_frozen_unless_wanted():
    given = table().detach()
    layer = nn.Embedding.from_pretrained(given, padding_idx=0)
    assert not layer.weight.requires_grad and layer.weight.tolist() == given.tolist()
    assert nn.EmbeddingBag.from_pretrained(given, freeze=False, mode="max").weight.requires_grad


def test_weights_of_samples():
    w, x = table(), ag.tensor([3, 1, 2])
    samples = ag.tensor([2.0, 0.5, 3.0], dtype=ag.float64)
    found = nn.EmbeddingBag.from_pretrained(w.detach(), mode="sum")(x, ag.tensor([0, 2]), samples).numpy()
    known = w.detach().numpy()
    assert np.allclose(found, [2 * known[3] + 0.5 * known[1], 3 * known[2]])


def test_empty_inputs():
    nothing = ag.zeros((0,), dtype=ag.int64)
    assert F.embedding(nothing, table()).shape == (0, 2)
    for mode in ("sum", "mean", "max"):
        assert F.embedding_bag(nothing, table(), ag.tensor([0, 0]), mode=mode).tolist() == [[0, 0], [0, 0]]
        assert F.embedding_bag(nothing, table(), nothing, mode=mode).shape == (0, 2)


def test_what_is_refused():
    layer = nn.Embedding(4, 2)
    for wrong in (4, -1):
        with pytest.raises(IndexError):
            layer(ag.tensor([0, wrong]))
    narrow = nn.Embedding(4, 2, max_norm=1e-3)
    before = narrow.weight.tolist()
    with pytest.raises(IndexError):
        narrow(ag.tensor([0, -1]))
    assert narrow.weight.tolist() == before
    with pytest.raises(TypeError, match="embedding: the input must be a tensor of integers"):
        layer(ag.ones(3))
    with pytest.raises(ValueError, match="padding_idx=4 must be from -4 to 3"):
        nn.Embedding(4, 2, padding_idx=4)
    with pytest.raises(NotImplementedError, match="use sparse=False"):
        nn.Embedding(4, 2, sparse=True)
    with pytest.raises(ValueError, match="mode is 'sum', 'mean' or 'max', got 'min'"):
        nn.EmbeddingBag(4, 2, mode="min")
    with pytest.raises(ValueError, match=r"offsets must begin with 0 and never fall, up to at most 3, got \[0, 4\]"):
        F.embedding_bag(ag.tensor([0, 1, 2]), table(), ag.tensor([0, 4]))
    with pytest.raises(ValueError, match="the last offset must be the input's size 3, got 2"):
        F.embedding_bag(ag.tensor([0, 1, 2]), table(), ag.tensor([0, 2]), include_last_offset=True)
    with pytest.raises(ValueError, match="takes no offsets"):
        F.embedding_bag(ag.tensor([[0, 1]]), table(), ag.tensor([0]))
    with pytest.raises(ValueError, match="in one dimension with offsets"):
        F.embedding_bag(ag.tensor([0, 1]), table())
    with pytest.raises(ValueError, match="per_sample_weights are for mode='sum'"):
        F.embedding_bag(ag.tensor([[0, 1]]), table(), per_sample_weights=ag.ones((1, 2), dtype=ag.float64))
    with pytest.raises(ValueError, match=r"needs a table \(rows, columns\)"):
        nn.Embedding.from_pretrained(ag.ones(3))
