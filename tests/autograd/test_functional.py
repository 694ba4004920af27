"""Functions of functions: values against calculus, nesting, perturbation confusion, checkpoint."""

from __future__ import annotations

import math

import numpy as np
import pytest

import autograd as ag


def cubes(x):
    return (x**3).sum()


def as_leaf(*values: float, requires_grad: bool = False):
    return ag.tensor(list(values), dtype=ag.float64, requires_grad=requires_grad)


def test_grad_and_value_and_grad():
    x = as_leaf(1.0, -2.0)
    assert ag.grad(cubes)(x).tolist() == [3.0, 12.0]
    value, gradient = ag.value_and_grad(cubes)(x)
    assert value.item() == -7.0 and gradient.tolist() == [3.0, 12.0]
    assert not gradient.requires_grad and not value.requires_grad and x.grad is None
    both = ag.grad(lambda a, b: (a * b).sum(), argnums=(0, 1))(x, x + 1)
    assert [g.tolist() for g in both] == [[2.0, -1.0], [1.0, -2.0]]
    assert ag.grad(lambda a, b: (a * b).sum(), argnums=-1)(x, 3 * x).tolist() == [1.0, -2.0]
    gradient, extra = ag.grad(lambda a: (a.sum(), "extra"), has_aux=True)(x)
    assert gradient.tolist() == [1.0, 1.0] and extra == "extra"
    (value, extra), gradient = ag.value_and_grad(lambda a: (a.sum(), "extra"), has_aux=True)(x)
    assert value.item() == -1.0 and extra == "extra"


def test_grad_of_python_numbers():
    assert ag.grad(lambda x: x * x)(3.0).item() == 6.0
    assert ag.grad(lambda x: x * x)(3).item() == 6.0
    assert ag.grad(lambda x, *, k: x * k)(3.0, k=4.0).item() == 4.0


def test_derivatives_of_any_order():
    f = ag.sin
    for order in range(1, 6):
        f = ag.grad(f)
        assert f(ag.tensor(0.7, dtype=ag.float64)).item() == pytest.approx(math.sin(0.7 + order * math.pi / 2), rel=1e-13)


def test_t17_perturbation_confusion():
    assert ag.grad(lambda x: x * ag.grad(lambda y: x)(0.0))(1.0).item() == 0.0
    assert ag.grad(lambda x: x * ag.grad(lambda y: x + y)(1.0))(5.0).item() == 1.0
    assert ag.grad(lambda x: x * ag.grad(lambda y: x * y)(1.0))(3.0).item() == 6.0
    outer = ag.grad(lambda x: ag.grad(lambda y: x * y * y)(x) * x)  # d/dx (2 x * x * x)
    assert outer(2.0).item() == pytest.approx(6 * 4.0)


def test_t17_a_function_that_refers_to_an_enclosing_variable():
    def outer(x):
        return ag.grad(lambda y: x * y)(2.0) + ag.grad(lambda y: y * y * x)(x)

    assert ag.grad(outer)(3.0).item() == pytest.approx(1 + 4 * 3)
    y = ag.tensor(2.0, requires_grad=True)
    gradient = ag.grad(lambda a: a * y * a)(ag.tensor(3.0))
    gradient.backward()
    assert y.grad.item() == 6.0


def test_t19_outputs_and_inputs_that_have_nothing_to_do_with_each_other():
    assert ag.grad(lambda x: x)(2.0).item() == 1.0
    assert ag.grad(lambda x: 3.0)(2.0).item() == 0.0
    assert ag.grad(lambda x: ag.tensor(3.0))(as_leaf(1.0, 2.0)).tolist() == [0.0, 0.0]
    used, unused = ag.grad(lambda x, y: x.sum(), argnums=(0, 1))(as_leaf(1.0, 2.0), as_leaf(1.0))
    assert used.tolist() == [1.0, 1.0] and unused.tolist() == [0.0]
    assert ag.jacobian(lambda x: ag.ones(2, dtype=ag.float64))(as_leaf(1.0, 2.0, 3.0)).tolist() == [[0.0] * 3] * 2
    assert ag.grad(lambda x: x.floor().sum())(as_leaf(1.5)).tolist() == [0.0]


def test_mistakes_are_explained():
    x = as_leaf(1.0, 2.0)
    with pytest.raises(RuntimeError, match=r"grad: the function must return a single number, it returned shape \(2,\); use jacobian"):
        ag.grad(lambda a: a)(x)
    with pytest.raises(TypeError, match="cannot differentiate by argument 0, a tensor of int64; convert it to floats"):
        ag.grad(lambda a: a.sum())(ag.tensor([1, 2]))
    with pytest.raises(TypeError, match="the function must return a tensor, got str"):
        ag.grad(lambda a: "text")(x)
    with pytest.raises(ValueError, match="argnum 1, and the function was called with 1 positional"):
        ag.grad(cubes, argnums=1)(x)
    with pytest.raises(ValueError, match="jvp: 1 arguments, and 2 tangents"):
        ag.jvp(cubes, x, (x, x))
    with pytest.raises(ValueError, match=r"jvp: the upstream gradient has shape \(3,\), the output \(2,\)"):
        ag.jvp(cubes, x, ag.zeros(3))
    with pytest.raises(ValueError, match=r"vjp: the upstream gradient has shape \(3,\)"):
        ag.vjp(lambda a: a * 2, x)[1](ag.zeros(3))
    with pytest.raises(ValueError, match=r"hessian_vector_product: .*\(3,\)"):
        ag.hessian_vector_product(cubes)(x, ag.zeros(3))


def matrix_function(x):
    return ag.stack([x[0] * x[1], x[1].sin(), x[2] ** 2 * x[0]])


POINT = np.array([0.5, -1.2, 2.0])
JACOBIAN = np.array([[-1.2, 0.5, 0.0], [0.0, math.cos(-1.2), 0.0], [4.0, 0.0, 2.0]])


def test_jacobian_vjp_and_jvp_agree():
    x = ag.tensor(POINT)
    assert np.allclose(ag.jacobian(matrix_function)(x).numpy(), JACOBIAN, rtol=1e-14)
    value, pull = ag.vjp(matrix_function, x)
    for row in range(3):
        seed = np.eye(3)[row]
        assert np.allclose(pull(ag.tensor(seed)).numpy(), JACOBIAN[row], rtol=1e-14)
        moved, tangent = ag.jvp(matrix_function, x, ag.tensor(seed))
        assert np.allclose(tangent.numpy(), JACOBIAN[:, row], rtol=1e-14)
        assert np.array_equal(moved.numpy(), value.detach().numpy())
    value, tangent = ag.jvp(lambda a, b: a * b, (x, x + 1), (ag.ones_like(x), ag.zeros_like(x)))
    assert np.allclose(tangent.numpy(), POINT + 1)


def test_jacobian_of_any_shapes():
    x = ag.tensor(np.arange(6.0).reshape(2, 3))
    full = ag.jacobian(lambda a: a.T * 2)(x)
    assert full.shape == (3, 2, 2, 3)
    assert np.array_equal(full.numpy(), 2 * np.einsum("ik,jl->ijlk", np.eye(3), np.eye(2)))
    assert ag.jacobian(lambda a: a.sum())(x).shape == (2, 3)
    assert ag.jacobian(lambda a: a[:0])(x).shape == (0, 3, 2, 3)
    assert ag.jacobian(lambda a: a * 2)(ag.zeros(0, dtype=ag.float64)).shape == (0, 0)
    first, second = ag.jacobian(lambda a, b: a * b, argnums=(0, 1))(as_leaf(1.0, 2.0), as_leaf(3.0, 4.0))
    assert first.tolist() == [[3.0, 0.0], [0.0, 4.0]] and second.tolist() == [[1.0, 0.0], [0.0, 2.0]]


def test_complex_numbers():
    rng = np.random.default_rng(3)
    z, t, u = (ag.asarray(rng.normal(size=3) + 1j * rng.normal(size=3)) for _ in range(3))
    x = ag.asarray(rng.normal(size=3))
    for f, point, slope in (
        (lambda z: z**3, z, 3 * z**2 * t), (lambda z: ag.conj(z) * 2j, z, ag.conj(t) * 2j), (lambda z: z.imag, z, t.imag),
        (lambda x: x**2 * (1 + 2j), x, 2 * x * t.real * (1 + 2j)),
    ):  # fmt: skip
        value, tangent = ag.jvp(f, point, t if point is z else t.real)
        assert ag.allclose(value, f(point)) and tangent.dtype == value.dtype and ag.allclose(tangent, slope)
    for f in (lambda z: ag.abs(z) ** 4, lambda z: (z**3).real):
        by_parts = ag.hessian(lambda parts: f(ag.view_as_complex(parts)).sum())(ag.view_as_real(z))  # noqa: B023
        expected = ag.view_as_complex(ag.einsum("abcd,cd->ab", by_parts, ag.view_as_real(u)))
        assert ag.allclose(ag.hessian_vector_product(lambda z: f(z).sum())(z, u), expected)  # noqa: B023
    assert ag.allclose(ag.jacobian(lambda z: z.real)(z), ag.eye(3))
    for f, point in ((lambda z: z**2, z), (lambda x: x * 1j, x)):
        with pytest.raises(TypeError, match="jacobian: the result is complex128.*view_as_real"):
            ag.jacobian(f)(point)
    with pytest.raises(TypeError, match="hessian: of complex numbers .* no single matrix"):
        ag.hessian(lambda z: ag.abs(z).sum())(z)


def test_hessian_and_its_product_with_a_vector():
    def f(x):
        return (x**3).sum() + x[0] * x[1] * x[2]

    x = ag.tensor(POINT)
    expected = np.diag(6 * POINT) + np.array([[0, 2.0, -1.2], [2.0, 0, 0.5], [-1.2, 0.5, 0]])
    assert np.allclose(ag.hessian(f)(x).numpy(), expected, rtol=1e-13)
    vector = np.array([1.0, -2.0, 0.25])
    assert np.allclose(ag.hessian_vector_product(f)(x, ag.tensor(vector)).numpy(), expected @ vector, rtol=1e-13)
    third = ag.jacobian(ag.hessian(f))(x).numpy()
    assert third.shape == (3, 3, 3) and third[0, 0, 0] == pytest.approx(6.0) and third[0, 1, 2] == pytest.approx(1.0)


def test_elementwise_grad():
    x = as_leaf(0.0, 1.0)
    assert np.allclose(ag.elementwise_grad(ag.sin)(x).numpy(), np.cos([0.0, 1.0]))
    second = ag.elementwise_grad(ag.elementwise_grad(ag.tanh))
    assert np.allclose(second(x).numpy(), -2 * np.tanh([0, 1]) * (1 - np.tanh([0, 1]) ** 2))


@pytest.mark.parametrize("transform", [ag.grad, ag.jacobian, ag.hessian], ids=lambda t: t.__name__)
def test_transforms_under_no_grad_give_plain_numbers(transform):
    x = as_leaf(1.0, 2.0, requires_grad=True)
    recorded = transform(cubes)(x)
    with ag.no_grad():
        plain = transform(cubes)(x)
        assert not ag.is_grad_enabled()
    assert recorded.requires_grad and not plain.requires_grad
    assert np.array_equal(recorded.detach().numpy(), plain.numpy()) and x.grad is None
    with ag.no_grad():
        assert not ag.jvp(cubes, x, ag.ones_like(x))[1].requires_grad
        value, pull = ag.vjp(cubes, x)
        assert not value.requires_grad and not pull(ag.tensor(1.0, dtype=ag.float64)).requires_grad


def test_t18_results_can_be_differentiated_again():
    x = as_leaf(0.5, -1.0, requires_grad=True)
    ag.grad(cubes)(x).sum().backward()
    assert np.allclose(x.grad.numpy(), 6 * x.detach().numpy())
    x.grad = None
    ag.jvp(cubes, x, ag.ones_like(x))[1].backward()
    assert np.allclose(x.grad.numpy(), 6 * x.detach().numpy())
    x.grad = None
    ag.hessian(cubes)(x).sum().backward()
    assert np.allclose(x.grad.numpy(), 6.0)


def test_a_pull_can_be_used_again():
    _, pull = ag.vjp(ag.exp, as_leaf(0.0))
    assert pull(as_leaf(1.0)).item() == 1.0 and pull(as_leaf(2.0)).item() == 2.0


# --- checkpoint -------------------------------------------------------------------------------------------------------


def block(x, w):
    return (x @ w).tanh().sum(axis=-1)


def test_checkpoint_gives_the_same_gradients():
    values = np.linspace(-1, 1, 6).reshape(2, 3)
    weights = np.linspace(0.3, -0.9, 12).reshape(3, 4)
    found = []
    for function in (block, ag.checkpoint(block), lambda x, w: ag.checkpoint(block, x, w)):
        x, w = ag.tensor(values, requires_grad=True), ag.tensor(weights, requires_grad=True)
        out = function(x, w)
        first = ag.gradients(out.sum(), [x, w], create_graph=True)
        sum((g * g).sum() for g in first).backward()
        found.append([out, *first, x.grad, w.grad])
    for other in found[1:]:
        for mine, theirs in zip(found[0], other, strict=True):
            assert np.allclose(mine.detach().numpy(), theirs.detach().numpy(), rtol=1e-13)


def test_checkpoint_keeps_nothing_of_its_inside():
    x = as_leaf(1.0, requires_grad=True)
    calls = []

    def inside(a):
        calls.append(ag.is_grad_enabled())
        return a.exp().sin().cos()

    out = ag.checkpoint(inside, x)
    assert len(calls) == 1 and set(filter(None, out.grad_fn.inputs)) == {x._edge}
    out.backward()
    assert len(calls) == 2


def test_t35_checkpoint_draws_the_same_mask_again():
    ag.manual_seed(3)
    x = ag.ones(1000, requires_grad=True)
    out = ag.checkpoint(lambda a: ag.dropout(a, 0.5), x)
    after = ag.rand(4).tolist()
    out.sum().backward()
    assert np.array_equal(x.grad.numpy(), out.detach().numpy())
    ag.manual_seed(3)
    ag.dropout(ag.ones(1000), 0.5)
    assert ag.rand(4).tolist() == after, "the second run must not move the random state"


def test_checkpoint_of_a_function_with_several_results_and_constants():
    x = as_leaf(1.0, 2.0, requires_grad=True)
    a, b = ag.checkpoint(lambda t, k: (t * k, t.sin()), x, 3.0)
    (a + b * b).sum().backward()
    plain = x.detach().numpy()
    assert np.allclose(x.grad.numpy(), 3 + 2 * np.sin(plain) * np.cos(plain))


def test_checkpoint_reaches_tensors_that_are_no_arguments():
    """A module's parameters are in the function, not among its arguments: they must get their gradients."""
    for x in (as_leaf(2.0), as_leaf(2.0, requires_grad=True)):
        w, b = as_leaf(3.0, requires_grad=True), as_leaf(1.0, requires_grad=True)
        out = ag.checkpoint(lambda a, bias, w=w: (a * w + bias).square(), x, bias=b)
        out.sum().backward()
        assert w.grad.item() == 2 * 7 * 2 and b.grad.item() == 2 * 7
        assert not x.requires_grad or x.grad.item() == 2 * 7 * 3
        w2 = as_leaf(3.0, requires_grad=True)
        (again,) = ag.gradients(ag.checkpoint(lambda a, w=w2: a * w, x).sum(), w2)
        assert again.item() == 2.0 and w2.grad is None


def test_checkpoint_inside_a_transform():
    """The tensor that the inner function refers to is what the outer one differentiates by."""
    x = as_leaf(2.0, requires_grad=True)
    for w in (as_leaf(3.0), as_leaf(3.0, requires_grad=True)):
        gradient = ag.grad(lambda w: ag.checkpoint(lambda a: (a * w * w).sum(), x))(w)
        assert gradient.item() == 12.0
        gradient = ag.grad(lambda w: ag.checkpoint(lambda a: (a * (w * w)).sum(), x) + w.sum())(w)
        assert gradient.item() == 13.0
    outside = w * w  # an intermediate result, whose graph others use too
    total = ag.checkpoint(lambda a: (a * outside).sum(), x) + outside.sum()
    total.backward()
    assert w.grad.item() == 2.0 * 6 + 6 and x.grad.item() == 9.0
