"""The explanation and the graph as text."""

from __future__ import annotations

import os
from collections.abc import Sequence

from autograd.explain.explanation import Contribution, Explanation, Made, Step
from autograd.explain.known import UNKNOWN, operands
from autograd.explain.names import Names
from autograd.explain.values import NOT_KEPT, Value, factor_text, number_text
from autograd.graph import Leaf, Node, Port, topological_order
from autograd.tensor import Tensor

_CHAIN_RULE = "the gradient of a result, times the local derivative, is added to the gradient of each input"
_LINE = 70  # characters of a source line
_WIDE = 56  # characters: a column does not get wider because of one long entry


def explanation_text(explanation: Explanation) -> str:
    """What `print(explanation)` shows."""
    made = {m.name: m for m in explanation.made}
    start = made.get(explanation.name)
    count = explanation.total_steps
    made_by = f" = {start.expression}" if start is not None and start.kind == "operation" else ""
    what = explanation.name + made_by
    lines = [f"The backward pass of {what}: {count:,} step{'' if count == 1 else 's'}", "", "forward"]
    lines += _forward(explanation)
    lines += ["", f"backward: {_CHAIN_RULE}"]
    given = "" if explanation.seed.is_number and explanation.seed.number == 1 else " (given)"
    lines.append(f"  {explanation.name}.grad = {explanation.seed}   where it starts{given}")
    previous, source = 0, None
    for step in explanation.steps:
        if step.index != previous + 1:
            lines += ["", *_left_out(explanation)]
        lines += ["", *_step(step, step.source != source)]
        previous, source = step.index, step.source
    lines += ["", "gradients of the leaves (the pass ran on the side: no .grad has changed)"]
    lines += _gradients(explanation)
    return "\n".join(lines)


def _left_out(explanation: Explanation) -> list[str]:
    return [f"  ... {explanation.left_out:,} steps left out; max_steps=None shows all {explanation.total_steps:,}"]


# --- forward ---------------------------------------------------------------------------------------------------------


def _forward(explanation: Explanation) -> list[str]:
    rows = [(_equation(m), _kind(m), _contents(m), "" if m.kind == "operation" else m.kind) for m in explanation.made]
    lines = [f"  {line}" for line in _columns(rows)]
    if explanation.gap_size:
        lines.insert(explanation.gap, f"  ... {explanation.gap_size:,} results left out")
    return lines


def _equation(made: Made) -> str:
    return f"{made.name} = {made.expression}" if made.kind == "operation" else made.name


def _kind(made: Made) -> str:
    return f"{made.shape} {made.dtype}" if made.shape else ""


def _contents(made: Made) -> str:
    return "= " + (NOT_KEPT if made.value is None else made.value.contents)


def _columns(rows: Sequence[tuple[str, ...]]) -> list[str]:
    """Rows of cells, each column as wide as its widest entry (but not because of a very long one)."""
    if not rows:
        return []
    columns = [column for column in zip(*rows, strict=True) if any(column)]
    widths = [max((len(cell) for cell in column if len(cell) <= _WIDE), default=0) for column in columns]
    rows = list(zip(*columns, strict=True))
    return ["  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in rows]


# --- backward --------------------------------------------------------------------------------------------------------


def _step(step: Step, tells_source: bool) -> list[str]:
    head = f"  {step.index}. {step.name} = {step.expression}"
    if step.source is not None and tells_source:
        head = f"{head}   # {_source(step.source)}"
    indent = " " * (len(str(step.index)) + 4)
    lines = [head]
    # A number stands in the products anyway.
    numbers = [c for c in step.contributions if _is_scalar(step, c)]
    if len(numbers) < len(step.contributions):
        lines += [f"{indent}upstream: {name}.grad = {value}" for name, value in step.upstream.items()]
    rows = [_scalar_row(step, c) if _is_scalar(step, c) else _tensor_row(c) for c in step.contributions]
    lines += [indent + line for line in _columns(rows)]
    lines += [f"{indent}note: {note}" for note in step.notes]
    return lines


def _source(source: str) -> str:
    """The line without its folders, shortened."""
    line = source[len(os.path.dirname(source.partition(": ")[0])) :].lstrip(os.sep)
    return line if len(line) <= _LINE else line[: _LINE - 3] + "..."


def _is_scalar(step: Step, c: Contribution) -> bool:
    return c.local_value is not None and c.amount is not None and c.amount.is_number and len(step.upstream) == 1


def _scalar_row(step: Step, c: Contribution) -> tuple[str, str, str]:
    upstream = next(iter(step.upstream.values())).number
    assert upstream is not None and c.local_value is not None and c.after is not None
    value = number_text(c.local_value)
    local = f"d{step.name}/d{c.to} = "
    if c.local is None:
        local += value
    elif _is_number(c.local):
        local += c.local
    else:
        local += f"{c.local} = {value}"
    sum_ = "" if c.before is None else f"{number_text(c.before.number)} + "  # type: ignore[arg-type]
    first = number_text(upstream) if c.before is None else factor_text(upstream)
    result = f"{c.to}.grad = {sum_}{first} * {factor_text(c.local_value)} = {number_text(c.after.number)}"  # type: ignore[arg-type]
    return local, result, c.note


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _tensor_row(c: Contribution) -> tuple[str, str, str]:
    if c.amount is None:
        return f"{c.to}.grad + 0", "", c.note
    sum_ = "" if c.before is None else f"{c.to}.grad + "
    return f"{c.to}.grad = {sum_}{c.rule}", f"= {c.after}", c.note


# --- the result ------------------------------------------------------------------------------------------------------


def _gradients(explanation: Explanation) -> list[str]:
    rows = []
    for gradient in explanation.gradients.values():
        note = ""
        if gradient.held is not None:
            note = f".grad holds {_short(gradient.held)} already: backward() would make it {_short(gradient.total)}"
        rows.append((f"{gradient.name}.grad", f"= {gradient.value}", note))
    lines = [f"  {line}" for line in _columns(rows)]
    if explanation.more_leaves:
        lines.append(f"  ... and {explanation.more_leaves:,} more leaves")
    return lines or ["  none: no gradient reaches a leaf"]


def _short(value: Value) -> str:
    return str(value) if len(str(value)) < 40 else f"mean {number_text(value.mean)}"  # type: ignore[arg-type]


# --- the graph alone -------------------------------------------------------------------------------------------------


def graph_text(roots: Sequence[Node | Tensor] | Node | Tensor) -> str:
    """The graph below some nodes or tensors, one line per node, inputs before what is made of them.

    >>> import autograd as ag
    >>> from autograd.explain import graph_text
    >>> x = ag.tensor([1.0, 2.0], requires_grad=True)
    >>> print(graph_text((x * 2).sum()))
    graph of 3 nodes
      %0 = leaf              (2,) float32
      %1 = multiply(%0, 2)   (2,) float32
      %2 = sum(%1)           () float32
    """
    given: Sequence[Node | Tensor] = [roots] if isinstance(roots, (Node, Tensor)) else roots
    nodes = [root._edge if isinstance(root, Tensor) else root for root in given]
    order = topological_order(list(dict.fromkeys(n for n in nodes if n is not None)))
    names = Names(order)
    rows = []
    for node in reversed(order):
        if type(node) is not Port:
            rows.append((f"{names.of(node)} = {_call(node, names)}", f" {node.layout.shape} {node.layout.dtype.name}"))
    head = f"graph of {len(rows):,} node{'' if len(rows) == 1 else 's'}"
    return "\n".join([head, *(f"  {line}" for line in _columns(rows))])


def _call(node: Node, names: Names) -> str:
    if type(node) is Leaf:
        return "leaf"
    shown = []
    for edge, operand in zip(node.inputs, operands(node), strict=True):
        if edge is not None:
            shown.append(names.of(edge))
        elif operand is UNKNOWN or isinstance(operand, tuple):
            shown.append("_")
        else:
            shown.append(f"{operand:.6g}")
    return f"{node.name}({', '.join(shown)})"
