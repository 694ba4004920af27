"""Derivatives where inputs are ugly: zeros and repeated values in smooth functions, no elements at all, no dimensions.

The table of operations draws ordinary points, and goes through memory layouts and broadcasting. Ties and zeros of functions
that have a kink there are in the operations' own tests, with the value that the README names.
"""

from __future__ import annotations

import numpy as np
import pytest
from operation_table import TABLE, Case

import autograd as ag

# Smooth in all their operands, on either side of 0, however many elements are equal.
SMOOTH = """
    sin cos exp exp2 expm1 sinh cosh tanh asinh atan square sigmoid erf erfc gelu gelu_tanh silu mish log_sigmoid
    negative positive add subtract multiply lerp squared_error logaddexp
    sum prod mean var logsumexp matmul outer linear vecdot tensordot cross kron einsum softmax log_softmax
    cumulative_sum cumulative_prod cumulative_logsumexp linear_recurrence take gather take_along_axis index_select
    scatter_add index_add pad tile repeat roll diff concat stack tril triu trace diag_embed
""".split()
POOL = (0.0, 0.0, 1.0, -0.5, 1.0, 0.0)


def leaf(shape, start=0):
    values = np.resize(np.roll(POOL, start), shape).astype(np.float64)
    return ag.tensor(values, requires_grad=True)


@pytest.mark.parametrize("name", SMOOTH)
def test_zeros_and_repeated_values(name):
    operation = TABLE[name]
    case = operation.cases[0]
    leaves = [leaf(shape, start=k) for k, shape in enumerate(case.shapes)]
    assert ag.gradcheck(lambda *x: operation.function(*x, **case.options), leaves)
    if sum(x.size for x in leaves) <= 30:
        assert ag.gradgradcheck(lambda *x: operation.function(*x, **case.options), leaves)


# What the cases of the table leave out: operands of no elements, and of no dimensions where a function takes them.
WITHOUT_ELEMENTS = {
    "mean": ((2, 0), {"axis": 0}), "var": ((2, 0), {"axis": 0}), "std": ((2, 0), {"axis": 0}), "max": ((2, 0), {"axis": 0}),
    "min": ((2, 0), {"axis": 0}), "logsumexp": ((2, 0), {"axis": 0}), "norm": ((2, 0), {"axis": 0}), "median": ((2, 0), {"axis": 0}),
    "linalg.vector_norm": ((2, 0), {"axis": 0}), "linalg.diagonal": ((0, 3, 3), {}), "linalg.trace": ((0, 3, 3), {}),
    "transpose": ((0, 2), {}), "matrix_transpose": ((0, 2), {}), "swapaxes": ((0, 2), {"axes": (0, 1)}),
    "moveaxis": ((0, 2), {"source": 0, "destination": 1}), "diag_embed": ((0,), {}), "trace": ((0, 0), {}),
    "expand_dims": ((0,), {"axis": 0}), "squeeze": ((1, 0), {}), "broadcast_to": ((0,), {"shape": (2, 0)}), "unstack": ((2, 0), {}),
    "split": ((4, 0), {"sections": 2}), "flatten": ((0, 2), {}), "getitem": ((0, 2), {"key": (slice(None), 1)}),
    "clip_bounds": ((0,), {"min": 0}), "layer_norm": ((0, 3), {}), "index_select": ((2, 3), {"dim": 1, "index": np.zeros((0,), int)}),
    "take_along_axis": ((2, 3), {"indices": np.zeros((2, 0), int)}), "gather": ((2, 3), {"dim": 1, "index": np.zeros((2, 0), int)}),
    "linalg.matrix_power": ((0, 2, 2), {"n": 2}), "astype": ((0,), {"dtype": ag.float64}),
    "quantile": ((2, 0), {"q": 0.5, "axis": 0}), "linalg.matrix_norm": ((0, 2, 2), {}),
}  # fmt: skip
WITHOUT_DIMENSIONS = {
    "std": {}, "norm": {}, "clip_bounds": {"min": -1}, "dropout": {"p": 0.0, "training": True}, "flip": {}, "transpose": {},
    "squeeze": {}, "quantile": {"q": 0.5},
}  # fmt: skip
UGLY = [(n, Case((shape,), options)) for n, (shape, options) in WITHOUT_ELEMENTS.items()]
UGLY += [(n, Case(((),), options)) for n, options in WITHOUT_DIMENSIONS.items()]


@pytest.mark.parametrize(("name", "case"), UGLY, ids=[f"{n}-{'0-d' if c.shapes == ((),) else 'empty'}" for n, c in UGLY])
def test_no_elements_and_no_dimensions(name, case):
    x = ag.tensor(np.full(case.shapes[0], 0.75), requires_grad=True)
    function = TABLE[name].function
    if name in ("std", "norm") and not x.ndim:  # a kink: slope 0 of std, that of |x| of the norm
        (slope,) = ag.gradients(function(x, **case.options), x)
        assert slope.item() == (name == "norm")
        return
    assert ag.gradcheck(lambda t: function(t, **case.options), [x])
    assert ag.gradgradcheck(lambda t: function(t, **case.options), [x])
    results = function(x, **case.options)
    results = results if isinstance(results, tuple) else (results,)
    (gradient,) = ag.gradients([r.sum() for r in results], [x])
    assert gradient.shape == x.shape and gradient.dtype == x.dtype


def test_empty_operands_beside_others():
    x, none = leaf((2, 3)), leaf((0,))
    index = ag.asarray(np.zeros((0,), np.int64))
    assert ag.gradcheck(lambda a, b: ag.index_add(a, 0, index, b.reshape(0, 3)), [x, none])
    assert ag.gradcheck(lambda a, b: ag.concat([a.reshape(6), b]), [x, none])
    assert ag.gradcheck(lambda a: ag.masked_select(a, ag.zeros((2, 3), dtype=ag.bool)), [x])
    assert ag.gradcheck(lambda a: ag.masked_fill(a, ag.ones((2, 3), dtype=ag.bool), 2.0), [x])


@pytest.mark.parametrize("rank", [0, 1, 2])
def test_determinants_of_singular_matrices(rank):
    values = np.diag([1.0] * rank + [0.0] * (3 - rank))[:, [1, 2, 0]]
    x = ag.tensor(values, requires_grad=True)
    assert ag.gradcheck(ag.linalg.det, [x]) and ag.gradgradcheck(ag.linalg.det, [x])


def test_these_tests_can_fail():
    """relu has a kink at 0, so it would be noticed in the list of smooth functions."""
    with pytest.raises(ag.GradcheckError):
        ag.gradcheck(ag.relu, [leaf((2, 3, 4))])
