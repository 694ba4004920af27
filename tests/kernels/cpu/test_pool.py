"""Pooling on the CPU against loops over windows in NumPy."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from pool_checks import CASES, draw, expected_of

from kernels import cpu, pooling


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("case", CASES)
def test_values_places_and_gradients(case, dtype):
    x, windows = draw(case, dtype)
    before = x.copy()
    values, places = cpu.max_pool(x, windows)
    best, at, _, _ = expected_of(x, windows)
    assert values.dtype == dtype and places.dtype == np.int64
    assert np.array_equal(values, best) and np.array_equal(places, at)
    g = np.random.default_rng(1).normal(size=values.shape).astype(dtype)
    back = np.zeros((windows.planes, int(np.prod(windows.sizes))), np.float64)
    for plane, place, value in zip(
        np.arange(places.size) // max(1, int(np.prod(windows.positions))), places.ravel(), g.ravel(), strict=True
    ):
        back[plane, place] += value
    tolerance = 1e-6 if dtype == np.float32 else 1e-14
    assert np.allclose(cpu.max_pool_backward(g, places, windows), back.reshape(x.shape), tolerance, tolerance)
    if max(windows.dilation) == 1:
        for divisor, padded in ((0, True), (0, False), (5, True)):
            _, _, mean, adjoint = expected_of(x, windows, g, divisor, padded)
            assert np.allclose(cpu.avg_pool(x, windows, divisor, padded), mean, tolerance, tolerance)
            assert np.allclose(cpu.avg_pool_backward(g, windows, divisor, padded), adjoint, tolerance, tolerance)
    assert np.array_equal(x, before)


def test_nan_is_the_largest_and_strides_do_not_matter():
    x = np.array([[1.0, np.nan, 2.0, np.inf, -np.inf, -np.inf]], np.float32)
    windows = pooling.windows("test", x.shape, (2,), (2,), (0,), (1,))
    values, places = cpu.max_pool(x, windows)
    assert np.array_equal(values, [[np.nan, np.inf, -np.inf]], equal_nan=True) and places.tolist() == [[1, 3, 4]]
    assert np.isnan(cpu.avg_pool(x, windows)[0, 0])
    wide = np.random.default_rng(0).normal(size=(3, 12, 5, 2))
    turned = wide[::-1, ::2, :, 0].transpose(2, 0, 1)
    windows = pooling.windows("test", turned.shape, (2, 3), (1, 2), (1, 1), (1, 1), True)
    for one, other in zip(cpu.max_pool(turned, windows), cpu.max_pool(turned.copy(), windows), strict=True):
        assert np.array_equal(one, other)
    empty = pooling.windows("test", (0, 3, 4), (2, 2), (2, 2), (0, 0), (1, 1))
    assert cpu.max_pool(np.zeros((0, 3, 4)), empty)[0].shape == cpu.avg_pool(np.zeros((0, 3, 4)), empty).shape == (0, 1, 2)


def test_a_large_window_of_float32_is_exact():
    x = np.ones((1, 3000, 3000), np.float32) * np.float32(0.1)
    assert cpu.avg_pool(x, pooling.adaptive_windows("test", x.shape, (1, 1)))[0, 0, 0] == np.float32(0.1)


def test_adaptive_windows_that_divide_are_ordinary():
    for size, wanted in product(range(1, 8), range(1, 8)):
        windows = pooling.adaptive_windows("test", (size,), (wanted,))
        assert (windows.taps[2] == 0) == bool(size % wanted)


def test_what_is_refused():
    def windows(shape=(1, 5, 5), size=(2, 2), stride=(1, 1), padding=(0, 0), dilation=(1, 1)):
        return pooling.windows("pool", shape, size, stride, padding, dilation)

    for wrong, message in (
        ({"size": (2, 0)}, "must be at least 1"),
        ({"stride": (0, 1)}, "must be at least 1"),
        ({"padding": (2, 2)}, "at most half of what a window reaches over"),
        ({"padding": (-1, 0)}, "padding at least 0"),
        ({"size": (6, 6)}, "reaches over 6 elements"),
        ({"shape": (1, 0, 5)}, "has no elements along an axis"),
        ({"shape": (5,)}, "windows of 1 to 3 dimensions"),
        ({"shape": (1, 1, 1), "dilation": (3, 3), "padding": (2, 2)}, "a window without an element"),
    ):
        with pytest.raises(ValueError, match=message):
            windows(**wrong)
    with pytest.raises(ValueError, match="sizes of the result must be at least 1"):
        pooling.adaptive_windows("pool", (3, 3), (0, 1))
    found = windows()
    with pytest.raises(TypeError, match="computes in float32 and float64, x is int64"):
        cpu.max_pool(np.ones((1, 5, 5), np.int64), found)
    with pytest.raises(ValueError, match="x must have shape"):
        cpu.avg_pool(np.ones((1, 4, 5)), found)
    with pytest.raises(ValueError, match="the places must be int64"):
        cpu.max_pool_backward(np.ones((1, 4, 4)), np.ones((1, 4, 4), np.int32), found)
    with pytest.raises(ValueError, match="places must lie between 0 and 24"):
        cpu.max_pool_backward(np.ones((1, 4, 4)), np.full((1, 4, 4), 25), found)
