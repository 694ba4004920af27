"""Elementwise operations at their special points, through tensors, to second order: the README's convention table."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import autograd as ag
from autograd.ops.elementwise import OPERATIONS

INF, NAN = math.inf, math.nan

# name, point, value, first derivatives, second derivatives by the same operand (None: not laid down)
CONVENTIONS = [
    ("relu", (0.0,), 0, [0], [0]),
    ("relu", (-0.0,), 0, [0], [0]),
    ("relu", (1e4,), 1e4, [1], [0]),
    ("relu6", (0.0,), 0, [0], [0]),
    ("relu6", (6.0,), 6, [0], [0]),
    ("abs", (0.0,), 0, [0], [0]),
    ("abs", (-2.0,), 2, [-1], [0]),
    ("sqrt", (0.0,), 0, [INF], [-INF]),
    ("rsqrt", (0.0,), INF, [-INF], [INF]),
    ("reciprocal", (0.0,), INF, [-INF], [INF]),
    ("log", (0.0,), -INF, [INF], [-INF]),
    ("maximum", (3.0, 3.0), 3, [0.5, 0.5], [0, 0]),
    ("minimum", (3.0, 3.0), 3, [0.5, 0.5], [0, 0]),
    ("maximum", (3.0, 4.0), 4, [0, 1], [0, 0]),
    ("pow", (0.0, 0.0), 1, [0, 0], [0, None]),
    ("pow", (0.0, 2.0), 0, [0, 0], [2, 0]),
    ("pow", (0.0, 1.0), 0, [1, 0], [0, 0]),
    ("pow", (-3.0, 3.0), -27, [27, NAN], [-18, NAN]),
    ("pow", (-3.0, 2.0), 9, [-6, NAN], [2, NAN]),
    ("pow", (-2.0, -1.0), -0.5, [-0.25, NAN], [-0.25, NAN]),
    ("hypot", (0.0, 0.0), 0, [0, 0], [None, None]),
    ("atan2", (0.0, 0.0), 0, [0, 0], [None, None]),
    ("sigmoid", (1e4,), 1, [0], [0]),
    ("sigmoid", (-1e4,), 0, [0], [0]),
    ("softplus", (1e4,), 1e4, [1], [0]),
    ("softplus", (-1e4,), 0, [0], [0]),
    ("log_sigmoid", (1e4,), 0, [0], [0]),
    ("log_sigmoid", (-1e4,), -1e4, [1], [0]),
    ("binary_cross_entropy_with_logits", (1e4, 1.0), 0, [0, -1e4], [0, 0]),
    ("binary_cross_entropy_with_logits", (-1e4, 1.0), 1e4, [-1, 1e4], [0, 0]),
    ("binary_cross_entropy_with_logits", (1e4, 0.0), 1e4, [1, -1e4], [0, 0]),
    ("logaddexp", (-INF, -INF), -INF, [0, 0], [0, 0]),
    ("logaddexp", (1e4, -1e4), 1e4, [1, 0], [0, 0]),
    ("gelu", (1e4,), 1e4, [1], [0]),
    ("gelu", (-1e4,), 0, [0], [0]),
    ("gelu_tanh", (-1e4,), 0, [0], [0]),
    ("silu", (-1e4,), 0, [0], [0]),
    ("mish", (1e4,), 1e4, [1], [0]),
    ("tanh", (1e4,), 1, [0], [0]),
    ("elu", (0.0,), 0, [1], [1]),
    ("clip", (1.0, 1.0, 2.0), 1, [1, 0, 0], [0, 0, 0]),
    ("clip", (3.0, 1.0, 2.0), 2, [0, 0, 1], [0, 0, 0]),
    ("sign", (0.0,), 0, [0], [0]),
    ("xlogy", (0.0, 0.0), 0, [0, 0], [0, 0]),
]


@pytest.mark.parametrize(("name", "point", "value", "first", "second"), CONVENTIONS)
def test_t24_t26_t27_t30_conventions_to_second_order(name, point, value, first, second):
    def leaf(p, requires_grad=True):
        return ag.tensor([p], dtype=ag.float64, requires_grad=requires_grad)

    def number(tensor):
        return 0.0 if tensor is None else tensor.item()

    operands = [leaf(p) for p in point]
    out = OPERATIONS[name](*operands)
    assert out.item() == pytest.approx(value, rel=1e-14, abs=1e-300)
    for slope, expected in zip(ag.gradients(out, operands, allow_unused=True), first, strict=True):
        assert number(slope) == pytest.approx(expected, rel=1e-14, abs=1e-300, nan_ok=True)
    for k, (slope_expected, curvature_expected) in enumerate(zip(first, second, strict=True)):
        alone = [leaf(p, requires_grad=j == k) for j, p in enumerate(point)]
        (slope,) = ag.gradients(OPERATIONS[name](*alone), alone[k], create_graph=True, allow_unused=True)
        assert number(slope) == pytest.approx(slope_expected, rel=1e-14, abs=1e-300, nan_ok=True)
        if curvature_expected is not None:
            recorded = slope is not None and slope.requires_grad
            curvature = ag.gradients(slope, alone[k], allow_unused=True)[0] if recorded else None
            assert number(curvature) == pytest.approx(curvature_expected, rel=1e-14, abs=1e-300, nan_ok=True)


@pytest.mark.parametrize("dtype", [ag.float32, ag.float64], ids=lambda d: d.name)
@pytest.mark.parametrize("name", ["sigmoid", "tanh", "softplus", "log_sigmoid", "gelu", "silu", "relu", "elu", "mish"])
def test_t30_no_overflow_far_out(name, dtype):
    x = ag.tensor([1e4, -1e4, 1000.0, -1000.0, 80.0, -80.0, 20.0, -20.0], dtype=dtype, requires_grad=True)
    out = OPERATIONS[name](x)
    (slope,) = ag.gradients(out, x, ag.ones_like(out), create_graph=True)
    found = [out, slope]
    if slope.requires_grad:
        found += [g for g in ag.gradients(slope, x, ag.ones_like(slope), allow_unused=True) if g is not None]
    assert all(np.isfinite(f.detach().numpy()).all() for f in found)


def test_t24_square_root_at_zero_is_no_exception():
    x = ag.tensor([0.0, 4.0], requires_grad=True)
    x.sqrt().sum().backward()
    assert x.grad.tolist() == [INF, 0.25]


def test_t25_where_selects_the_derivative_in_our_own_functions():
    """None of them multiplies the infinite slope of the other branch by zero."""
    for name in ("elu", "selu", "celu", "softplus", "log_sigmoid", "relu", "leaky_relu"):
        x = ag.tensor([1000.0, -1000.0], dtype=ag.float64, requires_grad=True)
        OPERATIONS[name](x).sum().backward()
        assert np.isfinite(x.grad.numpy()).all(), name
    x, t = ag.tensor([1000.0, -1000.0], requires_grad=True), ag.tensor([0.0, 1.0])
    OPERATIONS["binary_cross_entropy_with_logits"](x, t).sum().backward()
    assert x.grad.tolist() == [1.0, -1.0]


def test_t25_where_of_tensors_has_the_well_known_trap_and_the_double_where_avoids_it():
    x = ag.tensor([1000.0], dtype=ag.float64, requires_grad=True)
    ag.where(x <= 0, ag.exp(x), 1 + x).sum().backward()
    assert math.isnan(x.grad.item()), "exp's infinite slope times the zero it is given: documented, see fuse"
    y = ag.tensor([1000.0], dtype=ag.float64, requires_grad=True)
    ag.where(y <= 0, ag.exp(ag.where(y <= 0, y, 0.0)), 1 + y).sum().backward()
    assert y.grad.item() == 1.0


def test_t26_ties():
    x = ag.tensor([0.0, 1.0], requires_grad=True)
    ag.maximum(x, 0.0).sum().backward()
    assert x.grad.tolist() == [0.5, 1.0]
    y = ag.tensor([2.0], requires_grad=True)
    ag.maximum(y, y).sum().backward()
    assert y.grad.tolist() == [1.0]
    for bounds in ({"min": 0.0}, {"max": 1.0}, {"min": 0.0, "max": 1.0}):
        for make in (float, lambda v: ag.tensor(v)):
            z = ag.tensor([0.0, 1.0], requires_grad=True)
            ag.clip(z, **{k: make(v) for k, v in bounds.items()}).sum().backward()
            assert z.grad.tolist() == [1.0, 1.0], (bounds, "the slope is 1 on the bounds")


def test_t27_powers():
    x = ag.tensor([0.0, -2.0, 3.0], dtype=ag.float64, requires_grad=True)
    for exponent, expected in ((0, [0, 0, 0]), (1, [1, 1, 1]), (2, [0, -4, 6]), (3, [0, 12, 27]), (2.0, [0, -4, 6])):
        x.grad = None
        (x**exponent).sum().backward()
        assert x.grad.tolist() == expected
    y = ag.tensor([2.0, 0.0, 3.0], dtype=ag.float64, requires_grad=True)
    (0.0**y).sum().backward()
    assert y.grad.tolist() == [0.0, 0.0, 0.0]
    base = ag.tensor([-2.0], dtype=ag.float64, requires_grad=True)
    (base ** ag.tensor([3.0], dtype=ag.float64)).backward()  # the exponent is a constant: no log of -2 anywhere
    assert base.grad.item() == 12.0


@pytest.mark.parametrize("dtype", [ag.float32, ag.float64], ids=lambda d: d.name)
def test_t44_nan_and_infinity_pass_through(dtype):
    x = ag.tensor([NAN, INF, -INF, 1.0], dtype=dtype)
    for name in ("relu", "gelu", "clip_scalar", "hardtanh", "leaky_relu", "tanh", "sigmoid", "exp", "softplus", "abs"):
        out = OPERATIONS[name](x).numpy()
        assert math.isnan(out[0]), name
        assert not np.isnan(out[3]), name
    for name in ("maximum", "minimum"):
        for a, b in ((x, 0.0), (x, x[::-1])):
            assert np.array_equal(
                OPERATIONS[name](a, b).numpy(), getattr(np, name)(a.numpy(), np.asarray(b), dtype=dtype), equal_nan=True
            )
    assert OPERATIONS["relu"](x).tolist()[1:] == [INF, 0.0, 1.0]
    assert ag.isnan(x).tolist() == [True, False, False, False]
    assert ag.isinf(x).tolist() == [False, True, True, False]
    assert ag.isfinite(x).tolist() == [False, False, False, True]
    assert (x == x).tolist() == [False, True, True, True] and (x < 0).tolist() == [False, False, True, False]


def test_t44_numbers_near_zero_are_not_flushed():
    tiny = 5e-324
    x = ag.tensor([tiny, -tiny], dtype=ag.float64)
    assert (x * 1.0).tolist() == [tiny, -tiny] and OPERATIONS["relu"](x).tolist() == [tiny, 0.0]
    y = ag.tensor([1e-45], dtype=ag.float32)
    assert (y + 0).item() != 0.0 and abs(y).item() == y.item()


SHAPES = hnp.mutually_broadcastable_shapes(num_shapes=2, max_dims=4, min_side=0, max_side=4)


@given(SHAPES, st.sampled_from(["add", "multiply", "maximum"]))
def test_t21_broadcasting_and_its_undoing(shapes, name):
    left_shape, right_shape = shapes.input_shapes
    generator = np.random.default_rng(len(left_shape) + 7 * len(right_shape))
    left, right = generator.normal(size=left_shape), generator.normal(size=right_shape)
    a, b = ag.tensor(left, requires_grad=True), ag.tensor(right, requires_grad=True)
    out = OPERATIONS[name](a, b)
    assert out.shape == shapes.result_shape
    upstream = generator.normal(size=out.shape)
    expected = {"add": np.add, "multiply": np.multiply, "maximum": np.maximum}[name](left, right)
    assert np.array_equal(out.detach().numpy(), expected)
    out.backward(ag.tensor(upstream))
    slopes = {"add": (1.0, 1.0), "multiply": (right, left), "maximum": (left > right, right > left)}[name]
    for tensor, slope in zip((a, b), slopes, strict=True):
        full = upstream * slope
        missing = tuple(range(full.ndim - tensor.ndim))
        stretched = tuple(k for k, s in enumerate(tensor.shape) if s == 1 and full.sum(missing).shape[k] != 1)
        reduced = full.sum(missing).sum(stretched, keepdims=True)
        assert tensor.grad.shape == tensor.shape
        assert np.allclose(tensor.grad.numpy(), reduced, rtol=1e-12, atol=1e-12)


def test_t21_an_operand_broadcast_against_itself():
    x = ag.tensor([[1.0], [2.0], [3.0]], requires_grad=True)
    (x * x.T).sum().backward()
    assert x.grad.tolist() == [[12.0], [12.0], [12.0]]
    y = ag.tensor([[2.0, 3.0, 4.0, 5.0]], requires_grad=True)
    z = ag.tensor([[1.0], [2.0], [3.0], [4.0]], requires_grad=True)
    (y * z).sum().backward()
    assert y.grad.tolist() == [[10.0] * 4] and z.grad.tolist() == [[14.0]] * 4


def test_t43_places_beyond_32_bits():
    """Two bytes two gigabytes apart: an offset in 32 bits would read elsewhere. (The memory is never touched.)"""
    room = np.zeros(2**31 + 8, np.int8)
    room[0], room[2**31] = 3, 4
    far = ag.asarray(room[:: 2**31])
    assert (far + 1).tolist() == [4, 5] and (far * far[::-1]).tolist() == [12, 12]
    assert far.sum().item() == 7


def test_more_shapes_than_plans_are_kept_for():
    from autograd.ops import elementwise

    operation = elementwise.Elementwise(OPERATIONS["add"].formula)
    before = elementwise._PLANS
    elementwise._PLANS = 8
    try:
        for n in range(40):
            assert operation.run((ag.ones(n), ag.ones(n))).shape == (n,)
            assert len(operation._plans) <= 8
    finally:
        elementwise._PLANS = before


def test_operations_describe_themselves():
    assert repr(ag.exp) == "<elementwise operation exp>" and ag.exp.__name__ == "exp"
    assert "tanh(x)" in ag.tanh.__doc__
    with pytest.raises(TypeError, match="leaky_relu has no parameter slope; it has"):
        ag.leaky_relu(ag.zeros(2), slope=1.0)
    with pytest.raises(TypeError, match="exp has no parameter"):
        ag.exp(ag.zeros(2), scale=1.0)
