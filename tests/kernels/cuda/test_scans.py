"""Running sums, products, logsumexps and recurrences on the GPU (or the simulator) against the CPU."""

from __future__ import annotations

import math

import numpy as np
import pytest
from cuda_support import cpu, cuda, needs_cuda

pytestmark = needs_cuda

INF, NAN = math.inf, math.nan
# Columns, rows of one warp, of one block, of several, columns turned into rows.
SHAPES = [((1,), 0), ((33,), 0), ((7, 1), 1), ((3, 5, 7), 1), ((100, 3), 0), ((2, 100), 1), ((2, 300), 1)]
LONG = [((1, 2049), 1), ((2, 4100), 1), ((1030, 2), 0)]
NAMES = ("cumulative_sum", "cumulative_prod", "cumulative_logsumexp")


def check(name: str, x: np.ndarray, axis: int) -> None:
    k = cuda()
    there = k.from_numpy(x)
    found, expected = k.to_numpy(getattr(k, name)(there, axis)), getattr(cpu(), name)(x, axis)
    assert found.dtype == expected.dtype and found.shape == expected.shape
    if x.dtype.kind != "f":
        assert np.array_equal(found, expected)
        return
    ulp = float(np.finfo(x.dtype).eps)
    lengths = x.shape[axis]
    tolerance = {"cumulative_sum": 4, "cumulative_prod": 2 * lengths + 8, "cumulative_logsumexp": 64}[name] * ulp
    zero = 1e-30 if name == "cumulative_prod" else tolerance
    assert np.allclose(found, expected, rtol=tolerance, atol=zero, equal_nan=True), (name, x.shape, axis)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_floats(name, dtype):
    for shape, axis in SHAPES:
        check(name, np.random.default_rng(0).normal(size=shape).astype(dtype), axis)


@pytest.mark.parametrize("name", NAMES)
def test_long_rows(name):
    for shape, axis in LONG:
        check(name, np.random.default_rng(0).normal(size=shape).astype(np.float32), axis)


@pytest.mark.parametrize("dtype", ["bool", "int8", "uint8", "uint64"])
def test_integers(dtype):
    for shape, axis in (((3, 5, 7), 1), ((2, 100), 1)):
        x = np.random.default_rng(0).integers(0, 2 if dtype == "bool" else 100, shape).astype(dtype)
        check("cumulative_sum", x, axis)
        check("cumulative_prod", x, axis)


@pytest.mark.parametrize(("shape", "axis"), [((3, 5, 7), 1), ((2, 300), 1), ((1, 2100), 1)])
def test_recurrence(shape, axis):
    k = cuda()
    generator = np.random.default_rng(0)
    a, b = generator.uniform(-1, 1, shape).astype(np.float32), generator.normal(size=shape).astype(np.float32)
    a[(slice(None),) * axis + (0,)] = np.nan  # not read
    found = k.to_numpy(k.linear_recurrence(k.from_numpy(a), k.from_numpy(b), axis))
    assert np.allclose(found, cpu().linear_recurrence(a, b, axis), rtol=1e-4, atol=1e-5)


def test_t31_float32_sums_are_right_to_the_last_place():
    x = np.full((2, 5000), 0.1, np.float32)
    found = cuda().to_numpy(cuda().cumulative_sum(cuda().from_numpy(x), 1))
    assert np.max(np.abs(found / np.cumsum(x.astype(np.float64), 1) - 1)) < 2**-23


def test_t44_nan_and_infinity():
    for x in ([1.0, INF, 2.0, -INF, 3.0], [-INF, -INF, 1.0, -INF, INF, 2.0, NAN, 1.0], [-0.0]):
        for length in (1, 20):
            values = np.tile(np.array(x, np.float32), (1, length))
            for name in ("cumulative_sum", "cumulative_logsumexp"):
                check(name, values, 1)


def test_t48_any_memory_layout():
    k = cuda()
    x = np.random.default_rng(0).normal(size=(4, 6, 5)).astype(np.float32)
    there = k.from_numpy(x)
    for mine, theirs in ((there.transpose(2, 0, 1), x.transpose(2, 0, 1)), (there[::-1, ::2, ::-1], x[::-1, ::2, ::-1])):
        for axis in range(3):
            assert np.allclose(k.to_numpy(k.cumulative_sum(mine, axis)), np.cumsum(theirs, axis), atol=1e-5)


def test_no_elements_and_refusals():
    k = cuda()
    for shape, axis in (((0,), 0), ((3, 0), 0), ((3, 0), 1)):
        assert k.cumulative_sum(k.from_numpy(np.zeros(shape)), axis).shape == shape
    with pytest.raises(TypeError, match="cumulative_logsumexp: takes floats, got int64"):
        k.cumulative_logsumexp(k.from_numpy(np.array([1])), 0)
    with pytest.raises(ValueError, match=r"linear_recurrence: .*\(2,\) float64 and \(3,\) float64"):
        k.linear_recurrence(k.from_numpy(np.zeros(2)), k.from_numpy(np.zeros(3)), 0)
