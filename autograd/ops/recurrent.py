"""Recurrent layers: a sequence through one layer in one direction, as one operation.

The products of the inputs with their weights are one matrix product over all time steps; a step in time is one product
of the state with its weights, and one kernel for everything elementwise: a formula with several results, `_Cell.step`.
The gradient goes through the steps backwards with the formula's own derivative and one product each; the gradients of
the weights are again single products over all steps. Under `create_graph` the layer is computed once more, step by step
in differentiable operations, so that gradients of any order exist.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from autograd.engine import gradients
from autograd.mode import enable_grad, grad_mode
from autograd.ops.arrange import stack
from autograd.ops.elementwise import Elementwise
from autograd.ops.linalg import Linear
from autograd.ops.shape import reshape
from autograd.ops.several import SeveralResults
from autograd.tensor import Tensor, wrap
from kernels import backend_for, formulas
from kernels import scalar as s
from kernels.formula import Formula, define
from kernels.layout import layout_of


class _Cell:
    """One kind of recurrent cell, as formulas.

    step: (x parts, h parts, states) -> (kept values, states). An x part is (x @ weight_ih.T + biases) for one gate, an h
        part h @ weight_hh.T; the new hidden state is the last result.
    back: (gradient of h by the next step, of h from outside, gradients of other states, kept values, ...) -> (gradients
        of the gates, of states); what it reads and gives is put in order by the layer's class.
    """

    def __init__(self, name: str, gates: int, step: Callable) -> None:
        self.name, self.gates = name, gates
        self.step = define(f"{name}_step", step)
        self.operation = Elementwise(self.step)

    def back(self, needs: Sequence[int], build: Callable) -> Formula:
        """The gradients by the step's inputs number `needs`, as a formula with the arguments of `build`.

        build: takes expressions, gives (gradients of the step's results, its inputs by number, its results).
        """
        count = len(self.step.inputs)

        def function(*arguments: Any) -> Any:
            derivative = self.step.gradient([k in needs for k in range(count)])
            upstream, inputs, results = build(*arguments)
            values = {"gradient": upstream, "input": inputs, "output": results}
            return derivative(*[values[kind][place] for kind, place in derivative.roles])

        return define(f"{self.name}_step'", function, inputs=build.__code__.co_varnames[: build.__code__.co_argcount])


# --- the cells as formulas --------------------------------------------------------------------------------------------


def _tanh_step(x, p):
    return s.tanh(x + p)


def _relu_step(x, p):
    return s.where(x + p <= 0, 0, x + p)


def _lstm_step(xi, xf, xg, xo, pi, pf, pg, po, c):
    """Hochreiter and Schmidhuber 1997, with the forget gate of Gers et al. 2000; the gates in PyTorch's order."""
    i, f, g, o = s.sigmoid(xi + pi), s.sigmoid(xf + pf), s.tanh(xg + pg), s.sigmoid(xo + po)
    c = f * c + i * g
    return i, f, g, o, c, o * s.tanh(c)


def _gru_step(xr, xz, xn, pr, pz, pn, bias, h):
    """Cho et al. 2014, with the reset gate behind the product as in cuDNN and PyTorch; bias: of the new gate's h part."""
    r, z = s.sigmoid(xr + pr), s.sigmoid(xz + pz)
    m = pn + bias
    n = s.tanh(xn + r * m)
    return r, z, n, m, (1 - z) * n + z * h


TANH, RELU = _Cell("rnn_tanh", 1, _tanh_step), _Cell("rnn_relu", 1, _relu_step)
LSTM, GRU = _Cell("lstm", 4, _lstm_step), _Cell("gru", 3, _gru_step)
