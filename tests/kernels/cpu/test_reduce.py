"""Reductions against NumPy in float64: values, layouts, special numbers, errors, thread counts."""

import itertools
import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernels import launch
from kernels.cpu import reduce

F32, F64 = np.float32, np.float64


def reference(name, x, axis=None, keepdims=False, **options):
    """NumPy's result, computed in float64 where x is a float."""
    wide = x.astype(F64) if x.dtype.kind == "f" else x
    if name in ("var", "std"):
        return getattr(np, name)(wide, axis=axis, ddof=options.get("correction", 0), keepdims=keepdims)
    if name == "logsumexp":
        return np.logaddexp.reduce(wide, axis=axis, keepdims=keepdims)
    if name == "norm":
        order = options.get("ord", 2)
        if order == 0:
            return np.sum(wide != 0, axis=axis, keepdims=keepdims)
        if np.isinf(order):
            return (np.max if order > 0 else np.min)(np.abs(wide), axis=axis, keepdims=keepdims)
        return np.sum(np.abs(wide) ** order, axis=axis, keepdims=keepdims) ** (1 / order)
    return getattr(np, name)(wide, axis=axis, keepdims=keepdims)


def compare(name, x, axis=None, keepdims=False, **options):
    """Our result against the reference; inputs unchanged; errors bounded by what sums of this size may have."""
    before = x.copy()
    with np.errstate(all="ignore"):
        expected = np.asarray(reference(name, x, axis, keepdims, **options))
    result = getattr(reduce, name)(x, axis=axis, keepdims=keepdims, **options)
    np.testing.assert_array_equal(x, before)
    assert isinstance(result, np.ndarray) and result.flags.c_contiguous and result.flags.writeable
    assert result.shape == expected.shape, (name, x.shape, axis, keepdims)
    if x.dtype.kind == "f" and name not in ("any", "all", "count_nonzero"):
        assert result.dtype == x.dtype
        epsilon = np.finfo(x.dtype).eps
        scale = 1.0
        if name in ("sum", "mean") and x.size:
            scale = max(1.0, float(np.abs(x, dtype=F64).sum()) / max(expected.size, 1) if name == "sum" else np.abs(x).max())
        np.testing.assert_allclose(
            result, expected, rtol=24 * epsilon, atol=4 * epsilon * scale, err_msg=f"{name} {x.shape} {axis}"
        )
    else:
        assert result.dtype == expected.dtype
        np.testing.assert_array_equal(result, expected)


def data(shape, dtype=F32, seed=0):
    random = np.random.default_rng(seed)
    if np.dtype(dtype).kind == "f":
        return random.normal(size=shape).astype(dtype)
    if dtype == np.bool_:
        return random.random(shape) < 0.7
    information = np.iinfo(dtype)
    return random.integers(max(information.min, -100), min(information.max, 100), shape, dtype=dtype, endpoint=True)


@pytest.fixture
def parallel(monkeypatch):
    """Every launch on as many threads as there are."""
    monkeypatch.setattr(launch, "parallel_work", 0)


FLOAT_NAMES = ("sum", "prod", "mean", "var", "std", "max", "min", "any", "all", "count_nonzero", "logsumexp", "norm")
SHAPES = [(1, 7), (7, 1), (33, 1000), (1000, 33), (13, 17, 19), (2, 3, 5, 7), (1, 1), (64, 10), (5,)]


@pytest.mark.parametrize("name", FLOAT_NAMES)
def test_shapes_and_axes(name):
    for shape in SHAPES:
        x = data(shape)
        axes = [None, (), *(axis for count in (1, 2, 3) for axis in itertools.combinations(range(len(shape)), count))]
        for axis in axes:
            for keepdims in (False, True):
                compare(name, x, axis, keepdims)
        compare(name, x, -1)


@pytest.mark.parametrize("size", [1, 2, 15, 16, 63, 64, 65, 1023, 1024, 1025, 2049, 65_537, 200_003, 1_000_000])
def test_sizes(size):
    """Around every block boundary, along rows and down columns (T38)."""
    for name in ("sum", "max", "logsumexp"):
        x = data(size)
        compare(name, x)
        compare(name, x.reshape(-1, 1), 0)
        if size < 100_000:
            compare(name, data((size, 5)), 0)
            compare(name, data((3, size)), 1)


def test_long_reductions_in_parts():
    """Few outputs and many elements: cut into parts, in every loop, with every kind of finish."""
    for name in ("sum", "max", "logsumexp"):
        compare(name, data((3, 150_000)), 1)
        compare(name, data((3, 500, 300)), (0, 2))
        compare(name, data((300, 3, 400)), (0, 2))
        compare(name, data((20_000, 24)), 0)
        compare(name, data((40, 100, 48)), (0, 1))
    compare("std", data((3, 150_000)), 1)
    compare("norm", data((20_000, 24)), 0)
    compare("norm", data((20_000, 24)), 0, ord=3)


def test_float64():
    for name in ("sum", "max", "var", "logsumexp"):
        compare(name, data((40, 30), F64))
    compare("sum", data((40, 30), F64), 0)


@pytest.mark.parametrize(
    ("dtype", "names"),
    [
        (np.int8, ("sum", "min")),
        (np.uint8, ("max", "prod")),
        (np.int64, ("sum", "any")),
        (np.bool_, ("sum", "min", "max", "any", "all", "count_nonzero")),
    ],
)
def test_integers_and_bool(dtype, names):
    x = data((6, 9), dtype)
    for name in names:
        compare(name, np.clip(x, 1, 2) if name == "prod" and dtype != np.bool_ else x)
    for axis in (0, 1):
        compare(names[0], x, axis)


@pytest.mark.parametrize("dtype", ["int32", "uint64"])
def test_extremes_of_integer_types(dtype):
    information = np.iinfo(dtype)
    x = np.array([information.min, information.max, 3], dtype)
    assert reduce.max(x) == information.max and reduce.min(x) == information.min
    assert reduce.max(x[:1]) == information.min and reduce.min(x[1:2]) == information.max
    assert reduce.max(x).dtype == x.dtype and reduce.sum(x).dtype == (np.uint64 if dtype[0] == "u" else np.int64)
    np.testing.assert_array_equal(reduce.sum(x), x.sum())


def views(x):
    """The same numbers, and other numbers, laid out in all the ways a caller may hand over."""
    yield x.T
    yield np.asfortranarray(x)
    yield x[::-1]
    yield x[:, ::-1]
    yield x[::2, 1::3]
    yield x[::-2, ::-3]
    yield np.broadcast_to(x[:1], (5, x.shape[1]))
    yield np.broadcast_to(x[:, :1], (x.shape[0], 40))
    yield np.broadcast_to(x[0, 0], (3, 4))
    yield x.reshape(2, -1, x.shape[1]).transpose(2, 0, 1)
    yield np.lib.stride_tricks.sliding_window_view(x[0], 5)
    yield x.view(x.dtype.newbyteorder("=")) if x.dtype.isnative else x
    packed = np.zeros(x.shape, [("tag", "i1"), ("value", x.dtype)])  # strides that are no multiple of the element size
    packed["value"] = x
    yield packed["value"]


@pytest.mark.parametrize("name", ["sum", "max", "var", "logsumexp", "count_nonzero"])
def test_strides(name):
    for x in views(data((24, 37))):
        for axis in (None, 0, -1, tuple(range(x.ndim))):
            compare(name, x, axis)


def test_no_elements():
    for name in ("sum", "prod", "any", "all", "count_nonzero", "logsumexp"):
        for shape, axis in [((0,), None), ((0, 3), 0), ((0, 3), 1), ((3, 0), 0), ((3, 0), 1), ((2, 0, 4), (0, 1))]:
            compare(name, np.zeros(shape, F32), axis)
    for name in ("mean", "var", "std"):
        assert np.isnan(getattr(reduce, name)(np.zeros((0, 3), F32), axis=0)).all()
        assert getattr(reduce, name)(np.zeros((0, 3), F32), axis=1).shape == (0,)
    assert reduce.max(np.zeros((0, 3), F32), axis=1).shape == (0,)
    assert reduce.norm(np.zeros((0,), F32)) == 0
    for name in ("max", "min", "argmax", "argmin"):
        with pytest.raises(ValueError, match=rf"{name}: the array of shape \(0, 3\) has no elements along axis 0"):
            getattr(reduce, name)(np.zeros((0, 3), F32), axis=0)
    with pytest.raises(ValueError, match="has no elements along axis None"):
        reduce.max(np.zeros((0,), F32))


def test_no_dimensions():
    for name in FLOAT_NAMES:
        compare(name, np.array(2.5, F32), ())
        compare(name, np.array(2.5, F32), None, True)
    assert reduce.argmax(np.array(2.5)) == 0


def test_extremes_of_negatives():
    for size in (1, 3, 70, 3000):
        x = -1 - np.arange(size, dtype=F32)
        assert reduce.max(x) == -1 and reduce.min(x) == -size
        np.testing.assert_array_equal(reduce.max(np.tile(x[:, None], 6), axis=0), np.full(6, -1, F32))
    assert reduce.max(np.full(5, -np.inf)) == -np.inf and reduce.min(np.full(5, np.inf)) == np.inf


@pytest.mark.parametrize("name", ["sum", "mean", "max", "min", "var", "logsumexp", "norm", "prod", "any"])
def test_nan_and_infinity(name):
    for value, other in [(np.nan, 1), (np.inf, 1), (-np.inf, 1), (np.inf, -np.inf), (np.nan, np.inf)]:
        for place in (0, 5, 70):
            x = np.ones((71, 6), F32)
            x[place, 2] = value
            x[(place + 1) % 71, 2] = other
            for axis in (0, 1, None):
                with np.errstate(all="ignore"):
                    expected = np.asarray(reference(name, x, axis))
                np.testing.assert_allclose(getattr(reduce, name)(x, axis=axis), expected, rtol=1e-5)


def test_logsumexp_special_rows():
    inf = np.inf
    rows = np.array([[-inf, -inf], [inf, 0], [-inf, 3], [1e4, 1e4], [-1e4, -1e4], [np.nan, inf]], F32)
    expected = np.array([-inf, inf, 3, 1e4 + np.log(2), -1e4 + np.log(2), np.nan], F32)
    np.testing.assert_allclose(reduce.logsumexp(rows, axis=1), expected, rtol=1e-7)
    np.testing.assert_allclose(reduce.logsumexp(np.repeat(rows.T, 9, 1), axis=0), np.repeat(expected, 9), rtol=1e-7)


def test_sums_are_exact_where_they_can_be():
    assert reduce.sum(np.ones(10_000_000, F32)) == 10_000_000
    np.testing.assert_array_equal(reduce.sum(np.ones((2_500_000, 4), F32), axis=0), np.full(4, 2_500_000, F32))
    assert reduce.mean(np.full(10_000_001, 3, F32)) == 3


def test_sums_are_at_least_as_accurate_as_numpys():
    ours, numpys = [], []
    for seed in range(20):
        x = np.random.default_rng(seed).random(1_000_003, F32)
        exact = x.sum(dtype=F64)
        ours.append(abs(float(reduce.sum(x)) - exact))
        numpys.append(abs(float(x.sum()) - exact))
    assert np.mean(ours) <= 1.5 * np.mean(numpys) + np.spacing(F32(5e5)) / 4
    columns = np.random.default_rng(1).random((1_000_003, 3), F32)
    assert np.abs(reduce.sum(columns, axis=0) - columns.sum(0, dtype=F64)).max() < 0.1


def test_spread_with_a_large_mean():
    random = np.random.default_rng(0)
    for shape, axis in [((3, 4000), 1), ((4000, 20), 0), ((300_000,), None)]:
        x = (1e6 + random.normal(size=shape)).astype(F32)  # the mean is a million standard deviations
        np.testing.assert_allclose(reduce.var(x, axis=axis), np.var(x.astype(F64), axis=axis), rtol=1e-5)
    x[0] = 1e8  # the first element, from which deviations are taken, is the odd one out
    np.testing.assert_allclose(reduce.std(x), np.std(x.astype(F64)), rtol=1e-4)


def test_spread_of_constants_is_zero():
    for value, size in itertools.product((0.1, 1e-30, 3e30, -7.7), (1, 3, 7, 1000, 200_001)):
        x = np.full(size, value, F32)
        assert reduce.std(x) == 0 and reduce.var(x) == 0
        assert (reduce.std(np.tile(x[:500, None], 20), axis=0) == 0).all()


def test_corrections():
    x = data((5, 8))
    for correction in (0, 1, 2.5):
        compare("var", x, 1, correction=correction)
        compare("std", x, 0, correction=correction)
    assert np.isnan(reduce.var(np.ones(1, F32), correction=1))
    assert np.isposinf(reduce.var(np.array([1, 2], F32), correction=3))


@pytest.mark.parametrize("order", [1, 2, 0, np.inf, -np.inf, 3, 2.5, 0.5])
def test_norms(order):
    x = data((30, 41))
    x[3, 4] = 0
    for axis in (None, 0, 1) if order == 3 else (None, 1):
        compare("norm", x, axis, ord=order)


@pytest.mark.parametrize("name", ["argmax", "argmin"])
@pytest.mark.parametrize("dtype", [F32, np.int8])
def test_places(name, dtype):
    random = np.random.default_rng(0)
    for shape in [(7,), (255,), (256,), (257,), (2049,), (33, 5), (5, 33), (3, 4, 600), (1, 9), (9, 1)]:
        x = random.integers(0, 5, shape).astype(dtype)  # many ties
        for y in (x, x.T, x[::-1], np.broadcast_to(x, (2, *shape)), x[..., ::2]):
            before = y.copy()
            for axis in (None, *range(-y.ndim, y.ndim)):
                for keepdims in (False, True):
                    expected = getattr(np, name)(y, axis=axis, keepdims=keepdims)
                    result = getattr(reduce, name)(y, axis=axis, keepdims=keepdims)
                    assert result.dtype == np.int64
                    np.testing.assert_array_equal(result, expected)
            np.testing.assert_array_equal(y, before)


def test_places_of_nan_and_infinity():
    for size, place in itertools.product((5, 300, 2000), (0, 2, 4)):
        x = np.arange(size, dtype=F32)
        x[place] = x[-1] = np.nan
        x[1] = np.inf
        for y, axis in ((x, None), (np.tile(x[:, None], 20), 0), (x[::-1], 0)):
            np.testing.assert_array_equal(reduce.argmax(y, axis=axis), np.argmax(y, axis=axis))
            np.testing.assert_array_equal(reduce.argmin(y, axis=axis), np.argmin(y, axis=axis))
    assert reduce.argmax(np.full(3, -np.inf)) == 0 and reduce.argmin(np.full(3, np.inf)) == 0
    assert reduce.argmax(np.array([-0.0, 0.0])) == 0 and reduce.argmin(np.array([0.0, -0.0])) == 0


def test_the_number_of_threads_changes_no_bit(monkeypatch):
    arrays = [
        (data(300_007), None),
        (data((40_000, 40)), 0),
        (data((900, 700)), 1),
        (data((6, 50, 900)), (0, 2)),
        (data((50, 60, 70)), 1),
    ]
    names = ("sum", "logsumexp", "max")
    serial = [getattr(reduce, name)(x, axis=axis) for x, axis in arrays for name in names]
    places = [getattr(reduce, name)(x, axis=0) for x, _ in arrays for name in ("argmax", "argmin")]
    monkeypatch.setattr(launch, "parallel_work", 0)
    for threads in range(1, launch.available_threads() + 1):
        monkeypatch.setattr(launch, "_threads", threads)
        shared = [getattr(reduce, name)(x, axis=axis) for x, axis in arrays for name in names]
        for one, other in zip(serial, shared, strict=True):
            assert one.tobytes() == other.tobytes()
        again = [getattr(reduce, name)(x, axis=0) for x, _ in arrays for name in ("argmax", "argmin")]
        for one, other in zip(places, again, strict=True):
            np.testing.assert_array_equal(one, other)


@st.composite
def reductions(draw):
    """An array of any layout, and axes of it."""
    shape = draw(st.lists(st.integers(0, 9), max_size=4))
    x = data(shape, seed=draw(st.integers(0, 99)))
    x = x.transpose(draw(st.permutations(range(x.ndim))))
    steps = [draw(st.sampled_from([1, 1, 2, -1, -3])) for _ in range(x.ndim)]
    x = x[(*(slice(None, None, step) for step in steps), ...)]
    if draw(st.booleans()):
        x = np.broadcast_to(x[..., None], (*x.shape, draw(st.integers(0, 5))))
    axis = draw(st.none() | st.lists(st.integers(0, max(x.ndim - 1, 0)), unique=True, max_size=x.ndim).map(tuple))
    return x, axis if x.ndim else None, draw(st.booleans())


@settings(max_examples=300, deadline=None)
@given(reductions(), st.sampled_from(["sum", "max", "var", "logsumexp", "count_nonzero", "argmax"]))
def test_any_layout(reduction, name):
    x, axis, keepdims = reduction
    if name == "argmax":
        axis = axis[0] if axis else None
        if x.size:
            np.testing.assert_array_equal(reduce.argmax(x, axis, keepdims), np.argmax(x, axis, keepdims=keepdims))
        return
    count = x.size if axis is None else np.prod([x.shape[a] for a in np.atleast_1d(axis)])
    if count or name not in ("max", "var"):
        compare(name, x, axis, keepdims)


def test_bad_axes():
    x = data((3, 4))
    for name in ("sum", "argmax"):
        with pytest.raises(np.exceptions.AxisError, match=f"{name}: axis 2 is out of bounds for array of dimension 2"):
            getattr(reduce, name)(x, axis=2)
        with pytest.raises(np.exceptions.AxisError, match=f"{name}: axis -3 is out of bounds"):
            getattr(reduce, name)(x, axis=-3)
        with pytest.raises(np.exceptions.AxisError, match="axis 0 is out of bounds for array of dimension 0"):
            getattr(reduce, name)(np.array(1.0), axis=0)
        with pytest.raises(TypeError, match=f"{name}: axis must be None"):
            getattr(reduce, name)(x, axis="rows")
    with pytest.raises(ValueError, match=r"sum: axis \(0, -2\) names a dimension twice for an array of 2 dimensions"):
        reduce.sum(x, axis=(0, -2))
    np.testing.assert_array_equal(reduce.sum(x, axis=[0, 1]), reduce.sum(x))


def test_bad_types():
    with pytest.raises(TypeError, match=r"mean: defined for float32 and float64, got int64; .*astype\(numpy.float32\)"):
        reduce.mean(np.arange(3))
    for name in ("var", "std", "logsumexp", "norm"):
        with pytest.raises(TypeError, match=f"{name}: defined for float32 and float64, got bool; .*astype"):
            getattr(reduce, name)(np.ones(3, bool))
    for name in ("sum", "argmax"):
        with pytest.raises(TypeError, match=f"{name}: defined for float32, float64, integers and bool, got complex128; .*astype"):
            getattr(reduce, name)(np.ones(3, complex))
        with pytest.raises(TypeError, match=f"{name}: expected a NumPy array, got list"):
            getattr(reduce, name)([1.0, 2.0])
        with pytest.raises(TypeError, match=f"{name}: expected a NumPy array, got float32"):
            getattr(reduce, name)(F32(1))
    with pytest.raises(TypeError, match=r"sum: .*got >f4; convert"):
        reduce.sum(np.ones(3, ">f4"))
    with pytest.raises(TypeError, match="var: correction must be a number, got 'one'"):
        reduce.var(np.ones(3), correction="one")
    for order in ("fro", None, True, np.nan):
        with pytest.raises(ValueError, match="norm: ord must be a number"):
            reduce.norm(np.ones(3), ord=order)


TINY = """
import numpy as np
from kernels.cpu import reduce
x = np.array([[1.0, -2.0, 3.0], [4.0, 5.0, np.nan]], np.float32)
for axis in (None, 0, 1, (0, 1), ()):
    for name in ("sum", "mean", "max", "min", "var", "prod", "any", "count_nonzero"):
        ours, theirs = getattr(reduce, name)(x, axis=axis), np.asarray(getattr(np, name)(x, axis=axis))
        assert ours.dtype == theirs.dtype and np.allclose(ours, theirs, equal_nan=True), (name, axis, ours, theirs)
        flipped = x.T[::-1]
        ours, theirs = getattr(reduce, name)(flipped, axis=axis), np.asarray(getattr(np, name)(flipped, axis=axis))
        assert np.allclose(ours, theirs, equal_nan=True), (name, axis, ours, theirs)
    if not isinstance(axis, tuple):
        assert (reduce.argmax(x, axis=axis) == np.argmax(x, axis=axis)).all()
assert reduce.sum(np.array([True, True])) == 2 and reduce.max(np.array([-3, -2], np.int8)) == -2
assert reduce.logsumexp(np.zeros(2)).round(6) == 0.693147
"""


def test_the_loops_mean_the_same_in_plain_python(tmp_path):
    environment = os.environ | {"NUMBA_DISABLE_JIT": "1", "GRADLOOM_CACHE": str(tmp_path)}
    subprocess.run([sys.executable, "-W", "error", "-c", TINY], env=environment, check=True)


def test_long_sums_down_few_columns():
    """Columns that are too few for vector registers are summed in short blocks."""
    for columns in (2, 3):
        x = np.full((1_000_000, columns), 0.1, np.float32)
        np.testing.assert_allclose(reduce.sum(x, axis=0), x.astype(np.float64).sum(axis=0), rtol=2e-6)
