"""The tests are tested: mistakes that GPU kernels are known for are planted, and each must be noticed.

A fault is a change of a kernel's source. It is noticed if the simulator stops (a race, a divergent barrier, an access
outside), if the result differs from the CPU's, or if the compiled code breaks a rule that test_compiled.py holds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from unittest.mock import patch

import numpy as np
import pytest
from compile_jobs import elementwise_kernels
from cuda_support import IS_SIMULATED, cpu, cuda, needs_compiler, needs_cuda

from kernels import formulas, launch
from kernels.cuda import compiler, sorting
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


def places(count: int, below: int) -> np.ndarray:
    return np.random.default_rng(8).integers(0, below, count)


def transposed(*shape: int) -> tuple[np.ndarray, np.ndarray]:
    x = numbers(*shape)
    return cuda().to_numpy(cuda().copy(cuda().from_numpy(x).mT)), cpu().copy(x.swapaxes(-1, -2))


def gathered(index: np.ndarray, *shape: int) -> tuple[np.ndarray, np.ndarray]:
    x, k = numbers(*shape), cuda()
    return k.to_numpy(k.gather(k.from_numpy(x), [k.from_numpy(index)])), cpu().gather(x, [index])


def added(index: np.ndarray, size: int, *shape: int) -> tuple[np.ndarray, np.ndarray]:
    x, k = numbers(*index.shape, *shape), cuda()
    there = k.scatter_add(k.from_numpy(x), [k.from_numpy(index)], (size, *shape))
    return k.to_numpy(there), cpu().scatter_add(x, [index], (size, *shape))


def put(index: np.ndarray, size: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    values, results = numbers(index.size, width), []
    for k in (cuda(), cpu()):
        x = k.from_numpy(np.zeros((size, width), np.float32))
        k.put(x, [k.from_numpy(index)], k.from_numpy(values))
        results.append(k.to_numpy(x))
    return results[0], results[1]


def joined(sizes: list[int]) -> tuple[np.ndarray, np.ndarray]:
    pieces = [numbers(3, size) for size in sizes]
    return cuda().to_numpy(cuda().concat([cuda().from_numpy(p) for p in pieces], 1)), cpu().concat(pieces, 1)


def merged() -> tuple[np.ndarray, np.ndarray]:
    """A sort by tiles so small that some are merged."""
    with patch.object(sorting, "_TILES", (64,)):
        return both("argsort", places(150, 9))


def searched(right: bool) -> tuple[np.ndarray, np.ndarray]:
    return both("searchsorted", np.repeat(np.arange(9), 3), places(50, 11), right=right)


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
    Fault("gather takes the next place", "gather", "places[item - o * count] * step", "(places[item - o * count] + int64(1)) * step", lambda: gathered(places(20, 6), 7, 3)),
    Fault("gather takes the next place in rows of vectors", "gather", "places[item - o * count] * step", "(places[item - o * count] + int64(1)) * step", lambda: gathered(places(20, 6), 7, 8)),
    Fault("the first of equal places is written", "put", "keys[min(s + int64(1), count - int64(1))]", "keys[max(s - int64(1), int64(0))]", lambda: put(places(30, 9), 9, 3)),
    Fault("the last of what meets at one place is not added", "sum_segments", "range(begin + row, end,", "range(begin + row, end - int64(1),", lambda: added(places(40, 5), 5, 3)),
    Fault("what meets at one place is added twice", "sum_segments", "begin = first_not_below(keys, count, d)", "begin = first_not_below(keys, count, d - int64(1))", lambda: added(places(40, 5), 5, 3)),
    Fault("equal keys are sorted backwards", "sort_tiles", "(place < other_place)", "(place > other_place)", lambda: both("argsort", places(60, 4))),
    Fault("a barrier is missing in a sorting network", "sort_tiles", "        cuda.syncthreads()", "        pass", lambda: both("argsort", places(100, 90))),
    Fault("merging takes equal keys from the right first", "merge", "(not is_left) & (other == key)", "is_left & (other == key)", merged),
    Fault("a running sum forgets the tile before", "cumulative_sum", "if tile > int64(0):", "if tile > int64(1):", lambda: both("cumulative_sum", numbers(1, 2050), axis=1)),
    Fault("a barrier is missing between the warps of a running sum", "cumulative_sum", "    cuda.syncthreads()\n    left_a = warp_a[0]", "    left_a = warp_a[0]", lambda: both("cumulative_sum", numbers(1, 600), axis=1)),
    Fault("left and right are swapped in a search", "searchsorted", "right != int64(0)", "right == int64(0)", lambda: searched(True)),
    Fault("the last step of a search is left out", "searchsorted", "while begin < end:", "while begin + int64(1) < end:", lambda: searched(False)),
    Fault("a barrier is missing in a transposing copy", "transpose_tiles", "    cuda.syncthreads()", "    pass", lambda: transposed(2, 9, 40)),
    Fault("a tile's coordinates are swapped", "transpose_tiles", "min(i0 + int64(element)", "min(j0 + int64(element)", lambda: transposed(40, 70)),
    Fault("a tile is not turned over", "transpose_tiles", "cells[element * uint32(33) + (first + uint32(8))", "cells[element + (first + uint32(8)) * uint32(33)", lambda: transposed(40, 70)),
    Fault("a ragged tile is written whole", "transpose_tiles", "and j < columns", "and j <= columns", lambda: transposed(40, 70)),
    Fault("a batch's matrices are mixed up", "transpose_tiles", "to = place0 * out0", "to = place1 * out0", lambda: transposed(3, 9, 40)),
    Fault("arrays without elements are not passed over", "join_rows", "<= along", "< along", lambda: joined([2, 0, 3, 0, 1])),
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
