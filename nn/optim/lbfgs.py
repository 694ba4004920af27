"""L-BFGS: a quasi-Newton method for small problems whose loss can be computed again and again."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from math import sqrt
from typing import Any

import autograd as ag
from nn.optim.optimizer import Optimizer
from nn.utils import parameters_to_vector, vector_to_parameters

_ENOUGH, _FLATTER = 1e-4, 0.9  # Wolfe's conditions: the decrease per slope and step, and what the slope must fall to
_CURVED = 1e-10  # the least product of step and change of gradient that tells something


class LBFGS(Optimizer):
    """Steps along an estimate of the inverse Hessian times the gradient, made of the last steps: Nocedal 1980.

    One `step(closure)` is several iterations, each of which calls the closure: it clears the gradients, computes the loss,
    calls backward and returns the loss. All parameters form one group and have one dtype and device.

    Args:
        params: tensors.
        lr: the step size (the first one tried, with a line search).
        max_iter: iterations in a step.
        max_eval: calls of the closure in a step; by default 1.25 times max_iter.
        tolerance_grad: stop when no element of the gradient is larger.
        tolerance_change: stop when neither the parameters nor the loss change more.
        history_size: how many steps are remembered.
        line_search_fn: None, or "strong_wolfe" for a search of a step that fulfils Wolfe's strong conditions (Nocedal and
            Wright, Numerical Optimization, algorithms 3.5 and 3.6).

    Raises:
        ValueError: there is more than one group, or an option makes no sense.

    >>> import autograd as ag, nn
    >>> p = nn.Parameter(ag.tensor([-1.5, 2.0]))
    >>> optimizer = nn.optim.LBFGS([p], line_search_fn="strong_wolfe")
    >>> def closure():
    ...     optimizer.zero_grad()
    ...     loss = (1 - p[0]) ** 2 + 100 * (p[1] - p[0] ** 2) ** 2
    ...     loss.backward()
    ...     return loss
    >>> for _ in range(3): _ = optimizer.step(closure)
    >>> p
    parameter([1., 1.], dtype=float32)
    """

    def __init__(
        self, params: Iterable[Any], lr: float = 1.0, max_iter: int = 20, max_eval: int | None = None,
        tolerance_grad: float = 1e-7, tolerance_change: float = 1e-9, history_size: int = 100,
        line_search_fn: str | None = None,
    ) -> None:  # fmt: skip
        limits = {"max_iter": max_iter, "max_eval": max_iter * 5 // 4 if max_eval is None else max_eval}
        tolerances = {"tolerance_grad": tolerance_grad, "tolerance_change": tolerance_change}
        super().__init__(
            params, {"lr": lr, **limits, **tolerances, "history_size": history_size, "line_search_fn": line_search_fn}
        )

    def check(self, group: dict[str, Any]) -> None:
        self.require(group, "lr", "max_iter", "max_eval", "tolerance_grad", "tolerance_change", "history_size")
        if group["line_search_fn"] not in (None, "strong_wolfe"):
            raise ValueError(f"LBFGS: line_search_fn is None or 'strong_wolfe', got {group['line_search_fn']!r}")
        if self.param_groups:
            raise ValueError("LBFGS: all parameters form one group; it has no options for single ones")

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Some iterations, `max_iter` at most.

        Args:
            closure: clears the gradients, computes the loss, calls backward and returns the loss.

        Returns:
            The loss before the first iteration.
        """
        if closure is None:
            raise TypeError("LBFGS: step needs a closure that computes the loss and its gradients")
        with ag.no_grad():
            return _Run(self, closure).go()

    def memory(self) -> dict[str, Any]:
        """What is remembered between steps, which belongs to the first parameter."""
        return self.state.setdefault(self.param_groups[0]["params"][0], {"func_evals": 0, "n_iter": 0})

    def _loaded(self, p: ag.Tensor, number: int, saved: Mapping[str, Any]) -> dict[str, Any]:
        def own(value: Any) -> Any:
            return [own(v) for v in value] if isinstance(value, list) else value if value is None else ag.tensor(value, p.dtype)

        tensors = ("d", "old_dirs", "old_stps", "prev_flat_grad")
        return {k: own(v) if k in tensors else v for k, v in saved.items()}


class _Run:
    """One call of `LBFGS.step`: the parameters as one vector, and the iterations on it."""

    def __init__(self, optimizer: LBFGS, closure: Callable[[], Any]) -> None:
        self.closure, self.memory = closure, optimizer.memory()
        self.options = optimizer.param_groups[0]
        self.params = self.options["params"]
        self.calls = 0

    def evaluate(self) -> tuple[Any, float, ag.Tensor]:
        """The loss, as it came and as a number, and the gradient, at the parameters as they are."""
        with ag.enable_grad():
            loss = self.closure()
        self.calls += 1
        self.memory["func_evals"] += 1
        gradient = parameters_to_vector([ag.zeros_like(p) if p.grad is None else p.grad.detach() for p in self.params])
        return loss, float(loss), gradient

    def move(self, start: ag.Tensor, step: float, direction: ag.Tensor) -> None:
        vector_to_parameters(start + step * direction, self.params)

    def go(self) -> Any:
        options, memory = self.options, self.memory
        first, loss, gradient = self.evaluate()
        if _largest(gradient) <= options["tolerance_grad"]:
            return first
        for iteration in range(1, int(options["max_iter"]) + 1):
            memory["n_iter"] += 1
            direction = self.direction(gradient)
            memory["prev_flat_grad"], before = gradient, loss
            step = options["lr"] * (min(1.0, 1.0 / float(ag.abs(gradient).sum())) if memory["n_iter"] == 1 else 1.0)
            slope = _dot(gradient, direction)
            memory["d"], memory["t"], memory["prev_loss"] = direction, step, before
            if slope > -options["tolerance_change"]:
                break
            start = parameters_to_vector([p.detach() for p in self.params])
            is_last = iteration == options["max_iter"]
            if options["line_search_fn"] is not None:
                search = _Search(self, start, direction, loss, gradient, slope)
                step, loss, gradient = search.go(step, int(options["max_eval"]) - self.calls)
                memory["t"] = step
                self.move(start, step, direction)
            else:
                self.move(start, step, direction)
                if not is_last:
                    _, loss, gradient = self.evaluate()
            if is_last or self.calls >= options["max_eval"] or self.is_done(gradient, step, direction, loss - before):
                break
        return first

    def is_done(self, gradient: ag.Tensor, step: float, direction: ag.Tensor, change: float) -> bool:
        least = self.options["tolerance_change"]
        is_flat = _largest(gradient) <= self.options["tolerance_grad"]
        return is_flat or _largest(direction) * step <= least or abs(change) < least

    def direction(self, gradient: ag.Tensor) -> ag.Tensor:
        """Minus the estimate of the inverse Hessian times the gradient, by the two loops over the history."""
        memory = self.memory
        if memory["n_iter"] == 1:
            memory.update(old_dirs=[], old_stps=[], ro=[], H_diag=1.0)
            return -gradient
        changes, steps, weights = memory["old_dirs"], memory["old_stps"], memory["ro"]
        change, step = gradient - memory["prev_flat_grad"], memory["d"] * memory["t"]
        curvature = _dot(change, step)
        if curvature > _CURVED:
            if len(changes) == self.options["history_size"]:
                for kept in (changes, steps, weights):
                    del kept[:1]
            if self.options["history_size"]:
                changes.append(change)
                steps.append(step)
                weights.append(1 / curvature)
            memory["H_diag"] = curvature / _dot(change, change)
        q, shares = -gradient, []
        for change, step, weight in zip(reversed(changes), reversed(steps), reversed(weights), strict=True):
            shares.append(_dot(step, q) * weight)
            q = q - shares[-1] * change
        q = q * memory["H_diag"]
        for change, step, weight, share in zip(changes, steps, weights, reversed(shares), strict=True):
            q = q + (share - _dot(change, q) * weight) * step
        return q


class _Point:
    """A step that was tried: the loss, the gradient, and the slope along the direction there."""

    __slots__ = ("gradient", "loss", "slope", "step")

    def __init__(self, step: float, loss: float, gradient: ag.Tensor, slope: float) -> None:
        self.step, self.loss, self.gradient, self.slope = step, loss, gradient, slope


class _Search:
    """A line search for Wolfe's strong conditions: first a bracket around such a step, then ever smaller ones."""

    def __init__(self, run: _Run, start: ag.Tensor, direction: ag.Tensor, loss: float, gradient: ag.Tensor, slope: float) -> None:
        self.run, self.start, self.direction = run, start, direction
        self.origin = _Point(0.0, loss, gradient, slope)
        self.longest = _largest(direction)

    def at(self, step: float) -> _Point:
        self.run.move(self.start, step, self.direction)
        _, loss, gradient = self.run.evaluate()
        return _Point(step, loss, gradient, _dot(gradient, self.direction))

    def is_too_high(self, point: _Point) -> bool:
        return point.loss > self.origin.loss + _ENOUGH * point.step * self.origin.slope

    def is_flat(self, point: _Point) -> bool:
        return abs(point.slope) <= -_FLATTER * self.origin.slope

    def go(self, step: float, tries: int) -> tuple[float, float, ag.Tensor]:
        """The step that was found, and the loss and gradient there."""
        best = self.within(*self.bracket(step, tries))
        return best.step, best.loss, best.gradient

    def bracket(self, step: float, tries: int) -> tuple[list[_Point], int]:
        """One point, if it will do, or two with one that will do between them; and the tries that are left."""
        before, point, tried = self.origin, self.at(step), 0
        while tried < tries:
            if self.is_too_high(point) or (tried > 1 and point.loss >= before.loss):
                return [before, point], tries - tried
            if self.is_flat(point):
                return [point], 0
            if point.slope >= 0:
                return [before, point], tries - tried
            bounds = point.step + 0.01 * (point.step - before.step), 10 * point.step
            before, point = point, self.at(_lowest(before, point, *bounds))
            tried += 1
        return [self.origin, point], 0

    def within(self, points: list[_Point], tries: int) -> _Point:
        """The lowest point known when one fulfils the conditions, or the bracket or the tries are used up."""
        low, high = sorted(points, key=lambda p: p.loss) if points[0].loss > points[-1].loss else (points[0], points[-1])
        stalled = False
        while tries > 0 and abs(high.step - low.step) * self.longest >= self.run.options["tolerance_change"]:
            first, last = min(low.step, high.step), max(low.step, high.step)
            step = _lowest(*((low, high) if low.step <= high.step else (high, low)), first, last)
            step, stalled = _inside(step, first, last, stalled)
            point = self.at(step)
            tries -= 1
            if self.is_too_high(point) or point.loss >= low.loss:
                high = point
                if high.loss < low.loss:
                    low, high = high, low
                continue
            if self.is_flat(point):
                return point
            if point.slope * (high.step - low.step) >= 0:
                high = low
            low = point
        return low


def _inside(step: float, first: float, last: float, stalled: bool) -> tuple[float, bool]:
    """A trial step kept off the ends of the bracket, if it came close to one for the second time, or lies outside."""
    margin = 0.1 * (last - first)
    if min(last - step, step - first) >= margin:
        return step, False
    if stalled or step >= last or step <= first:
        return (last - margin if abs(step - last) < abs(step - first) else first + margin), False
    return step, True


def _lowest(a: _Point, b: _Point, low: float, high: float) -> float:
    """Where the cubic through two points, with their slopes, is lowest, between two bounds; their middle if nowhere."""
    first = a.slope + b.slope - 3 * (a.loss - b.loss) / (a.step - b.step)
    square = first * first - a.slope * b.slope
    if not square >= 0:
        return (low + high) / 2
    if a.step > b.step:
        a, b = b, a
    root = sqrt(square)
    step = b.step - (b.step - a.step) * ((b.slope + root - first) / (b.slope - a.slope + 2 * root))
    return min(max(step, low), high)


def _dot(a: ag.Tensor, b: ag.Tensor) -> float:
    return float(ag.vecdot(a, b))


def _largest(x: ag.Tensor) -> float:
    return float(ag.max(ag.abs(x))) if x.size else 0.0
