"""Linear algebra on complex numbers gives what the strict reference gives: values, dtypes and shapes."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from array_api_support import reference, strict
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import autograd as ag
from autograd import linalg

few = settings(max_examples=4, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
INF = math.inf

SQUARE = ((3, 3), (2, 1, 1), (2, 2, 2), (0, 0))
OBLONG = ((3, 2), (2, 2, 3), (1, 0, 2), (3, 3))


def drawn(shape: tuple[int, ...], dtype: str, seed: int) -> np.ndarray:
    generator = np.random.default_rng([seed, *shape])
    return (generator.normal(size=shape) + 1j * generator.normal(size=shape)).astype(dtype)


def positive(x: np.ndarray) -> np.ndarray:
    return (x @ x.conj().mT + np.eye(x.shape[-1])).astype(x.dtype)


def as_is(x: np.ndarray) -> np.ndarray:
    return x


# Function, preparation of the first operand, shapes of the operands, and options.
CALLS: list[tuple[str, Any, tuple, dict[str, Any]]] = [
    *[("cholesky", positive, (s,), {"upper": u}) for s in SQUARE for u in (False, True)],
    *[(name, positive, (s,), {}) for name in ("eigh", "eigvalsh") for s in SQUARE],
    *[(name, as_is, (s,), {}) for name in ("det", "inv", "slogdet") for s in SQUARE],
    *[(name, as_is, (s,), {}) for name in ("svdvals", "pinv", "trace", "diagonal", "matrix_transpose") for s in OBLONG],
    *[("svd", as_is, (s,), {"full_matrices": f}) for s in OBLONG for f in (False, True)],
    *[("qr", as_is, (s,), {"mode": m}) for s in OBLONG for m in ("reduced", "complete")],
    *[("matrix_rank", as_is, (s,), {}) for s in ((3, 2), (2, 2, 3))],
    *[("matrix_norm", as_is, ((2, 2, 3),), {"ord": o, "keepdims": o == 2}) for o in ("fro", "nuc", 1, -1, 2, -2, INF, -INF)],
    *[("vector_norm", as_is, ((2, 3),), {"ord": o, "axis": a}) for o, a in ((2, None), (1, 0), (0, 1), (3.5, 1), (INF, 1), (-INF, 0))],
    *[("matrix_power", as_is, (s,), {"n": n}) for s in SQUARE[:3] for n in (0, 1, 3, -2)],
    ("trace", as_is, ((2, 3),), {"offset": 1}), ("diagonal", as_is, ((2, 3),), {"offset": -1}),
    ("solve", as_is, ((3, 3), (3,)), {}), ("solve", as_is, ((2, 2, 2), (2, 2, 1)), {}),
    ("matmul", as_is, ((2, 3), (3, 2)), {}), ("matmul", as_is, ((3,), (2, 3, 2)), {}), ("matmul", as_is, ((2, 0), (0, 2)), {}),
    ("outer", as_is, ((2,), (3,)), {}), ("tensordot", as_is, ((2, 3), (3, 2)), {"axes": 1}),
    ("tensordot", as_is, ((2, 3), (2, 3)), {"axes": ((0, 1), (0, 1))}), ("cross", as_is, ((2, 3), (2, 3)), {}),
    ("vecdot", as_is, ((2, 3), (3,)), {}), ("vecdot", as_is, ((2, 3), (2, 3)), {"axis": -2}),
]  # fmt: skip


def assert_near(got: Any, expected: Any) -> None:
    """The same shapes and dtypes, and values up to rounding."""
    if isinstance(expected, tuple):
        assert isinstance(got, tuple) and len(got) == len(expected) and type(got)._fields == type(expected)._fields
        for mine, theirs in zip(got, expected, strict=True):
            assert_near(mine, theirs)
        return
    mine, theirs = got.numpy(), np.asarray(expected)
    assert mine.shape == theirs.shape and mine.dtype == theirs.dtype, (mine, theirs)
    rounding = 500 * np.finfo(mine.dtype).eps if mine.dtype.kind in "fc" else 0
    assert np.allclose(mine, theirs, rtol=rounding, atol=rounding * np.max(np.abs(theirs), initial=1.0)), (mine, theirs)


@pytest.mark.parametrize("dtype", ["complex64", "complex128"])
@pytest.mark.parametrize("name", sorted({call[0] for call in CALLS}))
@few
@given(seed=st.integers(0, 99))
def test_values(name, dtype, seed):
    for called, prepare, shapes, options in CALLS:
        if called == name:
            first, *rest = (drawn(s, dtype, seed + k) for k, s in enumerate(shapes))
            operands = [ag.tensor(a) for a in (prepare(first), *rest)]
            power = (options["n"],) if "n" in options else ()  # by position alone
            options = {k: v for k, v in options.items() if k != "n"}
            expected = getattr(strict.linalg, name)(*map(reference, operands), *power, **options)
            assert_near(getattr(linalg, name)(*operands, *power, **options), expected)


@pytest.mark.parametrize("dtype", ["complex64", "complex128", "float32", "float64"])
@pytest.mark.parametrize("shape", SQUARE)
def test_eig_and_eigvals(shape, dtype):
    """The strict reference does not have them (2025.12 is new): NumPy does, with real results where all eigenvalues are real."""
    values = drawn(shape, "complex128", 5)
    values = (values.real if dtype.startswith("f") else values).astype(dtype)
    found, expected = linalg.eig(ag.tensor(values)), np.linalg.eig(values)
    kind = {"float32": "complex64", "float64": "complex128"}.get(dtype, dtype)
    for mine, theirs in zip(found, expected, strict=True):
        assert mine.dtype == kind and mine.shape == theirs.shape and np.array_equal(mine.numpy(), theirs.astype(kind))
    assert type(found)._fields == ("eigenvalues", "eigenvectors")
    assert np.array_equal(linalg.eigvals(ag.tensor(values)).numpy(), found.eigenvalues.numpy())
    close = {"rtol": 0, "atol": 100 * float(np.finfo(kind).eps)}
    vectors = found.eigenvectors.numpy()
    assert np.allclose(values @ vectors, vectors * found.eigenvalues.numpy()[..., None, :], **close)
    assert np.allclose(np.linalg.norm(vectors, axis=-2), 1.0, **close)


def test_mixed_dtypes_and_numpys_functions_beyond_the_standard():
    z, x = drawn((2, 2), "complex64", 1), drawn((2, 2), "complex128", 2).real
    for name in ("solve", "matmul", "vecdot"):
        got = getattr(linalg, name)(ag.tensor(x), ag.tensor(z))
        assert got.dtype == ag.complex128 and np.allclose(got.numpy(), getattr(np.linalg, name)(x, z))
    assert np.allclose(ag.kron(ag.tensor(x), ag.tensor(z)).numpy(), np.kron(x, z))
    assert np.allclose(ag.einsum("ij,kj->ki", ag.tensor(x), ag.tensor(z)).numpy(), np.einsum("ij,kj->ki", x, z))
    tall, right = drawn((4, 2), "complex128", 3), drawn((4, 3), "complex128", 4)
    for mine, theirs in zip(linalg.lstsq(ag.tensor(tall), ag.tensor(right)), np.linalg.lstsq(tall, right), strict=True):
        assert np.allclose(mine.numpy(), theirs) and mine.dtype.kind == np.asarray(theirs).dtype.kind
    assert np.allclose(linalg.cond(ag.tensor(tall)).numpy(), np.linalg.cond(tall))
