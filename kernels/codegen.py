"""From a formula to the source of a loop: the one place where elementwise kernels are written.

The body of the loop (loads, the formula's statements, stores) is the same on every device; a device adds the loop around
it. What varies is described by an `Access` per operand:

    "v"  element i of the inner loop lies at offset i (a vector)
    "0"  the same element for the whole inner loop (broadcast; loaded once)
    "x"  element i lies at offset i * stride
    "p"  a number, given by value (a Python scalar)

and by whether there are outer loops ("strided") around the inner one.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from kernels import scalar
from kernels.formula import Formula


@dataclass(frozen=True)
class Variant:
    """Which loop of a formula is wanted: everything its source depends on.

    compute: name of the dtype that the formula is evaluated in.
    inputs, outputs: the operands' dtype names.
    access: one letter per input, then one per output; see the module's text.
    aliases: for each output the number of the input whose memory it overwrites, or -1. (Two pointers to the same memory
        would make the compiler's overlap test fail, and the loop run one element at a time.)
    outer: whether the loop has outer dimensions.
    """

    compute: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    access: str
    aliases: tuple[int, ...]
    outer: bool


Parameter = tuple[str, str, bool]  # name, dtype name, whether it is a pointer


def identifier(formula: Formula) -> str:
    """A Python name for the formula: a prime, which marks a gradient, spelled out."""
    return re.sub(r"\W", "_", formula.name.replace("'", "_gradient"))


def elementwise_source(formula: Formula, variant: Variant) -> tuple[str, list[Parameter]]:
    """The source of the CPU loop and its parameters, for `kernels.cpu.compiler.compile_kernel`."""
    pointers = _Pointers(formula, variant)
    head, body = _body(formula, variant, pointers)
    parameters: list[Parameter] = [("low", "int64", False), ("high", "int64", False)]
    if variant.outer:
        parameters.append(("walk", "int64", True))
    parameters += pointers.parameters + [(f"{name}_", variant.compute, False) for name in formula.parameters]
    name = identifier(formula)
    lines = [f"def {name}({', '.join(p[0] for p in parameters)}):"]
    lines += _strided_loop(pointers, head, body) if variant.outer else _flat_loop(head, body)
    return "\n".join(lines), parameters


_SIMPLE = frozenset("real abs ceil copysign floor maximum minimum reciprocal round sign sqrt square trunc".split())
_FEW_OPERATIONS = 8


def is_streaming(formula: Formula, variant: Variant) -> bool:
    """Whether memory and not arithmetic sets the pace: few simple operations on whole rows of one dtype."""
    statements, _ = scalar.render(formula.outputs)
    called = {name for statement in statements for name in re.findall(r"(\w+)\(", statement)}
    places = zip(variant.inputs + variant.outputs, variant.access, strict=True)
    vectors = [dtype for dtype, access in places if access != "p"]
    even = all(dtype == variant.compute for dtype in vectors) and "x" not in variant.access
    return even and called <= _SIMPLE and len(statements) <= _FEW_OPERATIONS


class _Pointers:
    """Names and offsets of the operands' memory."""

    def __init__(self, formula: Formula, variant: Variant) -> None:
        count = len(formula.inputs)
        self.inputs = [f"{name}_data" for name in formula.inputs]
        results = [f"result{k}_data" for k in range(len(variant.outputs))]
        self.outputs = [self.inputs[a] if a >= 0 else results[k] for k, a in enumerate(variant.aliases)]
        self.parameters: list[Parameter] = []
        self.places: list[tuple[str, str]] = []  # (pointer, access) of every operand that lies in memory
        for k, name in enumerate(formula.inputs):
            if variant.access[k] == "p":
                self.parameters.append((f"{name}_", variant.compute, False))
            else:
                self.parameters.append((self.inputs[k], variant.inputs[k], True))
                self.places.append((self.inputs[k], variant.access[k]))
        for k, alias in enumerate(variant.aliases):
            if alias < 0:
                self.parameters.append((results[k], variant.outputs[k], True))
                self.places.append((results[k], variant.access[count + k]))

    def element(self, pointer: str, access: str, outer: bool) -> str:
        """The expression of an operand's element in the inner loop."""
        start = f"{pointer}_at" if outer else ""
        if access == "0":
            return f"{pointer}[{start or 0}]"
        step = "i" if access == "v" else f"i * {pointer}_step"
        return f"{pointer}[{start} + {step}]" if outer else f"{pointer}[{step}]"


def _body(formula: Formula, variant: Variant, pointers: _Pointers) -> tuple[list[str], list[str]]:
    """(lines before the inner loop, lines within it)."""
    head, body = [], []
    for k, name in enumerate(formula.inputs):
        access = variant.access[k]
        if access == "p":
            continue
        element = pointers.element(pointers.inputs[k], access, variant.outer)
        is_cast = variant.inputs[k] != variant.compute and name not in formula.booleans
        line = f"{name}_ = real({element})" if is_cast else f"{name}_ = {element}"
        (head if access == "0" else body).append(line)
    names = {name: f"{name}_" for name in (*formula.inputs, *formula.parameters)}
    statements, results = scalar.render(formula.outputs, names)
    body += statements
    count = len(formula.inputs)
    for k, result in enumerate(results):
        alias = variant.aliases[k]
        access = variant.access[alias] if alias >= 0 else variant.access[count + k]
        if variant.outputs[k] == "bool" and formula.result != "bool" and variant.compute != "bool":
            result = f"{result} != real(0)"
        body.append(f"{pointers.element(pointers.outputs[k], access, variant.outer)} = {result}")
    return head, body


def _indent(lines: Sequence[str], levels: int) -> list[str]:
    return ["    " * levels + line for line in lines]


def _flat_loop(head: list[str], body: list[str]) -> list[str]:
    return _indent(head, 1) + ["    for i in range(low, high):"] + _indent(body, 2)


def _strided_loop(pointers: _Pointers, head: list[str], body: list[str]) -> list[str]:
    """Rows low..high-1 of the inner loop. `walk` holds: inner size, number of outer dimensions, their sizes (innermost
    first), and for each operand its inner stride followed by its outer strides."""
    lines = ["inner = walk[0]", "rank = walk[1]"]
    for k, (pointer, access) in enumerate(pointers.places):
        lines.append(f"{pointer}_strides = 2 + rank + {k} * (rank + 1)")
        if access == "x":
            lines.append(f"{pointer}_step = walk[{pointer}_strides]")
    lines.append("for row in range(low, high):")
    step = ["rest = row"] + [f"{pointer}_at = 0" for pointer, _ in pointers.places]
    step.append("for axis in range(rank):")
    step += ["    index = rest % walk[2 + axis]", "    rest //= walk[2 + axis]"]
    step += [f"    {p}_at += index * walk[{p}_strides + 1 + axis]" for p, _ in pointers.places]
    step += head + ["for i in range(inner):"] + _indent(body, 1)
    return _indent(lines + _indent(step, 1), 1)
