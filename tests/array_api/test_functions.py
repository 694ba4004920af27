"""Creation, manipulation, statistics and data types of the standard give what array-api-strict gives."""

import math

import numpy as np
import pytest
from array_api_support import (
    ALL,
    FLOATS,
    NUMBERS,
    assert_same,
    compare,
    compare_near,
    compares,
    examples,
    expected_of,
    reference,
    shapes,
    strict,
    tensors,
    xps,
)
from hypothesis import assume, given
from hypothesis import strategies as st

import autograd as ag


def valid_axis(data, ndim):
    return data.draw(st.integers(-ndim, ndim - 1))


# --- data types -------------------------------------------------------------------------------------------------------

EVERY = tuple(ag.__array_namespace_info__().dtypes())


def kinds_mix(*names):
    """Whether the standard leaves the promotion of these open."""
    kinds = {np.dtype(n).kind for n in names}
    return len(kinds) > 1 and (kinds != {"i", "u"} or "uint64" in names)


@compares("result_type", "can_cast", exhaustive=True)
def test_promotion_is_the_standards_table():
    for left in EVERY:
        for right in EVERY:
            if not kinds_mix(left, right):
                one, two = getattr(ag, left), getattr(ag, right)
                expected = np.dtype(str(strict.result_type(reference(one), reference(two))).split(".")[-1])
                assert ag.result_type(one, two) == ag.result_type(two, ag.zeros(2, dtype=one)) == expected
                assert ag.can_cast(one, two) == strict.can_cast(reference(one), reference(two)), (left, right)
                assert ag.can_cast(ag.zeros(2, dtype=one), two) == (expected == two)


def test_result_type_of_numbers_and_arrays():
    assert ag.result_type(ag.float32, 1) == ag.result_type(1.0, ag.float32, True) == ag.result_type(ag.zeros(2), 2.0) == ag.float32
    assert ag.result_type(ag.int8, 1000) == ag.int8 and ag.result_type(ag.bool, True) == ag.bool
    assert ag.result_type(ag.int8, ag.uint8, ag.int16) == ag.int16 and ag.result_type(np.zeros(2), ag.float32) == ag.float64
    with pytest.raises(TypeError, match="at least one dtype"):
        ag.result_type()
    with pytest.raises(TypeError, match="no integer type holds all values of int8 and uint64"):
        ag.result_type(ag.int8, ag.uint64)


@compares("isdtype", "finfo", "iinfo", exhaustive=True)
def test_limits_and_kinds():
    for name in EVERY:
        check_limits_and_kinds(getattr(ag, name), getattr(strict, name))


def check_limits_and_kinds(dtype, same):
    limits = {"f": ("finfo", "bits eps max min smallest_normal"), "i": ("iinfo", "bits max min"), "u": ("iinfo", "bits max min")}
    limits["c"] = limits["f"]
    if dtype.kind in limits:
        function, fields = limits[dtype.kind]
        mine, theirs = getattr(ag, function)(dtype), getattr(strict, function)(same)
        for field in fields.split():
            assert getattr(mine, field) == getattr(theirs, field) and type(getattr(mine, field)) in (int, float)
        assert str(mine.dtype) == str(theirs.dtype).rpartition(".")[2] and getattr(ag, function)(ag.zeros(2, dtype=dtype)) == mine
    with pytest.raises(TypeError, match="no (float|integer) type"):
        (ag.iinfo if dtype.kind in "fc" else ag.finfo)(dtype)
    kinds = ("bool", "signed integer", "unsigned integer", "integral", "real floating", "complex floating", "numeric")
    for kind in (*kinds, ("integral", "bool")):
        assert ag.isdtype(dtype, kind) is strict.isdtype(same, kind)
    assert ag.isdtype(dtype, dtype) and ag.isdtype(dtype, (ag.int8, dtype)) and not ag.isdtype(dtype, ())
    with pytest.raises(ValueError, match="unknown kind 'float'; there are 'bool'"):
        ag.isdtype(dtype, "float")


@compares("astype")
@examples
@given(data=st.data())
def test_astype(data):
    x = data.draw(tensors(ALL, shape=(5,), min_value=0, max_value=100) if data.draw(st.booleans()) else tensors(("bool",)))
    assume(not (x.dtype.kind == "f" and np.isnan(x.numpy()).any()))
    dtype = getattr(ag, data.draw(st.sampled_from(ALL)))
    assert_same(ag.astype(x, dtype), strict.astype(reference(x), reference(dtype)))
    assert ag.astype(x, x.dtype, copy=False) is x and ag.astype(x, x.dtype) is not x
    assert ag.astype(x, dtype, device="cpu").device == "cpu"


# --- creation ---------------------------------------------------------------------------------------------------------


NEW = "zeros ones empty full zeros_like ones_like empty_like full_like".split()


@pytest.mark.parametrize("name", NEW)
@compares(*NEW)
@examples
@given(data=st.data())
def test_filled(name, data):
    shape = data.draw(shapes() | st.integers(0, 4))
    dtype = data.draw(st.none() | st.sampled_from(EVERY))
    options = {} if dtype is None else {"dtype": getattr(ag, dtype)}
    value = data.draw(st.sampled_from([True, False])) if dtype == "bool" else data.draw(st.integers(0, 9))
    like = ag.zeros(shape, dtype=getattr(ag, data.draw(st.sampled_from(EVERY))))
    arguments = [like] if name.endswith("_like") else [shape]
    if name.startswith("full"):
        arguments.append(value if name == "full" or "dtype" in options else like.dtype.type(value).item())
    got, expected = getattr(ag, name)(*arguments, **options), expected_of(name, *arguments, **options)
    assert got.device == getattr(ag, name)(*arguments, **options, device="cpu").device == "cpu"
    if dtype is None and not name.endswith("_like") and got.dtype.kind == "f":
        assert got.dtype == ag.float32 and np.asarray(expected).dtype == np.float64  # the default is ours
        got = got.astype(ag.float64)
    if name.startswith("empty"):
        assert got.shape == expected.shape and got.dtype == np.asarray(expected).dtype
    else:
        assert_same(got, expected)


def test_defaults_of_full():
    assert ag.full(2, 1.5).dtype == ag.float32 and ag.full(2, False).dtype == ag.bool and ag.full(2, 1).dtype == ag.int64


@compares("eye")
@examples
@given(data=st.data())
def test_eye(data):
    rows, columns, k = data.draw(st.integers(0, 4)), data.draw(st.none() | st.integers(0, 4)), data.draw(st.integers(-5, 5))
    compare("eye", rows, columns, k=k, dtype=getattr(ag, data.draw(st.sampled_from([d for d in EVERY if d != "bool"]))))


@compares("arange")
@examples
@given(start=st.integers(-50, 50), stop=st.none() | st.integers(-50, 50), step=st.integers(-7, 7).filter(bool))
def test_arange_of_integers(start, stop, step):
    assert_same(ag.arange(start, stop, step), strict.arange(start, stop, step))
    assert_same(ag.arange(start, stop, step, dtype=ag.float64), strict.arange(start, stop, step, dtype=strict.float64))


@examples
@given(start=st.floats(-10, 10), stop=st.floats(-10, 10), step=st.sampled_from([0.1, 0.25, 1.0, -0.5, -0.3]))
def test_arange_of_floats(start, stop, step):
    got = ag.arange(start, stop, step, dtype=ag.float64).numpy()
    count = max(0, math.ceil((stop - start) / step))
    assert np.array_equal(got, start + step * np.arange(count)) and ag.arange(start, stop, step).dtype == ag.float32


def test_arange_refuses():
    with pytest.raises(ValueError, match="the step must not be 0"):
        ag.arange(1, 2, 0)
    with pytest.raises(TypeError, match="must be real numbers"):
        ag.arange(1, "2")


@compares("linspace")
@examples
@given(start=st.floats(-1e3, 1e3), stop=st.floats(-1e3, 1e3), num=st.integers(0, 9), endpoint=st.booleans())
def test_linspace(start, stop, num, endpoint):
    assert_same(
        ag.linspace(start, stop, num, dtype=ag.float64, endpoint=endpoint),
        strict.linspace(start, stop, num, dtype=strict.float64, endpoint=endpoint),
        ulps=4,
    )
    assert ag.linspace(start, stop, num).dtype == ag.float32


@compares("meshgrid")
@examples
@given(data=st.data())
def test_meshgrid(data):
    dtype = data.draw(st.sampled_from(ALL))
    arrays = [data.draw(tensors((dtype,), (size,))) for size in data.draw(st.lists(st.integers(0, 3), min_size=1, max_size=3))]
    indexing = data.draw(st.sampled_from(["xy", "ij"]))
    assert_same(ag.meshgrid(*arrays, indexing=indexing), tuple(strict.meshgrid(*map(reference, arrays), indexing=indexing)))
    assert ag.meshgrid() == ()


@compares("asarray", "from_dlpack")
@examples
@given(data=st.data())
def test_asarray_and_from_dlpack(data):
    x = data.draw(tensors(ALL))
    assert ag.asarray(x) is x and ag.asarray(x, copy=False) is x
    copied = ag.asarray(x, copy=True)
    assert_same(copied, strict.asarray(reference(x)))
    assert not np.shares_memory(copied.numpy(), x.numpy())
    if x.size:
        assert_same(ag.asarray(x.tolist(), dtype=x.dtype), strict.asarray(x.tolist(), dtype=reference(x.dtype)))
    host = np.array(x.numpy())
    shared = ag.from_dlpack(host, device="cpu", copy=False)
    assert_same(shared, strict.from_dlpack(host))
    assert not host.size or np.shares_memory(shared.numpy(), host)
    assert not np.shares_memory(ag.from_dlpack(x, copy=True).numpy(), x.numpy())
    assert np.array_equal(np.from_dlpack(x), host, equal_nan=host.dtype.kind == "f")


@pytest.mark.parametrize("name", ["tril", "triu"])
@compares("tril", "triu")
@examples
@given(data=st.data())
def test_triangles(name, data):
    x = data.draw(tensors(ALL, shapes(min_dims=2)))
    compare(name, x, k=data.draw(st.integers(-5, 5)))


# --- manipulation -----------------------------------------------------------------------------------------------------


@compares("permute_dims", "reshape", "expand_dims", "squeeze", "flip", "roll", "broadcast_to", "moveaxis", "unstack", "concat", "repeat", "stack", "tile", "matrix_transpose")
@examples
@given(data=st.data())
def test_shapes_change_as_in_the_reference(data):
    x = data.draw(tensors(ALL))
    order = data.draw(st.permutations(range(x.ndim)))
    order = tuple(data.draw(st.sampled_from([a, a - x.ndim])) for a in order)
    assert_same(ag.permute_dims(x, order), strict.permute_dims(reference(x), tuple(a % x.ndim for a in order)))
    new_shape = data.draw(st.sampled_from([(x.size,), (-1,), x.shape[::-1], (*x.shape, 1), (1, *x.shape)]))
    if x.size or -1 not in new_shape:
        compare("reshape", x, new_shape)
        compare("reshape", x, new_shape, copy=True)
    compare("expand_dims", x, axis=data.draw(st.integers(-x.ndim - 1, x.ndim)))
    wide = ag.expand_dims(x, (0, -1))
    assert wide.shape == (1, *x.shape, 1)
    compare("squeeze", wide, (0, -1))
    compare("squeeze", wide, 0)
    compare("flip", x)
    compare("roll", x, data.draw(st.integers(-5, 5)))
    compare("broadcast_to", x, data.draw(st.sampled_from([x.shape, (2, *x.shape), (0, *x.shape)])))
    if x.ndim:
        axis = valid_axis(data, x.ndim)
        compare("flip", x, axis=axis)
        compare("moveaxis", x, axis, valid_axis(data, x.ndim))
        compare("roll", x, data.draw(st.integers(-5, 5)), axis=axis)
        compare("roll", x, (1, -2), axis=(axis, valid_axis(data, x.ndim)))
        compare("unstack", x, axis=axis)
        compare("concat", [x, x], axis=axis)
        compare("repeat", x, data.draw(st.integers(0, 3)), axis=axis)
        counts = data.draw(st.lists(st.integers(0, 3), min_size=x.shape[axis], max_size=x.shape[axis]))
        compare("repeat", x, ag.asarray(counts, dtype=ag.int64), axis=axis)
        all_axes = tuple(data.draw(st.permutations(range(x.ndim))))
        compare("moveaxis", x, tuple(range(x.ndim)), all_axes)
    compare("concat", [x, x], axis=None)
    compare("stack", [x, x, x], axis=data.draw(st.integers(-x.ndim - 1, x.ndim)))
    compare("repeat", x, data.draw(st.integers(0, 3)))
    compare("tile", x, tuple(data.draw(st.lists(st.integers(0, 3), max_size=4))))
    if x.ndim >= 2:
        compare("matrix_transpose", x)
        assert_same(x.mT, reference(x).mT)
    if x.ndim == 2:
        assert_same(x.T, reference(x).T)


@examples
@given(data=st.data())
def test_concat_promotes(data):
    first, second = data.draw(st.sampled_from([("int8", "int16"), ("uint8", "int8"), ("float32", "float64"), ("uint8", "uint8")]))
    compare("concat", [ag.ones((2, 3), dtype=first), ag.zeros((1, 3), dtype=second)])
    compare("stack", [ag.ones((2, 3), dtype=first), ag.zeros((2, 3), dtype=second)], axis=1)


@compares("broadcast_shapes", "broadcast_arrays")
@examples
@given(data=st.data())
def test_broadcasting(data):
    drawn = data.draw(xps.mutually_broadcastable_shapes(data.draw(st.integers(1, 3)), max_dims=3, max_side=3))
    assert ag.broadcast_shapes(*drawn.input_shapes) == strict.broadcast_shapes(*drawn.input_shapes) == drawn.result_shape
    arrays = [data.draw(tensors(ALL, s)) for s in drawn.input_shapes]
    got = ag.broadcast_arrays(*arrays)
    assert_same(got, tuple(strict.broadcast_arrays(*map(reference, arrays))))


def test_broadcast_shapes_refuses():
    with pytest.raises(ValueError, match=r"broadcast_shapes: shapes \(2,\) and \(3,\) do not broadcast"):
        ag.broadcast_shapes((2,), (3,))
    with pytest.raises(ValueError, match="negative size"):
        ag.broadcast_shapes((-1,), (1,))
    with pytest.raises(TypeError, match="tuples of integers"):
        ag.broadcast_shapes((2.0,))
    assert ag.broadcast_shapes() == () == ag.broadcast_shapes(()) and ag.broadcast_arrays() == ()


def test_a_reshape_that_needs_a_copy_can_be_forbidden():
    x = ag.zeros((2, 3))
    assert np.shares_memory(ag.reshape(x, (3, 2), copy=False).numpy(), x.numpy())
    assert not np.shares_memory(ag.reshape(x, (3, 2), copy=True).numpy(), x.numpy())
    with pytest.raises(ValueError, match=r"reshape: no view of this tensor of shape \(3, 2\)"):
        ag.reshape(x.T, (6,), copy=False)


# --- statistics and logic ---------------------------------------------------------------------------------------------

SMALL = shapes(min_dims=1, min_side=1)


def some_axes(data, x):
    axis = data.draw(st.none() | st.integers(-x.ndim, x.ndim - 1) | st.just(tuple(range(x.ndim))))
    return {"axis": axis, "keepdims": data.draw(st.booleans())}


@pytest.mark.parametrize("name", ["sum", "prod"])
@compares("sum", "prod")
@examples
@given(data=st.data())
def test_totals(name, data):
    x = data.draw(tensors(NUMBERS, shapes(min_dims=1), min_value=0, max_value=9))
    options = some_axes(data, x)
    compare(name, x, **options, ulps=32)
    compare(name, x, **options, dtype=data.draw(st.sampled_from([None, ag.float64, x.dtype])), ulps=32)


@pytest.mark.parametrize("name", ["max", "min"])
@compares("max", "min")
@examples
@given(data=st.data())
def test_extremes(name, data):
    x = data.draw(tensors(NUMBERS, SMALL))
    if x.dtype.kind == "f":  # which zero is chosen is left open
        x = x + 0.0
    compare(name, x, **some_axes(data, x))


@pytest.mark.parametrize("name", ["argmax", "argmin"])
@compares("argmax", "argmin")
@examples
@given(data=st.data())
def test_places_of_extremes(name, data):
    x = data.draw(tensors(NUMBERS, SMALL))
    compare(name, x, axis=data.draw(st.none() | st.integers(-x.ndim, x.ndim - 1)), keepdims=data.draw(st.booleans()))


@pytest.mark.parametrize("name", ["any", "all", "count_nonzero"])
@compares("any", "all", "count_nonzero")
@examples
@given(data=st.data())
def test_logic(name, data):
    x = data.draw(tensors(ALL, shapes(min_dims=1)))
    compare(name, x, **some_axes(data, x))


@pytest.mark.parametrize("name", ["mean", "var", "std"])
@compares("mean", "var", "std")
@examples
@given(data=st.data())
def test_moments(name, data):
    """Within rounding of the elements, for differences from the mean cancel: beside the reference in float64."""
    x = data.draw(tensors(FLOATS, SMALL, min_value=-8, max_value=8))
    options = some_axes(data, x)
    count = x.size // max(expected_of("sum", x, axis=options["axis"]).size, 1)
    if name != "mean" and count > 1:
        options["correction"] = data.draw(st.sampled_from([0.0, 1.0, 0.5]))
    got, expected = getattr(ag, name)(x, **options), np.asarray(expected_of(name, x.astype(ag.float64), **options))
    assert got.dtype == x.dtype and got.shape == expected.shape
    error, power = 64 * np.finfo(x.dtype).eps * 64, 1 + (name == "std")  # a root is compared before it was taken
    assert np.allclose(got.numpy() ** power, expected**power, rtol=0, atol=error)


@pytest.mark.parametrize("name", ["mean", "var", "std", "sum", "prod", "max", "min", "argmax", "argmin", "any", "all", "count_nonzero"])
@compares("mean", "var", "std", "sum", "prod", "max", "min", "argmax", "argmin", "any", "all", "count_nonzero")
@examples
@given(data=st.data())
def test_reductions_of_special_values(name, data):
    """NaN, infinities and no elements at all."""
    special = st.sampled_from([0.0, 1.0, -2.0, ag.inf, -ag.inf, ag.nan])
    x = data.draw(tensors(("float32",), shapes(min_dims=1, max_dims=2, max_side=3), elements=special))
    compare_near(name, x, axis=data.draw(st.none() | st.integers(-x.ndim, x.ndim - 1)))


# --- tolerance --------------------------------------------------------------------------------------------------------


@examples
@given(data=st.data())
def test_closeness(data):
    x = data.draw(tensors(FLOATS, shape=(6,)))
    y = data.draw(tensors((x.dtype.name,), shape=(6,)))
    equal_nan = data.draw(st.booleans())
    with np.errstate(all="ignore"):
        expected = np.isclose(x.numpy(), y.numpy(), equal_nan=equal_nan)
    assert np.array_equal(ag.isclose(x, y, equal_nan=equal_nan).numpy(), expected)
    assert ag.allclose(x, y, equal_nan=equal_nan) is bool(expected.all())
    assert ag.array_equal(x, y, equal_nan=equal_nan) is np.array_equal(x.numpy(), y.numpy(), equal_nan=equal_nan)
    assert ag.array_equal(x, x, equal_nan=True) and not ag.array_equal(x, x[:2])


def test_closeness_of_other_kinds():
    assert ag.allclose(ag.tensor([1, 2]), [1, 2]) and not ag.allclose(ag.tensor([1, 2]), ag.tensor([1, 3]))
    assert ag.isclose(ag.tensor([200], dtype=ag.uint8), ag.tensor([201], dtype=ag.uint8), atol=1.0).tolist() == [True]
    assert ag.isclose(ag.tensor([True, False]), ag.tensor([True, True])).tolist() == [True, False]
    assert ag.array_equal(ag.tensor([True]), ag.tensor([True])) and ag.allclose(ag.zeros(0), ag.zeros(0))
    assert ag.allclose(1.0, ag.tensor([1.0])) and ag.array_equal(ag.tensor(2), 2)
    x = ag.tensor([1.0], requires_grad=True)
    assert ag.allclose(x, x) and not ag.isclose(x, x).requires_grad


def test_the_comparison_can_fail():
    for wrong in (ag.tensor([0.0, 1.0]), ag.tensor([-0.0, 2.0]), ag.tensor([0.0, 2.0]).astype(ag.float64), ag.tensor([[0.0, 2.0]])):
        with pytest.raises(AssertionError):
            assert_same(wrong, strict.asarray(np.array([0.0, 2.0], np.float32)), ulps=4)
