"""Running sums, products, logsumexps and recurrences on the CPU against NumPy."""

from __future__ import annotations

import math

import numpy as np
import pytest

from kernels import launch
from kernels.cpu import scans

INF, NAN = math.inf, math.nan
SHAPES = [((1,), 0), ((33,), 0), ((1, 7), 0), ((7, 1), 1), ((3, 100), 1), ((100, 3), 0), ((2, 5, 130), 1), ((2, 0), 1), ((0, 2), 1)]


def recurrence(a: np.ndarray, b: np.ndarray, axis: int) -> np.ndarray:
    a, out = np.moveaxis(a, axis, -1), np.moveaxis(b, axis, -1).copy()
    for k in range(1, out.shape[-1]):
        out[..., k] += a[..., k] * out[..., k - 1]
    return np.moveaxis(out, -1, axis)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_floats(dtype):
    generator = np.random.default_rng(0)
    ulp = float(np.finfo(dtype).eps)
    for shape, axis in SHAPES:
        wide = generator.normal(size=(*shape, 2))
        x, y = wide[..., 0].astype(dtype), wide[..., ::-1][..., 0].astype(dtype)
        for view, place in ((x, axis), (x[::-1], axis), (np.ascontiguousarray(x.T).T, axis)):
            exact = view.astype(np.longdouble)
            assert np.allclose(scans.cumulative_sum(view, place), np.cumsum(exact, place), rtol=2 * ulp, atol=4 * ulp)
            assert np.allclose(scans.cumulative_prod(view, place), np.cumprod(exact, place), rtol=200 * ulp, atol=0.1**30)
            expected = np.logaddexp.accumulate(exact, place)
            assert np.allclose(scans.cumulative_logsumexp(view, place), expected, rtol=8 * ulp, atol=40 * ulp)
        assert np.allclose(scans.linear_recurrence(x / 3, y, axis), recurrence(x / 3, y, axis), rtol=99 * ulp, atol=99 * ulp)


@pytest.mark.parametrize("dtype", ["bool", "int8", "uint8", "int32", "int64", "uint64"])
def test_integers_are_64_bits_wide_and_wrap_around(dtype):
    x = np.random.default_rng(0).integers(0, 2 if dtype == "bool" else 100, (5, 40)).astype(dtype)
    for axis in (0, 1):
        wide = np.uint64 if x.dtype.kind == "u" else np.int64
        for found, expected in (
            (scans.cumulative_sum(x, axis), np.cumsum(x, axis, dtype=wide)),
            (scans.cumulative_prod(x, axis), np.cumprod(x, axis, dtype=wide)),
        ):
            assert found.dtype == wide and np.array_equal(found, expected)


def test_t31_float32_sums_are_right_to_the_last_place():
    x = np.full(1_000_000, 0.1, np.float32)
    for shape, axis in ((-1, 0), ((-1, 2), 0)):
        view = x.reshape(shape)
        expected = np.cumsum(view.astype(np.float64), axis)
        assert np.max(np.abs(scans.cumulative_sum(view, axis) / expected - 1)) < 2**-23
    exact = [math.fsum(x[:k].astype(float)) for k in (1, 1000, 77_777)]
    y = x.astype(np.float64) + 1e-9
    found = scans.cumulative_sum(y, 0)
    assert found[[0, 999, 77_776]].tolist() == [math.fsum(y[:k]) for k in (1, 1000, 77_777)]
    assert scans.cumulative_sum(x, 0)[[0, 999, 77_776]].tolist() == [float(np.float32(e)) for e in exact]


def test_t44_nan_and_infinity():
    found = scans.cumulative_sum(np.array([1.0, INF, 2.0, -INF, 3.0]), 0)
    assert np.array_equal(found, [1, INF, INF, NAN, NAN], equal_nan=True)
    found = scans.cumulative_logsumexp(np.array([-INF, -INF, 1.0, -INF, INF, 2.0, NAN, 1.0]), 0)
    assert np.array_equal(found, [-INF, -INF, 1, 1, INF, INF, NAN, NAN], equal_nan=True)
    found = scans.cumulative_logsumexp(np.array([1e4, 1e4, -1e4], np.float32), 0)
    assert np.allclose(found, [1e4, 1e4 + math.log(2), 1e4 + math.log(2)])
    assert np.array_equal(scans.cumulative_prod(np.array([2.0, 0.0, INF]), 0), [2, 0, NAN], equal_nan=True)
    first = np.array([NAN, 0.5])
    assert scans.linear_recurrence(first, np.array([4.0, 1.0]), 0).tolist() == [4.0, 3.0]  # the first factor is not read
    assert np.signbit(scans.cumulative_sum(np.array([-0.0]), 0))[0]


def test_t43_the_number_of_threads_changes_nothing(monkeypatch):
    x = np.random.default_rng(0).normal(size=(40, 300, 3)).astype(np.float32)

    def run() -> list[bytes]:
        return [scans.cumulative_sum(x, 1).tobytes(), scans.linear_recurrence(x, x, 0).tobytes()]

    expected = run()
    monkeypatch.setattr(launch, "parallel_work", 1)
    assert run() == expected


def test_refusals():
    with pytest.raises(IndexError, match="cumulative_sum: axis 2 is out of range"):
        scans.cumulative_sum(np.zeros((2, 3)), 2)
    with pytest.raises(TypeError, match="cumulative_logsumexp: takes floats, got int64"):
        scans.cumulative_logsumexp(np.array([1]), 0)
    with pytest.raises(ValueError, match=r"linear_recurrence: .*\(2,\) float64 and \(3,\) float64"):
        scans.linear_recurrence(np.zeros(2), np.zeros(3), 0)
