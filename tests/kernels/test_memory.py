"""The caching allocator: reuse, limits, poison."""

from __future__ import annotations

import gc
import threading

import numpy as np
import pytest

from kernels import memory
from kernels.memory import ALIGNMENT, CACHED_FROM, CachingAllocator, round_up

LARGE = CACHED_FROM
BYTE = np.dtype(np.uint8)


def take(allocator: CachingAllocator, nbytes: int) -> np.ndarray:
    return allocator.empty((nbytes,), BYTE, nbytes)


@pytest.mark.parametrize("nbytes", [LARGE, LARGE + 1, 70_000, 100_000, 10**6, 2**20, 2**20 + 1, 10**8, 2**31 + 5])
def test_blocks_are_at_least_three_quarters_full(nbytes):
    size = round_up(nbytes)
    assert nbytes <= size <= nbytes * 4 / 3 and round_up(size) == size


def test_a_block_comes_back_when_its_array_dies():
    allocator = CachingAllocator()
    first = take(allocator, LARGE)
    address = first.ctypes.data
    assert address % ALIGNMENT == 0 and allocator.allocated == round_up(LARGE) and allocator.cached == 0
    view = first[10:20].reshape(2, 5)
    del first
    assert allocator.allocated > 0, "a view keeps the block"
    del view
    assert allocator.allocated == 0 and allocator.cached == round_up(LARGE)
    again = take(allocator, LARGE - 1000)
    assert again.ctypes.data == address and allocator.cached == 0 and allocator.peak == round_up(LARGE)
    other = take(allocator, LARGE)
    assert other.ctypes.data != address and allocator.peak == 2 * round_up(LARGE)


def test_two_living_arrays_never_share_a_block():
    allocator = CachingAllocator()
    generator = np.random.default_rng(0)
    alive: list[np.ndarray] = []
    for step in range(300):
        if alive and generator.random() < 0.45:
            number = int(generator.integers(len(alive)))
            array = alive.pop(number)
            assert (array == array[0]).all(), "somebody else has written here"
            del array
        else:
            array = take(allocator, int(generator.integers(LARGE, 4 * LARGE)))
            array[:] = step % 251
            alive.append(array)
        assert allocator.allocated == sum(round_up(a.nbytes) for a in alive)
    assert len(allocator._lent) == len(alive)


def test_no_more_than_the_limit_is_kept():
    allocator = CachingAllocator(limit=3 * LARGE)
    arrays = [take(allocator, LARGE) for _ in range(10)]
    arrays.clear()
    assert allocator.allocated == 0 and allocator.cached <= 3 * LARGE
    allocator.empty_cache()
    assert allocator.cached == 0 and not allocator._free


def test_arrays_of_any_type_and_shape():
    allocator = CachingAllocator()
    array = allocator.empty((100, 200), np.dtype(np.float64), 160_000)
    assert array.shape == (100, 200) and array.dtype == np.float64 and array.flags.c_contiguous and array.flags.writeable
    array[:] = 3.0
    assert array.sum() == 60_000.0


def test_t42_poison():
    allocator = CachingAllocator()
    allocator.poison = True
    array = allocator.empty((10_000,), np.dtype(np.float64), 80_000)
    assert np.isnan(array).all()
    array[:] = 1.0
    del array
    assert np.isnan(allocator.empty((10_000,), np.dtype(np.float64), 80_000)).all()


def test_t42_poison_of_small_and_large_arrays():
    before = memory.allocator.poison
    try:
        memory.set_poison(True)
        for shape in ((3,), (2, 0), (), (200, 200)):
            for dtype in (np.float32, np.float64):
                assert np.isnan(memory.empty(shape, dtype)).all()
            assert (memory.empty(shape, np.int32) == -1).all()
        make = memory.maker((5,), np.dtype(np.float32))
        assert np.isnan(make((5,), np.dtype(np.float32))).all()
        forgotten = []
        memory.on_change(lambda: forgotten.append(1))
        memory.set_poison(False)
        assert forgotten == [1], "whoever keeps makers is told"
        memory._on_change.pop()
        assert memory.maker((5,), np.dtype(np.float32)) is np.empty
    finally:
        memory.set_poison(before)


def test_memory_errors_say_what_to_do(monkeypatch):
    allocator = CachingAllocator()
    kept = take(allocator, LARGE)
    take(allocator, LARGE)  # dies at once, and is cached
    attempts = []

    def refuse(*arguments, **options):
        attempts.append(allocator.cached)
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr(memory.np, "empty", refuse)
        with pytest.raises(MemoryError, match=r"could not allocate 1,048,576 bytes on cpu: 65,536 bytes are in use.*smaller batches"):
            take(allocator, 2**20)
    assert attempts == [round_up(LARGE), 0], "it must give back what is cached, and try again"
    assert allocator.allocated == round_up(LARGE)
    del kept
    assert take(allocator, 2**20).size == 2**20


def test_threads_and_the_garbage_collector():
    allocator = CachingAllocator()
    failures = []

    def work(seed: int) -> None:
        generator = np.random.default_rng(seed)
        try:
            for step in range(200):
                array = take(allocator, int(generator.integers(LARGE, 3 * LARGE)))
                array[:] = seed
                cycle = [array]
                cycle.append(cycle)
                if step % 20 == 0:
                    gc.collect()
                assert (array == seed).all()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    gc.collect()
    assert not failures and allocator.allocated == 0 and not allocator._lent


def test_counters_of_the_library():
    before = memory.memory_allocated()
    array = memory.empty((1000, 1000), np.float32)
    assert memory.memory_allocated() - before == round_up(4_000_000) and memory.max_memory_allocated() >= memory.memory_allocated()
    assert "bytes in use" in memory.memory_summary()
    del array
    assert memory.memory_allocated() == before
    memory.empty_cache()
    assert memory.allocator.cached == 0
