"""One launch for many tensors: the same bits as a launch for each, whatever their sizes, places and types."""

import numpy as np
import pytest
from cuda_support import IS_SIMULATED, cpu, cuda, needs_compiler, needs_cuda

from kernels import formulas
from kernels.launch import observe
from kernels.layout import covers, dense_layout, layout_of
from kernels.walk import update_plan

VALUES = {  # formula: the values of its parameters
    "sgd": (0.1, 0.01),
    "sgd_momentum": (0.1, 0.9, 0.25, 0.01),
    "sgd_nesterov": (0.1, 0.9, 0.0, 0.01),
    "adam": (1e-2, 0.9, 0.999, 1e-8, 0.1, 0.1, 0.001),
    "adamw": (1e-2, 0.9, 0.999, 1e-8, 0.1, 0.19, 0.002),
    "adam_amsgrad": (1e-2, 0.9, 0.999, 1e-8, 0.0, 0.1, 0.001),
    "adamw_amsgrad": (1e-2, 0.9, 0.999, 1e-8, 0.1, 0.1, 0.001),
}
SHAPES = [(1,), (33,), (0,), (3, 5, 7), (), (4, 8), (4097,), (128,), (1, 31)]


def arrays_of(formula, shape, random, dtype=np.float32):
    """p, g and the state on the host: second moments are not negative."""
    made = [random.standard_normal(shape).astype(dtype) for _ in formula.inputs]
    return [np.asarray(np.abs(a)) if name.startswith("v") else a for name, a in zip(formula.inputs, made, strict=True)]


def groups_on(backend, groups):
    """Copies of groups of host arrays on a device."""
    return [[backend.from_numpy(a.copy()) for a in group] for group in groups]


def one_by_one(formula, groups, values):
    """A launch for each group."""
    for group in groups:
        plan = cuda().plan_for(formula.hoisted, *update_plan([layout_of(a) for a in group]))
        plan.fill((*group, *formula.prepare(values)))


def bits(groups):
    """The bytes of every array."""
    return [a.numpy().tobytes() for group in groups for a in group]


@needs_cuda
@pytest.mark.parametrize("name", VALUES)
def test_same_bits_as_a_launch_for_each(name):
    formula, random = formulas.TABLE[name], np.random.default_rng(1)
    host = [arrays_of(formula, shape, random) for shape in SHAPES]
    many, each = groups_on(cuda(), host), groups_on(cuda(), host)
    with observe((launches := []).append):
        cuda().update_many(formula, many, VALUES[name])
    one_by_one(formula, each, VALUES[name])
    assert len(launches) == 1 and bits(many) == bits(each)
    assert [group[1].numpy().tobytes() for group in many] == [group[1].tobytes() for group in host]
    on_cpu = groups_on(cpu(), host)
    cpu().update_many(formula, on_cpu, VALUES[name])
    for group, expected in zip(many, on_cpu, strict=True):
        for found, wanted in zip(group, expected, strict=True):
            np.testing.assert_allclose(found.numpy(), wanted, rtol=1e-5, atol=1e-6)


@needs_cuda
@pytest.mark.parametrize("dtype", ["float64", "float16", "bfloat16"])
def test_types(dtype):
    from kernels.cuda.array import BFLOAT16

    formula, random = formulas.adamw, np.random.default_rng(2)
    host = [arrays_of(formula, shape, random, np.float64 if dtype == "float64" else np.float16) for shape in SHAPES[:5]]
    if dtype == "bfloat16":  # any bits of moderate numbers
        host = [[(a.astype(np.float32).view(np.uint32) >> 16).astype(np.uint16).view(BFLOAT16) for a in group] for group in host]
    many, each = groups_on(cuda(), host), groups_on(cuda(), host)
    cuda().update_many(formula, many, VALUES["adamw"])
    one_by_one(formula, each, VALUES["adamw"])
    assert bits(many) == bits(each) and bits(many) != bits(groups_on(cuda(), host))


@needs_cuda
def test_places_that_allow_no_vectors_and_layouts_in_another_order():
    formula, random = formulas.sgd_momentum, np.random.default_rng(3)
    values = VALUES["sgd_momentum"]
    host = [random.standard_normal(60).astype(np.float32) for _ in range(6)]

    def groups():
        p, g, m, q, h, n = (cuda().from_numpy(a.copy()) for a in host)
        ragged = [p[1:42], g[2:43], m[3:44]]  # three addresses, two of which are no multiples of 16
        transposed = [a.reshape(5, 12).T for a in (q, h, n)]
        return [ragged, transposed], (p, g, m, q, h, n)

    (many, wholes), (each, others) = groups(), groups()
    assert covers(layout_of(many[1][0])) and not layout_of(many[1][0]).contiguous
    cuda().update_many(formula, many, values)
    one_by_one(formula, each, values)
    for whole, other in zip(wholes, others, strict=True):  # what lies beside the ragged pieces is untouched, too
        assert whole.numpy().tobytes() == other.numpy().tobytes()


@needs_cuda
def test_a_plan_serves_many_steps(monkeypatch):
    formula, random = formulas.adam, np.random.default_rng(4)
    prepared = formula.prepare(VALUES["adam"])
    host = [arrays_of(formula, shape, random) for shape in ((5,), (40,), (2, 3))]
    many, each = groups_on(cuda(), host), groups_on(cuda(), host)
    plan = cuda().plan_many(formula.hoisted, many)
    uploads = []
    runtime = many[0][0].block.runtime
    upload = runtime.to_device
    monkeypatch.setattr(runtime, "to_device", lambda *a: (uploads.append(a[1].size), upload(*a))[1])
    kept = []
    for step in range(4):
        if step != 2:  # in step 2 the gradients stay where they are
            gradients = [cuda().from_numpy(random.standard_normal(a[0].shape).astype(np.float32)) for a in host]
            kept.append(gradients)  # so that the next ones lie elsewhere
        before = len(uploads)
        assert plan.run(gradients, prepared)
        assert uploads[before:] == ([] if step == 2 else [3])
        one_by_one(formula, [[p, g, *state] for (p, _, *state), g in zip(each, gradients, strict=True)], VALUES["adam"])
    assert bits(many) == bits(each)


@needs_cuda
def test_tensors_that_share_memory_come_one_after_the_other():
    formula, values = formulas.sgd, (0.5, 0.1)
    numbers = np.arange(1, 25, dtype=np.float32)

    def groups(kind):
        p, g = cuda().from_numpy(numbers), cuda().from_numpy(numbers[::-1].copy())
        if kind == "twice":
            return [(p, g), (p, g)], p
        if kind == "overlap":
            return [(p[:16], g[:16]), (p[8:], g[8:])], p
        if kind == "gradient":  # the second gradient is the first parameter
            return [(p[:12], g[:12]), (p[12:], p[:12])], p
        return [(p[:12], p[:12]), (g, p)], p

    for kind in ("twice", "overlap", "gradient", "itself"):
        many, p = groups(kind)
        assert not cuda().plan_many(formula.hoisted, many).run([g for _, g in many], formula.prepare(values))
        assert p.numpy().tolist() == numbers.tolist()  # nothing is done
        cuda().update_many(formula, many, values)
        each, q = groups(kind)
        one_by_one(formula, each, values)
        assert bits(many) == bits(each) and p.numpy().tobytes() == q.numpy().tobytes()
    p = cuda().from_numpy(numbers)
    touching = [(p[:12], cuda().from_numpy(numbers[:12])), (p[12:], cuda().from_numpy(numbers[12:]))]
    assert cuda().plan_many(formula.hoisted, touching).run([g for _, g in touching], formula.prepare(values))


@needs_cuda
def test_nothing_to_do():
    groups = [(cuda().empty((0, 3), np.float32), cuda().empty((0, 3), np.float32))]
    with observe((launches := []).append):
        cuda().update_many(formulas.sgd, groups, (0.1, 0.0))
    assert not launches


@needs_cuda
@pytest.mark.parametrize("backend", [cpu, cuda])
def test_what_cannot_be_updated_together(backend):
    formula, k = formulas.sgd.hoisted, backend()
    p, g = k.from_numpy(np.ones((4, 6), np.float32)), k.from_numpy(np.ones((4, 6), np.float32))
    with pytest.raises(ValueError, match="no tensors"):
        k.plan_many(formula, [])
    with pytest.raises(ValueError, match="one layout"):
        k.plan_many(formula, [(p.T, g)])
    with pytest.raises(ValueError, match="one layout, without gaps"):
        k.plan_many(formula, [(p[::2], g[::2])])
    with pytest.raises(ValueError, match=r"\(p, g, \*state\)"):
        k.plan_many(formula, [(p, g, g)])
    with pytest.raises(ValueError, match=r"\(p, g, \*state\)"):
        k.plan_many(formulas.exp, [(p,)])
    with pytest.raises(TypeError, match="int32"):
        k.plan_many(formula, [(p.view(np.int32), g.view(np.int32))])
    readonly = g[:]
    readonly.flags.writeable = False
    with pytest.raises(ValueError, match="read-only"):
        k.plan_many(formula, [(readonly, p)])
    assert k.plan_many(formula, [(p, readonly)]).run([readonly], (0.0, 0.1))


@needs_cuda
def test_one_dtype_and_the_right_number_of_gradients():
    p, q = cuda().from_numpy(np.ones(3, np.float32)), cuda().from_numpy(np.ones(3))
    with pytest.raises(ValueError, match="one dtype"):
        cuda().plan_many(formulas.sgd.hoisted, [(p, p), (q, q)])
    with pytest.raises(ValueError, match="1 tensors, but 2 gradients"):
        cuda().plan_many(formulas.sgd.hoisted, [(p, p)]).run([p, p], (0.0, 0.1))


def test_chunks():
    from kernels.cuda.multi_tensor import CHUNK, chunk_table

    sizes = np.array([0, 1, CHUNK, 0, CHUNK + 1, 3 * CHUNK - 1])
    found = [(int(c) & 0xFFFFFFFF, int(c) >> 32) for c in chunk_table(sizes)]
    assert found == [(1, 0), (2, 0), (4, 0), (4, 1), (5, 0), (5, 1), (5, 2)]
    assert chunk_table(np.array([0])).size == 0


def test_layouts_without_gaps():
    def strided(shape, strides):
        return layout_of(np.lib.stride_tricks.as_strided(np.zeros(1, np.int8), shape, strides))

    f4 = np.dtype("f4")
    assert covers(dense_layout((2, 3, 4), f4, (2, 0, 1))) and covers(dense_layout((), f4)) and covers(dense_layout((0, 2), f4))
    assert covers(strided((2, 1, 3), (3, 77, 1))) and covers(strided((3, 2, 1), (1, 3, 5)))
    assert not covers(strided((3,), (-1,))) and not covers(strided((3,), (2,))) and not covers(strided((3, 2), (0, 1)))


# --- the word pointer_at ---------------------------------------------------------------------------------------------


@needs_cuda
@pytest.mark.skipif(not IS_SIMULATED, reason="the simulator checks addresses")
def test_addresses_are_checked_in_the_simulator():
    from kernels.cuda import simulator
    from kernels.cuda.emulation import float32, pointer_at

    def fetch(table, out, index):
        out[0] = pointer_at(table, 0, float32)[index]

    x, out = cuda().from_numpy(np.arange(8, dtype=np.float32)), np.zeros(1, np.float32)
    table = np.array([x[2:].pointer])

    def run(index):
        simulator.launch(fetch, 1, 1, (simulator.Pointer.of(table), simulator.Pointer.of(out), index))
        return out[0]

    assert run(0) == 2 and run(5) == 7 and run(-2) == 0
    with pytest.raises(simulator.OutOfBounds, match=r"table\[0\]"):
        run(6)
    traced = simulator.trace(fetch, 1, 1, (simulator.Pointer.of(table), simulator.Pointer.of(out), 1))
    assert "table[0][1] = 3" in traced.text()
    del x
    cuda().empty((1,), np.float32)  # memory comes back when more is asked for
    with pytest.raises(simulator.OutOfBounds, match="not the address of any array"):
        run(0)


@needs_compiler
def test_vectors_of_16_bytes_in_global_memory():
    from kernels.cuda import inspection, multi_tensor

    kernel = multi_tensor.kernel_for(formulas.sgd_momentum.hoisted, "float16")
    cubin, report = inspection.link(kernel.ptx((9, 0)))
    names = inspection.mnemonics(cubin)
    assert names["LDG.E.128"] and names["STG.E.128"] and report.spill_stores == report.stack == 0
    assert not any(name.startswith(("LD.", "ST.")) for name in names)  # all addresses are known to be global


@needs_compiler
@pytest.mark.parametrize("first", [0, 1])  # where the addresses allow vectors, and where they do not
def test_compiled_code_follows_the_addresses(first):
    """The PTX, run by an interpreter, on one tensor of 131 elements."""
    from ptx_interpreter import Program

    from kernels.cuda import multi_tensor

    formula, random, size = formulas.sgd_momentum, np.random.default_rng(6), 131
    kernel = multi_tensor.kernel_for(formula.hoisted, "float32")
    program = Program(kernel.ptx())
    p, g, m = (random.standard_normal(size + 1).astype(np.float32) for _ in range(3))
    places = [program.allocate(a) for a in (p, g, m)]
    table = np.array([places[0] + 4 * first, places[2] + 4 * first, size, 0])
    values = [np.float32(v) for v in formula.prepare(VALUES["sgd_momentum"])]
    moving, one, count = np.array([places[1] + 4 * first]), np.int64(1), np.int64(size)
    program.run(kernel.function, kernel.threads, table, moving, one, count, *values)
    expected = [[a[first : first + size] for a in (p, g, m)]]
    cpu().update_many(formula, expected, VALUES["sgd_momentum"])
    for array, place in zip((p, g, m), places, strict=True):
        found = program.memory[place : place + array.nbytes].view(np.float32)
        np.testing.assert_allclose(found, array, rtol=1e-6, atol=1e-6)
        assert found[-1 if first == 0 else 0] == array[-1 if first == 0 else 0]
