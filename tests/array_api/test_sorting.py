"""Sorting, running sums, searching and sets of the standard give what array-api-strict gives."""

import numpy as np
from array_api_support import (
    ALL,
    FLOATS,
    INTEGERS,
    NUMBERS,
    assert_same,
    compare,
    compares,
    examples,
    reference,
    shapes,
    strict,
    tensors,
)
from hypothesis import given
from hypothesis import strategies as st

import autograd as ag

SOME = shapes(min_dims=1)


def axis_of(data, x):
    return data.draw(st.integers(-x.ndim, x.ndim - 1))


@compares("sort", "argsort")
@examples
@given(data=st.data())
def test_sort_and_argsort(data):
    x = data.draw(tensors(NUMBERS, shape=SOME))  # the reference does not order bool
    options = {"axis": axis_of(data, x), "descending": data.draw(st.booleans())}
    compare("argsort", x, **options)
    compare("sort", x, **options, stable=True)


@compares("cumulative_sum", "cumulative_prod")
@examples
@given(data=st.data())
def test_cumulative_sum_and_product(data):
    numbers = tensors(FLOATS, shape=SOME, min_value=-1024, max_value=1024, allow_nan=False, allow_infinity=False)
    x = data.draw(numbers if data.draw(st.booleans()) else tensors(INTEGERS, shape=SOME, min_value=0, max_value=5))
    options = {"axis": axis_of(data, x), "include_initial": data.draw(st.booleans())}
    if data.draw(st.booleans()):
        options["dtype"] = ag.float64
    got, expected = ag.cumulative_sum(x, **options), strict.cumulative_sum(reference(x), **{k: reference(v) for k, v in options.items()})
    assert got.shape == expected.shape and got.dtype == np.asarray(expected).dtype
    tolerance = 1e-5 if got.dtype == ag.float32 else 1e-13
    assert np.allclose(got.numpy(), np.asarray(expected), rtol=tolerance, atol=tolerance * 1e4)
    got, expected = ag.cumulative_prod(x, **options), strict.cumulative_prod(reference(x), **{k: reference(v) for k, v in options.items()})
    assert got.shape == expected.shape and got.dtype == np.asarray(expected).dtype
    assert np.allclose(got.numpy(), np.asarray(expected), rtol=tolerance)


@compares("unique_all", "unique_counts", "unique_inverse", "unique_values")
@examples
@given(data=st.data())
def test_sets(data):
    x = data.draw(tensors(ALL))
    mine, theirs = ag.unique_all(x), strict.unique_all(reference(x))
    assert mine._fields == theirs._fields and type(mine).__mro__[1] is tuple
    assert np.array_equal(mine.values.numpy(), np.asarray(theirs.values), equal_nan=x.dtype.kind == "f")
    for name in ("indices", "inverse_indices", "counts"):
        assert_same(getattr(mine, name), getattr(theirs, name))
    for name in ("unique_counts", "unique_inverse"):
        found = getattr(ag, name)(x)
        assert found._fields == getattr(strict, name)(reference(x))._fields
        for field in found._fields:
            assert_same(getattr(found, field), getattr(mine, field).numpy())
    assert_same(ag.unique_values(x), mine.values.numpy())
    assert np.array_equal(mine.values.numpy(), np.asarray(strict.unique_values(reference(x))), equal_nan=x.dtype.kind == "f")


@compares("searchsorted", "isin")
@examples
@given(data=st.data())
def test_searching(data):
    dtype = data.draw(st.sampled_from(NUMBERS))
    known, wanted = data.draw(tensors((dtype,), shape=shapes(1, 1, 0, 9))), data.draw(tensors((dtype,)))
    side = data.draw(st.sampled_from(("left", "right")))
    compare("searchsorted", ag.sort(known), wanted, side=side)
    compare("searchsorted", known, wanted, side=side, sorter=ag.argsort(known))
    invert = data.draw(st.booleans())
    if known.dtype.kind != "f":  # the reference takes integers alone, and does not heed `invert` (version 2.6.1)
        compare("isin", wanted, known)
    assert np.array_equal(ag.isin(wanted, known, invert=invert).numpy(), np.isin(wanted.numpy(), known.numpy(), invert=invert))


@compares("nonzero")
@examples
@given(data=st.data())
def test_nonzero(data):
    compare("nonzero", data.draw(tensors(ALL, shape=SOME)))


@compares("diff")
@examples
@given(data=st.data())
def test_diff(data):
    x = data.draw(tensors(("int64", "float32"), shape=SOME, min_value=-99, max_value=99))
    axis = axis_of(data, x)
    ends = {name: x for name in ("prepend", "append") if data.draw(st.booleans())}
    compare("diff", x, axis=axis, n=data.draw(st.integers(0, 3)), **ends)
