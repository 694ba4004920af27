"""What tensors are called in an explanation: as their owner calls them where that is known, otherwise %0, %1, ..."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from inspect import CO_OPTIMIZED
from itertools import islice
from types import FrameType
from typing import Any

from autograd.graph import Leaf, Node, Port
from autograd.tensor import Tensor

_OURS = 3  # references to a frame's variables when the frame, our variable and the count's own argument are all
_LOOKED_AT = 100  # entries of a list of tensors that get names


class Names:
    """Names of the nodes of one graph, each used once.

    order: the nodes, consumers first. found: (name, tensor) pairs; of two names for one tensor the first counts.
    """

    def __init__(self, order: Sequence[Node], found: Iterable[tuple[str, Tensor]] = ()) -> None:
        self._nodes: dict[Node, str] = {}
        self._constants: dict[int, str] = {}  # by identity: `found` keeps its tensors alive while this is in use
        self._tensors: list[Tensor] = []
        reachable, taken = set(order), set()
        for name, tensor in found:
            edge = tensor._edge
            named = id(tensor) in self._constants if edge is None else edge in self._nodes
            if named or name in taken or (edge is not None and edge not in reachable):
                continue
            taken.add(name)
            if edge is None:
                self._constants[id(tensor)] = name
                self._tensors.append(tensor)
            else:
                self._nodes[edge] = name
        self._numbers: dict[Node, int] = {}
        for node in reversed(order):
            if node not in self._nodes and type(node) is not Port:
                self._numbers[node] = len(self._numbers)

    def of(self, node: Node) -> str:
        """The name of what a node made."""
        name = self._nodes.get(node)
        if name is not None:
            return name
        if type(node) is Port:
            return f"{self.of(node.inputs[0])}[{node.index}]"  # type: ignore[arg-type]
        return f"%{self._numbers[node]}"

    def of_constant(self, tensor: Tensor) -> str | None:
        """The name of a tensor without gradient, None where it has none."""
        return self._constants.get(id(tensor))

    def of_array(self, array: Any) -> str | None:
        """The name of the tensor without gradient that an array belongs to."""
        return next((self._constants[id(t)] for t in self._tensors if t._data is array), None)


def given_names(names: Any) -> Iterator[tuple[str, Tensor]]:
    """The pairs of `explain(names=...)`: a dict from name to tensor, pairs like `named_parameters()`, or a Module."""
    if names is None:
        return
    if _has_parameters(names):
        pairs = names.named_parameters()
    else:
        pairs = names.items() if isinstance(names, Mapping) else names
    for name, tensor in pairs:
        if not isinstance(name, str) or not isinstance(tensor, Tensor):
            raise TypeError(
                f"explain: names must go from strings to tensors, got {type(name).__name__} -> {type(tensor).__name__}"
            )
        yield name, tensor


def names_in(variables: Mapping[str, Any]) -> list[tuple[str, Tensor]]:
    """Tensors among a function's variables, then those in lists and the parameters of modules there."""
    plain: list[tuple[str, Tensor]] = []
    inner: list[tuple[str, Tensor]] = []
    for name, value in list(variables.items()):
        if name.startswith("_") or not name.isidentifier():
            continue
        if isinstance(value, Tensor):
            plain.append((name, value))
        elif isinstance(value, (list, tuple)):
            inner += [(f"{name}[{k}]", v) for k, v in enumerate(islice(value, _LOOKED_AT)) if isinstance(v, Tensor)]
        elif _has_parameters(value):
            inner += [(f"{name}.{key}", v) for key, v in value.named_parameters() if isinstance(v, Tensor)]
    return plain + inner


def names_in_frame(frame: FrameType) -> list[tuple[str, Tensor]]:
    """The names that the code of a running function has for tensors: its variables', then its module's."""
    variables = frame.f_locals
    found = names_in(variables)
    if frame.f_code.co_flags & CO_OPTIMIZED:
        # Up to Python 3.12 this is a copy that Python keeps, and the tensors with it, as long as the function runs. It
        # is emptied, unless somebody else has it too (the function itself, by `locals()`).
        if type(variables) is dict and sys.getrefcount(variables) <= _OURS:
            variables.clear()
        found += names_in(frame.f_globals)
    return found


def _has_parameters(value: Any) -> bool:
    return not isinstance(value, type) and callable(getattr(type(value), "named_parameters", None))


def leaves_of(order: Sequence[Node]) -> list[Leaf]:
    """The leaves, those that the forward pass met first in front."""
    return [node for node in reversed(order) if type(node) is Leaf]
