"""Reductions on the GPU against the CPU's kernels: values, layouts, special numbers, parts of long rows, errors."""

import itertools
from typing import Any

import numpy as np
import pytest
from cuda_support import cuda, needs_cuda

from kernels.cpu import reduce as cpu_reduce
from kernels.cuda import argreduce, reduce_operations, reduce_plan
from kernels.cuda import reduce as cuda_reduce
from kernels.cuda.array import BFLOAT16

pytestmark = needs_cuda
F32, F64 = np.float32, np.float64
FLOAT_NAMES = ("sum", "prod", "mean", "var", "std", "max", "min", "any", "all", "count_nonzero", "logsumexp", "norm")
SUMS = ("sum", "mean", "shifted_mean")


def data(shape, dtype: Any = F32, seed=0):
    random = np.random.default_rng(seed)
    if np.dtype(dtype).kind == "f":
        return np.asarray(random.normal(size=shape)).astype(dtype)
    if dtype == np.bool_:
        return random.random(shape) < 0.7
    information = np.iinfo(dtype)
    return random.integers(max(information.min, -100), min(information.max, 100), shape, dtype=dtype, endpoint=True)


def compare(name, x, axis=None, keepdims=False, view=None, **options):
    """The same on both devices, of an array or of a view of it; the input stays as it is."""
    there = cuda().from_numpy(x)
    here, given = (x, there) if view is None else (view(x), view(there))
    with np.errstate(all="ignore"):
        expected = getattr(cpu_reduce, name)(here, axis=axis, keepdims=keepdims, **options)
    result = getattr(cuda_reduce, name)(given, axis=axis, keepdims=keepdims, **options)
    assert result.shape == expected.shape and result.dtype == expected.dtype, (name, here.shape, axis)
    assert result.flags.c_contiguous and result.flags.writeable
    np.testing.assert_array_equal(there.numpy(), x)
    values = result.numpy()
    if expected.dtype.kind != "f" or name in ("max", "min"):
        np.testing.assert_array_equal(values, expected, err_msg=f"{name} {here.shape} {axis}")
        return
    epsilon, scale = np.finfo(x.dtype).eps, 1.0
    if name in SUMS and here.size and np.isfinite(here).all():
        scale = float(np.abs(here, dtype=F64).sum()) / max(expected.size, 1) ** (name == "sum") / here.size ** (name == "mean")
    message = f"{name} {here.shape} {axis}"
    np.testing.assert_allclose(values, expected, rtol=24 * epsilon, atol=4 * epsilon * max(scale, 1), err_msg=message)


@pytest.fixture
def small_parts(monkeypatch):
    """Cut rows of a few hundred elements into parts, and have plans made anew."""
    for name, value in [("PART", 128), ("FULL", 8), ("MOST_PARTS", 8), ("LONG", 512)]:
        monkeypatch.setattr(reduce_plan, name, value)
    monkeypatch.setattr(argreduce, "_MOST_PARTS", 8)
    monkeypatch.setattr(reduce_operations, "_calls", {})
    monkeypatch.setattr(argreduce, "_calls", {})


# --- values and layouts ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FLOAT_NAMES)
def test_shapes_and_axes(name):
    shapes = [(1, 7), (3, 5, 7)]
    if name == "sum":
        shapes += [(1,), (7, 1), (7, 33), (33, 8), (2, 3, 5, 4)]
    for shape in shapes:
        for count in range(len(shape) + 1):
            for axis in itertools.combinations(range(len(shape)), count):
                compare(name, data(shape), axis, keepdims=count == 1)
    compare(name, data((4, 5)))
    compare(name, data((4, 5)), -1, True)
    compare(name, data(()))


@pytest.mark.parametrize("size", [3, 4, 31, 32, 33, 127, 129, 255, 257, 1023, 1024, 1025, 2049])
def test_sizes(size):
    """Around every boundary between loads, warps and blocks, along rows and down columns."""
    compare("sum", data(size))
    compare("sum", data((3, size)), 1)
    compare("max", data((2, size + 3)), 1, view=lambda a: a[:, 2:-1])  # rows begin anywhere in 16 bytes
    compare("argmax", data((2, size + 3), np.int16), 1, view=lambda a: a[:, 2:-1])
    if size < 2000:
        compare("sum", data((size, 5)), 0)
        compare("max", data((size, 8)), 0)
        compare("argmax", data((2, size), np.int8), 1)
        compare("argmin", data((size, 4), np.int8), 0)


def test_many_outputs():
    for name in ("sum", "argmax"):
        compare(name, data((1100, 4)), 1)
        compare(name, data((300, 3)), 1)
        compare(name, data((2, 1300)), 0)
        compare(name, data((30, 4, 32)), 1)
        compare(name, data((40, 3, 7)), 1)


def test_many_rows(monkeypatch):
    """Where rows are many, a lane of a warp has several loads under way."""
    monkeypatch.setattr(reduce_plan, "MANY", 1)
    monkeypatch.setattr(reduce_operations, "_calls", {})
    monkeypatch.setattr(argreduce, "_calls", {})
    for shape in [(70, 10), (300, 3), (20, 101), (20, 256), (9, 257), (5, 40)]:
        for name in ("sum", "max", "argmax"):
            compare(name, data(shape), 1)
        compare("sum", data(shape, np.int8), 1)


def test_numbers_of_64_bits(monkeypatch):
    """The kernels for more than 2**31 outputs or elements, on few."""
    monkeypatch.setattr(reduce_plan, "NARROW", 1)
    monkeypatch.setattr(reduce_operations, "_calls", {})
    monkeypatch.setattr(argreduce, "_calls", {})
    for shape, axis in [((3, 5, 8), (0, 2)), ((3, 5, 8), 1), ((2, 1500), 1), ((40, 3), 0), ((2, 3, 5, 7), (0, 2))]:
        compare("sum", data(shape), axis)
    for shape, axis in [((3, 5, 8), 1), ((2, 1500), 1), ((40, 3), 0)]:
        compare("argmax", data(shape), axis)


def stretched(a, shape):
    return np.broadcast_to(a, shape) if isinstance(a, (np.ndarray, np.generic)) else a.broadcast_to(shape)


VIEWS = [
    lambda a: a.T,
    lambda a: a[::-1],
    lambda a: a[:, ::-1],
    lambda a: a[::2, 1::3],
    lambda a: a[::-2, ::-3],
    lambda a: a[:, 3:],
    lambda a: stretched(a[:1], (5, a.shape[1])),
    lambda a: stretched(a[:, :1], (a.shape[0], 40)),
    lambda a: stretched(a[0, 0], (3, 4)),
    lambda a: a.reshape(2, -1, a.shape[1]).transpose(2, 0, 1),
    lambda a: a.reshape(4, 3, 4, 9)[:, :, ::-1, 1:].transpose(2, 0, 3, 1),
]


@pytest.mark.parametrize("name", ["sum", "var"])
def test_strides(name):
    for view in VIEWS:
        for axis in (None, 0, -1, (0, 1)):
            compare(name, data((12, 36)), axis, view=view)


def test_strides_of_places():
    for view in VIEWS:
        for axis in (None, 0, 1):
            compare("argmax", data((12, 36), np.int8), axis, view=view)


def test_more_dimensions_than_a_kernel_has():
    x = data((2,) * 9)
    for axis in [tuple(range(0, 9, 2)), tuple(range(1, 9, 2)), (0, 8), 5]:
        compare("sum", x, axis)
        compare("var", x, axis, view=lambda a: a.transpose(*range(1, 9), 0))
    for axis in (None, 4):
        compare("argmax", x, axis, view=lambda a: a.transpose(0, 5, 1, 6, 2, 7, 3, 8, 4))


@pytest.mark.parametrize(
    ("dtype", "names"),
    [
        (np.int8, ("sum", "min", "argmax")),
        (np.uint8, ("max", "prod", "all")),
        (np.int16, ("max", "count_nonzero", "argmin")),
        (np.uint32, ("sum", "min", "max")),
        (np.int64, ("sum", "any", "max", "argmax")),
        (np.uint64, ("prod", "min")),
        (np.bool_, ("sum", "prod", "min", "max", "any", "all", "count_nonzero", "argmin")),
        (F64, ("sum", "max", "std", "logsumexp", "norm", "argmax")),
    ],
)
def test_types(dtype, names):
    for name in names:
        x = data((4, 32), dtype)
        for axis in (0, 1):
            compare(name, x, axis)
        compare(name, data((2, 301), dtype), 1)


@pytest.mark.parametrize("dtype", ["int32", "uint64", "int8"])
def test_extremes_of_integer_types(dtype):
    information = np.iinfo(dtype)
    x = np.array([[information.min, information.max, 3], [information.min] * 3, [information.max] * 3], dtype)
    for name in ("max", "min", "argmax", "argmin"):
        for axis in (0, 1, None):
            compare(name, x, axis)


def test_norms():
    for order in (1, 2, 0, np.inf, -np.inf, 3, 0.5, -1):
        for axis in (0, None):
            compare("norm", data((9, 37)) + F32(0.01), axis, ord=order)


@pytest.mark.parametrize("dtype", [np.dtype(np.float16), BFLOAT16])
def test_halves(dtype):
    """Computed in float32, rounded once."""
    x = data((3, 72)) + 2
    bits = x.view(np.uint32) >> 16 if dtype == BFLOAT16 else x.astype(np.float16).view(np.uint16)
    stored = bits.astype(np.uint16)
    wide = (stored.astype(np.uint32) << 16).view(F32) if dtype == BFLOAT16 else stored.view(np.float16).astype(F32)
    array = cuda().from_numpy(stored.view(dtype))
    for name in ("sum", "mean", "std", "max", "all", "logsumexp", "norm", "argmax"):
        for axis in (0, 1, None):
            expected = getattr(cpu_reduce, name)(wide, axis=axis)
            result = getattr(cuda_reduce, name)(array, axis=axis)
            if expected.dtype.kind != "f":
                np.testing.assert_array_equal(result.numpy(), expected)
                continue
            assert result.dtype == dtype
            found = np.array(result.tolist(), F32)
            np.testing.assert_allclose(found, expected, rtol=4.1e-3 if dtype == BFLOAT16 else 5e-4)
    assert np.isnan(cuda_reduce.mean(array[:0], axis=0).tolist()).all()
    assert cuda_reduce.sum(array[:0]).item() == 0


# --- long rows ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["sum", "max", "std", "logsumexp", "norm", "any", "argmax", "argmin"])
def test_parts(name, small_parts):
    cases = [((2, 1500), 1), ((900, 3), 0)]
    if name in ("sum", "argmax"):
        cases += [((1501,), None), ((2, 3, 700), 2), ((300, 2, 4), 0), ((2, 300, 8), 1)]
    for shape, axis in cases:
        compare(name, data(shape), axis)
    compare(name, data((2, 1503)), 1, view=lambda a: a[:, 1:])
    compare(name, data((40, 40)), None, view=lambda a: a[:, :-1])
    if name == "norm":
        compare(name, data((2, 1500)), 1, ord=3)
        compare(name, data((1500, 2)), 0, ord=3)


def test_places_in_parts(small_parts):
    x = np.zeros((3000,), F32)
    assert cuda_reduce.argmax(cuda().from_numpy(x)).item() == 0
    x[2100] = x[2900] = 1
    assert cuda_reduce.argmax(cuda().from_numpy(x)).item() == 2100
    x[1700] = x[2950] = np.nan
    assert cuda_reduce.argmax(cuda().from_numpy(x)).item() == cuda_reduce.argmin(cuda().from_numpy(x)).item() == 1700


def test_parts_of_their_true_size():
    compare("sum", data(35_001))
    compare("argmax", data(33_000, np.int8))


def test_sums_are_exact_where_they_can_be():
    ones = cuda().from_numpy(np.ones(1, F32))
    for shape, axis in [((50_000,), 0), ((10_000, 3), 0), ((2, 33_000), 1)]:
        result = cuda_reduce.sum(ones.broadcast_to(shape), axis=axis).numpy()
        np.testing.assert_array_equal(result, np.full(result.shape, shape[axis], F32))


def test_no_thread_adds_up_too_many():
    """At most some hundred additions one after the other in a thread, whatever the size: that bounds the error of a sum."""
    for shape, axes in [((10**7,), (0,)), ((10**10,), (0,)), ((5000, 10**7), (1,)), ((10**9, 3), (0,)), ((10**8, 10**5), (0,))]:
        geometry = reduce_plan.Geometry(shape, tuple(int(np.prod(shape[a + 1 :])) for a in range(len(shape))), axes)
        if geometry.columns:
            lanes, _, parts, rows = reduce_plan.column_parts(geometry, 1, 8, 4096)
            assert rows <= 512 * 8 * (256 >> lanes)
        else:
            parts, length = reduce_plan.row_parts(geometry, np.dtype(F32), 4096)
            assert length <= (1 << 18) + 4096
        assert parts > 1


def test_accuracy():
    x = np.random.default_rng(0).random(40_003, F32)
    exact = x.sum(dtype=F64)
    assert abs(cuda_reduce.sum(cuda().from_numpy(x)).item() - exact) <= 2 * np.spacing(F32(exact))


# --- special numbers ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["sum", "max", "min", "var", "logsumexp", "norm", "argmax", "argmin"])
def test_nan_and_infinity(name):
    for value, other in [(np.nan, 1), (np.inf, 1), (-np.inf, 1), (np.inf, -np.inf), (np.nan, np.inf)]:
        for place in (0, 8):
            x = np.ones((9, 4), F32)
            x[place, 2] = value
            x[(place + 1) % 9, 2] = other
            for axis in (0, 1):
                compare(name, x, axis)


def test_logsumexp_special_rows():
    inf = np.inf
    rows = np.array([[-inf, -inf], [inf, 0], [-inf, 3], [1e4, 1e4], [-1e4, -1e4], [np.nan, inf]], F32)
    compare("logsumexp", rows, 1)
    compare("logsumexp", np.repeat(rows.T, 9, 1), 0)


def test_extremes_of_negatives():
    for size in (1, 3, 70, 1500):
        x = -1 - np.arange(size, dtype=F32)
        compare("max", x)
        compare("max", np.tile(x[:, None], 6), 0)
    compare("min", np.full(5, np.inf, F32))


def test_spread():
    for shape, axis in [((3, 400), 1), ((400, 20), 0), ((1500,), None)]:
        x = (1e6 + np.random.default_rng(0).normal(size=shape)).astype(F32)  # the mean is a million standard deviations
        result = cuda_reduce.var(cuda().from_numpy(x), axis=axis).numpy()
        np.testing.assert_allclose(result, np.var(x.astype(F64), axis=axis), rtol=1e-5)
        constant = np.full(shape, 0.1, F32)
        np.testing.assert_array_equal(cuda_reduce.std(cuda().from_numpy(constant), axis=axis).numpy(), 0)
    for correction in (0, 1, 0.5, 3, 4):
        compare("var", data((3, 4)), 0, correction=correction)
    compare("std", data((1, 4)), 0, correction=1)


def test_no_elements():
    for name in ("sum", "prod", "any", "all", "count_nonzero", "logsumexp", "mean", "var", "std", "norm"):
        for shape, axis in [((0,), None), ((0, 3), 0), ((0, 3), 1), ((3, 0), 1), ((2, 0, 4), (0, 1))]:
            compare(name, np.zeros(shape, F32), axis)
    for name in ("max", "argmax"):
        compare(name, np.zeros((0, 3), F32), 1)


def test_same_bits_every_time(small_parts):
    x = cuda().from_numpy(data((2, 1500)))
    for name in ("sum", "var", "logsumexp"):
        assert getattr(cuda_reduce, name)(x).numpy().tobytes() == getattr(cuda_reduce, name)(x).numpy().tobytes()


# --- errors ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "x", "options"),
    [
        ("sum", np.zeros((2, 3), F32), {"axis": 2}),
        ("sum", np.zeros((2, 3), F32), {"axis": (0, -2)}),
        ("sum", np.zeros((2, 3), F32), {"axis": 1.5}),
        ("sum", np.array(1.0), {"axis": 0}),
        ("sum", np.zeros(3, np.complex64), {}),
        ("mean", np.zeros(3, np.int32), {}),
        ("logsumexp", np.zeros(3, np.int32), {}),
        ("norm", np.zeros(3, np.bool_), {}),
        ("norm", np.zeros(3, F32), {"ord": "fro"}),
        ("var", np.zeros(3, F32), {"correction": True}),
        ("max", np.zeros((0, 3), F32), {"axis": 0}),
        ("max", np.zeros((0,), F32), {}),
        ("norm", np.zeros((0,), F32), {"ord": np.inf}),
        ("argmax", np.zeros((0, 3), F32), {"axis": 0}),
        ("argmin", np.zeros((0, 3), F32), {}),
        ("argmax", np.zeros((2, 3), F32), {"axis": (0, 1)}),
        ("argmax", np.zeros((2, 3), F32), {"axis": -3}),
    ],
)
def test_errors_are_those_of_the_cpu(name, x, options):
    with pytest.raises(Exception) as expected:
        getattr(cpu_reduce, name)(x, **options)
    with pytest.raises(type(expected.value)) as found:
        getattr(cuda_reduce, name)(cuda().from_numpy(x), **options)
    assert str(found.value) == str(expected.value)


def test_arrays_of_the_host_are_refused():
    for name in (*FLOAT_NAMES, "argmax"):
        with pytest.raises(TypeError, match=f"{name}: expected an array on the device, got ndarray"):
            getattr(cuda_reduce, name)(np.zeros(3, F32))
