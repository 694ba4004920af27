"""Operations that overwrite a tensor's memory, and what keeps the graph right when they do."""

from __future__ import annotations

from typing import Any

from autograd.graph import Leaf, Node
from autograd.mode import anomaly_mode, grad_mode, no_grad
from autograd.ops.base import Operation
from autograd.ops.complex_numbers import view_as_real
from autograd.ops.derivative import ElementwiseNode
from autograd.ops.elementwise import Elementwise, as_operand, check_integers
from autograd.tensor import Tensor, Version, tensor_of
from kernels import backend_for, formulas
from kernels.layout import Layout

_PLANS = 1 << 12  # plans kept


_additions: dict[tuple[Layout, Layout], Any] = {}


def add_into(total: Tensor, grad: Tensor) -> None:
    """total += grad, of equal shape and dtype, outside any graph, on memory that only the caller holds."""
    if total.dtype.kind == "c":
        with no_grad():
            add_into(view_as_real(total), view_as_real(grad))
        return
    key = total._layout, grad._layout
    plan = _additions.get(key)
    if plan is None:
        if len(_additions) >= _PLANS:
            _additions.clear()
        into = (total._layout,), (0,)
        plan = _additions[key] = backend_for(total.device).plan_for(formulas.add.hoisted, key, total.dtype, into)
    plan.fill((total._data, grad._data))
    count_change(total)


def update_in_place(operation: Elementwise, target: Tensor, *others: Any, **parameters: float) -> Tensor:
    """`target = operation(target, *others)` in target's own memory, as `target += other` does.

    Recorded like the out-of-place form; tensors that had saved the old value notice at backward.

    Raises:
        RuntimeError: target is a leaf that requires grad (outside no_grad), or shares memory with another tensor while
            the operation is recorded: the other's history would no longer tell how its values came about.
        TypeError: the result's dtype is not the target's.
        ValueError: the result's shape is not the target's.
    """
    name = f"in-place {operation.name}"
    others = tuple(as_operand(o, name, target.device) for o in others)
    recording = grad_mode.get() and any(isinstance(o, Tensor) and o._edge is not None for o in (target, *others))
    if recording:
        prepare_to_record(target, name)
    if not target._data.flags.writeable:
        raise ValueError(f"{name}: the tensor's memory is read-only")
    before = tensor_of(target._data, target._layout)
    before._edge = target._edge
    plan_kinds = tuple(o._layout if isinstance(o, Tensor) else type(o) for o in (target, *others))
    plan = operation._plans.get(plan_kinds) or operation._make_plan(plan_kinds)
    layout = plan.layouts[0]
    if layout.dtype != target.dtype:
        raise TypeError(f"{name}: the result is {layout.dtype} and does not fit the tensor's {target.dtype}; use astype")
    if layout.shape != target.shape:
        raise ValueError(f"{name}: the result has shape {layout.shape}, the tensor {target.shape}")
    backend = backend_for(target.device)
    if recording or plan.call is None:
        if recording and plan.call is None:  # of complex numbers, whose rules may save the operand anywhere
            before._data = backend.copy(before._data)
        result = operation(before, *(before if o is target else o for o in others), **parameters)
        node = result._edge
        if isinstance(node, ElementwiseNode) and (anomaly_mode.get() or any(s is before for s in node.saved or ())):
            before._data = backend.copy(before._data)
        backend.copy(result._data, out=target._data)
        move_to(target, node)
    else:
        if plan.checks is not None:
            check_integers(operation.name, (target, *others), plan.checks)
        data = [o._data if isinstance(o, Tensor) else o for o in (target, *others)]
        backend.apply(operation.formula, *data, out=target._data, dtype=target.dtype, **parameters)
    count_change(target)
    if recording and isinstance(target._edge, ElementwiseNode) and target._edge.recipe.saves_output:
        target._edge.keep_outputs((target,))
    return target


def move_to(target: Tensor, node: Node | None) -> None:
    """Make the node that overwrites the tensor the one that stands for it: `retain_grad` and its `.grad` come along."""
    before, target._edge = target._edge, node
    if before is not None and before.extra is not None and before.extra.retain and node is not None:
        extra = node.more()
        extra.retain, extra.grad = True, before.extra.grad
        before.extra.retain, before.extra.grad = False, None


def count_change(tensor: Tensor) -> None:
    """Note that the tensor's memory was changed."""
    if tensor._version is None:
        tensor._version = Version()
    tensor._version.count += 1


def prepare_to_record(target: Tensor, name: str) -> None:
    """Before a recorded change in place: raise where its gradient would be wrong, and leave its old node what that needs."""
    if type(target._edge) is Leaf:
        raise RuntimeError(
            f"{name}: a leaf that requires grad (shape {target.shape}) cannot be changed in place while operations are "
            "recorded; do it under no_grad(), or use the out-of-place form"
        )
    version = target._version
    if version is not None and version.is_shared():
        raise RuntimeError(
            f"{name}: the tensor (shape {target.shape}) shares its memory with another one (a view, or what it is a view "
            "of), whose gradient would then be wrong; use the out-of-place form, or change a clone()"
        )
    node = target._edge
    if isinstance(node, Operation) and node.saved and node.kept:
        # Of what it could compute again from the operand (max, logsumexp) it gets a copy of its own; where the result is
        # all it has (exp, softmax) the backward pass raises, as in PyTorch.
        data, own, count = node.kept
        if own.count == count:
            node.kept = (backend_for(target.device).copy(data), Version(), 0)
