"""The recorded graph and its backward pass, made readable: `autograd.explain(loss)`."""

from autograd.explain.explanation import Contribution, Explanation, Gradient, Made, Step
from autograd.explain.record import explain
from autograd.explain.text import graph_text
from autograd.explain.values import Value

__all__ = ["Contribution", "Explanation", "Gradient", "Made", "Step", "Value", "explain", "graph_text"]
