"""Averages of weights: values, buffers, state, and models that are others."""

import numpy as np
import pytest

import autograd as ag
import nn
from nn.optim.swa_utils import AveragedModel, get_ema_avg_fn, get_swa_avg_fn


def with_buffers():
    model = nn.Linear(3, 2)
    model.register_buffer("mean", ag.zeros(3))
    model.register_buffer("count", ag.tensor(0))
    return model


def changes(model):
    """Three states of a model, as arrays."""
    for step in range(3):
        with ag.no_grad():
            for tensor in model.state_dict().values():
                value = ag.randn(*tensor.shape) if tensor.dtype.kind == "f" else ag.tensor(step)
                tensor.copy_(value)
        yield {name: tensor.numpy().copy() for name, tensor in model.state_dict().items()}


@pytest.mark.parametrize("use_buffers", [False, True])
@pytest.mark.parametrize("kind", ["ema", "swa", "default"])
def test_averages(kind, use_buffers):
    model = with_buffers()
    average = AveragedModel(model, {"ema": get_ema_avg_fn(0.9), "swa": get_swa_avg_fn(), "default": None}[kind], use_buffers)
    states = []
    for state in changes(model):
        average.update_parameters(model)
        states.append(state)
    assert average.n_averaged.item() == 3 and not any(p.requires_grad for p in average.parameters())
    for name, found in average.module.state_dict().items():
        values = [state[name] for state in states]
        expected = 0.81 * values[0] + 0.09 * values[1] + 0.1 * values[2] if kind == "ema" else np.mean(values, axis=0)
        if name == "count" or (name == "mean" and not use_buffers):
            expected = values[2]
        np.testing.assert_allclose(found.numpy(), expected, rtol=1e-5, atol=1e-6)
    x = ag.ones((1, 3))
    assert np.array_equal(average(x).numpy(), average.module(x).numpy())


def test_state_and_keys():
    model = nn.Linear(2, 2)
    average = AveragedModel(model)
    average.update_parameters(model)
    assert set(average.state_dict()) == {"n_averaged", "module.weight", "module.bias"}
    other = AveragedModel(nn.Linear(2, 2))
    other.load_state_dict(average.state_dict())
    assert other.n_averaged.item() == 1 and np.array_equal(other.module.weight.numpy(), average.module.weight.numpy())


def test_other_models_are_refused():
    average = AveragedModel(nn.Linear(2, 2))
    before = average.module.weight.numpy().copy()
    with pytest.raises(ValueError, match="these differ: weight"):
        average.update_parameters(nn.Linear(3, 2))
    assert np.array_equal(average.module.weight.numpy(), before) and average.n_averaged.item() == 0
    with pytest.raises(ValueError, match="decay must lie between 0 and 1, got 2"):
        get_ema_avg_fn(2)
