"""Elementwise operations: every formula of the table as a differentiable function of tensors.

Nothing is written per operation. The forward pass runs the formula; the derivative rule is the formula's own derivative,
which is a formula again, and so an elementwise operation again: gradients of any order come from one class.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from autograd import dtypes
from autograd.graph import Port, remember_caller
from autograd.mode import anomaly_mode, grad_mode
from autograd.ops import complex_numbers
from autograd.ops.derivative import ElementwiseNode, Recipe
from autograd.tensor import Tensor, tensor_of
from kernels import backend_for, formulas
from kernels.formula import Formula
from kernels.layout import Layout, broadcast_shapes, dense_layout

_PLANS = 1 << 12  # plans kept per operation
_NUMBERS = dtypes.NUMBERS
_COMPARISONS = ("equal", "not_equal", "less", "less_equal", "greater", "greater_equal")


class Plan:
    """What one operation does with operands of given layouts: the kernel's plan and what to record.

    checks: the dtype of integers that operands have to be checked for, see `check_integers`.
    ordinary: whether nothing is to be checked, and there is one result: see `short_form`.
    call: the kernel's; None for complex numbers, which have a way of their own.
    recipes: for two (or one) operands, by which of them need a gradient (1 the first, 2 the second, 3 both); filled in
    when first needed.
    """

    __slots__ = ("call", "checks", "layout", "layouts", "ordinary", "recipes", "records")

    def __init__(self, call: Any, layouts: tuple[Layout, ...], records: bool, checks: np.dtype | None) -> None:
        self.call, self.layouts, self.layout, self.records, self.checks = call, layouts, layouts[0], records, checks
        self.ordinary = checks is None and len(layouts) == 1 and call is not None
        self.recipes: list[Recipe | None] = [None] * 4


class Elementwise:  # a formula as a function of tensors, arrays and Python numbers, with broadcasting and promotion

    def __init__(self, formula: Formula, name: str | None = None) -> None:
        self.formula = formula
        self.__name__ = self.name = name or formula.name
        self._plans: dict[Any, Plan] = {}
        self._recipes: dict[tuple[bool, ...], Recipe] = {}
        self._values: dict[tuple, tuple] = {}
        self.short = short_form(self, lambda *operands: self.run(operands))

    @property
    def __doc__(self) -> str:  # type: ignore[override]  # written when asked for: the formula is built at first use
        return f"{self.name}: elementwise, {self.formula}."

    def __getattr__(self, name: str) -> Any:
        if name == "__signature__":  # for inspect.signature and help(): operands by position, parameters by keyword
            return self._signature()
        raise AttributeError(f"elementwise operation {self.__dict__.get('name')} has no attribute {name!r}")

    def _signature(self) -> inspect.Signature:
        formula = self.formula
        standard = ("x",) if len(formula.inputs) == 1 else ("x1", "x2")
        names = standard if len(formula.inputs) < 3 and not formula.parameters else formula.inputs
        return inspect.Signature([
            *(inspect.Parameter(n, inspect.Parameter.POSITIONAL_ONLY) for n in names),
            *(
                inspect.Parameter(n, inspect.Parameter.KEYWORD_ONLY, default=formula.defaults.get(n, inspect.Parameter.empty))
                for n in formula.parameters
            ),
        ])

    def __repr__(self) -> str:
        return f"<elementwise operation {self.name}>"

    def __deepcopy__(self, memo: dict) -> Elementwise:
        """Itself, like any function: a layer that keeps an activation can be copied."""
        return self

    def __call__(self, *operands: Any, **parameters: float) -> Any:
        if self.short is not None and not parameters and len(operands) == len(self.formula.inputs):
            return self.short(*operands)
        return self.run(operands, self._ordered(parameters))

    def _ordered(self, parameters: dict) -> tuple:
        """The formula's parameters in order."""
        if not self.formula.parameters and not parameters:
            return ()
        values = self.formula.values(parameters)
        return values if all(type(v) in _NUMBERS for v in values) else tuple(float(v) for v in values)

    def run(self, operands: Sequence[Any], values: tuple = ()) -> Any:
        """The operation on any number of operands, with the formula's parameters in order."""
        kinds, data = [], []
        for operand in operands:
            if isinstance(operand, Tensor):
                kinds.append(operand._layout)
                data.append(operand._data)
            elif type(operand) in _NUMBERS:
                kinds.append(type(operand))
                data.append(operand)
            elif hasattr(operand, "call_operation"):  # a stand-in inside a fused function
                return operand.call_operation(self, operands, values)
            else:
                device = next((o.device for o in operands if isinstance(o, Tensor)), "cpu")
                return self.run([as_operand(o, self.name, device) for o in operands], values)
        key = tuple(kinds)
        plan = self._plans.get(key) or self._make_plan(key)
        if plan.call is None:
            return complex_numbers.run(self, operands, self._compute_dtype(key))
        if plan.checks is not None:
            checked = check_integers(self.name, operands, plan.checks)
            if checked is not operands:
                return self.run(checked, values)
        results = plan.call(*data, *self._prepared(values)) if values else plan.call(*data)
        return self._finish(plan, results, operands, values)

    def _prepared(self, values: tuple) -> tuple:
        """The kernel's parameters, worked out from the formula's: see Formula.hoisted."""
        found = self._values.get(values)
        if found is None:
            if len(self._values) >= _PLANS:
                self._values.clear()
            found = self._values[values] = self.formula.prepare(values)
        return found

    def _finish(self, plan: Plan, data: Any, operands: Sequence[Any], values: tuple) -> Any:
        """Wrap the results, and record the operation where an operand requires grad."""
        several = len(plan.layouts) > 1
        arrays = data if several else (data,)
        outputs = tuple([tensor_of(d, layout) for d, layout in zip(arrays, plan.layouts, strict=True)])
        if plan.records and grad_mode.get():
            edges = tuple([o._edge if isinstance(o, Tensor) else None for o in operands])
            if any(edges):
                recipe = self.recipe(tuple([e is not None for e in edges]))
                node = ElementwiseNode(recipe, edges, plan.layout, [operands[k] for k in recipe.saved], values)
                if several or recipe.saves_output:
                    node.keep_outputs(outputs)
                for k, out in enumerate(outputs):
                    out._edge = Port(node, k, out._layout) if several else node
                if anomaly_mode.get():
                    remember_caller(node, outputs, operands)
        return outputs if several else outputs[0]

    def recipe(self, needs: tuple[bool, ...]) -> Recipe:
        """How the gradients for these inputs are computed."""
        found = self._recipes.get(needs)
        if found is None:
            found = self._recipes[needs] = Recipe(self, needs)
        return found

    # --- worked out once per layout -------------------------------------------------------------------------------

    def _make_plan(self, kinds: tuple) -> Plan:
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
        if compute.kind == "c" and complex_numbers.is_defined(self):
            return self._keep_plan(kinds, self._complex_plan(kinds, compute))
        if compute.kind not in formula.kinds:
            raise TypeError(self._kind_message(kinds, compute))
        backend = backend_for(arrays[0].device)
        made = backend.plan_for(formula.hoisted, kinds, compute)
        exponent = kinds[1] if self.name == "pow" else None
        is_checked = len(arrays) < len(kinds) or (isinstance(exponent, Layout) and exponent.dtype.kind == "i")
        plan = Plan(
            made.call,
            made.layouts,
            formula.result != "bool" and compute.kind == "f",
            compute if is_checked and compute.kind in "iu" else None,
        )
        return self._keep_plan(kinds, plan)

    def _keep_plan(self, kinds: tuple, plan: Plan) -> Plan:
        if len(self._plans) >= _PLANS:
            self._plans.clear()
        self._plans[kinds] = plan
        return plan

    def _complex_plan(self, kinds: tuple, compute: np.dtype) -> Plan:
        arrays = [k for k in kinds if isinstance(k, Layout)]
        shape = broadcast_shapes(self.name, *[a.shape for a in arrays])
        layout = dense_layout(shape, complex_numbers.result_dtype(self, compute), device=arrays[0].device)
        return Plan(None, (layout,), False, None)

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
        if "f" in formula.kinds and compute.kind not in (*formula.kinds, "c") and not set("iub") & set(formula.kinds):
            compute = dtypes.default_float  # sqrt of integers, and their quotient
        return compute

    def _kind_message(self, kinds: tuple, compute: np.dtype) -> str:
        words = {"b": "bool", "i": "signed integers", "u": "unsigned integers", "f": "floats"}
        given = ", ".join(f"{k.shape} {k.dtype}" if isinstance(k, Layout) else f"a Python {k.__name__}" for k in kinds)
        takes = ", ".join(words[k] for k in self.formula.kinds)
        takes += ", complex numbers" if complex_numbers.is_defined(self) else ""
        return f"{self.name} is not defined on {compute} (operands: {given}); it takes {takes}: convert with astype first"


def short_form(operation: Elementwise, otherwise: Callable) -> Callable | None:
    """The operation as a plain function for the ordinary case: one or two operands, no parameters, one result.

    Equal to `Elementwise.run`, with everything in one function: at a microsecond per operation, calls count. What is not
    ordinary (layouts met for the first time, operands that are no tensors) goes to `otherwise`.
    """
    formula = operation.formula
    if formula.parameters or len(formula.inputs) not in (1, 2):
        return None
    return (_short_binary if len(formula.inputs) == 2 else _short_unary)(operation, otherwise)


def _short_binary(operation: Elementwise, otherwise: Callable) -> Callable:
    plans, new = operation._plans, object.__new__
    recording, anomaly = grad_mode.get, anomaly_mode.get

    def binary(x: Any, y: Any, /) -> Any:
        if not isinstance(x, Tensor):
            return otherwise(x, y)
        if isinstance(y, Tensor):
            plan = plans.get((x._layout, y._layout))
            if plan is None or not plan.ordinary:
                return otherwise(x, y)
            data, y_edge = plan.call(x._data, y._data), y._edge
        else:
            plan = plans.get((x._layout, type(y)))
            if plan is None or not plan.ordinary:
                return otherwise(x, y)
            data, y_edge = plan.call(x._data, y), None
        out = new(Tensor)
        out._data = data
        out._layout = plan.layout
        out._version = None
        x_edge = x._edge
        if (x_edge is None and y_edge is None) or not plan.records or not recording():
            out._edge = None
            return out
        which = (x_edge is not None) + 2 * (y_edge is not None)
        recipe = plan.recipes[which]
        if recipe is None:
            recipe = plan.recipes[which] = operation.recipe((x_edge is not None, y_edge is not None))
        out._edge = node = new(ElementwiseNode)
        node.inputs = (x_edge, y_edge)
        node.layout = plan.layout
        node.extra = node.kept = None
        node.recipe = recipe
        node.fresh = recipe.fresh
        node.values = ()
        saves = recipe.saved
        if not saves:
            node.saved = node.versions = ()
        elif len(saves) == 2:
            node.saved = (x, y)
            node.versions = (x._version and x._version.count, isinstance(y, Tensor) and y._version and y._version.count)
        else:
            kept = y if saves[0] else x
            node.saved = (kept,)
            node.versions = (isinstance(kept, Tensor) and kept._version and kept._version.count,)
        if recipe.saves_output:
            node.keep_outputs((out,))
        if anomaly():
            remember_caller(node, (out,), (x, y))
        return out

    return binary


def _short_unary(operation: Elementwise, otherwise: Callable) -> Callable:
    plans, new = operation._plans, object.__new__
    recording, anomaly = grad_mode.get, anomaly_mode.get

    def unary(x: Any, /) -> Any:
        plan = plans.get((x._layout,)) if isinstance(x, Tensor) else None
        if plan is None or not plan.ordinary:
            return otherwise(x)
        out = new(Tensor)
        out._data = plan.call(x._data)
        out._layout = plan.layout
        out._version = None
        edge = x._edge
        if edge is None or not plan.records or not recording():
            out._edge = None
            return out
        recipe = plan.recipes[1]
        if recipe is None:
            recipe = plan.recipes[1] = operation.recipe((True,))
        out._edge = node = new(ElementwiseNode)
        node.inputs = (edge,)
        node.layout = plan.layout
        node.extra = node.kept = None
        node.recipe = recipe
        node.fresh = recipe.fresh
        node.values = ()
        node.saved = (x,) if recipe.saved else ()
        node.versions = (x._version and x._version.count,) if recipe.saved else ()
        if recipe.saves_output:
            node.keep_outputs((out,))
        if anomaly():
            remember_caller(node, (out,), (x,))
        return out

    return unary


def as_operand(value: Any, name: str, device: str = "cpu") -> Any:
    """An operand that is neither Tensor nor Python number, made into one of them.

    A NumPy scalar is a number that belongs to no device, and goes to the given one; arrays and lists are on the CPU.
    """
    if isinstance(value, Tensor) or type(value) in _NUMBERS or hasattr(value, "call_operation"):
        return value
    if isinstance(value, (np.ndarray, np.generic, list, tuple)):
        from autograd.ops.creation import asarray

        return asarray(value, device=device if isinstance(value, np.generic) else None)
    raise TypeError(
        f"{name}: an operand is a {type(value).__name__}; operands are tensors, NumPy arrays, lists or Python numbers"
    )


def check_integers(name: str, operands: Sequence[Any], dtype: np.dtype) -> Sequence[Any]:
    """The operands, unless the operation is not defined on them: numbers must fit, and powers be natural ones.

    Comparisons answer for any number, as in NumPy 2: one that does not fit compares as the infinity of its sign.
    """
    if name == "pow":
        _check_exponent(operands[1])
    bounds = np.iinfo(dtype)
    outside = [not isinstance(o, Tensor) and not bounds.min <= o <= bounds.max for o in operands]
    if not any(outside):
        return operands
    if name in _COMPARISONS:
        return [math.copysign(math.inf, o) if out else o for o, out in zip(operands, outside, strict=True)]
    raise OverflowError(f"{name}: the number {operands[outside.index(True)]} is out of bounds for {dtype}")


def _check_exponent(exponent: Any) -> None:
    """Raise if the power of integers is negative, anywhere in it: this looks at the elements, and waits for them."""
    from autograd.ops.reduce import any as any_

    if isinstance(exponent, Tensor):
        if exponent.dtype.kind == "i" and any_(OPERATIONS["less"](exponent, 0)):
            raise ValueError("pow: integers cannot be raised to negative powers, and some exponents are; convert to floats first")
    elif exponent < 0:
        raise ValueError(f"pow: integers cannot be raised to the negative power {exponent}; convert to floats first")


# --- the table -------------------------------------------------------------------------------------------------------

OPERATIONS: dict[str, Elementwise] = {name: Elementwise(formula) for name, formula in formulas.TABLE.items()}


def __getattr__(name: str) -> Elementwise:
    try:
        return OPERATIONS[name]
    except KeyError:
        raise AttributeError(f"no elementwise operation {name!r}") from None
