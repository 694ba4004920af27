"""Elementwise operations: every formula of the table as a differentiable function of tensors.

Nothing is written per operation. The forward pass runs the formula; the derivative rule is the formula's own derivative,
which is a formula again, and so an elementwise operation again: gradients of any order come from one class.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from autograd import dtypes
from autograd.engine import Leaf, Node, Port, remember_caller
from autograd.mode import anomaly_mode, grad_mode
from autograd.tensor import Tensor, Version, version_of, wrap
from kernels import backend_for, formulas
from kernels.formula import Formula
from kernels.layout import Layout

_PLANS = 1 << 12  # plans kept per operation
_NUMBERS = (float, int, bool)
_new = Tensor.__new__

GRADIENT, OUTPUT = -1, -2  # sources of a gradient formula's operands, besides the saved inputs 0, 1, ...


class Plan:
    """What one operation does with operands of given layouts: the kernel's plan and what to record."""

    __slots__ = ("call", "layouts", "records", "checks")

    def __init__(self, call: Callable, layouts: tuple[Layout, ...], records: bool, checks: np.dtype | None) -> None:
        self.call, self.layouts, self.records, self.checks = call, layouts, records, checks


class Elementwise:
    """A formula as a function of tensors, arrays and Python numbers, with broadcasting and type promotion."""

    def __init__(self, formula: Formula, name: str | None = None) -> None:
        self.formula = formula
        self.__name__ = self.name = name or formula.name
        self.__doc__ = f"{self.name}: elementwise, {formula}."
        self._plans: dict[Any, Plan] = {}
        self._recipes: dict[tuple[bool, ...], Recipe] = {}
        self._values: dict[tuple, tuple] = {}

    def __repr__(self) -> str:
        return f"<elementwise operation {self.name}>"

    def __call__(self, *operands: Any, **parameters: float) -> Any:
        values = ()
        if self.formula.parameters:
            key = tuple(parameters.items())
            found = self._values.get(key)
            if found is None:
                found = self._prepare(parameters, key)
            values, prepared = found
        elif parameters:
            self.formula.values(parameters)  # says which there are
        if len(operands) == 2:
            x, y = operands
            if isinstance(x, Tensor) and isinstance(y, Tensor) and not values:
                plan = self._plans.get((x._layout, y._layout))
                if plan is not None:
                    return self._finish(plan, plan.call(x._data, y._data), operands, ())
        kinds, data = [], []
        for operand in operands:
            if isinstance(operand, Tensor):
                kinds.append(operand._layout)
                data.append(operand._data)
            elif type(operand) in _NUMBERS:
                kinds.append(type(operand))
                data.append(operand)
            else:
                return self(*(_operand(o, self.name) for o in operands), **parameters)
        key = tuple(kinds)
        plan = self._plans.get(key)
        if plan is None:
            plan = self._make_plan(key, operands)
        if plan.checks is not None:
            _check_numbers(self.name, operands, plan.checks)
        return self._finish(plan, plan.call(*data, *prepared) if values else plan.call(*data), operands, values)

    def _prepare(self, parameters: dict, key: tuple) -> tuple[tuple, tuple]:
        values = self.formula.values(parameters)
        if not all(type(v) in _NUMBERS for v in values):
            values = tuple(float(v) for v in values)
        if len(self._values) >= _PLANS:
            self._values.clear()
        found = self._values[key] = values, self.formula.prepare(values)
        return found

    def _finish(self, plan: Plan, data: Any, operands: Sequence[Any], values: tuple) -> Any:
        """Wrap the results, and record the operation where an operand requires grad."""
        layouts = plan.layouts
        if len(layouts) > 1:
            outputs = tuple([_tensor(d, layout) for d, layout in zip(data, layouts, strict=True)])
        else:
            outputs = out = _tensor(data, layouts[0])
        if plan.records and grad_mode.get():
            edges = tuple([o._edge if isinstance(o, Tensor) else None for o in operands])
            if any(edges):
                needs = tuple([e is not None for e in edges])
                recipe = self._recipes.get(needs) or self._make_recipe(needs)
                node = ElementwiseNode(self, recipe, edges, layouts[0], operands, values)
                if len(layouts) > 1:
                    node.keep_outputs(outputs)
                    for k, o in enumerate(outputs):
                        o._edge = Port(node, k, o._layout)
                else:
                    if recipe.saves_output:
                        node.keep_outputs((out,))
                    out._edge = node
        return outputs

    # --- worked out once per layout -------------------------------------------------------------------------------

    def _make_plan(self, kinds: tuple, operands: Sequence[Any]) -> Plan:
        formula = self.formula
        if len(kinds) != len(formula.inputs):
            raise TypeError(f"{self.name}: takes {len(formula.inputs)} operands {formula.inputs}, got {len(kinds)}")
        arrays = [k for k in kinds if isinstance(k, Layout)]
        if not arrays:
            raise TypeError(f"{self.name}: at least one operand must be a tensor, got Python numbers alone")
        devices = {a.device for a in arrays}
        if len(devices) > 1:
            listed = " and ".join(sorted(devices))
            raise RuntimeError(f"{self.name}: operands are on {listed}; bring them together with .to(device)")
        compute = self._compute_dtype(kinds)
        if compute.kind not in formula.kinds:
            raise TypeError(self._kind_message(kinds, compute))
        backend = backend_for(arrays[0].device)
        made = backend.plan_for(formula.hoisted, kinds, compute)
        has_numbers = len(arrays) < len(kinds)
        plan = Plan(
            made.call,
            made.layouts,
            formula.result != "bool" and compute.kind == "f",
            compute if has_numbers and compute.kind in "iu" else None,
        )
        if len(self._plans) >= _PLANS:
            self._plans.clear()
        self._plans[kinds] = plan
        return plan

    def _compute_dtype(self, kinds: tuple) -> np.dtype:
        formula = self.formula
        counted = [k for k, name in zip(kinds, formula.inputs, strict=True) if name not in formula.booleans]
        strong = [k.dtype for k in counted if isinstance(k, Layout)]
        numbers = [k for k in counted if not isinstance(k, Layout)]
        if strong:
            compute = strong[0]
            for other in strong[1:]:
                compute = dtypes.promote(compute, other)
            for number in numbers:
                compute = dtypes.promote_number(compute, number)
        else:
            compute = dtypes.result_type(*(n() for n in numbers))
        if "f" in formula.kinds and compute.kind not in formula.kinds and not set("iub") & set(formula.kinds):
            compute = dtypes.default_float  # sqrt of integers, and their quotient
        return compute

    def _kind_message(self, kinds: tuple, compute: np.dtype) -> str:
        words = {"b": "bool", "i": "signed integers", "u": "unsigned integers", "f": "floats"}
        given = ", ".join(f"{k.shape} {k.dtype}" if isinstance(k, Layout) else f"a Python {k.__name__}" for k in kinds)
        takes = ", ".join(words[k] for k in self.formula.kinds)
        return f"{self.name} is not defined on {compute} (operands: {given}); it takes {takes}: convert with astype first"

    def _make_recipe(self, needs: tuple[bool, ...]) -> Recipe:
        recipe = self._recipes[needs] = Recipe(self.formula, needs)
        return recipe


def _tensor(data: Any, layout: Layout) -> Tensor:
    out = _new(Tensor)
    out._data = data
    out._layout = layout
    out._edge = None
    out._version = None
    return out


def _operand(value: Any, name: str) -> Any:
    """An operand that is neither Tensor nor Python number, made into one of them."""
    if isinstance(value, Tensor) or type(value) in _NUMBERS:
        return value
    if isinstance(value, (np.ndarray, np.generic, list, tuple)):
        from autograd.ops.creation import asarray

        return asarray(value)
    raise TypeError(
        f"{name}: an operand is a {type(value).__name__}; operands are tensors, NumPy arrays, lists or Python numbers"
    )


def _check_numbers(name: str, operands: Sequence[Any], dtype: np.dtype) -> None:
    bounds = np.iinfo(dtype)
    for number in operands:
        if not isinstance(number, Tensor) and not bounds.min <= number <= bounds.max:
            raise OverflowError(f"{name}: the number {number} is out of bounds for {dtype}")


# --- the derivative --------------------------------------------------------------------------------------------------


class Recipe:
    """How the gradients of an operation are computed, for a given choice of inputs that need one.

    operation: the elementwise operation that computes those gradients that take computing.
    sources: where its operands come from: a saved input's place, GRADIENT or OUTPUT.
    results: for each input None, ("gradient",) to pass the upstream one on, or the place in the operation's results.
    """

    __slots__ = ("operation", "sources", "results", "saved", "saves_output", "fresh", "several")

    def __init__(self, formula: Formula, needs: tuple[bool, ...]) -> None:
        gradient = formula.gradient(needs)
        self.several = len(formula.outputs) > 1
        self.results: list[int | None] = []
        computed: list[int] = []
        position = 0
        for needed in needs:
            place: int | None = None
            if needed:
                if gradient.is_identity(position) and not self.several:
                    place = GRADIENT
                elif not gradient.is_zero(position):
                    place = len(computed)
                    computed.append(position)
                position += 1
            self.results.append(place)
        self.fresh = GRADIENT not in self.results
        self.operation: Elementwise | None = None
        self.sources: list[tuple[int, int]] = []
        if computed:
            chosen = gradient.select(computed)
            self.operation = Elementwise(chosen, f"{formula.name} backward" if "'" not in formula.name else formula.name)
            self.sources = [_source(role) for role in chosen.roles]
        self.saved = tuple(sorted({place for kind, place in self.sources if kind == 0}))
        self.sources = [(k, self.saved.index(p)) if k == 0 else (k, p) for k, p in self.sources]
        self.saves_output = any(kind == OUTPUT for kind, _ in self.sources)


def _source(role: tuple[str, int]) -> tuple[int, int]:
    kind, place = role
    return {"gradient": (GRADIENT, place), "output": (OUTPUT, place), "input": (0, place)}[kind]


class ElementwiseNode(Node):
    """A recorded elementwise operation."""

    __slots__ = ("operation", "recipe", "saved", "versions", "outputs", "values")

    def __init__(self, operation, recipe, edges, layout, operands, values) -> None:
        self.inputs = edges
        self.layout = layout
        self.extra = None
        self.operation = operation
        self.recipe = recipe
        self.values = values
        self.outputs: tuple[tuple[Any, Layout, Version], ...] = ()
        self.saved: tuple[Any, ...] | None = tuple([operands[k] for k in recipe.saved])
        self.versions = tuple([version_of(s) if isinstance(s, Tensor) else 0 for s in self.saved])
        if anomaly_mode.get():
            remember_caller(self)

    @property
    def name(self) -> str:
        return self.operation.name

    @property
    def fresh(self) -> bool:  # type: ignore[override]
        return self.recipe.fresh

    def keep_outputs(self, outputs: Sequence[Tensor]) -> None:
        """Save the results, as arrays: a node must not hold a tensor that leads back to it."""
        kept = []
        for out in outputs:
            if out._version is None:
                out._version = Version()
            kept.append((out._data, out._layout, out._version, out._version.count))
        self.outputs = tuple(kept)

    def backward(self, grad: Any) -> Any:
        recipe = self.recipe
        computed: Any = ()
        if recipe.operation is not None:
            operands = [self._operand(kind, place, grad) for kind, place in recipe.sources]
            computed = recipe.operation(*operands, **dict(zip(self.operation.formula.parameters, self.values, strict=True)))
            if type(computed) is not tuple:
                computed = (computed,)
        return tuple([None if r is None else grad if r == GRADIENT else computed[r] for r in recipe.results])

    def _operand(self, kind: int, place: int, grad: Any) -> Any:
        if kind == GRADIENT:
            return self._upstream(grad, place) if self.recipe.several else grad
        if kind == OUTPUT:
            return self._output(place)
        saved = self.saved[place]  # type: ignore[index]
        if isinstance(saved, Tensor) and version_of(saved) != self.versions[place]:
            raise _modified(self.name, "an operand", saved.shape, self.versions[place], version_of(saved))
        return saved

    def _upstream(self, grads: dict[int, Tensor], place: int) -> Tensor:
        from autograd.ops.creation import zeros

        layout = self.outputs[place][1]
        return grads[place] if place in grads else zeros(layout.shape, dtype=layout.dtype, device=layout.device)

    def _output(self, place: int) -> Tensor:
        data, layout, version, count = self.outputs[place]
        if version.count != count:
            raise _modified(self.name, "its result", layout.shape, count, version.count)
        out = _tensor(data, layout)
        out._version = version
        if grad_mode.get():
            out._edge = Port(self, place, layout) if self.recipe.several else self
        return out

    @property
    def released(self) -> bool:
        return self.saved is None

    def release(self) -> None:
        self.saved = None
        self.outputs = ()


def _modified(name: str, what: str, shape: tuple, before: int, now: int) -> RuntimeError:
    return RuntimeError(
        f"backward of {name}: {what} (shape {shape}), saved for the gradient, was changed by an in-place operation since "
        f"(version {before} then, {now} now); use the out-of-place form, or change a clone"
    )


# --- in place --------------------------------------------------------------------------------------------------------


def add_into(total: Tensor, grad: Tensor) -> None:
    """total += grad, outside any graph, on memory that only the caller holds."""
    backend_for(total.device).apply(formulas.add, total._data, grad._data, out=total._data)


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
    others = tuple(_operand(o, name) for o in others)
    recording = grad_mode.get() and any(isinstance(o, Tensor) and o._edge is not None for o in (target, *others))
    if recording:
        _check_may_record(target, name)
    if not target._data.flags.writeable:
        raise ValueError(f"{name}: the tensor's memory is read-only")
    before = _tensor(target._data, target._layout)
    before._edge = target._edge
    plan_kinds = tuple(o._layout if isinstance(o, Tensor) else type(o) for o in (target, *others))
    plan = operation._plans.get(plan_kinds) or operation._make_plan(plan_kinds, (target, *others))
    layout = plan.layouts[0]
    if layout.dtype != target.dtype:
        raise TypeError(f"{name}: the result is {layout.dtype} and does not fit the tensor's {target.dtype}; use astype")
    if layout.shape != target.shape:
        raise ValueError(f"{name}: the result has shape {layout.shape}, the tensor {target.shape}")
    backend = backend_for(target.device)
    if recording:
        result = operation(before, *(before if o is target else o for o in others), **parameters)
        node = result._edge
        if isinstance(node, ElementwiseNode) and node.saved and any(s is before for s in node.saved):
            before._data = backend.copy(before._data)
        backend.copy(result._data, out=target._data)
        target._edge = node
    else:
        if plan.checks is not None:
            _check_numbers(name, (target, *others), plan.checks)
        data = [o._data if isinstance(o, Tensor) else o for o in (target, *others)]
        backend.apply(operation.formula, *data, out=target._data, dtype=target.dtype, **parameters)
    count_change(target)
    if recording and isinstance(target._edge, ElementwiseNode) and target._edge.recipe.saves_output:
        target._edge.keep_outputs((target,))
    return target


def count_change(tensor: Tensor) -> None:
    """Note that the tensor's memory was changed."""
    if tensor._version is None:
        tensor._version = Version()
    tensor._version.count += 1


def _check_may_record(target: Tensor, name: str) -> None:
    if type(target._edge) is Leaf:
        raise RuntimeError(
            f"{name}: a leaf that requires grad (shape {target.shape}) cannot be changed in place while operations are "
            "recorded; do it under no_grad(), or use the out-of-place form"
        )
    version = target._version
    if version is not None and sum(ref() is not None for ref in version.sharers) > 1:
        raise RuntimeError(
            f"{name}: the tensor (shape {target.shape}) shares its memory with another one (a view, or what it is a view "
            "of), whose gradient would then be wrong; use the out-of-place form, or change a clone()"
        )


# --- the table -------------------------------------------------------------------------------------------------------

OPERATIONS: dict[str, Elementwise] = {name: Elementwise(formula) for name, formula in formulas.TABLE.items()}


def __getattr__(name: str) -> Elementwise:
    try:
        return OPERATIONS[name]
    except KeyError:
        raise AttributeError(f"no elementwise operation {name!r}") from None
