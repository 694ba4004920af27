"""Complex numbers and Fourier transforms of the standard give what array-api-strict gives."""

import numpy as np
import pytest
from array_api_support import assert_near, compare, compare_near, compares, examples, expected_of, shapes, tensors
from hypothesis import given
from hypothesis import strategies as st

import autograd as ag

COMPLEX = ("complex64", "complex128")
MODERATE = {"max_magnitude": 4, "allow_nan": False, "allow_infinity": False}
NUMBERS = st.complex_numbers(width=64, **MODERATE)
ELEMENTWISE = (
    "abs acos acosh asin asinh atan atanh conj cos cosh exp expm1 imag isfinite isinf isnan log log10 log1p log2 negative positive "
    "real reciprocal round sign sin sinh sqrt square tan tanh"
).split()
BINARY = "add divide equal multiply not_equal pow subtract".split()


@compares("conj", "imag", "real")
@examples
@given(data=st.data())
def test_parts(data):
    x = data.draw(tensors(COMPLEX))
    for name in ("conj", "imag", "real"):
        compare(name, x)


@pytest.mark.parametrize("name", ELEMENTWISE)
@compares(*ELEMENTWISE)
@examples
@given(data=st.data())
def test_elementwise(name, data):
    x = data.draw(tensors(COMPLEX, shapes(max_dims=2), elements=NUMBERS))
    compare_near(name, x)


@pytest.mark.parametrize("name", BINARY)
@compares(*BINARY)
@examples
@given(data=st.data())
def test_binary(name, data):
    x = data.draw(tensors(COMPLEX, (5,), elements=NUMBERS))
    y = data.draw(tensors((x.dtype.name,), (5,), elements=NUMBERS))
    compare_near(name, x, y, tolerance=256)


REAL_TO_COMPLEX, COMPLEX_TO_REAL = ("rfft", "ihfft"), ("irfft", "hfft")
ONE_AXIS, SEVERAL_AXES = ("fft", "ifft", *REAL_TO_COMPLEX, *COMPLEX_TO_REAL), ("fftn", "ifftn", "rfftn", "irfftn")


def operand(data, name, shape):
    """Real numbers or complex ones, as the transform takes them."""
    if name in ("rfft", "ihfft", "rfftn"):
        return data.draw(tensors(("float32", "float64"), shape, min_value=-8, max_value=8))
    return data.draw(tensors(COMPLEX, shape, elements=NUMBERS))


@pytest.mark.parametrize("name", [f"fft.{n}" for n in ONE_AXIS])
@compares(*(f"fft.{n}" for n in ONE_AXIS))
@examples
@given(data=st.data())
def test_transforms_along_an_axis(name, data):
    x = operand(data, name.partition(".")[2], shapes(min_dims=1, min_side=1))
    options = {"axis": data.draw(st.integers(-x.ndim, x.ndim - 1)), "norm": data.draw(st.sampled_from(["backward", "ortho", "forward"]))}
    # One complex element is the spectrum of no real one: of 2 (1 - 1) = 0.
    n = data.draw(st.integers(1, 6) if name.endswith(COMPLEX_TO_REAL) else st.none() | st.integers(1, 6))
    compare_near(name, x, n=n, **options, scale=64)


@pytest.mark.parametrize("name", [f"fft.{n}" for n in SEVERAL_AXES])
@compares(*(f"fft.{n}" for n in SEVERAL_AXES))
@examples
@given(data=st.data())
def test_transforms_along_several_axes(name, data):
    x = operand(data, name.partition(".")[2], shapes(min_dims=1, min_side=2))
    axes = tuple(data.draw(st.permutations(range(x.ndim)))[: data.draw(st.integers(1, x.ndim))])
    sizes = data.draw(st.none() | st.just(tuple(3 + a for a in axes)))
    options = {"axes": data.draw(st.sampled_from([axes, None])) if sizes is None else axes, "s": sizes}
    compare_near(name, x, **options, norm=data.draw(st.sampled_from(["backward", "ortho", "forward"])), scale=256)


@compares("fft.fftshift", "fft.ifftshift", "fft.fftfreq", "fft.rfftfreq")
@examples
@given(data=st.data())
def test_frequencies(data):
    x = data.draw(tensors(("float32", "float64", *COMPLEX), shapes(min_dims=1)))
    axes = data.draw(st.none() | st.integers(-x.ndim, x.ndim - 1) | st.just(tuple(range(x.ndim))))
    for name in ("fft.fftshift", "fft.ifftshift"):
        compare(name, x, axes=axes)
    for name in ("fft.fftfreq", "fft.rfftfreq"):
        options = {"d": data.draw(st.sampled_from([1.0, 0.5, 3.0])), "dtype": data.draw(st.sampled_from([ag.float32, ag.float64]))}
        compare_near(name, data.draw(st.integers(1, 9)), **options)


def test_the_comparison_of_complex_numbers_can_fail():
    x = ag.asarray(np.array([1 + 2j, -1j]))
    for wrong in (x, ag.conj(x) + 1e-3j, ag.conj(x).astype(ag.complex64)):
        with pytest.raises(AssertionError):
            assert_near(wrong, expected_of("conj", x))
