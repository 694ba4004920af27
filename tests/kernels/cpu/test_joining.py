"""Joining arrays on the CPU."""

from __future__ import annotations

import moving_checks
import numpy as np
import pytest

from kernels import cpu


@pytest.mark.parametrize("dtype", moving_checks.SIZES)
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_pieces(dtype, axis):
    shapes = [tuple(n if a == axis else size for a, size in enumerate((3, 17, 4))) for n in (1, 5, 0, 16, 2)]
    moving_checks.joins(cpu, dtype, shapes, axis)
    moving_checks.joins(cpu, dtype, shapes[:2], axis)
    moving_checks.joins(cpu, dtype, shapes[:1] * 6, axis)


def test_every_element_is_written():
    moving_checks.joins_write_every_element(cpu)


def test_checks():
    moving_checks.joins_are_checked(cpu)


def test_other_byte_order():
    pieces = [np.arange(n, dtype=">i4") for n in range(1, 7)]
    found = cpu.concat(pieces)
    assert found.dtype == np.int32 and np.array_equal(found, np.concatenate(pieces))


def test_pieces_that_share_memory():
    x = np.arange(60.0).reshape(6, 10)
    pieces = [x[:2], x[1:3], x, x[::2], x[3:]]
    assert np.array_equal(cpu.concat(pieces), np.concatenate(pieces))
