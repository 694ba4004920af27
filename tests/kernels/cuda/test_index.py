"""Indexing kernels on the GPU (or the simulator) against NumPy."""

from __future__ import annotations

import index_checks
import numpy as np
import pytest
from cuda_support import IS_SIMULATED, cuda, needs_cuda

from kernels.cuda import index

pytestmark = needs_cuda


@pytest.mark.parametrize("layout", ["contiguous", "transposed", "backwards"])
def test_gather_put_and_scatter_add(layout):
    index_checks.gather_put_and_scatter_add(cuda(), layout, slice(None) if layout == "contiguous" else slice(2, 7, 2))


@pytest.mark.parametrize("dtype", ["bool", "int8", "uint16", "int64", "float64"])
def test_elements_of_every_size_are_moved(dtype):
    index_checks.elements_are_moved(cuda(), dtype)


@pytest.mark.parametrize("dtype", ["int8", "uint16", "float32", "float64"])
def test_rows_of_whole_vectors(dtype):
    index_checks.rows_of_whole_vectors(cuda(), dtype)


@pytest.mark.parametrize("dtype", ["complex64", "complex128"])
def test_complex_elements_are_moved_and_added(dtype):
    index_checks.complex_elements_are_moved_and_added(cuda(), dtype)


@pytest.mark.parametrize("count", [1, 31, 33, 150])
def test_few_and_many_at_one_place(count):
    index_checks.few_and_many_at_one_place(cuda(), count, 3 * count + 1 if IS_SIMULATED and count < 100 else 40)


@pytest.mark.parametrize(("count", "size"), [(1, 1), (33, 17), (2500, 700), (100_000, 5_000_000)])
def test_places_are_sorted_and_equal_ones_keep_their_order(count, size):
    """What put and scatter_add rely on, in one tile and in several that are merged."""
    k = cuda()
    count = min(count, 5000) if IS_SIMULATED else count
    keys = np.random.default_rng(count).integers(0, size, count)
    sorted_keys, order = k.sort_with_places(k.from_numpy(keys))
    assert np.array_equal(k.to_numpy(order), np.argsort(keys, kind="stable"))
    assert np.array_equal(k.to_numpy(sorted_keys), np.sort(keys))


def test_long_sums_are_accurate_and_the_same_each_time():
    index_checks.long_sums_are_accurate_and_the_same_each_time(cuda(), 3000 if IS_SIMULATED else 1_000_000)


@pytest.mark.parametrize("length", [0, 1, 33, 1000, 40000])
def test_nonzero(length):
    index_checks.nonzero(cuda(), min(length, 5000) if IS_SIMULATED else length)


def test_indices_are_checked():
    index_checks.indices_are_checked(cuda())


def test_an_embedding_is_read_in_vectors(monkeypatch):
    k, used = cuda(), []
    monkeypatch.setattr(index, "_gather_vectors", lambda width: used.append(width) or {np.dtype("u4"): lambda *_: None})
    table, places = k.from_numpy(np.zeros((10, 8), np.float32)), k.from_numpy(np.array([3, 3]))
    k.gather(table, [places])
    assert used == [4]
    k.gather(table[:, 1:5], [places])  # not at a multiple of 16 bytes
    assert used == [4]
