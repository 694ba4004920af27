"""The checkers must catch what is wrong, or nothing that they pass means anything."""

from __future__ import annotations

import numpy as np
import pytest

import autograd as ag


def with_rule(rule):
    class Rule(ag.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x.sin()

        @staticmethod
        def backward(ctx, gradient):
            return rule(gradient, *ctx.saved_tensors)

    return Rule.apply


WRONG_RULES = {
    "wrong sign": lambda g, x: -g * x.cos(),
    "upstream gradient forgotten": lambda g, x: x.cos() + 0 * g,
    "one per cent off": lambda g, x: 1.01 * g * x.cos(),
    "one element wrong": lambda g, x: g * x.cos() * ag.tensor([1.0, 1.0, 1.5], dtype=ag.float64),
    "NaN": lambda g, x: g * x.cos() * float("nan"),
    "zero": lambda g, x: g * 0.0,
}
POINT = ag.tensor([0.3, -1.0, 2.0], dtype=ag.float64, requires_grad=True)


@pytest.mark.parametrize("name", WRONG_RULES)
def test_gradcheck_catches_a_wrong_rule(name):
    f = with_rule(WRONG_RULES[name])
    with pytest.raises(ag.GradcheckError, match=r"gradient of input 0 is wrong; worst at \(\d,\)"):
        ag.gradcheck(f, POINT)
    assert ag.gradcheck(f, POINT, raise_exception=False) is False


def test_gradcheck_passes_the_right_rule():
    assert ag.gradcheck(with_rule(lambda g, x: g * x.cos()), POINT)
    assert ag.gradgradcheck(with_rule(lambda g, x: g * x.cos()), POINT)


def test_gradgradcheck_catches_a_first_order_rule():
    """Right to first order, but its derivative ignores that the slope depends on x."""
    half_right = with_rule(lambda g, x: g * x.detach().cos())
    assert ag.gradcheck(half_right, POINT)
    with pytest.raises(ag.GradcheckError):
        ag.gradgradcheck(half_right, POINT)
    assert ag.gradgradcheck(half_right, POINT, raise_exception=False) is False


def test_gradcheck_catches_one_wrong_input_of_two_and_one_wrong_output_of_two():
    class Product(ag.Function):
        @staticmethod
        def forward(ctx, x, y):
            ctx.save_for_backward(x, y)
            return x * y, x + y

        @staticmethod
        def backward(ctx, to_product, to_sum):
            x, y = ctx.saved_tensors
            return to_product * y + to_sum, to_product * x + 2 * to_sum

    y = ag.tensor([1.0, 2.0, 3.0], dtype=ag.float64, requires_grad=True)
    with pytest.raises(ag.GradcheckError, match="gradient of input 1 is wrong"):
        ag.gradcheck(Product.apply, (POINT, y))
    assert ag.gradcheck(lambda a, b: Product.apply(a, b)[0], (POINT, y))
    assert ag.gradcheck(Product.apply, (POINT, y.detach())), "a constant is not checked"


def test_gradcheck_catches_a_gradient_that_is_missing():
    with pytest.raises(ag.GradcheckError):
        ag.gradcheck(lambda x: ag.tensor(np.sin(x.detach().numpy())) + 0 * x, POINT)


def test_gradcheck_leaves_its_inputs_alone():
    x = ag.tensor([0.3], dtype=ag.float64, requires_grad=True)
    assert ag.gradcheck(ag.exp, x) and ag.gradgradcheck(ag.exp, x)
    assert x.grad is None and x.item() == 0.3
    with ag.no_grad():
        assert ag.gradcheck(ag.exp, x)


def test_gradcheck_of_arrays_numbers_and_no_elements():
    assert ag.gradcheck(lambda x: x * x, np.array([1.0, 2.0]))
    assert ag.gradcheck(lambda x, k: x * k, (np.array([1.0, 2.0]), 3))
    assert ag.gradcheck(lambda x: x * x, ag.zeros(0, dtype=ag.float64, requires_grad=True))


def test_gradcheck_needs_float64():
    with pytest.raises(TypeError, match="input 0 is float32; finite differences need float64"):
        ag.gradcheck(ag.exp, ag.tensor([1.0], requires_grad=True))
    with pytest.raises(ValueError, match="no input requires grad"):
        ag.gradcheck(ag.exp, ag.tensor([1.0]))
