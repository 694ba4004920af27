"""fuse: a function of elementwise operations as one kernel forward and one kernel backward."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Any

import numpy as np

from autograd.ops.elementwise import Elementwise
from autograd.tensor import Tensor
from kernels import formulas, scalar
from kernels.formula import define


class Traced:
    """What stands for a tensor while a function is fused: it answers to a tensor's operators and methods."""

    __slots__ = ("expression",)

    # NumPy must leave `array * traced` to us, where it is refused with a reason.
    __array_ufunc__ = None

    def __init__(self, expression: scalar.Expr) -> None:
        self.expression = expression

    def __getattr__(self, name: str) -> Any:
        if name in formulas.TABLE:
            return lambda *others, **parameters: _apply(name, (self, *others), parameters)
        raise AttributeError(
            f"fuse: a tensor's {name!r} cannot be used inside a fused function, only elementwise operations can: take "
            "reductions, matrix products and reshaping out of it"
        )

    @staticmethod
    def call_operation(operation: Elementwise, operands: Any, values: tuple) -> Traced:
        """What an elementwise function of the library does when it meets a stand-in."""
        formula = operation.formula
        parameters = dict(zip(formula.parameters, values, strict=True))
        results: Any = formula(*(_expression(o, formula.name) for o in operands), **parameters)
        return Traced(results)

    def __bool__(self) -> bool:
        raise TypeError("fuse: a fused function cannot branch on a tensor's value; use autograd.where(condition, x, y)")

    def __iter__(self) -> Any:
        raise TypeError("fuse: a tensor cannot be iterated or unpacked inside a fused function")

    __hash__ = object.__hash__


def _operator(name: str, reflected: bool) -> Callable:
    def method(self, *others):
        operands = (*others, self) if reflected else (self, *others)
        return _apply(name, operands, {})

    return method


_OPERATORS = {
    "add": "add", "sub": "subtract", "mul": "multiply", "truediv": "divide", "pow": "pow", "floordiv": "floor_divide",
    "mod": "remainder", "and": "logical_and", "or": "logical_or",
}  # fmt: skip
_COMPARISONS = {"lt": "less", "le": "less_equal", "gt": "greater", "ge": "greater_equal", "eq": "equal", "ne": "not_equal"}
for _name, _formula in _OPERATORS.items():
    setattr(Traced, f"__{_name}__", _operator(_formula, False))
    setattr(Traced, f"__r{_name}__", _operator(_formula, True))
for _name, _formula in _COMPARISONS.items():
    setattr(Traced, f"__{_name}__", _operator(_formula, False))
for _name, _formula in {"neg": "negative", "pos": "positive", "abs": "abs", "invert": "logical_not"}.items():
    setattr(Traced, f"__{_name}__", _operator(_formula, False))


def _expression(operand: Any, name: str) -> Any:
    if isinstance(operand, Traced):
        return operand.expression
    if isinstance(operand, np.generic):
        operand = operand.item()
    if isinstance(operand, (bool, int, float)):
        return float(operand) if abs(operand) > 2**53 else operand  # an OverflowError for what no float holds
    raise TypeError(
        f"fuse: {name} got a {type(operand).__name__}; inside a fused function operands are its arguments and Python "
        "numbers. Pass other tensors in as arguments"
    )


def _apply(name: str, operands: tuple, parameters: dict) -> Traced:
    result: Any = formulas.TABLE[name](*(_expression(o, name) for o in operands), **parameters)
    return Traced(result)


def _output(result: Any, name: str) -> Any:
    """What a fused function returned, as an expression: a number, for a kernel's results are floats."""
    expression = scalar.as_expression(_expression(result, name))
    if scalar.is_boolean(expression):
        raise TypeError(f"fuse: {name} returns a truth value; a fused function computes floats: use where(condition, 1.0, 0.0)")
    return expression


def _check_operands(name: str, args: tuple, kwargs: dict) -> None:
    """A fused function computes in floats: integers would silently be rounded, and parameters are not differentiated."""
    arrays = [a for a in args if hasattr(a, "dtype")]
    kinds = {a.dtype.kind for a in arrays}
    if arrays and ("f" not in kinds or "c" in kinds):
        listed = ", ".join(str(a.dtype) for a in arrays)
        raise TypeError(f"{name}: a fused function computes in floats, its operands are {listed}; convert with astype first")
    for key, value in kwargs.items():
        if isinstance(value, Tensor) and value.requires_grad:
            raise TypeError(f"{name}: {key} requires grad, and keyword-only arguments are not differentiated; make it positional")


def fuse(function: Callable) -> Callable:
    """Compile a function of tensors that uses elementwise operations only into one kernel.

    The function is run once on stand-ins for its arguments to see what it computes; a call is then a single pass over
    memory, and so is its derivative, of any order. Arguments are tensors (broadcast and promoted as in any operation) or
    numbers; keyword-only arguments are scalars passed by value, and are not differentiated.

    Inside, use operators, tensor methods and the elementwise functions of `autograd`. Everything else raises a TypeError
    when the function is first called; a branch on a tensor's value must be written with `where`.

    >>> import autograd as ag
    >>> @ag.fuse
    ... def gaussian(x, mean, width):
    ...     return ag.exp(-(((x - mean) / width) ** 2) / 2)
    >>> gaussian(ag.tensor([0.0, 1.0]), 0.0, 1.0)
    tensor([1.    , 0.6065], dtype=float32)
    """
    kinds = inspect.signature(function).parameters.values()
    if any(p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD) for p in kinds):
        raise TypeError(f"fuse: {function.__name__} must name its arguments one by one, without *args or **kwargs")
    names = [p.name for p in kinds if p.kind != p.KEYWORD_ONLY]
    scalars = [p.name for p in kinds if p.kind == p.KEYWORD_ONLY]
    defaults = {p.name: p.default for p in kinds if p.kind == p.KEYWORD_ONLY and p.default is not p.empty}

    def traced(*operands: Any, **parameters: Any) -> Any:
        results = function(*map(Traced, operands), **{k: Traced(v) for k, v in parameters.items()})
        several = isinstance(results, (tuple, list))
        outputs = tuple(_output(r, function.__name__) for r in (results if several else (results,)))
        return outputs if several else outputs[0]

    formula = define(function.__name__, traced, parameters=scalars, defaults=defaults, inputs=tuple(names))
    operation: list[Elementwise] = []  # made at the first call: making it looks at what the function computes
    bind = inspect.signature(function).bind

    @wraps(function)
    def fused(*args: Any, **kwargs: Any) -> Any:
        if kwargs or len(args) != len(names):
            bound = bind(*args, **kwargs)
            bound.apply_defaults()
            args = tuple(bound.arguments[n] for n in names)
            kwargs = {n: bound.arguments[n] for n in scalars}
        if any(isinstance(a, Traced) for a in args):  # a fused function used inside another
            return function(*args, **kwargs)
        _check_operands(function.__name__, args, kwargs)
        if not operation:
            operation.append(Elementwise(formula))
        return operation[0](*args, **kwargs)

    fused.formula = formula  # type: ignore[attr-defined]
    return fused
