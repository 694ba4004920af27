"""Traces of simulated kernels: every access of one block's threads, interval by interval."""

import numpy as np
import pytest
from simulated_arrays import aligned, at, numbers

from kernels.cuda.emulation import cp_async16, cp_async_commit, cp_async_wait0, cuda, float32, load4, store4
from kernels.cuda.simulator import SimulationError, trace


def reverse(x, y, wait):
    cells = cuda.shared.array(64, float32)
    i = cuda.threadIdx.x
    cells[i] = x[i]
    if wait:
        cuda.syncthreads()
    y[i] = cells[63 - i]


def test_a_trace():
    x, y = np.arange(64, dtype=np.float32), np.zeros(64, np.float32)
    steps = trace(reverse, 1, 64, (at(x), at(y), True))
    assert np.array_equal(y, x[::-1])
    assert len(steps.intervals) == 2
    first, second = steps.intervals[0][3, 0, 0], steps.intervals[1][3, 0, 0]
    assert [(s.action, s.array, s.index, float(s.value)) for s in first] == [("read", "x", 3, 3.0), ("write", "cells", 3, 3.0)]
    assert [(s.action, s.array, s.index, float(s.value)) for s in second] == [("read", "cells", 60, 60.0), ("write", "y", 3, 60.0)]
    assert first[0].source == "cells[i] = x[i]" and second[0].line == first[0].line + 3
    text = steps.text()
    assert "--- interval 1 ---" in text and "(3, 0, 0)    cells[60] = 60; y[3] <- 60" in text


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


def test_a_trace_of_one_block_among_several_with_vectors_and_copies():
    class Compiled:
        simulated, threads = staticmethod(copy), 32

    x, y = aligned(128, np.float32, numbers(128)), aligned(128, np.float32)
    steps = trace(Compiled, 3, None, (at(x), at(y), True, True), at_block=(2, 0, 0))
    actions = [(s.action, s.array, s.index) for s in steps.intervals[0][5, 0, 0]]
    assert actions == [("read", "x", 20), ("write", "cells", 20)]
    assert [s.index for s in steps.intervals[1][5, 0, 0]] == [104, 20]
    assert np.array_equal(y.reshape(32, 4), x.reshape(32, 4)[::-1])
    with pytest.raises(SimulationError, match="no block"):
        trace(Compiled, 3, None, (at(x), at(y), True, True), at_block=(3, 0, 0))
