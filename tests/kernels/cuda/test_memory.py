"""Device memory: pieces that are cut, merged and used again in stream order, and counts that add up."""

import ctypes
import gc
import multiprocessing
import os
import threading
import weakref
from itertools import pairwise

import pytest
from fake_cuda import FakeRuntime, FakeStream
from hypothesis import given
from hypothesis import strategies as st

from kernels import memory as host_memory
from kernels.cuda import allocator as allocators
from kernels.cuda import memory
from kernels.cuda.blocks import Keeper
from kernels.cuda.memory import CachingAllocator, OutOfMemoryError, device_name, foreign_block

KIB, MIB = 1 << 10, 1 << 20
FIRST, SECOND = FakeStream(name="first"), FakeStream(name="second")


@pytest.fixture
def runtime():
    return FakeRuntime(real_memory=False)


@pytest.fixture
def allocator(runtime):
    return CachingAllocator(runtime)


def asked(runtime):
    return [call[1] for call in runtime.calls if call[0] == "allocate"]


def check(allocator):
    """Free lists, pieces and counts tell the same story."""
    with allocator._lock:
        allocator._take_back()
        allocator._merge_recent()
        pieces = []
        for first, size in allocator._slabs.values():
            own = allocators._pieces(first)
            assert own[0].previous is None and sum(piece.size for piece in own) == size
            for before, after in pairwise(own):
                assert before.pointer + before.size == after.pointer and after.previous is before
                assert not (before.free and after.free and before.pool is after.pool), "free neighbours are one piece"
            pieces += own
        kept = [(key, piece) for key, free in allocator._free.items() for _, _, piece in free]
        assert {id(piece) for _, piece in kept} == {id(piece) for piece in pieces if piece.free}
        assert all(key == (piece.pool, piece.small) for key, piece in kept)
        for free in allocator._free.values():
            assert free == sorted(free, key=lambda entry: entry[:2])
            assert all((size, pointer) == (piece.size, piece.pointer) for size, pointer, piece in free)
        assert allocator._allocated == sum(piece.size for piece in pieces if not piece.free)
        assert allocator._reserved == sum(piece.size for piece in pieces)


# --- pieces --------------------------------------------------------------------------------------------------------------


def test_sizes_of_slabs(runtime, allocator):
    blocks = [allocator.allocate(n, FIRST) for n in (1, MIB, MIB + 1, 10 * MIB, 10 * MIB + 1, 33 * MIB)]
    assert asked(runtime) == [2 * MIB, 20 * MIB, 12 * MIB, 34 * MIB]
    assert all(block.pointer % 512 == 0 for block in blocks)
    check(allocator)


def test_pieces_of_a_slab_lie_side_by_side(runtime, allocator):
    first, second = allocator.allocate(100, FIRST), allocator.allocate(513, FIRST)
    assert second.pointer == first.pointer + 512
    assert allocator.allocated == 512 + 1024 and allocator.reserved == 2 * MIB and len(asked(runtime)) == 1
    assert first.nbytes == 100 and second.nbytes == 513
    check(allocator)


def test_a_piece_is_used_again_and_neighbours_merge(runtime, allocator):
    blocks = [allocator.allocate(256 * KIB, FIRST) for _ in range(8)]
    start = blocks[0].pointer
    del blocks[3]
    assert allocator.allocate(256 * KIB, FIRST).pointer == start + 3 * 256 * KIB
    check(allocator)
    del blocks[2]
    del blocks[2]
    check(allocator)
    assert allocator.allocate(600 * KIB, FIRST).pointer == start + 2 * 256 * KIB
    blocks.clear()
    check(allocator)
    assert allocator.allocated == 0 and allocator.cached == 2 * MIB
    assert len(allocator._free[FIRST, True]) == 1, "all pieces are one again"


def test_best_fit(allocator):
    sizes = [64 * KIB, 4 * KIB, 16 * KIB, 4 * KIB, 8 * KIB, 4 * KIB]
    blocks = [allocator.allocate(n, FIRST) for n in sizes]
    places = [block.pointer for block in blocks]
    blocks[0] = blocks[2] = blocks[4] = None
    assert allocator.allocate(8 * KIB, FIRST).pointer == places[4]
    assert allocator.allocate(9 * KIB, FIRST).pointer == places[2]
    assert allocator.allocate(17 * KIB, FIRST).pointer == places[0]


def test_the_same_request_gets_the_same_piece_before_anything_is_merged(allocator):
    """What a training loop does: the same sizes again and again."""
    sizes = [4 * KIB, 33 * MIB + 5, 700, 3 * MIB]
    blocks = [allocator.allocate(n, FIRST) for n in sizes]
    places = [block.pointer for block in blocks]
    blocks.clear()
    allocator._merge_recent = None  # not called
    blocks = [allocator.allocate(n, FIRST) for n in reversed(sizes)]
    assert [block.pointer for block in blocks] == places[::-1]
    del allocator._merge_recent
    check(allocator)


def test_large_pieces_are_not_cut_into_crumbs(allocator):
    block = allocator.allocate(20 * MIB - 4 * KIB, FIRST)
    assert allocator.allocated == 20 * MIB
    del block
    half = allocator.allocate(11 * MIB, FIRST)
    assert allocator.allocated == 11 * MIB and allocator.reserved == 20 * MIB
    del half
    check(allocator)


def test_no_bytes(runtime, allocator):
    block = allocator.allocate(0, FIRST)
    assert (block.pointer, block.nbytes, block.stream) == (0, 0, FIRST) and not runtime.calls
    block.use_on(SECOND)
    del block
    assert allocator.allocated == 0


@given(st.data())
def test_lent_blocks_never_overlap(data):
    runtime = FakeRuntime(real_memory=False)
    allocator = CachingAllocator(runtime)
    blocks = []
    size = st.one_of(st.integers(1, 5000), st.integers(1, 3 * MIB), st.integers(9 * MIB, 30 * MIB))
    for _ in range(data.draw(st.integers(1, 25))):
        action = data.draw(st.sampled_from("aaaffufe"))
        if action == "a":
            blocks.append(allocator.allocate(data.draw(size), data.draw(st.sampled_from([FIRST, SECOND]))))
        elif action == "e":
            allocator.empty_cache()
        elif blocks:
            index = data.draw(st.integers(0, len(blocks) - 1))
            if action == "f":
                del blocks[index]
            else:
                blocks[index].use_on(data.draw(st.sampled_from([FIRST, SECOND])))
        if data.draw(st.booleans()):
            check(allocator)
        ranges = sorted((b.pointer, b.pointer + b.nbytes) for b in blocks)
        assert all(a[1] <= b[0] for a, b in pairwise(ranges))
        slabs = [(address, address + size) for address, (size, _) in runtime.memory.items()]
        assert all(any(low <= a and b <= high for low, high in slabs) for a, b in ranges)
    blocks.clear()
    allocator.empty_cache()
    assert allocator.reserved == allocator.allocated == 0 and not runtime.memory


# --- streams -------------------------------------------------------------------------------------------------------------


def test_a_piece_goes_back_to_its_stream(allocator):
    block = allocator.allocate(4 * KIB, FIRST)
    place = block.pointer
    del block
    other = allocator.allocate(4 * KIB, SECOND)
    assert other.pointer != place
    assert allocator.allocate(4 * KIB, FIRST).pointer == place


def test_handing_over_waits_once(runtime, allocator):
    block = allocator.allocate(4 * KIB, FIRST)
    block.use_on(FIRST)
    assert runtime.waits() == []
    block.use_on(SECOND)
    block.use_on(SECOND)
    assert runtime.waits() == [(SECOND, FIRST)] and block.stream is SECOND
    place = block.pointer
    del block
    assert allocator.allocate(4 * KIB, FIRST).pointer != place
    # What the first stream queued on the block after handing it over must be done too before it is used again.
    assert runtime.waits() == [(SECOND, FIRST), (SECOND, FIRST)]
    assert allocator.allocate(4 * KIB, SECOND).pointer == place


def test_pieces_of_different_streams_merge_only_when_the_device_has_come_to_rest(runtime, allocator):
    blocks = [allocator.allocate(512 * KIB, FIRST) for _ in range(4)]
    blocks[1].use_on(SECOND)
    blocks.clear()
    check(allocator)
    assert sorted(len(free) for free in allocator._free.values()) == [1, 2]
    allocator.empty_cache()
    assert runtime.calls[-2:] == [("synchronize", 0), ("release", 2 * MIB)]
    assert allocator.reserved == 0


# --- running out ---------------------------------------------------------------------------------------------------------


def test_the_cache_is_flushed_before_giving_up():
    runtime = FakeRuntime(room=64 * MIB, real_memory=False)
    allocator = CachingAllocator(runtime)
    blocks = [allocator.allocate(20 * MIB, FIRST) for _ in range(3)]
    blocks.clear()
    block = allocator.allocate(50 * MIB, FIRST)
    assert ("synchronize", 0) in runtime.calls and block.nbytes == 50 * MIB
    check(allocator)


def test_after_a_flush_a_smaller_slab_will_do():
    allocator = CachingAllocator(FakeRuntime(room=8 * MIB, real_memory=False))
    assert allocator.allocate(3 * MIB, FIRST).nbytes == 3 * MIB
    assert allocator.reserved <= 8 * MIB


def test_after_a_flush_a_stream_may_have_the_pieces_of_others():
    allocator = CachingAllocator(FakeRuntime(room=20 * MIB, real_memory=False))
    blocks = [allocator.allocate(5 * MIB, FIRST) for _ in range(4)]
    blocks[2].use_on(SECOND)
    place = blocks[1].pointer
    del blocks[1:3]
    assert allocator.allocate(10 * MIB, SECOND).pointer == place
    check(allocator)


def test_garbage_is_collected_before_giving_up():
    allocator = CachingAllocator(FakeRuntime(room=64 * MIB, real_memory=False))
    cycle = [allocator.allocate(40 * MIB, FIRST)]
    cycle.append(cycle)
    gc.disable()
    try:
        del cycle
        assert allocator.allocated == 40 * MIB
        assert allocator.allocate(60 * MIB, FIRST).nbytes == 60 * MIB
    finally:
        gc.enable()


def test_the_message_says_what_was_asked_and_what_there_is():
    runtime = FakeRuntime(room=64 * MIB, real_memory=False)
    allocator = CachingAllocator(runtime, 1)
    kept = allocator.allocate(20 * MIB, FIRST)
    small = [allocator.allocate(MIB, FIRST) for _ in range(4)]
    del small[1]
    runtime.room -= 10 * MIB  # another program's
    with pytest.raises(MemoryError) as caught:
        allocator.allocate(100 * MIB + 7, FIRST)
    message = str(caught.value)
    assert isinstance(caught.value, OutOfMemoryError) and caught.value.__cause__ is None
    for part in ("100.0 MiB (104,857,607 bytes) on cuda:1", "30.0 MiB are free", "23.0 MiB in use", "1.0 MiB cached", "smaller batches"):
        assert part in message, message
    assert kept.nbytes == 20 * MIB
    check(allocator)


# --- counts --------------------------------------------------------------------------------------------------------------


def test_peak(allocator):
    first = allocator.allocate(4 * KIB, FIRST)
    second = allocator.allocate(4 * KIB, FIRST)
    del first
    assert (allocator.allocated, allocator.peak) == (4 * KIB, 8 * KIB)
    allocator.reset_peak()
    assert allocator.peak == 4 * KIB
    third = allocator.allocate(KIB, FIRST)
    assert allocator.peak == 5 * KIB
    del second, third
    assert (allocator.allocated, allocator.peak) == (0, 5 * KIB)


def test_summary(allocator):
    kept = allocator.allocate(MIB, FIRST)
    text = allocator.summary()
    assert text.splitlines()[0] == "memory of cuda:0" and "1.0 MiB  1 block" in text and "of 1,024.0 MiB" in text
    assert kept.nbytes == MIB


def test_functions_over_all_devices(monkeypatch, runtime):
    monkeypatch.setattr(memory, "_allocators", {0: CachingAllocator(runtime, 0), 1: CachingAllocator(runtime, 1)})
    monkeypatch.setattr(memory, "_runtime", lambda: runtime)
    memory._parse_device.cache_clear()
    blocks = [memory.allocator(0).allocate(512, FIRST), memory.allocator("cuda:1").allocate(1024, FIRST)]
    assert memory.memory_allocated() == 1536
    assert [memory.memory_allocated(d) for d in (0, "cuda", "cuda:0", "cuda:1", 1)] == [512, 512, 512, 1024, 1024]
    assert memory.memory_reserved("cuda:1") == 2 * MIB and memory.memory_reserved() == 4 * MIB
    blocks.clear()
    assert memory.max_memory_allocated() == 1536 and memory.max_memory_allocated(1) == 1024
    memory.reset_peak_memory_stats()
    assert memory.max_memory_allocated() == 0
    memory.empty_cache()
    assert memory.memory_reserved() == 0
    assert "cuda:0" in memory.memory_summary() and "cuda:1" in memory.memory_summary("cuda:1")
    memory._parse_device.cache_clear()


@pytest.mark.parametrize("device", ["cpu", "cuda:", "cuda:x", "cuda:-1", "gpu", "cuda:1:0", -1])
def test_unknown_devices(monkeypatch, runtime, device):
    monkeypatch.setattr(memory, "_runtime", lambda: runtime)
    with pytest.raises(ValueError, match="expected 'cuda', 'cuda:0'"):
        memory.parse_device(device)


def test_devices_that_are_not_there(monkeypatch, runtime):
    monkeypatch.setattr(memory, "_runtime", lambda: runtime)
    memory._parse_device.cache_clear()
    assert [memory.parse_device(d) for d in ("cuda", "cuda:0", "cuda:1", 1)] == [0, 0, 1, 1] and device_name(1) == "cuda:1"
    with pytest.raises(ValueError, match="no device 'cuda:2': there are 2 CUDA devices"):
        memory.parse_device("cuda:2")
    memory._parse_device.cache_clear()


# --- poison, the simulator, other libraries' memory ------------------------------------------------------------------------


def test_poison():
    runtime = FakeRuntime()
    allocator = CachingAllocator(runtime)
    was = host_memory.allocator.poison
    try:
        host_memory.set_poison(True)  # one switch for all devices
        block = allocator.allocate(1000, FIRST)
        assert ctypes.string_at(block.pointer, 1000) == b"\xff" * 1000
        memory.set_poison(False)
        runtime.calls.clear()
        allocator.allocate(1000, FIRST)
        assert ("fill", 1000) not in runtime.calls
    finally:
        host_memory.set_poison(was)


def test_in_the_simulator_every_request_has_its_own_memory():
    runtime = FakeRuntime(is_simulated=True)
    allocator = CachingAllocator(runtime)
    memory.set_poison(False)
    try:
        blocks = [allocator.allocate(n, FIRST) for n in (1, 700, 3 * MIB)]
    finally:
        memory.set_poison(host_memory.allocator.poison)
    assert asked(runtime) == [1, 700, 3 * MIB]
    assert ctypes.string_at(blocks[1].pointer, 700) == b"\xff" * 700
    assert allocator.allocated == allocator.peak == allocator.reserved == 701 + 3 * MIB
    blocks.clear()
    assert allocator.reserved == allocator.allocated == allocator.cached == 0 and not runtime.memory


def test_foreign_blocks_keep_their_owner_and_are_never_lent(runtime, allocator):
    class Owner:
        pass

    owner = Owner()
    gone = []
    weakref.finalize(owner, gone.append, True)
    block = foreign_block(1 << 20, 4096, 0, FIRST, owner, runtime)
    block.use_on(SECOND)
    assert runtime.waits() == [(SECOND, FIRST)] and block.pointer == 1 << 20
    del owner
    assert not gone
    del block
    assert gone and allocator.reserved == 0


def test_a_keeper_holds_owners_until_all_streams_have_passed(runtime):
    class Owner:
        pass

    class Event:
        is_done = False

    events = {FIRST: Event(), SECOND: Event()}
    runtime.record = events.__getitem__
    runtime.keeper = Keeper(runtime)
    allocator = CachingAllocator(runtime)
    owner = Owner()
    gone = []
    weakref.finalize(owner, gone.append, True)
    block = foreign_block(1 << 20, 4096, 0, FIRST, owner, runtime)
    block.use_on(SECOND)
    del owner, block
    assert not gone and len(runtime.keeper.returned) == 1
    allocator.allocate(100, FIRST)  # asks for an event on both streams
    events[FIRST].is_done = True
    allocator.allocate(100, FIRST)
    assert not gone and not runtime.keeper.returned
    events[SECOND].is_done = True
    allocator.allocate(100, FIRST)
    assert gone


# --- threads, garbage, processes -------------------------------------------------------------------------------------------


def test_threads_allocate_at_once():
    runtime = FakeRuntime()
    allocator = CachingAllocator(runtime)
    wrong = []

    def work(number):
        stream = FakeStream(name=str(number))
        kept = []
        for i in range(300):
            block = allocator.allocate(64 + (i * 7919 + number) % 5000, stream)
            ctypes.memset(block.pointer, number, block.nbytes)
            kept.append(block)
            if len(kept) > 5:
                old = kept.pop(i % 5)
                if ctypes.string_at(old.pointer, old.nbytes) != bytes([number]) * old.nbytes:
                    wrong.append((number, i))

    threads = [threading.Thread(target=work, args=(n,)) for n in range(1, 7)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    check(allocator)
    assert allocator.allocated == 0


def test_blocks_that_die_inside_the_allocator(runtime, allocator):
    """A garbage collection may run anywhere, in the middle of the allocator too: nothing happens there but an append."""
    for _ in range(20):
        cycle = [allocator.allocate(4 * KIB, FIRST)]
        cycle.append(cycle)
    del cycle
    threshold = gc.get_threshold()
    gc.set_threshold(1)
    try:
        blocks = [allocator.allocate(KIB, FIRST) for _ in range(50)]
    finally:
        gc.set_threshold(*threshold)
    check(allocator)
    assert allocator.allocated == 50 * KIB and len(blocks) == 50


def test_a_block_may_die_while_another_thread_holds_the_lock(allocator):
    block = allocator.allocate(KIB, FIRST)
    blocks = [block]
    del block
    with allocator._lock:
        thread = threading.Thread(target=blocks.clear)
        thread.start()
        thread.join(timeout=5)
        assert not thread.is_alive()
    assert allocator.allocated == 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_is_told_to_spawn(allocator):
    block = allocator.allocate(KIB, FIRST)

    def child(send):
        messages = []
        for use in (lambda: allocator.allocate(KIB, FIRST), lambda: allocator.allocated, allocator.empty_cache):
            try:
                use()
            except RuntimeError as error:
                messages.append(str(error))
        send.send(messages)

    receive, send = multiprocessing.Pipe()
    process = multiprocessing.get_context("fork").Process(target=child, args=(send,))
    process.start()
    messages = receive.recv()
    process.join()
    assert len(messages) == 3 and all("forked process" in m and "spawn" in m for m in messages)
    assert allocator.allocated == KIB and block.nbytes == KIB
