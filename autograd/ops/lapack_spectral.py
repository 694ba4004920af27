"""Eigenvalues, singular values, and what is made of them: rank, norms, condition.

The rules are those of Giles (2008) for eigenvalues, and of Townsend's notes on the singular value decomposition. Vectors
turn towards each other the faster, the closer their values are: by 1 / (difference). Where two values are equal the
vectors are not determined, and a gradient through them comes out as NaN (or infinity): the derivative need not exist,
and where a function does not depend on the choice it cannot be told from the vectors' gradients alone. Where they are
equal but for rounding, it is rounding errors divided by each other. Values alone have a gradient everywhere; a second
derivative goes through the vectors.

A complex vector times a phase exp(i phi) serves as well, and which one LAPACK gives is an accident. So what is made of
complex vectors can be differentiated where it does not depend on the phases (|v|, a projector v @ v^H, U @ f(S) @ Vh); where
it does, the backward pass raises, as PyTorch's. Of real vectors it is the sign that must not matter.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from autograd.dtypes import complex_of
from autograd.mode import no_grad
from autograd.ops import elementwise as ew
from autograd.ops.base import normalize_axes
from autograd.ops.complex_numbers import conj, imag, real, view_as_real
from autograd.ops.creation import asarray, eye
from autograd.ops.diagonal import diag_embed, diagonal
from autograd.ops.lapack import hermitian_part, inv, matrices, on_host, pinv, solve, tolerance
from autograd.ops.linalg import _same, adjoint
from autograd.ops.reduce import any, max, min, norm, sum
from autograd.ops.several import SeveralResults
from autograd.ops.shape import expand_dims
from autograd.tensor import Tensor


class EigResult(NamedTuple):
    eigenvalues: Tensor
    eigenvectors: Tensor


class EighResult(NamedTuple):
    eigenvalues: Tensor
    eigenvectors: Tensor


class SVDResult(NamedTuple):
    U: Tensor
    S: Tensor
    Vh: Tensor


class LstsqResult(NamedTuple):
    solution: Tensor
    residuals: Tensor
    rank: Tensor
    singular_values: Tensor


def _turning(values: Tensor, squares: bool) -> Tensor:
    """1 / (v_j - v_i), or of their squares, at place ij; 0 on the diagonal."""
    across, down = expand_dims(values, -2), expand_dims(values, -1)
    difference = (across - down) * (across + down) if squares else across - down
    same = eye(values.shape[-1], dtype=bool, device=values.device)
    return ew.where(same, 0.0, 1.0 / ew.where(same, 1.0, difference))


def _phase_slopes(name: str, insides: Sequence[Tensor], gradients: Sequence[Tensor]) -> list[Tensor]:
    """How fast a loss changes with the phase of each complex vector; raises where it does when they turn together.

    gradients: those of vectors, as columns. insides: the vectors' adjoints times them. Rounding errors change a loss too: by
    little beside the gradients, or beside 1 where these cancel each other.
    """
    slopes = [imag(diagonal(inside, 0, -2, -1)) for inside in insides]
    with no_grad():
        size, together = vector_norm(gradients[0], axis=-2), slopes[0]
        for grad, slope in zip(gradients[1:], slopes[1:], strict=True):
            size, together = size + vector_norm(grad, axis=-2), together + slope
        rounding = math.sqrt(np.finfo(slopes[0].dtype).eps)
        depends = bool(any(ew.greater(ew.abs(together), ew.maximum(size * 0.01, rounding))))
    if depends:
        raise RuntimeError(
            f"{name}: complex vectors are determined but for a factor exp(i phi), and the loss depends on it, so that it has no "
            "derivative; use absolute values of the vectors, projectors v @ v^H, or other functions that any phase leaves alone"
        )
    return slopes


# --- eigenvalues ------------------------------------------------------------------------------------------------------


class Eigh(SeveralResults):
    def forward(self, x):
        return tuple(on_host(self, np.linalg.eigh, x))

    def rule(self, *grads):
        to_values, to_vectors = grads
        values, vectors = self.results()
        inner = None if to_values is None else diag_embed(to_values)
        if to_vectors is not None:
            inside = adjoint(vectors) @ to_vectors
            if inside.dtype.kind == "c":
                _phase_slopes("eigh", [inside], [to_vectors])
            turned = _turning(values, False) * inside
            inner = turned if inner is None else inner + turned
        assert inner is not None
        return hermitian_part(vectors @ inner @ adjoint(vectors))


class Eig(SeveralResults):
    """Of any square matrices: always complex, though NumPy's results are real where all eigenvalues are."""

    def forward(self, x):
        values, vectors = on_host(self, _complex_eig, x, dtype=complex_of(x.dtype))
        return values, vectors

    def rule(self, *grads):
        to_values, to_vectors = grads
        values, vectors = self.results()
        flipped = adjoint(vectors)
        inner = None if to_values is None else diag_embed(to_values)
        if to_vectors is not None:
            inside = flipped @ to_vectors
            _phase_slopes("eig", [inside], [to_vectors])
            longer = real(diagonal(inside, 0, -2, -1))  # how far the vectors would have to leave length 1
            turned = (inside - (flipped @ vectors) * expand_dims(longer, -2)) * conj(_turning(values, False))
            inner = turned if inner is None else inner + turned
        assert inner is not None
        return solve(flipped, inner @ flipped)  # of a real operand the engine takes the real part


def _complex_eig(x: np.ndarray, dtype: np.dtype) -> tuple[np.ndarray, np.ndarray]:
    values, vectors = np.linalg.eig(x)
    return values.astype(dtype, copy=False), vectors.astype(dtype, copy=False)


def eigh(x: Tensor, /) -> EighResult:
    """Eigenvalues in increasing order, and eigenvectors as columns, of symmetric matrices: (eigenvalues, eigenvectors).

    Complex matrices are Hermitian instead, with real eigenvalues. Only the lower triangle of x is read; x is taken to be
    symmetric, and so is its gradient. Through eigenvectors it is NaN (or infinite) where eigenvalues are equal; through
    eigenvalues it always exists, and belongs to the eigenvectors found. The backward pass raises a RuntimeError where the
    loss depends on the phases of complex eigenvectors.

    Special cases:
        reads the lower triangle; the gradient is symmetric, and NaN or infinite through vectors of equal eigenvalues.
    """
    return EighResult(*Eigh.apply(matrices(x, "eigh", square=True)))


def eigvalsh(x: Tensor, /) -> Tensor:
    """The eigenvalues of symmetric matrices in increasing order; see `eigh`.

    Special cases:
        equal eigenvalues have a gradient.
    """
    return Eigh.apply(matrices(x, "eigvalsh", square=True))[0]


def eig(x: Tensor, /) -> EigResult:
    """Eigenvalues, and eigenvectors of length 1 as columns, of any square matrices: (eigenvalues, eigenvectors), both complex.

    The order is LAPACK's. Real matrices have real gradients. As with `eigh`, the gradient through eigenvectors is NaN (or
    infinite) where eigenvalues are equal, and the backward pass raises a RuntimeError where the loss depends on the phases
    of the eigenvectors. Through eigenvalues it belongs to the eigenvectors found; matrices without a full set of them (such
    as [[0, 1], [0, 0]]) have no derivative there: it comes out huge, or raises a LinAlgError.

    Special cases:
        NaN or infinite gradient through vectors of equal eigenvalues; a loss that depends on their phases raises.

    Raises:
        LinAlgError: NaN or infinity in a matrix.

    >>> import autograd as ag
    >>> ag.linalg.eig(ag.tensor([[0.0, -1.0], [1.0, 0.0]])).eigenvalues
    tensor([0.+1.j, 0.-1.j], dtype=complex64)
    """
    return EigResult(*Eig.apply(matrices(x, "eig", square=True)))


def eigvals(x: Tensor, /) -> Tensor:
    """The eigenvalues of any square matrices, complex numbers in LAPACK's order; see `eig`.

    Special cases:
        equal eigenvalues have a gradient where there is a full set of eigenvectors.
    """
    return Eig.apply(matrices(x, "eigvals", square=True))[0]


# --- singular values --------------------------------------------------------------------------------------------------


class SVD(SeveralResults):
    def forward(self, x, full_matrices):
        self.before, self.full = x.shape, full_matrices
        return tuple(on_host(self, np.linalg.svd, x, full_matrices=full_matrices))

    def rule(self, *grads):
        to_u, to_s, to_vh = grads
        rows, columns = self.before[-2:]
        u, s, vh = self._determined(to_u is not None or to_vh is not None)
        parts = [] if to_s is None else [diag_embed(to_s)]
        outside, insides, given = [], [], []
        if to_u is not None:
            inside = adjoint(u) @ to_u
            insides, given = [inside], [to_u]
            turned = _turning(s, True) * inside
            parts.append((turned + adjoint(turned)) * expand_dims(s, -2))
            if rows > columns:
                outside.append(((to_u - u @ inside) / expand_dims(s, -2)) @ vh)
        if to_vh is not None:
            to_v, v = adjoint(to_vh), adjoint(vh)
            inside = vh @ to_v
            insides, given = [*insides, inside], [*given, to_v]
            turned = _turning(s, True) * inside
            parts.append(expand_dims(s, -1) * (turned + adjoint(turned)))
            if columns > rows:
                outside.append(u @ adjoint((to_v - v @ inside) / expand_dims(s, -2)))
        if insides and u.dtype.kind == "c":
            slopes = _phase_slopes("svd", insides, given)
            if len(slopes) == 2:  # the phases of U and V are free together, but their difference is determined
                parts.append(diag_embed(slopes[0] / s) * 1j)
        inner = parts[0]
        for part in parts[1:]:
            inner = inner + part
        found = u @ inner @ vh
        for part in outside:
            found = found + part
        return found

    def _determined(self, by_vectors: bool) -> tuple[Tensor, ...]:
        """The results without the vectors that can be chosen."""
        u, s, vh = self.results()
        if not self.full or self.before[-2] == self.before[-1]:
            return u, s, vh
        if by_vectors:
            raise RuntimeError(
                f"svd: the vectors that full_matrices=True adds for matrices of shape {self.before} can be chosen in many "
                "ways, and have no gradient; use full_matrices=False"
            )
        return u[..., : s.shape[-1]], s, vh[..., : s.shape[-1], :]


def svd(x: Tensor, /, *, full_matrices: bool = True) -> SVDResult:
    """The singular value decomposition (U, S, Vh): x = U @ diag(S) @ Vh, S in decreasing order.

    S is real. The gradient through U and Vh is NaN (or infinite) where singular values are equal, and for matrices that are
    not square, or complex, where one is 0; through S it always exists, and belongs to the vectors found. The backward pass
    raises a RuntimeError where the loss depends on the phases of complex vectors: those of column k of U and row k of Vh are
    free together.

    Special cases:
        NaN or infinite gradient through vectors of equal singular values.

    Args:
        full_matrices: with False, U and Vh have min(m, n) columns and rows: only these have a gradient.
    """
    return SVDResult(*SVD.apply(matrices(x, "svd"), full_matrices=bool(full_matrices)))


def svdvals(x: Tensor, /) -> Tensor:
    """The singular values in decreasing order.

    Special cases:
        equal singular values have a gradient.
    """
    return SVD.apply(matrices(x, "svdvals"), full_matrices=False)[1]


def matrix_rank(x: Tensor, /, *, rtol: Any = None) -> Tensor:
    """How many singular values are larger than rtol times the largest one; has no gradient.

    Args:
        rtol: a number, or one per matrix; by default the larger size times the precision of the dtype.
    """
    x = matrices(x, "matrix_rank").detach()
    values = svdvals(x)
    relative = asarray(tolerance(x, rtol), dtype=values.dtype, device=x.device)
    if not values.shape[-1]:
        return sum(values, axis=-1).astype("int64")
    return sum(ew.greater(values, expand_dims(relative * values[..., 0], -1)), axis=-1)


# --- norms ------------------------------------------------------------------------------------------------------------


def vector_norm(x: Tensor, /, *, axis: Any = None, keepdims: bool = False, ord: float = 2) -> Tensor:
    """The vector norm over axes (all, if None): (sum |x|**ord)**(1/ord); inf and -inf the largest and smallest |x|, 0 how
    many elements are not zero.

    Special cases:
        derivative 0 at zero.
    """
    x = asarray(x)
    if isinstance(ord, str) or not isinstance(ord, (int, float, np.number)):
        raise ValueError(f"vector_norm: ord must be a number, inf or -inf, got {ord!r}; matrix_norm knows 'fro' and 'nuc'")
    return _norm(x, float(ord), axis, keepdims)


def _norm(x: Tensor, order: float, axis: Any, keepdims: bool) -> Tensor:
    """The norm of |x|, for complex x too."""
    if x.dtype.kind != "c":
        return norm(x, order, axis=axis, keepdims=keepdims)
    if order != 2:
        return norm(ew.abs(x), order, axis=axis, keepdims=keepdims)
    axes = normalize_axes(axis, x.ndim, "norm")  # the squares of the parts are smooth where |x| is not: at 0
    found = norm(view_as_real(x), 2, axis=(*axes, x.ndim), keepdims=keepdims)
    return found[..., 0] if keepdims else found


def matrix_norm(x: Tensor, /, *, keepdims: bool = False, ord: Any = "fro") -> Tensor:
    """The norms of matrices.

    Special cases:
        singular values of 0 have derivative 0, equal largest ones share theirs.

    Args:
        ord: "fro" the root of the sum of squares, "nuc" the sum of singular values, 2 and -2 the largest and smallest of
            them, 1 and -1 the largest and smallest sum of |x| over a column, inf and -inf over a row.

    Singular values of 0 have derivative 0, and equal largest ones share theirs evenly.
    """
    x = matrices(x, "matrix_norm")
    if ord == "fro":
        return _norm(x, 2, (-2, -1), keepdims)
    if ord == "nuc" or ord in (2, -2):
        values = ew.abs(svdvals(x))  # which has derivative 0 at 0
        found = sum(values, axis=-1) if ord == "nuc" else (max if ord == 2 else min)(values, axis=-1)
    elif ord in (1, -1, math.inf, -math.inf):
        sums = sum(ew.abs(x), axis=-2 if abs(ord) == 1 else -1)
        found = (max if ord > 0 else min)(sums, axis=-1)
    else:
        raise ValueError(f"matrix_norm: ord must be 'fro', 'nuc', 1, -1, 2, -2, inf or -inf, got {ord!r}")
    return expand_dims(found, (-2, -1)) if keepdims else found


def cond(x: Tensor, /, p: Any = None) -> Tensor:
    """The condition number: the norm times the norm of the inverse.

    Special cases:
        infinity for singular matrices, with derivative 0; norms other than 2 and -2 raise.

    Args:
        p: the norm, as `ord` of `matrix_norm`; None and 2 give the ratio of the largest to the smallest singular value
            (of any matrices, inf for singular ones, with derivative 0), -2 the other way round.

    Raises:
        LinAlgError: a matrix is singular, and p is not None, 2 or -2.
    """
    if p is not None and p not in (2, -2):
        x = matrices(x, "cond", square=True)
        return matrix_norm(x, ord=p) * matrix_norm(inv(x), ord=p)
    x = matrices(x, "cond")
    values = svdvals(x)
    if not values.shape[-1]:
        raise ValueError(f"cond: matrices without elements have no condition number, got shape {x.shape}")
    above, below = (values[..., -1], values[..., 0]) if p == -2 else (values[..., 0], values[..., -1])
    absent = ew.equal(below, 0.0)
    return ew.where(absent, math.inf, above / ew.where(absent, 1.0, below))


# --- least squares ----------------------------------------------------------------------------------------------------


def lstsq(x1: Tensor, x2: Tensor, /, rcond: float | None = None) -> LstsqResult:
    """The x of least norm among those for which |x1 @ x - x2| is smallest: (solution, residuals, rank, singular_values).

    The solution is pinv(x1) @ x2, with pinv's derivative; rank has no gradient.

    Special cases:
        the derivative is that of `pinv`; the rank has none.

    Args:
        x1: (..., m, n).
        x2: (m,), or (..., m, k); the dimensions in front broadcast.
        rcond: singular values up to rcond times the largest count as zero; by default as in `pinv`.

    Returns:
        solution: (n,) or (..., n, k). residuals: the sums of squares of x1 @ x - x2, (..., k), or of size 0 where m <= n or
        a matrix has a rank below n.
    """
    a, b = _same(x1, x2, "lstsq")
    matrices(a, "lstsq")
    vector = b.ndim == 1
    if b.ndim < 1 or b.shape[0 if vector else -2] != a.shape[-2]:
        raise ValueError(f"lstsq: the right side of shape {b.shape} does not fit matrices of shape {a.shape}")
    right = expand_dims(b, 1) if vector else b
    solution = pinv(a, rtol=rcond) @ right
    rank, rows, columns = matrix_rank(a, rtol=rcond), *a.shape[-2:]
    if rows > columns and bool((rank == columns).all()):
        left = a @ solution - right
        residuals = real(sum(left * conj(left), axis=-2))
    else:
        residuals = real(sum(right, axis=-2))[..., :0]
    return LstsqResult(solution[..., 0] if vector else solution, residuals, rank, svdvals(a))
