"""Factorisations and inverses: values by LAPACK, through NumPy; derivative rules of our own, in differentiable operations.

Stacks of matrices are the last two axes of a tensor. A CUDA tensor is copied to the host, and the results back to it.
The rules are those of Giles (2008), "Collected matrix derivative results", and Seeger et al. (2017), "Auto-differentiating
linear algebra"; pinv's is Golub and Pereyra's (1973). They hold for complex matrices where they have conjugate transposes:
`adjoint`, which is the transpose of a real matrix.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from autograd.mode import no_grad
from autograd.ops import elementwise as ew
from autograd.ops.base import Operation
from autograd.ops.complex_numbers import conj, imag, real
from autograd.ops.creation import asarray, eye
from autograd.ops.diagonal import diag_embed, diagonal, tril
from autograd.ops.linalg import _same, adjoint
from autograd.ops.reduce import product_of_others
from autograd.ops.several import SeveralResults
from autograd.ops.shape import concat, expand_dims, matrix_transpose
from autograd.tensor import Tensor, wrap
from kernels.layout import broadcast_shapes


class QRResult(NamedTuple):
    Q: Tensor
    R: Tensor


class SlogdetResult(NamedTuple):
    sign: Tensor
    logabsdet: Tensor


# --- what the operations share ----------------------------------------------------------------------------------------

_REASONS = {
    "Singular matrix": "the matrix (or one of the stack) is singular, so it has no inverse; pinv and lstsq take any matrix",
    "Matrix is not positive definite": "the matrix (or one of the stack) is not positive definite",
    "SVD did not converge": "the singular values were not found; that happens with NaN or infinity in the matrix",
    "Array must not contain infs or NaNs": "there is NaN or infinity in the matrix",
    "Eigenvalues did not converge": "the eigenvalues were not found; that happens with NaN or infinity in the matrix",
}


def on_host(node: Operation, function: Callable, *arrays: Any, **options: Any) -> Any:
    """A NumPy function of arrays on any device: its result (or a tuple of them) on that device."""
    backend = node.backend
    try:
        found = function(*[backend.to_numpy(a) for a in arrays], **options)
    except np.linalg.LinAlgError as error:
        reason = _REASONS.get(str(error), f"{error}")
        raise np.linalg.LinAlgError(f"{node.name}: {reason}") from None
    if isinstance(found, tuple):
        return tuple(backend.from_numpy(np.asarray(part)) for part in found)
    return backend.from_numpy(np.asarray(found))


def matrices(x: Any, name: str, square: bool = False) -> Tensor:
    """The operand as a tensor of float or complex matrices, or a sentence why it is none."""
    x = asarray(x)
    if x.dtype.kind not in "fc":
        raise TypeError(
            f"{name}: needs floats or complex numbers, got shape {x.shape}, {x.dtype}; convert with .astype(autograd.float32)"
        )
    if x.ndim < 2:
        raise ValueError(f"{name}: needs matrices, at least 2 dimensions, got shape {x.shape}")
    if square and x.shape[-1] != x.shape[-2]:
        raise ValueError(f"{name}: needs square matrices, got shape {x.shape}")
    return x


def hermitian_part(x: Tensor) -> Tensor:
    """(x + adjoint(x)) / 2: of real matrices the symmetric part."""
    return (x + adjoint(x)) * 0.5


# --- Cholesky, solve, inverse -----------------------------------------------------------------------------------------


class Cholesky(Operation):
    takes_complex = "itself"
    saves_result = True

    def forward(self, x):
        return on_host(self, np.linalg.cholesky, x)

    def backward(self, grad):
        factor = self.result()
        upper = adjoint(factor)
        inner = upper @ grad
        inner = tril(inner, -1) + diag_embed(diagonal(inner, 0, -2, -1) * 0.5)
        half = adjoint(solve(upper, inner))
        return hermitian_part(solve(upper, half))


class Solve(Operation):
    takes_complex = "itself"
    saves_result = True
    explanation = "-solve({0}.mT, {g}) @ {out}.mT", "solve({0}.mT, {g})"

    def forward(self, a, b):
        return on_host(self, np.linalg.solve, a, b)

    def saves(self, needs):
        return True, False

    def backward(self, grad):
        to_b = solve(adjoint(self.operand(0)), grad)
        to_a = -(to_b @ adjoint(self.result())) if self.inputs[0] is not None else None
        return to_a, (to_b if self.inputs[1] is not None else None)


class Inv(Operation):
    takes_complex = "itself"
    saves_result = True
    explanation = "-{out}.mT @ {g} @ {out}.mT"

    def forward(self, x):
        return on_host(self, np.linalg.inv, x)

    def backward(self, grad):
        inverse = adjoint(self.result())
        return -(inverse @ grad @ inverse)


def cholesky(x: Tensor, /, *, upper: bool = False) -> Tensor:
    """The lower triangular L with L @ L.mT = x, or with `upper` the U with U.mT @ U = x, of positive definite matrices.

    Of complex matrices it is the conjugate transpose that stands here. Only the lower triangle of x is read; x is taken to be
    symmetric (if complex Hermitian), and so is its gradient.

    Special cases:
        reads the lower triangle; the gradient is symmetric; a matrix that is not positive definite raises.

    Raises:
        LinAlgError: a matrix is not positive definite.
    """
    factor = Cholesky.apply(matrices(x, "cholesky", square=True))
    return adjoint(factor) if upper else factor


def solve(x1: Tensor, x2: Tensor, /) -> Tensor:
    """The x with x1 @ x = x2.

    Special cases:
        a singular matrix raises.

    Args:
        x1: (..., n, n).
        x2: (n,), or (..., n, k); the dimensions in front broadcast.

    Raises:
        LinAlgError: a matrix is singular.
    """
    a, b = _same(x1, x2, "solve")
    matrices(a, "solve", square=True)
    vector = b.ndim == 1
    if b.ndim < 1 or b.shape[0 if vector else -2] != a.shape[-1]:
        raise ValueError(
            f"solve: the right side of shape {b.shape} does not fit matrices of shape {a.shape}; it must be ({a.shape[-1]},) "
            f"or (..., {a.shape[-1]}, k)"
        )
    b = expand_dims(b, 1) if vector else b
    broadcast_shapes("solve", a.shape[:-2], b.shape[:-2])
    found = Solve.apply(a, b)
    return found[..., 0] if vector else found


def inv(x: Tensor, /) -> Tensor:
    """The inverses of square matrices.

    Special cases:
        a singular matrix raises.

    Raises:
        LinAlgError: a matrix is singular.
    """
    return Inv.apply(matrices(x, "inv", square=True))


# --- determinants -----------------------------------------------------------------------------------------------------


class Det(Operation):
    """The gradient is the matrix of cofactors, which singular matrices have as well."""

    takes_complex = "itself"
    explanation = "{g} * the cofactors of {0}: det({0}) * inv({0}).mT where there is an inverse"

    def forward(self, x):
        return on_host(self, np.linalg.det, x)

    def saves(self, needs):
        return needs

    def backward(self, grad):
        return expand_dims(grad, (-2, -1)) * conj(Cofactors.apply(self.operand(0)))


class Cofactors(Operation):
    """det(x) * inv(x).T, of any square matrix.

    With the singular value decomposition x = U diag(s) Vh they are those of diag(s), the products of the other s, turned
    back by U and Vh (their conjugates, and by their determinants): polynomials, so nothing is divided and the rank does not
    matter. Nor does it for the derivative: when diag(s) changes by E, cofactor ij changes by -E_ji p_ij, and cofactor ii
    by the sum of E_jj p_ij over j != i, p_ij the product of all s but s_i and s_j. (A third derivative goes through the
    decomposition's own rule: it is NaN where singular values are equal.)
    """

    takes_complex = "itself"

    def forward(self, x):
        with no_grad():
            u, s, vh, sign = _signed_svd(wrap(x))
            return ((conj(u) * expand_dims(product_of_others(s, (s.ndim - 1,)) * sign, -2)) @ conj(vh))._data

    def saves(self, needs):
        return needs

    def backward(self, grad):
        u, s, vh, sign = _signed_svd(self.operand(0))
        size = s.shape[-1]
        given = matrix_transpose(u) @ (grad @ matrix_transpose(vh)) * expand_dims(conj(sign), -1)
        same = eye(size, dtype=bool, device=s.device)
        pairs = product_of_others(ew.where(same, 1.0, expand_dims(s, -2)), (s.ndim,))
        pairs = ew.where(same, 0.0, pairs)
        on = pairs @ expand_dims(diagonal(given, 0, -2, -1), -1)
        return u @ (diag_embed(on[..., 0]) - matrix_transpose(given) * pairs) @ vh


def _signed_svd(x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """U, s, Vh and, with an axis of size 1, the product of the determinants of U and Vh: 1, -1 or a complex phase."""
    from autograd.ops.lapack_spectral import svd

    u, s, vh = svd(x, full_matrices=False)
    if x.dtype.kind == "c":
        sign = det(u) * det(vh)  # changes with the phases of the vectors, as what it is multiplied with does
    else:
        sign = ew.sign(det(u.detach()) * det(vh.detach()))
    return u, s, vh, expand_dims(sign, -1)


class Slogdet(SeveralResults):
    def _has_gradient(self, place, layout):
        return place == 1 or layout.dtype.kind == "c"  # a real sign has none

    def forward(self, x):
        sign, value = on_host(self, np.linalg.slogdet, x)
        return sign, value

    def saves(self, needs):
        return needs

    def rule(self, *grads):
        to_sign, found = grads
        if to_sign is not None:  # which the imaginary part of trace(inv(x) @ dx) turns, as the real part changes the logarithm
            turn = imag(to_sign * conj(self.results()[0])) * 1j
            found = turn if found is None else found + turn
        assert found is not None
        return adjoint(inv(self.operand(0))) * expand_dims(found, (-2, -1))


def det(x: Tensor, /) -> Tensor:
    """The determinants of square matrices.

    Special cases:
        exact for singular matrices, first and second gradient too.
    """
    return Det.apply(matrices(x, "det", square=True))


def slogdet(x: Tensor, /) -> SlogdetResult:
    """The sign of the determinant (if complex its phase, det / |det|), and the logarithm of its absolute value.

    Special cases:
        0 and -infinity for a singular matrix, whose backward pass raises; a real sign has no gradient.
    """
    return SlogdetResult(*Slogdet.apply(matrices(x, "slogdet", square=True)))


# --- pseudo-inverse ---------------------------------------------------------------------------------------------------


class Pinv(Operation):
    takes_complex = "itself"
    saves_result = True

    def forward(self, x, rtol):
        return on_host(self, np.linalg.pinv, x, rtol=rtol)

    def saves(self, needs):
        return needs

    def backward(self, grad):
        a, p = self.operand(0), self.result()
        p_t, g_t = adjoint(p), adjoint(grad)
        left = g_t - a @ (p @ g_t)  # (I - a p) g.T
        right = g_t - (g_t @ p) @ a  # g.T (I - p a)
        return left @ (p @ p_t) + (p_t @ p) @ right - p_t @ grad @ p_t


def pinv(x: Tensor, /, *, rtol: Any = None) -> Tensor:
    """The Moore-Penrose pseudo-inverses.

    Its derivative exists where the rank does not change nearby: for full rank, and it is that of the changes that keep
    the rank otherwise.

    Special cases:
        below full rank the gradient is that of changes that keep the rank.

    Args:
        rtol: singular values up to rtol times the largest count as zero: a number, or one per matrix; by default the
            larger size times the precision of the dtype.
    """
    x = matrices(x, "pinv")
    return Pinv.apply(x, rtol=tolerance(x, rtol))


def tolerance(x: Tensor, rtol: Any) -> Any:
    """rtol for NumPy: by default the larger size times the precision of the dtype."""
    if rtol is None:
        return max(x.shape[-2:]) * float(np.finfo(x.dtype).eps)
    return rtol.detach().numpy() if isinstance(rtol, Tensor) else rtol


# --- QR ---------------------------------------------------------------------------------------------------------------


class QR(SeveralResults):
    def forward(self, x, mode):
        self.before, self.mode = x.shape, mode
        return tuple(on_host(self, np.linalg.qr, x, mode=mode))

    def rule(self, *grads):
        rows, columns = self.before[-2:]
        if self.mode == "complete" and rows > columns:
            raise RuntimeError(
                f"qr: the columns that mode='complete' adds for matrices of shape {self.before} can be chosen in many ways, and "
                "have no gradient; use mode='reduced'"
            )
        to_q, to_r = grads
        q, r = self.results()
        inner = None if to_r is None else r @ adjoint(to_r)
        if to_q is not None:
            part = adjoint(to_q) @ q
            inner = -part if inner is None else inner - part
        assert inner is not None
        lower = tril(inner, -1)
        found = q @ (lower + adjoint(lower) + diag_embed(real(diagonal(inner, 0, -2, -1))))  # R's diagonal stays real
        found = found if to_q is None else to_q + found
        return adjoint(solve(r, adjoint(found)))


def qr(x: Tensor, /, *, mode: str = "reduced") -> QRResult:
    """Orthonormal columns Q and upper triangular R, with a real diagonal, with Q @ R = x: (Q, R).

    Special cases:
        the backward pass raises for linearly dependent columns, and for the columns that `complete` adds.

    Args:
        mode: "reduced" for min(m, n) columns of Q, "complete" for all m; the gradient of the complete form exists where
            it adds none, for m <= n. The backward pass raises a LinAlgError where the first min(m, n) columns of x are
            linearly dependent.
    """
    x = matrices(x, "qr")
    if mode not in ("reduced", "complete"):
        raise ValueError(f"qr: mode must be 'reduced' or 'complete', got {mode!r}")
    rows, columns = x.shape[-2:]
    if rows >= columns:
        return QRResult(*QR.apply(x, mode=mode))
    q, r = QR.apply(x[..., :rows], mode="reduced")  # the first columns alone decide on Q
    return QRResult(q, concat([r, adjoint(q) @ x[..., rows:]], axis=-1))
