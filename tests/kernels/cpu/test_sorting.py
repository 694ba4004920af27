"""Sorting on the CPU against NumPy's stable sort: all dtypes, any axis, ties, NaN, both zeros, short and long rows."""

from __future__ import annotations

import numpy as np
import pytest

from kernels import launch
from kernels.cpu import sorting

DTYPES = "bool int8 uint8 int16 uint16 int32 uint32 int64 uint64 float32 float64".split()
SHAPES = [
    ((1,), 0), ((33,), 0), ((64,), -1), ((65,), 0), ((127,), 0), ((128,), 0), ((129,), 0), ((1, 7), 0), ((7, 1), 1), ((3, 300), 1),
    ((100, 3), 0), ((2, 70, 3), 1),
]  # fmt: skip


def values(shape: tuple[int, ...], dtype: str) -> np.ndarray:
    generator = np.random.default_rng(len(shape) + shape[0])
    if dtype == "bool":
        return generator.random(shape) < 0.5
    if np.dtype(dtype).kind in "iu":
        bounds = np.iinfo(dtype)
        x = generator.integers(bounds.min, bounds.max, shape, dtype=dtype, endpoint=True)
        x.reshape(-1)[::3] = x.reshape(-1)[0]  # ties
        return x
    x = np.round(generator.normal(size=shape) * 4).astype(dtype)
    special = [np.nan, -0.0, 0.0, np.inf, -np.inf, -np.nan, 0.0, 5e-324, -0.0][: x.size // 2]
    x.reshape(-1)[: len(special)] = special
    return x


def places(x: np.ndarray, axis: int, descending: bool = False) -> np.ndarray:
    if not descending:
        return np.argsort(x, axis=axis, kind="stable")
    return x.shape[axis] - 1 - np.flip(np.argsort(np.flip(x, axis), axis=axis, kind="stable"), axis)


def check(x: np.ndarray, axis: int) -> None:
    before = x.copy()
    for descending in (False, True):
        expected = places(x, axis, descending)
        found, order = sorting.sort_with_places(x, axis, descending)
        assert order.dtype == np.int64 and found.dtype == x.dtype.newbyteorder("=")
        assert np.array_equal(order, expected)
        assert np.array_equal(sorting.argsort(x, axis, descending), expected)
        wanted = np.take_along_axis(x, expected, axis)
        assert found.tobytes() == np.ascontiguousarray(wanted, found.dtype).tobytes()  # signs of zeros and NaN's bits too
    assert x.tobytes() == before.tobytes()


@pytest.mark.parametrize("dtype", DTYPES)
def test_order_is_numpys_stable_one(dtype):
    for shape, axis in SHAPES:
        check(values(shape, dtype), axis)


@pytest.mark.parametrize("dtype", ["float32", "uint8"])
def test_t48_any_memory_layout(dtype):
    x = values((4, 70, 6), dtype)
    for view in (x.transpose(2, 0, 1), x[::-1, ::2, ::-1], np.broadcast_to(x[:, :1], x.shape), x.astype(x.dtype.newbyteorder())):
        for axis in range(3):
            check(view, axis)


def test_no_elements():
    for shape, axis in (((0,), 0), ((3, 0), 0), ((3, 0), 1)):
        found, order = sorting.sort_with_places(np.zeros(shape), axis)
        assert found.shape == order.shape == shape


def test_permuted():
    x = values((3, 5, 4), "float32")
    for axis in range(3):
        order = places(np.random.default_rng(0).normal(size=x.shape), axis)
        assert np.array_equal(sorting.permuted(x, order, axis), np.take_along_axis(x, order, axis), equal_nan=True)


def test_t43_the_number_of_threads_changes_nothing(monkeypatch):
    x = values((40, 300), "float32")
    expected = sorting.argsort(x, 1).tobytes()
    monkeypatch.setattr(launch, "parallel_work", 1)
    assert sorting.argsort(x, 1).tobytes() == expected


def test_refusals():
    with pytest.raises(IndexError, match="sort: axis 0 is out of range .*0-d array has none"):
        sorting.sort(np.array(1.0), 0)
    with pytest.raises(IndexError, match="argsort: axis -3 is out of range"):
        sorting.argsort(np.zeros((2, 3)), -3)
    with pytest.raises(TypeError, match="sort: takes bool, integers and floats, got complex128"):
        sorting.sort(np.zeros(2, complex))
