"""Loops that only load and store: which they are, that the hint arrives, and that every length comes out right."""

from pathlib import Path

import numpy as np
import pytest

from kernels import codegen, cpu, formulas
from kernels.cpu import elementwise, streaming
from kernels.cpu.intrinsics import WITHOUT_JIT


def variant(dtype="float32", access="vvv", output=None):
    return codegen.Variant(dtype, (dtype, dtype), (output or dtype,), access, (-1,), False)


def test_which_loops_stream():
    assert codegen.is_streaming(formulas.add, variant())
    assert codegen.is_streaming(formulas.add, variant(access="vpv"))
    assert not codegen.is_streaming(formulas.add, variant(access="vxv"))
    assert not codegen.is_streaming(formulas.less, variant(output="bool"))
    assert not codegen.is_streaming(formulas.logaddexp, variant())


@pytest.mark.skipif(WITHOUT_JIT, reason="about compiled code")
def test_the_hint_is_in_the_code():
    kernel = elementwise.elementwise_kernel(formulas.subtract, variant("float64"))
    source = kernel.details[2]
    assert "pipeline_class=line_by_line(8)" in Path(source.__file__).read_text(encoding="utf-8")

    from numba import njit

    @njit("void(int64, float64[::1])", pipeline_class=streaming.line_by_line(8))
    def twice(rows, x):
        for _ in range(rows):
            for i in range(x.size):
                x[i] = x[i] + x[i]

    x = np.ones(37)
    twice(2, x)
    assert (x == 4).all()


@pytest.mark.parametrize("dtype", ["float32", "float64", "int8", "int32", "uint64"])
def test_every_length(dtype):
    random = np.random.default_rng(4)
    for size in (*range(18), 31, 32, 33, 63, 64, 65, 130, 1001):
        x, y = random.integers(0, 60, (2, size)).astype(dtype)
        expected = x + y
        assert np.array_equal(cpu.apply(formulas.add, x, y), expected)
        cpu.apply(formulas.add, x, y, out=y)
        assert np.array_equal(y, expected)
    line = random.integers(0, 60, 140).astype(dtype)
    expected = line[:130] + line[3:133]
    cpu.apply(formulas.add, line[:130], line[3:133], out=line[1:131])  # overlapping: as if from copies
    assert np.array_equal(line[1:131], expected)
