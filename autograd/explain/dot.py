"""The graph of an explanation in Graphviz's language."""

from __future__ import annotations

from autograd.explain.explanation import Explanation, Made
from autograd.explain.values import NOT_KEPT

_COLOURS = {"leaf": "#dbeafe", "constant": "#f3f4f6", "operation": "#fef3c7"}


def dot_text(explanation: Explanation) -> str:
    """One box per tensor: how it was made, its value, and its gradient; an arrow from each operand to its result."""
    gradients = {name: gradient.value for name, gradient in explanation.gradients.items()}
    for step in explanation.steps:
        gradients |= step.upstream
    lines = ["digraph backward {", "  rankdir=LR;", '  node [shape=box, style="rounded,filled", fontname="monospace"];']
    numbers = {made.name: k for k, made in enumerate(explanation.made)}
    outside: dict[str, str] = {}
    edges = []
    for made in explanation.made:
        gradient = gradients.get(made.name)
        label = "\\n".join(_escaped(line) for line in _label(made, None if gradient is None else str(gradient)))
        lines.append(f'  n{numbers[made.name]} [label="{label}", fillcolor="{_COLOURS[made.kind]}"];')
        for name in made.inputs:
            source = _place(name, numbers)
            if source is None:
                source = outside.setdefault(name, f"o{len(outside)}")
            edges.append(f"  {source} -> n{numbers[made.name]};")
    for name, place in outside.items():
        lines.append(f'  {place} [label="...\\n{_escaped(name)}", shape=plaintext, style=""];')
    return "\n".join([*lines, *edges, "}"]) + "\n"


def _place(name: str, numbers: dict[str, int]) -> str | None:
    """The box of a tensor; one of several results shares the box of its operation."""
    if name not in numbers:
        name = name.rpartition("[")[0]
    return f"n{numbers[name]}" if name in numbers else None


def _label(made: Made, gradient: str | None) -> list[str]:
    first = made.name if made.kind != "operation" else f"{made.name} = {made.expression}"
    lines = [first, NOT_KEPT if made.value is None else str(made.value)]
    return lines if gradient is None else [*lines, f"grad {gradient}"]


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')
