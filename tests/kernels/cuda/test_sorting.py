"""Sorting and searching on the GPU (or the simulator) against the CPU: all dtypes, any axis, ties, NaN, rows of several tiles."""

from __future__ import annotations

import numpy as np
import pytest
from cuda_support import cpu, cuda, needs_cuda

pytestmark = needs_cuda


def values(shape: tuple[int, ...], dtype: str) -> np.ndarray:
    generator = np.random.default_rng(len(shape) + shape[0])
    if dtype == "bool":
        return generator.random(shape) < 0.5
    if np.dtype(dtype).kind in "iu":
        bounds = np.iinfo(dtype)
        x = generator.integers(bounds.min, bounds.max, shape, dtype=dtype, endpoint=True)
        x.reshape(-1)[::3] = x.reshape(-1)[0]
        return x
    x = np.round(generator.normal(size=shape) * 4).astype(dtype)
    special = [np.nan, -0.0, 0.0, np.inf, -np.inf, -np.nan, 0.0, 5e-324, -0.0][: x.size // 2]
    x.reshape(-1)[: len(special)] = special
    return x


def check(x: np.ndarray, axis: int, descending: bool = False) -> None:
    k = cuda()
    there = k.from_numpy(x)
    found, order = k.sort_with_places(there, axis, descending)
    expected, expected_order = cpu().sort_with_places(x, axis, descending)
    assert np.array_equal(k.to_numpy(order), expected_order)
    assert k.to_numpy(found).tobytes() == expected.tobytes()
    assert k.to_numpy(there).tobytes() == x.tobytes()


@pytest.mark.parametrize("dtype", "bool int8 uint8 int16 uint32 int64 uint64 float32 float64".split())
def test_order_is_the_cpus(dtype):
    for shape, axis in (((1,), 0), ((33,), 0), ((7, 1), 1), ((3, 5, 7), 1)):
        check(values(shape, dtype), axis)
    check(values((9, 4), dtype), 0, descending=True)


@pytest.mark.parametrize("shape", [(127,), (129,), (1023,), (1025,), (2, 2100)])
def test_rows_of_one_tile_and_of_several(shape):
    check(values(shape, "float32"), -1, descending=len(shape) == 2)


def test_many_rows_of_few_elements():
    check(values((300, 5), "float32"), 1)


def test_t48_any_memory_layout():
    k = cuda()
    x = values((4, 6, 10), "float32")
    there = k.from_numpy(x)
    for mine, theirs in ((there.transpose(2, 0, 1), x.transpose(2, 0, 1)), (there[::-1, ::2, ::-1], x[::-1, ::2, ::-1])):
        assert np.array_equal(k.to_numpy(k.argsort(mine, 1)), cpu().argsort(theirs, 1))


def test_no_elements():
    k = cuda()
    for shape, axis in (((0,), 0), ((3, 0), 0), ((3, 0), 1)):
        found, order = k.sort_with_places(k.from_numpy(np.zeros(shape)), axis)
        assert found.shape == order.shape == shape


def test_permuted():
    k = cuda()
    x = values((3, 40), "float64")
    order = np.argsort(np.random.default_rng(0).normal(size=x.shape), axis=0)
    got = k.to_numpy(k.permuted(k.from_numpy(x), k.from_numpy(order), 0))
    assert np.array_equal(got, np.take_along_axis(x, order, 0), equal_nan=True)


@pytest.mark.parametrize("dtype", ["bool", "int8", "uint64", "float32", "float64"])
def test_searchsorted_is_numpys(dtype):
    k = cuda()
    generator = np.random.default_rng(0)
    for size in (0, 1, 33):
        x = np.sort((generator.normal(size=size) * 3).astype(dtype))
        wanted = (generator.normal(size=(4, 5)) * 3).astype(dtype)
        if x.dtype.kind == "f":
            wanted[0] = [np.nan, np.inf, -np.inf, 0.0, -0.0]
            x[size - size // 8 :] = np.nan
        there, asked = k.from_numpy(x), k.from_numpy(wanted)
        for side in ("left", "right"):
            for mine, theirs in ((asked, wanted), (asked.T, wanted.T), (asked[::-1, ::2], wanted[::-1, ::2])):
                found = k.to_numpy(k.searchsorted(there, mine, side == "right"))
                assert np.array_equal(found, np.searchsorted(x, theirs, side))


def test_refusals():
    k = cuda()
    with pytest.raises(IndexError, match="sort: axis 0 is out of range .*0-d array has none"):
        k.sort(k.from_numpy(np.array(1.0)), 0)
    with pytest.raises(ValueError, match="searchsorted: needs a vector and values of its type"):
        k.searchsorted(k.from_numpy(np.zeros((2, 3))), k.from_numpy(np.zeros(2)))
