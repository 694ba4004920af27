"""Tensors changed outside the graph: what optimizers and modules do to parameters between two steps.

`Update` runs a formula that overwrites its own operands, such as Adam's: one kernel launch, planned once. Everything
here counts as a change of the tensor's memory, so a graph that has saved the old value notices at backward.
"""

from __future__ import annotations

from typing import Any

from autograd import dtypes
from autograd.graph import Leaf
from autograd.ops.inplace import count_change
from autograd.tensor import Tensor, Version, share_version
from kernels import backend_for
from kernels.formula import Formula
from kernels.layout import layout_of


class Update:
    """`p, *state = formula(p, gradient, *state)` in the memory of p and of the state tensors.

    `run(gradient, values)` takes the values of the formula's hoisted parameters (`formula.prepare(...)`), which are the
    same for many parameters of a network. The plan is made anew when the target's memory was replaced or the gradient
    comes in another layout, so one `Update` serves a parameter for life; the state follows the target's dtype.
    """

    __slots__ = ("_arrays", "_data", "_fill", "_layout", "formula", "state", "target")

    def __init__(self, formula: Formula, target: Tensor, state: tuple[Tensor, ...]) -> None:
        self.formula, self.target, self.state = formula, target, state
        self._data = self._layout = None

    def run(self, gradient: Tensor, values: tuple[float, ...]) -> None:
        """One launch: overwrite the target and its state."""
        target = self.target
        data = target._data
        if data is not self._data or gradient._layout is not self._layout:
            self._plan(data, gradient)
        self._fill((data, gradient._data, *self._arrays, *values))
        version = target._version
        if version is None:
            version = target._version = Version()
        version.count += 1

    def _plan(self, data: Any, gradient: Tensor) -> None:
        layout, given, name = self.target._layout, gradient._layout, self.formula.name
        if (given.shape, given.dtype, given.device) != (layout.shape, layout.dtype, layout.device):
            raise RuntimeError(
                f"{name}: the parameter is {layout.dtype}{layout.shape} on {layout.device}, its gradient "
                f"{given.dtype}{given.shape} on {given.device}"
            )
        if not data.flags.writeable:
            raise ValueError(f"{name}: the memory of the parameter (shape {layout.shape}) is read-only")
        for state in self.state:
            move(state, layout.dtype, layout.device)  # the parameter may have been converted since
        states = tuple([s._layout for s in self.state])
        sources = (layout, given, *states)
        into = ((layout, *states), (0, *range(2, len(sources))))
        self._fill = backend_for(layout.device).plan_for(self.formula.hoisted, sources, layout.dtype, into).fill
        self._arrays = tuple([s._data for s in self.state])
        self._data, self._layout = data, given


def share(tensor: Tensor, source: Tensor) -> None:
    """Make `tensor`, which is new, a leaf on the memory of `source`."""
    tensor._data, tensor._layout, tensor._edge = source._data, source._layout, None
    tensor._version = share_version(source)
    tensor._version.add_sharer(tensor)


def move(tensor: Tensor, dtype: Any = None, device: str | None = None) -> None:
    """Replace the memory of a leaf by a converted copy on another device; the tensor and its `.grad` stay attached."""
    if (dtype is None or tensor.dtype == dtypes.as_dtype(dtype)) and device in (None, tensor.device):
        return
    if not tensor.is_leaf:
        raise RuntimeError(f"to: only leaves can be converted in place, this tensor was made by {tensor.grad_fn.name}")  # type: ignore[union-attr]
    changes = tensor._version.count if tensor._version is not None else 0
    grad = tensor.grad
    moved = tensor.detach().to(dtype=dtype, device=device)
    tensor._data, tensor._layout = moved._data, layout_of(moved._data)
    tensor._version = Version()  # the old memory keeps the old counter, with those who share it
    tensor._version.count = changes
    count_change(tensor)
    if tensor._edge is not None:
        extra, tensor._edge = tensor._edge.extra, Leaf(tensor._layout, tensor)
        tensor._edge.extra = extra
        if grad is not None:
            tensor.grad = grad.detach().to(dtype=dtype, device=device)


def clear_grad(tensor: Tensor, set_to_none: bool = True) -> None:
    """Forget the gradient of a leaf, or set it to zeros (outside any graph) in its own memory."""
    edge = tensor._edge
    if type(edge) is Leaf and edge.grad is not None:
        if set_to_none:
            edge.grad = None
        else:
            if edge.grad._edge is not None:
                edge.grad = edge.grad.detach()
            edge.grad.zero_()
