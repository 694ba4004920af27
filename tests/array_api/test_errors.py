"""What array-api-strict refuses is refused; dtypes that it refuses with a TypeError may be taken, and then give NumPy's values."""

import inspect
from itertools import product

import numpy as np
import pytest
from array_api_support import ALL, JIT_DISABLED, examples, expected_of, function, strict, tensors
from hypothesis import given
from hypothesis import strategies as st

import autograd as ag

P = inspect.Parameter
# Calls with an axis, where more is needed than f(x, axis=axis).
WITH_AXIS = {
    "concat": lambda f, x, axis, _: f([x, x], axis=axis),
    "stack": lambda f, x, axis, _: f([x, x], axis=axis),
    "repeat": lambda f, x, axis, _: f(x, 2, axis=axis),
    "roll": lambda f, x, axis, _: f(x, 1, axis=axis),
    "take": lambda f, x, axis, xp: f(x, xp.asarray([0]), axis=axis),
    "take_along_axis": lambda f, x, axis, xp: f(x, xp.zeros(x.shape, dtype=xp.int64), axis=axis),
    "moveaxis": lambda f, x, axis, _: f(x, axis, 0),
    "permute_dims": lambda f, x, axis, _: f(x, (axis, *range(1, x.ndim))),
    "vecdot": lambda f, x, axis, _: f(x, x, axis=axis),
    "linalg.vecdot": lambda f, x, axis, _: f(x, x, axis=axis),
    "linalg.cross": lambda f, x, axis, _: f(x, x, axis=axis),
    "fft.fftshift": lambda f, x, axis, _: f(x, axes=axis),
    "fft.ifftshift": lambda f, x, axis, _: f(x, axes=axis),
    **{f"fft.{n}": lambda f, x, axis, _: f(x, axes=(axis,)) for n in ("fftn", "ifftn", "rfftn", "irfftn")},
    "tensordot": lambda f, x, axis, _: f(x, x, axes=((axis,), (0,))),
    "linalg.tensordot": lambda f, x, axis, _: f(x, x, axes=((axis,), (0,))),
}
# Functions that are made of another one, whose name their errors bear.
INSIDE = {"linalg.vector_norm": "sum", "fft.hfft": "irfft", "fft.ihfft": "rfft", "broadcast_arrays": "broadcast_tensors"}
COMPLEX_ONLY = ("fft.fft", "fft.ifft", "fft.irfft", "fft.hfft", "fft.fftn", "fft.ifftn", "fft.irfftn", "fft.fftshift", "fft.ifftshift")


def every_name():
    for name in strict.__all__:
        if callable(getattr(strict, name)) and not isinstance(getattr(strict, name), type):
            yield name
    for extension in ("linalg", "fft"):
        yield from (f"{extension}.{name}" for name in getattr(strict, extension).__all__)


TAKES_AXIS = [n for n in every_name() if n in WITH_AXIS or {"axis", "axes"} & set(inspect.signature(function(n, strict)).parameters)]


@pytest.mark.parametrize("name", TAKES_AXIS)
@examples
@given(data=st.data())
def test_axes_out_of_range(name, data):
    shape = data.draw(st.sampled_from([(3, 3), (3,), (3, 3, 3)]))
    axis = data.draw(st.sampled_from([len(shape) + 1, -len(shape) - 2, 64]))
    call = WITH_AXIS.get(name, lambda f, x, axis, _: f(x, axis=axis))
    dtype = "complex64" if name in COMPLEX_ONLY else "float32"
    # NumPy's errors for these axes are IndexErrors and ValueErrors at once; some functions look at the number of axes first.
    with pytest.raises((IndexError, ValueError)):
        call(function(name, strict), strict.ones(shape, dtype=getattr(strict, dtype)), axis, strict)
    with pytest.raises((IndexError, ValueError), match=f"^{INSIDE.get(name, name.rpartition('.')[2])}: "):
        call(function(name), ag.ones(shape, dtype=dtype), axis, ag)


ELEMENTWISE = [n for n in strict.__all__ if getattr(getattr(strict, n), "__module__", "").endswith("_elementwise_functions")]
BINARY = [n for n in ELEMENTWISE if len([p for p in inspect.signature(getattr(strict, n)).parameters.values() if p.kind is P.POSITIONAL_ONLY]) == 2]
UNARY = [n for n in ELEMENTWISE if n not in BINARY and n != "clip"]


@pytest.mark.parametrize("name", [*BINARY, "where", "clip", "matmul", "broadcast_arrays", "linalg.solve"])
@examples
@given(data=st.data())
def test_shapes_that_do_not_fit(name, data):
    shift = "shift" in name or "bitwise" in name
    kind = "bool" if "logical" in name else "int64" if shift else "float32"
    one, two = data.draw(st.sampled_from([((2,), (3,)), ((2, 3), (2, 2)), ((4, 1, 2), (3, 3, 2)), ((0,), (2,))]))
    if name == "linalg.solve":
        one = (2, 2) if one != (2, 3) else (3, 3)
        two = (3,) if one == (2, 2) else (2,)
    shapes = (one, one, two) if name == "where" else (one, two)

    def call(xp):
        operands = [xp.ones(s, dtype=getattr(xp, kind)) for s in shapes]
        if name == "where":
            operands[0] = xp.ones(one, dtype=xp.bool)
        return function(name, xp)(*operands)

    with pytest.raises(ValueError):
        call(strict)
    with pytest.raises(ValueError, match=f"^{INSIDE.get(name, name.rpartition('.')[2])}: "):
        call(ag)


def numpys(name, result, *operands):
    """NumPy's value for operands of the result's dtype (of their common one, where the result is bool)."""
    if name in ("conj", "positive") and operands[0].dtype == bool:  # which NumPy has as a number, or not at all
        return operands[0]
    with np.errstate(all="ignore"):
        kinds = {o.dtype for o in operands}
        dtype = result.dtype if result.dtype.kind != "b" or kinds == {np.dtype(bool)} else np.result_type(*kinds)
        return getattr(np, name)(*[o.astype(dtype) for o in operands])


def agrees_where_only_strict_refuses(name, *operands):
    """Where the reference raises a TypeError: the same, or what NumPy computes."""
    try:
        expected_of(name, *operands)
    except TypeError:
        try:
            got = function(name)(*operands)
        except TypeError as refusal:
            assert name in str(refusal) or "result_type" in str(refusal) or "no integer type" in str(refusal), refusal
            return
        expected = numpys(name, got, *[o.numpy() for o in operands])
        assert got.dtype == expected.dtype and np.allclose(got.numpy(), expected, rtol=1e-5, equal_nan=True), (got, expected)


without_compiler = pytest.mark.skipif(not JIT_DISABLED, reason="runs without the compiler: every dtype is a loop of its own")


@without_compiler
@pytest.mark.parametrize("name", UNARY)
@examples
@given(x=tensors(ALL, (3,), min_value=0, max_value=1))
def test_dtypes_that_only_the_reference_refuses(name, x):
    agrees_where_only_strict_refuses(name, x)


@without_compiler
@pytest.mark.parametrize("name", BINARY)
def test_pairs_of_dtypes_that_only_the_reference_refuses(name):
    for left, right in product(ALL, ALL):
        agrees_where_only_strict_refuses(name, ag.asarray([1, 0, 1], dtype=left), ag.asarray([1, 1, 1], dtype=right))
