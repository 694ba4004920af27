"""The optimizers and schedules against what PyTorch did: tests/nn/reference/optimizers.py has the cases and stored results."""

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
from cuda_support import needs_cuda

import autograd as ag
import nn
from nn.optim import lr_scheduler

_spec = importlib.util.spec_from_file_location("reference_optimizers", Path(__file__).parents[1] / "reference" / "optimizers.py")
reference = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(reference)
STORED = json.loads(reference.STORED.read_text())
IDS = [f"{name}-{'-'.join(o)}" for name, o in reference.OPTIMIZERS]


def trained(name, options, dtype, device="cpu", steps=slice(None)):
    start, gradients = reference.data(dtype)
    p = nn.Parameter(ag.tensor(start, device=device))
    optimizer = getattr(nn.optim, name)([p], **options)
    for g in gradients[steps]:
        p.grad = ag.tensor(g, device=device)
        optimizer.step()
    return p, optimizer


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("number", range(len(IDS)), ids=IDS)
def test_twenty_steps(number, dtype):
    name, options = reference.OPTIMIZERS[number]
    p, optimizer = trained(name, options, dtype)
    # PyTorch keeps NAdam's product of momenta in float32, whatever the parameters are.
    tolerance = 1e-5 if dtype == np.float32 else 1e-8 if name == "NAdam" else 1e-10
    np.testing.assert_allclose(p.detach().numpy(), STORED["optimizers"][number], rtol=tolerance, atol=0.1 * tolerance)
    assert all(t.dtype == dtype for state in optimizer.state.values() for t in state.values() if isinstance(t, ag.Tensor))


@pytest.mark.parametrize("number", range(len(IDS)), ids=IDS)
def test_state_is_taken_up_again(number):
    name, options = reference.OPTIMIZERS[number]
    _, gradients = reference.data(np.float64)
    whole, _ = trained(name, options, np.float64)
    half, optimizer = trained(name, options, np.float64, steps=slice(0, 10))
    p = nn.Parameter(half.detach().clone())
    again = getattr(nn.optim, name)([p], **options)
    again.load_state_dict(optimizer.state_dict())
    for g in gradients[10:]:
        p.grad = ag.tensor(g)
        again.step()
    np.testing.assert_array_equal(p.detach().numpy(), whole.detach().numpy())


@needs_cuda
@pytest.mark.parametrize("name", ["NAdam", "RAdam", "Adamax", "Adagrad", "Adadelta", "RMSprop", "Lion", "Muon"])
def test_on_the_gpu(name):
    here, there = (trained(name, {}, np.float32, device, slice(0, 2))[0] for device in ("cpu", "cuda"))
    np.testing.assert_allclose(there.detach().cpu().numpy(), here.detach().numpy(), rtol=1e-5, atol=1e-6)


def test_torchs_state_is_loaded():
    torch = pytest.importorskip("torch")
    start, gradients = reference.data(np.float64)
    for name in ("NAdam", "RAdam", "Adamax", "Adagrad", "Adadelta", "RMSprop"):
        q = torch.nn.Parameter(torch.tensor(start))
        theirs = getattr(torch.optim, name)([q])
        for g in gradients[:3]:
            q.grad = torch.tensor(g)
            theirs.step()
        p = nn.Parameter(ag.tensor(q.detach().numpy()))
        ours = getattr(nn.optim, name)([p])
        ours.load_state_dict({k: v for k, v in theirs.state_dict().items()})
        p.grad, q.grad = ag.tensor(gradients[3]), torch.tensor(gradients[3])
        ours.step()
        theirs.step()
        np.testing.assert_allclose(p.detach().numpy(), q.detach().numpy(), rtol=1e-8)


class TestLion:
    @pytest.mark.parametrize("dtype", [np.float32, np.float64])
    def test_against_the_paper(self, dtype):
        """Algorithm 2 of Chen et al. 2023, written out."""
        p, m = reference.data(np.float64)[0], 0.0
        for g in reference.data(np.float64)[1]:
            direction = np.sign(0.9 * m + 0.1 * g)
            p = p - 0.02 * (direction + 0.3 * p)
            m = 0.99 * m + 0.01 * g
        got, _ = trained("Lion", {"lr": 0.02, "weight_decay": 0.3}, dtype)
        np.testing.assert_allclose(got.detach().numpy(), p, rtol=1e-5 if dtype == np.float32 else 1e-12, atol=1e-6)


class TestMuon:
    def test_against_numpy(self):
        p, buffer = reference.data(np.float64)[0], 0.0
        for g in reference.data(np.float64)[1]:
            buffer = 0.95 * buffer + 0.05 * g
            y = 0.05 * g + 0.95 * buffer
            y = y / np.linalg.norm(y)
            for _ in range(5):
                a = y @ y.T
                y = 3.4445 * y + (-4.775 * a + 2.0315 * a @ a) @ y
            p = p * (1 - 0.1 * 0.1) - 0.1 * y
        got, _ = trained("Muon", {"lr": 0.1}, np.float64)
        np.testing.assert_allclose(got.detach().numpy(), p, rtol=1e-9)

    def test_directions_count_alike(self):
        gradient = ag.tensor(np.diag([100.0, 1.0, 0.5]), dtype="float32")
        for shape in ((3, 3), (5, 3), (3, 5)):
            p = nn.Parameter(ag.zeros(shape))
            p.grad = ag.pad(gradient, ((0, shape[0] - 3), (0, shape[1] - 3)))
            nn.optim.Muon([p], lr=1.0, weight_decay=0.0).step()
            sizes = np.linalg.svd(p.detach().numpy() / max(1, shape[0] / shape[1]) ** 0.5)[1]
            assert sizes.min() > 0.6 and sizes.max() < 1.3

    def test_only_matrices(self):
        with pytest.raises(ValueError, match=r"takes matrices, got a parameter of shape \(3,\); give others to AdamW"):
            nn.optim.Muon([nn.Parameter(ag.ones(3))])
        with pytest.raises(ValueError, match="adjust_lr_fn must be one of"):
            nn.optim.Muon([nn.Parameter(ag.ones((3, 3)))], adjust_lr_fn="mine")


class TestLBFGS:
    @pytest.mark.parametrize("number", range(2), ids=map(str, reference.SEARCHES))
    def test_losses(self, number):
        search = reference.SEARCHES[number]
        p = nn.Parameter(ag.tensor(reference.START, dtype="float64"))
        options = {"lr": 1.0 if search else 0.002, "max_iter": 7, "history_size": 5, "line_search_fn": search}
        losses = reference.descend(nn.optim.LBFGS([p], **options), p)
        np.testing.assert_allclose(losses, STORED["searches"][number], rtol=1e-7)

    def test_a_quadratic_is_solved(self):
        rng = np.random.default_rng(0)
        a = rng.normal(size=(6, 6))
        a, b = ag.tensor(a @ a.T + np.eye(6)), ag.tensor(rng.normal(size=6))
        p = nn.Parameter(ag.zeros(6, dtype="float64"))
        optimizer = nn.optim.LBFGS([p], max_iter=60, tolerance_change=1e-16, line_search_fn="strong_wolfe")

        def closure():
            optimizer.zero_grad()
            loss = 0.5 * (p @ a @ p) - b @ p
            loss.backward()
            return loss

        optimizer.step(closure)
        np.testing.assert_allclose((a @ p).detach().numpy(), b.numpy(), atol=1e-5)

    def test_state_is_taken_up_again(self):
        def run(rounds, state=None, start=reference.START):
            p = nn.Parameter(ag.tensor(start, dtype="float64"))
            optimizer = nn.optim.LBFGS([p], max_iter=4, line_search_fn="strong_wolfe")
            if state is not None:
                optimizer.load_state_dict(state)
            reference.descend(optimizer, p, rounds)
            return p, optimizer

        whole, _ = run(4)
        half, optimizer = run(2)
        again, _ = run(2, optimizer.state_dict(), half.tolist())
        np.testing.assert_array_equal(again.detach().numpy(), whole.detach().numpy())

    def test_refused(self):
        p, q = nn.Parameter(ag.ones(1)), nn.Parameter(ag.ones(1))
        with pytest.raises(ValueError, match="all parameters form one group"):
            nn.optim.LBFGS([{"params": [p]}, {"params": [q]}])
        with pytest.raises(ValueError, match="line_search_fn is None or 'strong_wolfe', got 'armijo'"):
            nn.optim.LBFGS([p], line_search_fn="armijo")
        with pytest.raises(TypeError, match="step needs a closure"):
            nn.optim.LBFGS([p]).step()


def two_groups():
    return nn.optim.SGD(
        [{"params": [nn.Parameter(ag.ones(1))]}, {"params": [nn.Parameter(ag.ones(1))], "lr": 0.3}], lr=1.0, momentum=0.5
    )


class TestSchedules:
    @pytest.mark.parametrize("name", reference.SCHEDULES)
    def test_rates(self, name):
        make, steps = reference.SCHEDULES[name]
        found = reference.rates(lr_scheduler, two_groups(), make, steps)
        np.testing.assert_allclose(found, STORED["schedules"][name], rtol=1e-9, atol=1e-12)

    @pytest.mark.parametrize("name", reference.SCHEDULES)
    def test_state_is_taken_up_again(self, name):
        make, _ = reference.SCHEDULES[name]
        first, second = two_groups(), two_groups()
        schedule, again = make(lr_scheduler, first), make(lr_scheduler, second)
        for _ in range(6):
            schedule.step()
        again.load_state_dict(json.loads(json.dumps(schedule.state_dict())))
        for s in (schedule, again):
            s.step()
        assert schedule.get_last_lr() == again.get_last_lr()

    @pytest.mark.parametrize("number", range(3))
    def test_plateaus(self, number):
        optimizer = nn.optim.SGD([nn.Parameter(ag.ones(1))], lr=1.0)
        schedule = lr_scheduler.ReduceLROnPlateau(optimizer, **reference.PLATEAUS[number])
        found = []
        for value in reference.metrics():
            schedule.step(ag.tensor(value))
            found.append(optimizer.param_groups[0]["lr"])
        np.testing.assert_allclose(found, STORED["plateaus"][number], rtol=1e-12)

    def test_in_the_middle(self):
        optimizer = two_groups()
        with pytest.raises(KeyError, match="no 'initial_lr'"):
            lr_scheduler.StepLR(optimizer, 2, last_epoch=4)
        lr_scheduler.StepLR(optimizer, 2)
        assert lr_scheduler.StepLR(optimizer, 2, last_epoch=4).get_last_lr() == pytest.approx([0.01, 0.003])
        schedule = lr_scheduler.CosineAnnealingWarmRestarts(optimizer, 2)
        schedule.step(0.5)
        assert schedule.get_last_lr()[0] == pytest.approx((1 + np.cos(np.pi / 4)) / 2)

    @pytest.mark.parametrize(("call", "error", "words"), [
        (lambda o: lr_scheduler.StepLR(o, 0), ValueError, "step_size must be above 0"),
        (lambda o: lr_scheduler.LinearLR(o, 0.0), ValueError, "factors must be from 0 to 1"),
        (lambda o: lr_scheduler.LambdaLR(o, [abs]), ValueError, "1 functions for 2 parameter groups"),
        (lambda o: lr_scheduler.OneCycleLR(o, 1.0), ValueError, "give total_steps, or both epochs and steps_per_epoch"),
        (lambda o: lr_scheduler.OneCycleLR(o, 1.0, 5).step(6), ValueError, "step 6 of 5: the cycle is over"),
        (lambda o: lr_scheduler.OneCycleLR(o, 1.0, 5, anneal_strategy="up"), ValueError, "'cos' or 'linear'"),
        (lambda o: lr_scheduler.CosineAnnealingWarmRestarts(o, 2, 0), ValueError, "T_mult"),
        (lambda o: lr_scheduler.SequentialLR(o, [lr_scheduler.ExponentialLR(o, 0.5)], [1]), ValueError, "0 milestones"),
        (lambda o: lr_scheduler.SequentialLR(o, [lr_scheduler.ReduceLROnPlateau(o)], []), TypeError, "no function of the step"),
        (lambda o: lr_scheduler.ChainedScheduler([lr_scheduler.StepLR(two_groups(), 2)], o), ValueError, "another optimizer"),
        (lambda o: lr_scheduler.ReduceLROnPlateau(o, factor=1.0), ValueError, "factor must be from 0 to below 1"),
        (lambda o: lr_scheduler.ReduceLROnPlateau(o, mode="low"), ValueError, "mode is 'min' or 'max'"),
        (lambda o: lr_scheduler.StepLR("SGD", 2), TypeError, "expected an optimizer, got a str"),
        (lambda o: lr_scheduler.StepLR(o, 2).load_state_dict({"speed": 1}), ValueError, "unknown entries speed"),
        (lambda o: lr_scheduler.StepLR(o, 2).step(-1), ValueError, "must not be negative"),
    ])  # fmt: skip
    def test_refused(self, call, error, words):
        with pytest.raises(error, match=words):
            call(two_groups())


@pytest.mark.parametrize(("name", "options", "words"), [
    ("NAdam", {"betas": (0.9, 1.0)}, "betas must be two numbers"), ("RAdam", {"eps": -1.0}, "eps must not be negative"),
    ("Adadelta", {"rho": 1.5}, "rho must be from 0 to 1"), ("Adagrad", {"lr_decay": -1.0}, "lr_decay must not be negative"),
    ("RMSprop", {"momentum": -0.1}, "momentum must not be negative"), ("Lion", {"lr": -1.0}, "lr must not be negative"),
    ("LBFGS", {"max_iter": -1}, "max_iter must not be negative"), ("Muon", {"ns_coefficients": (1.0,)}, "three numbers"),
])  # fmt: skip
def test_options_that_make_no_sense(name, options, words):
    with pytest.raises(ValueError, match=words):
        getattr(nn.optim, name)([nn.Parameter(ag.ones((2, 2)))], **options)
