"""Sorting, running sums, searching and counting of tensors: what the table of operations does not reach. Ties, NaN, zeros."""

from __future__ import annotations

import math

import numpy as np
import pytest

import autograd as ag

INF, NAN = math.inf, math.nan


def gradient(function, x, weights=None):
    x = ag.tensor(x, dtype=ag.float64, requires_grad=True)
    out = function(x)
    (out if weights is None else out * ag.tensor(weights, dtype=ag.float64)).sum().backward()
    return x.grad.tolist()


# --- sorting ----------------------------------------------------------------------------------------------------------


def test_t26_at_ties_the_gradient_goes_to_the_element_that_argsort_names():
    x = [2.0, 1.0, 2.0, 1.0]
    assert gradient(ag.sort, x, [10.0, 20.0, 30.0, 40.0]) == [30, 10, 40, 20]
    assert gradient(lambda t: ag.sort(t, descending=True), x, [10.0, 20.0, 30.0, 40.0]) == [10, 30, 20, 40]
    assert gradient(lambda t: ag.topk(t, 1).values, x) == [1, 0, 0, 0]
    assert gradient(lambda t: ag.topk(t, 3, largest=False).values, x) == [1, 1, 0, 1]


def test_nan_is_larger_than_every_number():
    x = ag.tensor([NAN, INF, 1.0, -INF])
    assert ag.argsort(x).tolist() == [3, 2, 1, 0]
    assert ag.argsort(x, descending=True).tolist() == [0, 1, 2, 3]
    assert ag.topk(x, 2).indices.tolist() == [0, 1]
    assert gradient(ag.sort, [NAN, 1.0], [3.0, 5.0]) == [5, 3]


def test_topk_is_the_same_recorded_or_not_and_its_indices_have_no_gradient():
    values = np.random.default_rng(0).normal(size=(3, 9))
    x = ag.tensor(values, requires_grad=True)
    recorded, plain = ag.topk(x, 4, axis=1), ag.topk(x.detach(), 4, axis=1)
    assert np.array_equal(recorded.values.detach().numpy(), plain.values.numpy())
    assert np.array_equal(recorded.indices.numpy(), plain.indices.numpy())
    assert recorded.values.requires_grad and not recorded.indices.requires_grad


def test_gradients_of_long_rows():
    values = np.random.default_rng(0).normal(size=(2, 300))
    weights = np.random.default_rng(1).normal(size=(2, 300))
    expected = np.empty_like(values)
    np.put_along_axis(expected, np.argsort(values, axis=1), weights, axis=1)
    assert np.array_equal(gradient(ag.sort, values, weights), expected)


# --- running sums and products ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("zeros", [(), (0,), (1,), (3,), (0, 2), (1, 2), (0, 1, 2, 3)])
def test_t23_cumulative_prod_is_exact_with_zeros(zeros):
    x = np.array([2.0, -3.0, 0.5, 4.0])
    x[list(zeros)] = 0
    weights = np.array([1.0, 10.0, 100.0, 1000.0])
    expected = [
        sum(weights[k] * np.prod(np.delete(x[: k + 1], j)) for k in range(j, 4)) for j in range(4)
    ]
    assert gradient(lambda t: ag.cumulative_prod(t), x, weights) == expected
    assert ag.gradgradcheck(lambda t: ag.cumulative_prod(t), [ag.tensor(x, requires_grad=True)])


def test_cumulative_logsumexp_of_extremes():
    assert gradient(ag.cumulative_logsumexp, [-INF, -INF]) == [0, 0]
    assert gradient(ag.cumulative_logsumexp, [-INF, 3.0, -INF]) == [0, 2, 0]
    assert gradient(ag.cumulative_logsumexp, [-1e4, 1e4]) == [1, 1]
    assert gradient(ag.cumulative_logsumexp, [1e4, -1e4]) == [2, 0]
    assert gradient(ag.cumulative_logsumexp, [1e4, 1e4]) == pytest.approx([1.5, 0.5], rel=1e-12)
    x = ag.tensor([-INF, -INF, 1.0, -INF, -1e4, 2.0], dtype=ag.float64, requires_grad=True)
    (first,) = ag.gradients(ag.cumulative_logsumexp(x).exp().sum(), [x], create_graph=True)
    (second,) = ag.gradients(first.sum(), [x])
    assert np.allclose(first.detach().numpy(), [0, 0, 4 * math.e, 0, 0, math.e**2])
    assert np.allclose(second.numpy(), [0, 0, 4 * math.e, 0, 0, math.e**2])
    found = ag.cumulative_logsumexp(ag.tensor([[0.0, 0.0]]), axis=1, include_initial=True)
    assert np.allclose(found.numpy(), [[-INF, 0, math.log(2)]])


def test_cumulative_sums_in_another_dtype():
    x = ag.tensor([100, 100, 100], dtype=ag.int8)
    assert ag.cumulative_sum(x).dtype == ag.int64 and ag.cumulative_sum(x).tolist() == [100, 200, 300]
    assert ag.cumulative_sum(x, dtype=ag.int8).tolist() == [100, -56, 44]
    assert ag.cumulative_sum(x, dtype=ag.float32).dtype == ag.float32
    assert ag.cumulative_prod(ag.tensor([True, True, False])).tolist() == [1, 1, 0]
    y = ag.tensor([1.0, 2.0], requires_grad=True)
    ag.cumulative_sum(y, dtype=ag.float64, include_initial=True).sum().backward()
    assert y.grad.dtype == ag.float32 and y.grad.tolist() == [2, 1]


def test_methods_are_called_as_numpys():
    x = ag.tensor([[3, 1], [2, 4]])
    assert x.cumsum().tolist() == np.cumsum(x, axis=None).tolist() == [3, 4, 6, 10]
    assert x.cumprod(1).tolist() == np.cumprod(x, axis=1).tolist() == [[3, 3], [2, 8]]
    assert x.argsort(0).tolist() == [[1, 0], [0, 1]] and x.argsort(descending=True).tolist() == [[0, 1], [1, 0]]


def test_linear_recurrence_does_not_read_the_first_factor():
    a = ag.tensor([NAN, 0.5, 2.0], dtype=ag.float64, requires_grad=True)
    b = ag.tensor([4.0, 1.0, 1.0], dtype=ag.float64, requires_grad=True)
    ag.linear_recurrence(a, b)[-1].backward()
    assert a.grad.tolist() == [0, 8, 3] and b.grad.tolist() == [1, 2, 1]


# --- searching and sets -------------------------------------------------------------------------------------------------


def test_searchsorted_takes_numbers_other_dtypes_and_an_order():
    x = ag.tensor([3.0, 1.0, 2.0])
    order = ag.argsort(x)
    assert ag.searchsorted(x, 2.0, sorter=order).item() == 1
    assert ag.searchsorted(ag.tensor([1, 2, 3]), ag.tensor([1.5, 3.0], dtype=ag.float64), side="right").tolist() == [1, 3]
    assert ag.searchsorted(ag.tensor([1, 2, 3]), 3, side="right").item() == 3


def test_each_nan_is_distinct_and_both_zeros_are_one():
    values, indices, inverse, counts = ag.unique_all(ag.tensor([[0.0, NAN, -0.0], [NAN, 2.0, 0.0]]))
    assert np.array_equal(values.numpy(), [0, 2, NAN, NAN], equal_nan=True)
    assert indices.tolist() == [0, 4, 1, 3] and counts.tolist() == [3, 1, 1, 1]
    assert inverse.tolist() == [[0, 2, 0], [3, 1, 0]]


def test_gradient_of_distinct_values_goes_to_the_first_of_each():
    assert gradient(ag.unique_values, [2.0, 1.0, 2.0, 1.0], [5.0, 7.0]) == [7, 5, 0, 0]


def test_isin_takes_numbers():
    x = ag.tensor([1.0, NAN, 2.0])
    assert ag.isin(x, 2).tolist() == [False, False, True]
    assert ag.isin(1.0, x).item() is True and ag.isin(x, x).tolist() == [True, False, True]
    assert ag.isin(ag.tensor([1, 2]), ag.tensor([1.5, 2.0])).tolist() == [False, True]


# --- counts and quantiles -----------------------------------------------------------------------------------------------


def test_bincount_with_weights():
    x = ag.tensor([0, 2, 2, 0])
    weights = ag.tensor([1.0, 2.0, 3.0, 4.0], dtype=ag.float64, requires_grad=True)
    out = ag.bincount(x, weights, minlength=4)
    assert out.tolist() == [5, 0, 5, 0]
    (out * ag.tensor([1.0, 2.0, 3.0, 4.0], dtype=ag.float64)).sum().backward()
    assert weights.grad.tolist() == [1, 3, 3, 1]
    assert ag.bincount(ag.tensor([], dtype=ag.int64), ag.tensor([]), minlength=2).tolist() == [0, 0]


def test_histogram_with_weights_and_outliers():
    x = np.array([-1.0, 0.0, 0.5, 1.0, 2.0, NAN, 0.25])
    w = np.arange(7.0)
    found, edges = ag.histogram(ag.tensor(x), 4, range=(0.0, 1.0))
    assert found.tolist() == [1, 1, 1, 1] and edges.tolist() == [0, 0.25, 0.5, 0.75, 1]
    weights = ag.tensor(w, requires_grad=True)
    found, _ = ag.histogram(ag.tensor(x), 4, range=(0.0, 1.0), weights=weights)
    assert found.tolist() == [1, 6, 2, 3]
    found[1].backward()
    assert weights.grad.tolist() == [0, 0, 0, 0, 0, 0, 1]
    assert ag.histogram(ag.tensor([3, 3, 4]), 2)[0].tolist() == [2, 1]


def test_quantiles_of_nan_and_infinity():
    assert math.isnan(ag.median(ag.tensor([1.0, NAN, 2.0])).item())
    assert ag.quantile(ag.tensor([1.0, INF, -INF]), [0.0, 0.5, 1.0]).tolist() == [-INF, 1, INF]
    assert gradient(ag.median, [3.0, 1.0, 2.0, 9.0]) == [0.5, 0, 0.5, 0]
    assert ag.quantile(ag.tensor([1.0, 2.0]), ag.tensor([0.5])).tolist() == [1.5]


def test_diff_of_ends_with_gradients():
    x, before = ag.tensor([1.0, 4.0], requires_grad=True), ag.tensor([0.0], requires_grad=True)
    ag.diff(x, prepend=before, append=ag.tensor([9.0])).square().sum().backward()
    assert x.grad.tolist() == [-4, -4] and before.grad.tolist() == [-2]
