"""Every operation on device "cuda" gives what it gives on the CPU: values, first and second derivatives.

Where there is no GPU the device is the simulator. The CPU's results are checked against NumPy and finite differences in
test_operations.py.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from cuda_support import needs_cuda
from layouts import tensor_in
from operation_table import TABLE, Case, Operation

import autograd as ag
from autograd.tensor import Tensor

pytestmark = needs_cuda

FLOATING = [operation for operation in TABLE.values() if "f" in operation.kinds]
WHOLE = [operation for operation in TABLE.values() if set(operation.kinds) & set("biu") and operation.exact]
INTEGERS = {"i": np.int64, "u": np.uint8, "b": np.bool_}


def as_tuple(results: Any) -> tuple:
    return tuple(results) if isinstance(results, (tuple, list)) else (results,)


def derivatives(operation: Operation, tensors: list[Tensor], case: Case, order: int) -> list[Tensor]:
    """The results, and derivatives up to an order for upstream gradients that are the same on every device."""
    leaves = [t.detach().requires_grad_() if t.dtype.kind == "f" and operation.order else t for t in tensors]
    results = list(as_tuple(operation.function(*leaves, **case.options)))
    found = list(results)
    wanted = [leaf for leaf in leaves if leaf.requires_grad]
    for _ in range(order):
        reached = [r for r in results if r.requires_grad]
        if not reached:
            break
        generator = np.random.default_rng(len(found))
        seeds = [ag.tensor(generator.normal(size=r.shape).astype(r.dtype), device=r.device) for r in reached]
        gradients = ag.gradients(reached, wanted, seeds, create_graph=True, allow_unused=True)
        results = [g for g in gradients if g is not None]
        found += results
    return found


def compare(operation: Operation, case: Case, tensors: list[Tensor], order: int) -> None:
    there = [t.to("cuda") for t in tensors]
    before = [t.numpy() for t in there]
    got = derivatives(operation, there, case, order)
    expected = derivatives(operation, tensors, case, order)
    assert len(got) == len(expected)
    results = len(as_tuple(operation.function(*tensors, **case.options)))
    for k, (mine, theirs) in enumerate(zip(got, expected, strict=True)):
        assert mine.device == "cuda:0" and mine.shape == theirs.shape and mine.dtype == theirs.dtype
        a, b = mine.detach().numpy(), theirs.detach().numpy()
        if (operation.exact and k < results) or b.dtype.kind != "f":
            assert np.array_equal(a, b, equal_nan=b.dtype.kind == "f"), (case, a, b)
        else:
            size = operation.scale + float(np.max(np.abs(b[np.isfinite(b)]), initial=0.0))
            rounding = 64 * np.finfo(b.dtype).eps
            assert np.allclose(a, b, rtol=rounding, atol=rounding * size, equal_nan=True), (case, a, b)
    for tensor, values in zip(there, before, strict=True):
        assert np.array_equal(tensor.numpy(), values, equal_nan=values.dtype.kind == "f"), f"{operation} changed its operand"


# The simulator is slow: float64, which differs by the type's name alone, for one elementwise operation of each kind.
WITH_DTYPES = [(o, d) for o in FLOATING for d in (np.float32, np.float64) if d is np.float32 or o.every_layout]


@pytest.mark.parametrize(("operation", "dtype"), WITH_DTYPES, ids=[f"{o}-{d.__name__}" for o, d in WITH_DTYPES])
def test_values_and_derivatives_to_second_order(operation, dtype):
    # LAPACK on the host, and operations that have entries themselves.
    made_of_others = operation.name.startswith("linalg.") or operation.name in ("cov", "corrcoef", "cdist", "einsum_of_lists")
    cases = operation.cases if dtype == np.float32 and not made_of_others else operation.cases[:1]
    for case in cases:
        compare(operation, case, [ag.tensor(a) for a in operation.draw(case, dtype)], operation.order)


@pytest.mark.parametrize("operation", WHOLE, ids=str)
def test_integers_and_bools(operation):
    for kind, dtype in INTEGERS.items():
        if kind in operation.kinds:
            compare(operation, operation.cases[0], [ag.tensor(a) for a in operation.draw(operation.cases[0], dtype)], 0)


@pytest.mark.parametrize("operation", [o for o in FLOATING if o.special], ids=str)
def test_special_points(operation):
    arrays = [np.array(column, np.float64) for column in zip(*operation.special, strict=True)]
    compare(operation, operation.cases[0], list(map(ag.tensor, arrays)), 0)


@pytest.mark.parametrize("layout", ["permuted", "strided", "negative", "stretched"])
@pytest.mark.parametrize("operation", [o for o in TABLE.values() if o.every_layout and o.order], ids=str)
def test_any_memory_layout(operation, layout):
    case = operation.cases[0]
    plain = [tensor_in(a, layout) for a in operation.draw(case, np.float32)]
    laid_out = [ag.asarray(t, device="cuda") for t, _ in plain]
    laid_out = [same_strides(t, values) for t, values in plain]
    got = derivatives(operation, laid_out, case, min(operation.order, 1))
    expected = derivatives(operation, [ag.tensor(values) for _, values in plain], case, min(operation.order, 1))
    for mine, theirs in zip(got, expected, strict=True):
        a, b = mine.detach().numpy(), theirs.detach().numpy()
        size = operation.scale + float(np.max(np.abs(b[np.isfinite(b)]), initial=0.0)) if b.dtype.kind == "f" else 0
        assert a.shape == b.shape and np.allclose(a, b, rtol=1e-5, atol=1e-5 * size, equal_nan=True), (layout, a, b)


def same_strides(tensor: Tensor, values: np.ndarray) -> Tensor:
    """The values on the GPU, in memory that lies as that of the CPU's tensor does."""
    array = tensor.numpy()
    order = sorted(range(array.ndim), key=lambda k: (-abs(array.strides[k]), k))
    steps = tuple(slice(None, None, -1) if array.strides[k] < 0 else slice(None) for k in order)
    if 0 in array.strides:
        shape = tuple(1 if array.strides[k] == 0 else array.shape[k] for k in range(array.ndim))
        small = values[tuple(slice(0, s) for s in shape)]
        return ag.tensor(small, device="cuda").broadcast_to(values.shape)
    gaps = any(abs(s) % array.itemsize == 0 and abs(s) > array.itemsize for s in array.strides[-1:])
    laid = ag.tensor(np.ascontiguousarray(np.transpose(values, order)[steps]), device="cuda")
    if gaps:
        wide = ag.zeros((*laid.shape[:-1], 2 * laid.shape[-1]), dtype=laid.dtype, device="cuda") if laid.ndim else laid
        if laid.ndim:
            wide[..., ::2] = laid
            laid = wide[..., ::2]
    laid = laid[steps]
    back = [order.index(k) for k in range(array.ndim)]
    return ag.permute_dims(laid, tuple(back))
