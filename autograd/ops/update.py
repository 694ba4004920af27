"""Tensors changed outside the graph: what optimizers and modules do to parameters between two steps.

`Update` runs a formula that overwrites its own operands, such as Adam's: one kernel launch, planned once; `Updates` runs
many of them in one launch, where the device takes longer to start one than to work on a parameter. Everything here counts
as a change of the tensor's memory, so a graph that has saved the old value notices at backward.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from autograd import dtypes
from autograd.graph import Leaf
from autograd.ops.inplace import count_change
from autograd.tensor import Tensor, Version, leaf_of, share_version
from kernels import backend_for
from kernels.formula import Formula
from kernels.layout import covers, layout_of
from kernels.walk import update_plan


class Update:
    """`p, *state = formula(p, gradient, *state)` in the memory of p and of the state tensors.

    `run(gradient, values)` takes the values of the formula's hoisted parameters (`formula.prepare(...)`), which are the
    same for many parameters of a network. The plan is made anew when the target's memory was replaced or the gradient
    comes in another layout, so one `Update` serves a parameter for life; the state follows the target's dtype.

    gathers: whether the parameter is on a device where it is better updated together with others, by `Updates`.
    """

    __slots__ = ("_arrays", "_data", "_fill", "_fits", "_layout", "formula", "gathers", "state", "target")

    def __init__(self, formula: Formula, target: Tensor, state: tuple[Tensor, ...]) -> None:
        self.formula, self.target, self.state = formula, target, state
        self.gathers = target.device != "cpu"
        self._data = self._layout = None
        self._fits = False  # whether all operands have one layout without gaps, and so may be updated together with others

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
        if layout.dtype.kind == "c":
            raise TypeError(
                f"{name}: takes real parameters, this one is {layout.dtype}; hold its parts, view_as_real(z), as the parameter "
                "and compute with view_as_complex(parameter)"
            )
        if not data.flags.writeable:
            raise ValueError(f"{name}: the memory of the parameter (shape {layout.shape}) is read-only")
        for state in self.state:
            move(state, layout.dtype, layout.device)  # the parameter may have been converted since
        states = tuple([s._layout for s in self.state])
        self._fill = backend_for(layout.device).plan_for(self.formula.hoisted, *update_plan((layout, given, *states))).fill
        self._arrays = tuple([s._data for s in self.state])
        self.gathers = layout.device != "cpu"
        self._fits = covers(layout) and all(other.strides == layout.strides for other in (given, *states))
        self._data, self._layout = data, given


class Updates:
    """Several `Update`s of one formula, with one launch for all parameters of a dtype and device.

    The results are those of running each, bit for bit, and so is what happens where parameters share memory: they are
    then updated one after the other. What a launch needs is worked out once, for as long as the same updates are run on
    the same memory.
    """

    __slots__ = ("_alone", "_together", "_updates")

    def __init__(self) -> None:
        self._updates: list[Update] = []
        self._together: list[tuple[Any, list[int]]] = []  # (plan, numbers of its updates)
        self._alone: list[int] = []

    def run(self, updates: list[Update], gradients: Sequence[Tensor], values: tuple[float, ...]) -> None:
        """Overwrite the targets and their states; `values` as for `Update.run`."""
        is_new = updates != self._updates  # updates are compared by identity
        for update, gradient in zip(updates, gradients, strict=True):
            data = update.target._data
            if data is not update._data or gradient._layout is not update._layout:
                update._plan(data, gradient)
                is_new = True
        if is_new:
            self._arrange(updates, gradients)
        for plan, members in self._together:
            if plan.run([gradients[k]._data for k in members], values):
                for k in members:
                    target = updates[k].target
                    if target._version is None:
                        target._version = Version()
                    target._version.count += 1
            else:  # they share memory
                for k in members:
                    updates[k].run(gradients[k], values)
        for k in self._alone:
            updates[k].run(gradients[k], values)

    def _arrange(self, updates: list[Update], gradients: Sequence[Tensor]) -> None:
        found: dict[Any, list[int]] = {}
        for k, update in enumerate(updates):
            layout = update.target._layout
            key = (layout.dtype, layout.device) if update._fits and update.gathers else None
            found.setdefault(key, []).append(k)
        self._alone = found.pop(None, [])
        self._together = []
        for (_, device), members in found.items():
            if len(members) == 1:
                self._alone += members
            else:
                groups = [(updates[k]._data, gradients[k]._data, *updates[k]._arrays) for k in members]
                self._together.append((backend_for(device).plan_many(updates[members[0]].formula.hoisted, groups), members))
        self._updates = list(updates)


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
    before = leaf_of(tensor)
    if before is not None:
        leaf = Leaf(tensor._layout, tensor)
        leaf.extra = before.extra
        if tensor._edge is None:
            tensor._paused = leaf
        else:
            tensor._edge = leaf
        if grad is not None:
            tensor.grad = grad.detach().to(dtype=dtype, device=device)


def clear_grad(tensor: Tensor, set_to_none: bool = True) -> None:
    """Forget the gradient of a leaf, or set it to zeros (outside any graph) in its own memory."""
    leaf = leaf_of(tensor)
    if leaf is not None and leaf.grad is not None:
        if set_to_none:
            leaf.grad = None
        else:
            if leaf.grad._edge is not None:
                leaf.grad = leaf.grad.detach()
            leaf.grad.zero_()
