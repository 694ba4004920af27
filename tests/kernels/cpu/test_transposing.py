"""Copies on the CPU: by tiles where they transpose, row by row where rows lie together."""

from __future__ import annotations

import os
import subprocess
import sys

import moving_checks
import numpy as np
import pytest

import kernels
from kernels import cpu, launch
from kernels.cpu import simd_moving, transposing
from kernels.layout import dense_layout, layout_of
from kernels.transposing import transposition


@pytest.mark.parametrize("dtype", moving_checks.SIZES)
@pytest.mark.parametrize("shape", [(1, 40), (16, 16), (17, 33), (40, 7), (31, 3), (300, 270), (3, 521)])
def test_matrices(dtype, shape):
    moving_checks.copies(cpu, dtype, shape, (1, 0))


@pytest.mark.parametrize("shape", [(3, 20, 5), (33, 1, 18), (2, 17, 3, 40), (0, 4, 5), (5, 64, 64), (2, 3, 4, 5, 6)])
def test_every_order_of_the_axes(shape):
    moving_checks.every_order(cpu, shape)


def test_parts():
    moving_checks.copies_of_parts(cpu, 70, 90)


def test_onto_itself():
    moving_checks.copies_onto_itself(cpu)


def test_with_another_dtype():
    moving_checks.copies_with_another_dtype(cpu)


def test_foreign_memory():
    """In the other byte order, off their alignment, and fields of structures."""
    x = moving_checks.numbers("float32", 20, 30)
    assert np.array_equal(cpu.copy(x.astype(">f4").T), x.T) and cpu.copy(x.astype(">f4").T).dtype == np.float32
    shifted = np.zeros(x.nbytes + 1, np.uint8)[1:].view("f4").reshape(20, 30)
    shifted[:] = x
    assert np.array_equal(cpu.copy(shifted.T), x.T)
    field = np.zeros((20, 30), [("a", "u1"), ("b", "f4")])["b"]
    field[:] = x
    assert np.array_equal(cpu.copy(field.T), x.T)
    with pytest.raises(TypeError, match="float16"):
        cpu.copy(x.astype(np.float16).T)


def test_bits_are_kept():
    """Also those of signalling NaN, which arithmetic would change."""
    bits = (np.arange(40 * 40, dtype=np.uint32) | 0x7F800000).reshape(40, 40)
    assert np.array_equal(cpu.copy(bits.view(np.float32).T).view(np.uint32), bits.T)


@pytest.mark.parametrize("shape", [(700, 650), (9, 300, 260)])
def test_several_threads_give_the_same(shape, monkeypatch):
    monkeypatch.setattr(launch, "parallel_work", 1)
    if kernels.launch.available_threads() > 1:
        kernels.set_num_threads(2)
    moving_checks.copies(cpu, "float32", shape, tuple(reversed(range(len(shape)))))
    moving_checks.copies(cpu, "float32", (5, *shape), (1, 0, *range(2, len(shape) + 1)))


def test_what_counts_as_a_transposition():
    item = np.dtype(np.float32)
    x = np.zeros((4, 5, 6, 7), item)
    found = transposition(layout_of(x.transpose(0, 3, 1, 2)), dense_layout((4, 7, 5, 6), item))
    assert found is not None and (found.count, found.rows, found.columns, found.step_in, found.step_out) == (4, 7, 30, 7, 30)
    for view in (x, x.transpose(1, 0, 2, 3), x[..., ::2], x[..., ::-1], x[:, :, 0, :].T[::2], np.broadcast_to(x[:1], x.shape)):
        assert transposition(layout_of(view), dense_layout(view.shape, item)) is None


def test_network_of_a_square():
    """The steps alone, carried out on numbers: sides and parts of all processors."""
    for itemsize in (1, 2, 4, 8, 16):
        for vector in (16, 32, 64):
            side = min(16, max(2, vector // itemsize, 16 // itemsize))
            rows = list(np.arange(side * side).reshape(side, side))
            steps = simd_moving.network(side, max(1, 16 // itemsize))
            for stage in range(0, len(steps), side // 2):
                before = list(rows)
                for read, written, picked in steps[stage : stage + side // 2]:
                    for row, elements in zip(written, picked, strict=True):
                        rows[row] = np.concatenate([before[read[0]], before[read[1]]])[elements]
            assert np.array_equal(np.array(rows), np.arange(side * side).reshape(side, side).T), (itemsize, vector)


def test_plans_are_kept_and_bounded(monkeypatch):
    monkeypatch.setattr(transposing, "_KEPT", 3)
    for n in range(2, 9):
        moving_checks.copies(cpu, "float32", (n, 20), (1, 0))
    assert len(transposing._movers) <= 3


WITHOUT_COMPILER = """
import numpy as np
from kernels import cpu
for dtype in ("bool", "float32", "complex64", "complex128"):
    x = np.arange(18 * 35).reshape(18, 35).astype(dtype)
    rows = np.stack([x] * 3).transpose(1, 0, 2)
    assert np.array_equal(cpu.copy(x.T), x.T) and np.array_equal(cpu.copy(rows), rows), dtype
    pieces = [x[:, :n] for n in range(6)] + [x]
    assert np.array_equal(cpu.concat(pieces, 1), np.concatenate(pieces, 1)), dtype
    pieces = [x[n:] for n in range(6)]
    assert np.array_equal(cpu.concat(pieces), np.concatenate(pieces)), dtype
"""


def test_without_the_compiler(tmp_path):
    environment = os.environ | {"NUMBA_DISABLE_JIT": "1", "GRADLOOM_CACHE": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", WITHOUT_COMPILER], env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
