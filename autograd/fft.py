"""Fourier transforms, by the names of the Python Array API standard's extension `fft`.

>>> import autograd as ag
>>> ag.fft.irfft(ag.fft.rfft(ag.tensor([1.0, 2.0, 3.0, 4.0])))
tensor([1., 2., 3., 4.], dtype=float32)
"""

from autograd.ops.fft import (
    fft,
    fftfreq,
    fftn,
    fftshift,
    hfft,
    ifft,
    ifftn,
    ifftshift,
    ihfft,
    irfft,
    irfftn,
    rfft,
    rfftfreq,
    rfftn,
)

__all__ = [
    "fft", "fftfreq", "fftn", "fftshift", "hfft", "ifft", "ifftn", "ifftshift", "ihfft", "irfft", "irfftn", "rfft", "rfftfreq",
    "rfftn",
]  # fmt: skip
