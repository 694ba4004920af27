"""Linear algebra where the table does not reach: gradients through the raw factors, singular matrices, equal values."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from layouts import tensor_in
from operation_table import TABLE

import autograd as ag
from autograd import linalg

GENERATOR = np.random.default_rng(7)


def leaf(values) -> ag.Tensor:
    return ag.tensor(np.asarray(values, np.float64), requires_grad=True)


def symmetric(x: ag.Tensor) -> ag.Tensor:
    return (x + x.mT) * 0.5


def with_singular_values(*values: float) -> np.ndarray:
    """A matrix that has these singular values."""
    n = len(values)
    left, right = (np.linalg.qr(GENERATOR.normal(size=(n, n)))[0] for _ in range(2))
    return left @ np.diag(values) @ right


def test_every_function_is_in_the_table():
    assert not {name for name in linalg.__all__ if f"linalg.{name}" not in TABLE and name not in TABLE}
    standard = """cholesky cross det diagonal eig eigh eigvals eigvalsh inv matmul matrix_norm matrix_power matrix_rank
        matrix_transpose outer pinv qr slogdet solve svd svdvals tensordot trace vecdot vector_norm""".split()
    assert set(standard) <= set(linalg.__all__)


# --- the table's functions, where its generic tests leave something out -----------------------------------------------

RARE = [operation for operation in TABLE.values() if operation.name.startswith("linalg.") and not operation.every_layout]


@pytest.mark.parametrize("operation", [o for o in RARE if o.order], ids=str)
def test_second_derivatives_of_every_case(operation):
    for case in operation.cases:
        leaves = [leaf(a) for a in operation.draw(case, np.float64, seed=1)]
        assert ag.gradgradcheck(lambda *x, case=case: operation.function(*x, **case.options), leaves)


@pytest.mark.parametrize("layout", ["permuted", "strided", "negative", "stretched"])
@pytest.mark.parametrize("operation", RARE, ids=str)
def test_values_in_any_layout(operation, layout):
    case = operation.cases[0]
    laid_out, plain = zip(*(tensor_in(a, layout) for a in operation.draw(case, np.float64)), strict=True)
    got = operation.function(*laid_out, **case.options)
    expected = operation.function(*map(ag.tensor, plain), **case.options)
    for mine, theirs in zip(*(r if isinstance(r, tuple) else (r,) for r in (got, expected)), strict=True):
        assert np.allclose(mine.numpy(), theirs.numpy(), rtol=1e-12, atol=1e-12)


# --- factors ----------------------------------------------------------------------------------------------------------

FACTORS = {
    "qr": (lambda x: linalg.qr(x), [(3, 3), (4, 3), (2, 3), (2, 3, 2)]),
    "qr complete": (lambda x: linalg.qr(x, mode="complete"), [(3, 3), (2, 4)]),
    "eigh": (lambda x: linalg.eigh(symmetric(x)), [(3, 3), (2, 2, 2)]),
    "svd": (lambda x: linalg.svd(x, full_matrices=False), [(3, 3), (4, 2), (2, 4), (2, 2, 3)]),
    "svd full": (lambda x: linalg.svd(x), [(3, 3)]),
    "cholesky": (lambda x: linalg.cholesky(x @ x.mT + ag.eye(x.shape[-1], dtype=x.dtype)), [(3, 3), (2, 2, 2)]),
}  # fmt: skip


@pytest.mark.parametrize("name", FACTORS)
def test_gradients_through_each_factor_alone_and_all_together(name):
    function, shapes = FACTORS[name]
    for shape in shapes:
        x = leaf(GENERATOR.normal(size=shape))
        found = function(x)
        assert ag.gradcheck(function, x) and ag.gradgradcheck(function, x)
        if isinstance(found, tuple):
            for k in range(len(found)):
                assert ag.gradcheck(lambda t, k=k: function(t)[k], x) and ag.gradgradcheck(lambda t, k=k: function(t)[k], x)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@given(shape=st.tuples(st.integers(0, 2), st.integers(0, 5), st.integers(0, 5)), seed=st.integers(0, 999))
def test_factors_multiply_to_the_matrix(dtype, shape, seed):
    values = np.random.default_rng(seed).normal(size=shape).astype(dtype)
    x = ag.tensor(values)
    close = dict(rtol=0, atol=200 * float(np.finfo(dtype).eps))
    for mode in ("reduced", "complete"):
        q, r = linalg.qr(x, mode=mode)
        expected = np.linalg.qr(values, mode=mode)
        assert (q.shape, r.shape) == (expected.Q.shape, expected.R.shape) and q.dtype == r.dtype == dtype
        assert np.allclose((q @ r).numpy(), values, **close)
        assert np.allclose((q.mT @ q).numpy(), np.eye(q.shape[-1]), **close)
        assert np.allclose(r.numpy(), ag.triu(r).numpy(), **close)
    for full in (False, True):
        u, s, vh = linalg.svd(x, full_matrices=full)
        expected = np.linalg.svd(values, full_matrices=full)
        assert (u.shape, s.shape, vh.shape) == tuple(e.shape for e in expected) and u.dtype == s.dtype == vh.dtype == dtype
        k = s.shape[-1]
        assert np.allclose(((u[..., :k] * ag.expand_dims(s, -2)) @ vh[..., :k, :]).numpy(), values, **close)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        p = linalg.pinv(x)
        assert p.shape == (shape[0], shape[2], shape[1])
        assert linalg.matrix_rank(x).numpy().tolist() == [min(shape[1:])] * shape[0]


def test_results_have_names():
    x = ag.tensor([[2.0, 0.0], [0.0, 3.0]])
    assert linalg.svd(x).S.tolist() == [3.0, 2.0] == linalg.svdvals(x).tolist()
    assert linalg.eigh(x).eigenvalues.tolist() == [2.0, 3.0] and linalg.eigh(x).eigenvectors.shape == (2, 2)
    assert linalg.slogdet(-x).sign.item() == 1.0 and linalg.qr(x).Q.shape == linalg.qr(x).R.shape == (2, 2)
    assert linalg.slogdet(x).logabsdet.item() == pytest.approx(math.log(6))


def test_vectors_that_can_be_chosen_have_no_gradient():
    x = leaf(GENERATOR.normal(size=(3, 2)))
    assert ag.gradcheck(lambda t: linalg.svd(t).S, x)
    assert ag.gradcheck(lambda t: linalg.svd(t.mT).S, x)
    with pytest.raises(RuntimeError, match=r"svd: .*full_matrices=True adds.*\(3, 2\).*use full_matrices=False"):
        linalg.svd(x).U.sum().backward()
    with pytest.raises(RuntimeError, match=r"qr: .*mode='complete' adds.*\(3, 2\).*use mode='reduced'"):
        linalg.qr(x, mode="complete").R.sum().backward()


def test_symmetric_matrices_have_symmetric_gradients_and_the_lower_triangle_is_read():
    values = with_singular_values(1.0, 2.0, 3.0)
    values = values @ values.T
    for function in (linalg.cholesky, lambda t: linalg.eigh(t).eigenvectors, linalg.eigvalsh):
        x = leaf(values)
        out = function(x)
        out.backward(ag.tensor(GENERATOR.normal(size=out.shape)))
        assert np.array_equal(x.grad.numpy(), x.grad.mT.numpy())
        lower = function(ag.tensor(np.tril(values) + np.triu(np.full((3, 3), 99.0), 1)))
        assert np.array_equal(lower.numpy(), out.detach().numpy())


def test_a_factor_changed_in_place_is_noticed():
    x = leaf(np.eye(2))
    q, r = linalg.qr(x)
    with ag.no_grad():
        r.multiply_(2.0)
    with pytest.raises(RuntimeError, match="backward of qr: its result number 1 .*in-place"):
        q.sum().backward()


def test_a_graph_can_be_used_twice_only_when_retained():
    x = leaf(with_singular_values(1.0, 2.0))
    u, s, _ = linalg.svd(x)
    s.sum().backward(retain_graph=True)
    once = x.grad.numpy().copy()
    s.sum().backward(retain_graph=True)
    assert np.allclose(x.grad.numpy(), 2 * once)
    (u.sum() + s.sum()).backward()
    with pytest.raises(RuntimeError, match="a second time"):
        s.sum().backward()


def test_hooks_and_anomaly_mode_see_the_factors():
    seen = []
    x = leaf(with_singular_values(1.0, 2.0))
    with ag.detect_anomaly():
        values, vectors = linalg.eigh(symmetric(x))
        values.register_hook(seen.append)
        (values.sum() + vectors.sum()).backward()
    assert seen[0].tolist() == [1.0, 1.0]
    repeated = leaf(np.eye(2))
    with ag.detect_anomaly(), pytest.raises(RuntimeError, match="backward of eigh gave NaN"):
        linalg.eigh(repeated).eigenvectors.sum().backward()


def test_explanations_name_the_results_that_were_used():
    x = leaf(with_singular_values(1.0, 2.0))
    _, s, vh = linalg.svd(x, full_matrices=False)
    with ag.detect_anomaly():
        logarithm = linalg.slogdet(x).logabsdet
    text = str(ag.explain((s.sum() + vh.sum()) * linalg.det(x) + logarithm + ag.diagonal(linalg.inv(x)).sum()))
    assert "svd(x)" in text and "upstream: s.grad" in text and "upstream: vh.grad" in text
    assert "the derivative rule of svd on the gradients of its results" in text and "slogdet(x)" in text
    assert "* the cofactors of x" in text and "on the diagonal, 0 elsewhere" in text


# --- singular matrices ------------------------------------------------------------------------------------------------

DEFICIENT = {
    "rank 2 of 3": with_singular_values(2.0, 1.0, 0.0), "rank 1 of 3": with_singular_values(2.0, 0.0, 0.0), "zero": np.zeros((3, 3)),
    "identity": np.eye(3), "a repeated one": with_singular_values(2.0, 2.0, 1.0), "rank 1 of 2": np.ones((2, 2)), "number": [[0.0]],
    "stack": np.stack([np.zeros((2, 2)), np.eye(2), [[0.0, 1.0], [0.0, 0.0]]]), "rank 2 of 4": with_singular_values(3.0, 1.0, 0.0, 0.0),
}  # fmt: skip


@pytest.mark.parametrize("name", DEFICIENT)
def test_det_is_exact_for_singular_matrices_to_second_order(name):
    assert ag.gradcheck(linalg.det, leaf(DEFICIENT[name])) and ag.gradgradcheck(linalg.det, leaf(DEFICIENT[name]))


def test_third_derivative_of_det():
    x = leaf(GENERATOR.normal(size=(3, 3)))

    def gradient(t):
        return ag.gradients(linalg.det(t), t, create_graph=True)[0]

    assert ag.gradgradcheck(gradient, x)


def test_singular_matrices_are_refused_in_a_sentence():
    singular = ag.tensor(np.ones((2, 2)))
    stack = ag.tensor(np.stack([np.eye(2), np.ones((2, 2))]))
    for x in (singular, stack):
        with pytest.raises(np.linalg.LinAlgError, match="inv: the matrix .* is singular.*pinv and lstsq take any"):
            linalg.inv(x)
        with pytest.raises(np.linalg.LinAlgError, match="solve: the matrix .* is singular"):
            linalg.solve(x, ag.ones(2, dtype=ag.float64))
    with pytest.raises(np.linalg.LinAlgError, match="cholesky: the matrix .* is not positive definite"):
        linalg.cholesky(-singular)
    with pytest.raises(np.linalg.LinAlgError, match="svd: .*NaN or infinity"):
        linalg.svd(singular * math.nan)
    assert linalg.slogdet(leaf(singular.numpy())).logabsdet.item() == -math.inf
    with pytest.raises(np.linalg.LinAlgError, match="singular"):
        linalg.slogdet(leaf(singular.numpy())).logabsdet.backward()
    with pytest.raises(np.linalg.LinAlgError, match="singular"):
        linalg.qr(leaf(np.zeros((2, 2)))).Q.sum().backward()


def test_rank_pinv_lstsq_and_cond_of_matrices_without_full_rank():
    values = np.stack([with_singular_values(2.0, 1.0, 0.0), with_singular_values(5.0, 3.0, 1e-3)])
    x = ag.tensor(values)
    assert linalg.matrix_rank(x).tolist() == [2, 3] and linalg.matrix_rank(x, rtol=0.3).tolist() == [2, 2]
    assert linalg.matrix_rank(x, rtol=ag.tensor([0.9, 0.0])).tolist() == [1, 3]
    assert linalg.matrix_rank(ag.zeros(2, 3)).item() == 0 and linalg.matrix_rank(leaf(values)).requires_grad is False
    assert np.allclose(linalg.pinv(x).numpy(), np.linalg.pinv(values, rtol=None))
    assert np.allclose(linalg.pinv(x, rtol=1e-2).numpy(), np.linalg.pinv(values, rtol=1e-2))
    assert linalg.cond(ag.tensor(np.diag([2.0, 0.0]))).item() == math.inf == linalg.cond(ag.zeros(2, 2)).item()
    assert linalg.cond(ag.zeros(2, 2), -2).item() == math.inf
    with pytest.raises(ValueError, match=r"cond: matrices without elements.*\(0, 0\)"):
        linalg.cond(ag.zeros(0, 0))

    # Changes that keep the rank: a factor moved along.
    left, right = GENERATOR.normal(size=(4, 2)), GENERATOR.normal(size=(2, 3))
    assert ag.gradcheck(lambda a, b: linalg.pinv(a @ b), [left, right])
    assert ag.gradgradcheck(lambda a, b: linalg.pinv(a @ b), [left, right])


def test_lstsq_equals_numpys():
    for rows, columns in ((5, 3), (3, 5), (3, 3)):
        a, b = GENERATOR.normal(size=(rows, columns)), GENERATOR.normal(size=(rows, 2))
        for right in (b, b[:, 0]):
            found, expected = linalg.lstsq(ag.tensor(a), ag.tensor(right)), np.linalg.lstsq(a, right)
            for mine, theirs in zip(found, expected, strict=True):
                assert np.allclose(mine.numpy(), theirs)
            assert found.residuals.size == expected[1].size
    stack = linalg.lstsq(ag.tensor(GENERATOR.normal(size=(2, 5, 3))), ag.tensor(GENERATOR.normal(size=(5, 4))))
    assert stack.solution.shape == (2, 3, 4) and stack.residuals.shape == (2, 4) and stack.rank.tolist() == [3, 3]


# --- equal values -----------------------------------------------------------------------------------------------------


def test_equal_values_have_a_gradient_and_their_vectors_have_none():
    x = leaf(np.eye(3))
    linalg.eigvalsh(x).sum().backward()
    assert np.allclose(x.grad.numpy(), np.eye(3))  # the trace's
    x = leaf(2 * np.eye(3))
    ag.sum(linalg.svdvals(x) ** 2).backward()
    assert np.allclose(x.grad.numpy(), 4 * np.eye(3))  # that of the sum of squares
    for function in (lambda t: linalg.eigh(t).eigenvectors, lambda t: linalg.svd(t).U, lambda t: linalg.svd(t).Vh):
        x = leaf(np.eye(3))
        function(x).sum().backward()
        assert not np.isfinite(x.grad.numpy()).all()  # never a number that looks right
        x = leaf(np.eye(3))
        powers = linalg.eigh(x)  # x**3, whatever the vectors: not to be told from their gradient alone
        ((powers.eigenvectors * powers.eigenvalues**3) @ powers.eigenvectors.mT).sum().backward()
        assert not np.isfinite(x.grad.numpy()).all()


def test_norms_at_zero_and_at_ties():
    for order in ("fro", "nuc", 2, -2, 1, -1, math.inf, -math.inf):
        x = leaf(np.zeros((2, 3)))
        out = linalg.matrix_norm(x, ord=order)
        out.backward()
        assert out.item() == 0.0 and x.grad.tolist() == [[0.0] * 3] * 2, order
    for order in (2, 1, 3, 0.5, math.inf, -math.inf, -1):
        x = leaf(np.zeros(4))
        linalg.vector_norm(x, ord=order).backward()
        assert x.grad.tolist() == [0.0] * 4, order
    x = leaf(np.eye(2))
    linalg.matrix_norm(x, ord=2).backward()
    assert np.allclose(x.grad.numpy(), np.eye(2) / 2)
    x = leaf(np.diag([2.0, 1.0, 0.0]))
    linalg.matrix_norm(x, ord="nuc").backward()
    assert np.allclose(x.grad.numpy(), np.diag([1.0, 1.0, 0.0]))
    assert linalg.vector_norm(ag.tensor([0.0, 2.0]), ord=-1).item() == 0.0  # as 1 / (1/0 + 1/2)
    assert ag.norm(ag.tensor([[3.0, 4.0], [0.0, 4.0]]), ord=-2, axis=1).numpy() == pytest.approx([2.4, 0.0])


# --- products ---------------------------------------------------------------------------------------------------------


def test_powers_and_small_integers():
    x = ag.tensor([[1, 1], [1, 0]])
    assert linalg.matrix_power(x, 30).tolist() == np.linalg.matrix_power(x.numpy(), 30).tolist()
    assert linalg.matrix_power(x, 0).tolist() == [[1, 0], [0, 1]] and linalg.matrix_power(x, 0).dtype == ag.int64
    once = linalg.matrix_power(x, 1)
    once[0, 0] = 5
    assert x[0, 0].item() == 1
    small = ag.tensor([100, 100], dtype=ag.int8)
    assert ag.vecdot(small, small).dtype == ag.int8 == ag.einsum("i,i", small, small).dtype == ag.einsum("i->", small).dtype
    assert ag.vecdot(small, small).item() == ag.einsum("i,i", small, small).item() == np.int8(20000 % 256)


def test_mixed_dtypes_are_promoted():
    whole, real = ag.tensor([[1, 2], [3, 4]]), ag.tensor([[1.0, 0.0], [0.0, 1.0]], dtype=ag.float64)
    for found in (ag.einsum("ij,jk", whole, real), ag.tensordot(whole, real, axes=1), ag.kron(whole, real)):
        assert found.dtype == ag.float64
    assert linalg.solve(real, whole).tolist() == [[1.0, 2.0], [3.0, 4.0]]
