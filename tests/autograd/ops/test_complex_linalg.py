"""Linear algebra on complex numbers: derivative rules to second order, free phases, eigenvalues of any matrix, both devices.

Values are compared with the strict reference's in tests/array_api/test_complex_linalg.py.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
from cuda_support import needs_cuda

import autograd as ag
from autograd import linalg
from autograd.ops.linalg import adjoint

GENERATOR = np.random.default_rng(11)
INF = math.inf


def drawn(*shape: int) -> np.ndarray:
    return GENERATOR.normal(size=shape) + 1j * GENERATOR.normal(size=shape)


def reals(*shape: int) -> np.ndarray:
    return GENERATOR.normal(size=shape)


def leaf(values) -> ag.Tensor:
    return ag.tensor(np.asarray(values), requires_grad=True)


def hermitian(x: ag.Tensor) -> ag.Tensor:
    return (x + adjoint(x)) * 0.5


def positive(x: ag.Tensor) -> ag.Tensor:
    return x @ adjoint(x) + ag.eye(x.shape[-1], dtype=x.dtype, device=x.device)


def weighted(vectors: ag.Tensor, other: ag.Tensor | None = None) -> ag.Tensor:
    """vectors @ diag(1, 2, ...) @ their adjoint (or another matrix): whatever the phases are, the same."""
    weights = ag.arange(1, vectors.shape[-1] + 1, dtype=ag.real(vectors).dtype, device=vectors.device)
    return (vectors * weights) @ (adjoint(vectors) if other is None else other)


def eigh(x):
    values, vectors = linalg.eigh(hermitian(x))
    return values, weighted(vectors), ag.abs(vectors)


def eig(x):
    values, vectors = linalg.eig(x)
    return values, weighted(vectors), ag.abs(vectors), (vectors * ag.expand_dims(ag.exp(values), -2)) @ linalg.inv(vectors)


def svd_of(*names: str):
    def function(x):
        u, s, vh = linalg.svd(x, full_matrices=False)
        found = {"U": lambda: weighted(u), "Vh": lambda: weighted(adjoint(vh)), "both": lambda: weighted(u, vh), "S": lambda: s}
        return tuple(found[name]() for name in names)

    return function


def norms(x):
    found = [linalg.matrix_norm(x, ord=o) for o in ("fro", "nuc", 1)]
    return *found, linalg.vector_norm(x, axis=1, keepdims=True), linalg.vector_norm(x, ord=INF)


# Functions that no phase changes, and their operands.
RULES = {
    "cholesky": (lambda x: linalg.cholesky(positive(x)), [drawn(2, 2)]),
    "cholesky upper": (lambda x: linalg.cholesky(positive(x), upper=True), [drawn(1, 2, 2)]),
    "solve": (linalg.solve, [drawn(2, 2), drawn(2, 2, 1)]), "solve a vector": (linalg.solve, [drawn(2, 2), drawn(2)]),
    "solve real with complex": (linalg.solve, [reals(2, 2), drawn(2, 1)]),
    "inv": (linalg.inv, [drawn(2, 2, 2)]), "det": (linalg.det, [drawn(3, 3)]), "slogdet": (linalg.slogdet, [drawn(2, 2, 2)]),
    "det of rank 1": (linalg.det, [np.full((3, 3), 1 + 2j)]), "det of zero": (linalg.det, [np.zeros((2, 2), complex)]),
    "pinv": (linalg.pinv, [drawn(3, 2)]), "pinv wide": (linalg.pinv, [drawn(1, 2, 3)]),
    "pinv of rank 1": (lambda a, b: linalg.pinv(a @ b), [drawn(2, 1), drawn(1, 3)]),
    "qr": (linalg.qr, [drawn(3, 2)]), "qr square": (lambda x: linalg.qr(x, mode="complete"), [drawn(2, 2, 2)]),
    "qr wide": (lambda x: linalg.qr(x, mode="complete"), [drawn(2, 3)]),
    "qr Q": (lambda x: linalg.qr(x).Q, [drawn(2, 1)]), "qr R": (lambda x: linalg.qr(x).R, [drawn(2, 2)]),
    "eigvalsh": (lambda x: linalg.eigvalsh(hermitian(x)), [drawn(2, 2)]), "eigh": (eigh, [drawn(3, 3)]),
    "svdvals": (linalg.svdvals, [drawn(3, 2)]), "svd U": (svd_of("U"), [drawn(2, 1)]), "svd Vh": (svd_of("Vh"), [drawn(1, 2)]),
    "svd both": (svd_of("both"), [drawn(2, 2)]), "svd all": (svd_of("U", "S", "Vh", "both"), [drawn(1, 3, 2)]),
    "eigvals": (linalg.eigvals, [drawn(2, 2, 2)]), "eigvals of a real matrix": (linalg.eigvals, [[[1.0, -2.0, 0], [3, 1, 1], [0, 1, 5]]]),
    "eig": (eig, [drawn(3, 3)]), "eig of a real stack": (eig, [[[[1.0, 0.5], [0.2, 3.0]], [[0.1, -1.0], [2.0, 0.0]]]]),
    "norms": (norms, [drawn(2, 2)]), "powers": (lambda x: [linalg.matrix_power(x, n) for n in (0, 3, -2)], [drawn(2, 2)]),
    "lstsq": (lambda a, b: linalg.lstsq(a, b)[:2], [drawn(2, 1), drawn(2)]), "cond": (linalg.cond, [drawn(2, 2)]),
    "cond 1": (lambda x: linalg.cond(x, 1), [drawn(2, 2)]),
    "vecdot": (linalg.vecdot, [drawn(2, 3), drawn(3)]), "cross": (linalg.cross, [drawn(2, 3), drawn(3)]),
    "kron": (ag.kron, [drawn(2, 1), drawn(2)]), "outer": (linalg.outer, [drawn(2), drawn(3)]),
    "tensordot": (lambda a, b: linalg.tensordot(a, b, axes=1), [drawn(2, 2), drawn(2, 2)]),
    "einsum": (lambda a, b: ag.einsum("ij,kj,ii->ik", a, b, a), [drawn(2, 2), drawn(2, 2)]),
    "matmul": (linalg.matmul, [drawn(2, 1, 2), drawn(2)]), "trace": (linalg.trace, [drawn(2, 3)]),
    "diagonal": (linalg.diagonal, [drawn(2, 3)]),
}  # fmt: skip


@pytest.mark.parametrize("name", RULES)
def test_rules_to_second_order(name):
    function, operands = RULES[name]
    leaves = [leaf(a) for a in operands]
    assert ag.gradcheck(function, leaves) and ag.gradgradcheck(function, leaves)


def test_third_derivative_of_det():
    x = leaf(drawn(2, 2))
    assert ag.gradgradcheck(lambda t: ag.gradients(ag.real(linalg.det(t)), t, create_graph=True)[0], x)


def test_dtypes_stay_and_real_results_are_real():
    for kind, real in (("complex64", ag.float32), ("complex128", ag.float64)):
        x = leaf(drawn(3, 3).astype(kind))
        for found in (
            linalg.eigvalsh(hermitian(x)),
            linalg.svdvals(x),
            linalg.slogdet(x)[1],
            linalg.matrix_norm(x),
            linalg.cond(x),
        ):
            assert found.dtype == real
        for found in (*linalg.qr(x), linalg.inv(x), linalg.det(x), linalg.slogdet(x)[0], *linalg.eig(x), *linalg.eig(ag.real(x))):
            assert found.dtype == kind
        assert linalg.matrix_rank(x).dtype == ag.int64
        ag.sum(linalg.svdvals(x)).backward()
        assert x.grad.dtype == kind
    whole = leaf([[2.0, 1.0], [0.0, 3.0]])  # eigenvalues that NumPy gives as real numbers
    values, vectors = linalg.eig(whole)
    assert values.dtype == vectors.dtype == ag.complex128 and np.allclose(np.sort(values.detach().numpy().real), [2, 3])
    ag.real(ag.sum(values**2)).backward()
    assert whole.grad.dtype == ag.float64 and np.allclose(whole.grad.numpy(), 2 * np.array([[2.0, 0.0], [1.0, 3.0]]))  # 2 x.mT


# --- phases -----------------------------------------------------------------------------------------------------------

PHASED = {
    "eigh": lambda x: linalg.eigh(x).eigenvectors, "eig": lambda x: linalg.eig(x).eigenvectors, "svd": lambda x: linalg.svd(x).U,
    "svd ": lambda x: linalg.svd(x).Vh,
}  # fmt: skip


@pytest.mark.parametrize("kind", ["complex64", "complex128"])
@pytest.mark.parametrize("name", PHASED)
def test_a_loss_that_depends_on_phases_is_refused(name, kind):
    x = leaf(drawn(3, 3).astype(kind))
    with pytest.raises(
        RuntimeError, match=rf"{name.strip()}: complex vectors .*factor exp\(i phi\).*no derivative; use absolute"
    ):
        ag.imag(PHASED[name](x)).sum().backward()
    x = leaf(drawn(12, 12).astype(kind))  # a loss that does not depend on them is not refused for rounding errors
    (ag.abs(PHASED[name](x)) ** 3 * 1e4).sum().backward()
    assert np.isfinite(x.grad.numpy()).all()


def test_singular_values_alone_have_a_gradient_with_full_matrices():
    assert ag.gradcheck(lambda t: linalg.svd(t).S, leaf(drawn(2, 3)))
    with pytest.raises(RuntimeError, match=r"svd: .*full_matrices=True adds.*\(2, 3\).*use full_matrices=False"):
        ag.abs(linalg.svd(leaf(drawn(2, 3))).Vh).sum().backward()


def test_phases_of_singular_vectors_are_free_together():
    x = leaf(drawn(3, 2))
    u, _, vh = linalg.svd(x, full_matrices=False)
    ag.real(u[..., :1] @ vh[:1]).sum().backward(retain_graph=True)
    with pytest.raises(RuntimeError, match="svd: complex vectors"):
        ag.real(u[..., :1] @ vh[1:]).sum().backward()


def test_real_matrices_are_not_asked_about_phases():
    x = leaf([[2.0, 1.0], [1.0, 5.0]])
    linalg.eigh(x).eigenvectors.sum().backward()
    ag.real(linalg.eig(x).eigenvectors).sum().backward()
    assert np.isfinite(x.grad.numpy()).all()


# --- equal eigenvalues, singular matrices, errors ---------------------------------------------------------------------


def test_equal_eigenvalues():
    for values in (np.eye(2), np.eye(2) * (1 + 0j)):
        x = leaf(values)
        ag.real(linalg.eigvals(x).sum()).backward()
        assert np.allclose(x.grad.numpy(), np.eye(2))  # the trace's
        for function in (linalg.eig, linalg.eigh):
            x = leaf(values)
            ag.real(weighted(function(x).eigenvectors)[0, 1]).backward()
            assert not np.isfinite(x.grad.numpy()).all()


def test_hermitian_matrices_have_hermitian_gradients_and_the_lower_triangle_is_read():
    values = drawn(3, 3)
    values = values @ values.conj().T + np.eye(3)
    other = np.tril(values) + np.triu(np.full((3, 3), 99.0), 1)
    for function in (linalg.cholesky, lambda t: ag.abs(linalg.eigh(t).eigenvectors), linalg.eigvalsh):
        x = leaf(values)
        out = function(x)
        out.backward(ag.tensor(drawn(*out.shape) if out.dtype == ag.complex128 else reals(*out.shape)))
        assert np.array_equal(x.grad.numpy(), adjoint(x.grad).numpy())
        assert np.allclose(function(ag.tensor(other)).numpy(), out.detach().numpy())


def test_norms_at_zero():
    for order in ("fro", "nuc", 2, -2, 1, -1, INF, -INF):
        x = leaf(np.zeros((2, 3), complex))
        linalg.matrix_norm(x, ord=order).backward()
        assert x.grad.tolist() == [[0j] * 3] * 2, order
    for order in (2, 1, 3, 0.5, INF, -INF, -1):
        x = leaf(np.zeros(3, complex))
        linalg.vector_norm(x, ord=order).backward()
        assert x.grad.tolist() == [0j] * 3, order
    x = leaf([0j, 3 + 4j])
    assert linalg.vector_norm(x, ord=0).item() == 1.0 and linalg.vector_norm(x, keepdims=True).tolist() == [5.0]
    assert ag.gradgradcheck(linalg.vector_norm, x)  # smooth at elements of 0


def test_refusals():
    with pytest.raises(np.linalg.LinAlgError, match="inv: the matrix .* is singular"):
        linalg.inv(ag.tensor([[1j, 1j], [1j, 1j]]))
    with pytest.raises(np.linalg.LinAlgError, match="cholesky: the matrix .* is not positive definite"):
        linalg.cholesky(ag.tensor([[-1 + 0j]]))
    with pytest.raises(np.linalg.LinAlgError, match="eig: .*NaN or infinity"):
        linalg.eig(ag.tensor([[math.nan + 0j]]))
    with pytest.raises(ValueError, match=r"eig: needs square matrices, got shape \(2, 3\)"):
        linalg.eig(ag.zeros((2, 3), dtype=ag.complex64))
    with pytest.raises(TypeError, match=r"eigvals: needs floats or complex numbers, got shape \(2, 2\), int64"):
        linalg.eigvals(ag.ones((2, 2), dtype=ag.int64))
    sign, logarithm = linalg.slogdet(leaf(np.ones((2, 2), complex)))
    assert sign.item() == 0 and logarithm.item() == -INF
    with pytest.raises(np.linalg.LinAlgError, match="singular"):
        logarithm.backward()


def test_vecdot_conjugates_its_first_argument_and_the_others_none():
    a, b = ag.tensor([1j, 2.0 + 0j]), ag.tensor([1j, 1j])
    assert linalg.vecdot(a, b).item() == 1 + 2j and linalg.tensordot(a, b, axes=1).item() == -1 + 2j == (a @ b).item()
    assert linalg.vecdot(ag.tensor([1.0, 1.0]), b).item() == 2j and ag.einsum("i,i", a, b).item() == -1 + 2j


# --- the other device -------------------------------------------------------------------------------------------------


@needs_cuda
@pytest.mark.parametrize("name", ["cholesky", "slogdet", "eigvals", "svdvals", "qr R"])
def test_on_cuda(name):
    function, operands = RULES[name]
    found = []
    for device in ("cpu", "cuda"):
        leaves = [ag.tensor(np.asarray(a), device=device, requires_grad=True) for a in operands]
        results = function(*leaves)
        results = results if isinstance(results, (tuple, list)) else (results,)
        loss = sum((ag.abs(r) ** 2).sum() for r in results)
        loss.backward()
        assert all(t.device.startswith(device) for t in (*results, *[t.grad for t in leaves]))
        found.append([t.detach().numpy() for t in (*results, *[t.grad for t in leaves])])
    for mine, theirs in zip(*found, strict=True):
        assert mine.dtype == theirs.dtype and np.allclose(mine, theirs, rtol=1e-10, atol=1e-10)
