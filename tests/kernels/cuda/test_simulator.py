"""The CUDA simulator: every mistake of a kernel is noticed, and what is right runs."""

import threading

import numpy as np
import pytest
from simulated_arrays import WARP, aligned, at, numbers

from kernels.cuda.emulation import (
    boolean,
    cuda,
    float32,
    float64,
    inlined,
    int32,
    int64,
    load2,
    load4,
    load8,
    load16,
    store4,
    uint8,
    uint16,
    uint32,
)
from kernels.cuda.simulator import (
    DivergentBarrier,
    Misaligned,
    OutOfBounds,
    Pointer,
    SharedMemoryRace,
    SimulationError,
    launch,
    needs_threads,
)

# --- plain kernels ----------------------------------------------------------------------------------------------------


def double(x, y, n):
    i = cuda.blockIdx.x * cuda.blockDim.x + cuda.threadIdx.x
    if i < n:
        y[i] = x[i] * float32(2)


def write_coordinates(out, width, height):
    x = cuda.blockIdx.x * cuda.blockDim.x + cuda.threadIdx.x
    y = cuda.blockIdx.y * cuda.blockDim.y + cuda.threadIdx.y
    z = cuda.blockIdx.z * cuda.blockDim.z + cuda.threadIdx.z
    out[(z * height + y) * width + x] = 10000 * z + 100 * y + x


def test_a_plain_kernel_needs_no_greenlets():
    x, y = numbers(1000), np.empty(1000, np.float32)
    assert not needs_threads(double)
    launch(double, 8, 128, (at(x), at(y), 1000))
    assert np.array_equal(y, 2 * x)


@pytest.mark.parametrize("threaded", [False, True])
def test_three_dimensions(threaded):
    out = np.zeros((4, 6, 10), np.int64)
    launch(write_coordinates, (5, 3, 2), (2, 2, 2), (at(out), 10, 6), needs_threads=threaded)
    z, y, x = np.indices(out.shape)
    assert np.array_equal(out, 10000 * z + 100 * y + x)


def test_indices_are_int32_and_lanes_are_numbered():
    def kernel(out):
        assert type(cuda.threadIdx.x) is type(cuda.blockDim.y) is type(cuda.laneid) is np.int32
        out[cuda.threadIdx.x] = cuda.laneid * cuda.warpsize

    out = np.zeros(40, np.int32)
    launch(kernel, 1, 40, (at(out),))
    assert np.array_equal(out, np.arange(40) % 32 * 32)


def test_pointers_convert_as_c_does():
    def kernel(bytes_, longs, floats):
        bytes_[0] = 300
        bytes_[1] = boolean(True)
        bytes_[2] = np.float32(3.9)
        bytes_[3] = -1
        longs[0] = np.uint64(2**64 - 1)
        floats[0] = 1e300
        assert type(bytes_[0]) is np.uint8 and type(longs[0]) is np.int64 and type(floats[0]) is np.float32

    values, longs, floats = np.zeros(4, np.bool_), np.zeros(1, np.int64), np.zeros(1, np.float32)
    launch(kernel, 1, 1, (at(values), at(longs), at(floats)))
    assert values.view(np.uint8).tolist() == [44, 1, 3, 255]
    assert longs[0] == -1
    assert floats[0] == np.inf


def test_a_pointer_into_the_middle_of_an_array():
    def kernel(p):
        p[-1], p[2] = 7, p[3]

    x = np.arange(8)
    launch(kernel, 1, 1, (Pointer(x.ctypes.data + 3 * 8, np.int64, x.ctypes.data, x.ctypes.data + 64),))
    assert x.tolist() == [0, 1, 7, 3, 4, 6, 6, 7]


def test_an_empty_array():
    def kernel(x):
        x[0] = 1

    with pytest.raises(OutOfBounds, match="writes element 0 of argument x, which has no element"):
        launch(kernel, 1, 1, (at(np.empty(0)),))


# --- mistakes ---------------------------------------------------------------------------------------------------------


def test_one_element_too_far():
    x, y = numbers(100), np.empty(100, np.float32)
    with pytest.raises(OutOfBounds) as error:
        launch(double, 2, 64, (at(x), at(y), 101), name="double[float32]")
    message = str(error.value)
    assert message.startswith("kernel double[float32], block (1, 0, 0), thread (36, 0, 0), line ")
    assert message.endswith("`y[i] = x[i] * float32(2)`: reads element 100 of argument x, which has elements 0 to 99")


def test_a_negative_index():
    def global_memory(x):
        x[cuda.threadIdx.x - 1] = 0

    def shared_memory(x):
        cells = cuda.shared.array(4, float32)
        cells[cuda.threadIdx.x - 1] = 0

    def local_memory(x):
        cells = cuda.local.array((2, 3), float32)
        x[0] = cells[1, -1]

    x = numbers(4)
    with pytest.raises(OutOfBounds, match="writes element -1 of argument x, which has elements 0 to 3"):
        launch(global_memory, 1, 4, (at(x),))
    with pytest.raises(OutOfBounds, match="writes element -1 of shared array cells, which has elements 0 to 3"):
        launch(shared_memory, 1, 4, (at(x),))
    with pytest.raises(OutOfBounds, match=r"reads element \(1, -1\) of a local array, whose shape is \(2, 3\)"):
        launch(local_memory, 1, 4, (at(x),))


def reverse(x, y, wait):
    cells = cuda.shared.array(64, float32)
    i = cuda.threadIdx.x
    cells[i] = x[i]
    if wait:
        cuda.syncthreads()
    y[i] = cells[63 - i]


@pytest.mark.parametrize("threads", [32, 64])
def test_a_missing_barrier(threads):
    def kernel(x, y, wait):
        cells = cuda.shared.array(64, float32)
        i = cuda.threadIdx.x
        cells[i] = x[i]
        if wait:
            cuda.syncthreads()
        y[i] = cells[cuda.blockDim.x - 1 - i]

    x, y = numbers(threads), np.empty(threads, np.float32)
    launch(kernel, 1, threads, (at(x), at(y), True))
    assert np.array_equal(y, x[::-1])
    with pytest.raises(SharedMemoryRace) as error:
        launch(kernel, 1, threads, (at(x), at(y), False))
    message = str(error.value)
    assert "of shared array cells is written by thread" in message and "with no barrier between" in message
    assert "`cells[i] = x[i]`" in message and "`y[i] = cells[cuda.blockDim.x - 1 - i]`" in message


def test_a_missing_barrier_at_the_end_of_a_loop():
    def kernel(x, wait):
        cell = cuda.shared.array(1, float32)
        for step in range(3):
            if cuda.threadIdx.x == step:
                cell[0] = step
            cuda.syncthreads()
            x[cuda.threadIdx.x] = cell[0]
            if wait:
                cuda.syncthreads()

    x = np.zeros(64)
    launch(kernel, 1, 64, (at(x), True))
    assert np.all(x == 2)
    with pytest.raises(SharedMemoryRace, match=r"read by thread \(0, 0, 0\).* written by thread \(1, 0, 0\)"):
        launch(kernel, 1, 64, (at(x), False))


def test_a_race_explains_the_error_that_it_causes():
    def kernel(x):
        place = cuda.shared.array(64, int32)
        i = cuda.threadIdx.x
        place[i] = 100 * i
        x[place[max(0, i - 1)]] = 0

    with pytest.raises(SharedMemoryRace) as error:
        launch(kernel, 1, 64, (at(np.zeros(1)),))
    assert "x[place[max(0, i - 1)]] = 0" in str(error.value)
    assert isinstance(error.value.__cause__, OutOfBounds)


def test_neighbours_in_small_types_do_not_race_and_parts_of_vectors_do():
    def bytes_(out):
        cells = cuda.shared.array(64, uint8)
        cells[cuda.threadIdx.x] = cuda.threadIdx.x
        cuda.syncthreads()
        out[cuda.threadIdx.x] = cells[63 - cuda.threadIdx.x]

    def vectors(out):
        cells = cuda.shared.array(64, float32, alignment=16)
        if cuda.threadIdx.x < 16:
            store4(cells, 4 * cuda.threadIdx.x, (1, 2, 3, 4))
        out[cuda.threadIdx.x] = cells[6]

    out = np.zeros(64, np.uint8)
    launch(bytes_, 1, 64, (at(out),))
    assert np.array_equal(out, np.arange(64)[::-1])
    with pytest.raises(SharedMemoryRace, match="element 6 of shared array cells"):
        launch(vectors, 1, 64, (at(out),))


def test_reading_together_and_atomics_do_not_race():
    def kernel(keys, out):
        counts = cuda.shared.array(4, int32)
        if cuda.threadIdx.x < 4:
            counts[cuda.threadIdx.x] = 0
        cuda.syncthreads()
        cuda.atomic.add(counts, keys[cuda.threadIdx.x], 1)
        cuda.syncthreads()
        if cuda.threadIdx.x == 0:
            for i in range(4):
                cuda.atomic.add(out, i, counts[i])

    def mixed(keys, out):
        counts = cuda.shared.array(4, int32)
        cuda.atomic.add(counts, 0, 1)
        out[0] = counts[0]

    keys, out = np.arange(64) % 3, np.zeros(4, np.int32)
    launch(kernel, 2, 64, (at(keys), at(out)))
    assert out.tolist() == [44, 42, 42, 0]
    with pytest.raises(SharedMemoryRace, match="changed atomically by thread"):
        launch(mixed, 1, 64, (at(keys), at(out)))


def test_syncwarp_orders_a_warp_and_only_its_mask():
    def kernel(out, mask_low, mask_high):
        cells = cuda.shared.array(64, int32)
        i = cuda.threadIdx.x
        cells[i] = i
        cuda.syncwarp(mask_low if i % 32 < 16 else mask_high)
        out[i] = cells[i ^ 1] + cells[i ^ 16]

    def halves(out):
        cells = cuda.shared.array(64, int32)
        i = cuda.threadIdx.x
        cells[i] = i
        if i % 32 < 16:
            cuda.syncwarp(0xFFFF)
        else:
            cuda.syncwarp(0xFFFF0000)
        out[i] = cells[i ^ 1]

    def across(out):
        cells = cuda.shared.array(64, int32)
        cells[cuda.threadIdx.x] = 1
        cuda.syncwarp()
        out[cuda.threadIdx.x] = cells[cuda.threadIdx.x ^ 32]

    out, i = np.zeros(64, np.int32), np.arange(64)
    launch(kernel, 1, 64, (at(out), WARP, WARP))
    assert np.array_equal(out, (i ^ 1) + (i ^ 16))
    launch(halves, 1, 64, (at(out),))
    assert np.array_equal(out, i ^ 1)
    with pytest.raises(SharedMemoryRace):
        launch(kernel, 1, 64, (at(out), 0xFFFF, 0xFFFF0000))
    with pytest.raises(SharedMemoryRace):
        launch(across, 1, 64, (at(out),))


def test_a_barrier_that_some_threads_miss():
    def returned(n):
        if cuda.threadIdx.x >= n:
            return
        cuda.syncthreads()

    def elsewhere(n):
        if cuda.threadIdx.x < n:
            cuda.syncthreads()
        else:
            cuda.syncthreads()

    launch(returned, 1, 64, (64,))
    with pytest.raises(DivergentBarrier) as error:
        launch(returned, 1, 64, (40,))
    assert "threads (0, 0, 0), (1, 0, 0), (2, 0, 0), (3, 0, 0) and 36 more wait at line" in str(error.value)
    assert "while threads (40, 0, 0)" in str(error.value) and "have returned" in str(error.value)
    with pytest.raises(DivergentBarrier, match="kernel elsewhere, block .* wait at line .* wait at line"):
        launch(elsewhere, 1, 64, (32,))
    launch(elsewhere, 1, 64, (64,))


def test_a_shuffle_that_part_of_its_mask_misses():
    def kernel(out, n):
        if cuda.threadIdx.x < n:
            out[cuda.threadIdx.x] = cuda.shfl_xor_sync(WARP, cuda.threadIdx.x, 1)

    def stranger(out):
        cuda.syncwarp(0xFFFF)

    out = np.zeros(64)
    with pytest.raises(DivergentBarrier, match=r"part of its mask reaches: .*\(40, 0, 0\), .* have returned"):
        launch(kernel, 1, 64, (at(out), 40))
    launch(kernel, 1, 64, (at(out), 64))
    with pytest.raises(SimulationError, match="lane 16 is not in its own mask 0x0000ffff"):
        launch(stranger, 1, 64, (at(out),))


def test_a_misaligned_vector():
    def kernel(x, out, first):
        out[0] = sum(load4(x, first))

    def shared_memory(out):
        cells = cuda.shared.array(8, float32)
        store4(cells, 0, (1, 2, 3, 4))

    x, out = aligned(12, np.float32, np.arange(12)), np.zeros(1)
    launch(kernel, 1, 1, (at(x), at(out), 4))
    assert out[0] == 4 + 5 + 6 + 7
    with pytest.raises(Misaligned, match="reads 4 elements of argument x from index 2; .* multiple of 16 bytes"):
        launch(kernel, 1, 1, (at(x), at(out), 2))
    with pytest.raises(Misaligned, match="the pointer itself is 4 more than one"):
        launch(kernel, 1, 1, (at(x[1:]), at(out), 0))
    with pytest.raises(OutOfBounds, match="reads 4 elements from 12"):
        launch(kernel, 1, 1, (at(x), at(out), 12))
    with pytest.raises(Misaligned, match="say alignment=16 where the array is made"):
        launch(shared_memory, 1, 1, (at(out),))


def test_an_error_of_the_kernel_names_its_place():
    def kernel(x):
        cuda.syncthreads()
        if cuda.threadIdx.x == 3:
            x[0] = undefined_name  # noqa: F821

    with pytest.raises(NameError) as error:
        launch(kernel, 2, 8, (at(np.zeros(1)),))
    assert "in kernel kernel, block (0, 0, 0), thread (3, 0, 0), line" in error.value.__notes__[0]
    assert "x[0] = undefined_name" in error.value.__notes__[0]
    launch(reverse, 1, 64, (at(numbers(64)), at(numbers(64)), True))  # the next launch is not disturbed


def test_limits_of_the_hardware():
    def large(n):
        cuda.shared.array(n, float32)

    for grid, block in [(1, 1025), ((1, 65536), 32), (0, 32), (2**31, 1), (1, (1, 1, 65)), (1, (1, 1, 1, 1))]:
        with pytest.raises(SimulationError):
            launch(large, grid, block, (1,))
    launch(large, 1, 1, (12 << 10,))
    with pytest.raises(SimulationError, match="49156 bytes of static"):
        launch(large, 1, 1, ((12 << 10) + 1,))
    launch(large, 1, 1, (0,), shared_bytes=227 << 10)
    with pytest.raises(SimulationError, match="dynamic shared memory"):
        launch(large, 1, 1, (1,), shared_bytes=(227 << 10) + 1)


def test_floats_have_no_atomics():
    def kernel(x):
        cuda.atomic.add(x, 0, float32(1))

    with pytest.raises(SimulationError, match="atomics work on integers only"):
        launch(kernel, 1, 1, (at(numbers(1)),))


# --- shared and local memory ------------------------------------------------------------------------------------------


def test_memory_that_was_never_written_is_nan():
    def kernel(out):
        shared, local = cuda.shared.array((2, 2), float32), cuda.local.array(3, float64)
        dynamic = cuda.shared.array(0, uint16)
        out[0], out[1], out[2], out[3] = shared[1, 1], local[2], dynamic[3], len(shared)
        shared[1, 1] = 5

    out = np.zeros(4)
    launch(kernel, 3, 1, (at(out),), shared_bytes=8)
    assert np.isnan(out[:2]).all()
    assert out[2:].tolist() == [65535, 2]


def test_dynamic_memory_is_one_memory_and_several_arrays_fit_in_a_line():
    def kernel(out):
        words, floats = cuda.shared.array(0, uint32), cuda.shared.array(0, float32)
        a, b = cuda.shared.array(1, float32), cuda.shared.array(1, float32)
        words[1], a[0], b[0] = 0x3F800000, 2, 3
        out[0], out[1], out[2] = floats[1], a[0], b[0]

    def beyond(out):
        cells = cuda.shared.array(0, float64)
        cells[2] = 0

    out = np.zeros(3)
    launch(kernel, 1, 1, (at(out),), shared_bytes=16)
    assert out.tolist() == [1, 2, 3]
    with pytest.raises(OutOfBounds, match="element 2 of shared array cells, which has elements 0 to 1"):
        launch(beyond, 1, 1, (at(out),), shared_bytes=16)


def test_vectors_of_all_widths():
    def kernel(x, halves, out):
        local = cuda.local.array(4, float32)
        store4(local, 0, load4(x, 4))
        total = float32(0)
        for value in (*load2(x, 2), *load4(local, 0), *load8(x, 0), *load16(x, 16)):
            total += value
        store4(out, 0, (total, total + 1, load8(halves, 8)[0], load16(halves, 0)[15]))

    x, halves, out = aligned(32, np.float32, np.arange(32)), aligned(16, np.uint16, np.arange(16)), aligned(4, np.float32)
    launch(kernel, 1, 1, (at(x), at(halves), at(out)))
    assert out[0] == 2 + 3 + 22 + 28 + sum(range(16, 32))
    assert out[2:].tolist() == [8, 15]


# --- reductions -------------------------------------------------------------------------------------------------------


def row_sum(x, out, n):
    partial = cuda.shared.array(32, float32)
    i = cuda.threadIdx.x
    row = int64(cuda.blockIdx.x)
    total = float32(0)
    for j in range(i, n, cuda.blockDim.x):
        total += x[row * n + j]
    total = warp_sum(total)
    if i % 32 == 0:
        partial[i // 32] = total
    cuda.syncthreads()
    if i < 32:
        total = warp_sum(partial[i] if i < cuda.blockDim.x // 32 else float32(0))
        if i == 0:
            out[row] = total


@inlined
def warp_sum(value):
    for step in (16, 8, 4, 2, 1):
        value += cuda.shfl_xor_sync(WARP, value, step)
    return value


@pytest.mark.parametrize("threads", [32, 96, 256])
def test_a_reduction(threads):
    x, out = numbers(3, 301), np.zeros(3, np.float32)
    assert needs_threads(row_sum)
    launch(row_sum, 3, threads, (at(x), at(out), 301))
    assert np.allclose(out, x.sum(1), atol=1e-4)


def test_a_kernel_that_waits_only_in_a_helper_is_recognised():
    def kernel(out):
        out[cuda.threadIdx.x] = warp_sum(float32(1))

    out = np.zeros(32)
    launch(kernel, 1, 32, (at(out),))
    assert (out == 32).all()
    with pytest.raises(SimulationError, match="needs_threads=False"):
        launch(kernel, 1, 32, (at(out),), needs_threads=False)


def test_launches_of_several_threads():
    x = [numbers(2, 64) for _ in range(4)]
    out = [np.zeros(2, np.float32) for _ in range(4)]
    workers = [threading.Thread(target=launch, args=(row_sum, 2, 32, (at(x[i]), at(out[i]), 64))) for i in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert all(np.allclose(o, v.sum(1), atol=1e-4) for o, v in zip(out, x, strict=True))


def test_what_serves_many_launches_is_not_what_an_error_stopped():
    def waits(x, out, n):
        cuda.syncthreads()
        out[cuda.threadIdx.x] = x[n]
        cuda.syncthreads()

    x, out = numbers(3), np.zeros(70, np.float32)
    for n in (0, 5, 1, -1, 2):
        if 0 <= n < 3:
            launch(waits, 3, 70, (at(x), at(out), n))
            assert np.array_equal(out, np.full(70, x[n]))
        else:
            with pytest.raises(OutOfBounds, match=f"reads element {n}"):
                launch(waits, 3, 70, (at(x), at(out), n))
    for threads in (1, 200, 33):
        out = np.zeros(threads, np.float32)
        launch(waits, 2, threads, (at(x), at(out), 1))
        assert np.array_equal(out, np.full(threads, x[1]))
