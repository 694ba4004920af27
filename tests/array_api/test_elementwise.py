"""The standard's elementwise functions give what array-api-strict gives, on drawn tensors and at special values."""

import numpy as np
import pytest
from array_api_support import ALL, FLOATS, INTEGERS, JIT_DISABLED, NUMBERS, WHOLE, compare, compares, examples, tensors, xps
from hypothesis import given
from hypothesis import strategies as st

import autograd as ag

UNARY = {
    **dict.fromkeys(
        "acos acosh asin asinh atan atanh cos cosh exp expm1 log log1p log2 log10 sin sinh sqrt tan tanh signbit reciprocal".split(),
        FLOATS,
    ),
    **dict.fromkeys("abs ceil floor negative positive round sign square trunc isfinite isinf isnan".split(), NUMBERS),
    "bitwise_invert": WHOLE,
    "logical_not": ("bool",),
}
BINARY = {
    **dict.fromkeys("atan2 copysign divide hypot logaddexp nextafter".split(), FLOATS),
    **dict.fromkeys("add floor_divide maximum minimum multiply pow remainder subtract greater greater_equal less less_equal".split(), NUMBERS),
    **dict.fromkeys(("equal", "not_equal"), ALL),
    **dict.fromkeys(("bitwise_and", "bitwise_or", "bitwise_xor"), WHOLE),
    **dict.fromkeys(("logical_and", "logical_or", "logical_xor"), ("bool",)),
    **dict.fromkeys(("bitwise_left_shift", "bitwise_right_shift"), INTEGERS),
}
ULPS = {  # beside the reference, which rounds too
    **dict.fromkeys("pow atan2 hypot logaddexp log1p expm1 acosh asinh atanh sinh cosh tanh".split(), 8),
}
OPERATORS = {
    "add": "__add__", "subtract": "__sub__", "multiply": "__mul__", "divide": "__truediv__", "floor_divide": "__floordiv__",
    "remainder": "__mod__", "pow": "__pow__", "bitwise_and": "__and__", "bitwise_or": "__or__", "bitwise_xor": "__xor__",
    "bitwise_left_shift": "__lshift__", "bitwise_right_shift": "__rshift__", "equal": "__eq__", "not_equal": "__ne__",
    "less": "__lt__", "less_equal": "__le__", "greater": "__gt__", "greater_equal": "__ge__",
}  # fmt: skip


def special(dtype):
    """Values at which an implementation may go wrong."""
    dtype = np.dtype(dtype)
    if dtype.kind == "b":
        return np.array([False, True])
    if dtype.kind in "iu":
        low, high = np.iinfo(dtype).min, np.iinfo(dtype).max
        return np.array(sorted({0, 1, 2, 3, 7, high - 1, high, low, *([-1, -2, -7] if low else [])}), dtype)
    tiny, small, big = np.finfo(dtype).tiny, np.finfo(dtype).smallest_subnormal, np.finfo(dtype).max
    values = [0, 0.5, 1, 1.5, 2, 2.5, 3, np.pi, 1e-3, 0.9999999, 1.0000001, 100.25, 1e4, tiny, small, big, np.inf]
    return np.array([*values, *(-v for v in values), np.nan], dtype)


def usable(name, x, y):
    """Where the standard says what integers give: not for a division by zero, a negative power or a wild shift."""
    if y.dtype.kind not in "iu":
        return np.ones(y.shape, bool)
    if name in ("floor_divide", "remainder"):
        return y != 0
    if name == "pow":
        return y >= 0
    return (y >= 0) & (y < 8 * y.itemsize) if "shift" in name else np.ones(y.shape, bool)


def ulps(name):
    return ULPS.get(name, 4)


@pytest.mark.parametrize("name", UNARY)
def test_unary_at_special_values(name):
    for dtype in UNARY[name]:
        compare(name, ag.asarray(special(dtype)), ulps=ulps(name))


@pytest.mark.parametrize("name", BINARY)
def test_binary_at_pairs_of_special_values(name):
    for dtype in BINARY[name]:
        x, y = (a.ravel() for a in np.meshgrid(special(dtype), special(dtype)))
        places = usable(name, x, y)
        x, y = x[places], y[places]
        compare(name, ag.asarray(x), ag.asarray(y), ulps=ulps(name))


@pytest.mark.parametrize("name", UNARY)
@compares(*UNARY)
@examples
@given(data=st.data())
def test_unary(name, data):
    x = data.draw(tensors(UNARY[name]))
    compare(name, x, ulps=ulps(name))


@pytest.mark.parametrize("name", BINARY)
@compares(*BINARY)
@examples
@given(data=st.data())
def test_binary(name, data):
    first, second = data.draw(xps.mutually_broadcastable_shapes(2, max_dims=3, max_side=3)).input_shapes if JIT_DISABLED else [(5,)] * 2
    x = data.draw(tensors(BINARY[name], first))
    y = data.draw(tensors((x.dtype.name,), second))
    if x.dtype.kind in "iu":
        places = usable(name, x.numpy(), y.numpy())
        y = ag.asarray(np.where(places, y.numpy(), np.ones((), y.dtype))).reshape(y.shape) if places.shape == y.shape else ag.ones_like(y)
    compare(name, x, y, ulps=ulps(name))
    if name in OPERATORS:
        got, expected = getattr(x, OPERATORS[name])(y), getattr(ag, name)(x, y)
        assert np.array_equal(got.numpy(), expected.numpy(), equal_nan=got.dtype.kind == "f") and got.dtype == expected.dtype


@pytest.mark.skipif(not JIT_DISABLED, reason="runs without the compiler: every pair of dtypes is a loop of its own")
@pytest.mark.parametrize("name", ["add", "less", "maximum", "equal", "multiply"])
def test_mixed_dtypes_promote(name):
    for left in NUMBERS:
        for right in NUMBERS:
            whole = {np.dtype(d).kind for d in (left, right)}
            if ("f" in whole and len(whole) > 1) or (whole == {"i", "u"} and "uint64" in (left, right)):
                continue  # the standard leaves these open
            compare(name, ag.asarray([1, 2, 3], dtype=left), ag.asarray([3, 2, 1], dtype=right))


@pytest.mark.parametrize("number", [0, 1, 3])
@pytest.mark.parametrize("name", ["add", "multiply", "less", "equal", "maximum"])
def test_python_numbers_are_operands_on_either_side(name, number):
    for dtype in NUMBERS:
        x = ag.asarray([0, 1, 2, 3], dtype=dtype)
        compare(name, x, number)
        compare(name, number, x)
        if np.dtype(dtype).kind == "f":
            compare(name, x, float(number))


@compares("clip")
@examples
@given(data=st.data())
def test_clip_with_numbers(data):
    x = data.draw(tensors(NUMBERS, shape=(6,)))
    low = data.draw(st.none() | st.integers(0, 3))
    high = data.draw(st.none() | st.integers(4, 7))
    compare("clip", x, low, high)


@examples
@given(data=st.data())
def test_clip_with_tensors(data):
    x = data.draw(tensors(NUMBERS, shape=(6,)))
    low, high = ag.asarray([1] * 6, dtype=x.dtype), ag.asarray([3] * 6, dtype=x.dtype)
    compare("clip", x, low, high)
    compare("clip", x, min=low)
    compare("clip", x, max=high)


@compares("where")
@examples
@given(data=st.data())
def test_where(data):
    x = data.draw(tensors(ALL, shape=(4,)))
    y = data.draw(tensors((x.dtype.name,), shape=(4,)))
    condition = data.draw(tensors(("bool",), shape=(4,)))
    compare("where", condition, x, y)
