"""Weight and spectral normalisation: values by their definitions, gradients, keys as PyTorch's, and the way back."""

import copy

import numpy as np
import pytest

import autograd as ag
import nn
from nn.utils.parametrizations import remove_parametrizations, spectral_norm, weight_norm


def double(module):
    return module.double()


@pytest.mark.parametrize("axis", [0, 1, -1, None])
def test_weight_norm(axis):
    layer = double(nn.Conv1d(2, 3, 4))
    before = layer.weight.detach().numpy().copy()
    assert weight_norm(layer, axis=axis) is layer
    np.testing.assert_allclose(layer.weight.detach().numpy(), before, rtol=1e-12)
    assert list(layer.state_dict()) == ["bias", "parametrizations.weight.original0", "parametrizations.weight.original1"]
    holder = layer.parametrizations.weight
    shape = {0: (3, 1, 1), 1: (1, 2, 1), -1: (1, 1, 4), None: ()}[axis]
    assert holder.original0.shape == shape
    with ag.no_grad():
        holder.original0.copy_(holder.original0 * 3)
        holder.original1.copy_(holder.original1 * 5)
    np.testing.assert_allclose(layer.weight.detach().numpy(), 3 * before, rtol=1e-12)

    def weight(g, v):
        norm = (v * v).sum(axis=holder.axes, keepdims=axis is not None).sqrt()
        return v * (g / norm)

    x = ag.rand(2, 2, 6, dtype=ag.float64)
    layer(x).sum().backward()
    g, v = (ag.tensor(p.detach().numpy(), requires_grad=True) for p in (holder.original0, holder.original1))
    nn.functional.conv1d(x, weight(g, v), layer.bias.detach()).sum().backward()
    np.testing.assert_allclose(holder.original0.grad.numpy(), g.grad.numpy(), rtol=1e-10)
    np.testing.assert_allclose(holder.original1.grad.numpy(), v.grad.numpy(), rtol=1e-10, atol=1e-12)
    assert ag.gradcheck(weight, (g, v))


@pytest.mark.parametrize("make", [lambda: nn.Linear(4, 6), lambda: nn.Conv2d(2, 3, 2), lambda: nn.ConvTranspose1d(3, 2, 2)])
def test_spectral_norm(make):
    layer = double(make())
    weight = layer.weight.detach().numpy().copy()
    spectral_norm(layer, n_power_iterations=30)
    for _ in range(20):
        found = layer.weight.detach().numpy()
    matrix = np.moveaxis(weight, 1 if isinstance(layer, nn.ConvTranspose1d) else 0, 0)
    largest = np.linalg.svd(matrix.reshape(len(matrix), -1), compute_uv=False)[0]
    np.testing.assert_allclose(found, weight / largest, rtol=1e-6)
    keys = ["original", "0._u", "0._v"]
    assert list(layer.state_dict()) == ["bias", *(f"parametrizations.weight.{key}" for key in keys)]
    layer.eval()
    u = layer.parametrizations.weight.state_dict()["0._u"].numpy().copy()
    first, second = layer.weight.detach().numpy(), layer.weight.detach().numpy()
    assert np.array_equal(first, second) and np.array_equal(u, layer.parametrizations.weight.state_dict()["0._u"].numpy())


def test_gradient_of_spectral_norm():
    layer = spectral_norm(double(nn.Linear(3, 4))).eval()
    holder = layer.parametrizations.weight
    power = dict(holder.named_children())["0"]
    w = ag.tensor(holder.original.detach().numpy(), requires_grad=True)
    (layer.weight * ag.arange(12, dtype=ag.float64).reshape((4, 3))).sum().backward()
    sigma = (power._u * (w @ power._v)).sum()
    (w / sigma * ag.arange(12, dtype=ag.float64).reshape((4, 3))).sum().backward()
    np.testing.assert_allclose(holder.original.grad.numpy(), w.grad.numpy(), rtol=1e-12)


def test_against_pytorch():
    torch = pytest.importorskip("torch")
    theirs = torch.nn.utils.parametrizations
    for ours, other in (
        (weight_norm(nn.Linear(3, 4)), theirs.weight_norm(torch.nn.Linear(3, 4))),
        (spectral_norm(nn.Conv2d(2, 3, 2)), theirs.spectral_norm(torch.nn.Conv2d(2, 3, 2))),
        (spectral_norm(nn.ConvTranspose1d(2, 3, 2)), theirs.spectral_norm(torch.nn.ConvTranspose1d(2, 3, 2))),
    ):
        ours.load_state_dict({k: v.numpy() for k, v in other.state_dict().items()})
        for _ in range(3):
            np.testing.assert_allclose(ours.weight.detach().numpy(), other.weight.detach().numpy(), rtol=1e-5, atol=1e-7)
    one = spectral_norm(nn.Linear(3, 4, bias=False)).state_dict()
    assert {k: v.shape for k, v in one.items()} == {
        k: tuple(v.shape) for k, v in theirs.spectral_norm(torch.nn.Linear(3, 4, bias=False)).state_dict().items()
    }


def test_training_copying_and_removing():
    ag.manual_seed(0)
    model = nn.Sequential(weight_norm(nn.Linear(2, 8)), nn.Tanh(), spectral_norm(weight_norm(nn.Linear(8, 1), "weight"), "bias"))
    optimizer = nn.optim.Adam(model.parameters(), lr=0.1)
    x = ag.rand(16, 2)
    losses = []
    for _ in range(20):
        optimizer.zero_grad()
        loss = nn.functional.mse_loss(model(x), x[:, :1])
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]
    other = copy.deepcopy(model)
    expected = model(x).tolist()
    with ag.no_grad():
        other[0].parametrizations.weight.original0.copy_(ag.zeros((8, 1)))
    assert model(x).tolist() == expected != other(x).tolist()
    assert "ParametrizedLinear" in repr(model) and isinstance(model[0], nn.Linear)
    for layer, names in ((model[0], ["weight"]), (model[2], ["weight", "bias"])):
        for name in names:
            remove_parametrizations(layer, name)
        assert type(layer) is nn.Linear and set(layer.state_dict()) == {"weight", "bias"}
    np.testing.assert_allclose(model(x).detach().numpy(), expected, rtol=1e-6)


def test_what_there_is_not():
    layer = nn.Linear(2, 3)
    for call, message in (
        (lambda: weight_norm(layer, "scale"), "weight_norm: Linear has no parameter 'scale'"),
        (lambda: weight_norm(layer, axis=2), "'weight' has shape \\(3, 2\\), and no axis 2"),
        (lambda: spectral_norm(layer, n_power_iterations=0), "1 or more, got 0"),
        (lambda: remove_parametrizations(layer), "has no parametrized 'weight'"),
    ):
        with pytest.raises(ValueError, match=message):
            call()
    weight_norm(layer)
    with pytest.raises(ValueError, match="has no parameter 'weight' of its own"):
        weight_norm(layer)
    assert list(nn.Linear(2, 3).state_dict()) == ["weight", "bias"]
