"""Function: operations with a derivative rule of the user's own."""

from __future__ import annotations

import numpy as np
import pytest

import autograd as ag
from autograd.tensor import Tensor


class Cube(ag.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * x * x

    @staticmethod
    def backward(ctx, gradient):
        (x,) = ctx.saved_tensors
        return gradient * 3 * x * x


class Exp(ag.Function):
    """Saves its result."""

    @staticmethod
    def forward(ctx, x):
        out = x.exp()
        ctx.save_for_backward(out)
        return out

    @staticmethod
    def backward(ctx, gradient):
        (out,) = ctx.saved_tensors
        return gradient * out


class Scale(ag.Function):
    """Arguments that are no tensors, and an operand without gradient."""

    @staticmethod
    def forward(ctx, x, factor, name=None):
        ctx.factor = factor
        ctx.needs = ctx.needs_input_grad
        return x * factor

    @staticmethod
    def backward(ctx, gradient):
        assert ctx.needs == (True, False, False)
        return gradient * ctx.factor, None, None


class SineAndCosine(ag.Function):
    @staticmethod
    def forward(ctx, x):
        out = x.sin(), x.cos()
        ctx.save_for_backward(*out)
        return out

    @staticmethod
    def backward(ctx, to_sine, to_cosine):
        sine, cosine = ctx.saved_tensors
        return to_sine * cosine - to_cosine * sine


def leaf(*values: float) -> Tensor:
    return ag.tensor(list(values), dtype=ag.float64, requires_grad=True)


@pytest.mark.parametrize("function", [Cube, Exp, SineAndCosine], ids=lambda f: f.__name__)
def test_gradients_to_second_order(function):
    x = leaf(0.5, -1.5)
    assert ag.gradcheck(function.apply, x) and ag.gradgradcheck(function.apply, x)


def test_third_order_through_a_saved_result():
    assert ag.grad(ag.grad(ag.grad(Exp.apply)))(ag.tensor(0.5, dtype=ag.float64)).item() == pytest.approx(np.exp(0.5))


def test_other_arguments():
    x = leaf(2.0)
    Scale.apply(x, 4.0, "name").backward()
    assert x.grad.item() == 4.0


def test_a_result_that_nobody_uses():
    x = leaf(0.5)
    SineAndCosine.apply(x)[1].sum().backward()
    assert x.grad.item() == pytest.approx(-np.sin(0.5))


def test_nothing_is_recorded_without_need():
    assert not Cube.apply(ag.tensor([1.0])).requires_grad
    with ag.no_grad():
        assert not Cube.apply(leaf(1.0)).requires_grad


def test_forward_is_not_recorded_itself():
    out = Cube.apply(leaf(1.0))
    assert out.grad_fn.name == "Cube" and repr(out.grad_fn) == "<Cube>" and len(out.grad_fn.inputs) == 1


def test_an_argument_handed_back_keeps_its_history():
    class Same(ag.Function):
        @staticmethod
        def forward(ctx, x):
            return x

        @staticmethod
        def backward(ctx, gradient):
            return gradient * 10

    x = leaf(1.0)
    y = x * 2
    out = Same.apply(y)
    assert out is not y and y.grad_fn.name == "multiply"
    (out + y).sum().backward()
    assert x.grad.item() == 22.0


def test_a_foreign_tensor_handed_back_keeps_its_history():
    foreign = leaf(5.0)
    made = foreign * 3

    class Foreign(ag.Function):
        @staticmethod
        def forward(ctx, x):
            return made

        @staticmethod
        def backward(ctx, gradient):
            return gradient

    x = leaf(1.0)
    Foreign.apply(x).sum().backward()
    assert x.grad.item() == 1.0 and made.grad_fn.name == "multiply" and foreign.grad is None


def test_saved_tensors_notice_changes():
    x = leaf(1.0, 2.0)
    y = x * 1
    out = Cube.apply(y).sum()
    with ag.no_grad():
        y += 1
    with pytest.raises(RuntimeError, match=r"backward of Cube: a saved tensor .*changed by an in-place operation"):
        out.backward()
    y = Exp.apply(x)
    out = y.sum()
    with ag.no_grad():
        y += 1
    with pytest.raises(RuntimeError, match="backward of Exp: a saved tensor"):
        out.backward()


def test_t18_a_rule_that_leaves_tensor_operations_raises_instead_of_giving_zero():
    class ByNumpy(ag.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return ag.tensor(np.sin(x.detach().numpy()))

        @staticmethod
        def backward(ctx, gradient):
            (x,) = ctx.saved_tensors
            return ag.tensor(gradient.detach().numpy() * np.cos(x.detach().numpy()))

    x = leaf(0.5)
    ByNumpy.apply(x).backward()
    assert x.grad.item() == pytest.approx(np.cos(0.5))
    with pytest.raises(RuntimeError, match="ByNumpy.backward cannot be differentiated again"):
        ByNumpy.apply(x).backward(create_graph=True)


def test_t18_once_differentiable():
    class Once(ag.Function):
        @staticmethod
        def forward(ctx, x):
            return x * 2

        @staticmethod
        @ag.once_differentiable
        def backward(ctx, gradient):
            return gradient * 2

    x = leaf(1.0)
    Once.apply(x).backward()
    assert x.grad.item() == 2.0
    with pytest.raises(RuntimeError, match="once_differentiable: it cannot run with create_graph=True"):
        Once.apply(x).backward(create_graph=True)


def test_results_without_gradient():
    class Sorted(ag.Function):
        @staticmethod
        def forward(ctx, x):
            order = np.argsort(x.detach().numpy())
            ctx.order = order
            places = ag.tensor(order.astype(np.float64))
            ctx.mark_non_differentiable(places)
            return ag.tensor(x.detach().numpy()[order]), places

        @staticmethod
        def backward(ctx, gradient, nothing):
            assert nothing.tolist() == [0.0, 0.0]
            out = np.empty_like(gradient.numpy())
            out[ctx.order] = gradient.numpy()
            return ag.tensor(out)

    x = leaf(2.0, 1.0)
    values, places = Sorted.apply(x)
    assert values.requires_grad and not places.requires_grad
    (values * ag.tensor([1.0, 10.0], dtype=ag.float64)).sum().backward()
    assert x.grad.tolist() == [10.0, 1.0]


def test_mistakes_are_explained():
    class Two(ag.Function):
        @staticmethod
        def forward(ctx, x, y):
            return x * y

        @staticmethod
        def backward(ctx, gradient):
            return gradient

    class NoTensor(Cube):
        @staticmethod
        def forward(ctx, x):
            return 3.0

    class WrongGradient(Cube):
        @staticmethod
        def backward(ctx, gradient):
            return 3.0

    class Savings(Cube):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x, 3)
            return x * 1

    class Empty(ag.Function):
        pass

    class OnlyForward(ag.Function):
        @staticmethod
        def forward(ctx, x):
            return x * 1

    x = leaf(1.0)
    with pytest.raises(RuntimeError, match=r"Two\.backward must give one gradient \(or None\) per argument of forward: 2, and gave 1"):
        Two.apply(x, x).backward()
    with pytest.raises(TypeError, match=r"NoTensor\.forward must give tensors, result 0 is a float"):
        NoTensor.apply(x)
    with pytest.raises(TypeError, match=r"WrongGradient\.backward gave a float for argument 0"):
        WrongGradient.apply(x).backward()
    with pytest.raises(TypeError, match="save_for_backward: takes tensors, got int; keep it as an attribute"):
        Savings.apply(x)
    with pytest.raises(NotImplementedError, match="static method forward"):
        Empty.apply(x)
    with pytest.raises(NotImplementedError, match="no static method backward"):
        OnlyForward.apply(x).backward()
