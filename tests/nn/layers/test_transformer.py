"""Transformer layers and stacks beyond the stored results in test_attention.py."""

import numpy as np
import pytest

import autograd as ag
import nn
import nn.functional as F


def test_stacks_are_copies_with_parameters_of_their_own():
    layer = nn.TransformerEncoderLayer(4, 2, 8, 0.0, batch_first=True)
    stack = nn.TransformerEncoder(layer, 2, nn.LayerNorm(4))
    names = [name for name, _ in stack.named_parameters()]
    assert len(names) == 2 * 12 + 2 and names[0] == "layers.0.self_attn.in_proj_weight" and names[-1] == "norm.bias"
    x = ag.randn(2, 3, 4)
    expected = stack.norm(stack.layers[1](stack.layers[0](x)))
    assert np.array_equal(stack(x).detach().numpy(), expected.detach().numpy())
    stack(x).sum().backward()
    assert layer.linear1.weight.grad is None and stack.layers[1].linear1.weight.grad is not None


def test_a_mask_that_is_causal_is_recognised():
    stack = nn.TransformerEncoder(nn.TransformerEncoderLayer(4, 2, 8, 0.0, batch_first=True), 2)
    x = ag.randn(2, 5, 4)
    mask = nn.Transformer.generate_square_subsequent_mask(5)
    results = [stack(x, mask), stack(x, mask, is_causal=False), stack(x, ag.isinf(mask)), stack(x, is_causal=True)]
    for found in results[1:]:
        np.testing.assert_allclose(found.detach().numpy(), results[0].detach().numpy(), rtol=1e-5, atol=1e-6)
    changed = x.clone()
    changed[:, 4] = 7.0
    assert np.array_equal(stack(changed, mask).detach().numpy()[:, :4], results[0].detach().numpy()[:, :4])
    assert not np.array_equal(stack(changed).detach().numpy()[:, :4], stack(x).detach().numpy()[:, :4])


def test_dropout_acts_in_training_only():
    layer = nn.TransformerDecoderLayer(4, 2, 8, 0.5, batch_first=True)
    x, memory = ag.randn(2, 3, 4), ag.randn(2, 5, 4)
    ag.manual_seed(0)
    first = layer(x, memory).detach().numpy()
    ag.manual_seed(0)
    assert np.array_equal(layer(x, memory).detach().numpy(), first)
    assert not np.array_equal(layer(x, memory).detach().numpy(), first)
    layer.eval()
    assert np.array_equal(layer(x, memory).detach().numpy(), layer(x, memory).detach().numpy())


def test_activations_by_name_and_by_function():
    x = ag.randn(3, 2, 4, dtype=np.float64)
    ag.manual_seed(0)
    by_name = nn.TransformerEncoderLayer(4, 2, 8, 0.0, "gelu", dtype=np.float64)
    ag.manual_seed(0)
    by_function = nn.TransformerEncoderLayer(4, 2, 8, 0.0, F.gelu, dtype=np.float64)
    assert np.array_equal(by_name(x).detach().numpy(), by_function(x).detach().numpy())


def test_sequences_without_a_batch():
    model = nn.Transformer(4, 2, 1, 1, 8, 0.0, batch_first=True, dtype=np.float64)
    src, tgt = ag.randn(5, 4, dtype=np.float64), ag.randn(3, 4, dtype=np.float64)
    with_batch = model(ag.expand_dims(src, 0), ag.expand_dims(tgt, 0))
    np.testing.assert_allclose(model(src, tgt).detach().numpy(), with_batch.detach().numpy()[0], rtol=1e-10)


def test_custom_stacks_take_the_place_of_the_usual():
    class Plain(nn.Module):
        def forward(self, x, *args, **kwargs):
            return x

    model = nn.Transformer(4, 2, custom_encoder=Plain(), custom_decoder=Plain())
    x = ag.randn(3, 2, 4)
    assert model(x, x) is x and not list(model.parameters())


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="activation is 'relu', 'gelu' or a function, got 'tanh'"):
        nn.TransformerEncoderLayer(4, 2, activation="tanh")
    with pytest.raises(ValueError, match="num_layers must not be negative"):
        nn.TransformerEncoder(nn.TransformerEncoderLayer(4, 2, 8), -1)
    model = nn.Transformer(4, 2, 1, 1, 8)
    with pytest.raises(ValueError, match="batches of the same size"):
        model(ag.zeros((3, 2, 4)), ag.zeros((3, 1, 4)))
    with pytest.raises(ValueError, match="must have 4 features"):
        model(ag.zeros((3, 2, 6)), ag.zeros((3, 2, 4)))
