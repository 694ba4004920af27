"""Indexing and assignment, `take` and `take_along_axis` give what array-api-strict gives."""

from array_api_support import ALL, assert_same, compare, compares, examples, reference, shapes, tensors, xps
from hypothesis import assume, given
from hypothesis import strategies as st

import autograd as ag


def at(key):
    """A key with tensors in it, for the reference."""
    return tuple(map(reference, key)) if isinstance(key, tuple) else reference(key)


@compares("take")
@examples
@given(data=st.data())
def test_take(data):
    x = data.draw(tensors(ALL, shapes(min_dims=1, min_side=1)))
    axis = data.draw(st.integers(-x.ndim, x.ndim - 1))
    size = x.shape[axis]
    indices = data.draw(tensors(("int64",), (data.draw(st.integers(0, 5)),), min_value=-size, max_value=size - 1))
    compare("take", x, indices, axis=axis)
    if x.ndim == 1:
        compare("take", x, indices)


@compares("take_along_axis")
@examples
@given(data=st.data())
def test_take_along_axis(data):
    x = data.draw(tensors(ALL, shapes(min_dims=1, min_side=1)))
    axis = data.draw(st.integers(-x.ndim, x.ndim - 1))
    shape = list(x.shape)
    shape[axis] = data.draw(st.integers(0, 4))
    places = data.draw(tensors(("int64",), tuple(shape), min_value=-x.shape[axis], max_value=x.shape[axis] - 1))
    compare("take_along_axis", x, places, axis=axis)


@st.composite
def keys(draw, x):
    """Keys of the standard: integers, slices of any step, None and Ellipsis; a mask; integer arrays, alone or with integers."""
    kind = draw(st.sampled_from(["basic", "basic", "mask", "arrays"]))
    if kind == "mask":
        return draw(tensors(("bool",), x.shape))
    if kind == "arrays" and x.ndim and x.size:
        shape = draw(st.sampled_from([(2,), (0,), (3,)]))
        places = [draw(tensors(("int64",), shape, min_value=0, max_value=size - 1)) for size in x.shape]
        return tuple(p if k == 0 or draw(st.booleans()) else draw(st.integers(-size, size - 1))
                     for k, (p, size) in enumerate(zip(places, x.shape, strict=True)))  # fmt: skip
    return draw(xps.indices(x.shape, allow_newaxis=True))


@examples
@given(data=st.data())
def test_getitem(data):
    x = data.draw(tensors(ALL))
    key = data.draw(keys(x))
    assert_same(x[key], reference(x)[at(key)])


@examples
@given(data=st.data())
def test_setitem(data):
    x = data.draw(tensors(ALL)).clone()
    key = data.draw(keys(x))
    mine, theirs = x.clone(), reference(x)
    # The standard has no assignment at integer arrays, nor at new axes.
    assume(not (isinstance(key, tuple) and any(k is None or isinstance(k, ag.Tensor) for k in key)) and key is not None)
    value = data.draw(tensors((x.dtype.name,), ()))
    mine[key] = value
    theirs[at(key)] = reference(value)
    assert_same(mine, theirs)
    if not isinstance(key, ag.Tensor):
        values = ag.ones_like(x[key])
        mine[key] = values
        theirs[at(key)] = reference(values)
        assert_same(mine, theirs)
