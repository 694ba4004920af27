"""Optimizer: groups, state, closures, saving, and what happens to parameters that change under it."""

import copy
import pickle

import numpy as np
import pytest

import autograd as ag
import nn


def train(model, optimizer, steps=1):
    for _ in range(steps):
        optimizer.zero_grad()
        (model(ag.ones((2, 3))) ** 2).sum().backward()
        optimizer.step()


def values(model):
    return [p.detach().numpy().copy() for p in model.parameters()]


def assert_equal(a, b):
    for x, y in zip(a, b, strict=True):
        np.testing.assert_array_equal(x, y)


def test_parameters_without_a_gradient_are_passed_over():  # T50
    a, b = nn.Parameter(ag.ones(1)), nn.Parameter(ag.ones(1))
    frozen = nn.Parameter(ag.ones(1), requires_grad=False)
    optimizer = nn.optim.Adam([a, b, frozen], lr=0.1, weight_decay=0.5)
    a.grad = ag.ones(1)
    optimizer.step()
    assert b.tolist() == frozen.tolist() == [1.0] and a.tolist() != [1.0]
    assert list(map(id, optimizer.state)) == [id(a)]
    b.grad = ag.ones(1)
    optimizer.step()  # b's bias correction is that of its first step, a's of its second
    assert optimizer.state[a]["step"] == 2 and optimizer.state[b]["step"] == 1
    np.testing.assert_allclose(b.item(), 0.9, rtol=1e-6)


def test_zero_grad():  # T50
    p = nn.Parameter(ag.ones(2))
    optimizer = nn.optim.SGD([p], lr=0.1)
    p.grad = ag.ones(2)
    held = p.grad
    optimizer.zero_grad(set_to_none=False)
    assert p.grad is held and held.tolist() == [0.0, 0.0]
    optimizer.zero_grad()
    assert p.grad is None
    optimizer.zero_grad()


def test_a_step_counts_as_a_change_that_a_graph_notices():
    p = nn.Parameter(ag.ones(2))
    optimizer = nn.optim.Adam([p])
    loss = (p * p).sum()
    p.grad = ag.ones(2)
    optimizer.step()
    with pytest.raises(RuntimeError, match=r"multiply.*changed by an in-place operation"):
        loss.backward()


def test_views_see_a_step():
    base = ag.ones(4)
    p = nn.Parameter(base)
    view = p.detach()[1:]
    optimizer = nn.optim.SGD([p], lr=1.0)
    p.grad = ag.ones(4)
    optimizer.step()
    assert view.tolist() == [0.0] * 3 and base.tolist() == [0.0] * 4
    loss = (ag.tensor([1.0] * 3, requires_grad=True) * view).sum()
    optimizer.step()
    with pytest.raises(RuntimeError, match="changed by an in-place operation"):
        loss.backward()


def test_a_closure_computes_the_loss_again():
    p = nn.Parameter(ag.tensor([3.0]))
    optimizer = nn.optim.SGD([p], lr=0.25)

    def closure():
        optimizer.zero_grad()
        loss = (p * p).sum()
        loss.backward()
        return loss

    with ag.no_grad():
        assert optimizer.step(closure).item() == 9.0
    assert p.tolist() == [1.5] and optimizer.step() is None


def test_parameters_may_be_replaced_converted_and_loaded():
    model = nn.Linear(3, 2)
    optimizer = nn.optim.Adam(model.parameters(), lr=0.1)
    train(model, optimizer, 2)
    saved = {k: t.clone() for k, t in model.state_dict().items()}
    train(model, optimizer)
    model.load_state_dict(saved)
    assert_equal(values(model), [t.numpy() for t in saved.values()])
    train(model, optimizer)
    assert not np.array_equal(values(model)[0], saved["weight"].numpy())
    model.to(ag.float64)  # new memory of another dtype under the same parameters
    optimizer.zero_grad()
    (model(ag.ones((2, 3), dtype=ag.float64)) ** 2).sum().backward()
    before = values(model)
    optimizer.step()
    assert model.weight.dtype == ag.float64 and not np.array_equal(values(model)[0], before[0])
    assert all(s["exp_avg"].dtype == ag.float64 and s["step"] == 5 for s in optimizer.state.values())


@pytest.mark.parametrize("name", ["SGD", "Adam", "AdamW"])
def test_training_goes_on_exactly_after_saving_and_loading(name, tmp_path):  # T51
    options = {"momentum": 0.9, "dampening": 0.1} if name == "SGD" else {"amsgrad": True}
    ag.manual_seed(0)
    model = nn.Linear(3, 2)
    optimizer = getattr(nn.optim, name)(model.parameters(), lr=0.01, **options)
    train(model, optimizer, 3)
    optimizer.param_groups[0]["lr"] = 0.02
    state = {"model": model.state_dict(), "optimizer": optimizer.state_dict()}
    state = copy.deepcopy(state)
    if importable("safetensors"):
        nn.save(tmp_path / "checkpoint.safetensors", state)
        state = nn.load(tmp_path / "checkpoint.safetensors")
    other = nn.Linear(3, 2)
    other.load_state_dict(state["model"])
    resumed = getattr(nn.optim, name)(other.parameters(), lr=1.0)
    resumed.load_state_dict(state["optimizer"])
    assert resumed.param_groups[0]["lr"] == 0.02
    train(model, optimizer, 3)
    train(other, resumed, 3)
    assert_equal(values(model), values(other))


def importable(name):
    import importlib.util

    return importlib.util.find_spec(name) is not None


def test_the_loaded_state_is_a_copy():
    model = nn.Linear(3, 2)
    optimizer = nn.optim.Adam(model.parameters())
    train(model, optimizer)
    other = nn.optim.Adam(model.parameters())
    other.load_state_dict(optimizer.state_dict())
    before = optimizer.state[model.weight]["exp_avg"].tolist()
    train(model, other)
    assert optimizer.state[model.weight]["exp_avg"].tolist() == before


def test_state_dict_has_torchs_layout():
    torch = pytest.importorskip("torch")
    model, theirs = nn.Linear(3, 2), torch.nn.Linear(3, 2)
    model.load_state_dict(theirs.state_dict())
    ours = nn.optim.AdamW(model.parameters(), lr=0.1)
    adam = torch.optim.AdamW(theirs.parameters(), lr=0.1)
    assert ours.state_dict()["state"] == adam.state_dict()["state"] == {}
    train(model, ours)
    (theirs(torch.ones(2, 3)) ** 2).sum().backward()
    adam.step()
    mine, state = ours.state_dict(), adam.state_dict()
    assert mine["state"].keys() == state["state"].keys() == {0, 1}
    assert mine["state"][0].keys() == state["state"][0].keys()
    assert mine["param_groups"][0].keys() <= state["param_groups"][0].keys()
    assert mine["param_groups"][0]["params"] == [0, 1]
    ours.load_state_dict(state)  # and PyTorch's own can be loaded
    train(model, ours)
    adam.zero_grad()
    (theirs(torch.ones(2, 3)) ** 2).sum().backward()
    adam.step()
    np.testing.assert_allclose(model.weight.detach().numpy(), theirs.weight.detach().numpy(), rtol=1e-5)


def test_load_state_dict_explains_what_does_not_fit():
    model = nn.Linear(3, 2)
    optimizer = nn.optim.Adam(model.parameters())
    train(model, optimizer)
    state = optimizer.state_dict()
    with pytest.raises(ValueError, match=r"the state has 1 groups with \[2\] parameters, the optimizer 1 with \[1\]"):
        nn.optim.Adam([model.weight]).load_state_dict(state)
    with pytest.raises(ValueError, match=r"state 'exp_avg' of parameter 0 has shape \(2, 3\), the parameter \(2, 4\)"):
        nn.optim.Adam(nn.Linear(4, 2).parameters()).load_state_dict(state)
    with pytest.raises(ValueError, match="expects a dict with 'state' and 'param_groups'"):
        optimizer.load_state_dict({})


def test_groups_are_checked():  # T49
    model = nn.Linear(3, 2)
    optimizer = nn.optim.SGD([model.weight, model.weight], lr=0.1)
    assert len(optimizer.param_groups[0]["params"]) == 1
    optimizer.add_param_group({"params": [model.bias], "lr": 0.5})
    assert [g["lr"] for g in optimizer.param_groups] == [0.1, 0.5]
    with pytest.raises(ValueError, match="in more than one parameter group"):
        optimizer.add_param_group({"params": [model.bias]})
    with pytest.raises(TypeError, match="unknown options momentun in a parameter group; there are lr, momentum"):
        nn.optim.SGD([{"params": [model.bias], "momentun": 0.9}], lr=0.1)
    with pytest.raises(TypeError, match=r"iterable of tensors or of dicts, as model.parameters"):
        nn.optim.SGD(model.weight, lr=0.1)
    with pytest.raises(TypeError, match="parameters must be tensors, got a str"):
        nn.optim.SGD(["weight"], lr=0.1)
    with pytest.raises(TypeError, match=r"got a tuple; for \(name, parameter\) pairs use model.parameters"):
        nn.optim.SGD(model.named_parameters(), lr=0.1)
    with pytest.raises(TypeError, match="fixed order, which a set does not have"):
        nn.optim.SGD([{"params": set()}], lr=0.1)
    with pytest.raises(ValueError, match="there are no parameters to optimize"):
        nn.optim.SGD([], lr=0.1)
    with pytest.raises(ValueError, match="was made by multiply; only leaves"):
        nn.optim.SGD([model.weight * 2], lr=0.1)
    with pytest.raises(TypeError, match="a parameter group is a dict with 'params'"):
        optimizer.add_param_group([1])


def test_read_only_memory_is_refused():
    p = nn.Parameter(ag.ones(1).expand(3))
    optimizer = nn.optim.SGD([p], lr=0.1)
    p.grad = ag.ones(3)
    with pytest.raises(ValueError, match=r"memory of the parameter \(shape \(3,\)\) is read-only"):
        optimizer.step()


def test_pickle_and_deepcopy_go_with_the_model():
    model = nn.Linear(3, 2)
    optimizer = nn.optim.Adam(model.parameters(), lr=0.1)
    train(model, optimizer, 2)
    pairs = [pickle.loads(pickle.dumps((model, optimizer))), copy.deepcopy((model, optimizer))]
    train(model, optimizer, 2)
    for other, resumed in pairs:
        assert resumed.param_groups[0]["params"][0] is other.weight
        train(other, resumed, 2)
        assert_equal(values(model), values(other))


def test_repr():
    text = repr(nn.optim.SGD([nn.Parameter(ag.ones(1))], lr=0.1))
    assert text.startswith("SGD (\nParameter Group 0\n    dampening: 0.0\n    lr: 0.1\n") and text.endswith(")")


def test_steps_keep_no_memory():
    model = nn.Linear(3, 2)
    optimizer = nn.optim.Adam(model.parameters())
    train(model, optimizer)
    held = len(optimizer._updates)
    arrays = [optimizer.state[p]["exp_avg"]._data for p in model.parameters()]
    train(model, optimizer, 5)
    assert len(optimizer._updates) == held == 2
    assert all(optimizer.state[p]["exp_avg"]._data is a for p, a in zip(model.parameters(), arrays, strict=True))


def test_a_subclass_needs_three_methods():
    with pytest.raises(NotImplementedError, match=r"Optimizer must define rule\(group\)"):
        p = nn.Parameter(ag.ones(1))
        p.grad = ag.ones(1)
        nn.optim.Optimizer([p], {}).step()
