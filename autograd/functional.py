"""Functions of functions: grad, value_and_grad, vjp, jvp, jacobian, hessian and their like, freely nested.

Each evaluates `f` on fresh tensors that stand for its arguments, so an inner derivative cannot be confused with an outer
one. Where the result depends on a tensor that requires grad (an argument, or one that `f` refers to) it is itself recorded
and can be differentiated again; otherwise, and under `no_grad`, results are plain numbers, and cheaper.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import wraps
from typing import Any

from autograd.dtypes import DIFFERENTIABLE
from autograd.engine import gradients
from autograd.function import Function
from autograd.graph import Leaf, Node, count_consumers, topological_order
from autograd.mode import enable_grad, grad_mode, is_grad_enabled, no_grad
from autograd.ops import elementwise as ew
from autograd.ops.complex_numbers import conj, real
from autograd.ops.creation import as_seed, asarray, zeros, zeros_like
from autograd.ops.reduce import sum as sum_
from autograd.ops.shape import reshape, stack
from autograd.tensor import Tensor, tensor_of
from kernels.random import default_generator


def _as_float(value: Any, name: str, index: int) -> Tensor:
    if isinstance(value, (list, tuple)) and any(isinstance(v, Tensor) for v in value):
        raise TypeError(
            f"{name}: argument {index} is a {type(value).__name__} of tensors; give them as arguments of their own, and "
            "argnums=(0, 1, ...) for gradients by several"
        )
    tensor = asarray(value)
    if tensor.dtype.kind not in DIFFERENTIABLE:
        if isinstance(value, (bool, int)) and not isinstance(value, Tensor):
            return asarray(float(value))
        raise TypeError(f"{name}: cannot differentiate by argument {index}, a tensor of {tensor.dtype}; convert it to floats")
    return tensor


def _stand_in(tensor: Tensor) -> Tensor:
    """A tensor with the same elements to differentiate by: tied to an outer graph where the original is part of one."""
    if tensor._edge is not None and is_grad_enabled():
        return ew.positive(tensor)
    return tensor.detach().requires_grad_()


def _numbers(argnums: Any, args: tuple, name: str) -> tuple[int, ...]:
    numbers = (argnums,) if isinstance(argnums, int) else tuple(argnums)
    for k in numbers:
        if not -len(args) <= k < len(args):
            raise ValueError(f"{name}: argnum {k}, and the function was called with {len(args)} positional arguments")
    return tuple(k % len(args) for k in numbers)


def _replace(args: tuple, numbers: Sequence[int], values: Sequence[Any]) -> tuple:
    replaced = list(args)
    for k, value in zip(numbers, values, strict=True):
        replaced[k] = value
    return tuple(replaced)


def _one_or_all(values: Sequence[Any], argnums: Any) -> Any:
    return values[0] if isinstance(argnums, int) else tuple(values)


def _pull(output: Tensor, inputs: Sequence[Tensor], seed: Tensor | None, record: bool, retain: bool = False) -> list[Tensor]:
    """The gradients of output by inputs; zeros for inputs it does not depend on."""
    if output._edge is None:
        return [zeros_like(x) for x in inputs]
    found = gradients(output, inputs, seed, retain_graph=retain or record, create_graph=record, allow_unused=True)
    return [zeros_like(x) if g is None else g for g, x in zip(found, inputs, strict=True)]


def _reaches_outside(output: Tensor, inputs: Sequence[Tensor]) -> bool:
    """Whether a result depends on a tensor that requires grad and is not one of ours: then it must be recorded."""
    if output._edge is None or not is_grad_enabled():
        return False
    ours = {x._edge for x in inputs}
    return any(type(node) is Leaf and node not in ours for node in count_consumers([output._edge]))


def _as_output(value: Any, name: str) -> Tensor:
    if isinstance(value, Tensor):
        return value
    if isinstance(value, (int, float)):
        return asarray(float(value))
    raise TypeError(f"{name}: the function must return a tensor, got {type(value).__name__}")


def value_and_grad(f: Callable, argnums: Any = 0, has_aux: bool = False) -> Callable:
    """A function that returns (f(...), gradient), with the gradient by the argument(s) `argnums`.

    Args:
        f: returns a single number (a tensor of one element); with has_aux a pair of it and anything else.
        argnums: a position, or several (then the gradient is a tuple).

    >>> import autograd as ag
    >>> ag.value_and_grad(lambda x: x * x)(3.0)
    (tensor(9., dtype=float32), tensor(6., dtype=float32))
    """

    @wraps(f)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        numbers = _numbers(argnums, args, "grad")
        enabled = is_grad_enabled()
        with enable_grad():
            inputs = [_stand_in(_as_float(args[k], "grad", k)) for k in numbers]
            result = f(*_replace(args, numbers, inputs), **kwargs)
            value, *aux = result if has_aux else (result,)
            output = _as_output(value, "grad")
            if output.size != 1:
                raise RuntimeError(
                    f"grad: the function must return a single number, it returned shape {output.shape}; use jacobian, vjp or "
                    "elementwise_grad, or sum the result"
                )
            record = enabled and _reaches_outside(output, inputs)
            grads = _one_or_all(_pull(output, inputs, None, record), argnums)
        value = output if record else output.detach()
        return ((value, *aux), grads) if has_aux else (value, grads)

    return wrapped


def grad(f: Callable, argnums: Any = 0, has_aux: bool = False) -> Callable:
    """A function that computes the gradient of `f`, which returns a single number, by the argument(s) `argnums`.

    >>> import autograd as ag
    >>> ag.grad(ag.grad(lambda x: x**3))(2.0)
    tensor(12., dtype=float32)
    """
    both = value_and_grad(f, argnums, has_aux)

    @wraps(f)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        value, grads = both(*args, **kwargs)
        return (grads, value[1]) if has_aux else grads

    return wrapped


def elementwise_grad(f: Callable, argnums: Any = 0) -> Callable:
    """The derivative of a function that works element by element: the gradient of the sum of its results."""

    @wraps(f)
    def summed(*args: Any, **kwargs: Any) -> Tensor:
        return sum_(_as_output(f(*args, **kwargs), "elementwise_grad"))

    return grad(summed, argnums)


def vjp(f: Callable, *args: Any) -> tuple[Any, Callable]:
    """f(*args), and the function from an upstream gradient to the gradients by the arguments (a tuple; one: itself).

    >>> import autograd as ag
    >>> value, pull = ag.vjp(ag.sin, ag.tensor([0.0, 1.0]))
    >>> pull(ag.tensor([1.0, 0.0]))
    tensor([1., 0.], dtype=float32)
    """
    with enable_grad():
        inputs = [_stand_in(_as_float(a, "vjp", k)) for k, a in enumerate(args)]
        output = _as_output(f(*inputs), "vjp")
        outside = _reaches_outside(output, inputs)

    def pull(upstream: Any) -> Any:
        seed = as_seed(upstream, output, "vjp")
        record = is_grad_enabled() and (outside or seed.requires_grad)
        found = _pull(output, inputs, seed, record, retain=True)
        return found[0] if len(found) == 1 else tuple(found)

    return (output if outside and is_grad_enabled() else output.detach()), pull


def jvp(f: Callable, args: Any, tangents: Any) -> tuple[Tensor, Tensor]:
    """f(*args), and its directional derivative along `tangents` (one tensor, or a tuple as args is).

    Computed by differentiating the reverse pass by its upstream gradient, in which it is linear.

    >>> import autograd as ag
    >>> ag.jvp(lambda x: x * x, ag.tensor([1.0, 2.0]), ag.tensor([1.0, 0.0]))[1]
    tensor([2., 0.], dtype=float32)
    """
    args, tangents = (a if isinstance(a, (tuple, list)) else (a,) for a in (args, tangents))
    if len(args) != len(tangents):
        raise ValueError(f"jvp: {len(args)} arguments, and {len(tangents)} tangents")
    enabled = is_grad_enabled()
    with enable_grad():
        inputs = [_stand_in(_as_float(a, "jvp", k)) for k, a in enumerate(args)]
        output = _as_output(f(*inputs), "jvp")
        outside = _reaches_outside(output, inputs)
        upstream = zeros_like(output).requires_grad_()
        pulled = _pull(output, inputs, upstream, True)
        total = None
        for g, x, t in zip(pulled, inputs, tangents, strict=True):
            term = sum_(real(g * conj(as_seed(t, x, "jvp"))))
            total = term if total is None else total + term
        assert total is not None
        record = enabled and _reaches_outside(total, [*inputs, upstream])
        (tangent,) = _pull(total, [upstream], None, record)
    return (output if enabled and outside else output.detach()), tangent


def jacobian(f: Callable, argnums: Any = 0) -> Callable:
    """A function that computes all derivatives of f's result by its argument(s): shape (*output, *input).

    Raises:
        TypeError: the result is complex.

    >>> import autograd as ag
    >>> ag.jacobian(lambda x: x * x)(ag.tensor([1.0, 2.0]))
    tensor([[2., 0.],
            [0., 4.]], dtype=float32)
    """

    @wraps(f)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        numbers = _numbers(argnums, args, "jacobian")
        enabled = is_grad_enabled()
        with enable_grad():
            inputs = [_stand_in(_as_float(args[k], "jacobian", k)) for k in numbers]
            output = _as_output(f(*_replace(args, numbers, inputs), **kwargs), "jacobian")
            if output.dtype.kind == "c":
                raise TypeError(
                    f"jacobian: the result is {output.dtype}, whose derivatives are no single matrix of complex numbers; return "
                    "view_as_real(result), its real or its imaginary part, or use jvp or vjp"
                )
            record = enabled and _reaches_outside(output, inputs)
            rows: list[list[Tensor]] = [[] for _ in inputs]
            for k in range(output.size):
                for row, g in zip(rows, _pull(output, inputs, _unit(output, k), record, retain=True), strict=True):
                    row.append(g)
            found = [
                reshape(stack(row), (*output.shape, *x.shape)) if row
                else zeros((*output.shape, *x.shape), dtype=x.dtype, device=x.device)
                for row, x in zip(rows, inputs, strict=True)
            ]
        return _one_or_all([g if record else g.detach() for g in found], argnums)

    return wrapped


def _unit(output: Tensor, index: int) -> Tensor:
    with no_grad():
        seed = zeros_like(output)
        flat = reshape(seed, (-1,))
        flat[index] = 1.0
    return seed


def hessian(f: Callable, argnums: int = 0) -> Callable:
    """A function that computes all second derivatives of f, which returns a single number: shape (*input, *input).

    Raises:
        TypeError: the argument is complex.

    >>> import autograd as ag
    >>> ag.hessian(lambda x: (x**3).sum())(ag.tensor([1.0, 2.0]))
    tensor([[ 6.,  0.],
            [ 0., 12.]], dtype=float32)
    """
    second = jacobian(_recorded(grad(f, argnums)), argnums)

    @wraps(f)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        (number,) = _numbers(argnums, args, "hessian")
        if _as_float(args[number], "hessian", number).dtype.kind == "c":
            raise TypeError(
                "hessian: of complex numbers the second derivatives are no single matrix; take them by the parts, of "
                "lambda parts: f(view_as_complex(parts)), or use hessian_vector_product"
            )
        return second(*args, **kwargs)

    return wrapped


def _recorded(f: Callable) -> Callable:
    """f with recording switched on: jacobian records what it differentiates whatever the caller's mode."""

    @wraps(f)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        token = grad_mode.set(True)
        try:
            return f(*args, **kwargs)
        finally:
            grad_mode.reset(token)

    return wrapped


def hessian_vector_product(f: Callable, argnum: int = 0) -> Callable:
    """A function (*args, vector) -> the product of f's matrix of second derivatives with a vector, without the matrix.

    >>> import autograd as ag
    >>> ag.hessian_vector_product(lambda x: (x**3).sum())(ag.tensor([1.0, 2.0]), ag.tensor([1.0, 1.0]))
    tensor([ 6., 12.], dtype=float32)
    """
    gradient = _recorded(grad(f, argnum))

    @wraps(f)
    def wrapped(*args: Any, **kwargs: Any) -> Tensor:
        *arguments, vector = args
        point = asarray(arguments[argnum])
        direction = as_seed(vector, point, "hessian_vector_product")
        return grad(lambda *a: sum_(real(gradient(*a, **kwargs) * conj(direction))), argnum)(*arguments)

    return wrapped


def checkpoint(f: Callable, *args: Any, **kwargs: Any) -> Any:
    """f(*args), keeping nothing of its inside for the gradient: it runs a second time in the backward pass.

    Trades time for memory. The random state is put back for the second run, so dropout draws the same mask. With f alone,
    returns the checkpointed function (HIPS autograd's form).

    >>> import autograd as ag
    >>> x = ag.tensor(2.0, requires_grad=True)
    >>> ag.checkpoint(lambda x: x.exp().sin(), x).backward()
    """
    if not args and not kwargs:
        return wraps(f)(lambda *a, **k: checkpoint(f, *a, **k))
    if not is_grad_enabled():
        return f(*args, **kwargs)
    state = default_generator.state()
    inputs = [a.detach().requires_grad_() if isinstance(a, Tensor) and a.requires_grad else a for a in args]
    results = f(*inputs, **kwargs)
    # Recorded once to learn which tensors f uses besides its arguments (a module's parameters), then forgotten.
    several = isinstance(results, (tuple, list))
    values = [r.detach() for r in (results if several else (results,))]
    edges = _edges_below(results if several else (results,))
    del results, inputs
    others = _outside(edges)
    computed = Checkpoint.apply((f, kwargs, state, len(args)), values, *args, *others)
    return computed if several else computed[0]


class Checkpoint(Function):
    """A function whose values are known and whose graph is made when a gradient comes: see `checkpoint`."""

    @staticmethod
    def forward(ctx: Any, call: tuple, values: list[Tensor], *operands: Any) -> tuple[Tensor, ...]:
        ctx.call = call
        ctx.arguments = [None if isinstance(o, Tensor) else o for o in operands]
        ctx.save_for_backward(*(o if isinstance(o, Tensor) else None for o in operands))
        return tuple(values)

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> Any:
        f, kwargs, state, count = ctx.call
        operands = [a if t is None else t for t, a in zip(ctx.saved_tensors, ctx.arguments, strict=True)]
        record, needs = is_grad_enabled(), ctx.needs_input_grad[2:]
        with enable_grad(), _random_state(state):
            for k in range(count):
                if needs[k]:
                    operands[k] = _stand_in(operands[k]) if record else operands[k].detach().requires_grad_()
            again = f(*operands[:count], **kwargs)
        results = again if isinstance(again, (tuple, list)) else (again,)
        pairs = [(o, u) for o, u in zip(results, upstream, strict=True) if o.requires_grad]
        _check_reached([o._edge for o, _ in pairs], operands[count:])
        wanted = [o for o, need in zip(operands, needs, strict=True) if need]
        found = iter(
            gradients(
                [o for o, _ in pairs], wanted, [u for _, u in pairs], retain_graph=True, create_graph=record, allow_unused=True
            )
        )
        return None, None, *(next(found) if need else None for need in needs)


@contextmanager
def _random_state(state: dict) -> Iterator[None]:
    """Draw the same random numbers as when the state was taken, and go on afterwards as if nothing had been drawn."""
    now = default_generator.state()
    default_generator.set_state(state)
    try:
        yield
    finally:
        default_generator.set_state(now)


def _edges_below(outputs: Sequence[Tensor]) -> list[tuple]:
    """All (consumer, node) of the graph below the outputs, None as the consumer of an output; held weakly."""
    roots = [o._edge for o in outputs if o._edge is not None]
    edges: list[tuple] = [(None, weakref.ref(root)) for root in roots]
    for node in topological_order(roots):
        edges += [(weakref.ref(node), weakref.ref(child)) for child in node.inputs if child is not None]
    return edges


def _outside(edges: list[tuple]) -> list[Tensor]:
    """A tensor for each node that a graph, now dropped, had used but not made: what is still alive is not its own."""
    alive = [(consumer, node()) for consumer, node in edges]
    found = dict.fromkeys(node for consumer, node in alive if node is not None and (consumer is None or consumer() is None))
    return [_tensor_for(node) for node in found]


def _tensor_for(node: Node) -> Tensor:
    owner = node.owner() if isinstance(node, Leaf) and node.owner is not None else None
    if owner is not None:
        return owner
    tensor = tensor_of(None, node.layout)  # without elements: it stands for where a gradient goes
    tensor._edge = node
    return tensor


def _check_reached(roots: Sequence[Node], others: Sequence[Tensor]) -> None:
    reached = count_consumers(roots)
    if any(o._edge not in reached and type(o._edge) is not Leaf for o in others):
        raise RuntimeError(
            "checkpoint: the function keeps a tensor that it made when it first ran, or took another way when it ran "
            "again; it must do the same each time, and keep no intermediate results"
        )
