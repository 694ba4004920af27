"""Pooling on the GPU (or the simulator) against the CPU."""

from __future__ import annotations

import numpy as np
import pytest
from cuda_support import cpu, cuda, needs_cuda
from pool_checks import CASES, draw

from kernels import pooling

pytestmark = needs_cuda


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("case", CASES)
def test_like_the_cpu(case, dtype):
    k, here = cuda(), cpu()
    x, windows = draw(case, dtype)
    there = k.from_numpy(x)
    values, places = here.max_pool(x, windows)
    found, found_places = k.max_pool(there, windows)
    assert np.array_equal(k.to_numpy(found), values) and np.array_equal(k.to_numpy(found_places), places)
    g = np.random.default_rng(1).normal(size=values.shape).astype(dtype)
    upstream = k.from_numpy(g)
    close = {"rtol": 1e-5, "atol": 1e-6} if dtype == np.float32 else {"rtol": 1e-13, "atol": 1e-14}
    back = k.to_numpy(k.max_pool_backward(upstream, found_places, windows))
    np.testing.assert_allclose(back, here.max_pool_backward(g, places, windows), **close)
    if max(windows.dilation) == 1:
        for options in ((0, True), (0, False), (5, True)):
            np.testing.assert_allclose(k.to_numpy(k.avg_pool(there, windows, *options)), here.avg_pool(x, windows, *options), **close)
            back = k.to_numpy(k.avg_pool_backward(upstream, windows, *options))
            np.testing.assert_allclose(back, here.avg_pool_backward(g, windows, *options), **close)


def test_nan_strides_and_nothing():
    k, here = cuda(), cpu()
    x = np.random.default_rng(0).normal(size=(6, 5, 4)).astype(np.float32)
    x[0, 1, 1] = np.nan
    turned = x[::-1, :, ::-1].transpose(1, 0, 2)
    there = k.from_numpy(x)[::-1, :, ::-1].transpose(1, 0, 2)
    windows = pooling.windows("test", turned.shape, (2, 3), (1, 2), (1, 1), (1, 1), True)
    for found, expected in zip(k.max_pool(there, windows), here.max_pool(turned, windows), strict=True):
        assert np.array_equal(k.to_numpy(found), expected, equal_nan=True)
    empty = pooling.windows("test", (0, 3, 4), (2, 2), (2, 2), (0, 0), (1, 1))
    assert k.avg_pool(k.from_numpy(np.zeros((0, 3, 4))), empty).shape == (0, 1, 2)
    with pytest.raises(TypeError, match="computes in float32 and float64"):
        k.max_pool(k.from_numpy(np.ones((5, 6, 4), np.int64)), windows)
