"""Function: an operation with a derivative rule of the user's own."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from functools import wraps
from typing import Any

from autograd.dtypes import DIFFERENTIABLE
from autograd.graph import Node, Port, changed_since, remember_caller
from autograd.mode import anomaly_mode, grad_mode, no_grad
from autograd.tensor import Tensor, Version, version_of


class Context:
    """What `forward` leaves for `backward`: tensors by `save_for_backward`, anything else as an attribute."""

    def __init__(self, needs_input_grad: tuple[bool, ...]) -> None:
        self.needs_input_grad = needs_input_grad
        self._saved: tuple = ()
        self._no_gradient: tuple[Tensor, ...] = ()
        self._node: weakref.ref[FunctionNode] | None = None  # weak: the node holds the context

    def save_for_backward(self, *tensors: Tensor | None) -> None:
        """Keep operands and results for the derivative; changes to them in place are noticed."""
        for t in tensors:
            if t is not None and not isinstance(t, Tensor):
                raise TypeError(f"save_for_backward: takes tensors, got {type(t).__name__}; keep it as an attribute of ctx")
        self._saved = tensors

    def mark_non_differentiable(self, *tensors: Tensor) -> None:
        """Results that have no gradient, such as indices."""
        self._no_gradient = tensors

    @property
    def saved_tensors(self) -> tuple:
        """What `save_for_backward` was given."""
        node = self._node() if self._node is not None else None
        return self._saved if node is None else node.unpack()


class FunctionNode(Node):
    """A recorded call of a Function."""

    __slots__ = ("context", "function", "layouts")

    def __init__(self, function: type[Function], context: Context, edges: tuple, layout: Any) -> None:
        self.inputs, self.layout, self.extra = edges, layout, None
        self.function, self.context = function, context
        self.layouts: tuple = ()
        self.saved = self.kept = None

    @property
    def name(self) -> str:
        return self.function.__name__

    def pack(self, operands: tuple, outputs: tuple[Tensor, ...]) -> None:
        """Save the context's tensors: operands as they are, results without the way back to this node."""
        packed = []
        for t in self.context._saved:
            place = next((k for k, o in enumerate(outputs) if o is t), None)
            if place is None:
                packed.append((t, None, None if t is None else version_of(t)))
            else:
                t._version = t._version or Version()
                packed.append((t._data, (place, t._layout, t._version), t._version.count))
        self.saved = tuple(packed)
        self.context._saved = ()

    def unpack(self) -> tuple:
        """The saved tensors, checked for changes."""
        if self.saved is None:
            raise RuntimeError(f"{self.name}: saved tensors were freed by an earlier backward; pass retain_graph=True to it")
        found = []
        for value, output, count in self.saved:
            if output is None:
                now = None if value is None else version_of(value)
                tensor = value
            else:
                place, layout, version = output
                tensor = Tensor.__new__(Tensor)
                tensor._data, tensor._layout, tensor._version, now = value, layout, version, version.count
                several = len(self.layouts) > 1
                tensor._edge = (Port(self, place, layout) if several else self) if grad_mode.get() else None
            if now != count:
                raise changed_since(self.name, "a saved tensor", tensor.shape, count, now)  # type: ignore[union-attr,arg-type]
            found.append(tensor)
        return tuple(found)

    def backward(self, grad: Any) -> Any:
        upstream = self._upstream(grad)
        if grad_mode.get():
            # Gradients are linear in the upstream one. If a rule's result does not lead back to it, the rule left our
            # operations on its way, and its own derivative would silently be zero.
            upstream = tuple(
                u if u._edge is not None or u.dtype.kind not in DIFFERENTIABLE else u.detach().requires_grad_() for u in upstream
            )
        results = self.function.backward(self.context, *upstream)
        results = results if isinstance(results, tuple) else (results,)
        if len(results) != len(self.inputs):
            raise RuntimeError(
                f"{self.name}.backward must give one gradient (or None) per argument of forward: {len(self.inputs)}, and "
                f"gave {len(results)}"
            )
        for k, result in enumerate(results):
            self._check(k, result)
        return results

    def _upstream(self, grad: Any) -> tuple[Tensor, ...]:
        if len(self.layouts) == 1:
            return (grad,)
        from autograd.ops.creation import zeros

        return tuple(
            grad[k] if k in grad else zeros(layout.shape, dtype=layout.dtype, device=layout.device)
            for k, layout in enumerate(self.layouts)
        )

    def _check(self, index: int, result: Any) -> None:
        if result is None or self.inputs[index] is None:
            return
        if not isinstance(result, Tensor):
            raise TypeError(f"{self.name}.backward gave a {type(result).__name__} for argument {index}; gradients are tensors")
        if grad_mode.get() and result._edge is None:
            raise RuntimeError(
                f"{self.name}.backward cannot be differentiated again: its gradient for argument {index} was not made by "
                "tensor operations from the upstream gradient. Write it in tensor operations, or do without create_graph"
            )


class Function:
    """An operation defined by the user: subclass it, and give `forward` and `backward` as static methods.

    `forward(ctx, *arguments)` computes the result (a tensor or a tuple of them) and is not recorded itself.
    `backward(ctx, *gradients)` gets the gradient of each result and gives one per argument of forward (None where there
    is none). Written in tensor operations it can be differentiated again. Call it as `MyFunction.apply(...)`.

    >>> import autograd as ag
    >>> class Cube(ag.Function):
    ...     @staticmethod
    ...     def forward(ctx, x):
    ...         ctx.save_for_backward(x)
    ...         return x * x * x
    ...     @staticmethod
    ...     def backward(ctx, grad):
    ...         (x,) = ctx.saved_tensors
    ...         return grad * 3 * x * x
    >>> x = ag.tensor(2.0, requires_grad=True)
    >>> Cube.apply(x).backward()
    >>> x.grad
    tensor(12., dtype=float32)
    """

    @staticmethod
    def forward(ctx: Context, *arguments: Any) -> Any:
        raise NotImplementedError("a Function needs a static method forward(ctx, ...)")

    @staticmethod
    def backward(ctx: Context, *gradients: Tensor) -> Any:
        raise NotImplementedError("this Function has no static method backward(ctx, ...)")

    @classmethod
    def apply(cls, *arguments: Any) -> Any:
        """Run forward, and record the call where an argument requires grad."""
        edges = tuple([a._edge if isinstance(a, Tensor) else None for a in arguments])
        recording = grad_mode.get() and any(edges)
        context = Context(tuple([e is not None for e in edges]))
        with no_grad():
            results = cls.forward(context, *arguments)
        outputs = results if isinstance(results, tuple) else (results,)
        for k, output in enumerate(outputs):
            if not isinstance(output, Tensor):
                raise TypeError(f"{cls.__name__}.forward must give tensors, result {k} is a {type(output).__name__}")
        if not recording:
            return results
        # A result that existed before (an argument, or a tensor with a history) must not get another history.
        outputs = tuple([o.detach() if o._edge is not None or any(o is a for a in arguments) else o for o in outputs])
        node = FunctionNode(cls, context, edges, outputs[0]._layout)
        node.layouts = tuple([o._layout for o in outputs])
        node.pack(arguments, outputs)
        context._node = weakref.ref(node)
        for k, output in enumerate(outputs):
            if output.dtype.kind in DIFFERENTIABLE and not any(output is t for t in context._no_gradient):
                output._edge = Port(node, k, output._layout) if len(outputs) > 1 else node
        context._no_gradient = ()
        if anomaly_mode.get():
            remember_caller(node, outputs, arguments)
        return tuple(outputs) if isinstance(results, tuple) else outputs[0]  # pyright: ignore[reportGeneralTypeIssues]


def once_differentiable(backward: Callable) -> Callable:
    """Mark a `backward` that leaves tensor operations: differentiating it again raises instead of giving zero."""

    @wraps(backward)
    def wrapped(ctx: Context, *gradients: Tensor) -> Any:
        if grad_mode.get():
            raise RuntimeError(f"{backward.__qualname__} is once_differentiable: it cannot run with create_graph=True")
        return backward(ctx, *gradients)

    return wrapped
