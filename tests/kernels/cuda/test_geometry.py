"""Grids and indices of arrays too large to be had: arithmetic, not execution.

Nothing of such a size is allocated. Plans are asked what they would launch, and single blocks of a launch, the last above
all, run in the simulator over memory that is only a note of the places touched.
"""

from __future__ import annotations

import numpy as np
import pytest
from cuda_support import IS_SIMULATED, needs_cuda

from kernels import formulas
from kernels.cuda import compiler, simulator
from kernels.cuda.elementwise import Plan
from kernels.layout import Layout, dense_layout
from kernels.walk import Walk

pytestmark = [needs_cuda, pytest.mark.skipif(not IS_SIMULATED, reason="runs single blocks, in the simulator")]

FLOAT32 = np.dtype(np.float32)


class Nowhere:
    """A device array without memory: an address, aligned to 16 bytes or not."""

    def __init__(self, layout: Layout, pointer: int = 1 << 40) -> None:
        self.shape, self.dtype, self.itemsize, self.pointer = layout.shape, layout.dtype, layout.dtype.itemsize, pointer

    def _view(self, pointer, shape, strides):
        return Nowhere(Layout(shape, strides, self.dtype, "cuda:0"), pointer)


class Places:
    """Memory that notes where it is read and written; every element is 1."""

    def __init__(self, base: int, item: int) -> None:
        self.first, self.touched = base, set()
        self.item = item

    def load(self, index, count):
        assert index % count == 0 or count == 1
        self.touched.update(range(int(index), int(index) + count))
        return (np.float32(1),) * count

    def store(self, index, count, values):
        self.load(index, count)

    def __getitem__(self, index):
        return self.load(index, 1)[0]

    def __setitem__(self, index, value):
        self.load(index, 1)


def launches_of(plan: Plan, arrays: list, monkeypatch) -> list:
    """(kernel, grid, arguments) of what the plan starts."""
    found = []
    monkeypatch.setattr(compiler.Kernel, "__call__", lambda self, grid, *a, shared_bytes=0: found.append((self, grid, a)))
    plan._launch(tuple(arrays), ())
    return found


def run_block(kernel, number: int, arguments: list, monkeypatch) -> None:
    monkeypatch.setattr(simulator, "_positions", lambda sizes, real=simulator._positions: (
        iter([(number, 0, 0)]) if sizes[0] > 1 << 20 else real(sizes)
    ))  # fmt: skip
    simulator.launch(kernel.simulated, (2**31 - 1,), kernel.threads, arguments)


@pytest.mark.parametrize("pointer", [1 << 40, (1 << 40) + 4], ids=["aligned", "odd"])
@pytest.mark.parametrize("count", [2**31 - 1, 2**31, 2**31 + 1, 2**32 + 5, 2**36 + 3])
def test_flat_arrays_are_covered_to_the_last_element(count, pointer, monkeypatch):
    layout = dense_layout((count,), FLOAT32, None, "cuda:0")
    plan = Plan(formulas.exp.hoisted, [layout], FLOAT32)
    launched = launches_of(plan, [Nowhere(layout, pointer), Nowhere(layout)], monkeypatch)
    covered = 0
    for kernel, grid, (x, _, vectors, *_) in launched:
        compiler.check_grid(kernel.name, grid)
        width, unroll = kernel.constants["WIDTH"], kernel.constants["UNROLL"]
        assert grid * kernel.threads * unroll >= vectors > (grid - 1) * kernel.threads * unroll
        assert x.pointer == pointer + 4 * covered
        covered += vectors * width
        read, written = Places(0, 4), Places(0, 4)
        run_block(kernel, grid - 1, [read, written, np.int64(vectors)], monkeypatch)
        first = (grid - 1) * kernel.threads * unroll * width
        assert read.touched == written.touched == set(range(first, vectors * width))
    assert covered == count


@pytest.mark.parametrize("rows", [2**20, 2**24 + 3, 2**28])
def test_strided_arrays_beyond_32_bits(rows, monkeypatch):
    """Rows of 37 with a bias, transposed results and gaps: offsets are counted in 64 bits, divided in as many as it takes."""
    shape = (rows, 37)
    gaps = Layout(shape, (4 * 64, 4), FLOAT32, "cuda:0")
    bias = dense_layout((37,), FLOAT32, None, "cuda:0")
    plan = Plan(formulas.add.hoisted, [gaps, bias], FLOAT32)
    walk = Walk(formulas.add.hoisted, [gaps, bias], FLOAT32)
    ((kernel, grid, (_, _, _, vectors, *tail)),) = launches_of(plan, [Nowhere(gaps), Nowhere(bias), Nowhere(plan.layouts[0])], monkeypatch)
    compiler.check_grid(kernel.name, grid)
    assert vectors == rows * 37 and walk.sizes == (rows, 37)
    assert ("int64(rest %" in kernel.source or "rest = int64" in kernel.source) or vectors < 2**31
    read, row, written = Places(0, 4), Places(0, 4), Places(0, 4)
    run_block(kernel, grid - 1, [read, row, written, np.int64(vectors), *map(np.int64, tail)], monkeypatch)
    first = (grid - 1) * kernel.threads * kernel.constants["UNROLL"]
    numbers = range(first, vectors)
    assert written.touched == set(numbers)
    assert read.touched == {(n // 37) * 64 + n % 37 for n in numbers}
    assert row.touched == {n % 37 for n in numbers}


def test_dividing_in_32_bits_stops_at_their_limit(monkeypatch):
    for rows, wide in ((2**31 // 37 - 20, False), (2**31 // 37 + 20, True)):
        layout = Layout((rows, 37), (4 * 64, 4), FLOAT32, "cuda:0")
        plan = Plan(formulas.exp.hoisted, [layout], FLOAT32)
        ((kernel, _, _),) = launches_of(plan, [Nowhere(layout), Nowhere(plan.layouts[0])], monkeypatch)
        assert ("uint32(at" not in kernel.source) == wide


@pytest.mark.parametrize("dtype", [np.int8, np.float16, np.float32])
def test_sizes_that_are_divided_by_fit_the_type(dtype, monkeypatch):
    """Long vectors of short elements: few enough to be numbered in 32 bits, in rows that are not."""
    dtype = np.dtype(dtype)
    layout = Layout((2, 2**32), (2**33 * dtype.itemsize, dtype.itemsize), dtype, "cuda:0")
    plan = Plan(formulas.positive.hoisted, [layout], dtype)
    ((kernel, _, _),) = launches_of(plan, [Nowhere(layout), Nowhere(plan.layouts[0])], monkeypatch)
    assert "uint32(size0)" not in kernel.source and "int64(size0)" in kernel.source


@pytest.mark.parametrize("grid", [0, -1, 2**31, (1, 65536), (1, 1, 65536), (1, 1, 1, 1), (5, 0)], ids=str)
def test_grids_that_no_gpu_takes_are_refused(grid):
    with pytest.raises(ValueError, match="a grid of"):
        compiler.check_grid("k", grid)


def test_the_largest_grids_are_not():
    for grid in (1, 2**31 - 1, (7, 65535, 65535)):
        compiler.check_grid("k", grid)
