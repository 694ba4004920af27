"""The derivative rule of all elementwise operations: a formula's derivative is a formula."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from autograd.graph import Node, Port, changed_since
from autograd.mode import grad_mode
from autograd.tensor import Tensor, Version, tensor_of, version_of

if TYPE_CHECKING:
    from autograd.ops.elementwise import Elementwise
    from kernels.layout import Layout

GRADIENT, OUTPUT = -1, -2  # sources of a gradient formula's operands, besides the saved inputs 0, 1, ...


class Recipe:
    """How the gradients of an operation are computed, for a given choice of inputs that need one.

    gradient: the elementwise operation that computes those gradients that take computing; None if none does.
    sources: where its operands come from: (0, place among the saved), (GRADIENT, k) or (OUTPUT, k).
    results: for each input None, GRADIENT to pass the upstream one on, or the place in the operation's results.
    saved: the numbers of the inputs to save.
    formula, derived: the operation's formula, and that of its gradients: what `explain` shows.
    """

    __slots__ = (
        "name", "formula", "derived", "gradient", "sources", "results", "saved", "saves_output", "fresh", "several", "quick",
    )  # fmt: skip

    def __init__(self, operation: Elementwise, needs: tuple[bool, ...]) -> None:
        formula = operation.formula
        derived = formula.gradient(needs)
        self.name, self.formula, self.derived = operation.name, formula, derived
        self.several = len(formula.outputs) > 1
        self.results: list[int | None] = []
        computed: list[int] = []
        position = 0
        for needed in needs:
            place: int | None = None
            if needed:
                if derived.is_identity(position) and not self.several:
                    place = GRADIENT
                elif not derived.is_zero(position):
                    place = len(computed)
                    computed.append(position)
                position += 1
            self.results.append(place)
        self.fresh = GRADIENT not in self.results
        self.gradient = type(operation)(derived.select(computed)) if computed else None
        roles = [_source(role) for role in self.gradient.formula.roles] if self.gradient else []
        self.saved = tuple(sorted({place for kind, place in roles if kind == 0}))
        self.sources = [(k, self.saved.index(p) if k == 0 else p) for k, p in roles]
        self.saves_output = any(kind == OUTPUT for kind, _ in roles)
        self.quick = _quick_rule(self)


def _quick_rule(recipe: Recipe) -> Callable[[ElementwiseNode, Tensor], tuple] | None:
    """The rule as one short function, for the two commonest cases; None for others.

    They are: gradients that are the upstream one or none (add, subtract's first), and a single gradient computed from the
    upstream one and one saved operand (multiply by a constant, most activations).
    """
    gradient, results = recipe.gradient, recipe.results
    if recipe.several or len(results) > 2:
        return None
    if gradient is None:
        first, last = results[0] == GRADIENT, results[-1] == GRADIENT
        if len(results) == 1:
            return lambda node, grad: (grad if first else None,)
        return lambda node, grad: (grad if first else None, grad if last else None)
    short = gradient.short
    if short is None or recipe.sources != [(GRADIENT, 0), (0, 0)] or GRADIENT in results or results.count(0) != 1:
        return None
    place = results.index(0)

    def rule(node: ElementwiseNode, grad: Tensor) -> tuple:
        saved = node.saved[0]
        if isinstance(saved, Tensor) and saved._version is not None:
            node._check(0)
        result = short(grad, saved)
        return (result,) if len(results) == 1 else (result, None) if place == 0 else (None, result)

    return rule


def _source(role: tuple[str, int]) -> tuple[int, int]:
    kind, place = role
    return {"gradient": GRADIENT, "output": OUTPUT, "input": 0}[kind], place


class ElementwiseNode(Node):
    """A recorded elementwise operation."""

    __slots__ = ("fresh", "recipe", "values", "versions")

    versions: tuple[Any, ...]

    def __init__(self, recipe: Recipe, edges: tuple, layout: Layout, saved: Sequence[Any], values: tuple) -> None:
        self.inputs = edges
        self.layout = layout
        self.extra = self.kept = None
        self.recipe = recipe
        self.fresh = recipe.fresh
        self.values = values
        self.saved = tuple(saved)
        self.versions = tuple([version_of(s) if isinstance(s, Tensor) else 0 for s in saved])

    @property
    def name(self) -> str:
        return self.recipe.name

    def keep_outputs(self, outputs: Sequence[Tensor]) -> None:
        """Save the results, as arrays: a node must not hold a tensor that leads back to it."""
        kept = []
        for out in outputs:
            if out._version is None:
                out._version = Version()
            kept.append((out._data, out._layout, out._version, out._version.count))
        self.kept = tuple(kept)

    def backward(self, grad: Any) -> Any:
        recipe = self.recipe
        if recipe.quick is not None:
            return recipe.quick(self, grad)
        computed: Any = ()
        if recipe.gradient is not None:
            operands = [self._operand(kind, place, grad) for kind, place in recipe.sources]
            short = recipe.gradient.short
            computed = short(*operands) if short is not None else recipe.gradient.run(operands, self.values)
            if type(computed) is not tuple:
                computed = (computed,)
        return tuple([None if r is None else grad if r == GRADIENT else computed[r] for r in recipe.results])

    def _check(self, place: int) -> None:
        """Raise if a saved operand was changed since."""
        saved = self.saved[place]
        before, now = self.versions[place] or 0, version_of(saved)
        if before != now:
            raise changed_since(self.name, "an operand", saved.shape, before, now)

    def _operand(self, kind: int, place: int, grad: Any) -> Any:
        if kind == GRADIENT:
            return self._upstream(grad, place) if self.recipe.several else grad
        if kind == OUTPUT:
            return self._output(place)
        saved = self.saved[place]
        if isinstance(saved, Tensor) and saved._version is not None:
            self._check(place)
        return saved

    def _upstream(self, grads: dict[int, Tensor], place: int) -> Tensor:
        from autograd.ops.creation import zeros

        layout = self.kept[place][1]
        return grads[place] if place in grads else zeros(layout.shape, dtype=layout.dtype, device=layout.device)

    def _output(self, place: int) -> Tensor:
        data, layout, version, count = self.kept[place]
        if version.count != count:
            raise changed_since(self.name, "its result", layout.shape, count, version.count)
        out = tensor_of(data, layout)
        out._version = version
        if grad_mode.get():
            out._edge = Port(self, place, layout) if self.recipe.several else self
        return out
