"""The backward pass run on the side, and what happens in it written down."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from autograd.engine import _conform, run_backward, seed_for
from autograd.explain.explanation import Contribution, Explanation, Gradient, Made, Step
from autograd.explain.known import UNKNOWN, Known, operands
from autograd.explain.names import Names, leaves_of
from autograd.explain.rules import Derivative, expression_text, operation_name, rule_text
from autograd.explain.values import Value, number_text
from autograd.graph import Leaf, Node, Port, count_consumers, topological_order
from autograd.mode import anomaly_mode, grad_mode
from autograd.ops.derivative import ElementwiseNode
from autograd.tensor import Tensor
from kernels import backend_for

_ORDINALS = ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth")


def record(root: Tensor, gradient: Any, found: list[tuple[str, Tensor]], limit: int | None) -> Explanation:
    """The explanation of a tensor's backward pass; see `explain`. found: names of tensors, the preferred ones first."""
    if root._edge is None:
        raise RuntimeError(
            f"explain: this tensor (shape {root.shape}, {root.dtype}) has no graph: it does not require grad and was "
            "not made from tensors that do; set requires_grad=True on the inputs, and look for no_grad or detach"
        )
    if gradient is not None and not isinstance(gradient, Tensor):
        from autograd.ops.creation import asarray

        gradient = asarray(gradient, dtype=root.dtype)
    seed = seed_for(root, gradient, "explain")
    order = topological_order([root._edge])
    for node in order:
        if node.saved is None:
            raise RuntimeError(
                f"explain: the graph was freed by a backward pass (at {node.name}); call explain before backward(), or "
                "call backward(retain_graph=True)"
            )
    names = Names(order, found)
    token = grad_mode.set(False)
    try:
        known = Known(order, [root, *(tensor for _, tensor in found)])
        recorder = _Recorder(root._edge, order, names, known, limit)
        explanation = recorder.run(seed)
    finally:
        grad_mode.reset(token)
    return explanation


def _array(data: Any, device: str) -> np.ndarray:
    return np.asarray(backend_for(device).to_numpy(data))


def _value(tensor: Tensor) -> Value:
    return Value.of(_array(tensor._data, tensor.device))


class _Recorder:
    """Sees every step of a backward pass, and describes the first and the last ones."""

    def __init__(self, root: Node, order: Sequence[Node], names: Names, known: Known, limit: int | None) -> None:
        self.root, self.order, self.names, self.known = root, order, names, known
        self.consumers = count_consumers([root])
        self.ports: dict[Node, dict[int, Node]] = {}
        for node in order:
            if type(node) is Port:
                self.ports.setdefault(node.inputs[0], {})[node.index] = node  # type: ignore[arg-type]
        steps = sum(type(node) is not Leaf and type(node) is not Port for node in order)
        self.limit = steps if limit is None else limit
        self.first, self.last = self.limit - self.limit // 2, steps - self.limit // 2
        self.seen = 0
        self.totals: dict[Node, Tensor] = {}  # gradients so far, of what is used more than once
        self.before: dict[Node, Value] = {}
        self.uses: dict[Node, int] = {}
        self.steps: list[Step] = []
        self.made: dict[Node, Made] = {}
        self.constants: dict[str, Made] = {}
        self.nan_seen = False

    def run(self, seed: Tensor) -> Explanation:
        leaves = leaves_of(self.order)
        explanation = Explanation(self.names.of(self.root), _value(seed))
        self.nan_seen = explanation.seed.nans > 0
        retained = [(n.extra, n.extra.grad) for n in self.order if n.extra is not None and n.extra.retain]
        anomaly = anomaly_mode.set(False)  # a NaN is to be shown here, not raised
        try:
            found = run_backward([self.root], [seed], True, False, wanted=leaves, watch=self.watch)
        finally:
            anomaly_mode.reset(anomaly)
            for extra, grad in retained:
                extra.grad = grad
        self._describe(self.root)
        shown = leaves if len(leaves) <= self.limit else [leaf for leaf in leaves if leaf in self.made][: self.limit]
        for leaf in shown:
            if leaf in found:
                self._describe(leaf)
                explanation.gradients[self.names.of(leaf)] = self._gradient(leaf, found[leaf])
        explanation.more_leaves = len(leaves) - len(shown)
        explanation.steps, explanation.total_steps = self.steps, self.seen
        explanation.left_out = self.seen - len(self.steps)
        self._list_made(explanation)
        return explanation

    def _list_made(self, explanation: Explanation) -> None:
        made = [self.made[node] for node in reversed(self.order) if type(node) is Leaf and node in self.made]
        made += self.constants.values()
        for node in reversed(self.order):
            if type(node) in (Leaf, Port):
                continue
            if node in self.made:
                made.append(self.made[node])
            else:
                explanation.gap = explanation.gap or len(made)
                explanation.gap_size += 1
        explanation.made = made

    def _gradient(self, leaf: Leaf, grad: Tensor) -> Gradient:
        value, held = _value(grad), leaf.grad
        if held is None:
            return Gradient(self.names.of(leaf), value, None, value)
        return Gradient(self.names.of(leaf), value, _value(held.detach()), _value(held.detach() + grad.detach()))

    # --- one step -----------------------------------------------------------------------------------------------------

    def watch(self, node: Node, grad: Any, grads: tuple) -> None:
        """Called by the engine with the complete upstream gradient and what the rule makes of it."""
        self.seen += 1
        if self.first < self.seen <= self.last:
            for child, given in zip(node.inputs, grads, strict=True):
                if child is not None and given is not None and self.consumers[child] > 1:
                    self._add(child, _conform(given, child.layout, node) if _differs(given, child) else given)
            return
        made = self._describe(node)
        names = [self.names.of(port) for port in self._ports(node)] or [made.name]
        upstreams = grad if isinstance(grad, dict) else {0: grad}
        named = {k: self.names.of(port) for k, port in self.ports.get(node, {}).items()}  # those that something used
        upstream = {named.get(k, made.name): _value(u) for k, u in sorted(upstreams.items())}
        rules = _Rules(self, node, names)
        contributions = []
        for place, (child, given) in enumerate(zip(node.inputs, grads, strict=True)):
            if child is not None:
                contributions.append(self._contribution(node, rules, place, child, given))
        notes = []
        if node.extra is not None and node.extra.hooks:
            notes.append(f"a hook has seen, and may have changed, {made.name}.grad")
        amounts = [c.amount for c in contributions if c.amount is not None]
        if not self.nan_seen and any(a.nans for a in amounts):
            self.nan_seen = True
            notes.append("the first NaN of the pass appears here")
        self.steps.append(
            Step(
                self.seen, made.name, made.operation, made.expression, made.inputs, made.source, made.value, upstream,
                tuple(contributions), tuple(notes),
            )
        )  # fmt: skip

    def _contribution(self, node: Node, rules: _Rules, place: int, child: Node, given: Tensor | None) -> Contribution:
        to = self._describe(child).name if type(child) is not Port else self._describe_port(child)
        local, local_value, rule = rules.of(place, given)
        if given is None:
            return Contribution(to, local, local_value, rule, None, None, None, "the derivative is 0: nothing is added")
        notes = []
        if _differs(given, child):
            axes = _stretched_axes(given.shape, child.layout.shape)
            if axes:
                rule = f"sum({rule}, axis={axes[0] if len(axes) == 1 else axes})"
                of = "axis " + str(axes[0]) if len(axes) == 1 else "axes " + ", ".join(map(str, axes))
                notes.append(f"{to} was broadcast: summed over {of}")
            if given.dtype != child.layout.dtype:
                notes.append(f"converted back to {child.layout.dtype.name}")
            given = _conform(given, child.layout, node)
        held = self.totals.get(child)
        before = None if held is None else _value(held)
        total = self._add(child, given)
        amount = _value(given)
        after = amount if before is None else _value(total)
        if self.uses[child] > 1:
            notes.insert(0, f"{_ordinal(self.uses[child])} use of {to}: gradients add")
        return Contribution(to, local, local_value, rule, amount, before, after, "; ".join(notes))

    def _add(self, child: Node, given: Tensor) -> Tensor:
        """The sum of what has arrived for a node, as the engine makes it, but in memory of our own."""
        self.uses[child] = self.uses.get(child, 0) + 1
        before = self.totals.get(child)
        total = given if before is None else before + given
        if self.consumers[child] > 1:
            self.totals[child] = total
        return total

    # --- what was made ------------------------------------------------------------------------------------------------

    def _ports(self, node: Node) -> list[Node]:
        ports = self.ports.get(node)
        return [ports[k] for k in sorted(ports)] if ports else []

    def _describe_port(self, port: Node) -> str:
        self._describe(port.inputs[0])  # type: ignore[arg-type]
        return self.names.of(port)

    def operand_names(self, node: Any) -> tuple[list[str], dict[int, Any]]:
        """What to call each operand of a node, and those that are Python numbers by place."""
        shown, numbers = [], {}
        if type(node) in (Leaf, Port):
            return shown, numbers
        for place, (edge, operand) in enumerate(zip(node.inputs, operands(node), strict=True)):
            if edge is not None:
                shown.append(self.names.of(edge))
            elif operand is UNKNOWN:
                shown.append(self.names.of_array(getattr(node, "targets", None)) or "(a constant)")
            elif isinstance(operand, tuple):
                shown.append(self._constant(operand[0]))
            else:
                numbers[place] = operand
                shown.append(f"{operand:.6g}")
        return shown, numbers

    def _constant(self, tensor: Tensor) -> str:
        name, layout = self.names.of_constant(tensor), tensor._layout
        if name is None:
            if tensor.size != 1:
                return f"tensor{layout.shape}"
            number = number_text(tensor.item())
            return f"({number})" if layout.dtype.kind == "c" else number
        if name not in self.constants:
            self.constants[name] = Made(
                name, "constant", "", name, (), layout.shape, layout.dtype.name, _value(tensor.detach()), None
            )
        return name

    def _describe(self, node: Node) -> Made:
        found = self.made.get(node)
        if found is not None:
            return found
        if type(node) is Port:
            return self._describe(node.inputs[0])  # type: ignore[arg-type]
        name, layout = self.names.of(node), node.layout
        data = self.known.of(node)
        value = None if data is None else Value.of(_array(data, layout.device))
        if type(node) is Leaf:
            made = Made(name, "leaf", "", name, (), layout.shape, layout.dtype.name, value, None)
        else:
            shown, _ = self.operand_names(node)
            inputs = tuple(self.names.of(edge) for edge in node.inputs if edge is not None)
            trace = node.extra.trace if node.extra is not None else None
            source = None if trace is None else f"{trace.file}:{trace.number}: {trace.code}"
            made = Made(
                name, "operation", operation_name(node), expression_text(node, shown), inputs, layout.shape,
                layout.dtype.name, value, source,
            )  # fmt: skip
        self.made[node] = made
        return made


class _Rules:
    """The derivative of one node in words and numbers."""

    def __init__(self, recorder: _Recorder, node: Any, results: Sequence[str]) -> None:
        self.recorder, self.node, self.results = recorder, node, results
        self.shown, self.numbers = recorder.operand_names(node)
        self.derivative = None
        if isinstance(node, ElementwiseNode):
            results = [*results, *(f"out{k}" for k in range(len(results), len(node.recipe.formula.outputs)))]
            self.derivative = Derivative(node, self.shown, results, self.numbers)

    def of(self, place: int, given: Tensor | None) -> tuple[str | None, float | None, str]:
        """(local derivative, its value, rule) for the operand at `place`."""
        node, result = self.node, self.results[0]
        upstream = f"{result}.grad"
        if self.derivative is None:
            return None, None, rule_text(node, place, upstream, result, self.shown)
        position = sum(edge is not None for edge in node.inputs[:place])
        local = self.derivative.local_text(position)
        product = self.derivative.product_text(position) or f"{upstream} * d{result}/d{self.shown[place]}"
        value = None
        if node.layout.size == 1 and (node.inputs[place].layout.size == 1):
            value = self.derivative.local_value(position, self._input, self._output)
        return local, value, product

    def _input(self, place: int) -> Any:
        if place in self.numbers:
            return self.numbers[place]
        edge = self.node.inputs[place]
        if edge is not None:
            return self.recorder.known.of(edge)
        operand = operands(self.node)[place]
        return None if operand is UNKNOWN else operand[0]._data

    def _output(self, place: int) -> Any:
        return self.recorder.known.of(self.node)


def _differs(given: Tensor, child: Node) -> bool:
    return given.shape != child.layout.shape or given.dtype != child.layout.dtype


def _stretched_axes(shape: tuple[int, ...], original: tuple[int, ...]) -> tuple[int, ...]:
    missing = len(shape) - len(original)
    return tuple(
        k for k, size in enumerate(shape) if k < missing or (original[k - missing] == 1 and size != 1)
    )


def _ordinal(number: int) -> str:
    if number <= len(_ORDINALS):
        return _ORDINALS[number - 1]
    ending = "th" if number % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number:,}{ending}"
