"""SGD, Adam and AdamW over 20 steps: against NumPy written out in reference.py, and against PyTorch (T50)."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

import autograd as ag
import kernels.launch
import nn

_spec = importlib.util.spec_from_file_location("optimizers_in_numpy", Path(__file__).with_name("reference.py"))
reference = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(reference)

STEPS = 20
CASES = [
    ("SGD", {"lr": 0.1}),
    ("SGD", {"lr": 0.1, "weight_decay": 0.05}),
    ("SGD", {"lr": 0.1, "momentum": 0.9}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "dampening": 0.3, "weight_decay": 0.05}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.05}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.05, "maximize": True}),
    ("Adam", {"lr": 0.05}),
    ("Adam", {"lr": 0.05, "betas": (0.8, 0.9), "eps": 1e-3, "weight_decay": 0.1}),
    ("Adam", {"lr": 0.05, "amsgrad": True, "weight_decay": 0.1}),
    ("Adam", {"lr": 0.05, "maximize": True, "weight_decay": 0.1}),
    ("AdamW", {"lr": 0.05}),
    ("AdamW", {"lr": 0.05, "weight_decay": 0.3, "betas": (0.8, 0.9)}),
    ("AdamW", {"lr": 0.05, "weight_decay": 0.3, "amsgrad": True, "maximize": True}),
]
IDS = [f"{name}-{'-'.join(o)}" for name, o in CASES]


def in_numpy(name, p, gradients, options):
    if name == "SGD":
        return reference.sgd(p, gradients, **options)
    if name == "AdamW":
        options = {"weight_decay": 1e-2, **options}
    return reference.adam(p, gradients, decoupled=name == "AdamW", **options)


def data(dtype, shape=(7, 5)):
    rng = np.random.default_rng(0)
    return rng.normal(size=shape).astype(dtype), rng.normal(size=(STEPS, *shape)).astype(dtype)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("name", "options"), CASES, ids=IDS)
def test_twenty_steps_against_numpy(name, options, dtype):
    start, gradients = data(dtype)
    p = nn.Parameter(ag.tensor(start))
    optimizer = getattr(nn.optim, name)([p], **options)
    for g in gradients:
        p.grad = ag.tensor(g)
        optimizer.step()
        np.testing.assert_array_equal(p.grad.numpy(), g)  # the gradient is left alone
    expected = in_numpy(name, start.astype(np.float64), gradients.astype(np.float64), options)
    tolerance = 1e-6 if dtype == np.float32 else 1e-13
    np.testing.assert_allclose(p.detach().numpy(), expected, rtol=tolerance, atol=3 * tolerance)
    assert p.dtype == dtype and all(t.dtype == dtype for s in optimizer.state.values() for t in s.values() if hasattr(t, "dtype"))


@pytest.mark.parametrize(("name", "options"), CASES, ids=IDS)
def test_twenty_steps_equal_torchs(name, options):
    torch = pytest.importorskip("torch")
    for dtype, tolerance in ((np.float32, 1e-6), (np.float64, 1e-12)):
        start, gradients = data(dtype)
        p, q = nn.Parameter(ag.tensor(start)), torch.nn.Parameter(torch.tensor(start))
        ours, theirs = getattr(nn.optim, name)([p], **options), getattr(torch.optim, name)([q], **options)
        for g in gradients:
            p.grad, q.grad = ag.tensor(g), torch.tensor(g)
            ours.step()
            theirs.step()
            np.testing.assert_allclose(p.detach().numpy(), q.detach().numpy(), rtol=tolerance, atol=tolerance)
        for key, value in theirs.state[q].items():
            if value is not None:
                mine = ours.state[p][key]
                mine = mine.numpy() if isinstance(mine, ag.Tensor) else mine
                np.testing.assert_allclose(mine, value.numpy(), rtol=10 * tolerance, atol=tolerance)


@pytest.mark.parametrize("shape", [(), (1,), (0, 3), (3, 1, 2), (70_000,)])
@pytest.mark.parametrize("name", ["SGD", "Adam", "AdamW"])
def test_parameters_of_any_shape(name, shape):
    start, gradients = data(np.float64, shape)
    p = nn.Parameter(ag.tensor(start))
    optimizer = getattr(nn.optim, name)([p], lr=0.1)
    for g in gradients[:3]:
        p.grad = ag.tensor(g)
        optimizer.step()
    np.testing.assert_allclose(p.detach().numpy(), in_numpy(name, start, gradients[:3], {"lr": 0.1}), rtol=1e-12, atol=1e-15)


def test_parameters_and_gradients_of_any_layout():
    start, gradients = data(np.float64, (4, 6))
    base = ag.tensor(start.T.copy())
    p = nn.Parameter(base.T)
    optimizer = nn.optim.Adam([p], lr=0.1)
    for k, g in enumerate(gradients):
        layouts = [ag.tensor(g), ag.tensor(g.T.copy()).T, ag.tensor(g[::-1].copy()).flip(0)]
        layouts.append(ag.tensor(np.repeat(g, 2, 1))[:, ::2])
        p.grad = layouts[k % 4]
        optimizer.step()
    np.testing.assert_allclose(p.detach().numpy(), in_numpy("Adam", start, gradients, {"lr": 0.1}), rtol=1e-12)
    assert base.T.tolist() == p.tolist()
    p.grad = ag.ones((1, 1), dtype=ag.float64).expand(4, 6)
    optimizer.step()


def test_large_learning_rates_and_integers_as_options():
    start, gradients = data(np.float32, (300, 1000))  # large enough for several threads
    p = nn.Parameter(ag.tensor(start))
    optimizer = nn.optim.SGD([p], lr=1, momentum=0, weight_decay=0)
    p.grad = ag.tensor(gradients[0])
    optimizer.step()
    np.testing.assert_allclose(p.detach().numpy(), start - gradients[0], rtol=1e-6)


def test_first_adam_step_is_the_learning_rate():  # T50: bias correction at step 1
    p = nn.Parameter(ag.zeros(3))
    p.grad = ag.tensor([1e-3, 5.0, -200.0])
    nn.optim.Adam([p], lr=0.1).step()
    np.testing.assert_allclose(p.detach().numpy(), [-0.1, -0.1, 0.1], rtol=1e-4)


def test_the_first_step_uses_the_learning_rate():  # T50: none at iteration 0
    p = nn.Parameter(ag.ones(1))
    optimizer = nn.optim.SGD([p], lr=0.5)
    p.grad = ag.ones(1)
    optimizer.step()
    assert p.tolist() == [0.5]
    optimizer.param_groups[0]["lr"] = 0.25  # what a schedule does
    optimizer.step()
    assert p.tolist() == [0.25]


@pytest.mark.parametrize(
    ("name", "options"), [("SGD", {}), ("SGD", {"momentum": 0.9}), ("Adam", {}), ("AdamW", {"amsgrad": True})]
)
def test_a_step_is_one_launch_per_parameter_with_a_gradient(name, options):
    model = nn.Sequential(nn.Linear(8, 4), nn.ReLU(), nn.Linear(4, 2))
    optimizer = getattr(nn.optim, name)(model.parameters(), lr=0.1, **options)
    model(ag.ones((3, 8))).sum().backward()
    optimizer.step()
    model[2].bias.grad = None
    launches = []
    with kernels.launch.observe(lambda launch: launches.append(launch.kernel)):
        optimizer.step()
    assert len(launches) == 3


def test_options_by_group():
    a, b = nn.Parameter(ag.ones(1)), nn.Parameter(ag.ones(1))
    optimizer = nn.optim.SGD([{"params": [a]}, {"params": b, "lr": 0.5}], lr=0.25)
    a.grad, b.grad = ag.ones(1), ag.ones(1)
    optimizer.step()
    assert a.tolist() == [0.75] and b.tolist() == [0.5]


def test_a_rule_may_change_between_steps():
    p = nn.Parameter(ag.ones(1, dtype=ag.float64))
    optimizer = nn.optim.SGD([p], lr=0.1)
    p.grad = ag.ones(1, dtype=ag.float64)
    optimizer.step()
    optimizer.param_groups[0]["momentum"] = 0.5
    optimizer.step()
    optimizer.step()
    np.testing.assert_allclose(p.item(), 1 - 0.1 - 0.1 - 0.1 * 1.5)


def test_options_are_checked():
    p = [nn.Parameter(ag.ones(1))]
    for name in ("SGD", "Adam", "AdamW"):
        make = getattr(nn.optim, name)
        with pytest.raises(ValueError, match=f"{name}: lr must not be negative, got -1"):
            make(p, lr=-1)
        with pytest.raises(ValueError, match=f"{name}: lr must not be negative, got nan"):
            make(p, lr=float("nan"))
        with pytest.raises(ValueError, match=f"{name}: weight_decay must not be negative"):
            make(p, lr=0.1, weight_decay=-1)
    with pytest.raises(ValueError, match="momentum must not be negative"):
        nn.optim.SGD(p, lr=0.1, momentum=-0.5)
    with pytest.raises(ValueError, match=r"nesterov needs a momentum above 0 and no dampening, got momentum=0.0"):
        nn.optim.SGD(p, lr=0.1, nesterov=True)
    with pytest.raises(ValueError, match=r"betas must be two numbers from 0 to below 1, got \(0.9, 1.0\)"):
        nn.optim.Adam(p, betas=(0.9, 1.0))
    with pytest.raises(ValueError, match="eps must not be negative"):
        nn.optim.AdamW(p, eps=-1e-8)
