"""softmax and log_softmax on the device: against SciPy in float64 and the kernels of the CPU, on rows and columns of all kinds."""

from importlib import import_module

import numpy as np
import pytest
from cuda_support import cuda, needs_cuda
from scipy import special

from kernels.cuda import row_form
from kernels.cuda.array import BFLOAT16

pytestmark = needs_cuda
F32, F64 = np.float32, np.float64


def data(shape, dtype=F32, seed=0):
    return (3 * np.random.default_rng(seed).normal(size=shape)).astype(dtype)


def softmax_gradient(g, y, axis):
    return y * (g - (g * y).sum(axis, keepdims=True))


def log_softmax_gradient(g, y, axis):
    return g - np.exp(y) * g.sum(axis, keepdims=True)


def check(x, axis, on_device=None, tolerance=None):
    """Both functions and both derivatives on x, which is `on_device` where that is given; inputs unchanged."""
    k = cuda()
    x_there = k.from_numpy(x) if on_device is None else on_device
    tolerance = tolerance or 64 * np.finfo(x.dtype).eps
    g = np.random.default_rng(1).normal(size=x.shape).astype(x.dtype)
    g_there = k.from_numpy(g)
    for forward, reference, backward, gradient in [
        (k.softmax, special.softmax, k.softmax_backward, softmax_gradient),
        (k.log_softmax, special.log_softmax, k.log_softmax_backward, log_softmax_gradient),
    ]:
        y_there = forward(x_there, axis=axis)
        y = k.to_numpy(y_there)
        assert y.shape == x.shape and y.dtype == x.dtype
        exact = reference(x.astype(F64), axis=axis)
        least = np.finfo(x.dtype).tiny if forward is k.softmax else 8 * np.finfo(x.dtype).eps
        np.testing.assert_allclose(y, exact, rtol=tolerance, atol=least)
        result = k.to_numpy(backward(g_there, y_there, axis=axis))
        assert result.shape == x.shape and result.dtype == x.dtype
        exact = gradient(g.astype(F64), y.astype(F64), axis)
        np.testing.assert_allclose(result, exact, rtol=tolerance, atol=tolerance * x.shape[axis] ** 0.5)
        np.testing.assert_array_equal(k.to_numpy(y_there), y)
    np.testing.assert_array_equal(k.to_numpy(x_there), x)
    np.testing.assert_array_equal(k.to_numpy(g_there), g)


SHAPES = [
    (1,),
    (33,),
    (1, 7),
    (7, 1),
    (7, 33),
    (3, 5, 7),
    (70, 4),
    (5, 31),
    (2, 128),
    (2, 129),
    (1, 1023),
    (2, 1024),
    (1, 1025),
    (1, 2049),
]


@pytest.mark.parametrize("shape", SHAPES)
def test_shapes(shape):
    check(data(shape), -1)


@pytest.mark.parametrize(
    ("shape", "axis"), [((33, 7), 0), ((3, 5, 7), 0), ((3, 5, 7), 1), ((2, 65, 3), 1), ((260, 3), 0), ((1, 4), 0)]
)
def test_columns(shape, axis):
    check(data(shape), axis)


@pytest.mark.parametrize("shape", [(2, 40), (2, 41), (1, 514), (1, 1030)])
def test_float64(shape):
    check(data(shape, F64), 1)
    if shape[1] < 100:
        check(data(shape[::-1], F64), 0)


@pytest.fixture
def small_registers(monkeypatch):
    """Long rows without many elements: batches are a few hundred long, and so are blocks."""
    monkeypatch.setattr(row_form, "_IN_WARP", 16)
    monkeypatch.setattr(row_form, "_IN_BLOCK", 16)
    monkeypatch.setattr(row_form, "_LONG_BLOCK", 64)
    monkeypatch.setattr(row_form, "_SMALL_BLOCK", 64)
    monkeypatch.setattr(row_form, "_MOST_THREADS", 128)
    monkeypatch.setattr(row_form, "_COLUMN_BYTES", 16)
    monkeypatch.setattr(import_module("kernels.cuda.softmax"), "_calls", {})


@pytest.mark.parametrize(("shape", "axis"), [((1, 1028), 1), ((2, 1029), 1), ((3, 300, 5), 1)])
def test_rows_longer_than_the_registers(shape, axis, small_registers):
    x = data(shape)
    index = (0, slice(3, 290)) if axis == 1 else (slice(3, 290), 0)
    x[index] = -np.inf
    check(data(shape), axis)
    k = cuda()
    y = k.to_numpy(k.softmax(k.from_numpy(x), axis))
    np.testing.assert_allclose(y, special.softmax(x.astype(F64), axis=axis), rtol=1e-5, atol=1e-30)
    assert (y[index] == 0).all()
    x[0] = -np.inf
    there = k.from_numpy(x)
    assert (k.to_numpy(k.softmax(there, axis))[0] == 0).all()
    log_y = k.log_softmax(there, axis)
    assert np.isneginf(k.to_numpy(log_y)[0]).all()
    assert (k.to_numpy(k.log_softmax_backward(k.from_numpy(data(shape)), log_y, axis))[0] == 0).all()


def test_strides():
    x = data((6, 20))
    k = cuda()
    cube = x.reshape(2, 3, 20)
    for view in (
        lambda a: a.T, lambda a: a[::-1], lambda a: a[:, ::-1], lambda a: a[::2, 1::3], lambda a: a[:, 3:17],
        lambda a: a[1:4], lambda a: a[:, 4:12],
    ):  # fmt: skip
        for axis in (0, 1):
            check(view(x), axis, view(k.from_numpy(x)))
    for order in ((1, 2, 0), (0, 2, 1)):
        check(cube.transpose(order), 1, k.from_numpy(cube).transpose(order))
    check(np.broadcast_to(x[:1], (5, 20)), 1, k.from_numpy(x[:1]).broadcast_to((5, 20)))
    check(np.broadcast_to(x[:, :1], (6, 9)), 1, k.from_numpy(x[:, :1]).broadcast_to((6, 9)))


def test_results_lie_in_memory_as_their_inputs_do():
    k = cuda()
    x = k.from_numpy(data((6, 8))).T
    assert k.softmax(x, axis=0).strides == x.strides and k.log_softmax(x, axis=1).strides == x.strides


def test_the_gradient_may_lie_otherwise_than_the_result():
    k = cuda()
    y = k.softmax(k.from_numpy(data((6, 8))), axis=1)
    g = data((8, 6), seed=1)
    expected = softmax_gradient(g.T.astype(F64), k.to_numpy(y).astype(F64), 1)
    np.testing.assert_allclose(k.to_numpy(k.softmax_backward(k.from_numpy(g).T, y, axis=1)), expected, atol=1e-5)
    ones = k.from_numpy(np.ones((1, 1), F32)).broadcast_to((6, 8))
    np.testing.assert_allclose(k.to_numpy(k.softmax_backward(ones, y, axis=1)), 0, atol=1e-6)


def test_extreme_logits():
    x = np.array([[1e4, -1e4, 0], [-1e4, -1e4, -1e4], [1e4, 1e4, 1e4 - 1]], F32)
    k = cuda()
    for axis, rows in ((1, x), (0, np.ascontiguousarray(x.T))):
        there = k.from_numpy(rows)
        np.testing.assert_allclose(k.to_numpy(k.softmax(there, axis)), special.softmax(rows.astype(F64), axis=axis), rtol=1e-6)
        exact = special.log_softmax(rows.astype(F64), axis=axis)
        np.testing.assert_allclose(k.to_numpy(k.log_softmax(there, axis)), exact, rtol=1e-6)


@pytest.mark.parametrize("length", [3, 16, 100, 1040])
def test_masked_entries_are_exactly_zero_and_masked_rows_are_all_zero(length):
    k = cuda()
    x = data((3, length))
    x[0, 1::2] = -np.inf
    x[1] = -np.inf
    for rows, axis in ((x, 1), (np.ascontiguousarray(x.T), 0)):
        there, masked = k.from_numpy(rows), np.isneginf(rows)
        y, log_y = k.softmax(there, axis), k.log_softmax(there, axis)
        here, log_here = k.to_numpy(y), k.to_numpy(log_y)
        assert (here[masked] == 0).all() and np.isneginf(log_here[masked]).all()
        assert np.isfinite(here).all() and not np.isnan(log_here).any()
        g = k.from_numpy(data(rows.shape, seed=2))
        dead = masked.all(axis=axis, keepdims=True) & masked
        assert (k.to_numpy(k.softmax_backward(g, y, axis))[masked] == 0).all()
        assert (k.to_numpy(k.log_softmax_backward(g, log_y, axis))[dead] == 0).all()


def test_nan_and_infinity_fill_their_row_alone():
    k = cuda()
    x = data((4, 70))
    x[1, 3], x[2, 66] = np.nan, np.inf
    for forward in (k.softmax, k.log_softmax):
        for rows in (k.to_numpy(forward(k.from_numpy(x), 1)), k.to_numpy(forward(k.from_numpy(np.ascontiguousarray(x.T)), 0)).T):
            bad = np.isnan(rows)
            assert not bad[[0, 3]].any() and bad[1].all() and bad[2, 66]


def bits_of_bfloat16(x):
    bits = np.asarray(x, F32).view(np.uint32)
    return ((bits + 0x7FFF + (bits >> 16 & 1)) >> 16).astype(np.uint16)


def bfloat16_values(bits):
    return (bits.view(np.uint16).astype(np.uint32) << 16).view(F32)


@pytest.mark.parametrize(("shape", "axis"), [((3, 40), 1), ((2, 37), 1), ((9, 6), 0), ((1, 1032), 1)])
def test_half_precision(shape, axis):
    k = cuda()
    x, g = data(shape, np.float16), data(shape, np.float16, 1)
    y = k.softmax(k.from_numpy(x), axis)
    assert y.dtype == np.float16
    np.testing.assert_allclose(k.to_numpy(y), special.softmax(x.astype(F64), axis=axis), rtol=1e-3, atol=1e-7)
    exact = softmax_gradient(g.astype(F64), k.to_numpy(y).astype(F64), axis)
    np.testing.assert_allclose(k.to_numpy(k.softmax_backward(k.from_numpy(g), y, axis)), exact, rtol=1e-3, atol=1e-4)
    bits = bits_of_bfloat16(x.astype(F32))
    there = k.from_numpy(bits.view(BFLOAT16))
    exact = special.log_softmax(bfloat16_values(bits).astype(F64), axis=axis)
    y = k.log_softmax(there, axis)
    assert y.dtype == BFLOAT16
    np.testing.assert_allclose(bfloat16_values(k.to_numpy(y)), exact, rtol=2**-8, atol=1e-6)
    upstream = k.from_numpy(bits_of_bfloat16(g.astype(F32)).view(BFLOAT16))
    result = bfloat16_values(k.to_numpy(k.log_softmax_backward(upstream, y, axis)))
    exact = log_softmax_gradient(
        bfloat16_values(k.to_numpy(upstream)).astype(F64), bfloat16_values(k.to_numpy(y)).astype(F64), axis
    )
    np.testing.assert_allclose(result, exact, rtol=2**-8, atol=1e-4)


def test_no_elements():
    k = cuda()
    for shape in [(0,), (0, 3), (3, 0), (2, 0, 4)]:
        for axis in range(len(shape)):
            x = k.from_numpy(np.zeros(shape, F32))
            results = (
                k.softmax(x, axis),
                k.log_softmax(x, axis),
                k.softmax_backward(x, x, axis),
                k.log_softmax_backward(x, x, axis),
            )
            assert all(r.shape == shape and r.dtype == F32 for r in results)


@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
def test_bad_arguments(name):
    k = cuda()
    function, backward = getattr(k, name), getattr(k, f"{name}_backward")
    x = k.from_numpy(data((3, 4)))
    with pytest.raises(np.exceptions.AxisError, match=f"{name}: axis 2 is out of bounds for array of dimension 2"):
        function(x, axis=2)
    with pytest.raises(np.exceptions.AxisError, match=f"{name}: axis -1 is out of bounds for array of dimension 0"):
        function(k.from_numpy(np.array(1.0)))
    with pytest.raises(TypeError, match=f"{name}: axis must be an integer, got None"):
        function(x, axis=None)
    with pytest.raises(TypeError, match=rf"{name}: defined for float32, float64, float16 and bfloat16, got int64; convert"):
        function(k.from_numpy(np.ones((3, 4), np.int64)))
    with pytest.raises(TypeError, match=f"{name}: expected a device array, got list"):
        function([1.0, 2.0])
    for wrong in (k.from_numpy(data((4, 3))), k.from_numpy(data((3, 4), F64)), None, data((3, 4))):
        with pytest.raises(ValueError, match=rf"{name}_backward: the upstream gradient must be an array like the result"):
            backward(wrong, x)
