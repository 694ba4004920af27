"""Networks on device "cuda": the same training as on the CPU, step by step."""

from __future__ import annotations

import numpy as np
import pytest
from cuda_support import needs_cuda

import autograd as ag
import nn

pytestmark = needs_cuda


def network() -> nn.Module:
    ag.manual_seed(3)
    return nn.Sequential(nn.Linear(5, 7), nn.LayerNorm(7), nn.GELU(), nn.Dropout(0.2), nn.Linear(7, 3))


def batch(device: str) -> tuple[ag.Tensor, ag.Tensor]:
    generator = np.random.default_rng(0)
    x = generator.normal(size=(6, 5)).astype(np.float32)
    return ag.tensor(x, device=device), ag.tensor(generator.integers(0, 3, 6), device=device)


def train(device: str, make, steps: int = 3) -> tuple[list[float], dict]:
    model = network().to(device)
    optimizer = make(model.parameters())
    x, y = batch(device)
    losses = []
    for _ in range(steps):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(x), y, label_smoothing=0.1)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        losses.append(loss.item())
    return losses, model.state_dict()


@pytest.mark.parametrize("make", [
    lambda p: nn.optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True), lambda p: nn.optim.AdamW(p, lr=0.01, weight_decay=0.1),
], ids=["sgd", "adamw"])  # fmt: skip
def test_training_is_the_cpus(make):
    there, parameters = train("cuda", make)
    here, expected = train("cpu", make)
    np.testing.assert_allclose(there, here, rtol=1e-4)
    for name, value in parameters.items():
        assert value.device == "cuda:0"
        np.testing.assert_allclose(value.numpy(), expected[name].numpy(), rtol=1e-3, atol=1e-4, err_msg=name)


def test_modules_move_with_their_gradients_and_optimizers_follow(tmp_path):
    model = network()
    optimizer = nn.optim.Adam(model.parameters(), lr=0.01)
    for device in ("cpu", "cuda", "cpu"):
        model.to(device)
        x, y = batch(device)
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x), y).backward()
        optimizer.step()
        assert all(p.device == x.device and p.grad.device == x.device for p in model.parameters())
    model.cuda()
    nn.save(tmp_path / "model.safetensors", model.state_dict())
    again = network()
    again.load_state_dict(nn.load(tmp_path / "model.safetensors"))
    for mine, theirs in zip(again.parameters(), model.parameters(), strict=True):
        assert mine.device == "cpu" and np.array_equal(mine.detach().numpy(), theirs.detach().numpy())


@pytest.mark.parametrize(("source", "target"), [("cpu", "cuda"), ("cuda", "cpu")])
def test_states_are_loaded_across_devices(source, target):
    ag.manual_seed(1)
    one, other = nn.Linear(3, 2).to(source), nn.Linear(3, 2).to(target)
    other.load_state_dict(one.state_dict())
    for mine, theirs in zip(other.parameters(), one.parameters(), strict=True):
        assert mine.device.startswith(target) and np.array_equal(mine.detach().numpy(), theirs.detach().numpy())


def test_losses_and_activations():
    x = np.random.default_rng(1).normal(size=(4, 6)).astype(np.float32)
    t = np.random.default_rng(2).uniform(size=(4, 6)).astype(np.float32)
    for name in ("mse_loss", "l1_loss", "huber_loss", "smooth_l1_loss", "binary_cross_entropy_with_logits"):
        found = []
        for device in ("cpu", "cuda"):
            inputs = ag.tensor(x, device=device, requires_grad=True)
            loss = getattr(nn.functional, name)(inputs, ag.tensor(t, device=device))
            loss.backward()
            found.append((loss.item(), inputs.grad.numpy()))
        assert found[0][0] == pytest.approx(found[1][0], rel=1e-5), name
        np.testing.assert_allclose(found[1][1], found[0][1], rtol=1e-5, atol=1e-6, err_msg=name)


def test_data_loaders_keep_the_device():
    x, y = batch("cuda")
    loader = nn.data.DataLoader(nn.data.TensorDataset(x, y), batch_size=4, shuffle=True)
    rows = []
    for a, b in loader:
        assert a.device == b.device == "cuda:0"
        rows.append(a.numpy())
    assert sorted(map(tuple, np.concatenate(rows))) == sorted(map(tuple, x.numpy()))


def test_batches_are_gathered_on_the_device():
    x = np.arange(24.0, dtype=np.float32).reshape(8, 3)
    data = nn.data.TensorDataset(ag.tensor(x, device="cuda"), ag.arange(8, device="cuda"))
    seen = []
    for batch, labels in nn.data.DataLoader(data, batch_size=3, shuffle=True, generator=1):
        assert batch.device == labels.device == "cuda:0" and np.array_equal(batch.numpy(), x[labels.numpy()])
        seen += labels.tolist()
    assert sorted(seen) == list(range(8))


@pytest.mark.parametrize("weighted", [False, True])
def test_losses_that_pick_classes(weighted):
    scores = np.log(np.random.default_rng(0).dirichlet(np.ones(3), 5)).astype(np.float32)
    labels = np.array([0, 2, -100, 1, 2])
    results = []
    for device in ("cpu", "cuda"):
        x = ag.tensor(scores, requires_grad=True, device=device)
        weight = ag.tensor([0.5, 1.0, 2.0], device=device) if weighted else None
        loss = nn.functional.nll_loss(x, ag.tensor(labels, device=device), weight)
        loss.backward()
        results.append((loss.item(), x.grad.numpy()))
    assert np.allclose(results[0][0], results[1][0], rtol=1e-6) and np.allclose(results[0][1], results[1][1], rtol=1e-6)
    for wrong in (3, -1):
        with pytest.raises(IndexError, match=f"index {wrong} is out of range for axis 1 of size 3"):
            nn.functional.nll_loss(x, ag.tensor([0, wrong, 1, 1, 1], device="cuda")).item()
    assert nn.functional.one_hot(ag.tensor([0, 2], device="cuda")).tolist() == [[1, 0, 0], [0, 0, 1]]
    with pytest.raises(IndexError, match="index -1 is out of range"):
        nn.functional.one_hot(ag.tensor([0, -1], device="cuda"), 3).numpy()
