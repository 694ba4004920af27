"""The values of a graph's tensors, as far as they can be had: nodes hold no results, but often save what is one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from autograd.graph import Leaf, Node, Port
from autograd.ops.derivative import ElementwiseNode
from autograd.tensor import Tensor, version_of
from kernels import backend_for

UNKNOWN = object()  # an operand that nothing was kept of

# These change their first operand's memory: the array that was remembered holds the result.
_OVERWRITES = {"setitem"}


class Known:
    """The arrays of a graph's tensors: leaves, what rules saved, what anomaly mode remembered, and recomputed ones."""

    def __init__(self, order: Sequence[Node], tensors: Sequence[Tensor]) -> None:
        self.arrays: dict[Node, Any] = {}
        for node in order:
            self._gather(node)
        for tensor in tensors:
            if tensor._edge is not None:
                self.arrays.setdefault(tensor._edge, tensor._data)
        for node in reversed(order):  # operands before what is made of them
            if isinstance(node, ElementwiseNode) and node not in self.arrays and not node.recipe.several:
                self._recompute(node)

    def of(self, node: Node) -> Any:
        """The array of what a node made, None where it is not known."""
        return self.arrays.get(node)

    def _gather(self, node: Node) -> None:
        extra = node.extra
        if extra is not None and extra.value is not None and len(extra.value) == 1:
            self.arrays[node] = extra.value[0]
        if type(node) is Leaf:
            owner = node.owner() if node.owner is not None else None
            if owner is not None:
                self.arrays.setdefault(node, owner._data)
        elif type(node) is Port:
            self._gather_port(node)
        else:
            self._gather_saved(node)

    def _gather_port(self, port: Port) -> None:
        node: Any = port.inputs[0]
        if node.extra is not None and node.extra.value is not None:
            self.arrays[port] = node.extra.value[port.index]
        elif isinstance(node, ElementwiseNode) and node.kept:
            data, _, version, count = node.kept[port.index]
            if version.count == count:
                self.arrays[port] = data

    def _gather_saved(self, node: Any) -> None:
        for operand in operands(node):
            if isinstance(operand, tuple) and operand[0]._edge is not None:
                self.arrays.setdefault(operand[0]._edge, operand[0]._data)
        kept = node.kept
        if kept and isinstance(node, ElementwiseNode):
            kept = (kept[0][0], *kept[0][2:]) if len(kept) == 1 else None
        if kept and len(kept) == 3 and kept[1].count == kept[2]:
            self.arrays.setdefault(node, kept[0])

    def _recompute(self, node: ElementwiseNode) -> None:
        values = []
        for place, operand in enumerate(operands(node)):
            edge = node.inputs[place]
            value = self.arrays.get(edge) if edge is not None else _constant(operand)
            if value is None:
                return
            values.append(value)
        formula = node.recipe.formula
        parameters = dict(zip(formula.parameters, node.values, strict=True))
        apply = backend_for(node.layout.device).apply
        self.arrays[node] = apply(formula, *values, dtype=node.layout.dtype, **parameters)


def _constant(operand: Any) -> Any:
    if operand is UNKNOWN:
        return None
    return operand[0]._data if isinstance(operand, tuple) else operand


def operands(node: Any) -> list[Any]:
    """What is known of each operand of a node: a number, a pair (tensor, its version) or UNKNOWN.

    A tensor that was changed in place since counts as unknown. Where the operand has a node of its own, ask for that.
    """
    count = len(node.inputs)
    found: list[Any] = [UNKNOWN] * count
    saved = node.saved or ()
    if isinstance(node, ElementwiseNode):
        for place, value, version in zip(node.recipe.saved, saved, node.versions, strict=True):
            found[place] = (value, version or 0) if isinstance(value, Tensor) else value
    elif hasattr(node, "function"):  # a user's Function saves what it likes, in any order
        pairs = [(entry[0], entry[2]) for entry in saved if entry[1] is None and entry[0] is not None]
        by_edge = {tensor._edge: (tensor, version) for tensor, version in pairs if tensor._edge is not None}
        found = [by_edge.get(edge, UNKNOWN) if edge is not None else UNKNOWN for edge in node.inputs]
    elif len(saved) == count:
        found = [UNKNOWN if entry is None else entry for entry in saved]
    remembered = node.extra.operands if node.extra is not None else None
    if remembered is not None and node.name not in _OVERWRITES:
        for place, entry in enumerate(remembered[:count]):
            if found[place] is UNKNOWN and entry is not None:
                found[place] = entry
    return [UNKNOWN if isinstance(f, tuple) and version_of(f[0]) != f[1] else f for f in found]
