"""Elementwise kernels on the GPU (or in the simulator) against the CPU's: shapes, strides, dtypes, memory that exists."""

from __future__ import annotations

import numpy as np
import pytest
from cuda_support import cpu, cuda, needs_cuda

from kernels import formulas
from kernels.cuda.array import BFLOAT16, DeviceArray, empty
from kernels.cuda.elementwise import _kernels, plan_for
from kernels.layout import layout_of

pytestmark = needs_cuda

SHAPES = [(), (0,), (1,), (3, 0, 2), (33,), (1, 257), (257, 1), (33, 65), (1023,), (1024,), (1025,), (4099,), (2, 3, 5, 7), (3, 4, 4, 8)]


def numbers(shape, dtype=np.float32, seed=0):
    values = np.random.default_rng(seed).normal(size=shape)
    return (values * 5).astype(dtype) if np.dtype(dtype).kind in "iu" else values.astype(dtype)


def check(formula, *operands, **options):
    """Equal to the CPU's result, and the operands are left alone."""
    there = [cuda().from_numpy(o) if isinstance(o, np.ndarray) else o for o in operands]
    got = cuda().to_numpy(cuda().apply(formula, *there, **options))
    expected = cpu().apply(formula, *operands, **options)
    assert got.dtype == expected.dtype and got.shape == expected.shape
    np.testing.assert_allclose(got, expected, rtol=1e-6, atol=1e-6)
    for array, operand in zip(there, operands, strict=True):
        if isinstance(operand, np.ndarray):
            assert np.array_equal(array.numpy(), operand)


@pytest.mark.parametrize("source", ["float32", "float64", "float16"])
@pytest.mark.parametrize("target", ["uint8", "uint16", "uint32", "uint64"])
def test_negative_floats_wrap_around_in_unsigned_types(source, target):
    values = np.array([0, -1, -2.9, -200, 3.7, 200, -0.5] * 80, source)
    expected = values.astype(np.int64).astype(target)
    there = cuda().from_numpy(values)
    assert np.array_equal(cuda().copy(there, target).numpy(), expected)
    assert np.array_equal(cuda().copy(there[::-1], target).numpy(), expected[::-1])
    made = [kernel.source for (formula, variant), kernel in _kernels.items() if variant.inputs == (source,) and variant.compute == target]
    assert made and all("real(int64(" in text for text in made)  # the instruction itself gives 0, which no simulator shows


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_shapes(shape):
    check(formulas.add, numbers(shape), numbers(shape, seed=1))
    check(formulas.multiply, numbers(shape, np.float64), 2.5)


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64", "float32", "float64"])
def test_dtypes(dtype):
    for size in (5, 700, 2049):
        x, y = numbers(size, dtype), numbers(size, dtype, 1)
        check(formulas.multiply, x, y)
        check(formulas.maximum, x, y)
        check(formulas.less, x, y)
        check(formulas.where, x > y, x, y)
        check(formulas.positive, x, dtype=np.float32)


def test_bools():
    x, y = numbers(2051) > 0, numbers(2051, seed=1) > 0
    check(formulas.logical_and, x, y)
    check(formulas.logical_not, x)
    check(formulas.positive, x, dtype=np.float32)
    check(formulas.positive, numbers(2051).round(), dtype=np.bool_)


def places(shape):
    """Views of device arrays with the elements of a fresh array, in many layouts: (name, view, values)."""
    rows, columns = shape
    base = numbers((2 * rows + 3, 2 * columns + 4))
    there = cuda().from_numpy(base)
    for name, key in {
        "part": (slice(1, rows + 1), slice(2, columns + 2)),
        "aligned part": (slice(1, rows + 1), slice(4, columns + 4)),
        "gaps": (slice(0, 2 * rows, 2), slice(1, 2 * columns + 1, 2)),
        "negative": (slice(rows, 0, -1), slice(columns + 1, 1, -1)),
        "negative rows": (slice(rows, 0, -1), slice(0, columns)),
    }.items():
        yield name, there[key], base[key]
    square = numbers((columns, rows))
    yield "transposed", cuda().from_numpy(square).T, square.T
    row = numbers((columns,))
    yield "row", cuda().from_numpy(row).broadcast_to(shape), np.broadcast_to(row, shape)
    column = numbers((rows, 1))
    yield "column", cuda().from_numpy(column).broadcast_to(shape), np.broadcast_to(column, shape)
    one = numbers((1, 1))
    yield "one", cuda().from_numpy(one).broadcast_to(shape), np.broadcast_to(one, shape)


@pytest.mark.parametrize("shape", [(5, 7), (9, 64), (40, 36)], ids=str)
def test_every_pair_of_layouts(shape):
    plain = numbers(shape, seed=3)
    for name, x, values in places(shape):
        got = cuda().to_numpy(cuda().apply(formulas.subtract, x, cuda().from_numpy(plain)))
        assert np.array_equal(got, values - plain), name
        for other, y, more in places(shape):
            got = cuda().to_numpy(cuda().apply(formulas.subtract, x, y))
            assert np.array_equal(got, values - more), (name, other)


def test_broadcasting_in_the_middle():
    x, y, z = numbers((4, 1, 8)), numbers((3, 1), seed=1), numbers((4, 3, 8), seed=2)
    check(formulas.add, x, y)
    check(formulas.where, z > 0, x, y)
    with pytest.raises(ValueError, match="do not broadcast"):
        cuda().apply(formulas.add, cuda().from_numpy(x), cuda().from_numpy(numbers((5, 7))))


def test_results_keep_the_order_of_transposed_operands():
    x = cuda().from_numpy(numbers((6, 8, 4))).transpose(2, 0, 1)
    out = cuda().apply(formulas.exp, x)
    assert out.strides == x.strides


@pytest.mark.parametrize("place", ["fresh", "operand", "overlapping", "transposed", "gaps", "misaligned"])
def test_results_in_memory_that_exists(place):
    values = numbers((40, 40))
    base = np.zeros((100, 101), np.float32)
    there = cuda().from_numpy(base)
    x = cuda().from_numpy(values)
    out = {
        "fresh": lambda: empty((40, 40), np.float32),
        "operand": lambda: x,
        "overlapping": lambda: x[::-1],
        "transposed": lambda: x.T,
        "gaps": lambda: there[:80:2, 1:81:2],
        "misaligned": lambda: there[:40, 1:41],
    }[place]()
    result = cuda().apply(formulas.multiply, x, 3.0, out=out)
    assert result is out and np.array_equal(cuda().to_numpy(out), values * np.float32(3))
    if place in ("gaps", "misaligned"):
        key = (slice(0, 80, 2), slice(1, 81, 2)) if place == "gaps" else (slice(0, 40), slice(1, 41))
        base[key] = values * np.float32(3)
        assert np.array_equal(cuda().to_numpy(there), base), "elements beside the result were written"


def test_several_results_overwrite_operands():
    """Adam's update: three arrays overwritten in one launch."""
    arrays = [np.abs(numbers((7, 33), seed=k)) for k in range(4)]
    options = dict(lr=0.1, beta1=0.9, beta2=0.99, eps=1e-3, weight_decay=0.05, bias_correction1=0.19, bias_correction2=0.02)
    there = [cuda().from_numpy(a) for a in arrays]
    cuda().apply(formulas.adamw, *there, out=(there[0], there[2], there[3]), **options)
    cpu().apply(formulas.adamw, *arrays, out=(arrays[0], arrays[2], arrays[3]), **options)
    for mine, theirs in zip(there, arrays, strict=True):
        np.testing.assert_allclose(mine.numpy(), theirs, rtol=1e-6, atol=1e-7)


def test_half_precision_storage():
    """Computed in float32, rounded once."""
    x, y = numbers(2050).astype(np.float16), numbers(2050, seed=1).astype(np.float16)
    for formula in (formulas.multiply, formulas.add):
        got = cuda().apply(formula, cuda().from_numpy(x), cuda().from_numpy(y))
        expected = cpu().apply(formula, x.astype(np.float32), y.astype(np.float32)).astype(np.float16)
        assert got.dtype == np.float16 and np.array_equal(got.numpy(), expected)
    got = cuda().apply(formulas.gelu, cuda().from_numpy(x)).numpy()
    assert np.abs(got - cpu().apply(formulas.gelu, x.astype(np.float32))).max() < 2e-3


def bfloat16(values):
    """Rounded to nearest even, as bits."""
    bits = np.asarray(values, np.float32).view(np.uint32).astype(np.uint64)
    return ((bits + 0x7FFF + ((bits >> np.uint64(16)) & np.uint64(1))) >> np.uint64(16)).astype(np.uint16)


def test_bfloat16_storage():
    bits = bfloat16(numbers(2050))
    values = (bits.astype(np.uint32) << 16).view(np.float32)
    x = cuda().from_numpy(bits.view(BFLOAT16))
    out = cuda().apply(formulas.multiply, x, x)
    assert out.dtype == BFLOAT16 and np.array_equal(out.numpy().view(np.uint16), bfloat16(values * values))
    assert np.array_equal(cuda().to_numpy(cuda().copy(x, np.float32)), values)
    with pytest.raises(TypeError, match="do not mix"):
        cuda().apply(formulas.add, x, cuda().from_numpy(values))


def test_special_values_go_through():
    x = np.array([np.nan, np.inf, -np.inf, -0.0, 0.0, 1e-45, 3e38] * 300, np.float32)
    for formula in (formulas.exp, formulas.tanh, formulas.relu, formulas.sigmoid, formulas.sqrt, formulas.log, formulas.isnan):
        got = cuda().to_numpy(cuda().apply(formula, cuda().from_numpy(x)))
        expected = cpu().apply(formula, x)
        np.testing.assert_allclose(got, expected, rtol=1e-6, err_msg=formula.name)
        if expected.dtype.kind == "f":
            numeric = ~np.isnan(expected)
            assert np.array_equal(np.signbit(got[numeric]), np.signbit(expected[numeric])), formula.name


def test_refusals():
    x = cuda().from_numpy(numbers(4))
    with pytest.raises(TypeError, match="takes 2 operands"):
        cuda().apply(formulas.add, x)
    with pytest.raises(TypeError, match="at least one operand must be an array"):
        cuda().apply(formulas.add, 1.0, 2.0)
    with pytest.raises(TypeError, match=r"kernels\.cuda\.from_numpy"):
        cuda().apply(formulas.add, x, numbers(4))
    with pytest.raises(TypeError, match="not defined on bool"):
        cuda().apply(formulas.exp, cuda().from_numpy(np.ones(3, bool)), dtype=bool)
    with pytest.raises(OverflowError, match="out of bounds for int8"):
        cuda().apply(formulas.add, cuda().from_numpy(np.ones(3, np.int8)), 300)
    with pytest.raises(ValueError, match="out must be 1 array"):
        cuda().apply(formulas.exp, x, out=empty((5,), np.float32))
    with pytest.raises(ValueError, match="read-only"):
        cuda().apply(formulas.exp, x, out=x.broadcast_to((4,)))


def test_plans_and_kernels_are_made_once():
    x = cuda().from_numpy(numbers(100))
    cuda().apply(formulas.exp, x)
    plans, kernels = plan_for.__globals__["_plans"], len(_kernels)
    before = len(plans)
    for _ in range(3):
        cuda().apply(formulas.exp, cuda().from_numpy(numbers(100)))
    assert (len(plans), len(_kernels)) == (before, kernels)
    assert isinstance(cuda().apply(formulas.exp, x), DeviceArray) and layout_of(x).device == "cuda:0"
