"""The graph: nodes, and the order in which to visit them.

An operation on tensors that require grad leaves a `Node`: where its inputs came from (edges to other nodes), what its
derivative rule needs, and the layout of its result. It holds neither its result nor any tensor that leads back to
itself, so dropping the result frees the graph by reference counting. A `Leaf` stands for a tensor that the user made;
gradients end there.
"""

from __future__ import annotations

import linecache
import os
import sys
import weakref
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import kernels

if TYPE_CHECKING:
    from autograd.tensor import Tensor
    from kernels.layout import Layout


class Line(NamedTuple):
    """A line of the user's program."""

    file: str
    number: int
    function: str
    code: str

    def __str__(self) -> str:
        return f"{self.file}:{self.number}, in {self.function}: {self.code}"


class Extra:
    """What few nodes have: hooks, a retained gradient; in anomaly mode the line that made them, and their values.

    value: copies of the results' arrays. operands: numbers, and (tensor, version) for what has no node of its own.
    """

    __slots__ = ("hooks", "retain", "grad", "trace", "value", "operands")

    def __init__(self) -> None:
        self.hooks: list[Callable[[Tensor], Tensor | None]] = []
        self.retain = False
        self.grad: Tensor | None = None
        self.trace: Line | None = None
        self.value: tuple | None = None
        self.operands: tuple | None = None

    def forget(self) -> None:
        """Drop the values: a backward pass has freed the graph."""
        self.value = self.operands = None


class Node:
    """One recorded operation.

    inputs: for each operand the node (or leaf) its gradient goes to, or None where it needs none.
    layout: shape, dtype and device of the result.
    saved, kept: operands and results that `backward` needs; None when a pass has freed them.
    """

    __slots__ = ("__weakref__", "extra", "inputs", "kept", "layout", "saved")

    inputs: tuple[Node | None, ...]
    layout: Layout
    extra: Extra | None
    saved: Any
    kept: Any

    # Whether `backward` gives arrays that nobody else holds: the engine may then keep or add to them without a copy.
    fresh = False
    has_rule = True  # whether `backward` is to be called; not for leaves and ports

    @property
    def name(self) -> str:
        """The operation's name, as in messages and pictures."""
        return type(self).__name__.lower()

    def backward(self, grad: Tensor) -> Any:
        """The derivative rule: from the gradient of the result to one per input (a tuple, or one where there is one)."""
        raise NotImplementedError(f"{self.name} has no derivative rule")

    def more(self) -> Extra:
        """The node's `Extra`, made at first use."""
        if self.extra is None:
            self.extra = Extra()
        return self.extra

    def __repr__(self) -> str:
        return f"<{self.name}>"


class Leaf(Node):
    """Where gradients end: it holds the `.grad` of a tensor that requires grad and was not made by an operation."""

    __slots__ = ("grad", "owner")

    has_rule = False

    def __init__(self, layout: Layout, owner: Tensor | None = None) -> None:
        self.inputs, self.layout, self.extra, self.saved = (), layout, None, ()
        self.grad: Tensor | None = None
        self.owner = None if owner is None else weakref.ref(owner)  # weak: the tensor holds the leaf


class Port(Node):
    """One result of a node that has several: it puts its gradient into its place among the others'."""

    __slots__ = ("index",)

    has_rule = False

    def __init__(self, node: Node, index: int, layout: Layout) -> None:
        self.inputs, self.layout, self.extra, self.saved, self.index = (node,), layout, None, (), index

    @property
    def name(self) -> str:
        return f"{self.inputs[0].name}[{self.index}]"  # type: ignore[union-attr]


_HERE = os.path.dirname(__file__)
_LIBRARY = tuple(
    folder + os.sep for folder in (_HERE, os.path.dirname(str(kernels.__file__)), os.path.join(os.path.dirname(_HERE), "nn"))
)


def calling_line() -> Line | None:
    """The innermost line outside the library that led here."""
    frame = sys._getframe(1)
    while frame is not None:
        file = frame.f_code.co_filename
        if not file.startswith(_LIBRARY):
            code = linecache.getline(file, frame.f_lineno, frame.f_globals).strip()
            return Line(file, frame.f_lineno, frame.f_code.co_name, code)
        frame = frame.f_back
    return None


def remember_caller(node: Node, outputs: Sequence[Tensor], operands: Sequence[Any]) -> None:
    """In anomaly mode: keep the line that led to this operation, and the values that came in and out."""
    extra = node.more()
    extra.trace = calling_line()
    extra.value = tuple([kernels.backend_for(o.device).copy(o._data) for o in outputs])
    extra.operands = tuple([_remembered(o) for o in operands])


def _remembered(operand: Any) -> Any:
    edge = getattr(operand, "_edge", None)
    if isinstance(operand, (bool, int, float)):
        return operand
    if not hasattr(operand, "_layout") or not (edge is None or type(edge) is Leaf):
        return None  # what a node made is remembered there
    return operand, operand._version.count if operand._version is not None else 0


# --- order ------------------------------------------------------------------------------------------------------------


def count_consumers(roots: Sequence[Node]) -> dict[Node, int]:
    """For every node reachable from the roots, how many edges within the graph lead to it."""
    consumers = dict.fromkeys(roots, 0)
    stack = list(consumers)
    while stack:
        for child in stack.pop().inputs:
            if child is not None:
                if child in consumers:
                    consumers[child] += 1
                else:
                    consumers[child] = 1
                    stack.append(child)
    return consumers


def topological_order(roots: Sequence[Node]) -> list[Node]:
    """Every node reachable from the roots, consumers before what they consume."""
    waiting = count_consumers(roots)
    ready = [root for root in dict.fromkeys(roots) if waiting[root] == 0]
    order = []
    while ready:
        node = ready.pop()
        order.append(node)
        for child in node.inputs:
            if child is not None:
                waiting[child] -= 1
                if waiting[child] == 0:
                    ready.append(child)
    return order


def leads_to(roots: Sequence[Node], targets: set[Node]) -> set[Node]:
    """The nodes from which one of the targets can be reached."""
    useful = set(targets)
    for node in reversed(topological_order(roots)):
        if any(child in useful for child in node.inputs):
            useful.add(node)
    return useful


def changed_since(name: str, what: str, shape: tuple, before: int, now: int) -> RuntimeError:
    return RuntimeError(
        f"backward of {name}: {what} (shape {shape}), saved for the gradient, was changed by an in-place operation since "
        f"(version {before} then, {now} now); use the out-of-place form, or change a clone"
    )
