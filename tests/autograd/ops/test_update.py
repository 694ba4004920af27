"""Tensors changed outside the graph: one launch that overwrites its operands, conversion in place, gradients forgotten."""

import numpy as np
import pytest

import autograd as ag
from autograd.ops.update import Update, clear_grad, move
from kernels import formulas

VALUES = tuple(map(float, formulas.sgd_momentum.prepare((0.5, 0.9, 0.0, 0.0))))


def test_update_overwrites_target_and_state():
    p, buffer, g = ag.tensor([1.0, 2.0]), ag.zeros(2), ag.tensor([1.0, -1.0])
    memory = p.numpy(), buffer.numpy()
    update = Update(formulas.sgd_momentum, p, (buffer,))
    update.run(g, VALUES)
    assert p.tolist() == [0.5, 2.5] and buffer.tolist() == [1.0, -1.0] and g.tolist() == [1.0, -1.0]
    assert memory[0] is p.numpy() and memory[1] is buffer.numpy()


def test_update_follows_a_change_of_memory_and_dtype():
    p, buffer = ag.tensor([1.0, 2.0], requires_grad=True), ag.zeros(2)
    update = Update(formulas.sgd_momentum, p, (buffer,))
    update.run(ag.ones(2), VALUES)
    move(p, ag.float64)
    update.run(ag.ones(2, dtype=ag.float64), VALUES)
    assert buffer.dtype == ag.float64
    np.testing.assert_allclose(p.tolist(), [1 - 0.5 - 0.95, 2 - 0.5 - 0.95], rtol=1e-6)


def test_update_says_what_does_not_fit():
    update = Update(formulas.sgd_momentum, ag.zeros(2), (ag.zeros(2),))
    with pytest.raises(RuntimeError, match=r"sgd_momentum: the parameter is float32\(2,\) on cpu, its gradient float64\(3,\)"):
        update.run(ag.ones(3, dtype=ag.float64), VALUES)


def test_complex_parameters_are_refused():
    p, state = ag.tensor([1 + 2j, 3]), (ag.zeros(2, dtype="complex64"), ag.zeros(2, dtype="complex64"))
    with pytest.raises(TypeError, match="adam: takes real parameters, this one is complex64.*view_as_real"):
        Update(formulas.adam, p, state).run(ag.tensor([2j, 2]), ())


def test_update_counts_as_a_change():
    p = ag.ones(2, requires_grad=True)
    loss = (p * p).sum()
    Update(formulas.sgd_momentum, p, (ag.zeros(2),)).run(ag.ones(2), VALUES)
    with pytest.raises(RuntimeError, match="changed by an in-place operation"):
        loss.backward()


def test_move_keeps_gradient_hooks_and_those_who_share_the_old_memory():
    p = ag.ones(2, requires_grad=True)
    view = p.detach()
    seen = []
    p.register_hook(lambda g: seen.append(g.dtype))
    p.grad = ag.tensor([1.0, 2.0])
    move(p, ag.float64)
    assert p.requires_grad and p.is_leaf and p.dtype == ag.float64
    assert p.grad.tolist() == [1.0, 2.0] and p.grad.dtype == ag.float64
    (p * 3).sum().backward()
    assert p.grad.tolist() == [4.0, 5.0] and seen == [ag.float64]
    with ag.no_grad():
        p.fill_(7.0)
    assert view.tolist() == [1.0, 1.0] and view.dtype == ag.float32
    before = p.numpy() if not p.requires_grad else p.detach().numpy()
    move(p, ag.float64)
    assert p.detach().numpy() is before  # nothing to do
    with pytest.raises(RuntimeError, match="only leaves can be converted in place, this tensor was made by multiply"):
        move(p * 2, ag.float32)


def test_clear_grad():
    p = ag.ones(2, requires_grad=True)
    clear_grad(p)
    (p * p).sum().backward(create_graph=True)
    assert p.grad.requires_grad
    clear_grad(p, set_to_none=False)
    assert p.grad.tolist() == [0.0, 0.0] and not p.grad.requires_grad
    clear_grad(p)
    assert p.grad is None
    clear_grad(ag.ones(2))
