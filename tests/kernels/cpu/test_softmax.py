"""softmax and log_softmax, forward and backward, against SciPy in float64 and the definition of the derivative."""

import os
import subprocess
import sys

import numpy as np
import pytest
from scipy import special

from kernels import launch
from kernels.cpu.softmax import log_softmax, log_softmax_backward, softmax, softmax_backward

F32, F64 = np.float32, np.float64
SHAPES = [(1, 7), (7, 1), (33, 1000), (1000, 33), (13, 17, 19), (64, 10), (5,), (3, 1023), (3, 1025), (2, 2049), (2, 3, 4, 5)]


def data(shape, dtype=F32, seed=0):
    return (3 * np.random.default_rng(seed).normal(size=shape)).astype(dtype)


def softmax_gradient(g, y, axis):
    return y * (g - (g * y).sum(axis, keepdims=True))


def log_softmax_gradient(g, y, axis):
    return g - np.exp(y) * g.sum(axis, keepdims=True)


def check(x, axis, tolerance=None):
    """Both functions and both derivatives on x; inputs unchanged; relative to 64 units in the last place."""
    tolerance = tolerance or 64 * np.finfo(x.dtype).eps
    g = np.random.default_rng(1).normal(size=x.shape).astype(x.dtype)
    before, wide = x.copy(), x.astype(F64)
    for forward, reference, backward, gradient in [
        (softmax, special.softmax, softmax_backward, softmax_gradient),
        (log_softmax, special.log_softmax, log_softmax_backward, log_softmax_gradient),
    ]:
        y = forward(x, axis=axis)
        assert y.shape == x.shape and y.dtype == x.dtype and not np.shares_memory(x, y)
        exact = reference(wide, axis=axis)
        least = np.finfo(x.dtype).tiny if forward is softmax else 8 * np.finfo(x.dtype).eps  # a logarithm may be near 0
        np.testing.assert_allclose(y, exact, rtol=tolerance, atol=least)
        y_before, g_before = y.copy(), g.copy()
        result = backward(g, y, axis=axis)
        assert result.shape == x.shape and result.dtype == x.dtype
        exact = gradient(g.astype(F64), y.astype(F64), axis)
        np.testing.assert_allclose(result, exact, rtol=tolerance, atol=tolerance * x.shape[axis] ** 0.5)
        np.testing.assert_array_equal(y, y_before)
        np.testing.assert_array_equal(g, g_before)
    np.testing.assert_array_equal(x, before)


@pytest.mark.parametrize("shape", SHAPES)
def test_shapes_and_axes(shape):
    for axis in range(-len(shape), len(shape)):
        check(data(shape), axis)


def test_float64():
    for axis in (0, 1):
        check(data((40, 30), F64), axis)


def test_strides():
    x = data((24, 36))
    views = [
        x.T, np.asfortranarray(x), x[::-1], x[:, ::-1], x[::2, 1::3], x[:, 3:20], x[3:9], np.broadcast_to(x[:1], (5, 36)),
        np.broadcast_to(x[:, :1], (24, 40)), x.reshape(4, 6, 36).transpose(1, 2, 0), x.reshape(4, 6, 36).transpose(0, 2, 1),
        x.reshape(4, 6, 36)[:, 1:4], x.reshape(4, 6, 36)[:, :, 2:9], np.lib.stride_tricks.sliding_window_view(x[0], 5),
    ]  # fmt: skip
    packed = np.zeros(x.shape, [("tag", "i1"), ("value", F32)])
    packed["value"] = x
    for view in [*views, packed["value"]]:
        for axis in range(view.ndim):
            check(view, axis)


def test_the_gradient_may_lie_otherwise_than_the_result():
    x = data((6, 8))
    y = softmax(x, axis=1)
    g = data((8, 6), seed=1).T
    expected = softmax_gradient(g.astype(F64), y.astype(F64), 1)
    for upstream in (g, np.ascontiguousarray(g)):
        np.testing.assert_allclose(softmax_backward(upstream, y, axis=1), expected, atol=1e-5)
    ones = np.broadcast_to(F32(1), (6, 8))  # what a sum hands back
    np.testing.assert_allclose(softmax_backward(ones, y, axis=1), 0, atol=1e-6)


def test_results_lie_in_memory_as_their_inputs_do():
    x = data((6, 8)).T
    assert softmax(x, axis=0).strides == x.strides and log_softmax(x, axis=1).strides == x.strides


def test_extreme_logits():
    x = np.array([[1e4, -1e4, 0], [-1e4, -1e4, -1e4], [1e4, 1e4, 1e4 - 1]], F32)
    for axis, rows in ((1, x), (0, np.repeat(x.T, 20, axis=1))):
        exact = special.softmax(rows.astype(F64), axis=axis)
        np.testing.assert_allclose(softmax(rows, axis=axis), exact, rtol=1e-6)
        np.testing.assert_allclose(log_softmax(rows, axis=axis), special.log_softmax(rows.astype(F64), axis=axis), rtol=1e-6)


def test_masked_entries_are_exactly_zero_and_masked_rows_are_all_zero():
    for length in (3, 16, 100, 2000):
        x = data((4, length))
        x[0, 1::2] = -np.inf
        x[1] = -np.inf
        for rows, axis in ((x, 1), (np.ascontiguousarray(np.repeat(x, 5, axis=0).T), 0)):
            y, log_y = softmax(rows, axis=axis), log_softmax(rows, axis=axis)
            masked = np.isneginf(rows)
            assert (y[masked] == 0).all() and np.isneginf(log_y[masked]).all()
            assert np.isfinite(y).all() and not np.isnan(log_y).any()
            g = data(rows.shape, seed=2)
            dead = masked.all(axis=axis, keepdims=True) & masked
            assert (softmax_backward(g, y, axis=axis)[masked] == 0).all()
            assert (log_softmax_backward(g, log_y, axis=axis)[dead] == 0).all()


def test_nan_and_infinity_fill_their_row_alone():
    x = data((4, 70))
    x[1, 3], x[2, 66] = np.nan, np.inf
    for rows, axis in ((x, 1), (np.ascontiguousarray(x.T), 0)):
        for forward in (softmax, log_softmax):
            bad = np.isnan(forward(rows, axis=axis))
            bad = bad if axis else bad.T
            assert not bad[[0, 3]].any() and bad[1].all()
            assert bad[2].any()
        assert np.isnan(softmax(rows, axis=axis)[(2, 66) if axis else (66, 2)])


def test_long_rows_add_up_to_one():
    x = data((2, 1_000_000))
    np.testing.assert_allclose(softmax(x).sum(axis=1, dtype=F64), 1, rtol=1e-6)
    np.testing.assert_allclose(softmax(np.full((100_000, 16), 7, F32), axis=0), 1e-5, rtol=1e-5)


def test_no_elements():
    for shape in [(0,), (0, 3), (3, 0), (2, 0, 4)]:
        for axis in range(len(shape)):
            x = np.zeros(shape, F32)
            for result in (
                softmax(x, axis),
                log_softmax(x, axis),
                softmax_backward(x, x, axis),
                log_softmax_backward(x, x, axis),
            ):
                assert result.shape == shape and result.dtype == F32


def test_the_number_of_threads_changes_no_bit(monkeypatch):
    arrays = [(data((300, 400)), 1), (data((300, 400)), 0), (data((7, 50, 33)), 1)]

    def everything():
        for x, axis in arrays:
            for forward, backward in ((softmax, softmax_backward), (log_softmax, log_softmax_backward)):
                y = forward(x, axis=axis)
                yield y.tobytes()
                yield backward(x, y, axis=axis).tobytes()

    serial = list(everything())
    monkeypatch.setattr(launch, "parallel_work", 0)
    for threads in range(1, launch.available_threads() + 1):
        monkeypatch.setattr(launch, "_threads", threads)
        assert list(everything()) == serial


@pytest.mark.parametrize("function", [softmax, log_softmax])
def test_bad_arguments(function):
    name = function.__name__
    x = data((3, 4))
    with pytest.raises(np.exceptions.AxisError, match=f"{name}: axis 2 is out of bounds for array of dimension 2"):
        function(x, axis=2)
    with pytest.raises(np.exceptions.AxisError, match=f"{name}: axis -1 is out of bounds for array of dimension 0"):
        function(np.array(1.0))
    with pytest.raises(TypeError, match=f"{name}: axis must be an integer, got None"):
        function(x, axis=None)
    with pytest.raises(TypeError, match=rf"{name}: defined for float32 and float64, got int64; .*astype"):
        function(np.ones((3, 4), np.int64))
    with pytest.raises(TypeError, match=f"{name}: expected a NumPy array, got list"):
        function([1.0, 2.0])
    backward = {softmax: softmax_backward, log_softmax: log_softmax_backward}[function]
    for wrong in (data((4, 3)), data((3, 4), F64), None):
        with pytest.raises(ValueError, match=rf"{name}_backward: the upstream gradient must be an array like the result"):
            backward(wrong, x)


TINY = """
import numpy as np
from scipy import special
from kernels.cpu.softmax import log_softmax, log_softmax_backward, softmax, softmax_backward
x = np.array([[1.0, -2.0, 3.0], [4.0, 5.0, -np.inf]], np.float32)
for rows, axis in ((x, 1), (np.ascontiguousarray(x.T), 0)):
    y, log_y = softmax(rows, axis=axis), log_softmax(rows, axis=axis)
    assert np.allclose(y, special.softmax(rows, axis=axis)) and np.allclose(np.exp(log_y), y, atol=1e-6)
    assert np.allclose(softmax_backward(y, y, axis=axis), y * (y - (y * y).sum(axis, keepdims=True)), atol=1e-6)
    assert np.allclose(log_softmax_backward(y, log_y, axis=axis), 0, atol=1e-6)
"""


def test_the_loops_mean_the_same_in_plain_python(tmp_path):
    environment = os.environ | {"NUMBA_DISABLE_JIT": "1", "GRADLOOM_CACHE": str(tmp_path)}
    subprocess.run([sys.executable, "-W", "error", "-c", TINY], env=environment, check=True)
