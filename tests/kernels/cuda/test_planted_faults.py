"""The tests are tested: mistakes that GPU kernels are known for are planted, and each must be noticed.

A fault is a change of a kernel's source. It is noticed if the simulator stops (a race, a divergent barrier, an access
outside), if the result differs from the CPU's, or if the compiled code breaks a rule that test_compiled.py holds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import pytest
from compile_jobs import elementwise_kernels
from cuda_support import IS_SIMULATED, cpu, cuda, needs_compiler, needs_cuda

from kernels import formulas, launch
from kernels.cuda import compiler
from kernels.cuda.simulator import SimulationError
from kernels.layout import dense_layout

pytestmark = [needs_cuda, pytest.mark.skipif(not IS_SIMULATED, reason="faulty kernels are not for hardware")]


@contextmanager
def planted(kernel: str, old: str, new: str) -> Iterator[list[compiler.Kernel]]:
    """Change the source of every kernel whose name contains `kernel`; gives the list of those that ran changed."""
    changed: list[compiler.Kernel] = []
    plain = compiler.Kernel.text

    def text(self: compiler.Kernel, vocabulary: str) -> str:
        source = plain(self, vocabulary)
        if kernel not in self.details or old not in source:
            return source
        changed.append(self)
        return source.replace(old, new, 1)

    def forget() -> None:
        for made in list(launch._kernels):
            if isinstance(made, compiler.Kernel):
                made._loaded.clear()

    compiler.Kernel.text = text
    forget()
    try:
        yield changed
    finally:
        compiler.Kernel.text = plain
        forget()


def numbers(*shape: int) -> np.ndarray:
    return np.random.default_rng(7).normal(size=shape).astype(np.float32)


def both(function: str, *arrays: np.ndarray, **options) -> tuple[np.ndarray, np.ndarray]:
    """A function's result on both devices."""
    there = getattr(cuda(), function)(*[cuda().from_numpy(a) for a in arrays], **options)
    return cuda().to_numpy(there), getattr(cpu(), function)(*arrays, **options)


def elementwise(formula, *shape: int) -> tuple[np.ndarray, np.ndarray]:
    x = numbers(*shape)
    return cuda().to_numpy(cuda().apply(formula, cuda().from_numpy(x))), cpu().apply(formula, x)


@dataclass(frozen=True)
class Fault:
    """What is changed in which kernel, and a computation that goes through it."""

    what: str
    kernel: str
    old: str
    new: str
    run: Callable[[], tuple[np.ndarray, np.ndarray]]


FAULTS = [
    Fault("a thread too many at the ragged edge", "exp", "at0 < vectors", "at0 <= vectors", lambda: elementwise(formulas.exp, 700)),
    Fault("the last vectors of a thread are not written", "exp", "range(UNROLL)", "range(UNROLL - 2)", lambda: elementwise(formulas.exp, 1000)),
    Fault("a store is forgotten", "exp", "    result0_data[place0] = out0_0", "    pass", lambda: elementwise(formulas.exp, 1000)),
    Fault("a barrier is missing between partial sums", "sum", "cuda.syncthreads()", "pass", lambda: both("sum", numbers(3, 5000), axis=1)),
    Fault("a barrier is missing in softmax", "softmax", "cuda.syncthreads()", "pass", lambda: both("softmax", numbers(2, 3000))),
    Fault("a row's loads go one too far", "softmax", "if at < left else filler", "if at <= left else filler", lambda: both("softmax", numbers(2, 33))),
    Fault("the grid's axes are swapped", "matmul_tile", "cuda.blockIdx.y) * chunk", "cuda.blockIdx.x) * chunk", lambda: both("matmul", numbers(40, 300), numbers(300, 70))),
    Fault("rows and columns of tiles are swapped", "matmul_tile", "batch, row0, column0 =", "batch, column0, row0 =", lambda: both("matmul", numbers(150, 8), numbers(8, 40))),
    Fault("a barrier is missing between tiles", "matmul_tile", "        cuda.syncthreads()", "        pass", lambda: both("matmul", numbers(20, 100), numbers(100, 24))),
]  # fmt: skip


def outcome(fault: Fault) -> str:
    """What came of a run: "right", "wrong", or the name of what the simulator found."""
    try:
        got, expected = fault.run()
    except SimulationError as error:
        return type(error).__name__
    return "right" if np.allclose(got, expected, rtol=1e-4, atol=1e-4) else "wrong"


@pytest.mark.parametrize("fault", FAULTS, ids=lambda f: f.what)
def test_faults_are_noticed_in_the_simulator(fault):
    assert outcome(fault) == "right", "without the fault"
    with planted(fault.kernel, fault.old, fault.new) as changed:
        found = outcome(fault)
    assert changed, "the fault was in no kernel that ran"
    assert found != "right", f"{fault.what}: not noticed"
    assert outcome(fault) == "right", "without the fault again"


def _gelu_kernel() -> compiler.Kernel:
    float32 = np.dtype(np.float32)
    return elementwise_kernels(formulas.gelu, [dense_layout((1 << 20,), float32, None, "cuda:0")], float32)[0]


LITERALS = [
    ("a float64 literal in a formula", "gelu", "real(0.5)", "0.5", _gelu_kernel),
]


@needs_compiler
@pytest.mark.parametrize(("what", "name", "old", "new", "make"), LITERALS, ids=[row[0] for row in LITERALS])
def test_faults_are_noticed_in_compiled_code(what, name, old, new, make):
    kernel = make()
    assert ".f64" not in kernel.ptx((8, 0))
    with planted(name, old, new) as changed:
        ptx = kernel.ptx((8, 0))
    assert changed and ".f64" in ptx, f"{what}: not noticed"
