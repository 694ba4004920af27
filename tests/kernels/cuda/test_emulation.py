"""The vocabulary of CUDA kernels in the simulator: each common operation of a warp is the hardware's."""

import numpy as np
import pytest
from simulated_arrays import WARP, aligned, at, numbers

from kernels.cuda import emulation
from kernels.cuda.emulation import (
    bfloat16_of_float32,
    cp_async16,
    cp_async16_zero,
    cp_async_commit,
    cp_async_wait0,
    cp_async_wait1,
    cuda,
    float32,
    float64,
    int8,
    int32,
    int64,
    ldmatrix_x2,
    ldmatrix_x2_transposed,
    ldmatrix_x4,
    ldmatrix_x4_transposed,
    load4,
    mma_bf16,
    mma_f16,
    mma_tf32,
    store4,
    uint16,
    uint32,
    uint64,
)
from kernels.cuda.simulator import (
    Misaligned,
    OutOfBounds,
    SharedMemoryRace,
    SimulationError,
    launch,
)

# --- asynchronous copies ----------------------------------------------------------------------------------------------


def copy(x, y, wait, meet):
    cells = cuda.shared.array(128, float32, alignment=16)
    i = cuda.threadIdx.x
    cp_async16(cells, 4 * i, x, 4 * i)
    cp_async_commit()
    if wait:
        cp_async_wait0()
    if meet:
        cuda.syncthreads()
    store4(y, 4 * i, load4(cells, 4 * (31 - i) if meet else 4 * i))


def test_asynchronous_copies_arrive_at_the_wait():
    x, y = aligned(128, np.float32, numbers(128)), aligned(128, np.float32)
    launch(copy, 1, 32, (at(x), at(y), True, True))
    assert np.array_equal(y.reshape(32, 4), x.reshape(32, 4)[::-1])
    launch(copy, 1, 32, (at(x), at(y), True, False))  # a thread sees its own copies without a barrier
    assert np.array_equal(y, x)
    launch(copy, 1, 32, (at(x), at(y), False, True))
    assert np.isnan(y).all()


def test_a_copy_may_arrive_before_the_wait():
    def kernel(x, out):
        cells = cuda.shared.array(4, float32, alignment=16)
        i = cuda.threadIdx.x
        if i == 0:
            store4(cells, 0, (1, 2, 3, 4))
        cuda.syncthreads()
        out[i] = cells[0]
        if i == 0:
            cp_async16(cells, 0, x, 0)  # while others may still read
        cuda.syncthreads()
        cp_async_wait0()

    with pytest.raises(SharedMemoryRace, match="written by thread"):
        launch(kernel, 1, 2, (at(aligned(4, np.float32)), at(np.zeros(2))))


def test_groups_of_copies():
    def kernel(x, y):
        cells = cuda.shared.array(12, float32, alignment=16)
        for stage in range(3):
            cp_async16(cells, 4 * stage, x, 4 * stage)
            cp_async_commit()
        cp_async_wait1()
        for i in range(12):
            y[i] = cells[i]

    x, y = aligned(12, np.float32, np.arange(12)), np.zeros(12)
    launch(kernel, 1, 1, (at(x), at(y)))
    assert np.array_equal(y[:8], x[:8])
    assert np.isnan(y[8:]).all()


def test_copies_that_fill_with_zeros():
    def kernel(x, y, valid, index):
        cells = cuda.shared.array(4, float32, alignment=16)
        cp_async16_zero(cells, 0, x, index, valid)
        cp_async_commit()
        cp_async_wait0()
        for i in range(4):
            y[i] = cells[i]

    x, y = aligned(6, np.float32, np.arange(1, 7)), np.zeros(4)
    launch(kernel, 1, 1, (at(x), at(y), 8, 4))
    assert y.tolist() == [5, 6, 0, 0]
    launch(kernel, 1, 1, (at(x), at(y), 0, 400))
    assert y.tolist() == [0, 0, 0, 0]
    with pytest.raises(OutOfBounds):
        launch(kernel, 1, 1, (at(x), at(y), 12, 4))
    with pytest.raises(Misaligned):
        launch(kernel, 1, 1, (at(x), at(y), 4, 1))


# --- shuffles and votes -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64, np.uint32])
def test_shuffles(dtype):
    def kernel(x, out, n):
        i = cuda.threadIdx.x
        value = x[i]
        out[i] = cuda.shfl_sync(WARP, value, n)
        out[64 + i] = cuda.shfl_up_sync(WARP, value, n)
        out[128 + i] = cuda.shfl_down_sync(WARP, value, n)
        out[192 + i] = cuda.shfl_xor_sync(WARP, value, n)

    x, out = np.arange(64).astype(dtype), np.zeros((4, 64), dtype)
    launch(kernel, 1, 64, (at(x), at(out), 5))
    lane, warp = np.arange(64) % 32, np.arange(64) // 32 * 32
    assert np.array_equal(out[0], warp + 5)
    assert np.array_equal(out[1], warp + np.where(lane >= 5, lane - 5, lane))
    assert np.array_equal(out[2], warp + np.where(lane < 27, lane + 5, lane))
    assert np.array_equal(out[3], warp + (lane ^ 5))


def test_a_shuffle_from_a_lane_that_does_not_exist_is_undefined():
    def kernel(x, out):
        i = cuda.threadIdx.x
        out[i] = cuda.shfl_down_sync(WARP, x[i], 8)

    out = np.zeros(16)
    launch(kernel, 1, 16, (at(np.arange(16, dtype=np.float32)), at(out)))
    assert np.array_equal(out[:8], np.arange(8, 16))
    assert np.isnan(out[8:]).all()


def test_votes():
    def kernel(x, ballots, out):
        i = cuda.threadIdx.x
        ballots[i] = cuda.ballot_sync(WARP, x[i] > 0)
        out[i] = cuda.any_sync(WARP, x[i] > 0)
        out[64 + i] = cuda.all_sync(WARP, x[i] > 0)
        out[128 + i] = cuda.syncthreads_count(x[i] > 0)
        out[192 + i] = cuda.syncthreads_or(x[i] > 0)
        out[256 + i] = cuda.syncthreads_and(x[i] > 0)

    x, ballots, out = np.zeros(64), np.zeros(64, np.uint32), np.zeros((5, 64), np.int64)
    x[[1, 31]] = 1
    launch(kernel, 1, 64, (at(x), at(ballots), at(out)))
    assert np.array_equal(ballots, np.where(np.arange(64) < 32, 1 << 31 | 2, 0))
    assert np.array_equal(out[0], np.arange(64) < 32)
    assert not out[1].any() and not out[4].any()
    assert (out[2] == 2).all() and (out[3] == 1).all()
    x[:] = 1
    launch(kernel, 1, 64, (at(x), at(ballots), at(out)))
    assert (ballots == WARP).all() and (out[[0, 1, 3, 4]] == 1).all()


def test_atomics():
    def kernel(x):
        i = cuda.threadIdx.x
        cuda.atomic.max(x, 0, i)
        cuda.atomic.min(x, 1, i - 5)
        cuda.atomic.exch(x, 2, i)
        if cuda.atomic.cas(x, 3, 0, i + 1) == 0:
            x[4] = i
        assert cuda.atomic.add(x, 5, 2) == 2 * i

    x = np.zeros(6, np.int32)
    launch(kernel, 1, 8, (at(x),))
    assert x.tolist() == [7, -5, 7, 1, 0, 16]


# --- matrices of a warp -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [2, 4])
@pytest.mark.parametrize("transposed", [False, True])
def test_ldmatrix(count, transposed):
    load = {
        (2, False): ldmatrix_x2, (2, True): ldmatrix_x2_transposed,
        (4, False): ldmatrix_x4, (4, True): ldmatrix_x4_transposed,
    }[count, transposed]  # fmt: skip

    def kernel(x, out, count, stride):
        cells = cuda.shared.array(0, uint16)
        i = cuda.threadIdx.x
        for j in range(i, 8 * count * stride, 32):
            cells[j] = x[j]
        cuda.syncthreads()
        words = load(cells, (i % (8 * count)) * stride)
        for m in range(count):
            out[i * count + m] = words[m]

    stride = 24  # rows of 8 elements that do not lie side by side
    x = np.random.default_rng(0).integers(0, 1 << 16, (count, 8, stride), np.uint16)
    out = np.zeros((32, count), np.uint32)
    launch(kernel, 1, 32, (at(x), at(out), count, stride), shared_bytes=x.nbytes)
    for lane in range(32):
        g, t = divmod(lane, 4)
        for m in range(count):
            matrix = x[m, :, :8].T if transposed else x[m, :, :8]
            assert out[lane, m] == int(matrix[g, 2 * t]) | int(matrix[g, 2 * t + 1]) << 16


def test_ldmatrix_takes_part_in_the_search_for_races_and_checks_alignment():
    def race(out):
        cells = cuda.shared.array(256, float32, alignment=16)
        i = cuda.threadIdx.x
        for j in range(8):
            cells[i + 32 * j] = j
        out[i] = ldmatrix_x4(cells, 4 * i)[0]

    def skewed(out):
        cells = cuda.shared.array(256, float32, alignment=16)
        out[0] = ldmatrix_x4(cells, 4 * cuda.threadIdx.x + 1)[0]

    def partial(out):
        cells = cuda.shared.array(256, float32, alignment=16)
        out[0] = ldmatrix_x4(cells, 0)[0]

    out = np.zeros(32, np.uint32)
    with pytest.raises(SharedMemoryRace, match="ldmatrix_x4"):
        launch(race, 1, 32, (at(out),))
    with pytest.raises(Misaligned):
        launch(skewed, 1, 32, (at(out),))
    with pytest.raises(SimulationError, match="ldmatrix needs a whole warp"):
        launch(partial, 1, 16, (at(out),))


def pack(low, high):
    return uint32(uint32(low) | uint32(high) << uint32(16))


def multiply_pairs(a, b, c, d, product):
    """d = a @ b + c with the fragments as in the PTX ISA: a (16, 16) by rows, b (16, 8) by rows."""
    g, t = cuda.laneid // 4, cuda.laneid % 4
    fragments = [
        pack(a[row * 16 + column], a[row * 16 + column + 1])
        for row, column in ((g, 2 * t), (g + 8, 2 * t), (g, 2 * t + 8), (g + 8, 2 * t + 8))
    ]
    fragments += [pack(b[row * 8 + g], b[(row + 1) * 8 + g]) for row in (2 * t, 2 * t + 8)]
    places = [g * 8 + 2 * t, g * 8 + 2 * t + 1, (g + 8) * 8 + 2 * t, (g + 8) * 8 + 2 * t + 1]
    results = (mma_bf16 if product else mma_f16)(*fragments, *[c[place] for place in places])
    for place, result in zip(places, results, strict=True):
        d[place] = result


@pytest.mark.parametrize("bfloat16", [True, False])
def test_mma_of_pairs(bfloat16):
    a, b, c, d = numbers(16, 16), numbers(16, 8), numbers(2, 64).reshape(16, 8), np.zeros((16, 8), np.float32)
    if bfloat16:
        a_bits, b_bits = (np.vectorize(bfloat16_of_float32, otypes=[np.uint16])(x) for x in (a, b))
        a, b = ((bits.astype(np.uint32) << 16).view(np.float32) for bits in (a_bits, b_bits))
    else:
        a, b = a.astype(np.float16), b.astype(np.float16)
        a_bits, b_bits = a.view(np.uint16), b.view(np.uint16)
    launch(multiply_pairs, 1, 32, (at(a_bits), at(b_bits), at(c), at(d), bfloat16))
    assert np.allclose(d, a.astype(np.float64) @ b.astype(np.float64) + c, rtol=1e-6, atol=1e-6)


def test_mma_of_tf32():
    def kernel(a, b, c, d):
        g, t = cuda.laneid // 4, cuda.laneid % 4
        words = [uint32(emulation.bits_of_float32(a[row * 8 + k])) for k in (t, t + 4) for row in (g, g + 8)]
        words += [uint32(emulation.bits_of_float32(b[k * 8 + g])) for k in (t, t + 4)]
        places = [g * 8 + 2 * t, g * 8 + 2 * t + 1, (g + 8) * 8 + 2 * t, (g + 8) * 8 + 2 * t + 1]
        for place, result in zip(places, mma_tf32(*words, *[c[place] for place in places]), strict=True):
            d[place] = result

    a, b, c, d = numbers(16, 8), numbers(8, 8), numbers(2, 64).reshape(16, 8), np.zeros((16, 8), np.float32)
    launch(kernel, 1, 32, (at(a), at(b), at(c), at(d)))
    short_a, short_b = ((x.view(np.uint32) & np.uint32(0xFFFFE000)).view(np.float32) for x in (a, b))
    assert np.allclose(d, short_a.astype(np.float64) @ short_b + c, rtol=1e-6, atol=1e-6)
    assert not np.allclose(d, a.astype(np.float64) @ b + c, rtol=1e-6, atol=1e-6)


# --- bits, types and functions ----------------------------------------------------------------------------------------


def test_types_convert_as_c_does():
    assert int32(2**31) == -(2**31) and type(int32(3.9)) is np.int32 and int32(-3.9) == -3
    assert uint32(-1) == 2**32 - 1 and uint64(-1) == 2**64 - 1 and int8(200) == -56
    assert np.dtype(int64.dtype) == np.int64
    assert float(float32(0.1)) != 0.1


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_conversions():
    assert emulation.tf32_of_float32(1 + 2**-11) == np.float32(1 + 2**-10).view(np.uint32)  # ties go away from zero
    assert emulation.tf32_of_float32(1 + 2**-12) == np.float32(1).view(np.uint32)
    assert emulation.tf32_of_float32(-(1 + 2**-11)) == np.float32(-(1 + 2**-10)).view(np.uint32)
    assert emulation.tf32_of_float32(np.inf).view(np.float32) == np.inf
    assert emulation.half_of_float32(65520) == 0x7C00 and emulation.float32_of_half(0x3C00) == 1
    assert bfloat16_of_float32(1 + 2**-8) == 0x3F80 and bfloat16_of_float32(1 + 3 * 2**-8) == 0x3F82
    assert np.isnan(emulation.float32_of_bfloat16(bfloat16_of_float32(np.nan)))
    assert emulation.half_pair(float32(1), float32(2)) == 0x40003C00
    assert emulation.bfloat16_pair(float32(1), float32(2)) == 0x40003F80
    assert emulation.float32_of_bits(np.uint32(0xBF800000)) == -1 and emulation.bits_of_float64(1.0) == 0x3FF << 52
    assert type(emulation.float32_of_bits(emulation.bits_of_float32(float32(3)))) is np.float32
    assert emulation.fused_multiply_add(*map(float64, (1 + 2**-52, 1 - 2**-52, -1))) == -(2.0**-104)
    assert emulation.fused_multiply_add(*map(float64, (np.inf, 1, -np.inf))) != 0
    assert np.isnan(emulation.square_root(float32(-1)))


def test_bit_counts():
    assert cuda.popc(np.int32(-1)) == 32 and cuda.clz(np.uint32(1)) == 31 and cuda.clz(np.int64(1)) == 63
    assert cuda.ffs(np.uint32(8)) == 4 and cuda.ffs(np.uint32(0)) == 0 and cuda.brev(np.uint32(1)) == 1 << 31


SPECIAL = [0.0, -0.0, 1.0, -1.0, 0.5, -2.5, 3.0, 1e-30, np.inf, -np.inf, np.nan]
BINARY = "atan2 copysign floor_divide hypot left_shift logaddexp maximum minimum nextafter pow remainder right_shift".split()


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("dtype", ["float32", "float64", "int8", "int64", "uint8", "uint32", "bool"])
def test_functions_agree_with_those_of_the_cpu(dtype):
    from kernels.cpu import math as cpu
    from kernels.cuda import emulation_math, math
    from kernels.rendering import numpy_functions

    functions, reference = emulation_math.functions_for(dtype), numpy_functions()
    assert functions.keys() == math.functions_for(dtype).keys() == cpu.functions_for(dtype).keys()
    reference |= {name: getattr(np, name) for name in ("square", "reciprocal", "logaddexp")}
    real = np.dtype(dtype).type
    if real is np.bool_:
        reference |= {name: lambda x: x for name in ("abs", "sign")} | {"signbit": lambda x: np.False_}
    values = [real(v) for v in (SPECIAL if dtype.startswith("float") else [0, 1] if dtype == "bool" else [0, 1, 2, 5, 7, 100])]
    if dtype.startswith("int"):
        values += [real(v) for v in (-1, -3, np.iinfo(dtype).min)]
    exact = {"isnan", "isinf", "isfinite", "signbit"}
    for name, title in functions.items():
        function = getattr(emulation_math, title)
        for x in values:
            for y in values if name in BINARY else [None]:
                if name == "pow" and y is not None and not dtype.startswith("float") and y < 0:
                    continue
                if dtype.startswith("int") and name == "sigmoid":
                    continue
                operands = (x,) if y is None else (x, y)
                result = function(*operands)
                expected = np.asarray(reference[name](*operands)) if name not in ("isnan", "isinf") else reference[name](float(x))
                assert result.dtype == (np.bool_ if name in exact else np.dtype(dtype)), (name, x, y)
                same = np.allclose(float(result), float(expected), rtol=1e-6, equal_nan=True)
                assert same, (name, x, y, result, expected)


def test_powers_of_integers():
    from kernels.cuda.emulation_math import pow_int8, pow_uint8

    assert pow_int8(np.int8(2), np.int8(7)) == -128 and pow_int8(np.int8(2), np.int8(8)) == 0
    assert [int(pow_int8(np.int8(x), np.int8(-3))) for x in (-2, -1, 0, 1, 2)] == [0, -1, 0, 1, 0]
    assert pow_uint8(np.uint8(3), np.uint8(6)) == 729 % 256
