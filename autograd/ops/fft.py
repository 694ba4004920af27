"""Discrete Fourier transforms, each beside its adjoint, which is a transform in the other direction.

The transforms are NumPy's: those of a CUDA tensor are computed on the host. Real numbers of single precision stay in single
precision.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from autograd import dtypes
from autograd.ops.arrange import pad, roll
from autograd.ops.base import Operation, normalize_axes, normalize_axis
from autograd.ops.complex_numbers import conj
from autograd.ops.creation import asarray
from autograd.tensor import Tensor

_ADJOINT = {"backward": "forward", "ortho": "ortho", "forward": "backward"}  # the scale of the transform the other way


class Transform(Operation):
    """Of complex numbers, over some axes: a matrix whose adjoint is the other direction's."""

    takes_complex = "itself"

    def forward(self, x, axes, norm, inverse):
        self.options = {"axes": axes, "norm": _ADJOINT[norm], "inverse": not inverse}
        transform = np.fft.ifftn if inverse else np.fft.fftn
        host = transform(self.backend.to_numpy(x), axes=axes, norm=norm)
        return self.backend.from_numpy(np.ascontiguousarray(host, x.dtype))

    def backward(self, grad):
        return Transform.apply(grad, **self.options)


class OfReal(Operation):
    """Of real numbers along an axis: the half of the result that tells the rest, which is its mirror image."""

    def forward(self, x, axis, norm):
        self.axis, self.norm, self.length = axis, norm, x.shape[axis]
        host = np.fft.rfft(self.backend.to_numpy(x), axis=axis, norm=norm)
        return self.backend.from_numpy(np.ascontiguousarray(host, dtypes.complex_of(x.dtype)))

    def backward(self, grad):
        weighted = grad * _weights(self.length, self.axis, grad, 0.5)
        return ToReal.apply(weighted, axis=self.axis, norm=_ADJOINT[self.norm], length=self.length)


class ToReal(Operation):
    """Of half a mirror-symmetric spectrum along an axis, back to real numbers; imaginary parts that cannot be are ignored."""

    takes_complex = "itself"

    def forward(self, x, axis, norm, length):
        self.axis, self.norm, self.length = axis, norm, length
        host = np.fft.irfft(self.backend.to_numpy(x), length, axis=axis, norm=norm)
        return self.backend.from_numpy(np.ascontiguousarray(host, dtypes.real_of(x.dtype)))

    def backward(self, grad):
        spectrum = OfReal.apply(grad, axis=self.axis, norm=_ADJOINT[self.norm])
        return spectrum * _weights(self.length, self.axis, spectrum, 2.0)


def _weights(length: int, axis: int, like: Tensor, inner: float) -> Tensor:
    """1 for the frequencies that occur once in the whole spectrum (0, and the middle of an even one), `inner` for others."""
    values = np.full(length // 2 + 1, inner, dtypes.real_of(like.dtype))
    values[0] = 1
    if length % 2 == 0:
        values[-1] = 1
    return asarray(values.reshape((-1,) + (1,) * (like.ndim - axis - 1)), device=like.device)


# --- the standard's functions -----------------------------------------------------------------------------------------


def fft(x: Tensor, /, *, n: int | None = None, axis: int = -1, norm: str = "backward") -> Tensor:
    """The discrete Fourier transform along an axis: out[k] = sum of x[j] exp(-2 pi i jk / n).

    Args:
        x: numbers; real ones are taken as complex.
        n: the length of the result: x is cut or filled up with zeros at the end; by default x's own.
        norm: where the transforms are scaled: "backward" the inverse by 1/n, "forward" this one, "ortho" both by 1/sqrt(n).

    Raises:
        ValueError: the axis has no elements, n is less than 1, or another norm is given.

    >>> import autograd as ag
    >>> ag.fft.fft(ag.tensor([1.0, 2.0, 3.0, 4.0]))
    tensor([10.+0.j, -2.+2.j, -2.+0.j, -2.-2.j], dtype=complex64)
    """
    return _transform("fft", x, (n,), (axis,), norm, False)


def ifft(x: Tensor, /, *, n: int | None = None, axis: int = -1, norm: str = "backward") -> Tensor:
    """The inverse of `fft`, which has the arguments explained."""
    return _transform("ifft", x, (n,), (axis,), norm, True)


def fftn(
    x: Tensor, /, *, s: Sequence[int] | None = None, axes: Sequence[int] | None = None, norm: str = "backward"
) -> Tensor:
    """The discrete Fourier transform over several axes.

    Args:
        s: the length along each of the axes, as `n` of `fft`.
        axes: all by default, or as many of the last ones as `s` has lengths.
    """
    return _transform("fftn", x, *_lengths("fftn", x, s, axes), norm, False)


def ifftn(
    x: Tensor, /, *, s: Sequence[int] | None = None, axes: Sequence[int] | None = None, norm: str = "backward"
) -> Tensor:
    """The inverse of `fftn`."""
    return _transform("ifftn", x, *_lengths("ifftn", x, s, axes), norm, True)


def rfft(x: Tensor, /, *, n: int | None = None, axis: int = -1, norm: str = "backward") -> Tensor:
    """`fft` of real numbers: the first n // 2 + 1 elements, of which the others are the conjugates.

    >>> import autograd as ag
    >>> ag.fft.rfft(ag.tensor([1.0, 2.0, 3.0, 4.0]))
    tensor([10.+0.j, -2.+2.j, -2.+0.j], dtype=complex64)
    """
    x = _real("rfft", x)
    place = normalize_axis(axis, x.ndim, "rfft")
    return OfReal.apply(_fitted("rfft", x, place, n), axis=place, norm=_checked_norm("rfft", norm))


def irfft(x: Tensor, /, *, n: int | None = None, axis: int = -1, norm: str = "backward") -> Tensor:
    """The inverse of `rfft`: real numbers, n of them (by default twice the length of the axis less one, an even number)."""
    x = _complex("irfft", x)
    place = normalize_axis(axis, x.ndim, "irfft")
    length = 2 * (x.shape[place] - 1) if n is None else n
    if length < 1:
        raise ValueError(f"irfft: the result must have at least one element along axis {axis}, not {length}")
    half = _fitted("irfft", x, place, length // 2 + 1)
    return ToReal.apply(half, axis=place, norm=_checked_norm("irfft", norm), length=length)


def rfftn(
    x: Tensor, /, *, s: Sequence[int] | None = None, axes: Sequence[int] | None = None, norm: str = "backward"
) -> Tensor:
    """`fftn` of real numbers: `rfft` along the last of the axes, `fftn` over the others."""
    x = _real("rfftn", x)
    lengths, places = _lengths("rfftn", x, s, axes)
    if not places:
        raise ValueError("rfftn: needs at least one axis")
    return _transform("rfftn", rfft(x, n=lengths[-1], axis=places[-1], norm=norm), lengths[:-1], places[:-1], norm, False)


def irfftn(
    x: Tensor, /, *, s: Sequence[int] | None = None, axes: Sequence[int] | None = None, norm: str = "backward"
) -> Tensor:
    """The inverse of `rfftn`; the last of `s` has to be given where that length was odd."""
    lengths, places = _lengths("irfftn", x, s, axes)
    if not places:
        raise ValueError("irfftn: needs at least one axis")
    across = _transform("irfftn", x, lengths[:-1], places[:-1], norm, True)
    return irfft(across, n=lengths[-1], axis=places[-1], norm=norm)


def hfft(x: Tensor, /, *, n: int | None = None, axis: int = -1, norm: str = "backward") -> Tensor:
    """`fft` of half a mirror-symmetric signal: real numbers, n of them (by default twice the length less one)."""
    return irfft(conj(x), n=n, axis=axis, norm=_ADJOINT[_checked_norm("hfft", norm)])


def ihfft(x: Tensor, /, *, n: int | None = None, axis: int = -1, norm: str = "backward") -> Tensor:
    """The inverse of `hfft`: the first n // 2 + 1 elements of the spectrum of real numbers."""
    return conj(rfft(x, n=n, axis=axis, norm=_ADJOINT[_checked_norm("ihfft", norm)]))


def fftfreq(n: int, /, *, d: float = 1.0, dtype: Any = None, device: str | None = None) -> Tensor:
    """The frequencies of `fft`'s results, in cycles per unit of the sample spacing d: 0, 1, ..., -2, -1 over n d.

    >>> import autograd as ag
    >>> ag.fft.fftfreq(4, d=0.5)
    tensor([ 0. ,  0.5, -1. , -0.5], dtype=float32)
    """
    return _frequencies("fftfreq", np.fft.fftfreq, n, d, dtype, device)


def rfftfreq(n: int, /, *, d: float = 1.0, dtype: Any = None, device: str | None = None) -> Tensor:
    """The frequencies of `rfft`'s results: those of `fftfreq` that are not negative, the middle one with a plus sign."""
    return _frequencies("rfftfreq", np.fft.rfftfreq, n, d, dtype, device)


def fftshift(x: Tensor, /, *, axes: int | Sequence[int] | None = None) -> Tensor:
    """The frequency 0 brought to the middle of each axis (all, if None)."""
    places = _axes(x, axes, "fftshift")
    return roll(x, tuple(x.shape[a] // 2 for a in places), axis=places) if places else x.clone()


def ifftshift(x: Tensor, /, *, axes: int | Sequence[int] | None = None) -> Tensor:
    """The inverse of `fftshift`; another thing where a size is odd."""
    places = _axes(x, axes, "ifftshift")
    return roll(x, tuple(-(x.shape[a] // 2) for a in places), axis=places) if places else x.clone()


# --- what they share --------------------------------------------------------------------------------------------------


def _transform(name: str, x: Tensor, lengths: Sequence, axes: Sequence[int], norm: str, inverse: bool) -> Tensor:
    norm = _checked_norm(name, norm)
    places = tuple(normalize_axis(a, x.ndim, name) for a in axes)
    x = _complex(name, x)
    for place, length in zip(places, lengths, strict=True):
        x = _fitted(name, x, place, length)
    return Transform.apply(x, axes=places, norm=norm, inverse=inverse) if places else x


def _checked_norm(name: str, norm: str) -> str:
    if norm not in _ADJOINT:
        raise ValueError(f"{name}: norm must be 'backward', 'ortho' or 'forward', got {norm!r}")
    return norm


def _real(name: str, x: Tensor) -> Tensor:
    if x.dtype.kind == "c":
        raise TypeError(f"{name}: takes real numbers, got {x.dtype}; fft and fftn take complex ones")
    return x if x.dtype.kind == "f" else x.astype(dtypes.default_float)


def _complex(name: str, x: Tensor) -> Tensor:
    return x if x.dtype.kind == "c" else x.astype(dtypes.complex_of(x.dtype))


def _fitted(name: str, x: Tensor, axis: int, length: int | None) -> Tensor:
    """The tensor cut, or filled up with zeros, to a length along an axis."""
    size = x.shape[axis]
    length = size if length is None else length
    if length < 1:
        raise ValueError(f"{name}: needs at least one element along axis {axis}, got shape {x.shape}, length {length}")
    if length < size:
        return x[(slice(None),) * axis + (slice(0, length),)]
    if length > size:
        return pad(x, [(0, length - size if a == axis else 0) for a in range(x.ndim)])
    return x


def _lengths(name: str, x: Tensor, s: Any, axes: Any) -> tuple[tuple, tuple[int, ...]]:
    """The length (None for that of x) and the number of each axis to transform over."""
    if axes is None:
        count = x.ndim if s is None else len(s)
        if count > x.ndim:
            raise ValueError(f"{name}: {count} lengths for a tensor of {x.ndim} dimensions")
        axes = range(x.ndim - count, x.ndim)
    places = tuple(normalize_axis(a, x.ndim, name) for a in axes)
    if len(set(places)) != len(places):
        raise ValueError(f"{name}: repeated axis in {tuple(axes)}")
    lengths = (None,) * len(places) if s is None else tuple(s)
    if len(lengths) != len(places):
        raise ValueError(f"{name}: {len(lengths)} lengths for {len(places)} axes")
    return lengths, places


def _axes(x: Tensor, axes: Any, name: str) -> tuple[int, ...]:
    return normalize_axes(axes if axes is None or isinstance(axes, int) else tuple(axes), x.ndim, name)


def _frequencies(name: str, function: Any, n: int, d: float, dtype: Any, device: str | None) -> Tensor:
    if n < 1 or d == 0:
        raise ValueError(f"{name}: needs n of at least 1 and d other than 0, got n = {n}, d = {d}")
    kind = dtypes.default_float if dtype is None else dtypes.as_dtype(dtype)
    if kind.kind != "f":
        raise TypeError(f"{name}: the result's dtype must be float32 or float64, got {kind}")
    return asarray(function(n, d).astype(kind), device=device)
