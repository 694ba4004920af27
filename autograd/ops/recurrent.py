"""Recurrent layers: a sequence through one layer in one direction, as one operation.

The products of the inputs with their weight are one matrix product over all time steps. A step in time is one product of
the state with its weight, and one kernel for everything elementwise: a formula with several results. The gradient takes
the steps backwards with that formula's own derivative and one product each; the gradients of the weights are again single
products over all steps. Under `create_graph` the layer is computed once more, step by step in differentiable operations,
so that there are gradients of any order.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from autograd.engine import gradients
from autograd.mode import enable_grad, grad_mode
from autograd.ops.creation import zeros_like
from autograd.ops.elementwise import OPERATIONS, Elementwise
from autograd.ops.linalg import linear
from autograd.ops.several import SeveralResults
from autograd.ops.shape import concat, split, stack, unstack
from autograd.tensor import Tensor, wrap
from kernels import formulas
from kernels import scalar as s
from kernels.formula import Formula, define
from kernels.layout import layout_of

positive = OPERATIONS["positive"]


class _Cell:
    """One kind of recurrent cell.

    step: the formula of one step in time. Its inputs are one part of x @ weight_ih.T + biases per gate, one of
        h @ weight_hh.T per gate, and what else the cell reads; the new hidden state is the last result.
    back: the formula of the step's gradient, derived from `step`.
    """

    def __init__(self, name: str, step: Callable, back: Callable, needs: tuple[int, ...], rewrite: Any = None) -> None:
        """needs: the numbers of the step's inputs that `back` gives the gradients of. The arguments of the function `back`
        are the inputs of its formula; it gives (gradients of the step's results, its inputs by number, its results)."""
        self.step = define(f"{name}_step", step, rewrite=rewrite)
        self.operation = Elementwise(self.step)

        def derived(*arguments: Any) -> Any:
            derivative = self.step.gradient([k in needs for k in range(len(self.step.inputs))])
            values: dict[str, Any] = dict(zip(("gradient", "input", "output"), back(*arguments), strict=True))
            return derivative(*[values[kind][place] for kind, place in derivative.roles])

        self.back: Formula = define(f"{name}_step'", derived, inputs=back.__code__.co_varnames[: back.__code__.co_argcount])


# --- the cells --------------------------------------------------------------------------------------------------------


def _tanh_step(x, p):
    return s.tanh(x + p)


def _relu_step(x, p):
    return s.where(x + p <= 0, 0, x + p)


def _rnn_back(by_next, outside, h):
    return (by_next + outside,), (), (h,)


def _lstm_step(xi, xf, xg, xo, pi, pf, pg, po, c):
    """Hochreiter and Schmidhuber 1997 with the forget gate of Gers et al. 2000; the gates in PyTorch's order."""
    i, f, g, o = s.sigmoid(xi + pi), s.sigmoid(xf + pf), s.tanh(xg + pg), s.sigmoid(xo + po)
    c = f * c + i * g
    return i, f, g, o, c, o * s.tanh(c)


def _lstm_back(by_next, outside, dc, i, f, g, o, c, c_next):
    return (0, 0, 0, 0, dc, by_next + outside), {8: c}, (i, f, g, o, c_next)


def _gru_step(xr, xz, xn, pr, pz, pn, bias, h):
    """Cho et al. 2014, the reset gate behind the product as in cuDNN and PyTorch; bias: of the new gate's part of h."""
    r, z = s.sigmoid(xr + pr), s.sigmoid(xz + pz)
    m = pn + bias
    n = s.tanh(xn + r * m)
    return r, z, n, m, (1 - z) * n + z * h


def _gru_back(by_next, along, outside, r, z, n, m, h):
    return (0, 0, 0, 0, by_next + along + outside), {7: h}, (r, z, n, m)


TANH = _Cell("rnn_tanh", _tanh_step, _rnn_back, (0,))
RELU = _Cell("rnn_relu", _relu_step, _rnn_back, (0,), rewrite=lambda h, x, p: {x + p <= 0: h <= 0})
LSTM = _Cell("lstm", _lstm_step, _lstm_back, (0, 1, 2, 3, 8))
GRU = _Cell("gru", _gru_step, _gru_back, (0, 1, 2, 5, 7))


# --- what the layers have in common -----------------------------------------------------------------------------------


class _Layer(SeveralResults):
    """Operands: x (T, N, inputs), weight_ih (G H, inputs), weight_hh (G H, H), the first states (N, H) each, and, or not,
    bias_ih and bias_hh (G H,). The first result is every h (T, N, H); a cell's other last states follow, then what the
    gradient reads. `reverse`: from the last step to the first.
    """

    fresh = True
    cell: _Cell
    gates: int
    states = 1  # how many the cell has: h, and for LSTM c
    explanation = "the steps of {node.name} taken backwards"

    def saves(self, needs):
        return (True,) * len(needs)

    def _has_gradient(self, place, layout):
        return place < self.states

    def forward(self, x, weight_ih, weight_hh, *rest, reverse=False):
        self.reverse, backend, steps = reverse, self.backend, x.shape[0]
        first, biases = rest[: self.states], rest[self.states :]
        bias = self._common_bias(*biases) if biases else None
        parts = backend.matmul(_rows(x, backend), weight_ih.T, bias=bias).reshape(*x.shape[:2], weight_ih.shape[0])
        history = [self._history(state, steps) for state in first]
        return self._forward(parts, backend.copy(weight_hh.T), *history, *biases)

    def _forward(self, parts: Any, weight: Any, *more: Any) -> tuple:
        """The steps: parts (T, N, G H) are those of x, `weight` that of h, transposed; then states and biases."""
        raise NotImplementedError

    def _history(self, state: Any, steps: int) -> Any:
        """Memory for a state before and after every step, with the first one in its place."""
        history = self.backend.empty((steps + 1, *state.shape), state.dtype)
        self.backend.copy(state, out=history[-1 if self.reverse else 0])
        return history

    def _before(self, history: Any) -> Any:
        return history[1:] if self.reverse else history[:-1]

    def _after(self, history: Any) -> Any:
        return history[:-1] if self.reverse else history[1:]

    def _walk(self, array: Any, back: bool = False) -> list:
        """The array's steps in the order in which they are taken, or the other way round."""
        return list(array)[::-1] if self.reverse != back else list(array)

    def _common_bias(self, bias_ih: Any, bias_hh: Any) -> Any:
        """What is added to the parts of x."""
        return self.backend.apply(formulas.add, bias_ih, bias_hh)

    def _zeros(self, like: Any, *size: int) -> Any:
        return self.backend.fill(self.backend.empty(size or like.shape, like.dtype), 0)

    def rule(self, *grads):
        outer = grads[: self.states]
        if grad_mode.get():
            return self._by_operations(outer)
        _, hs, *more = [result._data for result in self.results()[self.states - 1 :]]
        operands = [self.operand(k)._data for k in range(len(self.inputs))]
        like = hs[0]
        # Where nothing depends on the results, only on the last states: zeros, one stretched over all.
        zero = self._zeros(like)
        outside = self.backend.broadcast(zero, hs[1:].shape) if outer[0] is None else outer[0]._data
        last = [zero if g is None else g._data for g in outer[1:]]
        to_parts, to_products, to_states = self._backward(operands[2], self._walk(outside, True), last, hs, *more)
        return self._to_operands(operands, hs, to_parts, to_products, to_states)

    def _backward(self, weight: Any, outside: list, last: list, hs: Any, *more: Any) -> tuple:
        """The steps taken backwards.

        Args:
            weight: that of h.
            outside: the gradients of every h, the last step's first.
            last: those of the last states besides h.
            hs, more: what `forward` kept.

        Returns:
            The gradients of the parts of x (T, N, G H), of those of h (the same, or what `_hidden_weight` makes of it),
            and of the first states.
        """
        raise NotImplementedError

    def _to_operands(self, operands, hs, to_parts, to_products, to_states) -> tuple:
        """The gradients of all operands: for the weights, one product over all steps each."""
        x, weight_ih = operands[:2]
        needs, backend = [edge is not None for edge in self.inputs], self.backend
        parts, biases = _rows(to_parts, backend), [None] * (len(needs) - 3 - self.states)
        to_x = backend.matmul(parts, weight_ih).reshape(*x.shape) if needs[0] else None
        to_ih = _over_rows(parts, _rows(x, backend), backend) if needs[1] else None
        to_hh = self._by_hidden_weight(_rows(to_products, backend), _rows(self._before(hs), backend)) if needs[2] else None
        if any(needs[3 + self.states :]):
            biases = self._by_biases(parts, _rows(to_products, backend))
        found = (to_x, to_ih, to_hh, *to_states, *biases)
        return tuple([wrap(a) if a is not None and need else None for a, need in zip(found, needs, strict=True)])

    def _by_hidden_weight(self, products: Any, before: Any) -> Any:
        return _over_rows(products, before, self.backend)

    def _by_biases(self, parts: Any, products: Any) -> tuple:
        total = self.backend.sum(parts, axis=0)
        return total, self.backend.copy(total)

    def _by_operations(self, grads: Sequence[Tensor | None]) -> tuple:
        """The gradients with a graph of their own: of the layer computed again, by differentiable operations."""
        self.fresh = False  # both biases have the same gradient
        operands = [self.operand(k) for k in range(len(self.inputs))]
        with enable_grad():
            # The same numbers under another node: gradients are asked for here, and flow on through it.
            inner = [positive(o) if edge is not None else o for o, edge in zip(operands, self.inputs, strict=True)]
            results = composed(self.cell, self.gates, self.states, self.reverse, inner)
        pairs = [(r, g) for r, g in zip(results, grads, strict=True) if g is not None]
        wanted = [o for o, edge in zip(inner, self.inputs, strict=True) if edge is not None]
        outputs, upstream = [r for r, _ in pairs], [g for _, g in pairs]
        found = iter(gradients(outputs, wanted, upstream, retain_graph=True, create_graph=True, allow_unused=True))
        return tuple([next(found) if edge is not None else None for edge in self.inputs])


def _rows(array: Any, backend: Any) -> Any:
    """(T, N, size) as (T N, size): a view where memory allows it."""
    if array.ndim == 2:
        return array
    shape = array.shape[0] * array.shape[1], array.shape[2]
    return (array if array.flags.c_contiguous else backend.copy(array)).reshape(*shape)


_STRETCH, _STRETCHES = 1024, 16  # rows that are multiplied together, and most stretches of them


def _over_rows(a: Any, b: Any, backend: Any) -> Any:
    """a.T @ b for many more rows than columns, b with the fewer columns: as products of stretches of rows, which stay in the
    cache, turned such that the operand which is read in place is the narrow one."""
    count = next((n for n in range(min(len(a) // _STRETCH, _STRETCHES), 1, -1) if len(a) % n == 0), 1)
    if count == 1:
        return backend.copy(backend.matmul(b.T, a).T)
    a, b = [m.reshape(count, len(m) // count, m.shape[1]) for m in (a, b)]
    return backend.copy(backend.sum(backend.matmul(b.transpose(0, 2, 1), a), axis=0).T)


def _columns(count: int, size: int) -> list[tuple[slice, slice]]:
    """The places of `count` parts of this size in the columns of a matrix."""
    return [(slice(None), slice(k * size, (k + 1) * size)) for k in range(count)]


def _filler(backend: Any, formula: Formula, arrays: tuple, aliases: tuple[int, ...]) -> Callable[[tuple], None]:
    """How to run a formula on arrays like these: its inputs, then the results that overwrite no input (alias -1).

    It is worked out once: a sequence has hundreds of steps whose arrays come alike.
    """
    count = len(formula.inputs)
    sources = tuple([layout_of(a) for a in arrays[:count]])
    fresh = iter(arrays[count:])
    results = tuple([sources[a] if a >= 0 else layout_of(next(fresh)) for a in aliases])
    return backend.plan_for(formula.hoisted, sources, arrays[0].dtype, (results, aliases)).fill


# --- the layers -------------------------------------------------------------------------------------------------------


class RNNTanh(_Layer):
    """h = tanh(x part + h part)."""

    cell, gates = TANH, 1

    def _forward(self, parts, weight, hs, *biases):
        backend, fill = self.backend, None
        walks = [self._walk(a) for a in (parts, self._before(hs), self._after(hs))]
        for part, h, result in zip(*walks, strict=True):
            arrays = part, backend.matmul(h, weight), result
            fill = fill or _filler(backend, self.cell.step, arrays, (-1,))
            fill(arrays)
        return self._after(hs), hs

    def _backward(self, weight, outside, last, hs):
        backend, fill, after = self.backend, None, self._after(hs)
        to_parts = backend.empty(after.shape, hs.dtype)
        by_next = self._zeros(hs[0])
        for g, h, to in zip(outside, self._walk(after, True), self._walk(to_parts, True), strict=True):
            arrays = by_next, g, h, to
            fill = fill or _filler(backend, self.cell.back, arrays, (-1,))
            fill(arrays)
            by_next = backend.matmul(to, weight)
        return to_parts, to_parts, (by_next,)


class RNNReLU(RNNTanh):
    """h = max(x part + h part, 0)."""

    cell = RELU


class LSTMLayer(_Layer):
    """Four gates (i, f, g, o), and a state c besides h; see `_lstm_step`."""

    cell, gates, states = LSTM, 4, 2

    def _forward(self, parts, weight, hs, cs, *biases):
        backend, fill = self.backend, None
        one, two, three, four = _columns(4, hs.shape[-1])
        histories = self._before(hs), self._after(hs), self._before(cs), self._after(cs)
        for part, h, h_next, c, c_next in zip(*[self._walk(a) for a in (parts, *histories)], strict=True):
            p = backend.matmul(h, weight)
            # The gates take the place of the parts of x.
            arrays = (
                part[one], part[two], part[three], part[four], p[one], p[two], p[three], p[four], c, c_next, h_next,
            )  # fmt: skip
            fill = fill or _filler(backend, LSTM.step, arrays, (0, 1, 2, 3, -1, -1))
            fill(arrays)
        return self._after(hs), backend.copy(self._after(cs)[0 if self.reverse else -1]), hs, cs, parts

    def _backward(self, weight, outside, last, hs, cs, gates):
        backend, fill = self.backend, None
        one, two, three, four = _columns(4, hs.shape[-1])
        to_parts, by_next, dc = backend.empty(gates.shape, gates.dtype), self._zeros(hs[0]), backend.copy(last[0])
        walks = [self._walk(a, True) for a in (gates, self._before(cs), self._after(cs), to_parts)]
        for g, gate, c, c_next, to in zip(outside, *walks, strict=True):
            arrays = (
                by_next, g, dc, gate[one], gate[two], gate[three], gate[four], c, c_next,
                to[one], to[two], to[three], to[four],
            )  # fmt: skip
            fill = fill or _filler(backend, LSTM.back, arrays, (-1, -1, -1, -1, 2))
            fill(arrays)
            by_next = backend.matmul(to, weight)
        return to_parts, to_parts, (by_next, dc)


class GRULayer(_Layer):
    """Three gates (r, z, n); see `_gru_step`.

    The reset gate lies between the new gate's parts of x and of h, whose gradients therefore differ. They are laid side by
    side, (n of h, r, z, n of x): the first three are those of the products with h, the last three those of x.
    """

    cell, gates = GRU, 3

    def _common_bias(self, bias_ih, bias_hh):
        """The new gate's bias of h is multiplied by the reset gate: it stays with the step."""
        bias, few = self.backend.copy(bias_ih), bias_ih.shape[0] // 3 * 2
        self.backend.apply(formulas.add, bias[:few], bias_hh[:few], out=bias[:few])
        return bias

    def _forward(self, parts, weight, hs, *biases):
        backend, fill, size = self.backend, None, hs.shape[-1]
        one, two, three = _columns(3, size)
        bias = biases[1][2 * size :] if biases else self._zeros(hs, size)
        products = backend.empty(self._after(hs).shape, hs.dtype)
        histories = self._before(hs), self._after(hs), products
        for part, h, h_next, m in zip(*[self._walk(a) for a in (parts, *histories)], strict=True):
            p = backend.matmul(h, weight)
            arrays = part[one], part[two], part[three], p[one], p[two], p[three], bias, h, m, h_next
            fill = fill or _filler(backend, GRU.step, arrays, (0, 1, 2, -1, -1))
            fill(arrays)
        return self._after(hs), hs, parts, products

    def _backward(self, weight, outside, last, hs, gates, products):
        backend, fill, size = self.backend, None, hs.shape[-1]
        one, two, three, four = _columns(4, size)
        columns = slice(None), slice(3 * size)
        turned = backend.empty(weight.shape, weight.dtype)  # in the order of the columns below: n, r, z
        backend.copy(weight[2 * size :], out=turned[:size])
        backend.copy(weight[: 2 * size], out=turned[size:])
        side = backend.empty((*gates.shape[:2], 4 * size), gates.dtype)
        by_next, along = self._zeros(hs[0]), self._zeros(hs[0])
        walks = [self._walk(a, True) for a in (gates, products, self._before(hs), side)]
        for g, gate, m, h, to in zip(outside, *walks, strict=True):
            arrays = (
                by_next, along, g, gate[one], gate[two], gate[three], m, h, to[two], to[three], to[four], to[one],
            )  # fmt: skip
            fill = fill or _filler(backend, GRU.back, arrays, (-1, -1, -1, -1, 1))
            fill(arrays)
            by_next = backend.matmul(to[columns], turned)
        backend.apply(formulas.add, by_next, along, out=along)
        rows = _rows(side, backend)
        return rows[:, size:], rows[:, : 3 * size], (along,)

    def _by_hidden_weight(self, products, before):
        turned, size = _over_rows(products, before, self.backend), before.shape[-1]  # n, r, z
        total = self.backend.empty(turned.shape, turned.dtype)
        self.backend.copy(turned[size:], out=total[: 2 * size])
        self.backend.copy(turned[:size], out=total[2 * size :])
        return total

    def _by_biases(self, parts, products):
        by_parts, size = self.backend.sum(parts, axis=0), parts.shape[1] // 3
        by_products = self.backend.copy(by_parts)
        self.backend.copy(self.backend.sum(products[:, :size], axis=0), out=by_products[2 * size :])
        return by_parts, by_products


# --- functions --------------------------------------------------------------------------------------------------------


def composed(cell: _Cell, gates: int, states: int, reverse: bool, operands: Sequence[Tensor]) -> list[Tensor]:
    """What the layers compute, step by step in differentiable operations: every h, and other last states."""
    x, weight_ih, weight_hh, *rest = operands
    state, biases = rest[:states], rest[states:]
    size, bias, own = weight_hh.shape[1], None, []
    if biases:
        bias = biases[0] + biases[1]
        if cell is GRU:
            bias = concat([bias[: 2 * size], biases[0][2 * size :]])
            own = [biases[1][2 * size :]]
    elif cell is GRU:
        own = [zeros_like(weight_hh[0])]
    parts, results = unstack(linear(x, weight_ih, bias)), []
    for part in parts[::-1] if reverse else parts:
        product = linear(state[0], weight_hh)
        more = state[1:] if cell is LSTM else [*own, *state] if cell is GRU else []
        outputs = cell.operation(*split(part, size, axis=-1), *split(product, size, axis=-1), *more)
        *others, h = outputs if isinstance(outputs, tuple) else (outputs,)
        state = [h, *others[-1:]] if cell is LSTM else [h]
        results.append(h)
    return [stack(results[::-1] if reverse else results), *state[1:]]


LAYERS = {"RNN_TANH": RNNTanh, "RNN_RELU": RNNReLU, "LSTM": LSTMLayer, "GRU": GRULayer}


def recurrent_layer(
    mode: str, x: Tensor, weights: Sequence[Tensor], states: Sequence[Tensor], biases: Sequence[Tensor], reverse: bool = False
) -> tuple[Tensor, ...]:
    """A sequence through one recurrent layer in one direction.

    Args:
        mode: "RNN_TANH", "RNN_RELU", "LSTM" or "GRU".
        x: (T, N, inputs), T at least 1.
        weights: weight_ih (G H, inputs) and weight_hh (G H, H), with G = 1, 1, 4 or 3 gates.
        states: the first h (N, H), and for LSTM c (N, H).
        biases: bias_ih and bias_hh (G H,), or nothing.
        reverse: take the steps from the last to the first; results stay in the order of x.

    Returns:
        Every h (T, N, H), and for LSTM the last c (N, H). Operands are not checked: `nn` does that, with its names.
    """
    layer = LAYERS[mode]
    return layer.apply(x, *weights, *states, *biases, reverse=reverse)[: layer.states]
