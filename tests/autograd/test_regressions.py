"""Mistakes that were once here, each as the program that showed it."""

import numpy as np
import pytest

import autograd as ag
import nn
from nn import functional


def leaf(*values):
    return ag.tensor(values, dtype=ag.float64, requires_grad=True)


def test_checkpoint_reaches_intermediate_tensors_that_are_no_arguments():
    w, x = leaf(2.0), leaf(3.0)
    assert ag.grad(lambda w: ag.checkpoint(lambda x: x * w * w, x).sum())(w).tolist() == [12.0]
    assert ag.hessian(lambda w: ag.checkpoint(lambda x: x * w * w, x).sum())(w).tolist() == [[6.0]]
    h = w * w
    (found,) = ag.gradients(ag.checkpoint(lambda x: x * h, x).sum() + h.sum(), [h])
    assert found.tolist() == [4.0]
    (ag.checkpoint(lambda x: x * h, x).sum() + h.sum()).backward()
    assert w.grad.tolist() == [16.0]


@pytest.mark.parametrize("dtype", [">f8", ">f4", ">i4", ">i8"])
def test_byte_order_is_undone(dtype):
    array = np.array([1, 2], dtype)
    for made in (ag.tensor(array), ag.asarray(array), ag.tensor([0.0, 0.0]).copy_(array)):
        assert made.tolist() == [1, 2]
        assert made.dtype.isnative


def test_gradients_of_a_recorded_pass_share_no_memory():
    a, b = leaf(3.0, 4.0), leaf(0.0, 0.0)
    ((a + b) ** 2).sum().backward(create_graph=True)
    assert not np.may_share_memory(a.grad.detach().numpy(), b.grad.detach().numpy())


def test_adding_to_a_gradient_counts_as_a_change():
    x, w = leaf(1.0, 2.0), leaf(1.0, 1.0)
    (x * 3).sum().backward()
    loss = (w * x.grad).sum()
    (x * 5).sum().backward()
    with pytest.raises(RuntimeError, match="changed by an in-place operation"):
        loss.backward()


def test_a_broadcast_gradient_is_not_added_to_in_place():
    x = leaf(1.0, 1.0, 1.0)
    x.grad = ag.zeros(1, dtype=ag.float64).broadcast_to(3)
    (x * ag.tensor([1.0, 2.0, 3.0])).sum().backward()
    assert x.grad.tolist() == [1.0, 2.0, 3.0]


def test_cross_entropy_notices_changed_targets():
    targets = ag.tensor([0])
    loss = functional.cross_entropy(ag.tensor([[1.0, 2.0, 3.0]], requires_grad=True), targets)
    targets[0] = 2
    with pytest.raises(RuntimeError, match="changed by an in-place operation"):
        loss.backward()


def test_views_made_under_no_grad_count_as_sharing():
    base, factor = leaf(1.0, 1.0, 1.0) * 1, leaf(5.0)
    with ag.no_grad():
        view = base[:2]
    with pytest.raises(RuntimeError, match="shares its memory"):
        view *= factor


def test_fused_functions_refuse_what_they_would_round_or_freeze():
    with pytest.raises(TypeError, match="computes in floats, its operands are int64"):
        ag.fuse(lambda x, y: x + y)(ag.tensor([2**53 + 1]), ag.tensor([0]))
    with pytest.raises(TypeError, match="returns a truth value"):
        ag.fuse(lambda x: x > 0)(leaf(1.0))
    with pytest.raises(TypeError, match="Pass other tensors in as arguments"):
        ag.fuse(lambda x: x * ag.tensor(2.0))(leaf(1.0))
    with pytest.raises(TypeError, match="s requires grad"):
        ag.fuse(lambda x, *, s: x * s)(leaf(1.0), s=ag.tensor(3.0, requires_grad=True))


def test_fused_functions_take_numpy_numbers_and_clip():
    x = leaf(0.25, 2.0)
    assert ag.fuse(lambda x: x / np.sqrt(4.0))(x).tolist() == [0.125, 1.0]
    assert ag.fuse(lambda x: ag.clip(x, 0.0, 1.0))(x).tolist() == [0.25, 1.0]


def test_norms_of_small_order_at_zero():
    x = leaf(0.0, 1.0)
    ag.norm(x, 0.5).backward()
    assert x.grad.tolist() == [0.0, 1.0]


def test_integers_out_of_bounds_are_refused():
    u = ag.zeros(2, dtype=ag.uint8)
    for value in (300, -1, float("nan")):
        with pytest.raises(OverflowError, match="out of bounds for uint8"):
            u[0] = value
    with pytest.raises(ValueError, match="negative power"):
        ag.tensor([2, 3]) ** -1


def test_a_list_of_tensors_is_no_argument_to_differentiate_by():
    with pytest.raises(TypeError, match="give them as arguments of their own"):
        ag.grad(lambda pair: (pair[0] * pair[1]).sum())([leaf(1.0), leaf(1.0)])


def test_linear_layers_of_size_zero():
    nn.Linear(3, 0)(ag.ones((2, 2, 3))).sum().backward()
    nn.Linear(0, 3)(ag.ones((2, 2, 0))).sum().backward()


def test_a_function_with_an_integer_result_is_differentiable_twice():
    class Both(ag.Function):
        @staticmethod
        def forward(ctx, x):
            return x * 2, ag.argmax(x)

        @staticmethod
        def backward(ctx, grad, _):
            return grad * 2

    x = leaf(1.0, 2.0)
    (found,) = ag.gradients(Both.apply(x)[0].sum(), [x], create_graph=True)
    assert found.tolist() == [2.0, 2.0]
