"""The learning-rate finder: a rate that works, everything left as it was, and what it refuses."""

import numpy as np
import pytest

import autograd as ag
import nn
from kernels.random import default_generator
from nn.data import DataLoader, TensorDataset


def make(optimizer=nn.optim.SGD):
    ag.manual_seed(0)
    x = ag.randn(512, 3)
    model = nn.Sequential(nn.Linear(3, 1), nn.Dropout(0.1))
    model[1].eval()
    data = TensorDataset(x, (x * ag.tensor([1.0, -2.0, 0.5])).sum(axis=1, keepdims=True))
    return model, optimizer(model.parameters(), lr=0.123), DataLoader(data, 128, shuffle=True)


@pytest.mark.parametrize("optimizer", [nn.optim.SGD, nn.optim.Adam])
def test_it_finds_a_rate_and_leaves_everything_as_it_was(optimizer, tmp_path):
    model, optimizer, loader = make(optimizer)
    before = [p.detach().numpy().copy() for p in model.parameters()]
    states = (loader.state_dict(), default_generator.state(), str(optimizer.state_dict()))
    found = nn.lr_find(model, optimizer, nn.MSELoss(), loader, steps=60)
    assert all(np.array_equal(p.detach().numpy(), b) for p, b in zip(model.parameters(), before, strict=True))
    assert (loader.state_dict(), default_generator.state(), str(optimizer.state_dict())) == states
    assert [m.training for m in model.modules()] == [True, True, False] and all(p.grad is None for p in model.parameters())
    assert found.rates[0] == 1e-6 and len(found.rates) == len(found.losses) and 1e-3 < found.suggestion < 10
    for group in optimizer.param_groups:
        group["lr"] = found.suggestion
    history = nn.Trainer(model, optimizer, nn.MSELoss()).fit(loader, 10)
    assert history["loss"][-1] < 0.8 * found.losses[0]
    pytest.importorskip("matplotlib")
    found.plot(tmp_path / "rates.png")
    assert (tmp_path / "rates.png").read_bytes().startswith(b"\x89PNG")


def test_what_it_refuses():
    model, optimizer, loader = make()
    for options in ({"start": 1.0, "end": 0.1}, {"steps": 2}, {"smoothing": 1.0}, {"divergence": 1.0}):
        with pytest.raises(ValueError, match="lr_find: expected 0 < start < end"):
            nn.lr_find(model, optimizer, nn.MSELoss(), loader, **options)
    with pytest.raises(ValueError, match="the loader gave no batches"):
        nn.lr_find(model, optimizer, nn.MSELoss(), [])
    with pytest.raises(ValueError, match="choose a smaller start than 1e\\+30"):
        nn.lr_find(model, optimizer, nn.MSELoss(), loader, start=1e30, end=1e35)
    assert optimizer.param_groups[0]["lr"] == 0.123 and np.isfinite(model(ag.ones((1, 3))).item())
