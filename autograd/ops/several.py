"""Operations with several results, such as factorisations: the node keeps them, and hands out one port per result."""

from __future__ import annotations

from typing import Any

from autograd.graph import Port, changed_since, remember_caller
from autograd.mode import anomaly_mode, grad_mode
from autograd.ops.base import Operation, _different_devices
from autograd.tensor import Tensor, Version, tensor_of, version_of, wrap


class SeveralResults(Operation):
    """An operation whose `forward` gives a tuple of arrays, floats of which can be differentiated.

    `rule(self, *grads)` gets one upstream gradient per result, None for results that nothing depends on. It is
    written with `self.operand(0)` (kept where `saves` says so) and `self.results()`, which are all kept.
    """

    explanation = "the derivative rule of {node.name} on the gradients of its results"

    @classmethod
    def apply(cls, *operands: Any, **options: Any) -> Any:
        """Run the operation, and record it where an operand requires grad: a tuple of tensors."""
        node = cls.__new__(cls)
        node.layout = operands[0]._layout  # until the results are there: the operand's shape and device, for forward
        if any(o._layout.device != node.layout.device for o in operands[1:]):
            raise _different_devices(node.name, operands)
        outputs = tuple([wrap(data) for data in node.forward(*[o._data for o in operands], **options)])
        edges = tuple([o._edge for o in operands])
        if not grad_mode.get() or not any(edges):
            return outputs
        node.inputs, node.layout, node.extra = edges, outputs[0]._layout, None
        saves = node.saves(tuple([e is not None for e in edges]))
        node.saved = tuple([(o, version_of(o)) if s else None for o, s in zip(operands, saves, strict=True)])
        kept = []
        for k, out in enumerate(outputs):
            out._version = Version()
            kept.append((out._data, out._layout, out._version, out._version.count))
            if node._has_gradient(k, out._layout):
                out._edge = Port(node, k, out._layout)
        node.kept = tuple(kept)
        if anomaly_mode.get():
            remember_caller(node, outputs, operands)
        return outputs

    def _has_gradient(self, place: int, layout: Any) -> bool:
        """Whether a result can be differentiated."""
        return layout.dtype.kind in "fc"

    def results(self) -> tuple[Tensor, ...]:
        """The results, unless they were changed since."""
        found = []
        for k, (data, layout, version, count) in enumerate(self.kept):  # type: ignore[arg-type]
            if version.count != count:
                raise changed_since(self.name, f"its result number {k}", layout.shape, count, version.count)
            out = tensor_of(data, layout)
            out._version = version
            if grad_mode.get() and self._has_gradient(k, layout):
                out._edge = Port(self, k, layout)
            found.append(out)
        return tuple(found)

    def backward(self, grad: Any) -> Any:
        """Sorts the gradients that have arrived by result, and asks `rule`."""
        return self.rule(*[grad.get(k) for k in range(len(self.kept))])  # type: ignore[arg-type]

    def rule(self, *grads: Tensor | None) -> Any:
        """The gradient of the operand (a tuple for several), from one of each result (None where nothing depends on it)."""
        raise NotImplementedError(f"{self.name} has no derivative rule")
