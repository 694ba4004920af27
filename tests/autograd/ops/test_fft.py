"""Fourier transforms: values against NumPy's, gradients against finite differences, what is refused, both devices."""

import numpy as np
import pytest
from cuda_support import needs_cuda

import autograd as ag

NORMS = ("backward", "ortho", "forward")
ALONG = ("fft", "ifft", "rfft", "irfft", "hfft", "ihfft")
OVER = ("fftn", "ifftn", "rfftn", "irfftn")
OF_REALS = ("rfft", "ihfft", "rfftn")


def operand(name, *shape, dtype=np.float64):
    rng = np.random.default_rng(3)
    values = rng.normal(size=shape) + (0 if name in OF_REALS else 1j * rng.normal(size=shape))
    return ag.tensor(values, dtype=dtype if name in OF_REALS else np.result_type(dtype, np.complex64), requires_grad=True)


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("name", ALONG)
def test_along_an_axis(name, norm):
    for shape, n, axis in (((2, 6), None, -1), ((5, 2), None, 0), ((2, 5), 3, 1), ((4, 2), 7, 0), ((3,), 8, 0), ((2, 3), 2, 1)):
        x = operand(name, *shape)

        def transform(t, n=n, axis=axis):
            return getattr(ag.fft, name)(t, n=n, axis=axis, norm=norm)

        expected = getattr(np.fft, name)(x.detach().numpy(), n=n, axis=axis, norm=norm)
        np.testing.assert_allclose(transform(x).detach().numpy(), expected, rtol=1e-12, atol=1e-13)
        assert ag.gradcheck(transform, x) and ag.gradgradcheck(transform, x)


@pytest.mark.parametrize("name", OVER)
def test_over_several_axes(name):
    for options in ({}, {"axes": (0, 2)}, {"s": (3, 5), "axes": (1, 0)}, {"s": (2, 6), "axes": (-2, -1)}, {"norm": "ortho"}):
        x = operand(name, 2, 3, 4)

        def transform(t, options=options):
            return getattr(ag.fft, name)(t, **options)

        expected = getattr(np.fft, name)(x.detach().numpy(), **options)
        np.testing.assert_allclose(transform(x).detach().numpy(), expected, rtol=1e-12, atol=1e-13)
        assert ag.gradcheck(transform, x) and ag.gradgradcheck(transform, x)


@pytest.mark.parametrize("name", ALONG + OVER)
def test_there_and_back(name):
    x = operand(name, 4, 6)
    back = {"fft": "ifft", "ifft": "fft", "rfft": "irfft", "ihfft": "hfft", "fftn": "ifftn", "ifftn": "fftn", "rfftn": "irfftn"}
    if name in back:
        again = getattr(ag.fft, back[name])(getattr(ag.fft, name)(x))
        np.testing.assert_allclose(again.detach().numpy(), x.detach().numpy(), atol=1e-12)


@pytest.mark.parametrize("name", ALONG + OVER)
def test_single_precision_stays(name):
    x = operand(name, 4, 6, dtype=np.float32)
    out = getattr(ag.fft, name)(x)
    assert out.dtype in (ag.float32, ag.complex64)
    (out.abs() ** 2).sum().backward()
    assert x.grad.dtype == x.dtype


def test_layouts():
    x = operand("fft", 4, 6)
    for view in (x.T, x[::-1, ::2], ag.broadcast_to(x[:1], (3, 6)), x[:, :1]):
        np.testing.assert_allclose(ag.fft.fft(view).detach().numpy(), np.fft.fft(view.detach().numpy()), rtol=1e-12, atol=1e-13)


def test_integers_are_taken_as_the_default_float():
    x = ag.tensor([1, 2, 3])
    assert ag.fft.fft(x).dtype == ag.complex64 and ag.fft.rfft(x).dtype == ag.complex64 and ag.fft.irfft(x).dtype == ag.float32


def test_no_elements_in_other_axes():
    assert ag.fft.fft(ag.ones((0, 4), dtype="complex64")).shape == (0, 4)
    assert ag.fft.rfft(ag.ones((0, 4))).shape == (0, 3)


@pytest.mark.parametrize("n", [1, 4, 5])
def test_frequencies_and_shifts(n):
    for name in ("fftfreq", "rfftfreq"):
        np.testing.assert_allclose(getattr(ag.fft, name)(n, d=0.5).numpy(), getattr(np.fft, name)(n, 0.5), rtol=1e-6)
    assert ag.fft.fftfreq(n, dtype="float64").dtype == ag.float64
    x = np.arange(n * 3).reshape(n, 3)
    for name in ("fftshift", "ifftshift"):
        for axes in (None, 0, (0, 1), -1):
            np.testing.assert_array_equal(
                getattr(ag.fft, name)(ag.asarray(x), axes=axes).numpy(), getattr(np.fft, name)(x, axes)
            )


def test_convolution_learns():
    """A filter found through the frequency domain: gradients flow through rfft, a product and irfft."""
    rng = np.random.default_rng(0)
    signal, wanted = (ag.tensor(rng.normal(size=16), dtype="float64") for _ in range(2))
    kernel = ag.zeros(16, dtype="float64", requires_grad=True)
    losses = []
    for _ in range(300):
        got = ag.fft.irfft(ag.fft.rfft(signal) * ag.fft.rfft(kernel), n=16)
        loss = ((got - wanted) ** 2).sum()
        (slope,) = ag.gradients(loss, kernel)
        kernel = (kernel - 0.015 * slope).detach().requires_grad_()
        losses.append(loss.item())
    assert losses[-1] < 0.1 * losses[0]


@needs_cuda
@pytest.mark.parametrize("name", ["fft", "rfft", "irfftn"])
def test_on_the_gpu(name):
    here, there = operand(name, 3, 4, dtype=np.float32), operand(name, 3, 4, dtype=np.float32).detach().cuda().requires_grad_()
    for x in (here, there):
        out = getattr(ag.fft, name)(x)
        assert out.device == x.device
        (out.abs() ** 2).sum().backward()
    np.testing.assert_allclose(there.grad.cpu().numpy(), here.grad.numpy(), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("call", "error", "words"), [
    (lambda: ag.fft.fft(ag.ones(3), norm="both"), ValueError, "norm must be 'backward', 'ortho' or 'forward', got 'both'"),
    (lambda: ag.fft.fft(ag.ones(3), n=0), ValueError, "at least one element along axis 0"),
    (lambda: ag.fft.fft(ag.ones((2, 0))), ValueError, "at least one element along axis 1"),
    (lambda: ag.fft.fft(ag.ones(3), axis=1), IndexError, "axis 1 is out of range"),
    (lambda: ag.fft.rfft(ag.ones(3, dtype="complex64")), TypeError, "takes real numbers, got complex64"),
    (lambda: ag.fft.irfft(ag.ones(1)), ValueError, "at least one element along axis -1, not 0"),
    (lambda: ag.fft.fftn(ag.ones((2, 2)), axes=(0, 0)), ValueError, "repeated axis"),
    (lambda: ag.fft.fftn(ag.ones((2, 2)), s=(1, 2, 3)), ValueError, "3 lengths for a tensor of 2 dimensions"),
    (lambda: ag.fft.fftn(ag.ones((2, 2)), s=(1,), axes=(0, 1)), ValueError, "1 lengths for 2 axes"),
    (lambda: ag.fft.rfftn(ag.ones(())), ValueError, "needs at least one axis"),
    (lambda: ag.fft.fftfreq(0), ValueError, "n of at least 1"),
    (lambda: ag.fft.rfftfreq(3, dtype="int64"), TypeError, "must be float32 or float64, got int64"),
])  # fmt: skip
def test_refused(call, error, words):
    with pytest.raises(error, match=words):
        call()
