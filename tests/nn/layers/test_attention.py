"""Attention and transformer layers: against PyTorch's stored results, and what is refused."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

import autograd as ag
import nn

_spec = importlib.util.spec_from_file_location("reference_attention", Path(__file__).parents[1] / "reference" / "attention.py")
reference = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(reference)
STORED = np.load(reference.STORED)
NUMBERS = [n for n, case in enumerate(reference.CASES) if hasattr(nn, case[0])]


def _given(mask, dtype):
    if not isinstance(mask, np.ndarray):
        return mask
    return ag.tensor(mask if mask.dtype == bool else mask.astype(dtype))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("number", NUMBERS)
def test_values_gradients_and_keys_are_pytorchs(number, dtype):
    name, options, shapes, call = reference.CASES[number]
    layer = getattr(nn, name)(**options, dtype=dtype)
    state = layer.state_dict()
    assert list(state) == list(STORED[f"{number} keys"])
    values = reference.draw(number, *[p.shape for p in state.values()])
    layer.load_state_dict(dict(zip(state, [ag.tensor(v.astype(dtype)) for v in values], strict=True)))
    inputs = [ag.tensor(x.astype(dtype), requires_grad=True) for x in reference.draw(number + 100, *shapes)]
    out = layer(*inputs, **{key: _given(mask, dtype) for key, mask in call.items()})
    out, weights = out if isinstance(out, tuple) else (out, None)
    out.backward(ag.tensor(reference.draw(number + 200, out.shape)[0].astype(dtype)))
    found = {"y": out.detach(), **{f"x{n}": x.grad for n, x in enumerate(inputs)}}
    found.update({key: p.grad for key, p in layer.named_parameters()})
    assert (weights is not None) == (f"{number} weights" in STORED)
    if weights is not None:
        found["weights"] = weights.detach()
    tolerance = 1e-5 if dtype == np.float32 else 1e-10
    for key, value in found.items():
        expected = STORED[f"{number} {key}"]
        assert value.shape == expected.shape and value.dtype == dtype
        scale = max(np.abs(expected).max(), 0.1)  # some gradients are 0 but for rounding
        np.testing.assert_allclose(value.numpy(), expected, rtol=tolerance, atol=tolerance * scale, err_msg=key)


def test_the_same_tensor_three_times_is_projected_at_once_and_gives_the_same():
    layer = nn.MultiheadAttention(8, 2, batch_first=True, dtype=np.float64)
    x = ag.randn(2, 3, 8, dtype=np.float64)
    np.testing.assert_allclose(layer(x, x, x)[0].detach().numpy(), layer(x, x.clone(), x.clone())[0].detach().numpy(), rtol=1e-12)


def test_the_causal_promise_needs_no_mask():
    x = ag.randn(2, 5, 8, dtype=np.float64)
    later = ag.triu(ag.ones((5, 5), dtype=ag.bool), 1)
    padding = ag.tensor(reference.PADDING)
    for options in ({}, {"add_zero_attn": True}, {"add_bias_kv": True}):
        layer = nn.MultiheadAttention(8, 2, batch_first=True, dtype=np.float64, **options)
        for more in ({}, {"key_padding_mask": padding}):
            expected, weights = layer(x, x, x, attn_mask=later, **more)
            for need_weights in (False, True):
                found, own = layer(x, x, x, is_causal=True, need_weights=need_weights, **more)
                np.testing.assert_allclose(found.detach().numpy(), expected.detach().numpy(), rtol=1e-12)
                assert own is None or np.allclose(own.detach().numpy(), weights.detach().numpy())


def test_rows_without_keys_give_the_output_bias_with_and_without_weights():
    layer = nn.MultiheadAttention(4, 2, batch_first=True)
    nn.init.ones_(layer.out_proj.bias)
    x = ag.randn(1, 3, 4)
    nobody = ag.tensor([[True, True, True]])
    for need_weights in (False, True):
        out, _ = layer(x, x, x, key_padding_mask=nobody, need_weights=need_weights)
        assert (out.detach().numpy() == 1).all()


def test_dropout_acts_in_training_only_and_follows_the_seed():
    layer = nn.MultiheadAttention(8, 2, dropout=0.5, batch_first=True)
    x = ag.randn(2, 6, 8)
    ag.manual_seed(1)
    first, _ = layer(x, x, x, need_weights=False)
    ag.manual_seed(1)
    again, weights = layer(x, x, x, average_attn_weights=False)  # the same numbers by matrix products
    np.testing.assert_allclose(first.detach().numpy(), again.detach().numpy(), rtol=1e-5, atol=1e-6)
    assert 0.2 < (weights.detach().numpy() == 0).mean() < 0.8
    layer.eval()
    assert np.array_equal(layer(x, x, x, need_weights=False)[0].detach().numpy(), layer(x, x, x, need_weights=False)[0].detach().numpy())


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="num_heads must divide embed_dim, got 3 and 8"):
        nn.MultiheadAttention(8, 3)
    with pytest.raises(ValueError, match="dropout must lie between 0 and 1"):
        nn.MultiheadAttention(8, 2, dropout=1.5)
    layer = nn.MultiheadAttention(4, 2, batch_first=True)
    x, y = ag.zeros((2, 3, 4)), ag.zeros((2, 5, 4))
    with pytest.raises(ValueError, match="key must have 4 features"):
        layer(x, ag.zeros((2, 5, 3)), y)
    with pytest.raises(ValueError, match="equally long, and batches of one size"):
        layer(x, ag.zeros((3, 5, 4)), ag.zeros((3, 5, 4)))
    with pytest.raises(ValueError, match=r"must all be \(N, L, E\)"):
        layer(x, y[0], y[0])
    with pytest.raises(ValueError, match=r"attn_mask must be \(L, S\) = \(3, 5\)"):
        layer(x, y, y, attn_mask=ag.zeros((5, 3)))
    with pytest.raises(ValueError, match=r"key_padding_mask must be \(N, S\) = \(2, 5\)"):
        layer(x, y, y, key_padding_mask=ag.zeros((2, 3)))
    with pytest.raises(TypeError, match="masks must be bool or floating, got int64"):
        layer(x, y, y, attn_mask=ag.zeros((3, 5), dtype=ag.int64))
