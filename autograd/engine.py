"""The reverse-mode core: the walk back through the graph.

`run_backward` visits nodes consumers first: it counts how many consumers each reachable node has, and a node is ready
when all of them have delivered. No recursion: the depth of a graph is limited by memory alone.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from autograd.graph import Leaf, Node, Port, count_consumers, leads_to
from autograd.mode import anomaly_mode, grad_mode
from kernels.debug import DEBUG, say

if TYPE_CHECKING:
    from autograd.tensor import Tensor
    from kernels.layout import Layout


class Pass:
    """One backward pass: the gradients on their way, and who may change which in place."""

    __slots__ = ("anomaly", "create_graph", "found", "owned", "pending", "retain_graph", "useful", "wanted", "watch")

    def __init__(self, create_graph: bool, retain_graph: bool, wanted: Sequence[Node] | None, roots, watch) -> None:
        self.pending: dict[Node, Any] = {}
        self.owned: set[Node] = set()  # nodes whose pending gradient is an array that nobody else holds
        self.create_graph, self.retain_graph = create_graph, retain_graph
        self.wanted = None if wanted is None else set(wanted)
        self.useful = None if wanted is None else leads_to(roots, set(wanted))
        self.found: dict[Node, Tensor] = {}
        self.anomaly = anomaly_mode.get()
        self.watch = watch

    def add(self, node: Node, grad: Tensor, fresh: bool, source: Node | None) -> None:
        """Add a gradient to what has arrived for a node."""
        if grad._layout is not node.layout and not _fits(grad._layout, node.layout):
            grad, fresh = _conform(grad, node.layout, source), True
        before = self.pending.get(node)
        if before is None:
            self.pending[node] = grad
            if fresh:
                self.owned.add(node)
        elif node in self.owned and not self.create_graph:
            _add_in_place(before, grad)
        else:
            self.pending[node] = before + grad
            self.owned.add(node)

    def add_to_port(self, port: Port, grad: Tensor) -> None:
        """Put the gradient of one of several results where the node will look for it."""
        node = port.inputs[0]
        places = self.pending.setdefault(node, {})  # type: ignore[arg-type]
        places[port.index] = places[port.index] + grad if port.index in places else grad


def _fits(given: Layout, layout: Layout) -> bool:
    return given.shape == layout.shape and given.dtype == layout.dtype and given.device == layout.device


def _add_in_place(total: Tensor, grad: Tensor) -> None:
    from autograd.ops.inplace import add_into

    add_into(total, grad)


def _conform(grad: Tensor, layout: Layout, source: Node | None) -> Tensor:
    """Undo broadcasting, and the promotion of dtypes: the gradient has the shape and dtype of what it belongs to."""
    from autograd.ops.complex_numbers import real
    from autograd.ops.conversion import astype
    from autograd.ops.reduce import sum_to_shape

    if grad._layout.device != layout.device:
        raise RuntimeError(
            f"the derivative rule of {source.name if source else 'backward'} gave a gradient on {grad._layout.device} "
            f"for an input on {layout.device}"
        )
    if grad.shape != layout.shape:
        grad = sum_to_shape(grad, layout.shape, source.name if source else "backward")
    if grad.dtype != layout.dtype:
        if grad.dtype.kind == "c" and layout.dtype.kind != "c":  # a real operand was made complex
            grad = real(grad)
        grad = astype(grad, layout.dtype, copy=False)
    assert grad.shape == layout.shape and grad.dtype == layout.dtype
    return grad


def run_backward(
    roots: Sequence[Node],
    seeds: Sequence[Tensor],
    retain_graph: bool,
    create_graph: bool,
    wanted: Sequence[Node] | None = None,
    watch: Callable[[Node, Any, tuple], None] | None = None,
) -> dict[Node, Tensor]:
    """Send the seeds back through the graph.

    With `wanted` None, gradients are added to the `.grad` of all leaves; otherwise only the nodes that lead to `wanted`
    are visited, and their gradients are returned. `watch(node, gradient, input gradients)` sees every step.
    """
    if DEBUG >= 4:
        from autograd.explain import graph_text

        say(4, graph_text(roots))
    state = Pass(create_graph, retain_graph, wanted, roots, watch)
    waiting = count_consumers(roots)
    token = grad_mode.set(create_graph)
    try:
        for root, seed in zip(roots, seeds, strict=True):
            state.add(root, seed, False, None)
        ready = [root for root in dict.fromkeys(roots) if waiting[root] == 0]
        while ready:
            node = ready.pop()
            grad = state.pending.pop(node, None)
            grads = _visit(node, grad, state) if grad is not None else None
            _pass_on(node, grads, state, waiting, ready)
    finally:
        grad_mode.reset(token)
    return state.found


def _visit(node: Node, grad: Any, state: Pass) -> tuple | None:
    """The gradients of a node's inputs; None where the walk ends, or goes on without a rule."""
    if node.extra is not None or state.wanted is not None or not node.has_rule:
        grad = _arrive(node, grad, state)
        if grad is None:
            return None
    if node.saved is None:
        raise RuntimeError(
            f"backward through {node.name} a second time: what it had saved was freed by the first backward pass. Add "
            "the losses and call backward once, or pass retain_graph=True to the first backward"
        )
    try:
        grads = node.backward(grad)
    except Exception as error:
        if node.extra is not None and node.extra.trace:
            error.add_note(f"in the backward of {node.name}, made at {node.extra.trace}")
        raise
    if type(grads) is not tuple:
        grads = (grads,)
    if state.anomaly or state.watch is not None:
        _show(node, grad, grads, state)
    if not state.retain_graph:
        node.saved = node.kept = None
        if node.extra is not None:
            node.extra.forget()
    return grads


def _show(node: Node, grad: Any, grads: tuple, state: Pass) -> None:
    if state.anomaly:
        _check_for_nan(node, grads)
    if state.watch is not None:
        state.watch(node, grad, grads)


def _pass_on(node: Node, grads: tuple | None, state: Pass, waiting: dict[Node, int], ready: list[Node]) -> None:
    """Give a node's inputs their gradients, and note those that have now heard from all their consumers."""
    inputs = node.inputs
    if grads is None:
        grads = (None,) * len(inputs)
    elif len(grads) != len(inputs):
        raise RuntimeError(
            f"the backward of {node.name} must give {len(inputs)} gradients, one per input, and gave {len(grads)}"
        )
    pending, useful = state.pending, state.useful
    for child, grad in zip(inputs, grads, strict=True):
        if child is None:
            continue
        if grad is not None and (useful is None or child in useful):
            if grad._layout is child.layout and child not in pending:  # the ordinary case, without a call
                pending[child] = grad
                if node.fresh:
                    state.owned.add(child)
            else:
                state.add(child, grad, node.fresh, node)
        left = waiting[child] - 1
        waiting[child] = left
        if left == 0:
            ready.append(child)


def _arrive(node: Node, given: Any, state: Pass) -> Any:
    """What is not ordinary: hooks, ends of the walk, several results. None where no rule is to be applied."""
    fresh = node in state.owned
    grad: Any = given
    if node.extra is not None and type(given) is not dict:
        grad, fresh = _run_hooks(node, given, fresh)
    if state.wanted is not None and node in state.wanted:
        state.found[node] = grad
    if type(node) is Leaf:
        if state.wanted is None:
            _accumulate(node, grad, fresh, state.create_graph)
        return None
    if state.useful is not None and not any(child in state.useful for child in node.inputs):
        return None
    if type(node) is Port:
        state.add_to_port(node, grad)
        return None
    return grad


def _check_for_nan(node: Node, grads: tuple) -> None:
    from autograd.ops.elementwise import isnan
    from autograd.ops.reduce import any as any_

    trace = node.extra.trace if node.extra is not None else None
    for index, grad in enumerate(grads):
        if grad is not None and bool(any_(isnan(grad.detach()))):
            where = f"made at {trace}" if trace else "made outside detect_anomaly, so its line is not known"
            raise RuntimeError(f"the backward of {node.name} gave NaN for its input number {index}; {node.name} was {where}")


def _run_hooks(node: Node, grad: Tensor, fresh: bool) -> tuple[Tensor, bool]:
    extra = node.extra
    assert extra is not None
    for hook in tuple(extra.hooks):
        fresh = False  # whoever has seen it may have kept it
        changed = hook(grad)
        if changed is not None:
            if changed.shape != grad.shape or changed.dtype != grad.dtype:
                raise RuntimeError(
                    f"a hook on {node.name} must keep the gradient's shape {grad.shape} and dtype {grad.dtype}, and "
                    f"gave {changed.shape}, {changed.dtype}"
                )
            grad = changed
    if extra.retain:
        kept = grad if fresh else grad.clone() if grad._edge is not None else grad.detach().clone()  # memory of its own
        extra.grad = kept if extra.grad is None else extra.grad + grad
        fresh = False
    return grad, fresh


def _accumulate(leaf: Leaf, grad: Tensor, fresh: bool, create_graph: bool) -> None:
    """Add to a leaf's `.grad`, which never shares memory with anything else."""
    owner = leaf.owner() if leaf.owner is not None else None
    if owner is not None and owner._edge is None:  # requires_grad_(False) since
        return
    with _accumulating:
        if leaf.grad is None:
            leaf.grad = grad if fresh else grad.clone() if create_graph else grad.detach().clone()
        elif create_graph or leaf.grad._edge is not None or 0 in leaf.grad._layout.strides:
            leaf.grad = leaf.grad + grad  # a broadcast one has elements that are the same memory
        else:
            _add_in_place(leaf.grad, grad)


_accumulating = threading.RLock()  # two threads may go back to one leaf at a time


def _renew_lock() -> None:
    """A forked child may have got the lock as another thread held it."""
    global _accumulating
    _accumulating = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_lock)


# --- asking for gradients ------------------------------------------------------------------------------------------


def seed_for(output: Tensor, given: Tensor | None, asker: str) -> Tensor:
    """The upstream gradient of an output: what was given, or 1 for a single number."""
    from autograd.ops.creation import as_seed, ones_like

    if given is None:
        if output.size != 1:
            raise RuntimeError(
                f"{asker}: the output has shape {output.shape}; a gradient starts from a single number. Reduce it first "
                "(.sum() or .mean()), or give the upstream gradient of the same shape"
            )
        if output.dtype.kind == "c":
            raise RuntimeError(
                f"{asker}: the output is {output.dtype}, and a gradient starts from a real number. Take its real part or "
                "absolute value, or give the upstream gradient"
            )
        return ones_like(output)
    return as_seed(given, output, asker)


def backward(tensor: Tensor, gradient: Tensor | None, retain_graph: bool | None, create_graph: bool) -> None:
    """`Tensor.backward`."""
    if tensor._edge is None:
        raise RuntimeError(
            f"backward: this tensor (shape {tensor.shape}, {tensor.dtype}) does not require grad and was not made from one "
            "that does; set requires_grad=True on the inputs, and check for no_grad or detach on the way"
        )
    seed = seed_for(tensor, gradient, "backward")
    run_backward([tensor._edge], [seed], create_graph if retain_graph is None else retain_graph, create_graph)


def gradients(
    outputs: Tensor | Sequence[Tensor],
    inputs: Tensor | Sequence[Tensor],
    grad_outputs: Tensor | Sequence[Tensor | None] | None = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    allow_unused: bool = False,
) -> tuple[Tensor | None, ...]:
    """The gradients of outputs with respect to inputs, without touching any `.grad` (torch.autograd.grad).

    Args:
        outputs: tensors to differentiate.
        inputs: tensors to differentiate by; they must require grad.
        grad_outputs: the upstream gradient of each output; may be left out for outputs of one element.
        retain_graph: keep the graph for another pass; by default only with `create_graph`.
        create_graph: record the pass, so that the gradients can be differentiated themselves.
        allow_unused: give None for an input that the outputs do not depend on, instead of raising.

    Raises:
        RuntimeError: an output or input does not require grad, an input is unused, or an output is no scalar and has no
            upstream gradient.

    >>> import autograd as ag
    >>> x = ag.tensor(3.0, requires_grad=True)
    >>> ag.gradients(x * x, x)
    (tensor(6., dtype=float32),)
    """
    from autograd.tensor import Tensor

    outputs = (outputs,) if isinstance(outputs, Tensor) else tuple(outputs)
    inputs = (inputs,) if isinstance(inputs, Tensor) else tuple(inputs)
    given = (grad_outputs,) if isinstance(grad_outputs, Tensor) or grad_outputs is None else tuple(grad_outputs)
    given = given * len(outputs) if grad_outputs is None else given
    if len(given) != len(outputs):
        raise ValueError(f"gradients: {len(outputs)} outputs, and {len(given)} grad_outputs")
    for kind, tensors in (("output", outputs), ("input", inputs)):
        for k, t in enumerate(tensors):
            if t._edge is None:
                raise RuntimeError(f"gradients: {kind} number {k} (shape {t.shape}, {t.dtype}) does not require grad")
    seeds = [seed_for(o, g, "gradients") for o, g in zip(outputs, given, strict=True)]
    wanted = [t._edge for t in inputs]
    keep = create_graph if retain_graph is None else retain_graph
    found = run_backward([o._edge for o in outputs], seeds, keep, create_graph, wanted)  # type: ignore[misc]
    unused = [k for k, node in enumerate(wanted) if node not in found]
    if unused and not allow_unused:
        raise RuntimeError(
            f"gradients: the outputs do not depend on input number {unused[0]} (shape {inputs[unused[0]].shape}); pass "
            "allow_unused=True to get None for it"
        )
    return tuple(found.get(node) for node in wanted)  # type: ignore[arg-type]


