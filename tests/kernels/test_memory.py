"""The caching allocator: blocks that outlive their arrays, poison in what is not yet written, and counts that add up."""

import gc
import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernels import memory
from kernels.memory import ALIGNMENT, CACHED_FROM, CachingAllocator, round_up

F32 = np.dtype(np.float32)
KIB = 1 << 10


def take(allocator, nbytes):
    return allocator.empty((nbytes // 4,), F32, nbytes)


def address(array):
    return array.__array_interface__["data"][0]


@pytest.fixture
def allocator():
    return CachingAllocator()


# --- sizes ---------------------------------------------------------------------------------------------------------


def test_sizes_of_blocks():
    assert [round_up(n * KIB) for n in (64, 65, 80, 81, 1024, 1025)] == [n * KIB for n in (64, 80, 80, 96, 1024, 1280)]
    assert round_up(1) == 4096


@given(st.integers(CACHED_FROM, 1 << 45))
def test_a_request_fills_three_quarters_of_its_block(nbytes):
    size = round_up(nbytes)
    assert nbytes <= size and 4 * nbytes >= 3 * size
    assert round_up(size) == size and round_up(nbytes + 1) >= size


# --- blocks --------------------------------------------------------------------------------------------------------


def test_blocks_are_used_again(allocator):
    first = take(allocator, 100 * KIB)
    place = address(first)
    del first
    assert (allocator.allocated, allocator.cached) == (0, 112 * KIB)
    second = take(allocator, 110 * KIB)
    assert address(second) == place and (allocator.allocated, allocator.cached) == (112 * KIB, 0)
    third = take(allocator, 110 * KIB)
    assert not np.shares_memory(second, third)
    assert allocator.allocated == allocator.peak == 2 * 112 * KIB


def test_a_block_of_another_size_is_not_used(allocator):
    take(allocator, 100 * KIB)
    large = take(allocator, 200 * KIB)
    assert allocator.cached == 112 * KIB and large.nbytes == 200 * KIB


def test_arrays_are_aligned_dense_and_writeable(allocator):
    kept = [allocator.empty((k, 1000, 7), np.dtype(t), k * 7000 * 8) for k, t in ((3, "f8"), (4, "i8"), (5, "f8"))]
    for array in kept:
        assert address(array) % ALIGNMENT == 0 and array.flags.c_contiguous and array.flags.writeable and array.flags.aligned
        array[...] = 1
    assert [a.shape for a in kept] == [(3, 1000, 7), (4, 1000, 7), (5, 1000, 7)]


def test_views_keep_the_block(allocator):
    array = take(allocator, 100 * KIB)
    array[...] = 7
    views = [array[5:10], array.reshape(2, -1).T[::-2], memoryview(array)[3:4]]
    del array
    for _ in range(3):
        assert allocator.allocated == 112 * KIB
        other = take(allocator, 100 * KIB)
        other[...] = -1
        assert np.all(np.asarray(views.pop()) == 7)
        del other
    gc.collect()
    assert allocator.allocated == 0


def test_no_more_than_the_limit_is_kept():
    allocator = CachingAllocator(limit=250 * KIB)
    arrays = [take(allocator, 112 * KIB) for _ in range(4)]
    assert allocator.allocated == 448 * KIB
    arrays.clear()
    assert (allocator.allocated, allocator.cached, allocator.peak) == (0, 224 * KIB, 448 * KIB)
    allocator.empty_cache()
    assert allocator.cached == 0 and not allocator._free and not allocator._lent


def test_arrays_in_cycles_come_back(allocator):
    class Node:
        pass

    node = Node()
    node.self, node.array = node, take(allocator, 100 * KIB)
    del node
    gc.collect()
    assert (allocator.allocated, allocator.cached) == (0, 112 * KIB)


# --- poison --------------------------------------------------------------------------------------------------------


def test_poison_fills_new_and_returned_blocks(allocator):
    allocator.poison = True
    array = take(allocator, 100 * KIB)
    assert np.isnan(array).all()
    array[...] = 1
    place = array.ctypes.data
    del array
    (block,) = allocator._free[112 * KIB]
    assert (block == 0xFF).all(), "whoever still reads the block sees it"
    again = take(allocator, 100 * KIB)
    assert address(again) == place and np.isnan(again).all()


@pytest.mark.parametrize("size", [(5,), (), (0,), (3, 0), (CACHED_FROM,)], ids=str)
def test_poison_in_small_and_large_arrays(size):
    assert memory.allocator.poison, "tests run in poison mode"
    for dtype in (np.float32, np.float64):
        assert np.isnan(memory.empty(size, dtype)).all()
    assert (memory.empty(size, np.int32) == -1).all() and (memory.empty(size, np.uint8) == 255).all()
    assert (memory.empty(size, bool).view(np.uint8) == 255).all()


def test_switching_poison_tells_who_has_kept_a_maker(monkeypatch):
    told = []
    monkeypatch.setattr(memory, "_on_change", [*memory._on_change])
    memory.on_change(lambda: told.append(memory.allocator.poison))
    try:
        memory.set_poison(False)
        assert memory.maker((3,), F32) is np.empty
    finally:
        memory.set_poison(True)
    assert told == [False, True]
    assert np.isnan(memory.maker((3,), F32)((3,), F32)).all()


# --- counts ------------------------------------------------------------------------------------------------------------


def test_counts_of_the_process():
    memory.empty_cache()
    before = memory.memory_allocated()
    array = memory.empty((1 << 20,), np.float32)
    assert memory.memory_allocated() - before == 4 << 20 and memory.max_memory_allocated() >= before + (4 << 20)
    del array
    assert memory.memory_allocated() == before and memory.allocator.cached >= 4 << 20
    assert memory.memory_summary().startswith(f"cpu memory: {before:,} bytes in use, ")
    memory.empty_cache()
    assert memory.allocator.cached == 0


def test_small_arrays_are_numpys_and_not_counted():
    before = memory.memory_allocated()
    small = memory.empty((CACHED_FROM // 4 - 1,), np.float32)
    assert memory.memory_allocated() == before and small.base is None
    large = memory.empty((CACHED_FROM // 4,), np.float32)
    assert memory.memory_allocated() == before + CACHED_FROM and large.base is not None


# --- no memory ---------------------------------------------------------------------------------------------------------


def starved(monkeypatch, refusals):
    """`np.empty` fails so many times."""
    real, left = np.empty, [refusals]

    def empty(*arguments, **options):
        if left[0]:
            left[0] -= 1
            raise MemoryError("NumPy's own words")
        return real(*arguments, **options)

    monkeypatch.setattr(np, "empty", empty)


def test_the_message_of_a_memory_error(allocator, monkeypatch):
    kept = take(allocator, 100 * KIB)
    take(allocator, 200 * KIB)
    with monkeypatch.context() as patch:
        starved(patch, 2)
        with pytest.raises(MemoryError) as caught:
            take(allocator, 1 << 20)
    assert str(caught.value) == (
        "could not allocate 1,048,576 bytes on cpu: 114,688 bytes are in use by large arrays and none are cached; "
        "use smaller batches, or free tensors and graphs that are no longer needed"
    )
    assert caught.value.__suppress_context__
    assert (allocator.allocated, allocator.cached) == (112 * KIB, 0)
    assert take(allocator, 1 << 20).nbytes == 1 << 20 and kept.nbytes == 100 * KIB


def test_unused_blocks_are_given_back_before_memory_is_said_to_be_out(allocator, monkeypatch):
    take(allocator, 200 * KIB)
    starved(monkeypatch, 1)
    array = take(allocator, 1 << 20)
    assert array.nbytes == allocator.allocated == 1 << 20 and allocator.cached == 0


# --- threads -----------------------------------------------------------------------------------------------------------


def test_threads_never_share_a_block(allocator):
    wrong, start = [], threading.Barrier(4)

    def work(k):
        generator = np.random.default_rng(k)
        start.wait()
        for _ in range(300):
            array = take(allocator, int(generator.integers(16, 60)) * 4 * KIB)
            array[::1000] = k
            other = take(allocator, 100 * KIB)
            other[::1000] = -k
            if not ((array[::1000] == k).all() and (other[::1000] == -k).all()):
                wrong.append(k)

    threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not wrong
    assert allocator.allocated == 0 and not allocator._lent
    assert allocator.cached == sum(size * len(blocks) for size, blocks in allocator._free.items())
