"""Numbers, values, the graph as text, and Graphviz."""

import re

import numpy as np
import pytest

import autograd as ag
from autograd.explain import Value, graph_text
from autograd.explain.ask import explain
from autograd.explain.values import factor_text, number_text


@pytest.mark.parametrize(
    ("value", "text"),
    [(1.0, "1.000"), (0.0, "0.000"), (-0.5, "-0.5000"), (12345.678, "1.235e+04"), (1234.0, "1234"),
     (1e-12, "1.000e-12"), (float("nan"), "nan"), (float("-inf"), "-inf"), (7, "7"), (True, "True")],
)  # fmt: skip
def test_numbers_have_four_digits(value, text):
    assert number_text(value) == text


def test_negative_factors_stand_in_parentheses():
    assert factor_text(-2.0) == "(-2.000)" and factor_text(2.0) == "2.000"


@pytest.mark.parametrize(
    ("array", "text"),
    [
        (np.float32(2.0), "2.000"),
        (np.array([[1.0, 2.0]]), "[[1.000, 2.000]]"),
        (np.array([5.0]), "[5.000]"),
        (np.zeros((0, 3)), "(0, 3) no elements"),
        (np.full(10, 0.5), "(10,) all 0.5000"),
        (np.arange(8.0), "(8,) [0.000, 1.000, 2.000, ...] min 0.000 mean 3.500 max 7.000"),
        (np.arange(8), "(8,) [0, 1, 2, ...] min 0 mean 3.500 max 7"),
        (np.arange(8) * 1j, "(8,) [0.000+0.000j, 0.000+1.000j, 0.000+2.000j, ...] abs min 0.000 mean 3.500 max 7.000"),
        (np.array(1 + 2j), "1.000+2.000j"),
        (np.r_[np.nan, np.arange(8.0)], "(9,) [nan, 0.000, 1.000, ...] 1 of 9 are nan"),
    ],
)
def test_arrays_are_told_in_a_line(array, text):
    assert str(Value.of(array)) == text


def test_infinities_warn_of_nothing():
    assert "inf" in str(Value.of(np.array([np.inf, -np.inf] * 5)))


def test_values_of_single_elements():
    assert Value.of(np.array([[3.0]])).number == 3.0 and Value.of(np.arange(3.0)).number is None


def test_the_graph_is_a_line_per_node():
    x = ag.tensor([1.0, 2.0], requires_grad=True)
    y = x * x
    assert graph_text((y + x).sum()).splitlines() == [
        "graph of 4 nodes",
        "  %0 = leaf               (2,) float32",
        "  %1 = multiply(%0, %0)   (2,) float32",
        "  %2 = add(%1, %0)        (2,) float32",
        "  %3 = sum(%2)            () float32",
    ]
    assert graph_text([y, y.sum()]).startswith("graph of 3 nodes")
    assert graph_text(y.grad_fn) == graph_text(y)
    assert graph_text(ag.ones(2)) == "graph of 0 nodes"


def test_a_long_graph_is_text_without_recursion():
    x = ag.tensor(1.0, requires_grad=True)
    y = x
    for _ in range(5000):
        y = y * x
    assert len(graph_text(y).splitlines()) == 5002


def test_graphviz():
    x = ag.tensor(3.0, requires_grad=True)
    dot = explain(x * x + x, print=False, names={'"q"\\': x}).to_dot()
    assert dot.startswith("digraph backward {") and dot.endswith("}\n")
    assert dot.count("{") == dot.count("}") == 1
    assert len(re.findall(r"n\d+ -> n\d+;", dot)) == 4  # x twice into the product
    assert '\\"q\\"\\\\' in dot and "grad 7.000" in dot
    assert len(re.findall(r"^  n\d+ \[", dot, re.M)) == 3
