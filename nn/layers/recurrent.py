"""Recurrent layers and their cells, with PyTorch's names, parameters and initial values."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from typing import Any

import autograd as ag
from autograd.ops.recurrent import recurrent_layer
from nn import functional as F
from nn import init
from nn.module import Module
from nn.parameter import Parameter

_GATES = {"RNN_TANH": 1, "RNN_RELU": 1, "LSTM": 4, "GRU": 3}


class _Recurrent(Module):
    """What layers and cells have in common: their sizes and parameters, and the checks of what they are given."""

    def __init__(self, mode: str, input_size: int, hidden_size: int, bias: bool) -> None:
        super().__init__()
        for what, size in (("input_size", input_size), ("hidden_size", hidden_size)):
            _check_integer(type(self).__name__, what, size)
        self.mode, self.input_size, self.hidden_size, self.bias = mode, input_size, hidden_size, bool(bias)

    def _add_parameters(self, inputs: int, suffix: str, dtype: Any, device: str) -> None:
        """weight_ih, weight_hh, bias_ih and bias_hh, with the suffix."""
        rows, hidden = _GATES[self.mode] * self.hidden_size, self.hidden_size
        shapes = {"weight_ih": (rows, inputs), "weight_hh": (rows, hidden), "bias_ih": (rows,), "bias_hh": (rows,)}
        for name, shape in shapes.items():
            parameter = None
            if self.bias or len(shape) == 2:
                parameter = Parameter(ag.empty(shape, dtype=dtype, device=device))
            if parameter is not None or not suffix:  # a cell without biases has them as None, as in PyTorch
                setattr(self, name + suffix, parameter)

    def reset_parameters(self) -> None:
        """Draw the parameters anew: uniform in +-1 / sqrt(hidden_size)."""
        bound = 1 / math.sqrt(self.hidden_size)
        for parameter in self.parameters():
            init.uniform_(parameter, -bound, bound)

    def _weights(self, suffix: str) -> tuple[list[ag.Tensor], list[ag.Tensor]]:
        weights = [getattr(self, f"weight_{end}{suffix}") for end in ("ih", "hh")]
        return weights, [getattr(self, f"bias_{end}{suffix}") for end in ("ih", "hh")] if self.bias else []

    def _check_input(self, x: Any, unbatched: int, words: str) -> None:
        """Raise unless the input fits; `unbatched` is its number of dimensions without a batch, `words` its shapes."""
        name = type(self).__name__
        if not isinstance(x, ag.Tensor):
            raise TypeError(
                f"{name}: the input must be a tensor, got {type(x).__name__}. There are no packed sequences: pad sequences of "
                "different lengths with nn.utils.rnn.pad_sequence, and leave out the results behind their ends"
            )
        if x.ndim not in (unbatched, unbatched + 1):
            raise ValueError(f"{name}: the input must have shape {words}, got {x.shape}")
        if x.shape[-1] != self.input_size:
            raise ValueError(f"{name}: the input's last size must be input_size = {self.input_size}, got shape {x.shape}")
        weight = next(iter(self.parameters()))
        if x.dtype != weight.dtype:
            raise TypeError(
                f"{name}: the input is {x.dtype} and the parameters are {weight.dtype}; convert one with .astype or .to(dtype)"
            )

    def _checked_states(self, given: Any, shape: tuple[int, ...], x: ag.Tensor) -> list[ag.Tensor]:
        """The states h, or h and c, of this shape; zeros where none are given."""
        name, letters = type(self).__name__, ("h", "c") if self.mode == "LSTM" else ("h",)
        if given is None:
            return [ag.zeros(shape, dtype=x.dtype, device=x.device) for _ in letters]
        if self.mode == "LSTM" and not (isinstance(given, (tuple, list)) and len(given) == 2):
            raise TypeError(f"{name}: the initial states are a tuple (h, c), got {_described(given)}")
        states: list[Any] = list(given) if self.mode == "LSTM" else [given]
        for letter, state in zip(letters, states, strict=True):
            if not isinstance(state, ag.Tensor):
                raise TypeError(f"{name}: the initial {letter} must be a tensor, got {_described(state)}")
            if state.shape != shape:
                raise ValueError(
                    f"{name}: for an input of shape {x.shape} the initial {letter} must have shape {shape}, got {state.shape}"
                )
            if state.dtype != x.dtype:
                raise TypeError(
                    f"{name}: the input is {x.dtype} and the initial {letter} {state.dtype}; convert one with .astype"
                )
        return states


def _check_integer(name: str, what: str, value: Any) -> None:
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise TypeError(f"{name}: {what} must be an integer, got {value!r}")
    if value < 1:
        raise ValueError(f"{name}: {what} must be at least 1, got {value}")


def _described(value: Any) -> str:
    return f"a tensor of shape {value.shape}" if isinstance(value, ag.Tensor) else f"{type(value).__name__}"


# --- layers -----------------------------------------------------------------------------------------------------------


class _Layers(_Recurrent):
    """Recurrent layers above one another, in one direction or two."""

    def __init__(
        self, mode: str, input_size: int, hidden_size: int, num_layers: int, bias: bool, batch_first: bool, dropout: float,
        bidirectional: bool, proj_size: int, dtype: Any, device: str,
    ) -> None:  # fmt: skip
        name = type(self).__name__
        super().__init__(mode, input_size, hidden_size, bias)
        _check_integer(name, "num_layers", num_layers)
        if isinstance(dropout, bool) or not isinstance(dropout, (int, float)) or not 0 <= dropout <= 1:
            raise ValueError(f"{name}: dropout is a probability between 0 and 1, got {dropout!r}")
        if dropout and num_layers == 1:
            warnings.warn(f"{name}: dropout={dropout} acts between layers, and there is only one", stacklevel=3)
        if proj_size:
            raise NotImplementedError(
                f"{name}: proj_size={proj_size} is not supported; put a Linear layer behind each layer instead"
            )
        self.num_layers, self.batch_first, self.dropout = num_layers, bool(batch_first), float(dropout)
        self.bidirectional, self.proj_size = bool(bidirectional), proj_size
        for layer in range(num_layers):
            for suffix in self._suffixes(layer):
                inputs = input_size if layer == 0 else hidden_size * (2 if bidirectional else 1)
                self._add_parameters(inputs, suffix, dtype, device)
        self.reset_parameters()

    def _suffixes(self, layer: int) -> list[str]:
        """What the names of the parameters of a layer's directions end in."""
        return [f"_l{layer}", f"_l{layer}_reverse"][: 2 if self.bidirectional else 1]

    def forward(self, x: ag.Tensor, hx: Any = None) -> tuple[ag.Tensor, Any]:
        words = f"(N, T, {self.input_size})" if self.batch_first else f"(T, N, {self.input_size})"
        self._check_input(x, 2, f"{words} or (T, {self.input_size})")
        batched, given = x.ndim == 3, x
        x = ag.expand_dims(x, 1) if not batched else ag.swapaxes(x, 0, 1) if self.batch_first else x  # (T, N, inputs)
        if x.shape[0] == 0:
            raise ValueError(f"{type(self).__name__}: a sequence needs at least one step, got an input of shape {given.shape}")
        count = self.num_layers * (2 if self.bidirectional else 1)
        shape = (count, x.shape[1], self.hidden_size) if batched else (count, self.hidden_size)
        states = self._checked_states(hx, shape, given)
        if not batched:
            states = [ag.expand_dims(state, 1) for state in states]
        y, last = self._through_layers(x, states)
        if not batched:
            y, last = y[:, 0], [state[:, 0] for state in last]
        elif self.batch_first:
            y = ag.swapaxes(y, 0, 1)
        return y, tuple(last) if len(last) > 1 else last[0]

    def _through_layers(self, x: ag.Tensor, states: Sequence[ag.Tensor]) -> tuple[ag.Tensor, list[ag.Tensor]]:
        """(T, N, inputs) through all layers: the last one's h, and every layer's and direction's last states."""
        last: list[list[ag.Tensor]] = [[] for _ in states]
        for layer in range(self.num_layers):
            if layer and self.dropout and self.training:
                x = F.dropout(x, self.dropout, True)
            results = []
            for suffix in self._suffixes(layer):
                reverse, place = suffix.endswith("reverse"), len(last[0])
                weights, biases = self._weights(suffix)
                y, *more = recurrent_layer(self.mode, x, weights, [s[place] for s in states], biases, reverse)
                results.append(y)
                for kept, state in zip(last, [y[0 if reverse else -1], *more], strict=True):
                    kept.append(state)
            x = ag.concat(results, axis=2) if len(results) > 1 else results[0]
        return x, [ag.stack(kept) for kept in last]

    def flatten_parameters(self) -> None:
        """Does nothing; programs written for PyTorch call it."""

    def extra_repr(self) -> str:
        text = f"{self.input_size}, {self.hidden_size}"
        plain = {"num_layers": 1, "bias": True, "batch_first": False, "dropout": 0, "bidirectional": False}
        return text + "".join(f", {k}={getattr(self, k)}" for k, usual in plain.items() if getattr(self, k) != usual)


class RNN(_Layers):
    """Layers of h' = tanh(W_ih x + b_ih + W_hh h + b_hh) (Elman 1990), or with max(., 0): see `LSTM` for shapes and options.

    nonlinearity: "tanh" or "relu".

    >>> import autograd as ag, nn
    >>> y, h = nn.RNN(3, 4, nonlinearity="relu")(ag.ones((7, 2, 3)))
    >>> y.shape, h.shape
    ((7, 2, 4), (1, 2, 4))
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        nonlinearity: str = "tanh",
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        *,
        dtype: Any = None,
        device: str = "cpu",
    ) -> None:
        mode = _rnn_mode("RNN", nonlinearity)
        super().__init__(
            mode, input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, 0, dtype, device
        )
        self.nonlinearity = nonlinearity


class LSTM(_Layers):
    """Layers with long short-term memory (Hochreiter and Schmidhuber 1997; forget gates: Gers et al. 2000).

    i, f, o = sigmoid(W x + b + V h + d) each, g = tanh(W x + b + V h + d); c' = f c + i g, h' = o tanh(c').

    Args:
        input_size, hidden_size: of x and of h. num_layers: each above the first takes the h of the one below.
        bias: whether there are biases. dropout: the probability with which, in training, what goes from one layer to the
            next is zeroed. bidirectional: every layer has a second part that goes from the end to the beginning; the two
            lie side by side in its result.
        batch_first: input and result are (N, T, size) instead of (T, N, size). States always are (layers, N, size).
        proj_size: not supported.

    Called with x (T, N, input_size), and (h, c) of shapes (D num_layers, N, hidden_size) or None for zeros, it returns y
    (T, N, D hidden_size) and the last (h, c), with D = 2 where bidirectional, else 1. All without N for one sequence.
    Parameters are named as PyTorch's (`weight_ih_l0`, `weight_hh_l0`, `bias_ih_l0`, `bias_hh_l0`, `weight_ih_l0_reverse`,
    ...), hold the gates in the order i, f, g, o, and start uniform in +-1 / sqrt(hidden_size).

    Raises:
        TypeError: dtypes differ. ValueError: sizes do not fit, or T is 0.

    >>> import autograd as ag, nn
    >>> layer = nn.LSTM(3, 4, num_layers=2, bidirectional=True)
    >>> y, (h, c) = layer(ag.ones((7, 2, 3)))
    >>> y.shape, h.shape, c.shape
    ((7, 2, 8), (4, 2, 4), (4, 2, 4))
    >>> layer
    LSTM(3, 4, num_layers=2, bidirectional=True)
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        *,
        dtype: Any = None,
        device: str = "cpu",
    ) -> None:
        super().__init__(
            "LSTM", input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, proj_size, dtype, device
        )


class GRU(_Layers):
    """Layers of gated recurrent units (Cho et al. 2014): see `LSTM` for shapes and options.

    r, z = sigmoid(W x + b + V h + d) each, n = tanh(W x + b + r (V h + d)), h' = (1 - z) n + z h; r, z, n in the parameters.

    >>> import autograd as ag, nn
    >>> y, h = nn.GRU(3, 4, batch_first=True)(ag.ones((2, 7, 3)))
    >>> y.shape, h.shape
    ((2, 7, 4), (1, 2, 4))
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        *,
        dtype: Any = None,
        device: str = "cpu",
    ) -> None:
        super().__init__(
            "GRU", input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, 0, dtype, device
        )


# --- cells ------------------------------------------------------------------------------------------------------------


class _Cell(_Recurrent):
    """One step of a recurrent layer."""

    def __init__(self, mode: str, input_size: int, hidden_size: int, bias: bool, dtype: Any, device: str) -> None:
        super().__init__(mode, input_size, hidden_size, bias)
        self._add_parameters(input_size, "", dtype, device)
        self.reset_parameters()

    def forward(self, x: ag.Tensor, hx: Any = None) -> Any:
        self._check_input(x, 1, f"(N, {self.input_size}) or ({self.input_size},)")
        states = self._checked_states(hx, (*x.shape[:-1], self.hidden_size), x)
        if x.ndim == 1:
            x, states = ag.expand_dims(x, 0), [ag.expand_dims(state, 0) for state in states]
            return self._without_batch(self._step(x, states))
        return self._step(x, states)

    def _step(self, x: ag.Tensor, states: list[ag.Tensor]) -> Any:
        y, *more = recurrent_layer(self.mode, ag.expand_dims(x, 0), *self._with_states(states))
        return (y[0], *more) if more else y[0]

    def _with_states(self, states: list[ag.Tensor]) -> tuple:
        weights, biases = self._weights("")
        return weights, states, biases

    def _without_batch(self, results: Any) -> Any:
        return tuple(r[0] for r in results) if isinstance(results, tuple) else results[0]

    def extra_repr(self) -> str:
        text = f"{self.input_size}, {self.hidden_size}" + ("" if self.bias else ", bias=False")
        nonlinearity = getattr(self, "nonlinearity", "tanh")
        return text if nonlinearity == "tanh" else f"{text}, nonlinearity={nonlinearity}"


class RNNCell(_Cell):
    """One step of `RNN`: x (N, input_size), h (N, hidden_size) or None for zeros -> h'. All may be without N.

    >>> import autograd as ag, nn
    >>> nn.RNNCell(3, 4)(ag.ones((2, 3))).shape
    (2, 4)
    """

    def __init__(
        self, input_size: int, hidden_size: int, bias: bool = True, nonlinearity: str = "tanh", *, dtype: Any = None,
        device: str = "cpu",
    ) -> None:  # fmt: skip
        super().__init__(_rnn_mode("RNNCell", nonlinearity), input_size, hidden_size, bias, dtype, device)
        self.nonlinearity = nonlinearity


class LSTMCell(_Cell):
    """One step of `LSTM`: x (N, input_size), (h, c) (N, hidden_size) each or None for zeros -> (h', c'). All may be without N.

    >>> import autograd as ag, nn
    >>> h, c = nn.LSTMCell(3, 4)(ag.ones((2, 3)))
    >>> h.shape, c.shape
    ((2, 4), (2, 4))
    """

    def __init__(
        self, input_size: int, hidden_size: int, bias: bool = True, *, dtype: Any = None, device: str = "cpu"
    ) -> None:
        super().__init__("LSTM", input_size, hidden_size, bias, dtype, device)


class GRUCell(_Cell):
    """One step of `GRU`: x (N, input_size), h (N, hidden_size) or None for zeros -> h'. All may be without N.

    >>> import autograd as ag, nn
    >>> nn.GRUCell(3, 4)(ag.ones((2, 3))).shape
    (2, 4)
    """

    def __init__(
        self, input_size: int, hidden_size: int, bias: bool = True, *, dtype: Any = None, device: str = "cpu"
    ) -> None:
        super().__init__("GRU", input_size, hidden_size, bias, dtype, device)


def _rnn_mode(name: str, nonlinearity: Any) -> str:
    modes = {"tanh": "RNN_TANH", "relu": "RNN_RELU"}
    if nonlinearity not in modes:
        raise ValueError(f"{name}: nonlinearity is 'tanh' or 'relu', got {nonlinearity!r}")
    return modes[nonlinearity]
