"""Eigenvalues of symmetric matrices, singular values, and what is made of them: rank, norms, condition.

The rules are those of Giles (2008) for eigenvalues, and of Townsend's notes on the singular value decomposition. Vectors
turn towards each other the faster, the closer their values are: by 1 / (difference). Where two values are equal the
vectors are not determined, and a gradient through them comes out as NaN (or infinity): the derivative need not exist,
and where a function does not depend on the choice it cannot be told from the vectors' gradients alone. Where they are
equal but for rounding, it is rounding errors divided by each other. Values alone have a gradient everywhere; a second
derivative goes through the vectors.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple, NoReturn

import numpy as np

from autograd.ops import elementwise as ew
from autograd.ops.creation import asarray, eye
from autograd.ops.diagonal import diag_embed
from autograd.ops.lapack import inv, matrices, on_host, pinv, symmetric_part, tolerance
from autograd.ops.linalg import _same
from autograd.ops.reduce import max, min, norm, sum
from autograd.ops.several import SeveralResults
from autograd.ops.shape import expand_dims, matrix_transpose
from autograd.tensor import Tensor


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


# --- eigenvalues ------------------------------------------------------------------------------------------------------


class Eigh(SeveralResults):
    def forward(self, x):
        return tuple(on_host(self, np.linalg.eigh, x))

    def rule(self, *grads):
        to_values, to_vectors = grads
        values, vectors = self.results()
        inner = None if to_values is None else diag_embed(to_values)
        if to_vectors is not None:
            turned = _turning(values, False) * (matrix_transpose(vectors) @ to_vectors)
            inner = turned if inner is None else inner + turned
        assert inner is not None
        return symmetric_part(vectors @ inner @ matrix_transpose(vectors))


def eigh(x: Tensor, /) -> EighResult:
    """Eigenvalues in increasing order, and eigenvectors as columns, of symmetric matrices: (eigenvalues, eigenvectors).

    Only the lower triangle of x is read; x is taken to be symmetric, and so is its gradient. Through eigenvectors it is
    NaN (or infinite) where eigenvalues are equal; through eigenvalues it always exists, and belongs to the eigenvectors
    found.
    """
    return EighResult(*Eigh.apply(matrices(x, "eigh", square=True)))


def eigvalsh(x: Tensor, /) -> Tensor:
    """The eigenvalues of symmetric matrices in increasing order; see `eigh`."""
    return Eigh.apply(matrices(x, "eigvalsh", square=True))[0]


def eig(x: Tensor, /) -> NoReturn:
    """Eigenvalues and eigenvectors of any square matrices: not there yet, because they are complex numbers."""
    _needs_complex("eig")


def eigvals(x: Tensor, /) -> NoReturn:
    """Eigenvalues of any square matrices: not there yet, because they are complex numbers."""
    _needs_complex("eigvals")


def _needs_complex(name: str) -> NoReturn:
    raise NotImplementedError(
        f"{name}: the eigenvalues of a matrix that is not symmetric are complex numbers, and there are no complex dtypes yet; "
        "eigh and eigvalsh take symmetric matrices, svd and svdvals any"
    )


# --- singular values --------------------------------------------------------------------------------------------------


class SVD(SeveralResults):
    def forward(self, x, full_matrices):
        self.before, self.full = x.shape, full_matrices
        return tuple(on_host(self, np.linalg.svd, x, full_matrices=full_matrices))

    def rule(self, *grads):
        to_u, to_s, to_vh = grads
        rows, columns = self.before[-2:]
        u, s, vh = self.results()
        if self.full and rows != columns:
            if to_u is not None or to_vh is not None:
                raise RuntimeError(
                    f"svd: the vectors that full_matrices=True adds for matrices of shape {self.before} can be chosen in many "
                    "ways, and have no gradient; use full_matrices=False"
                )
            u, vh = u[..., : s.shape[-1]], vh[..., : s.shape[-1], :]
        parts = [] if to_s is None else [diag_embed(to_s)]
        outside = []
        if to_u is not None:
            inside = matrix_transpose(u) @ to_u
            turned = _turning(s, True) * inside
            parts.append((turned + matrix_transpose(turned)) * expand_dims(s, -2))
            if rows > columns:
                outside.append(((to_u - u @ inside) / expand_dims(s, -2)) @ vh)
        if to_vh is not None:
            inside = to_vh @ matrix_transpose(vh)
            turned = _turning(s, True) * matrix_transpose(inside)
            parts.append(expand_dims(s, -1) * (turned + matrix_transpose(turned)))
            if columns > rows:
                outside.append(u @ ((to_vh - inside @ vh) / expand_dims(s, -1)))
        inner = parts[0]
        for part in parts[1:]:
            inner = inner + part
        found = u @ inner @ vh
        for part in outside:
            found = found + part
        return found


def svd(x: Tensor, /, *, full_matrices: bool = True) -> SVDResult:
    """The singular value decomposition (U, S, Vh): x = U @ diag(S) @ Vh, S in decreasing order.

    The gradient through U and Vh is NaN (or infinite) where singular values are equal, and for matrices that are not
    square where one is 0; through S it always exists, and belongs to the vectors found.

    Args:
        full_matrices: with False, U and Vh have min(m, n) columns and rows: only these have a gradient.
    """
    return SVDResult(*SVD.apply(matrices(x, "svd"), full_matrices=bool(full_matrices)))


def svdvals(x: Tensor, /) -> Tensor:
    """The singular values in decreasing order."""
    return SVD.apply(matrices(x, "svdvals"), full_matrices=False)[1]


def matrix_rank(x: Tensor, /, *, rtol: Any = None) -> Tensor:
    """How many singular values are larger than rtol times the largest one; has no gradient.

    Args:
        rtol: a number, or one per matrix; by default the larger size times the precision of the dtype.
    """
    x = matrices(x, "matrix_rank").detach()
    values = svdvals(x)
    relative = asarray(tolerance(x, rtol), dtype=x.dtype, device=x.device)
    if not values.shape[-1]:
        return sum(values, axis=-1).astype("int64")
    return sum(ew.greater(values, expand_dims(relative * values[..., 0], -1)), axis=-1)


# --- norms ------------------------------------------------------------------------------------------------------------


def vector_norm(x: Tensor, /, *, axis: Any = None, keepdims: bool = False, ord: float = 2) -> Tensor:
    """The vector norm over axes (all, if None): (sum |x|**ord)**(1/ord); inf and -inf the largest and smallest |x|, 0 how
    many elements are not zero. Its derivative at zero is 0."""
    x = asarray(x)
    if isinstance(ord, str) or not isinstance(ord, (int, float, np.number)):
        raise ValueError(f"vector_norm: ord must be a number, inf or -inf, got {ord!r}; matrix_norm knows 'fro' and 'nuc'")
    return norm(x, float(ord), axis=axis, keepdims=keepdims)


def matrix_norm(x: Tensor, /, *, keepdims: bool = False, ord: Any = "fro") -> Tensor:
    """The norms of matrices.

    Args:
        ord: "fro" the root of the sum of squares, "nuc" the sum of singular values, 2 and -2 the largest and smallest of
            them, 1 and -1 the largest and smallest sum of |x| over a column, inf and -inf over a row.

    Singular values of 0 have derivative 0, and equal largest ones share theirs evenly.
    """
    x = matrices(x, "matrix_norm")
    if ord == "fro":
        return norm(x, 2, axis=(-2, -1), keepdims=keepdims)
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
        residuals = sum(ew.square(a @ solution - right), axis=-2)
    else:
        residuals = sum(right, axis=-2)[..., :0]
    return LstsqResult(solution[..., 0] if vector else solution, residuals, rank, svdvals(a))
