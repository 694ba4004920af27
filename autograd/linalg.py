"""Linear algebra: the Array API's `linalg`, with `cond` and `lstsq`; stacks of matrices are the last two axes everywhere.

Values are LAPACK's, through NumPy; a CUDA tensor is copied to the host, and the results back to it, except by matmul,
outer, tensordot, vecdot, cross, diagonal, trace, matrix_transpose, vector_norm, matrix_norm with ord "fro", 1, -1, inf or
-inf, and matrix_power of n >= 0. Derivatives are in differentiable operations, to second order and mostly to any.

All of them take complex matrices, where "transpose" in a rule is the conjugate transpose, and "symmetric" means Hermitian;
eig and eigvals give complex numbers for real matrices too. A complex eigenvector or singular vector is determined but for a
phase exp(i phi): a loss that depends on it has no derivative, and its backward pass raises. |v| and projectors do not.

Where derivatives are special: det's is exact for singular matrices; inv, solve and slogdet raise a LinAlgError for them.
eig and eigvals have none for matrices without a full set of eigenvectors: it comes out huge, or raises a LinAlgError.
Eigenvectors and singular vectors of equal values have none: it comes out as NaN; that of the values alone always exists.
cholesky, eigh and eigvalsh take their operand to be symmetric, read its lower triangle, and give symmetric gradients. Norms
have derivative 0 at zero. Vectors that only complete a basis (qr's "complete", svd's full_matrices) have none.

>>> import autograd as ag
>>> a = ag.tensor([[2.0, 0.0], [0.0, 3.0]], requires_grad=True)
>>> ag.linalg.det(a).backward()
>>> a.grad.tolist()
[[3.0, 0.0], [0.0, 2.0]]
"""

from autograd.ops.diagonal import matrix_diagonal as diagonal
from autograd.ops.diagonal import matrix_trace as trace
from autograd.ops.lapack import cholesky, det, inv, pinv, qr, slogdet, solve
from autograd.ops.lapack_spectral import (
    cond,
    eig,
    eigh,
    eigvals,
    eigvalsh,
    lstsq,
    matrix_norm,
    matrix_rank,
    svd,
    svdvals,
    vector_norm,
)
from autograd.ops.linalg import matmul, outer
from autograd.ops.products import cross, matrix_power, tensordot, vecdot
from autograd.ops.shape import matrix_transpose

__all__ = [
    "cholesky", "cond", "cross", "det", "diagonal", "eig", "eigh", "eigvals", "eigvalsh", "inv", "lstsq", "matmul",
    "matrix_norm", "matrix_power", "matrix_rank", "matrix_transpose", "outer", "pinv", "qr", "slogdet", "solve", "svd",
    "svdvals", "tensordot", "trace", "vecdot", "vector_norm",
]  # fmt: skip
