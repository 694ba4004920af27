"""Elementwise operations on the CPU: any formula, on arrays of any layout, in one pass.

`apply(formula, *operands)` is the whole interface. What a call needs besides running the loop (the broadcast shape, the
merged dimensions, which loop to use, where the result goes) depends only on the operands' layouts, so it is worked out
once and kept as a `Plan`; calls that come the same way again look it up.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import Any

import numpy as np

from kernels import codegen, launch, memory
from kernels.cpu.compiler import compile_kernel
from kernels.formula import Formula
from kernels.layout import Layout, broadcast_shapes, layout_of
from kernels.walk import (
    Into,
    Source,
    Walk,
    check_kind,
    check_numbers,
    check_outputs,
    compute_dtype,
    is_number,
    operations,
    overwritten,
)

_SHORT_ROW = 16  # elements: an inner loop shorter than this costs as much
_PLANS = 1 << 13  # plans kept; a program with endless new shapes must not fill the memory


class Plan:
    """How a formula runs on operands of given layouts.

    `layouts` are those of the results. `call(*operands, *values)` allocates and returns the results (the array itself
    where there is one); `fill(arguments)` runs the loop on memory that exists.
    """

    __slots__ = ("call", "items", "kernel", "layouts", "walk", "work")

    def __init__(self, formula: Formula, sources: Sequence[Source], compute: np.dtype, into: Into | None = None) -> None:
        walk = Walk(formula, sources, compute, into)
        self.layouts = walk.layouts
        self._choose_loop(formula, sources, compute, walk)
        self.call = self._caller(len(sources), formula, walk.order)

    def _choose_loop(self, formula: Formula, sources: Sequence[Source], compute: np.dtype, walk: Walk) -> None:
        sizes, access = walk.sizes, walk.access
        outer = len(sizes) > 1 or "x" in access
        variant = codegen.Variant(
            compute=compute.name,
            inputs=tuple(s.dtype.name if isinstance(s, Layout) else compute.name for s in sources),
            outputs=tuple(o.dtype.name for o in self.layouts),
            access=access,
            aliases=tuple(walk.aliases),
            outer=outer,
        )
        self.kernel = elementwise_kernel(formula, variant)
        self.items = prod(sizes[:-1] if outer else sizes)
        self.work = (max(sizes[-1], _SHORT_ROW) if outer and sizes else 1) * _weight(formula)
        if 0 in sizes:
            self.items = 0
        self.walk = _packed_walk(sizes, walk.strides) if outer else None

    def _caller(self, arity: int, formula: Formula, order: tuple[int, ...]) -> Callable[..., Any]:
        """`call` for this plan, short where it is the ordinary case: one result, one loop, one thread."""
        permuted = tuple(self.layouts[0].shape[a] for a in order)
        dtype, items, kernel = self.layouts[0].dtype, self.items, self.kernel
        make = memory.maker(permuted, dtype)
        in_order = order == tuple(range(len(order)))
        plain = len(self.layouts) == 1 and in_order and not formula.parameters and self.walk is None and items
        if plain and items * self.work < launch.PARALLEL_WORK and arity <= 2:
            return _short_caller(arity, make, permuted, dtype, kernel, items)
        back = None if in_order else tuple(int(a) for a in np.argsort(order))
        several = len(self.layouts) > 1

        def call(*operands: Any) -> Any:
            outputs = tuple([make(permuted, dtype) for _ in self.layouts])
            if items:
                self.fill((*operands[:arity], *outputs, *operands[arity:]))
            if back is not None:
                outputs = tuple([o.transpose(back) for o in outputs])
            return outputs if several else outputs[0]

        return call

    def fill(self, arguments: tuple) -> None:
        """Run the loop on the kernel's arguments, in its order: inputs, results that are no inputs, parameters."""
        if self.walk is not None:
            arguments = (self.walk, *arguments)
        if self.items:
            self.kernel(self.items, *arguments, work=self.work)


def _short_caller(arity: int, make: Callable, shape: tuple, dtype: np.dtype, kernel: launch.Kernel, items: int):
    if arity == 1:

        def call1(x):
            out = make(shape, dtype)
            kernel.start(0, items, x, out)
            return out

        return call1

    def call2(x, y):
        out = make(shape, dtype)
        kernel.start(0, items, x, y, out)
        return out

    return call2


def _packed_walk(sizes: Sequence[int], strides: Sequence[Sequence[int]]) -> np.ndarray:
    """The loop nest as the strided kernels read it; see codegen._strided_loop."""
    packed = [sizes[-1] if sizes else 1, max(len(sizes) - 1, 0), *reversed(sizes[:-1])]
    for own in strides:
        packed += [*reversed(own)] if own else [0]
    return np.array(packed, np.int64)


def _weight(formula: Formula) -> int:
    """The cost of one element in units of plain arithmetic, roughly: for the decision to use several threads."""
    return max(1, operations(formula))


_kernels: dict[tuple[Formula, codegen.Variant], launch.Kernel] = {}


def elementwise_kernel(formula: Formula, variant: codegen.Variant) -> launch.Kernel:
    """The compiled loop of a formula in one variant."""
    key = (formula, variant)
    if key not in _kernels:
        source, parameters = codegen.elementwise_source(formula, variant)
        name = codegen.identifier(formula)
        types = {"T": variant.compute}
        cost = _cost_of(operations(formula), variant)
        streaming = np.dtype(variant.compute).itemsize if codegen.is_streaming(formula, variant) else 0
        _kernels[key] = compile_kernel(name, source, parameters, types, cost=cost, streaming=streaming)
    return _kernels[key]


def _cost_of(per_element: int, variant: codegen.Variant) -> Callable[..., tuple[int, int]]:
    def cost(low: int, high: int, *arguments: Any) -> tuple[int, int]:
        count = high - low
        if variant.outer:
            count *= int(arguments[0][0])  # the walk: see codegen
            arguments = arguments[1:]
        traffic = sum(launch.touched_bytes(a) for a in arguments if isinstance(a, np.ndarray))
        written = sum(alias >= 0 for alias in variant.aliases) * count * np.dtype(variant.compute).itemsize
        return count * per_element, traffic + written

    return cost


_plans: dict[tuple, Plan] = {}
_ordinary: dict[tuple, Callable] = {}  # what `apply` has worked out for arrays alone, by formula and layouts
memory.on_change(_plans.clear)
memory.on_change(_ordinary.clear)


def plan_for(formula: Formula, sources: tuple[Source, ...], compute: np.dtype, into: Into | None = None) -> Plan:
    """The plan for operands that come like this; `formula` is a hoisted one (see Formula.hoisted)."""
    key = (formula, sources, compute, into)
    plan = _plans.get(key)
    if plan is None:
        if len(_plans) >= _PLANS:
            _plans.clear()
        plan = _plans[key] = Plan(formula, sources, compute, into)
    return plan


def apply(
    formula: Formula,
    *operands: Any,
    out: np.ndarray | tuple[np.ndarray, ...] | None = None,
    dtype: Any = None,
    **parameters: float,
) -> Any:
    """Evaluate `formula` elementwise on arrays and Python numbers, with broadcasting.

    Args:
        formula: an entry of `kernels.formulas`, or one made by `formulas.define`.
        operands: one per input: arrays of any shape and strides, or numbers (which take the arrays' dtype).
        out: memory for the results, with the broadcast shape; may be operands themselves (an update in place).
        dtype: the dtype to compute in; by default the NumPy promotion of the operands.
        parameters: the formula's scalars by name.

    Returns:
        The result (a tuple where the formula has several outputs): C-ordered, or in the operands' own memory order where
        they share another.

    Raises:
        TypeError: the formula is not defined on the dtype, an operand or parameter is missing, or the result would lose its
            kind in `out` (floats in integers, numbers in bools).
        ValueError: the shapes do not broadcast, or `out` has the wrong shape.

    >>> import numpy as np
    >>> from kernels import cpu, formulas
    >>> cpu.apply(formulas.relu, np.array([-1.0, 2.0]))
    array([0., 2.])
    """
    if out is None and dtype is None and not parameters:
        call = _ordinary.get((formula, *[layout_of(o) if type(o) is np.ndarray else None for o in operands]))
        if call is not None and all(o.flags.aligned for o in operands):
            return call(*operands)
    if len(operands) != len(formula.inputs):
        raise TypeError(f"{formula.name}: takes {len(formula.inputs)} operands {formula.inputs}, got {len(operands)}")
    given = operands
    operands = tuple(o if is_number(o) else _usable(o) for o in operands)
    compute = np.dtype(dtype) if dtype is not None else compute_dtype(formula, operands)
    check_kind(formula, compute)
    values = formula.prepare(formula.values(parameters))
    if all(map(is_number, operands)):
        operands = (np.asarray(operands[0], compute), *operands[1:])
    if compute.kind in "iu":
        check_numbers(formula, operands, compute)
    sources = tuple(layout_of(o) if isinstance(o, np.ndarray) else type(o) for o in operands)
    if out is None:
        call = plan_for(formula.hoisted, sources, compute).call
        if not values and dtype is None and all(g is o and type(g) is np.ndarray for g, o in zip(given, operands, strict=True)):
            if len(_ordinary) >= _PLANS:
                _ordinary.clear()
            _ordinary[(formula, *sources)] = call
        return call(*operands, *values)
    return _into(formula, operands, sources, compute, values, out)


def _into(formula, operands, sources, compute, values, out) -> Any:
    """Write the results into existing arrays."""
    outputs = out if isinstance(out, tuple) else (out,)
    shape = broadcast_shapes(formula.name, *[s.shape for s in sources if isinstance(s, Layout)])
    check_outputs(formula, outputs, shape, compute)
    if [o for o in outputs if not (o.flags.aligned and o.dtype.isnative)]:
        raise ValueError(f"{formula.name}: out must be aligned and in native byte order; take a fresh array and copy from it")
    aliases = tuple([overwritten(o, operands) for o in outputs])
    for result, alias in zip(outputs, aliases, strict=True):
        for k, operand in enumerate(operands):
            if k != alias and isinstance(operand, np.ndarray) and _overlap(operand, result):
                copy = operand.copy()
                operands = (*operands[:k], copy, *operands[k + 1 :])
                sources = (*sources[:k], layout_of(copy), *sources[k + 1 :])
    plan = plan_for(formula.hoisted, sources, compute, (tuple([layout_of(o) for o in outputs]), aliases))
    fresh = [o for o, alias in zip(outputs, aliases, strict=True) if alias < 0]
    plan.fill((*operands, *fresh, *values))
    return out


def _overlap(operand: np.ndarray, output: np.ndarray) -> bool:
    """Whether an operand must be copied: writing the result would change it before it is read, or, where it is the same
    array given a second time, through its other pointer."""
    return operand is output or np.may_share_memory(operand, output)


def _usable(array: Any) -> np.ndarray:
    """The operand as a native, aligned array that a kernel can read through plain pointers."""
    array = np.asarray(array)
    if array.dtype.kind not in "biuf" or array.dtype.itemsize > 8 or array.dtype == np.float16:
        raise TypeError(f"kernels on the CPU compute in bool, integers, float32 and float64; got {array.dtype}")
    if not array.dtype.isnative or not array.flags.aligned or not layout_of(array).aligned:
        return np.array(array, dtype=array.dtype.newbyteorder("="), order="C")
    return array
