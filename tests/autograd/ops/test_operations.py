"""Every operation of the library through the same tests; see the table in tests/support/operation_table.py.

Each loop over another dtype or memory layout is another kernel to compile. So the elementwise operations, whose loops
all come from one generator, go through every combination here only with Numba's compiler switched off, when that costs
nothing (tests/autograd/ops/test_without_compiler.py does it); otherwise some representatives do.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from layouts import tensor_in
from operation_table import ALIASES, NOT_OPERATIONS, REPRESENTATIVES, TABLE, Case, Operation

import autograd as ag
from autograd.ops.elementwise import OPERATIONS
from autograd.tensor import Tensor
from kernels import launch
from kernels.cpu import elementwise
from kernels.cpu.pointer import JIT_DISABLED

every_operation = pytest.mark.parametrize("operation", TABLE.values(), ids=str)
DIFFERENTIABLE = [operation for operation in TABLE.values() if operation.order]
THOROUGHLY = [operation for operation in TABLE.values() if operation.every_layout or JIT_DISABLED]
INTEGERS = {"i": np.int64, "u": np.uint8, "b": np.bool_}


def as_tuple(results: Any) -> tuple:
    return tuple(results) if isinstance(results, (tuple, list)) else (results,)


def expected_results(operation: Operation, arrays: Sequence[np.ndarray], case: Case) -> tuple[np.ndarray, ...]:
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        return tuple(map(np.asarray, as_tuple(operation.reference(*arrays, **case.options))))


def assert_close(operation: Operation, got: np.ndarray, expected: np.ndarray, what: object) -> None:
    """Equal but for rounding: some units in the last place of the result, and of the values on the way to it."""
    assert got.shape == expected.shape, (what, got.shape, expected.shape)
    if operation.exact or got.dtype.kind != "f":
        assert np.array_equal(got, expected, equal_nan=got.dtype.kind == "f"), (what, got, expected)
        return
    expected = expected.astype(np.float64)
    ulp = np.finfo(got.dtype).eps
    scale = operation.scale * np.minimum(1.0, np.finfo(got.dtype).max)
    same = (got == expected) | (np.isnan(got) & np.isnan(expected))
    with np.errstate(all="ignore"):
        # A number beyond the range of float32 is infinity there.
        same |= np.isinf(got) & (np.abs(expected) >= np.finfo(got.dtype).max) & (np.sign(got) == np.sign(expected))
        same |= np.abs(got - expected) <= 16 * ulp * (np.abs(expected) + scale)
    assert same.all(), (what, got[~same], expected[~same])


def result_dtype(operation: Operation, dtype: np.dtype, expected: np.ndarray) -> np.dtype:
    """NumPy's result dtype, but that functions of reals keep float32 (references may compute in float64)."""
    return expected.dtype if expected.dtype.kind != "f" or "dtype" in str(operation.cases[0]) else dtype


# --- values -----------------------------------------------------------------------------------------------------------


def check_values(operation: Operation, dtype: Any) -> None:
    dtype = np.dtype(dtype)
    for case in operation.cases:
        arrays = operation.draw(case, dtype)
        tensors = [ag.tensor(a) for a in arrays]
        results = as_tuple(operation.function(*tensors, **case.options))
        wide = [a.astype(np.float64) if a.dtype == np.float32 and not operation.exact else a for a in arrays]
        expected = expected_results(operation, wide, case)
        assert len(results) == len(expected)
        for got, want in zip(results, expected, strict=True):
            assert isinstance(got, Tensor) and got.device == "cpu"
            assert got.dtype == result_dtype(operation, dtype, want), (case, got.dtype, want.dtype)
            assert_close(operation, got.numpy(), want, case)
        for tensor, array in zip(tensors, arrays, strict=True):
            assert np.array_equal(tensor.numpy(), array), f"{operation} changed its operand"


@pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=lambda d: d.__name__)
@pytest.mark.parametrize("operation", [o for o in TABLE.values() if "f" in o.kinds], ids=str)
def test_t47_values_equal_numpy_and_operands_stay(operation, dtype):
    check_values(operation, dtype)


@pytest.mark.parametrize("operation", [o for o in THOROUGHLY if set(o.kinds) & set("biu")], ids=str)
def test_integers_and_bools_equal_numpy(operation):
    for kind, dtype in INTEGERS.items():
        if kind in operation.kinds:
            check_values(operation, dtype)


@pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=lambda d: d.__name__)
@pytest.mark.parametrize("operation", [o for o in TABLE.values() if o.special], ids=str)
def test_special_points_equal_numpy(operation, dtype):
    arrays = [np.array(column, dtype) for column in zip(*operation.special, strict=True)]
    case = operation.cases[0]
    wide = arrays if operation.exact else [a.astype(np.float64) for a in arrays]
    results = as_tuple(operation.function(*map(ag.tensor, arrays), **case.options))
    for got, expected in zip(results, expected_results(operation, wide, case), strict=True):
        scale = np.max([np.where(np.isfinite(a), np.abs(a), 0) for a in wide], axis=0)  # what may have cancelled
        got, expected = got.numpy(), np.asarray(expected)
        if got.dtype.kind == "f" and not operation.exact:
            ulp = np.finfo(dtype).eps
            with np.errstate(all="ignore"):
                near = np.abs(got - expected) <= 16 * ulp * (np.abs(expected) + scale)
            beyond = np.isinf(got) & (np.abs(expected) > np.finfo(dtype).max) & (np.sign(got) == np.sign(expected))
            same = near | beyond | (got == expected) | (np.isnan(got) & np.isnan(expected))
            assert same.all(), [(p, g, e) for p, g, e, s in zip(operation.special, got, expected, same, strict=True) if not s]
        else:
            assert_close(operation, got, expected, operation.special)


# --- memory layouts ---------------------------------------------------------------------------------------------------


def derivatives(operation: Operation, tensors: list[Tensor], case: Case, order: int) -> list[np.ndarray]:
    """The results, and first and second derivatives for upstream gradients that are the same for equal shapes."""
    leaves = [t.detach().requires_grad_() if t.dtype.kind == "f" and operation.order else t for t in tensors]
    results = [r for r in as_tuple(operation.function(*leaves, **case.options))]
    found = [r.detach().numpy() for r in results]
    wanted = [leaf for leaf in leaves if leaf.requires_grad]
    for _ in range(order):
        reached = [r for r in results if r.requires_grad]
        if not reached:
            break
        generator = np.random.default_rng(len(found))
        seeds = [ag.asarray(generator.normal(size=r.shape).astype(r.dtype)) for r in reached]
        gradients = ag.gradients(reached, wanted, seeds, create_graph=True, allow_unused=True)
        results = [g for g in gradients if g is not None]
        found += [r.detach().numpy() for r in results]
    return found


def check_layout(operation: Operation, case: Case, layout: str, order: int, only: int | None = None) -> None:
    arrays = operation.draw(case, np.float64 if "f" in operation.kinds else np.int64)
    laid_out, plain = [], []
    for k, array in enumerate(arrays):
        tensor, values = tensor_in(array, layout if only in (None, k) else "contiguous")
        laid_out.append(tensor)
        plain.append(ag.tensor(values))
    before = [t.numpy().copy() for t in laid_out]
    got = derivatives(operation, laid_out, case, order)
    expected = derivatives(operation, plain, case, order)
    assert len(got) == len(expected)
    for mine, theirs in zip(got, expected, strict=True):
        assert mine.shape == theirs.shape and mine.dtype == theirs.dtype
        # Loops of another shape may add in another order and contract multiplications differently.
        assert np.allclose(mine, theirs, rtol=1e-12, atol=1e-13 * operation.scale, equal_nan=True), (case, layout, mine, theirs)
    for tensor, values in zip(laid_out, before, strict=True):
        assert np.array_equal(tensor.numpy(), values), f"{operation} changed its operand"


@pytest.mark.parametrize("layout", ["permuted", "strided", "negative", "stretched"])
@pytest.mark.parametrize("operation", THOROUGHLY, ids=str)
def test_t48_any_memory_layout_gives_the_same_to_second_order(operation, layout):
    for case in operation.cases if operation.every_layout else operation.cases[:1]:
        check_layout(operation, case, layout, operation.order)


@pytest.mark.parametrize("operation", [o for o in TABLE.values() if len(o.cases[0].shapes) > 1 and o.every_layout], ids=str)
def test_operands_of_different_layouts(operation):
    for only in range(len(operation.cases[0].shapes)):
        check_layout(operation, operation.cases[0], "permuted", min(operation.order, 1), only)


# --- derivatives ------------------------------------------------------------------------------------------------------


def leaves_for(operation: Operation, case: Case) -> list[Tensor]:
    arrays = operation.draw(case, np.float64, seed=1)
    return [ag.tensor(a, requires_grad=a.dtype.kind == "f") for a in arrays]


@pytest.mark.parametrize("operation", DIFFERENTIABLE, ids=str)
def test_t28_gradients_against_finite_differences(operation):
    for case in operation.cases:
        leaves = leaves_for(operation, case)
        assert ag.gradcheck(lambda *x, case=case: operation.function(*x, **case.options), leaves)


@pytest.mark.parametrize("operation", [o for o in THOROUGHLY if o.order > 1], ids=str)
def test_t18_second_derivatives_against_finite_differences(operation):
    for case in operation.cases[: None if operation.every_layout else 1]:
        leaves = leaves_for(operation, case)
        if sum(leaf.size for leaf in leaves) > 100:  # one difference per element of the operands and of the result
            continue
        assert ag.gradgradcheck(lambda *x, case=case: operation.function(*x, **case.options), leaves)


@pytest.mark.parametrize("operation", [o for o in DIFFERENTIABLE if len(o.cases[0].shapes) > 1 and o.every_layout], ids=str)
def test_t10_gradient_of_each_operand_alone(operation):
    """A rule that computes one gradient only must give the same as when it computes all; None stays None."""
    case = operation.cases[0]
    arrays = operation.draw(case, np.float64)
    reals = [k for k, a in enumerate(arrays) if a.dtype.kind == "f"]

    def gradients_of(chosen: list[int]) -> list[Tensor | None]:
        leaves = [ag.tensor(a, requires_grad=k in chosen) for k, a in enumerate(arrays)]
        results = as_tuple(operation.function(*leaves, **case.options))
        generator = np.random.default_rng(5)
        seeds = [ag.asarray(generator.normal(size=r.shape)) for r in results]
        reached = [(r, s) for r, s in zip(results, seeds, strict=True) if r.requires_grad]
        for k, (result, seed) in enumerate(reached):
            result.backward(seed, retain_graph=k < len(reached) - 1)
        return [leaf.grad for leaf in leaves]

    together = gradients_of(reals)
    for k in reals:
        alone = gradients_of([k])
        assert all(alone[j] is None for j in range(len(arrays)) if j != k)
        one, both = alone[k], together[k]
        assert (one is None) == (both is None)
        if one is not None and both is not None:
            assert np.allclose(one.numpy(), both.numpy(), rtol=1e-13, atol=1e-14)


@pytest.mark.parametrize("operation", [o for o in THOROUGHLY if o.order], ids=str)
def test_t12_gradient_has_the_shape_and_dtype_of_its_operand(operation):
    case = operation.cases[-1]
    arrays = operation.draw(case, np.float32)
    leaves = [ag.tensor(a, requires_grad=a.dtype.kind == "f") for a in arrays]
    for result in as_tuple(operation.function(*leaves, **case.options)):
        if result.requires_grad:
            result.backward(ag.ones_like(result), retain_graph=True)
    for leaf in leaves:
        if leaf.grad is not None:
            assert leaf.grad.shape == leaf.shape and leaf.grad.dtype == leaf.dtype == np.float32


# --- recording --------------------------------------------------------------------------------------------------------


@every_operation
def test_t20_t7_nothing_is_recorded_without_need(operation):
    case = operation.cases[0]
    dtype = np.float64 if "f" in operation.kinds else np.int64
    arrays = operation.draw(case, dtype)
    constant = as_tuple(operation.function(*map(ag.tensor, arrays), **case.options))
    assert not any(r.requires_grad or r.grad_fn for r in constant)
    if not operation.order:
        if dtype == np.float64:
            leaves = [ag.tensor(a, requires_grad=a.dtype.kind == "f") for a in arrays]
            assert not any(r.requires_grad for r in as_tuple(operation.function(*leaves, **case.options)))
        return
    leaves = [ag.tensor(a, requires_grad=a.dtype.kind == "f") for a in arrays]
    recorded = as_tuple(operation.function(*leaves, **case.options))
    with ag.no_grad():
        silent = as_tuple(operation.function(*leaves, **case.options))
    for one, two, three in zip(constant, recorded, silent, strict=True):
        assert two.requires_grad == (two.dtype.kind == "f")
        if operation.name != "dropout":  # outside training it hands its operand on
            assert three.grad_fn is None and not three.requires_grad
        assert np.array_equal(one.numpy(), two.detach().numpy(), equal_nan=True)
        assert np.array_equal(one.numpy(), three.detach().numpy(), equal_nan=True)


# --- refusals ---------------------------------------------------------------------------------------------------------

REFUSALS = [(o, r) for o in TABLE.values() for r in o.refusals]


@pytest.mark.parametrize(("operation", "refusal"), REFUSALS, ids=[f"{o.name}-{k}" for k, (o, _) in enumerate(REFUSALS)])
def test_bad_operands_are_refused_in_a_sentence(operation, refusal):
    with pytest.raises(refusal.error, match=refusal.message):
        operation.function(*refusal.operands(), **refusal.options)


# --- memory and threads -----------------------------------------------------------------------------------------------


def test_t42_new_memory_is_poisoned_here():
    """Every value that the tests above compare was written by a kernel: fresh memory is full of NaN."""
    for shape in ((3,), (300, 300)):
        assert np.isnan(ag.empty(shape).numpy()).all() and (ag.empty(shape, dtype=ag.int64).numpy() == -1).all()


LARGE = {
    "elementwise": lambda x: (x.tanh() * x).exp(),
    "sum": lambda x: x.sum(axis=0),
    "sum of all": lambda x: x.sum(),
    "max": lambda x: x.max(axis=1),
    "var": lambda x: x.var(axis=0),
    "logsumexp": lambda x: x.logsumexp(axis=1),
    "matmul": lambda x: x @ x.T,
    "linear": lambda x: ag.linear(x, x),
    "softmax": ag.softmax,
    "log_softmax": lambda x: ag.log_softmax(x, axis=0),
    "layer_norm": ag.layer_norm,
    "stretched": lambda x: x * x.sum(axis=1, keepdims=True),
}


@pytest.mark.parametrize("name", LARGE)
def test_t43_t45_the_number_of_threads_changes_no_bit(name, monkeypatch):
    if launch.available_threads() == 1:
        pytest.skip("there is one core only")
    values = np.random.default_rng(0).normal(size=(150, 130)).astype(np.float32)

    def run() -> list[bytes]:
        x = ag.tensor(values, requires_grad=True)
        out = LARGE[name](x)
        out.backward(ag.tensor(np.random.default_rng(1).normal(size=out.shape).astype(np.float32)))
        return [out.detach().numpy().tobytes(), x.grad.numpy().tobytes()]

    expected = run()
    monkeypatch.setattr(launch, "parallel_work", 1)
    monkeypatch.setattr(launch, "PARALLEL_WORK", 1)
    elementwise._plans.clear()  # they have chosen to run on one thread
    for operation in OPERATIONS.values():
        operation._plans.clear()
    try:
        assert [run() for _ in range(3)] == [expected] * 3
    finally:
        elementwise._plans.clear()


# --- the table itself -------------------------------------------------------------------------------------------------


def test_every_exported_operation_has_an_entry():
    values = (np.dtype, float, type(None))
    exported = {name for name in ag.__all__ if not isinstance(getattr(ag, name), values)}
    missing = exported - NOT_OPERATIONS - {name for name in exported if ALIASES.get(name, name) in TABLE}
    assert not missing, f"exported by autograd, and without an entry in operation_table.TABLE: {sorted(missing)}"
    assert exported >= NOT_OPERATIONS, sorted(NOT_OPERATIONS - exported)


def test_every_formula_has_an_entry_and_exported_ones_are_what_the_table_tests():
    assert set(OPERATIONS) <= set(TABLE)
    for name, operation in OPERATIONS.items():
        exported = getattr(ag, name, operation)
        assert exported is operation or name in ALIASES
    assert set(REPRESENTATIVES) <= set(OPERATIONS)


def test_entries_can_fail():
    """The generic tests notice an operation that computes something else, and a wrong derivative."""
    from dataclasses import replace

    wrong = replace(TABLE["sin"], function=ag.cos)
    with pytest.raises(AssertionError):
        check_values(wrong, np.float64)

    class Wrong(ag.Function):
        @staticmethod
        def forward(ctx, x):
            return x.sin()

        @staticmethod
        def backward(ctx, gradient):
            return gradient

    with pytest.raises(ag.GradcheckError):
        test_t28_gradients_against_finite_differences(replace(TABLE["sin"], function=Wrong.apply))
