"""Transposing copies on the GPU (or the simulator): values, and how the kernel goes about memory."""

from __future__ import annotations

from collections import defaultdict

import moving_checks
import numpy as np
import pytest
from cuda_support import IS_SIMULATED, cuda, needs_cuda

from kernels import launch
from kernels.cuda import transposing
from kernels.layout import dense_layout

pytestmark = needs_cuda


def ran(call) -> list[str]:
    """The names of the kernels that a call starts."""
    names: list[str] = []
    with launch.observe(lambda seen: names.append(seen.kernel)):
        call()
    return names


@pytest.mark.parametrize("dtype", [*moving_checks.SIZES, "float16"])
@pytest.mark.parametrize("shape", [(33, 70), (8, 129)])
def test_matrices(dtype, shape):
    names = ran(lambda: moving_checks.copies(cuda(), dtype, shape, (1, 0)))
    assert any("transpose_tiles" in name for name in names)


@pytest.mark.parametrize("shape", [(9, 10, 8), (0, 9, 9)])
def test_every_order_of_the_axes(shape):
    moving_checks.every_order(cuda(), shape)


def test_batches():
    """As many axes as the kernel has, and one more."""
    for shape, axes in [((2, 3, 2, 2, 8, 9), (0, 3, 2, 1, 5, 4)), ((2, 2, 2, 3, 2, 8, 9), (1, 0, 4, 3, 2, 6, 5))]:
        moving_checks.copies(cuda(), "float32", shape, axes)


@pytest.mark.parametrize("shape", [(9, 40)])
def test_bfloat16(shape):
    from kernels.cuda.array import BFLOAT16

    bits = np.arange(360, dtype=np.uint16).reshape(shape)
    k = cuda()
    found = k.copy(k.from_numpy(bits).view(BFLOAT16).T)
    assert found.dtype == BFLOAT16 and np.array_equal(k.to_numpy(found.view(np.uint16)), bits.T)


def test_parts():
    moving_checks.copies_of_parts(cuda(), 12, 17)


def test_onto_itself():
    moving_checks.copies_onto_itself(cuda())


def test_with_another_dtype():
    moving_checks.copies_with_another_dtype(cuda())


def test_what_goes_by_tiles():
    """Not what is narrow, nor what has one direction on both sides."""
    item = np.dtype(np.float32)
    for shape, axes, expected in [
        ((40, 50), (1, 0), True), ((40, 7), (1, 0), False), ((7, 40), (1, 0), False), ((4, 40, 5), (1, 0, 2), False),
        ((3, 4, 8, 9), (3, 2, 1, 0), False), ((3, 16, 20), (0, 2, 1), True),
    ]:  # fmt: skip
        result = tuple(shape[a] for a in axes)
        source = dense_layout(result, item, tuple(int(a) for a in np.argsort(axes)), "cuda:0")
        launched = transposing._new_launch(source, dense_layout(result, item, None, "cuda:0"))
        assert (launched is not None) == expected, (shape, axes)


def test_more_than_32_bits():
    """Offsets that need 64 bits are given as such, and a grid that is too large is left to others."""
    byte = np.dtype(np.uint8)
    source, target = (dense_layout((1 << 17, 1 << 17), byte, order, "cuda:0") for order in ((1, 0), (0, 1)))
    launched = transposing._new_launch(source, target)
    assert launched is not None and launched[1] == 1 << 22
    numbered = dict(zip([name for name, _, _ in launched[0].parameters[2:]], launched[2], strict=True))
    types = {name: dtype for name, dtype, _ in launched[0].parameters}
    assert all(types[name] == "int64" for name in numbered if name.startswith(("step", "in", "out", "rows", "columns")))
    huge = (dense_layout((1 << 20, 1 << 24), byte, order, "cuda:0") for order in ((1, 0), (0, 1)))
    assert transposing._new_launch(*huge) is None


def test_unaligned_memory_is_left_to_others():
    k = cuda()
    x = moving_checks.numbers("complex64", 20, 21)
    floats = k.from_numpy(np.concatenate([[0], x.view(np.float32).reshape(-1)]).astype(np.float32))
    shifted = k.from_pairs(floats[1:].reshape(20, 21, 2))
    names = ran(lambda: moving_checks._same(k, k.copy(shifted.T), x.T))
    assert not any("transpose_tiles" in name for name in names)


# --- how the kernel goes about memory --------------------------------------------------------------------------------


def warps_accesses(kernel, grid, *arguments) -> dict:
    """(array, action, line, how often the thread has been there) -> warp -> the places of its lanes."""
    from kernels.cuda import simulator
    from kernels.cuda.simulated import simulated_arguments

    steps = simulator.trace(kernel, grid, None, tuple(simulated_arguments(kernel, arguments)))
    found: dict = defaultdict(lambda: defaultdict(list))
    for interval in steps.intervals:
        for thread, own in interval.items():
            times: dict = defaultdict(int)
            for step in own:
                key = step.array, step.action, step.line
                found[*key, times[key]][thread[0] // 32].append(step.index)
                times[key] += 1
    return found


@pytest.mark.skipif(not IS_SIMULATED, reason="traces are the simulator's")
@pytest.mark.parametrize("item", [1, 2, 4, 8, 16])
def test_global_memory_is_coalesced_and_no_bank_is_met_twice(item):
    k = cuda()
    dtype = np.dtype({1: "u1", 2: "u2", 4: "f4", 8: "f8", 16: "c16"}[item])
    word, side = min(item, 8), transposing.kernel_for(item).constants["TILE"]
    x, out = k.from_numpy(np.zeros((side, side), dtype)), k.empty((side, side), dtype)
    layouts = [dense_layout((side, side), dtype, order, "cuda:0") for order in ((1, 0), None)]
    kernel, grid, numbers, _ = transposing._new_launch(*layouts)  # type: ignore[misc]
    given = (x.as_pairs(), out.as_pairs()) if item == 16 else (x, out)
    found = warps_accesses(kernel, grid, *given, *numbers)
    shared = 0
    for (array, _, _, _), warps in found.items():
        for lanes in warps.values():
            assert len(lanes) == 32
            if array in ("x", "out"):
                sectors = {place * word // 32 for place in lanes}
                assert len(sectors) == max(1, 32 * word // 32), (array, sorted(lanes))
            elif array == "cells":
                shared += 1
                width = 2 if word == 8 else 1  # banks of a cell: 64-bit accesses go by half warps
                for half in range(0, 32, 32 // width):
                    banks = [place * width % 32 for place in lanes[half : half + 32 // width]]
                    assert len(set(banks)) == len(banks), (item, sorted(banks))
    assert shared and {"x", "out"} <= {key[0] for key in found}
