"""The declarative table of operations: what each computes, on what, and what it must refuse.

One entry per operation: a function of tensors, the same in NumPy, where to draw operands from (and the special points),
the dtypes it takes, how often it can be differentiated, and calls that must raise, with what the message must say.
`tests/autograd/ops/test_operations.py` runs the same tests over all of them, and fails for an exported operation that
has no entry here.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

import autograd as ag
from autograd.ops import nn_ops, shape
from autograd.ops.elementwise import OPERATIONS
from kernels.formulas import TABLE as FORMULAS

SHAPE = (2, 3, 4)  # of operands, unless a case says otherwise: all sizes differ, so a mixed-up axis is seen
INF, NAN = math.inf, math.nan


@dataclass(frozen=True)
class Domain:
    """Where an operand's elements are drawn from: floats in [low, high] away from `avoid`, integers from `integers`."""

    low: float = -2.0
    high: float = 2.0
    avoid: tuple[float, ...] = ()
    integers: tuple[int, int] = (0, 6)

    def draw(self, generator: np.random.Generator, size: tuple[int, ...], dtype: Any) -> np.ndarray:
        dtype = np.dtype(dtype)
        if dtype.kind == "b":
            return generator.random(size) < 0.5
        if dtype.kind in "iu":
            low = max(self.integers[0], -4 if dtype.kind == "i" else 0)
            return generator.integers(low, self.integers[1], size).astype(dtype)
        values = generator.uniform(self.low, self.high, size)
        for point in self.avoid:  # a finite difference must not reach across a kink
            values = np.where(np.abs(values - point) < 0.05, point + 0.05 + np.abs(values - point), values)
        return values.astype(dtype)


BOOLEAN = Domain()  # drawn as bool whatever the other operands are: see Operation.booleans


@dataclass(frozen=True)
class Case:
    """Operands of these shapes, and the options the operation is called with."""

    shapes: tuple[tuple[int, ...], ...]
    options: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.shapes} {self.options}"


@dataclass(frozen=True)
class Refusal:
    """A call that must raise: operands (made when the test runs), options, the exception and its message."""

    operands: Callable[[], Sequence[Any]]
    options: dict[str, Any]
    error: type[Exception]
    message: str


@dataclass(frozen=True)
class Operation:
    """One entry of the table.

    function, reference: take the operands (tensors; arrays) and a case's options.
    domains: one per operand; the last one serves all that follow.
    cases: shapes and options that every generic test goes through. size-0 and 0-d operands are cases as well.
    special: tuples of operand elements at which the value is compared besides (ties, zeros, infinities, NaN).
    kinds: dtype kinds it takes.
    order: how often it can be differentiated (0: not at all).
    booleans: places of operands that are always bool.
    every_layout: go through every combination of memory layout (otherwise contiguous and one ugly one).
    exact: results are the reference's bits: nothing is computed, or it is exact by rule.
    scale: of intermediate values, in which a rounding error counts.
    """

    name: str
    function: Callable
    reference: Callable
    domains: tuple[Domain, ...] = (Domain(),)
    cases: tuple[Case, ...] = (Case((SHAPE,)),)
    special: tuple[tuple[float, ...], ...] = ()
    kinds: str = "f"
    order: int = 2
    booleans: tuple[int, ...] = ()
    refusals: tuple[Refusal, ...] = ()
    every_layout: bool = True
    exact: bool = False
    scale: float = 1.0

    def __str__(self) -> str:
        return self.name

    def draw(self, case: Case, dtype: Any, seed: int = 0) -> list[np.ndarray]:
        """Operands for a case: the same for the same seed."""
        generator = np.random.default_rng(zlib.crc32(f"{self.name} {case}".encode()) + seed)
        drawn = []
        for k, size in enumerate(case.shapes):
            domain = self.domains[min(k, len(self.domains) - 1)]
            drawn.append(domain.draw(generator, size, np.bool_ if k in self.booleans else dtype))
        return drawn


TABLE: dict[str, Operation] = {}


def add(name: str, function: Callable, reference: Callable, **rest: Any) -> None:
    """Enter an operation."""
    assert name not in TABLE, name
    TABLE[name] = Operation(name, function, reference, **rest)


def refuses(operands: Callable[[], Sequence[Any]], error: type[Exception], message: str, **options: Any) -> Refusal:
    """A refusal, shorter to write."""
    return Refusal(operands, options, error, message)


# --- elementwise: an entry for every formula ------------------------------------------------------------------------

_vectorised_erf = np.vectorize(math.erf, otypes=[np.float64])
_vectorised_erfc = np.vectorize(math.erfc, otypes=[np.float64])


def _sigmoid(x):
    return np.where(x >= 0, 1 / (1 + np.exp(-np.abs(x))), np.exp(-np.abs(x)) / (1 + np.exp(-np.abs(x))))


def _softplus(x):
    return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))


def _elu(x, alpha=1.0):
    return np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0)))


def _huber(x, t, delta=1.0):
    d = np.abs(x - t)
    return np.where(d < delta, 0.5 * d * d, delta * (d - 0.5 * delta))


def _xlogy(x, y):
    return np.where(x == 0, 0.0, x * np.log(np.where(x == 0, 1.0, y)))


def _adam(p, g, m, v, *extra, decoupled, lr, beta1, beta2, eps, weight_decay, bias_correction1, bias_correction2):
    p, g = (p * (1 - lr * weight_decay), g) if decoupled else (p, g + weight_decay * p)
    m, v = beta1 * m + (1 - beta1) * g, beta2 * v + (1 - beta2) * g * g
    extra = tuple(np.maximum(e, v) for e in extra)
    root = np.sqrt((extra[0] if extra else v) / bias_correction2)
    return (p - lr * (m / bias_correction1) / (root + eps), m, v, *extra)


def _sgd(p, g, buffer=None, *, nesterov=False, lr, momentum=0.0, dampening=0.0, weight_decay=0.0):
    g = g + weight_decay * p
    if buffer is None:
        return p - lr * g
    buffer = momentum * buffer + (1 - dampening) * g
    return p - lr * (g + momentum * buffer if nesterov else buffer), buffer


def _adam_like(decoupled):
    return lambda *arrays, **options: _adam(*arrays, decoupled=decoupled, **options)


ADAM = {
    "lr": 0.1, "beta1": 0.9, "beta2": 0.99, "eps": 1e-3, "weight_decay": 0.05, "bias_correction1": 0.19,
    "bias_correction2": 0.0199,
}  # fmt: skip
MOMENTUM = {"lr": 0.1, "momentum": 0.9, "dampening": 0.2, "weight_decay": 0.05}

REFERENCES: dict[str, Callable] = {
    **{name: getattr(np, "arc" + name[1:]) for name in ("acos", "acosh", "asin", "asinh", "atan", "atanh")},
    **{name: getattr(np, name) for name in (
        "cos cosh exp log log10 log1p log2 sin sinh sqrt tan tanh reciprocal exp2 ceil floor negative round sign square "
        "trunc add subtract multiply floor_divide remainder maximum minimum divide copysign hypot logaddexp "
        "nextafter isfinite isinf isnan signbit equal not_equal less less_equal greater greater_equal logical_and "
        "logical_or logical_xor logical_not bitwise_and bitwise_or bitwise_xor bitwise_invert bitwise_left_shift "
        "bitwise_right_shift expm1 where clip abs"
    ).split()},
    "pow": np.power,
    "positive": np.copy,
    "atan2": np.arctan2,
    "rsqrt": lambda x: 1 / np.sqrt(x),
    "erf": _vectorised_erf,
    "erfc": _vectorised_erfc,
    "sigmoid": _sigmoid,
    "clip_scalar": lambda x, lower, upper: np.clip(x, lower, upper),
    "relu": lambda x: np.maximum(x, np.zeros_like(x)),
    "leaky_relu": lambda x, negative_slope: np.where(x > 0, x, negative_slope * x),
    "prelu": lambda x, weight: np.where(x > 0, x, weight * x),
    "elu": lambda x, alpha: _elu(x, alpha),
    "celu": lambda x, alpha: alpha * _elu(x / alpha),
    "selu": lambda x: 1.0507009873554805 * _elu(x, 1.6732632423543772),
    "gelu": lambda x: x * _vectorised_erfc(-x / math.sqrt(2)) / 2,
    "gelu_tanh": lambda x: x * _sigmoid(2 * math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)),
    "silu": lambda x: x * _sigmoid(x),
    "mish": lambda x: x * np.tanh(_softplus(x)),
    "softplus": lambda x, beta, threshold: np.where(beta * x > threshold, x, _softplus(beta * x) / beta),
    "log_sigmoid": lambda x: -_softplus(-x),
    "hardtanh": lambda x, lower, upper: np.clip(x, lower, upper),
    "relu6": lambda x: np.clip(x, np.zeros_like(x), np.full_like(x, 6)),
    "hardswish": lambda x: x * np.clip(x + 3, 0, 6) / 6,
    "hardsigmoid": lambda x: np.clip(x / 6 + 0.5, 0, 1),
    "softsign": lambda x: x / (1 + np.abs(x)),
    "tanhshrink": lambda x: x - np.tanh(x),
    "hardshrink": lambda x, threshold: np.where(np.abs(x) <= threshold, 0, x),
    "softshrink": lambda x, threshold: np.sign(x) * np.maximum(np.abs(x) - threshold, 0),
    "lerp": lambda start, end, weight: start + weight * (end - start),
    "xlogy": _xlogy,
    "squared_error": lambda x, t: (x - t) ** 2,
    "absolute_error": lambda x, t: np.abs(x - t),
    "huber": _huber,
    "smooth_l1": lambda x, t, beta: _huber(x, t, beta) / beta,
    "binary_cross_entropy_with_logits": lambda x, t: np.maximum(x, 0) - x * t + np.log1p(np.exp(-np.abs(x))),
    "binary_cross_entropy_with_logits_weighted": lambda x, t, w: (1 - t) * _softplus(x) + w * t * _softplus(-x),
    "sgd": _sgd,
    "sgd_momentum": _sgd,
    "sgd_nesterov": lambda *arrays, **options: _sgd(*arrays, nesterov=True, **options),
    "adam": _adam_like(False),
    "adam_amsgrad": _adam_like(False),
    "adamw": _adam_like(True),
    "adamw_amsgrad": _adam_like(True),
}  # fmt: skip

UNIT, POSITIVE, AWAY = Domain(-0.9, 0.9), Domain(0.1, 3.0), Domain(0.4, 2.0)
SMOOTH_AT_0 = Domain(avoid=(0.0,))
WHOLE = Domain(avoid=(-2.0, -1.0, 0.0, 1.0, 2.0))
SHIFT = Domain(integers=(0, 5))
DIVISOR = Domain(0.6, 2.0, integers=(1, 5))

DOMAINS: dict[str, tuple[Domain, ...]] = {
    **dict.fromkeys(("acos", "asin", "atanh"), (UNIT,)),
    **dict.fromkeys(("log", "log10", "log2", "sqrt", "rsqrt"), (POSITIVE,)),
    **dict.fromkeys(("abs", "sign", "relu", "elu", "celu", "selu", "leaky_relu", "signbit"), (SMOOTH_AT_0,)),
    **dict.fromkeys(("ceil", "floor", "trunc"), (WHOLE,)),
    **dict.fromkeys(("hardshrink", "softshrink"), (Domain(avoid=(-0.5, 0.5)),)),
    **dict.fromkeys(("hardswish", "hardsigmoid"), (Domain(-5, 5, avoid=(-3.0, 3.0)),)),
    "acosh": (Domain(1.1, 3.0),),
    "log1p": (Domain(-0.8, 3.0),),
    "tan": (Domain(-1.3, 1.3),),
    "reciprocal": (AWAY,),
    "round": (Domain(avoid=(-1.5, -0.5, 0.5, 1.5)),),
    "divide": (Domain(), AWAY),
    "pow": (Domain(0.3, 2.0, integers=(0, 4)), Domain(integers=(0, 3))),
    "floor_divide": (Domain(-4, 4, integers=(0, 20)), DIVISOR),
    "remainder": (Domain(-4, 4, integers=(0, 20)), DIVISOR),
    "bitwise_left_shift": (SHIFT, SHIFT),
    "bitwise_right_shift": (Domain(integers=(0, 100)), SHIFT),
    "copysign": (SMOOTH_AT_0, SMOOTH_AT_0),
    "atan2": (AWAY, Domain()),
    "hypot": (AWAY, Domain()),
    "subtract": (Domain(integers=(6, 12)), Domain(integers=(0, 6))),
    "where": (BOOLEAN, Domain(), Domain()),
    "clip": (Domain(), Domain(-1.5, -0.5, integers=(0, 2)), Domain(0.5, 1.5, integers=(3, 5))),
    "clip_scalar": (Domain(avoid=(0.0, 1.0)),),
    "prelu": (SMOOTH_AT_0, Domain()),
    "hardtanh": (Domain(avoid=(-0.5, 1.0)),),
    "relu6": (Domain(-3, 9, avoid=(0.0, 6.0), integers=(0, 9)),),
    "xlogy": (SMOOTH_AT_0, POSITIVE),
    "binary_cross_entropy_with_logits": (SMOOTH_AT_0, Domain(0, 1)),
    "binary_cross_entropy_with_logits_weighted": (Domain(), Domain(0, 1), AWAY),
    **dict.fromkeys(("adam", "adamw"), (Domain(), Domain(), Domain(), AWAY)),
    **dict.fromkeys(("adam_amsgrad", "adamw_amsgrad"), (Domain(), Domain(), Domain(), AWAY, AWAY)),
}

OPTIONS: dict[str, dict[str, float]] = {
    "clip_scalar": {"lower": 0, "upper": 1},
    "leaky_relu": {"negative_slope": 0.2},
    "elu": {"alpha": 1.5},
    "celu": {"alpha": 0.7},
    "softplus": {"beta": 2.0, "threshold": 3.0},
    "hardtanh": {"lower": -0.5, "upper": 1.0},
    "hardshrink": {"threshold": 0.5},
    "softshrink": {"threshold": 0.5},
    "huber": {"delta": 0.8},
    "smooth_l1": {"beta": 0.8},
    "sgd": {"lr": 0.1, "weight_decay": 0.05},
    "sgd_momentum": MOMENTUM,
    "sgd_nesterov": MOMENTUM,
    **dict.fromkeys(("adam", "adamw", "adam_amsgrad", "adamw_amsgrad"), ADAM),
}

# Numbers at which an implementation may go wrong; uniform samples never meet them.
_ORDINARY = (0.0, -0.0, 1.0, -1.0, 0.5, -0.5, 3.0, -3.0, 6.0, 1e4, -1e4, 1e-30)
_EXTREME = (INF, -INF, NAN)
_PAIRS = tuple((a, b) for a in (0.0, -0.0, 1.0, -1.0, 2.5, INF, -INF, NAN) for b in (0.0, 1.0, -2.0, INF, -INF, NAN))
_FINITE_PAIRS = tuple((a, b) for a in (0.0, 1.0, -1.0, 2.5, 1e4, -1e4) for b in (0.0, 1.0, -2.0, 1e4, -1e4))

# Not compared at infinities: NumPy's reference above multiplies 0 by infinity there, and so may the formula.
_FINITE_ONLY = frozenset(
    "gelu gelu_tanh silu mish softplus hardswish softsign tanhshrink softshrink huber smooth_l1 squared_error "
    "absolute_error lerp binary_cross_entropy_with_logits binary_cross_entropy_with_logits_weighted sgd sgd_momentum "
    "sgd_nesterov adam adamw adam_amsgrad adamw_amsgrad xlogy selu".split()
)
_NO_SPECIAL = frozenset("sgd_momentum sgd_nesterov adam adamw adam_amsgrad adamw_amsgrad lerp clip".split())

# The representatives that go through every layout; the loops of the others are made by the same generator.
REPRESENTATIVES = ("gelu", "multiply", "maximum", "where", "sgd_momentum", "less")

_EXACT = frozenset(
    "abs ceil floor negative round sign trunc maximum minimum copysign nextafter isfinite isinf isnan signbit equal "
    "not_equal less less_equal greater greater_equal logical_and logical_or logical_xor logical_not bitwise_and "
    "bitwise_or bitwise_xor bitwise_invert bitwise_left_shift bitwise_right_shift positive where clip clip_scalar "
    "relu relu6 hardtanh hardshrink add subtract multiply divide sqrt".split()
)


def _special(name: str) -> tuple[tuple[float, ...], ...]:
    formula = FORMULAS[name]
    if name in _NO_SPECIAL or "f" not in formula.kinds or formula.booleans:
        return ()
    if len(formula.inputs) == 1:
        return tuple((v,) for v in (_ORDINARY if name in _FINITE_ONLY else _ORDINARY + _EXTREME))
    if len(formula.inputs) == 2:
        return _FINITE_PAIRS if name in _FINITE_ONLY else _PAIRS
    return ()


def _order(name: str) -> int:
    formula = FORMULAS[name]
    if "f" not in formula.kinds or formula.result == "bool":
        return 0
    return 1 if name.startswith("adam") else 2


def _one_of_each_dtype() -> list[Any]:
    return [ag.tensor([1.5]), ag.tensor([2])]


def _add_elementwise(name: str) -> None:
    formula = FORMULAS[name]
    arity, options = len(formula.inputs), OPTIONS.get(name, {})
    cases = [Case((SHAPE,) * arity, options), Case(((),) * arity, options), Case(((3, 0),) * arity, options)]
    refusals = [refuses(lambda: ["text"] * arity, TypeError, f"{name}: an operand is a str", **options)]
    if arity > 1:
        if name in REPRESENTATIVES:  # every access pattern is another loop to compile
            cases.append(Case(((3, 1), (4,), (2, 1, 1), (1,), (4,))[:arity], options))
        wrong = ((2, 3), (4, 3), (3,), (3,), (3,))[:arity]
        kind = "bool" if formula.kinds == "biu" else None
        refusals.append(
            refuses(
                lambda: [ag.zeros(s, dtype=kind or (ag.int64 if "f" not in formula.kinds else None)) for s in wrong],
                ValueError, rf"{name}: shapes \(2, 3\) and \(4, 3\).*sizes 2 and 4 at axis -2", **options,
            )
        )  # fmt: skip
    if "f" not in formula.kinds:
        refusals.append(refuses(lambda: [ag.zeros(2)] * arity, TypeError, f"{name} is not defined on float32.*astype"))
    elif "b" not in formula.kinds and "i" in formula.kinds and not options:
        falses = ag.zeros(2, dtype=bool)
        refusals.append(refuses(lambda: [falses] * arity, TypeError, f"{name} is not defined on bool.*astype"))
    add(
        name, OPERATIONS[name], REFERENCES[name],
        domains=DOMAINS.get(name, (Domain(),)), cases=tuple(cases), special=_special(name), kinds=formula.kinds,
        order=_order(name), booleans=tuple(formula.inputs.index(b) for b in formula.booleans), refusals=tuple(refusals),
        every_layout=name in REPRESENTATIVES, exact=name in _EXACT,
    )  # fmt: skip


for _name in FORMULAS:
    _add_elementwise(_name)


# --- reductions -------------------------------------------------------------------------------------------------------

_AXES = ({}, {"axis": 0}, {"axis": -1}, {"axis": (0, 2)}, {"axis": (2, 1), "keepdims": True}, {"axis": ()})
_FULL = tuple(Case((SHAPE,), o) for o in _AXES) + (Case(((),)), Case(((1, 1),), {"axis": 0}))
_EMPTY = (Case(((0, 3),), {"axis": 0}), Case(((3, 0),), {"axis": 1}), Case(((0,),)))


def _axis_refusals(name: str) -> tuple[Refusal, ...]:
    return (
        refuses(lambda: [ag.zeros(2, 3)], IndexError, rf"{name}: axis 2 is out of range.*2 dimensions.*-2 to 1", axis=2),
        refuses(lambda: [ag.zeros(2, 3)], IndexError, rf"{name}: axis -3 is out of range", axis=-3),
        refuses(lambda: [ag.tensor(1.0)], IndexError, rf"{name}: axis 0 .* 0-d tensor has none", axis=0),
        refuses(lambda: [ag.zeros(2, 3)], TypeError, rf"{name}: an axis must be an integer, got 'a'", axis="a"),
        refuses(lambda: [ag.zeros(2, 3)], TypeError, rf"{name}: an axis must be an integer, got 1\.0", axis=1.0),
    )


def _repeated(name: str) -> Refusal:
    return refuses(lambda: [ag.zeros(2, 3)], ValueError, rf"{name}: repeated axis in \(1, -1\)", axis=(1, -1))


def _needs_floats(name: str, **options: Any) -> Refusal:
    return refuses(lambda: [ag.zeros((2, 2), dtype=ag.int64)], TypeError, rf"{name}: needs floats.*int64.*astype", **options)


def _needs_elements(name: str) -> Refusal:
    return refuses(lambda: [ag.zeros(2, 0)], ValueError, rf"{name}: no elements to choose from: shape \(2, 0\)", axis=1)


def _logsumexp(x, axis=None, keepdims=False):
    if not x.size:
        return np.full(np.sum(x, axis=axis, keepdims=keepdims).shape, -INF, x.dtype)
    top = np.max(x, axis=axis, keepdims=True)
    top = np.where(np.isfinite(top), top, 0)
    out = np.log(np.sum(np.exp(x - top), axis=axis, keepdims=True)) + top
    return out if keepdims else np.squeeze(out, axis=axis if axis is not None else tuple(range(x.ndim)))


def _correction(function):
    return lambda x, axis=None, correction=0, keepdims=False: function(x, axis=axis, ddof=correction, keepdims=keepdims)


def _norm(x, ord=2, axis=None, keepdims=False):
    if ord in (INF, -INF):
        return (np.max if ord > 0 else np.min)(np.abs(x), axis=axis, keepdims=keepdims)
    if ord == 0:
        return np.sum(x != 0, axis=axis, keepdims=keepdims).astype(x.dtype)
    return np.sum(np.abs(x) ** ord, axis=axis, keepdims=keepdims) ** (1 / ord)


def _as_standard(function):
    """NumPy's function with the standard's result type: integers and bool are summed as 64-bit ones."""

    def reference(x, axis=None, keepdims=False):
        wide = {"b": np.int64, "i": np.int64, "u": np.uint64}.get(x.dtype.kind, x.dtype)
        return function(x, axis=axis, keepdims=keepdims, dtype=wide)

    return reference


add("sum", ag.sum, _as_standard(np.sum), cases=_FULL + _EMPTY, kinds="biuf",
    refusals=(*_axis_refusals("sum"), _repeated("sum")))  # fmt: skip
add("prod", ag.prod, _as_standard(np.prod), cases=_FULL + _EMPTY, kinds="biuf", domains=(Domain(integers=(1, 3)),),
    refusals=(*_axis_refusals("prod"), _repeated("prod")))  # fmt: skip
add("mean", ag.mean, np.mean, cases=_FULL,
    refusals=(*_axis_refusals("mean"), _repeated("mean"), _needs_floats("mean")))  # fmt: skip
add("var", ag.var, _correction(np.var), cases=(*_FULL, Case((SHAPE,), {"axis": 1, "correction": 1})),
    refusals=(*_axis_refusals("var"), _repeated("var"), _needs_floats("var")))  # fmt: skip
add("std", ag.std, _correction(np.std), cases=tuple(
    Case((SHAPE,), o) for o in ({}, {"axis": 0}, {"axis": (0, 2)}, {"axis": (2, 1), "keepdims": True, "correction": 1})),
    refusals=(*_axis_refusals("std"), _repeated("std"), _needs_floats("std")))  # fmt: skip
for _name, _function in {"max": np.max, "min": np.min}.items():
    add(_name, getattr(ag, _name), _function, cases=_FULL, kinds="iuf", exact=True,
        refusals=(*_axis_refusals(_name), _repeated(_name), _needs_elements(_name)))  # fmt: skip
for _name in ("argmax", "argmin"):
    add(_name, getattr(ag, _name), getattr(np, _name), kinds="iuf", order=0, exact=True,
        cases=tuple(Case((SHAPE,), o) for o in ({}, {"axis": 0}, {"axis": -1}, {"axis": 1, "keepdims": True}))
        + (Case(((),)),),
        refusals=(*_axis_refusals(_name), _needs_elements(_name)))  # fmt: skip
for _name in ("any", "all", "count_nonzero"):
    add(_name, getattr(ag, _name), getattr(np, _name), kinds="biuf", order=0, exact=True, cases=_FULL + _EMPTY,
        refusals=(*_axis_refusals(_name), _repeated(_name)))  # fmt: skip
add("logsumexp", ag.logsumexp, _logsumexp, cases=_FULL,
    refusals=(*_axis_refusals("logsumexp"), _repeated("logsumexp"), _needs_floats("logsumexp")))  # fmt: skip
add("norm", ag.norm, _norm, domains=(SMOOTH_AT_0,), cases=tuple(
    Case((SHAPE,), o) for o in ({}, {"axis": 1}, {"ord": 1, "axis": (0, 2)}, {"ord": INF}, {"ord": -INF, "axis": 0},
                                {"ord": 3, "axis": -1, "keepdims": True}, {"ord": 0, "axis": 1}, {"ord": 0.5})),
    refusals=(refuses(lambda: [ag.zeros(2, 3)], IndexError, "axis 2 is out of range", axis=2), _needs_floats("norm")))


# --- linear algebra ---------------------------------------------------------------------------------------------------

_PRODUCTS = (
    ((3, 4), (4, 5)), ((4,), (4,)), ((4,), (4, 5)), ((3, 4), (4,)), ((2, 3, 4), (4, 5)), ((3, 4), (2, 4, 5)),
    ((2, 1, 3, 4), (3, 4, 2)), ((2, 3, 4), (4,)), ((4,), (2, 4, 5)), ((1, 4), (4, 1)), ((3, 0), (0, 2)), ((0, 3), (3, 2)),
    ((0,), (0,)), ((17, 9), (9, 33)),
)  # fmt: skip
add("matmul", ag.matmul, np.matmul, kinds="iuf", cases=tuple(Case(s) for s in _PRODUCTS), scale=8, refusals=(
    refuses(lambda: [ag.zeros(2, 3), ag.zeros(4, 2)], ValueError, r"matmul: .*\(2, 3\).*\(4, 2\)"),
    refuses(lambda: [ag.zeros(3), ag.zeros(4)], ValueError, r"matmul: .*\(3,\).*\(4,\)"),
    refuses(lambda: [ag.zeros(2, 3, 4), ag.zeros(3, 4, 5)], ValueError, r"matmul: .*\(2, 3, 4\).*\(3, 4, 5\)"),
    refuses(lambda: [ag.tensor(1.0), ag.zeros(4)], ValueError, r"matmul: operands must have at least one dim.*\(\)"),
))  # fmt: skip
add("dot", ag.dot, np.dot, cases=(Case(((5,), (5,))),), kinds="iuf", scale=8, refusals=(
    refuses(lambda: [ag.zeros(2, 2), ag.zeros(2)], ValueError, r"dot: needs two vectors.*\(2, 2\).*matmul"),
))  # fmt: skip
add("outer", ag.outer, np.outer, cases=(Case(((3,), (4,))), Case(((0,), (4,)))), kinds="iuf", refusals=(
    refuses(lambda: [ag.zeros(2, 2), ag.zeros(2)], ValueError, r"outer: needs two vectors.*\(2, 2\)"),
))  # fmt: skip
add("linear", ag.linear, lambda x, w, b=0.0: x @ w.T + b, scale=8,
    cases=tuple(Case(s) for s in (((5, 3), (4, 3), (4,)), ((5, 3), (4, 3)), ((2, 5, 3), (4, 3), (4,)), ((3,), (4, 3), (4,)),
                                  ((0, 3), (4, 3), (4,)), ((17, 33), (9, 33), (9,)))),
    refusals=(
        refuses(lambda: [ag.zeros(2, 3), ag.zeros(4, 5)], ValueError, r"linear: .*\(2, 3\).*\(4, 5\).*in_features = 5"),
        refuses(lambda: [ag.zeros(2, 3), ag.zeros(4, 3), ag.zeros(3)], ValueError, r"linear: bias.*\(3,\).*4 output"),
        refuses(lambda: [ag.zeros(2, 3), ag.zeros((4, 3), dtype=ag.float64)], TypeError, r"linear: .*float32, float64"),
    ))  # fmt: skip


# Factorisations are tested on matrices that have some distance from what has no derivative (singular ones, equal singular
# values), and by functions of U, V, ... that do not change with the signs of their columns. The rules work with matrices
# that LAPACK made, whatever the operand's layout: test_lapack.py looks at some, and at all second derivatives.
_SQUARE = tuple(Case((s,)) for s in ((2, 3, 3), (1, 1), (2, 1, 2, 2), (0, 0)))
_OBLONG = tuple(Case((s,)) for s in ((2, 4, 3), (2, 3), (3, 3), (0, 3), (3, 0)))


def _same_kind(values: np.ndarray, x: Any) -> Any:
    return ag.asarray(values.astype(x.dtype), device=x.device) if isinstance(x, ag.Tensor) else values.astype(x.dtype)


def _sturdy(x: Any) -> Any:
    """Matrices with well separated singular values; what is no float matrix as it is, to be refused."""
    if x.ndim < 2 or x.dtype.kind != "f":
        return x
    return x * 0.2 + _same_kind(np.eye(*x.shape[-2:]) * np.arange(2, 2 + x.shape[-1]), x)


def _symmetric(x: Any) -> Any:
    x = _sturdy(x)
    return (x + x.mT) * 0.5 if x.ndim > 1 and x.dtype.kind == "f" and x.shape[-1] == x.shape[-2] else x


def _weighted(values: Any, vectors: Any) -> Any:
    """vectors @ diag(1, 2, ...) @ vectors.mT: the same for either sign of each vector, but not for another basis."""
    return (vectors * _same_kind(np.arange(1.0, values.shape[-1] + 1), values)) @ vectors.mT


def _spectral(module: Any) -> Callable:
    def function(x):
        values, vectors = module.eigh(_symmetric(x))
        return values, _weighted(values, vectors)

    return function


def _singular(module: Any) -> Callable:
    def function(x):
        u, s, vh = module.svd(_sturdy(x), full_matrices=False)
        return s, _weighted(s, u), _weighted(s, vh.mT), (u * _same_kind(np.arange(1.0, s.shape[-1] + 1), s)) @ vh

    return function


def _parts(x: Any) -> tuple:
    return (ag.real(x), ag.imag(x)) if isinstance(x, ag.Tensor) else (x.real, x.imag)


def _eigen(module: Any) -> Callable:
    def function(x):
        values, vectors = module.eig(_sturdy(x))
        a, b = _parts(vectors)
        return *_parts(values), a * a + b * b

    return function


def _not_matrices(name: str, square: bool, **options: Any) -> tuple[Refusal, ...]:
    wrong = refuses(lambda: [ag.zeros(2, 3)], ValueError, rf"{name}: needs square matrices, got shape \(2, 3\)", **options)
    return (
        refuses(lambda: [ag.zeros(3)], ValueError, rf"{name}: needs matrices, at least 2 dimensions.*\(3,\)", **options),
        _needs_floats(name, **options),
    ) + ((wrong,) if square else ())


def _add_lapack(name: str, prepare: Callable, cases: tuple[Case, ...], square: bool, *more: Refusal, **rest: Any) -> None:
    mine, numpys = getattr(ag.linalg, name), getattr(np.linalg, name)
    pick = rest.pop("pick", lambda found: found)
    add(f"linalg.{name}", lambda x, **o: pick(mine(prepare(x), **o)), lambda x, **o: pick(numpys(prepare(x), **o)),
        cases=cases, refusals=(*_not_matrices(name, square), *more), every_layout=False, **{"scale": 8, **rest})  # fmt: skip


_add_lapack("cholesky", _symmetric, (*_SQUARE, Case(((3, 3),), {"upper": True})), True)
_add_lapack("inv", _sturdy, _SQUARE, True)
_add_lapack("det", _sturdy, _SQUARE, True, scale=64)
_add_lapack("slogdet", _sturdy, _SQUARE, True, pick=lambda found: found[1])
_add_lapack("pinv", _sturdy, _OBLONG, False)
_add_lapack("qr", _sturdy, (*_OBLONG, Case(((2, 3, 4),), {"mode": "complete"})), False,
            refuses(lambda: [ag.zeros(2, 2)], ValueError, "qr: mode must be 'reduced' or 'complete', got 'r'", mode="r"))
_add_lapack("eigvalsh", _symmetric, _SQUARE, True)
_add_lapack("eigvals", _sturdy, _SQUARE, True, pick=_parts)
_add_lapack("svdvals", _sturdy, _OBLONG, False)
_add_lapack("matrix_rank", _sturdy, _OBLONG[:4] + (Case(((2, 4, 3),), {"rtol": 0.5}),), False, order=0)
_add_lapack("cond", _sturdy, tuple(Case(((2, 3, 3),), {"p": p}) for p in (None, 2, -2, 1, -1, INF, -INF, "fro", "nuc"))
            + (Case(((4, 2),)),), False, scale=64)
_add_lapack("matrix_norm", _sturdy, tuple(Case(((2, 3, 4),), {"ord": o}) for o in ("fro", "nuc", 1, -1, 2, -2, INF, -INF))
            + (Case(((3, 2),), {"keepdims": True}), Case(((3, 2),), {"ord": 2, "keepdims": True})), False,
            refuses(lambda: [ag.zeros(2, 2)], ValueError, "matrix_norm: ord must be 'fro', .*got 3", ord=3))
add("linalg.eigh", _spectral(ag.linalg), _spectral(np.linalg), cases=_SQUARE, scale=32, every_layout=False,
    refusals=_not_matrices("eigh", True))
add("linalg.eig", _eigen(ag.linalg), _eigen(np.linalg), cases=_SQUARE, scale=32, every_layout=False,
    refusals=_not_matrices("eig", True))
add("linalg.svd", _singular(ag.linalg), _singular(np.linalg), cases=_OBLONG, scale=32, every_layout=False,
    refusals=_not_matrices("svd", False))
add("linalg.solve", lambda a, b: ag.linalg.solve(_sturdy(a), b), lambda a, b: np.linalg.solve(_sturdy(a), b), scale=8,
    every_layout=False,
    cases=tuple(Case(s) for s in (((2, 3, 3), (3, 2)), ((3, 3), (3,)), ((3, 3), (2, 3, 1)), ((2, 3, 3), (3,)), ((0, 0), (0, 2)),
                                  ((2, 1, 2, 2), (3, 2, 1)))),
    refusals=(
        refuses(lambda: [ag.zeros(2, 3), ag.zeros(2)], ValueError, r"solve: needs square matrices, got shape \(2, 3\)"),
        refuses(lambda: [ag.ones(2, 2), ag.zeros(3)], ValueError, r"solve: .*\(3,\) does not fit matrices of shape \(2, 2\)"),
        refuses(lambda: [ag.ones(2, 2), ag.tensor(1.0)], ValueError, r"solve: .*\(\) does not fit"),
        refuses(lambda: [ag.ones(2, 2, 2), ag.zeros(3, 2, 1)], ValueError, r"solve: shapes \(2,\) and \(3,\)"),
    ))  # fmt: skip
add("linalg.lstsq", lambda a, b: ag.linalg.lstsq(_sturdy(a), b)[0], lambda a, b: np.linalg.lstsq(_sturdy(a), b)[0], scale=16,
    every_layout=False,
    cases=tuple(Case(s) for s in (((4, 3), (4, 2)), ((2, 3), (2,)), ((3, 3), (3, 1)))), refusals=(
    refuses(lambda: [ag.ones(3, 2), ag.zeros(2)], ValueError, r"lstsq: .*\(2,\) does not fit matrices of shape \(3, 2\)"),
))  # fmt: skip
add("linalg.matrix_power", lambda x, n: ag.linalg.matrix_power(_sturdy(x), n), lambda x, n: np.linalg.matrix_power(_sturdy(x), n),
    cases=tuple(Case(((2, 3, 3),), {"n": n}) for n in (3, 1, 2, 5, 0, -1, -3)), scale=4096,
    every_layout=False, refusals=(
    refuses(lambda: [ag.zeros(2, 3)], ValueError, r"matrix_power: needs square matrices, got shape \(2, 3\)", n=2),
    refuses(lambda: [ag.zeros(2, 2)], TypeError, r"matrix_power: the power must be an integer, got 0.5", n=0.5),
    refuses(lambda: [ag.zeros((2, 2), dtype=ag.int64)], TypeError, r"inv: needs floats", n=-1),
))  # fmt: skip
add("linalg.vector_norm", ag.linalg.vector_norm, np.linalg.vector_norm, every_layout=False, domains=(SMOOTH_AT_0,), cases=tuple(
    Case((SHAPE,), o) for o in ({}, {"axis": 1}, {"ord": 1, "axis": (0, 2), "keepdims": True}, {"ord": INF}, {"ord": 0},
                                {"ord": -INF, "axis": 0}, {"ord": 3.5, "axis": -1}, {"ord": -2, "axis": 1})) + (Case(((),)),),
    refusals=(_needs_floats("norm"), refuses(lambda: [ag.zeros(2)], ValueError, "vector_norm: ord must be a number.*'fro'", ord="fro")))
add("linalg.diagonal", ag.linalg.diagonal, np.linalg.diagonal, kinds="biuf", exact=True,
    cases=(Case((SHAPE,)), Case((SHAPE,), {"offset": 1}), Case(((3, 2),), {"offset": -1})))  # fmt: skip
add("linalg.trace", ag.linalg.trace, np.linalg.trace, kinds="biuf", scale=8,
    cases=(Case((SHAPE,)), Case((SHAPE,), {"offset": -2}), Case(((3, 2),), {"offset": 7})))  # fmt: skip

add("vecdot", ag.vecdot, np.linalg.vecdot, kinds="iuf", scale=8, cases=(
    Case((SHAPE, SHAPE)), Case((SHAPE, (4,))), Case(((3, 2), (1, 3, 2)), {"axis": -2}), Case(((0,), (0,)))), refusals=(
    refuses(lambda: [ag.zeros(3), ag.zeros(4)], ValueError, r"vecdot: shapes \(3,\) and \(4,\)"),
    refuses(lambda: [ag.zeros(3), ag.zeros(1)], ValueError, r"vecdot: shapes \(3,\) and \(1,\) have different sizes at axis -1"),
    refuses(lambda: [ag.zeros(2, 3), ag.zeros(3)], ValueError, r"vecdot: .* have different sizes at axis -2", axis=-2),
    refuses(lambda: [ag.tensor(1.0), ag.zeros(1)], ValueError, r"vecdot: operands must have at least one dimension"),
    refuses(lambda: [ag.zeros(2, dtype=bool)] * 2, TypeError, "vecdot: not defined on bool"),
))  # fmt: skip
add("tensordot", ag.tensordot, np.tensordot, kinds="iuf", scale=16, cases=(
    Case((SHAPE, (3, 4, 2))), Case((SHAPE, (4, 5)), {"axes": 1}), Case(((2,), (3,)), {"axes": 0}),
    Case((SHAPE, (4, 5, 2)), {"axes": ((0, -1), (2, 0))}), Case((SHAPE, (5, 3)), {"axes": (1, 1)}), Case((SHAPE, SHAPE), {"axes": 3}),
    Case(((3, 0), (0, 2)), {"axes": 1})), refusals=(
    refuses(lambda: [ag.zeros(2, 3), ag.zeros(4, 2)], ValueError, r"tensordot: shapes .*have different sizes.*\[1\] and \[0\]", axes=1),
    refuses(lambda: [ag.zeros(2, 3), ag.zeros(3)], ValueError, "tensordot: 2 axes cannot be paired", axes=2),
    refuses(lambda: [ag.zeros(2, 2)] * 2, ValueError, "tensordot: .*equally many distinct axes", axes=((0, 0), (0, 1))),
    refuses(lambda: [ag.zeros(2, 2)] * 2, IndexError, "tensordot: axis 2 is out of range", axes=((2,), (0,))),
))  # fmt: skip
add("cross", ag.cross, np.linalg.cross, kinds="if", cases=(
    Case(((2, 3), (2, 3))), Case(((3,), (4, 3))), Case(((2, 3, 4), (1, 3, 4)), {"axis": 1}), Case(((0, 3), (3,)))), scale=4, refusals=(
    refuses(lambda: [ag.zeros(2), ag.zeros(2)], ValueError, r"cross: both operands must have size 3 along axis -1.*\(2,\)"),
    refuses(lambda: [ag.zeros(1), ag.zeros(3)], ValueError, r"cross: both operands must have size 3"),
))  # fmt: skip
add("kron", ag.kron, np.kron, kinds="iuf", cases=(Case(((2, 3), (3, 2))), Case(((2,), (3, 2))), Case(((2, 1, 2), (2, 2))),
    Case(((), (3,))), Case(((0, 2), (2, 2)))))  # fmt: skip
_EINSUMS = {
    "ij,jk->ik": ((2, 3), (3, 4)), "bij,bjk,bkl->bil": ((2, 2, 3), (2, 3, 4), (2, 4, 2)), "ii": ((3, 3),), "ii->i": ((3, 3),),
    "ijij->j": ((2, 3, 2, 3),), "ji": ((2, 3),), "ij->": ((2, 3),), "i,j->ji": ((2,), (3,)), "...ij,...j->...i": ((2, 3, 4), (4,)),
    "i...,...i": ((3, 2), (2, 3)), "i,i,i->i": ((3,), (1,), (3,)), "ik,jk,kl,l->ij": ((2, 3), (4, 3), (3, 2), (2,)),
    ",ij,->ij": ((), (2, 2), ()), "a,ab,b": ((0,), (0, 3), (3,)), "b...,b...->...": ((2, 3, 1), (2, 4)), "iij,jk": ((2, 2, 3), (3, 2)),
}  # fmt: skip
add("einsum", lambda *t, subscripts: ag.einsum(subscripts, *t), lambda *a, subscripts: np.einsum(subscripts, *a), kinds="iuf",
    cases=tuple(Case(shapes, {"subscripts": text}) for text, shapes in _EINSUMS.items()), scale=16, refusals=tuple(
    refuses(lambda shapes=shapes: [ag.zeros(s) for s in shapes], ValueError, rf"einsum: {message}", subscripts=text)
    for text, shapes, message in (
        ("ij,jk", [(2, 3)], "'ij,jk' names 2 operands, and 1 were given"), ("i->", [(2, 3)], ".*do not fit an operand with 2 dim"),
        ("ij", [(2,)], ".*do not fit an operand with 1 dim"), ("ij,jk", [(2, 3), (4, 2)], "the letter 'j'.*sizes 3 and 4"),
        ("ij->k", [(2, 3)], ".*has 'k', which no operand has"), ("ij->ii", [(2, 3)], ".*has a letter twice"),
        ("i1", [(2, 3)], "'1' in 'i1'; the subscripts are letters"), ("ii", [(2, 3)], "the letter 'i'.*sizes 2 and 3"),
        ("ii,i", [(1, 3), (3,)], "'i' is twice in an operand"), ("...i->i", [(2, 3)], ".*the result has none"),
        ("i......", [(2,)], ".*the subscripts are letters"), ("i->j->k", [(2,)], "'-' in 'i->j->k'"),
        ("__import__", [(2,)], "'_' in '__import__'"))) + (
    refuses(list, ValueError, "einsum: needs at least one operand", subscripts="i"),
    refuses(lambda: [ag.zeros(2)], TypeError, "einsum: the subscripts must be text", subscripts=3),
    refuses(lambda: [ag.zeros(2, dtype=bool)], TypeError, "einsum: not defined on bool", subscripts="i"),
))  # fmt: skip

# --- shapes -----------------------------------------------------------------------------------------------------------


def _shaped(name: str, function: Callable, reference: Callable, *cases: Case, refusals: tuple = (), **rest: Any) -> None:
    add(name, function, reference, cases=cases, refusals=refusals, kinds="biuf", exact=True, **rest)


def _many(function: Callable) -> Callable:
    """A function of a list of tensors as one of several operands."""
    return lambda *tensors, **options: function(tensors, **options)


def _with(function: Callable, name: str) -> Callable:
    """The option called `name` given by position."""
    return lambda x, **options: function(x, options[name])


_shaped("reshape", _with(ag.reshape, "shape"), _with(np.reshape, "shape"), Case((SHAPE,), {"shape": (4, 6)}),
        Case((SHAPE,), {"shape": (-1, 2)}), Case((SHAPE,), {"shape": SHAPE}), Case((SHAPE,), {"shape": (2, 3, 2, 2, 1)}),
        Case(((),), {"shape": (1, 1)}), Case(((1,),), {"shape": ()}), Case(((0, 3),), {"shape": (3, 0, 2)}), refusals=(
    refuses(lambda: [ag.zeros(2, 3)], ValueError, r"reshape: .*\(2, 3\) has 6 elements.*\(4,\)", shape=(4,)),
    refuses(lambda: [ag.zeros(2, 3)], ValueError, r"reshape: at most one size may be -1.*\(-1, -1\)", shape=(-1, -1)),
    refuses(lambda: [ag.zeros(2, 3)], ValueError, r"reshape: .*\(2, 3\)", shape=(4, -1)),
))  # fmt: skip
_shaped("permute_dims", ag.permute_dims, lambda x, axes: np.transpose(x, axes), Case((SHAPE,), {"axes": (1, 2, 0)}),
        Case((SHAPE,), {"axes": (2, 0, 1)}), Case((SHAPE,), {"axes": (-1, 1, 0)}), Case(((),), {"axes": ()}),
        Case(((0, 2),), {"axes": (1, 0)}), refusals=(
    refuses(lambda: [ag.zeros(2, 3)], ValueError, r"permute_dims: \(0, 0\) is no order of the 2 axes.*\(2, 3\)", axes=(0, 0)),
    refuses(lambda: [ag.zeros(2, 3)], ValueError, r"permute_dims: \(0,\) is no order", axes=(0,)),
    refuses(lambda: [ag.zeros(2, 3)], IndexError, r"permute_dims: axis 2 is out of range", axes=(0, 2)),
))  # fmt: skip
_shaped("transpose", ag.transpose, np.transpose, Case((SHAPE,)), Case(((2, 3),)), Case(((4,),)))
_shaped("swapaxes", lambda x, axes: ag.swapaxes(x, *axes), lambda x, axes: np.swapaxes(x, *axes),
        Case((SHAPE,), {"axes": (0, 2)}), Case((SHAPE,), {"axes": (-1, 1)}), refusals=(
    refuses(lambda: [ag.zeros(2, 3)], IndexError, r"swapaxes: axis 5 is out of range", axes=(0, 5)),
))  # fmt: skip
_shaped("moveaxis", lambda x, source, destination: ag.moveaxis(x, source, destination), np.moveaxis,
        Case((SHAPE,), {"source": 0, "destination": -1}), Case((SHAPE,), {"source": (0, 2), "destination": (1, 0)}),
        refusals=(
    refuses(lambda: [ag.zeros(2, 3)], ValueError, "moveaxis: .*equally many distinct", source=(0, 1), destination=(0,)),
    refuses(lambda: [ag.zeros(2, 3)], ValueError, "moveaxis: .*equally many distinct", source=(0, 0), destination=(0, 1)),
))  # fmt: skip
_shaped("matrix_transpose", ag.matrix_transpose, lambda x: np.swapaxes(x, -1, -2), Case((SHAPE,)), Case(((2, 3),)), refusals=(
    refuses(lambda: [ag.zeros(2)], ValueError, r"matrix_transpose: needs at least 2 dimensions.*\(2,\)"),
))  # fmt: skip
for _name in ("tril", "triu"):
    _shaped(_name, getattr(ag, _name), getattr(np, _name), *(Case((SHAPE,), o) for o in ({}, {"k": 1}, {"k": -1}, {"k": 9}, {"k": -9})),
            Case(((0, 2),)), refusals=(
        refuses(lambda: [ag.zeros(2)], ValueError, rf"{_name}: needs matrices.*\(2,\)"),
        refuses(lambda: [ag.zeros(2, 2)], TypeError, rf"{_name}: the number of a diagonal must be an integer.*got 1.0", k=1.0),
    ))  # fmt: skip
_shaped("diagonal", ag.diagonal, np.diagonal, Case((SHAPE,)), Case((SHAPE,), {"offset": 1}), Case((SHAPE,), {"offset": -1}),
        Case((SHAPE,), {"axis1": 2, "axis2": 0}), Case((SHAPE,), {"offset": -2, "axis1": -1, "axis2": 1}),
        Case((SHAPE,), {"offset": 5}), Case(((0, 2),)), refusals=(
    refuses(lambda: [ag.zeros(2)], ValueError, r"diagonal: needs at least 2 dimensions, got shape \(2,\)"),
    refuses(lambda: [ag.zeros(2, 2)], ValueError, r"diagonal: axis1 and axis2 must be two different axes", axis2=-2),
    refuses(lambda: [ag.zeros(2, 2)], IndexError, r"diagonal: axis 2 is out of range", axis2=2),
))  # fmt: skip
_shaped("diag", ag.diag, np.diag, Case(((3,),)), Case(((3,),), {"k": 1}), Case(((2,),), {"k": -2}), Case(((3, 4),), {"k": 1}),
        Case(((0,),)), refusals=(refuses(lambda: [ag.zeros(SHAPE)], ValueError, r"diag: takes a vector or a matrix.*\(2, 3, 4\)"),))
_shaped("diag_embed", ag.diag_embed, lambda x, offset=0, axis1=-2, axis2=-1: np.moveaxis(
            np.stack([np.diag(row, offset) for row in x.reshape(-1, x.shape[-1])]).reshape(
                (*x.shape[:-1], *(x.shape[-1] + abs(offset),) * 2)), (-2, -1), (axis1, axis2)),
        Case(((2, 3),)), Case((SHAPE,), {"offset": -1}), Case(((2, 3),), {"offset": 2, "axis1": 0, "axis2": 2}),
        Case(((3,),), {"axis1": 1, "axis2": 0, "offset": 1}), refusals=(
    refuses(lambda: [ag.tensor(1.0)], ValueError, r"diag_embed: needs at least 1 dimension"),
    refuses(lambda: [ag.zeros(2)], ValueError, r"diag_embed: axis1 and axis2 must be two different axes", axis1=1),
))  # fmt: skip
add("trace", ag.trace, np.trace, kinds="biuf", scale=8, cases=(
    Case((SHAPE,)), Case((SHAPE,), {"offset": 1, "axis1": 2, "axis2": 1}), Case(((3, 3),)), Case(((2, 2),), {"offset": 5})), refusals=(
    refuses(lambda: [ag.zeros(2)], ValueError, r"trace: needs at least 2 dimensions, got shape \(2,\)"),
))  # fmt: skip
_shaped("expand_dims", lambda x, axis: ag.expand_dims(x, axis), np.expand_dims, Case((SHAPE,), {"axis": 1}),
        Case((SHAPE,), {"axis": -1}), Case((SHAPE,), {"axis": (0, 2)}), Case(((),), {"axis": 0}), refusals=(
    refuses(lambda: [ag.zeros(2)], IndexError, r"expand_dims: axis 2 is out of range", axis=2),
    refuses(lambda: [ag.zeros(2)], ValueError, r"expand_dims: repeated axis", axis=(0, 0)),
))  # fmt: skip
_shaped("squeeze", ag.squeeze, np.squeeze, Case(((1, 3, 1),)), Case(((1, 3, 1),), {"axis": 0}), Case(((1, 3, 1),), {"axis": (0, -1)}),
        Case(((1,),)), refusals=(
    refuses(lambda: [ag.zeros(1, 3)], ValueError, r"squeeze: axis 1 of a tensor of shape \(1, 3\) has size 3, not 1", axis=1),
    refuses(lambda: [ag.zeros(1, 3)], IndexError, r"squeeze: axis 2 is out of range", axis=2),
))  # fmt: skip
_shaped("broadcast_to", _with(ag.broadcast_to, "shape"), _with(np.broadcast_to, "shape"), Case(((3, 1),), {"shape": (2, 3, 4)}),
        Case(((),), {"shape": (2, 2)}), Case((SHAPE,), {"shape": SHAPE}), Case(((1, 3),), {"shape": (0, 3)}), refusals=(
    refuses(lambda: [ag.zeros(2, 3)], ValueError, r"broadcast_to: .*\(2, 3\).*\(2, 4\)", shape=(2, 4)),
    refuses(lambda: [ag.zeros(2, 3)], ValueError, r"broadcast_to: .*\(2, 3\) cannot be stretched to \(3,\)", shape=(3,)),
    refuses(lambda: [ag.zeros(2, 3)], ValueError, r"broadcast_to: .*\(2, 3\).*\(1, 3\)", shape=(1, 3)),
))  # fmt: skip
_shaped("broadcast_tensors", lambda *t: ag.broadcast_tensors(*t), lambda *a: tuple(np.broadcast_arrays(*a)),
        Case(((3, 1), (4,))), Case((SHAPE, ())), refusals=(
    refuses(lambda: [ag.zeros(2), ag.zeros(3)], ValueError, r"broadcast_tensors: shapes \(2,\) and \(3,\) do not broadcast"),
))  # fmt: skip
_shaped("concat", _many(ag.concat), _many(np.concatenate), Case((SHAPE, (2, 1, 4)), {"axis": 1}), Case((SHAPE, SHAPE), {"axis": -1}),
        Case(((2, 3), (0, 3), (1, 3))), Case((SHAPE, (2,)), {"axis": None}), refusals=(
    refuses(lambda: [ag.zeros(2, 3), ag.zeros(3, 2)], ValueError, r"concat: shapes \(2, 3\), \(3, 2\) must agree.*but 0"),
    refuses(lambda: [ag.zeros(2, 3), ag.zeros(2)], ValueError, r"concat: shapes \(2, 3\), \(2,\)"),
    refuses(lambda: [ag.zeros(2)], IndexError, r"concat: axis 1 is out of range", axis=1),
    refuses(lambda: [ag.tensor(1.0)], IndexError, r"concat: axis 0 .*0-d"),
    refuses(list, ValueError, "concat: needs at least one tensor"),
))  # fmt: skip
_shaped("stack", _many(ag.stack), _many(np.stack), Case((SHAPE, SHAPE), {"axis": 1}), Case((SHAPE, SHAPE, SHAPE), {"axis": -1}),
        Case(((), ())), Case(((0,), (0,))), refusals=(
    refuses(lambda: [ag.zeros(2), ag.zeros(3)], ValueError, r"stack: all shapes must be equal, got \(2,\), \(3,\)"),
    refuses(lambda: [ag.zeros(2)], IndexError, r"stack: axis 2 is out of range", axis=2),
    refuses(list, ValueError, "stack: needs at least one tensor"),
))  # fmt: skip
_shaped("unstack", ag.unstack, lambda x, axis=0: tuple(np.moveaxis(x, axis, 0)), Case((SHAPE,)), Case((SHAPE,), {"axis": -1}),
        refusals=(refuses(lambda: [ag.tensor(1.0)], IndexError, "unstack: axis 0 .*0-d"),))  # fmt: skip
_shaped("split", ag.split, lambda x, sections, axis=0: tuple(
            np.split(x, list(range(sections, x.shape[axis], sections)) if isinstance(sections, int)
                     else np.cumsum(sections)[:-1], axis=axis)),
        Case((SHAPE,), {"sections": 3, "axis": 2}), Case((SHAPE,), {"sections": (1, 0, 2), "axis": 1}),
        Case((SHAPE,), {"sections": 1}), refusals=(
    refuses(lambda: [ag.zeros(4)], ValueError, r"split: sizes \[1, 2\] do not add up to 4", sections=[1, 2]),
    refuses(lambda: [ag.zeros(4)], ValueError, r"split: sizes \[5, -1\]", sections=[5, -1]),
    refuses(lambda: [ag.zeros(4)], ValueError, r"split: the size of a part must be at least 1, got 0", sections=0),
))  # fmt: skip
_shaped("flip", ag.flip, np.flip, Case((SHAPE,)), Case((SHAPE,), {"axis": 1}), Case((SHAPE,), {"axis": (0, -1)}), Case(((0, 2),)),
        refusals=(*_axis_refusals("flip"), _repeated("flip")))  # fmt: skip
_shaped("flatten", shape.flatten, lambda x, start_dim=0, end_dim=-1: x.reshape(
            (*x.shape[:start_dim], -1, *x.shape[end_dim % x.ndim + 1 :]) if x.ndim else (1,)),
        Case((SHAPE,)), Case((SHAPE,), {"start_dim": 1}), Case((SHAPE,), {"start_dim": 0, "end_dim": 1}), Case(((),)), refusals=(
    refuses(lambda: [ag.zeros(2, 3)], ValueError, "flatten: start_dim 1 comes after end_dim 0", start_dim=1, end_dim=0),
    refuses(lambda: [ag.zeros(2, 3)], IndexError, "flatten: axis 2 is out of range", start_dim=2),
))  # fmt: skip
_shaped("ravel", shape.ravel, np.ravel, Case((SHAPE,)), Case(((),)), Case(((0, 2),)))
_shaped("expand", _with(shape.expand, "shape"), lambda x, shape: np.broadcast_to(x, tuple(
            x.shape[k - len(shape) + x.ndim] if s == -1 else s for k, s in enumerate(shape))),
        Case(((3, 1),), {"shape": (2, -1, 4)}))  # fmt: skip
_shaped("getitem", lambda x, key: x[key], lambda x, key: x[key], *(Case((SHAPE,), {"key": k}) for k in (
    0, -1, (1, 2, 3), slice(1, None), (slice(None), 1), (Ellipsis, -1), (None, Ellipsis, None), (slice(None, None, -1),),
    (slice(None), slice(2, 0, -1), slice(None, None, 3)), (slice(5, 9),), (0, Ellipsis, slice(-3, -1)), (), Ellipsis,
    (1, None, slice(None), 0), ([1, 0, 1],), (slice(None), [[0, 2], [-1, 0]]), ([0, 1], slice(None), [3, -1]),
    (0, slice(None), [1, 1]), (slice(None, None, -1), np.array([True, False, True]), None), (np.arange(24).reshape(SHAPE) % 3 == 0,),
)), Case(((),), {"key": ()}), Case(((),), {"key": Ellipsis}), refusals=(
    refuses(lambda: [ag.zeros(2, 3)], IndexError, r"getitem: index 2 is out of range for axis 0 of size 2", key=2),
    refuses(lambda: [ag.zeros(2, 3)], IndexError, r"getitem: index -4 is out of range for axis 1 of size 3", key=(0, -4)),
    refuses(lambda: [ag.zeros(2, 3)], IndexError, r"getitem: index 3 is out of range for axis 1", key=(Ellipsis, 3)),
    refuses(lambda: [ag.zeros(2, 3)], IndexError, r"getitem: 3 indices for a tensor of shape \(2, 3\)", key=(0, 0, 0)),
    refuses(lambda: [ag.tensor(1.0)], IndexError, r"getitem: 1 indices for a tensor of shape \(\)", key=0),
    refuses(lambda: [ag.zeros(2, 3)], IndexError, r"getitem: at most one Ellipsis", key=(Ellipsis, Ellipsis)),
    refuses(lambda: [ag.zeros(2, 3)], ValueError, r"getitem: the step of a slice must not be 0", key=slice(None, None, 0)),
    refuses(lambda: [ag.zeros(2, 3)], TypeError, r"getitem: indices are integers.*got float", key=1.0),
    refuses(lambda: [ag.zeros(2, 3)], TypeError, r"getitem: indices are integers.*got list of float64", key=[0.5, 1.0]),
    refuses(lambda: [ag.zeros(2, 3)], IndexError, r"index 3 is out of range for axis 1 of size 3", key=(0, [1, 3])),
    refuses(lambda: [ag.zeros(2, 3)], IndexError, r"getitem: a mask of shape \(3,\) does not fit", key=np.array([True, False, True])),
    refuses(lambda: [ag.zeros(2, 3)], IndexError, r"getitem: 3 indices for", key=([0], [0], [0])),
))  # fmt: skip


# --- conversion, selection, networks ----------------------------------------------------------------------------------

_shaped("clone", ag.clone, np.copy, Case((SHAPE,)), Case(((),)), Case(((0, 2),)))
add("astype", lambda x, dtype: ag.astype(x, dtype), lambda x, dtype: x.astype(dtype), kinds="biuf", cases=(
    Case((SHAPE,), {"dtype": ag.float64}), Case((SHAPE,), {"dtype": ag.int32}), Case((SHAPE,), {"dtype": ag.bool}),
    Case((SHAPE,), {"dtype": "uint8"}), Case(((),), {"dtype": ag.float64})), domains=(Domain(0, 3),), exact=True, refusals=(
    refuses(lambda: [ag.zeros(2)], TypeError, "float16 is not supported; supported are bool, complex64", dtype=np.float16),
    refuses(lambda: [ag.zeros(2)], TypeError, "not a data type: 'nonsense'", dtype="nonsense"),
))  # fmt: skip
add("select", ag.where, np.where, cases=(Case((SHAPE, SHAPE, SHAPE)), Case(((3, 1), (4,), ())), Case(((0,), (0,), (1,)))),
    kinds="biuf", booleans=(0,), exact=True, refusals=(
    refuses(lambda: [ag.zeros(2), 1.0, 2.0], TypeError, r"where: the condition must be bool, got float32; compare first"),
    refuses(lambda: [ag.zeros(2, dtype=bool), ag.zeros(3), 1.0], ValueError, r"where: shapes \(2,\) and \(3,\)"),
))  # fmt: skip
add("clip_bounds", lambda x, **bounds: ag.clip(x, **bounds), lambda x, min=None, max=None: np.clip(x, min, max),
    domains=(Domain(avoid=(-1.0, 1.0)),), cases=(
    Case((SHAPE,), {"min": -1, "max": 1}), Case((SHAPE,), {"min": -1}), Case((SHAPE,), {"max": 1}), Case((SHAPE,))),
    kinds="if", exact=True)  # fmt: skip
add("dropout", lambda x, p, training: ag.dropout(x, p, training), lambda x, p, training: x if not training or not p else x * 0,
    cases=(Case((SHAPE,), {"p": 0.5, "training": False}), Case((SHAPE,), {"p": 0.0, "training": True}),
           Case((SHAPE,), {"p": 1.0, "training": True}), Case(((0, 2),), {"p": 0.3, "training": True})), exact=True, refusals=(
    refuses(lambda: [ag.zeros(2)], ValueError, "dropout: the probability must lie between 0 and 1, got 1.5", p=1.5, training=True),
    refuses(lambda: [ag.zeros(2)], ValueError, "dropout: .*got nan", p=NAN, training=True),
))  # fmt: skip


def _softmax(x, axis=-1):
    shifted = np.exp(x - np.max(x, axis=axis, keepdims=True, initial=-1e300))
    return shifted / np.sum(shifted, axis=axis, keepdims=True)


def _log_softmax(x, axis=-1):
    shifted = x - np.max(x, axis=axis, keepdims=True, initial=-1e300)
    return shifted - np.log(np.sum(np.exp(shifted), axis=axis, keepdims=True))


def _layer_norm(x, weight=1.0, bias=0.0, eps=1e-5):
    centred = x - x.mean(-1, keepdims=True)
    return centred / np.sqrt(x.var(-1, keepdims=True) + eps) * weight + bias


def _cross_entropy(logits, targets, weight=None, ignore_index=-100, label_smoothing=0.0, reduction="mean"):
    classes = logits.shape[1]
    weight = np.ones(classes, logits.dtype) if weight is None else weight
    log_p = _log_softmax(logits, 1)
    losses, total = np.zeros(len(logits), logits.dtype), 0.0
    for row, target in enumerate(targets):
        if target != ignore_index:
            smooth = -np.sum(weight * log_p[row]) / classes
            losses[row] = (1 - label_smoothing) * -weight[target] * log_p[row, target] + label_smoothing * smooth
            total += weight[target]
    return {"none": losses, "sum": losses.sum(), "mean": losses.sum() / logits.dtype.type(total)}[reduction]


TARGETS = np.array([2, 0, -100, 1, 2])
WEIGHT = np.array([0.5, 2.0, 1.25])


def _cross_entropy_of(logits, **options):
    if "weight" in options:
        options["weight"] = ag.asarray(options["weight"], device=logits.device).astype(logits.dtype)
    return nn_ops.cross_entropy(logits, ag.asarray(TARGETS, device=logits.device), **options)


for _name, _function, _reference in (("softmax", ag.softmax, _softmax), ("log_softmax", ag.log_softmax, _log_softmax)):
    add(_name, _function, _reference, cases=(Case((SHAPE,)), Case((SHAPE,), {"axis": 0}), Case((SHAPE,), {"axis": 1}),
        Case(((0, 3),)), Case(((1,),))), refusals=(*_axis_refusals(_name), _needs_floats(_name)))  # fmt: skip
add("layer_norm", ag.layer_norm, _layer_norm, scale=4, cases=(
    Case((SHAPE, (4,), (4,))), Case((SHAPE, (4,))), Case((SHAPE,)), Case(((5, 8), (8,), (8,)), {"eps": 0.1})), refusals=(
    refuses(lambda: [ag.zeros(2, 3), ag.zeros(4)], ValueError, r"layer_norm: weight of shape \(4,\).*\(2, 3\)"),
    _needs_floats("layer_norm"),
))  # fmt: skip
add("cross_entropy", _cross_entropy_of, lambda x, **o: _cross_entropy(x, TARGETS, **{
        k: v.astype(x.dtype) if k == "weight" else v for k, v in o.items()}),
    cases=tuple(Case(((5, 3),), o) for o in (
        {}, {"reduction": "sum"}, {"reduction": "none"}, {"weight": WEIGHT}, {"label_smoothing": 0.2},
        {"weight": WEIGHT, "label_smoothing": 0.1, "reduction": "sum"})),
    refusals=(
        refuses(lambda: [ag.zeros(5, 3)], ValueError, "reduction must be 'mean', 'sum' or 'none', got 'all'", reduction="all"),
        refuses(lambda: [ag.zeros(4, 3)], ValueError, r"logits must be \(N, C\).*\(4, 3\) and \(5,\)"),
        refuses(lambda: [ag.zeros(5, 3)], ValueError, r"weight has shape \(2,\), expected \(3,\)", weight=np.ones(2)),
        refuses(lambda: [ag.zeros(5, 2)], (ValueError, IndexError), r"cross_entropy: .*2"),
    ))  # fmt: skip

# Names of exported functions whose entry is called differently, or that are other names of the same.
ALIASES = {"concatenate": "concat", "cat": "concat", "where": "select", "clip": "clip_bounds"}

# Exported, and no operation on tensors: these have tests of their own.
NOT_OPERATIONS = frozenset(
    """Function GradcheckError Tensor allclose array_equal broadcast_shapes can_cast conj finfo iinfo imag isdtype real view_as_complex view_as_real arange asarray bernoulli checkpoint detect_anomaly elementwise_grad empty empty_like
    enable_grad explain eye from_dlpack full full_like fuse grad gradcheck gradgradcheck gradients hessian
    hessian_vector_product is_grad_enabled jacobian jvp linspace manual_seed no_grad once_differentiable ones ones_like rand randint randn randperm result_type set_grad_enabled tensor value_and_grad vjp zeros
    zeros_like""".split()
)

import operation_table_indexing  # noqa: E402, F401  # more entries, made with the helpers above
import operation_table_manipulation  # noqa: E402, F401  # more entries, made with the helpers above
import operation_table_sorting  # noqa: E402, F401
import operation_table_statistics  # noqa: E402, F401
