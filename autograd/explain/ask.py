"""explain: from what a user asks to the pass that is recorded. What it takes is imported when it is first asked."""

from __future__ import annotations

import builtins
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from autograd.explain.names import given_names, names_in, names_in_frame
from autograd.mode import detect_anomaly, enable_grad
from autograd.tensor import Tensor

if TYPE_CHECKING:
    from autograd.explain.explanation import Explanation


def explain(
    target: Tensor | Callable,
    *args: Any,
    gradient: Any = None,
    names: Any = None,
    max_steps: int | None = 100,
    print: bool = True,
) -> Explanation:
    """Show the backward pass of a result step by step: each local derivative, each product, each sum.

    The pass runs on the side: no `.grad` changes, and the graph stays as it is, so `backward()` can follow. Tensors are
    called what the calling function's variables call them. Nodes keep only what their derivatives need, so some values
    of the forward pass may not be known; all are when it ran under `detect_anomaly()`, or when `target` is a function.

    Args:
        target: the tensor to start from; or a function, which is called with `args` (numbers and arrays become tensors,
            floats get gradients) and must return the tensor.
        gradient: the upstream gradient; may be left out for a single number (it is 1).
        names: other names for tensors: a dict from name to tensor, a Module, or its `named_parameters()`.
        max_steps: of more steps than this those in the middle are left out; None shows all.
        print: print the explanation, besides returning it.

    Returns:
        An `Explanation`: `str()` of it is the text, `.steps` has the same as data, `.to_dot()` draws the graph.

    Raises:
        RuntimeError: the tensor has no graph, a backward pass has freed it, or it is no single number and no gradient
            is given.

    >>> from autograd.explain import explain  # as autograd.explain
    >>> e = explain(lambda x, y: x * y, 2.0, 3.0)  # doctest: +ELLIPSIS
    The backward pass of %0 = x * y: 1 step
    <BLANKLINE>
    forward
      x           = 2.000  leaf
      y           = 3.000  leaf
      %0 = x * y  = 6.000
    <BLANKLINE>
    backward: the gradient of a result, times the local derivative, is added to the gradient of each input
      %0.grad = 1.000   where it starts
    <BLANKLINE>
      1. %0 = x * y   # ...
         d%0/dx = y = 3.000  x.grad = 1.000 * 3.000 = 3.000
         d%0/dy = x = 2.000  y.grad = 1.000 * 2.000 = 2.000
    <BLANKLINE>
    gradients of the leaves (the pass ran on the side: no .grad has changed)
      x.grad  = 3.000
      y.grad  = 2.000
    """
    from autograd.explain.record import record

    if max_steps is not None and (isinstance(max_steps, bool) or not isinstance(max_steps, int) or max_steps < 2):
        raise ValueError(f"explain: max_steps must be an integer of at least 2, or None for all, got {max_steps!r}")
    found = list(given_names(names))
    if isinstance(target, Tensor):
        if args:
            raise TypeError("explain: arguments can follow a function only; it was given a tensor and arguments")
        root = target
        found += names_in_frame(sys._getframe(1))
    elif callable(target):
        root, inner = _call(target, args)
        found += inner
    else:
        raise TypeError(f"explain: expected a tensor or a function that makes one, got {type(target).__name__}")
    explanation = record(root, gradient, found, max_steps)
    if print:
        builtins.print(explanation)
    return explanation


# --- a function's run ------------------------------------------------------------------------------------------------


def _call(function: Callable, args: tuple) -> tuple[Tensor, list[tuple[str, Tensor]]]:
    """The function's result, with everything kept, and the names of its arguments and variables."""
    from autograd.ops.creation import asarray

    prepared = []
    for value in args:
        if isinstance(value, (bool, int, float, list, np.ndarray, np.generic, Tensor)):
            value = asarray(float(value)) if type(value) is int else asarray(value)
            value = value.detach().requires_grad_() if value.dtype.kind == "f" else value
        prepared.append(value)
    named = zip(_argument_names(function, len(args)), prepared, strict=True)
    found = [(name, value) for name, value in named if isinstance(value, Tensor)]
    variables: dict[str, Any] = {}
    with enable_grad(), detect_anomaly(), _watched(function, variables):
        result = function(*prepared)
    if not isinstance(result, Tensor):
        raise TypeError(f"explain: the function must return a tensor, it returned {type(result).__name__}")
    return result, found + names_in(variables)


def _argument_names(function: Callable, count: int) -> list[str]:
    import inspect

    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):
        return [f"args[{k}]" for k in range(count)]
    names = []
    for parameter in parameters:
        if parameter.kind is parameter.VAR_POSITIONAL:
            names += [f"{parameter.name}[{k}]" for k in range(count - len(names))]
        elif parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD):
            names.append(parameter.name)
    return (names + [f"args[{k}]" for k in range(len(names), count)])[:count]


@contextmanager
def _watched(function: Callable, variables: dict[str, Any]) -> Iterator[None]:
    """Note the function's local variables as it returns: they are the names of what it computed."""
    code = getattr(function, "__code__", None)
    before = sys.getprofile()
    if code is None or before is not None:
        yield
        return

    def on_event(frame: Any, event: str, _: Any) -> None:
        if event == "return" and frame.f_code is code:
            variables.update(frame.f_locals)

    sys.setprofile(on_event)
    try:
        yield
    finally:
        sys.setprofile(None)
