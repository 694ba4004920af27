"""The kernel vocabulary on hardware: every word becomes the machine instruction that it stands for. No GPU is needed."""

import pytest

from kernels.cuda import driver

if not driver.compiler_available():
    pytest.skip(f"kernels for CUDA cannot be compiled here: {driver.INSTALL}", allow_module_level=True)

from kernels.cuda import inspection, ptx
from kernels.cuda.ptx import (
    Pointer,
    bfloat16_of_float32,
    bfloat16_pair,
    bits_of_float32,
    bits_of_float64,
    boolean,
    cp_async16,
    cp_async16_zero,
    cp_async_commit,
    cp_async_wait0,
    cp_async_wait1,
    cp_async_wait2,
    cp_async_wait3,
    cuda,
    float32,
    float32_of_bfloat16,
    float32_of_bits,
    float32_of_half,
    float64,
    float64_of_bits,
    fused_multiply_add,
    half_of_float32,
    half_pair,
    inf,
    inlined,
    int8,
    int32,
    int64,
    ldmatrix_x2,
    ldmatrix_x2_transposed,
    ldmatrix_x4,
    ldmatrix_x4_transposed,
    load2,
    load4,
    load8,
    load16,
    mma_bf16,
    mma_f16,
    mma_tf32,
    nan,
    pointer_at,
    select,
    square_root,
    store2,
    store4,
    store8,
    store16,
    tf32_of_float32,
    uint8,
    uint16,
    uint32,
    uint64,
)  # fmt: skip

try:
    inspection._disassembler()
except ImportError as error:
    pytest.skip(str(error), allow_module_level=True)

void = driver.numba_types().void
ARCHITECTURES = [(8, 0), (9, 0)]


def compiled(function, signature, cc=(9, 0), contract=True):
    """(the PTX, how often each machine instruction occurs, the report)."""
    text, name = inspection.compile_ptx(function, signature, 128, cc, contract)
    assert f".entry {name}(" in text
    cubin, report = inspection.link(text, inspection.architecture(cc))
    return text, inspection.mnemonics(cubin), report


# --- kernels, and the machine instructions that must occur in them; `a|b` where architectures differ ------------------


def vectors(x, d, h, b, o):
    t = int32(cuda.threadIdx.x)
    shared = cuda.shared.array(1024, float32, alignment=16)
    local = cuda.local.array(8, float32)
    store4(shared, t * 4, load4(x, t * 4))
    store2(shared, t * 2 + 512, load2(x, t * 2 + 512))
    cuda.syncthreads()
    store8(local, 0, load8(shared, uint32(t) * uint32(8)))
    for i in range(8):
        local[i] = local[i] * local[i]
    store8(o, t * 8, load8(local, 0))
    store2(d, t * 2, load2(d, t * 2 + 256))
    store8(h, t * 8, load8(h, t * 8 + 1024))
    store4(h, t * 4 + 4096, load4(h, t * 4 + 8192))
    store16(b, t * 16, load16(b, t * 16 + 4096))
    store4(b, t * 4, load4(b, t * 4 + 2048))


def background(x, o):
    t = int32(cuda.threadIdx.x)
    shared = cuda.shared.array(1024, float32, alignment=16)
    cp_async16(shared, t * 4, x, t * 4)
    cp_async_commit()
    cp_async16_zero(shared, t * 4 + 512, x, t * 4 + 512, t)
    cp_async_commit()
    cp_async_wait3()
    cp_async_wait2()
    cp_async_wait1()
    cp_async_wait0()
    cuda.syncthreads()
    o[t] = shared[t ^ 1]


def matrices(x, o):
    t = int32(cuda.threadIdx.x)
    shared = cuda.shared.array(2048, uint16, alignment=128)
    shared[t] = x[t]
    cuda.syncthreads()
    a = ldmatrix_x4(shared, t * 8)
    b = ldmatrix_x2_transposed(shared, t * 8)
    c = ldmatrix_x4_transposed(shared, t * 8)
    d = ldmatrix_x2(shared, t * 8)
    zero = float32(0)
    e = mma_bf16(a[0], a[1], a[2], a[3], b[0], b[1], zero, zero, zero, zero)
    e = mma_f16(c[0], c[1], c[2], c[3], d[0], d[1], e[0], e[1], e[2], e[3])
    e = mma_tf32(a[0], a[1], a[2], a[3], d[0], d[1], e[0], e[1], e[2], e[3])
    store4(o, t * 4, e)


def halves(h, x, u):
    t = int32(cuda.threadIdx.x)
    x[t + 128] = float32_of_half(h[t])
    x[t + 256] = float32_of_bfloat16(h[t])
    h[t + 128] = half_of_float32(x[t])
    h[t + 256] = bfloat16_of_float32(x[t])
    u[t] = half_pair(x[t], x[t + 1])
    u[t + 128] = bfloat16_pair(x[t], x[t + 1])
    u[t + 256] = tf32_of_float32(x[t])


def arithmetic(x, o):
    t = int32(cuda.threadIdx.x)
    o[t] = fused_multiply_add(x[t], x[t + 1], x[t + 2])
    o[t + 128] = square_root(x[t])
    o[t + 256] = select(x[t] > x[t + 1], x[t] + float32(1), x[t + 1])
    o[t + 384] = float32_of_bits(int32(bits_of_float32(x[t]) ^ int32(1)))
    o[t + 512] = float32(inf)
    o[t + 640] = float32(nan)


def doubles(x, o):
    t = int32(cuda.threadIdx.x)
    o[t] = fused_multiply_add(x[t], x[t + 1], x[t + 2])
    o[t + 128] = square_root(x[t])
    o[t + 256] = float64_of_bits(bits_of_float64(x[t]) ^ int64(1))


KERNELS = {
    vectors: (
        [Pointer(float32), Pointer(float64), Pointer(uint16), Pointer(uint8), Pointer(float32)],
        "LDG.E.128=4 LDG.E.64=2 LDG.E=1 STG.E.128=5 STG.E.64=1 STG.E=1 LDS.128=2 STS.128=1 STS.64=1 FMUL=8",
    ),
    background: (
        [Pointer(float32), Pointer(float32)],
        "LDGSTS.E.BYPASS.128=1 LDGSTS.E.BYPASS.128.ZFILL=1 LDGDEPBAR=2 DEPBAR.LE=4",
    ),
    matrices: (
        [Pointer(uint16), Pointer(float32)],
        "LDSM.16.M88.4=1 LDSM.16.M88.2=1 LDSM.16.MT88.4=1 LDSM.16.MT88.2=1 "
        "HMMA.16816.F32.BF16=1 HMMA.16816.F32=1 HMMA.1688.F32.TF32=1",
    ),
    halves: (
        [Pointer(uint16), Pointer(float32), Pointer(uint32)],
        "HADD2.F32=1 F2FP.PACK_AB|F2FP.F16.F32.PACK_AB=2 F2FP.BF16.PACK_AB|F2FP.BF16.F32.PACK_AB=2",
    ),
    arithmetic: ([Pointer(float32), Pointer(float32)], "MUFU.RSQ|MUFU.SQRT=1"),
    doubles: ([Pointer(float64), Pointer(float64)], "MUFU.RSQ64H=1 DFMA=1"),
}


@pytest.mark.parametrize("cc", ARCHITECTURES, ids=inspection.architecture)
@pytest.mark.parametrize("kernel", KERNELS, ids=lambda kernel: kernel.__name__)
def test_words_become_instructions(kernel, cc):
    parameters, expected = KERNELS[kernel]
    text, found, report = compiled(kernel, void(*parameters), cc)
    for item in expected.split():
        names, _, least = item.partition("=")
        assert sum(found[name] for name in names.split("|")) >= int(least), (item, found)
    assert report.spill_stores == report.spill_loads == report.stack == 0, report
    assert not any(name.split(".")[0] in ("LD", "ST", "LDL", "STL") for name in found), found
    if kernel is arithmetic:
        assert "fma.rn.f32" in text and "sqrt.rn.f32" in text
        assert str(0x7F800000) in text and str(0x7FC00000) in text  # infinity and NaN
    if kernel is vectors:
        assert report.shared == 4096 and report.barriers == 1


def test_every_word_is_in_a_kernel_above():
    words = set().union(*(kernel.__code__.co_names for kernel in KERNELS))
    rest = {"Pointer", "boolean", "float64", "inlined", "int8", "int16", "pointer_at", "uint8", "uint64"}  # in tests of their own, below
    assert words | rest >= set(ptx.__all__), set(ptx.__all__) - words - rest


def test_the_simulator_has_the_same_words():
    from kernels.cuda import emulation

    assert set(ptx.__all__) == set(emulation.__all__)
    assert all(hasattr(ptx, name) for name in ptx.__all__)


# --- pointers ---------------------------------------------------------------------------------------------------------


def test_indices_are_widened_by_their_own_sign():
    def kernel(x, o, i, u):
        o[i] = x[u]

    text, found, _ = compiled(kernel, void(Pointer(float32), Pointer(float32), int32, uint32))
    assert "mul.wide.s32" in text and "mul.wide.u32" in text  # which extend the index
    assert found["LDG.E"] == found["STG.E"] == 1

    def vector(x, o, i, u):
        store4(o, i, load4(x, u))

    text, found, _ = compiled(vector, void(Pointer(float32), Pointer(float32), int32, uint32))
    assert "mul.wide.s32" in text and "mul.wide.u32" in text
    assert found["LDG.E.128"] == found["STG.E.128"] == 1


def test_unsigned_products_are_of_64_bits():
    # Numba's rule for integers: narrower ones are widened to 64 bits, so a product of two uint32 does not wrap around.
    def kernel(x, o, i, n):
        o[i] = x[i * n]

    text, _, _ = compiled(kernel, void(Pointer(uint64), Pointer(uint64), uint32, uint32))
    assert "mul.wide.u32" in text and "mul.lo" not in text


def test_bool_is_a_byte_in_memory():
    def kernel(x, o, values):
        i = cuda.threadIdx.x
        if x[i]:
            o[i] = not o[i + 1]
        flags = load4(x, i * 4)
        if flags[1] and not flags[2]:
            store4(o, i * 4, (flags[3], flags[2], flags[1], flags[0]))
        o[i + 512] = values[i] > int8(3)

    _, found, _ = compiled(kernel, void(Pointer(boolean), Pointer(boolean), Pointer(int8)))
    assert found["LDG.E.U8"] == 2 and found["STG.E.U8"] == 2 and found["STG.E"] == 1, found
    assert found["LDG.E"] == 1, found


def test_a_pointer_chosen_at_run_time_is_still_global():
    def kernel(x, y, o, n):
        place = x if n > 0 else y
        o[cuda.threadIdx.x] = second(place, cuda.threadIdx.x) + load2(place, n)[1]

    @inlined
    def second(place, i):
        return place[i + 1]

    _, found, _ = compiled(kernel, void(*[Pointer(float32)] * 3, int64))
    assert found["LDG.E"] + found["LDG.E.64"] == 2 and not found["LD.E"] and not found["CALL.REL.NOINC"], found


def test_pointers_from_a_table_are_global():
    def kernel(table, i):
        x = pointer_at(table, i, float32)
        x[cuda.threadIdx.x] = load4(pointer_at(table, i + 1, uint32), 0)[2]

    _, found, _ = compiled(kernel, void(Pointer(int64), int64))
    assert found["LDG.E.64"] == 2 and found["LDG.E"] + found["LDG.E.128"] == 1 and found["STG.E"] == 1, found


def test_wrong_operands_are_refused():
    def kernel(x, o):
        o[0] = fused_multiply_add(x[0], 2.0, x[1])  # float32 and float64

    with pytest.raises(Exception, match="fused_multiply_add"):
        compiled(kernel, void(Pointer(float32), Pointer(float32)))


# --- inspection -------------------------------------------------------------------------------------------------------


def product_and_sum(x, o):
    i = cuda.threadIdx.x
    o[i] = halve(x[i]) * x[i + 1] + x[i + 2]


@inlined
def halve(x):
    return x * float32(0.5)


def test_contraction_can_be_switched_off():
    signature = void(Pointer(float32), Pointer(float32))
    text, found, _ = compiled(product_and_sum, signature)
    assert found["FFMA"] == 1 and found["FADD"] == 0 and "fma.rn.f32" in text
    text, found, _ = compiled(product_and_sum, signature, contract=False)
    assert found["FFMA"] == 0 and found["FADD"] == 1 and "fma" not in text  # ptxas does not fuse what says .rn


def test_the_same_kernel_has_the_same_text():
    def kernel(x, o):
        shared = cuda.shared.array(128, float32)
        shared[cuda.threadIdx.x] = x[cuda.threadIdx.x]
        cuda.syncthreads()
        o[cuda.threadIdx.x] = halve(shared[cuda.threadIdx.x ^ 1])

    signature = void(Pointer(float32), Pointer(float32))
    first, name = inspection.compile_ptx(kernel, signature, 128)
    second, _ = inspection.compile_ptx(kernel, signature, 128)
    assert first == second and name == "kernel_kernel"


def test_offline_restores_what_it_replaced():
    import sys

    dispatcher = sys.modules[f"{cuda.__name__}.dispatcher"]
    before = dispatcher.get_current_device
    with pytest.raises(ZeroDivisionError), inspection.offline((8, 9), contract=False):
        assert dispatcher.get_current_device().compute_capability == (8, 9)
        raise ZeroDivisionError
    assert dispatcher.get_current_device is before


@pytest.mark.parametrize("cc", [(8, 0), (8, 6), (8, 9), (9, 0), (10, 0), (12, 0)], ids=inspection.architecture)
def test_architectures(cc):
    _, _, report = compiled(product_and_sum, void(Pointer(float32), Pointer(float32)), cc)
    assert 0 < report.registers < 32 and report.spill_stores == 0


def test_ptx_that_is_refused():
    with pytest.raises(RuntimeError, match="ptxas does not accept this PTX for sm_90"):
        inspection.link(".version 8.0\n.target sm_90\n.address_size 64\n.visible .entry k() { nonsense; }\n")


def test_report_of_spills_and_float64():
    def kernel(x, o, n):
        local = cuda.local.array(64, float64)
        for i in range(64):
            local[i] = x[i] * float64(1.5)
        o[0] = local[n]

    text, _ = inspection.compile_ptx(kernel, void(Pointer(float64), Pointer(float64), int64), 128)
    cubin, report = inspection.link(text)
    assert report.stack == 512 and inspection.has_float64_arithmetic(cubin)
    assert inspection.disassemble(cubin)[-1] == "NOP"
