"""Optimizers on CUDA: a step over many parameters is one launch, with the results of a launch for each."""

import copy

import numpy as np
import pytest
from cuda_support import needs_cuda

import autograd as ag
import nn
from kernels.launch import observe

pytestmark = needs_cuda

SHAPES = [(3, 5), (5,), (1,), (), (7, 2, 2), (0, 4)]
CASES = [
    ("SGD", {"lr": 0.1, "weight_decay": 0.05}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "dampening": 0.3}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "nesterov": True, "maximize": True}),
    ("Adam", {"lr": 0.05, "weight_decay": 0.1}),
    ("AdamW", {"lr": 0.05, "amsgrad": True}),
]


def parameters(device="cuda", dtype=np.float32):
    random = np.random.default_rng(0)
    return [nn.Parameter(ag.tensor(random.standard_normal(s).astype(dtype), device=device)) for s in SHAPES]


def give_gradients(params, seed):
    random = np.random.default_rng(seed)
    for p in params:
        p.grad = ag.tensor(random.standard_normal(p.shape), dtype=p.dtype, device=p.device)


def bits(params):
    return [p.detach().numpy().tobytes() for p in params]


def count_launches(step):
    """The launches of a step, without those that make a state of zeros."""
    launches = []
    with observe(launches.append):
        step()
    return sum(launch.kernel.startswith(("sgd", "adam")) for launch in launches)


@pytest.mark.parametrize(("name", "options"), CASES)
def test_one_launch_with_the_results_of_many(name, options):
    together, alone, on_cpu = parameters(), parameters(), parameters("cpu")
    make = getattr(nn.optim, name)
    one, many, reference = make(together, **options), [make([p], **options) for p in alone], make(on_cpu, **options)
    for step in range(4):
        for params in (together, alone, on_cpu):
            give_gradients(params, step)
        assert count_launches(one.step) == 1
        for optimizer in many:
            optimizer.step()
        reference.step()
        assert bits(together) == bits(alone)
    for p, q in zip(together, on_cpu, strict=True):
        np.testing.assert_allclose(p.detach().numpy(), q.detach().numpy(), rtol=1e-5, atol=1e-6)
    states = [[s.numpy().tobytes() for s in o.values() if isinstance(s, ag.Tensor)] for o in one.state.values()]
    assert states == [
        [s.numpy().tobytes() for s in o.values() if isinstance(s, ag.Tensor)] for each in many for o in each.state.values()
    ]


def test_dtypes_groups_and_missing_gradients():
    singles, doubles = parameters(), parameters(dtype=np.float64)
    alone, others = parameters(), parameters(dtype=np.float64)
    optimizer = nn.optim.Adam([{"params": [*singles[:3], *doubles]}, {"params": singles[3:], "lr": 0.5}], lr=0.1)
    each = [nn.optim.Adam([p], lr=0.5 if k in (3, 4, 5) else 0.1) for k, p in enumerate([*alone, *others])]
    for step in range(3):
        give_gradients([*singles, *doubles], step)
        give_gradients([*alone, *others], step)
        if step == 1:  # those that miss a step have other bias corrections from now on
            for params in (singles, alone):
                params[1].grad = None
        launches = count_launches(optimizer.step)
        assert launches == (4 if step == 2 else 3)
        for one in each:
            one.step()
        assert bits([*singles, *doubles]) == bits([*alone, *others])


def test_gradients_in_another_order_of_memory_and_tied_memory():
    weights, random = parameters(), np.random.default_rng(5)
    tied = weights[0].detach().requires_grad_()
    optimizer = nn.optim.SGD([*weights, tied], lr=0.5)
    expected = [p.detach().numpy().astype(np.float64) for p in weights]
    give_gradients([*weights, tied], 1)
    turned = random.standard_normal((5, 3)).astype(np.float32)
    weights[4].grad = ag.tensor(random.standard_normal((2, 2, 7)).astype(np.float32), device="cuda").permute_dims((2, 1, 0))
    weights[0].grad = ag.tensor(turned, device="cuda").T
    for k, p in enumerate([*weights, tied]):
        expected[k % 6] = expected[k % 6] - 0.5 * p.grad.numpy()
    optimizer.step()
    for p, wanted in zip(weights, expected, strict=True):
        np.testing.assert_allclose(p.detach().numpy(), wanted, rtol=1e-5, atol=1e-6)
    assert tied.detach().numpy().tobytes() == weights[0].detach().numpy().tobytes()


def test_a_step_counts_as_a_change():
    params = parameters()
    give_gradients(params, 0)
    losses = [(p * p).sum() for p in params[:2]]
    nn.optim.SGD(params, lr=0.1).step()
    for loss in losses:
        with pytest.raises(RuntimeError, match="changed by an in-place operation"):
            loss.backward()


def test_new_memory_copies_and_states_that_are_loaded():
    params = parameters()
    optimizer = nn.optim.Adam(params, lr=0.1)

    def steps(optimizer, params, first, count=2):
        for step in range(first, first + count):
            give_gradients(params, step)
            optimizer.step()

    steps(optimizer, params, 0)
    other = copy.deepcopy((params, optimizer))
    saved = parameters()
    for p, q in zip(saved, params, strict=True):
        with ag.no_grad():
            p.copy_(q) if hasattr(p, "copy_") else p.__setitem__(..., q.detach())
    loaded = nn.optim.Adam(saved, lr=0.1)
    loaded.load_state_dict(optimizer.state_dict())
    steps(optimizer, params, 2)
    steps(other[1], other[0], 2)
    steps(loaded, saved, 2)
    assert bits(params) == bits(other[0]) == bits(saved)


def test_parameters_that_move_to_the_device_and_back():
    from autograd.ops.update import move

    params, expected = parameters("cpu"), parameters("cpu")
    optimizer, reference = nn.optim.Adam(params, lr=0.1), nn.optim.Adam(expected, lr=0.1)
    counts = []
    for step, device in enumerate(["cpu", "cuda", "cuda", "cpu"]):
        for p in params:
            move(p, device=device)
        give_gradients(params, step)
        give_gradients(expected, step)
        counts.append(count_launches(optimizer.step))
        reference.step()
    assert counts[2] == 1
    for p, q in zip(params, expected, strict=True):
        np.testing.assert_allclose(p.detach().numpy(), q.detach().numpy(), rtol=1e-5, atol=1e-6)
