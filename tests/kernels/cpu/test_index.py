"""Indexing kernels against NumPy, and the number of threads."""

from __future__ import annotations

import index_checks
import numpy as np
import pytest
from cuda_support import cpu

from kernels import index as neutral
from kernels import launch


@pytest.mark.parametrize("layout", ["contiguous", "transposed", "backwards"])
def test_gather_put_and_scatter_add(layout):
    index_checks.gather_put_and_scatter_add(cpu(), layout)


@pytest.mark.parametrize("dtype", ["bool", "int8", "uint16", "int64", "float64"])
def test_elements_of_every_size_are_moved(dtype):
    index_checks.elements_are_moved(cpu(), dtype)


@pytest.mark.parametrize("dtype", ["int8", "uint16", "float32", "float64"])
def test_rows_of_whole_vectors(dtype):
    index_checks.rows_of_whole_vectors(cpu(), dtype)


@pytest.mark.parametrize("dtype", ["complex64", "complex128"])
def test_complex_elements_are_moved_and_added(dtype):
    index_checks.complex_elements_are_moved_and_added(cpu(), dtype)


@pytest.mark.parametrize("count", [1, 31, 33, 2000, 70000])
def test_sorting_places(count):
    """Few and many places, each of them with none, one or several values."""
    index_checks.few_and_many_at_one_place(cpu(), count, 3 * count + 1)


def test_long_sums_are_accurate_and_the_same_each_time():
    index_checks.long_sums_are_accurate_and_the_same_each_time(cpu(), 1_000_000)


@pytest.mark.parametrize("length", [0, 1, 31, 33, 1000, 40000])
def test_nonzero(length):
    index_checks.nonzero(cpu(), length)


def test_indices_are_checked():
    index_checks.indices_are_checked(cpu())


def test_unravelled_places():
    places = np.array([0, 5, 23])
    expected = np.unravel_index(places, (2, 3, 4))
    assert all(np.array_equal(a, b) for a, b in zip(neutral.unravelled(cpu(), places, (2, 3, 4)), expected, strict=True))


def test_threads_change_no_bit(monkeypatch):
    if launch.available_threads() == 1:
        pytest.skip("there is one core only")
    k, generator = cpu(), np.random.default_rng(0)
    x, index = generator.normal(size=(50, 40, 3)).astype(np.float32), generator.integers(0, 40, 500)
    values = generator.normal(size=(50, 500, 3)).astype(np.float32)

    def run() -> list[bytes]:
        changed = x.copy()
        k.put(changed, [index], values, 1)
        return [a.tobytes() for a in (k.gather(x, [index], 1), k.scatter_add(values, [index], x.shape, 1), changed)]

    expected = run()
    monkeypatch.setattr(launch, "parallel_work", 1)
    assert [run() for _ in range(3)] == [expected] * 3
