"""Mistakes that were once here, each as the program that showed it."""

import operator

import numpy as np
import pytest

import autograd as ag
import nn
from kernels import cpu, formulas
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
    with pytest.raises(TypeError, match="computes in floats, its operands are complex64, float64"):
        ag.fuse(lambda x, y, *, s=2.0: x * y * s)(ag.tensor([1j]), leaf(1.0), s=5.0)
    with pytest.raises(TypeError, match="not defined on complex128"):
        ag.fuse(lambda x, y, *, s=2.0: x * y * s)(leaf(1.0), 1j, s=5.0)
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


@pytest.mark.parametrize("options", [{}, {"label_smoothing": 0.1}, {"weight": ag.tensor([1.0, 2.0, 3.0], dtype=ag.float64)}])
def test_second_derivatives_of_a_mean_cross_entropy_over_ignored_rows_alone(options):
    x = leaf(1.0, 2.0, 3.0, 4.0, 5.0, 6.0)
    loss = functional.cross_entropy(x.reshape(2, 3), ag.tensor([-100, -100]), **options)
    assert np.isnan(loss.item())  # the mean of no losses, as in PyTorch; its derivatives are 0 there
    (first,) = ag.gradients(loss, x, create_graph=True)
    (second,) = ag.gradients((first * x.detach()).sum(), x)
    assert first.tolist() == second.tolist() == [0.0] * 6


def test_switching_requires_grad_off_and_on_keeps_the_gradient_and_hooks():
    x = leaf(1.0, 2.0)
    x.register_hook(lambda grad: grad * 10)
    before = (x * 2).sum()
    before.backward(retain_graph=True)
    x.requires_grad_(False)
    assert x.grad.tolist() == [20.0, 20.0]
    before.backward(retain_graph=True)  # comes to nothing meanwhile
    assert x.grad.tolist() == [20.0, 20.0]
    x.requires_grad = True
    before.backward()
    (x * 3).sum().backward()
    assert x.grad.tolist() == [70.0, 70.0]


def test_frozen_parameters_are_converted_with_their_gradients_and_cleared():
    layer = nn.Linear(1, 1)
    layer(ag.ones((1, 1))).sum().backward()
    layer.requires_grad_(False).to(ag.float64)
    assert layer.weight.grad.dtype == ag.float64
    layer.requires_grad_(True)(ag.ones((1, 1), dtype=ag.float64)).sum().backward()
    assert layer.weight.grad.tolist() == [[2.0]]
    layer.requires_grad_(False).zero_grad()
    assert layer.weight.grad is None


def test_retain_grad_follows_a_tensor_through_changes_in_place():
    a = leaf(1.0, 2.0)
    b = a * 2
    b.retain_grad()
    b.sum().backward(retain_graph=True)
    b *= 3
    assert b.grad.tolist() == [1.0, 1.0]  # that of the old value stays
    (b * b).sum().backward()
    assert b.grad.tolist() == [13.0, 25.0]
    c = a * 2
    c.retain_grad()
    branch = c * 5
    c[0] = 7.0
    (c.sum() + branch.sum()).backward()
    assert c.grad.tolist() == [1.0, 1.0]  # of the latest value alone


def test_integers_beyond_int64_are_not_rounded():
    for dtype in (None, ag.uint64):
        made = ag.tensor([[2**63 + 1, 1], [True, 2**64 - 1]], dtype=dtype)
        assert made.dtype == ag.uint64
        assert made.tolist() == [[2**63 + 1, 1], [1, 2**64 - 1]]
    with pytest.raises(OverflowError, match="no integer type holds them all"):
        ag.tensor([2**63, -1])
    assert ag.tensor([2**63, -1], dtype=ag.float64).tolist() == [2.0**63, -1.0]
    assert ag.tensor([2**63, -1.0]).dtype == ag.tensor([2.0**63, 1]).dtype == ag.float32


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.int64, np.uint64])
@pytest.mark.parametrize("number", [-1, 300, -(2**70), 2**70])
def test_comparisons_with_integers_out_of_bounds(dtype, number):
    x = ag.tensor([0, 1], dtype=dtype)
    for compare in (operator.lt, operator.le, operator.gt, operator.ge, operator.eq, operator.ne):
        assert compare(x, number).tolist() == [compare(0, number), compare(1, number)]
        assert compare(number, x).tolist() == [compare(number, 0), compare(number, 1)]


def test_negative_powers_of_integers_are_refused():
    x = ag.tensor([2, 3])
    for exponent in (ag.tensor([1, -1]), ag.tensor([-1], dtype=ag.int8), ag.tensor(-1), -1):
        with pytest.raises(ValueError, match="negative power"):
            x**exponent
        with pytest.raises(ValueError, match="negative power"):
            x.pow_(exponent)
    with pytest.raises(ValueError, match="negative power"):
        2 ** ag.tensor([1, -1])
    for _ in range(2):  # planned, and by the plan
        assert (x ** ag.tensor([3, 0])).tolist() == [8, 1]
    assert (x ** ag.tensor([], dtype=ag.int64).reshape(0, 1)).shape == (0, 2)
    assert (ag.tensor([2.0, 4.0]) ** ag.tensor([-1, 0])).tolist() == [0.5, 1.0]


def test_reductions_called_by_numpy():
    x = leaf(1.0, 2.0, 6.0)
    for function, value in ((np.sum, 9.0), (np.mean, 3.0), (np.max, 6.0), (np.min, 1.0), (np.prod, 12.0)):
        found = function(x)
        assert found.item() == value
        assert found.requires_grad
        assert function(x, axis=0, keepdims=True).tolist() == [value]
    assert np.argmax(x).item() == 2
    assert np.any(x).item() is np.all(x).item() is True
    assert np.sum(x, dtype=np.float32).dtype == ag.float32
    with pytest.raises(TypeError, match=r"max: tensors have no out="):
        np.max(x, out=np.zeros(()))


def test_results_are_not_cast_to_a_lesser_kind():
    a = np.array([0.5, 2.5])
    for dtype in (np.int64, np.bool_):
        with pytest.raises(TypeError, match=f"add: the result is float64 and does not fit an out of {np.dtype(dtype)}"):
            cpu.apply(formulas.add, a, a, out=np.zeros(2, dtype))
    assert cpu.apply(formulas.less, a, 1.0, out=np.zeros(2, np.float32)).tolist() == [1.0, 0.0]
    assert cpu.apply(formulas.add, a, a, out=np.zeros(2, np.float32)).tolist() == [1.0, 5.0]
    assert cpu.apply(formulas.add, a, a, out=np.zeros(2, np.int64), dtype=np.int64).tolist() == [0, 4]
