"""Random numbers on CUDA: the CPU's, bit by bit; and what the kernels compile to."""

import numpy as np
import pytest
from cuda_support import cpu, cuda, needs_compiler, needs_cuda

from kernels import philox
from kernels.cuda import random as cuda_random
from kernels.random import Generator

LARGEST = 2**64 - 1

# name: (dtype, fill(backend, out, key, offset))
FILLS = {
    "words": ("u4", lambda k, out, *at: k.words(out, *at)),
    "uniform f4": ("f4", lambda k, out, *at: k.uniform(out, *at, -3.0, 5.0)),
    "uniform f8": ("f8", lambda k, out, *at: k.uniform(out, *at, 0.0, 1e-3)),
    "uniform of one value": ("f4", lambda k, out, *at: k.uniform(out, *at, 2.5, 2.5)),
    "normal f4": ("f4", lambda k, out, *at: k.normal(out, *at, 1.0, 2.0)),
    "normal f8": ("f8", lambda k, out, *at: k.normal(out, *at, 0.0, 1.0)),
    "integers i1": ("i1", lambda k, out, *at: k.integers(out, *at, -128, 256)),
    "integers u1": ("u1", lambda k, out, *at: k.integers(out, *at, 250, 6)),
    "integers i2": ("i2", lambda k, out, *at: k.integers(out, *at, -5, 11)),
    "integers i4": ("i4", lambda k, out, *at: k.integers(out, *at, -(2**31), 2**32)),
    "integers i8": ("i8", lambda k, out, *at: k.integers(out, *at, -(2**63), 1000)),
    "integers u8": ("u8", lambda k, out, *at: k.integers(out, *at, 2**63, 7)),
    "wide i8": ("i8", lambda k, out, *at: k.integers(out, *at, -(2**63), 2**64)),
    "wide u8": ("u8", lambda k, out, *at: k.integers(out, *at, 3, 2**64 - 9)),
    "wide just so": ("i8", lambda k, out, *at: k.integers(out, *at, -7, 2**32 + 1)),
    "mask bool": ("?", lambda k, out, *at: k.mask(out, *at, 2**31, 1.0)),
    "mask i1": ("i1", lambda k, out, *at: k.mask(out, *at, 2**32 - 1, 1.0)),
    "mask f2": ("f2", lambda k, out, *at: k.mask(out, *at, 2**30, 1.25)),
    "mask f4": ("f4", lambda k, out, *at: k.mask(out, *at, 3 * 2**30, 4 / 3)),
    "mask f8": ("f8", lambda k, out, *at: k.mask(out, *at, 2**31, 0.1)),
    "mask none": ("i8", lambda k, out, *at: k.mask(out, *at, 0, 1.0)),
    "mask all": ("f4", lambda k, out, *at: k.mask(out, *at, 2**32, 1.0)),
}


def same_bits(a, b):
    """Whether two arrays agree in shape, dtype and every byte."""
    return a.shape == b.shape and a.dtype == b.dtype and a.tobytes() == b.tobytes()


@pytest.fixture(params=FILLS, ids=lambda name: name.replace(" ", "-"))
def filled(request):
    """A function (shape, key, offset) -> the numbers of the CPU and of CUDA."""
    dtype, fill = FILLS[request.param]

    def both(shape, key, offset):
        on_cpu = cpu().empty(shape, np.dtype(dtype))
        on_cuda = cuda().empty(shape, np.dtype(dtype))
        for backend, out in ((cpu(), on_cpu), (cuda(), on_cuda)):
            if out.size:
                fill(backend, out, key, offset)
        return on_cpu, on_cuda.numpy()

    return both


@needs_cuda
def test_ragged_ends(filled):
    for count in (*range(1, 10), 15, 16, 17, 31, 33):
        expected, found = filled((count,), 0, 0)
        assert same_bits(found, expected), count


@needs_cuda
def test_keys_and_offsets_that_pass_32_and_64_bits(filled):
    for key, offset in ((1, 2**32 - 3), (2**32, 2**63 - 2), (LARGEST, 2**64 - 2)):
        expected, found = filled((37,), key, offset)
        assert same_bits(found, expected), (key, offset)


@needs_cuda
def test_shapes(filled):
    for shape in ((0,), (), (3, 0, 2), (5, 7, 33)):
        expected, found = filled(shape, 12345, 6)
        assert same_bits(found, expected), shape


@needs_cuda
@pytest.mark.parametrize("name", ["words", "mask bool", "integers i2"])
def test_several_blocks_of_threads(name):
    dtype, fill = FILLS[name]
    results = []
    for backend in (cpu(), cuda()):
        out = backend.empty((9001,), np.dtype(dtype))
        fill(backend, out, 99, 2**32 - 700)
        results.append(backend.to_numpy(out))
    assert same_bits(*results)


@needs_cuda
@pytest.mark.parametrize("name", ["normal f4", "mask bool", "integers i8"])
def test_nothing_is_written_beyond_the_end_or_before_the_start(name):
    dtype, fill = np.dtype(FILLS[name][0]), FILLS[name][1]
    for first, count in ((16, 1), (16, 21), (1, 18), (3, 5)):  # from where 16 bytes fit, and from where they do not
        host = np.zeros(48, dtype)
        whole = cuda().from_numpy(host)
        fill(cuda(), whole[first : first + count], 5, 1)
        fill(cpu(), host[first : first + count], 5, 1)
        assert same_bits(whole.numpy(), host)


@needs_cuda
def test_arrays_that_cannot_be_filled():
    out = cuda().empty((4, 6), np.float32)
    with pytest.raises(ValueError, match="C-contiguous"):
        cuda().normal(out.T, 0, 0, 0.0, 1.0)
    out.flags.writeable = False
    with pytest.raises(ValueError, match="read-only"):
        cuda().normal(out, 0, 0, 0.0, 1.0)


GENERATED = {
    "uniform": lambda g, d: g.uniform((3, 5), np.float64, -1, 1, device=d),
    "normal": lambda g, d: g.normal(7, device=d),
    "integers": lambda g, d: g.integers(-3, 9, (2, 2), np.int16, device=d),
    "wide integers": lambda g, d: g.integers(0, 2**40, 3, device=d),
    "permutation": lambda g, d: g.permutation(50, device=d),
    "no permutation": lambda g, d: g.permutation(0, device=d),
    "bernoulli": lambda g, d: g.bernoulli((4, 3), 0.25, np.bool_, device=d),
    "dropout_mask": lambda g, d: g.dropout_mask((9,), 0.1, device=d),
    "empty": lambda g, d: g.normal((0, 3), device=d),
}


@needs_cuda
@pytest.mark.parametrize("name", GENERATED)
def test_generators_give_the_same_on_every_device(name):
    on_cpu, on_cuda = Generator(17), Generator(17)
    on_cpu.uniform(5), on_cuda.uniform(5)
    for device in ("cuda", "cuda:0"):
        expected, found = GENERATED[name](on_cpu, "cpu"), GENERATED[name](on_cuda, device)
        assert found.device == "cuda:0" and same_bits(found.numpy(), expected)
    assert on_cpu.state() == on_cuda.state()


@needs_cuda
def test_arrays_are_made_on_the_device_that_is_named():
    from kernels.cuda import runtime

    if runtime.current().device_count() < 2:
        with pytest.raises(ValueError, match="cuda:1"):
            Generator(0).normal(3, device="cuda:1")
    else:
        for draw in GENERATED.values():
            assert draw(Generator(0), "cuda:1").device == "cuda:1"


# --- machine code ----------------------------------------------------------------------------------------------------


@needs_compiler
@pytest.mark.parametrize("number", [0, 5, 13])
def test_stores_are_of_16_bytes_and_products_of_32_bits(number):
    from kernels.cuda import inspection

    kernel = cuda_random.VARIANTS[number]()
    cubin, report = inspection.link(kernel.ptx((9, 0)))
    names = inspection.mnemonics(cubin)
    assert kernel.name in cuda_random.PROMISES
    assert report.spill_stores == report.stack == 0
    assert names["STG.E.128"] and names["IMAD.WIDE.U32"]
    if "float" not in kernel.name:
        assert not any(name.startswith(("FMUL", "FADD", "FFMA", "DMUL", "DADD", "DFMA")) for name in names)


@needs_compiler
@pytest.mark.parametrize("number", [1, 3, 4])
def test_nothing_is_fused_but_what_asks_for_it(number):
    """The machine code is the same whether a compiler may fuse a*b + c or not."""
    from kernels.cuda import inspection

    function, signature = cuda_random.VARIANTS[number]().compiled()
    code = [
        inspection.disassemble(inspection.link(inspection.compile_ptx(function, signature, 256, contract=contract)[0])[0])
        for contract in (True, False)
    ]
    assert any("FMA" in instruction for instruction in code[0]) and code[0] == code[1]


@needs_compiler
@pytest.mark.parametrize("name", ["words", "uniform f4", "normal f4", "integers i1", "wide u8", "mask f2"])
def test_compiled_code_gives_the_bits_of_the_cpu(name, monkeypatch):
    """The PTX, run by an interpreter: the first threads of a block, to the ragged end of the array."""
    from ptx_interpreter import Program

    dtype, fill = np.dtype(FILLS[name][0]), FILLS[name][1]
    out, expected, launches = np.zeros(75, dtype), np.zeros(75, dtype), []
    fill(cpu(), expected, 2**40 + 1, 2**32 - 9)
    monkeypatch.setattr(cuda_random, "_fill", lambda draw, out, *numbers: launches.append((draw, out, numbers)))
    fill(cuda_random, out, 2**40 + 1, 2**32 - 9)
    ((draw, view, (key, offset, *scalars)),) = launches
    kernel = cuda_random._kernel(draw, view.dtype.name)
    kinds = [np.dtype(kind).type for _, kind, pointer in kernel.parameters if not pointer]
    numbers = [kind(n) for kind, n in zip(kinds, (view.size, key, offset, *scalars), strict=True)]
    Program(kernel.ptx()).run(kernel.function, 40, view, *numbers)
    assert same_bits(out, expected)


def test_what_launches_are_given():
    assert philox.signed(2**64 - 1) == -1 and philox.signed(2**64) == 0 and philox.signed(5) == 5
    low, width, last = philox.stretch(np.float32, 0.0, 1.0)
    assert (low, width) == (0.0, 1.0) and last == np.nextafter(np.float32(1), np.float32(0))
    assert philox.stretch(np.float64, 2.0, 2.0) == (2.0, 0.0, 2.0)
