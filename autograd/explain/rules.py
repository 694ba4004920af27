"""Operations and their derivatives as mathematics.

An elementwise operation's text is its formula's. For the others the table below says how the gradient of each operand
comes about: {g} is the upstream gradient, {out} the result, {0}, {1}, ... the operands, {node} the recorded operation.
An operation that is not in the table may bring its own as a class attribute `explanation`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from autograd.explain.values import number_text
from autograd.ops.complex_numbers import Holomorphic
from autograd.ops.derivative import ElementwiseNode
from kernels import scalar
from kernels.scalar import ONE, rebuild, variable

_LONGEST = 90  # characters of a formula; of a longer one the name is told
_SYMBOLS = {"add": "+", "subtract": "-", "multiply": "*", "divide": "/", "pow": "**", "matmul": "@"}
_LOOSE = {"+", "-"}


# --- how a tensor was made -------------------------------------------------------------------------------------------


def operation_name(node: Any) -> str:
    """The operation's name as a user writes it."""
    if isinstance(node, (ElementwiseNode, Holomorphic)) or hasattr(node, "function"):
        return node.name
    kind = type(node).__name__
    return _NAMES.get(kind) or re.sub(r"(?<=[a-z])(?=[A-Z])", "_", kind).lower()


_NAMES = {"MatMul": "matmul", "AsType": "astype", "LogSumExp": "logsumexp", "GetItem": "getitem", "SetItem": "setitem"}
_NAMES |= {"CopyReshape": "reshape", "Put": "setitem", "SetWhere": "setitem", "AddAt": "scatter_add"}


def expression_text(node: Any, operands: Sequence[str]) -> str:
    """The operation as code: `x * w`, `tanh(n)`, `softmax(z, axis=-1)`."""
    name = operation_name(node)
    if name in _SYMBOLS and len(operands) == 2:
        return f" {_SYMBOLS[name]} ".join(operands)
    if name == "negative":
        return f"-{operands[0]}"
    if name == "getitem":
        return f"{operands[0]}[{_key_text(node.key)}]"
    options = []
    if isinstance(node, ElementwiseNode):
        parameters = zip(node.recipe.formula.parameters, node.values, strict=True)
        options = [f"{name}={value:g}" for name, value in parameters]
    elif hasattr(node, "axes") and len(node.axes) < len(getattr(node, "before", node.axes)):
        options = [f"axis={_one_or_tuple(node.axes)}"]
    elif name == "reshape" or name == "broadcast_to":
        options = [str(node.layout.shape)]
    elif name == "permute_dims":
        options = [str(node.axes)]
    elif isinstance(getattr(node, "axis", None), int):
        options = [f"axis={node.axis}"]
    elif name == "astype":
        options = [node.layout.dtype.name]
    return f"{name}({', '.join([*operands, *options])})"


def _one_or_tuple(axes: Sequence[int]) -> str:
    return str(axes[0]) if len(axes) == 1 else str(tuple(axes))


def _key_text(key: tuple) -> str:
    parts = []
    for part in key:
        if isinstance(part, slice):
            bounds = ["" if b is None else str(b) for b in (part.start, part.stop)]
            parts.append(":".join(bounds) + ("" if part.step in (None, 1) else f":{part.step}"))
        else:
            parts.append("..." if part is Ellipsis else str(part))
    return ", ".join(parts)


# --- elementwise derivatives -----------------------------------------------------------------------------------------


def _readable(expression: scalar.Expr, mapping: dict) -> str:
    # The slope of a power has a case for exponent 0, which a reader does not need.
    (rebuilt,) = rebuild((expression,), mapping, {"pow_slope": lambda x, y: y * x ** (y - 1)})
    return str(rebuilt)


class Derivative:
    """The local derivatives of an elementwise operation, input by input.

    names: what to call each input; result: what to call the outputs; constants: numbers among the inputs by place.
    """

    def __init__(self, node: ElementwiseNode, names: Sequence[str], results: Sequence[str], numbers: dict) -> None:
        formula, self.derived = node.recipe.formula, node.recipe.derived
        self.upstream: list[str] = []
        self.mapping: dict[Any, Any] = {}
        self.environment: dict[str, Any] = dict(zip(formula.parameters, node.values, strict=True))
        self.sources: dict[str, tuple[str, int]] = {}
        self.several = len(formula.outputs) > 1
        self.results = results
        for name, value in zip(formula.parameters, node.values, strict=True):
            self.mapping[variable(name)] = scalar.as_expression(value)
        for name, (kind, place) in zip(self.derived.inputs, self.derived.roles, strict=True):
            if kind == "input":
                shown = scalar.as_expression(numbers[place]) if place in numbers else variable(names[place])
                self.mapping[variable(name)] = shown
            elif kind == "output":
                self.mapping[variable(name)] = variable(results[place])
            else:
                self.upstream.append(name)
                self.mapping[variable(name)] = variable(f"{results[place]}.grad")
            self.sources[name] = (kind, place)

    def local_text(self, position: int) -> str | None:
        """The derivative of the result by an input; None where there are several results or the text is too long."""
        if self.several:
            return None
        ones = {variable(name): ONE for name in self.upstream}
        text = _readable(self.derived.outputs[position], {**self.mapping, **ones})
        return text if len(text) <= _LONGEST else None

    def product_text(self, position: int) -> str | None:
        """The upstream gradient times the derivative; None where it is too long."""
        text = _readable(self.derived.outputs[position], self.mapping)
        return text if len(text) <= _LONGEST else None

    def local_value(self, position: int, inputs: Callable[[int], Any], outputs: Callable[[int], Any]) -> float | None:
        """The derivative as a number: `inputs` and `outputs` give arrays of one element by place, or None."""
        if self.several:
            return None
        environment = dict(self.environment)
        for name, (kind, place) in self.sources.items():
            value = 1.0 if kind == "gradient" else inputs(place) if kind == "input" else outputs(place)
            if value is None:
                return None
            environment[name] = np.float64(np.asarray(value).item())
        (value,) = scalar.evaluate((self.derived.outputs[position],), environment)
        return float(value)


# --- the others ------------------------------------------------------------------------------------------------------


def _matmul(node: Any) -> tuple[str, str]:
    a_is_vector, b_is_vector = node.vectors
    t = "T" if node.layout.ndim <= 2 else "mT"
    if a_is_vector and b_is_vector:
        return "{g} * {1}", "{g} * {0}"
    if b_is_vector:
        return "outer({g}, {1})", "{0}." + t + " @ {g}"
    if a_is_vector:
        return "{1} @ {g}", "outer({0}, {g})"
    return "{g} @ {1}." + t, "{0}." + t + " @ {g}"


def _linear(node: Any) -> tuple[str, str, str]:
    rows = "axis=0" if node.layout.ndim == 2 else f"axis={tuple(range(node.layout.ndim - 1))}"
    if node.layout.ndim == 1:
        return "{g} @ {1}", "outer({g}, {0})", "{g}"
    if node.layout.ndim == 2:
        return "{g} @ {1}", "{g}.T @ {0}", f"sum({{g}}, {rows})"
    return "{g} @ {1}", "{g}.T @ {0}, over all rows", f"sum({{g}}, {rows})"


def _cross_entropy(node: Any) -> tuple[str]:
    options = node.options
    target = "one_hot({1})"
    if options.get("weight") is not None or options.get("label_smoothing"):
        target = "target distribution"
        if options.get("weight") is not None:
            target += ", weighted"
    text = f"(softmax({{0}}) - {target})"
    if node.total_weight is not None:
        return (f"{{g}} * {text} / {number_text(node.total_weight.item()).removesuffix('.000').removesuffix('.00')}",)
    return (f"{{g}}[:, None] * {text}" if node.layout.ndim else f"{{g}} * {text}",)


_SUM = "{g} for every element"
RULES: dict[str, Any] = {
    "Sum": _SUM,
    "Mean": "{g} / {node.count} for every element",
    "Prod": "{g} * the product of the other elements",
    "Max": "{g} where {0} is largest (ties share it), 0 elsewhere",
    "Min": "{g} where {0} is smallest (ties share it), 0 elsewhere",
    "Var": "{g} * 2 * ({0} - mean({0})) / {node.divisor:g}",
    "LogSumExp": "{g} * exp({0} - {out})",
    "MatMul": _matmul,
    "Linear": _linear,
    "Softmax": "{out} * ({g} - sum({g} * {out}, axis={node.axis}))",
    "LogSoftmax": "{g} - exp({out}) * sum({g}, axis={node.axis})",
    "CrossEntropy": _cross_entropy,
    "LayerNorm": (
        "the part of {g} that changes neither mean nor variance, / std({0})",
        "sum({g} * normalised {0}, axis=0)",
        "sum({g}, axis=0)",
    ),
    "Reshape": "{g}.reshape({node.before})",
    "CopyReshape": "{g}.reshape({node.before})",
    "PermuteDims": "{g} with its axes put back",
    "BroadcastTo": "{g}",
    "Concat": "its part of {g}",
    "Flip": "flip({g})",
    "GetItem": "{g} at the place it was taken from, 0 elsewhere",
    "ScatterSlice": "{g} at the place it was put",
    "Gather": "{g} added up at the places the elements were taken from, 0 elsewhere",
    "AddAt": "{g} at the places the elements were added to",
    "SetItem": ("{g} with 0 at the overwritten place", "{g} at the overwritten place"),
    "Put": ("{g} with 0 at the overwritten place", "{g} at the overwritten place"),
    "SetWhere": ("{g} with 0 at the overwritten place", "{g} at the overwritten place"),
    "Holomorphic": "{g} times the complex conjugate of the derivative",
    "Multiply": ("{g} * conj({1})", "{g} * conj({0})"),
    "Conj": "conj({g})",
    "ViewAsReal": "view_as_complex({g})",
    "ViewAsComplex": "view_as_real({g})",
    "AsType": "{g}",
    "Clone": "{g}",
}


def rule_text(node: Any, place: int, upstream: str, result: str, operands: Sequence[str]) -> str:
    """How the gradient of the operand at `place` is computed, for an operation that is not elementwise."""
    rule: Any = getattr(type(node), "explanation", None) or RULES.get(type(node).__name__)
    if rule is None:
        if hasattr(node, "function"):
            return f"{node.name}.backward({upstream})"
        return f"the derivative rule of {operation_name(node)} on {upstream}"
    if callable(rule):
        rule = rule(node)
    template = rule if isinstance(rule, str) else rule[min(place, len(rule) - 1)]
    return template.format(*operands, g=upstream, out=result, node=node)
