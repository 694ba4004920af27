"""How an elementwise operation goes over its operands, on any device: shapes, dtypes, order of the axes, access.

A `Walk` follows from the operands' layouts alone. It is what the devices' plans begin with: the CPU makes a loop nest of
it, CUDA a grid of threads.
"""

from __future__ import annotations

import numbers
from collections.abc import Sequence
from typing import Any

import numpy as np

from kernels.formula import Formula
from kernels.layout import (
    Layout,
    broadcast_shapes,
    broadcast_strides,
    covers,
    dense_layout,
    layout_of,
    memory_order,
    merge_dimensions,
)  # fmt: skip

BOOL = np.dtype(np.bool_)

Source = Layout | type  # what a plan knows of an operand: an array's layout, or the type of a Python number
Into = tuple[tuple[Layout, ...], tuple[int, ...]]  # layouts of existing results, and which input each overwrites (or -1)


class Walk:
    """The dimensions to go over, dimensions that can be merged merged, and how each operand moves along them.

    layouts: those of the results. aliases: for each result the number of the input that it overwrites, or -1.
    shape, order: the broadcast shape, and its axes as memory runs, slowest first.
    sizes: the merged dimensions, slowest first. strides: for each operand in memory (inputs, then results that are no
        inputs) its stride along each of them, in elements.
    access: one letter per input, then one per result; see `kernels.codegen`.
    """

    __slots__ = ("access", "aliases", "layouts", "order", "shape", "sizes", "strides")

    def __init__(self, formula: Formula, sources: Sequence[Source], compute: np.dtype, into: Into | None = None) -> None:
        arrays = [s for s in sources if isinstance(s, Layout)]
        self.shape = shape = broadcast_shapes(formula.name, *(a.shape for a in arrays))
        count = len(formula.outputs)
        self.layouts: tuple[Layout, ...]
        self.aliases: tuple[int, ...]
        if into is None:
            self.order = memory_order(arrays, shape)
            dtype = BOOL if formula.result == "bool" else compute
            device = arrays[0].device if arrays else "cpu"
            self.layouts = (dense_layout(shape, dtype, self.order, device),) * count
            self.aliases = (-1,) * count
        else:
            self.layouts, self.aliases = into
            check_results(formula, self.layouts)
            self.order = memory_order(self.layouts, shape)
        places = [*arrays, *(o for o, alias in zip(self.layouts, self.aliases, strict=True) if alias < 0)]
        strides = [broadcast_strides(p, shape) for p in places]
        self.sizes, self.strides = merge_dimensions([shape[a] for a in self.order], [[s[a] for a in self.order] for s in strides])
        inner = [s[-1] if s else 1 for s in self.strides]
        letters = iter("v" if step == 1 else "0" if step == 0 else "x" for step in inner)
        access = "".join(next(letters) if isinstance(s, Layout) else "p" for s in sources)
        self.access = access + "".join(next(letters) if alias < 0 else access[alias] for alias in self.aliases)


def check_results(formula: Formula, layouts: Sequence[Layout]) -> None:
    """Raise unless existing results have memory that a kernel can write, each element its own."""
    for layout in layouts:
        if not layout.aligned:
            raise ValueError(f"{formula.name}: out must be aligned and in native byte order; take a fresh array and copy from it")
        if layout.size and any(step == 0 and size > 1 for size, step in zip(layout.shape, layout.strides, strict=True)):
            raise ValueError(f"{formula.name}: the elements of out share memory: strides {layout.strides} for {layout.shape}")


def is_number(value: Any) -> bool:
    """Whether an operand is a Python number, which takes the arrays' dtype."""
    return isinstance(value, (bool, int, float)) and not isinstance(value, np.generic)


def compute_dtype(formula: Formula, operands: Sequence[Any]) -> np.dtype:
    """The dtype that a formula is computed in, by NumPy's promotion of arrays (or dtypes) and Python numbers."""
    counted = [o for o, name in zip(operands, formula.inputs, strict=True) if name not in formula.booleans]
    compute = np.result_type(*counted) if counted else BOOL
    if formula.kinds == "f" and compute.kind != "f":
        compute = np.dtype(np.float64)
    return compute


def check_kind(formula: Formula, compute: np.dtype, halves: bool = False) -> None:
    """Raise a TypeError unless the formula is defined on the dtype; `halves`: float16 is allowed."""
    if compute.kind not in formula.kinds or compute.itemsize > 8 or (compute == np.float16 and not halves):
        kinds = {"b": "bool", "i": "signed integers", "u": "unsigned integers", "f": "float32 and float64"}
        listed = ", ".join(kinds[k] for k in formula.kinds)
        raise TypeError(f"{formula.name} is not defined on {compute}: it takes {listed}; convert with astype first")


def check_numbers(formula: Formula, operands: Sequence[Any], compute: np.dtype) -> None:
    """Raise unless every Python number fits the integer dtype."""
    for number in operands:
        if isinstance(number, numbers.Number) and not isinstance(number, (np.generic, np.ndarray)):
            if isinstance(number, float):
                raise TypeError(f"{formula.name}: the float {number} does not fit an operation in {compute}")
            bounds = np.iinfo(compute)
            if not bounds.min <= int(number) <= bounds.max:  # type: ignore[arg-type]
                raise OverflowError(f"{formula.name}: the number {number} is out of bounds for {compute}")


def check_outputs(formula: Formula, outputs: Sequence[Any], shape: tuple[int, ...], compute: np.dtype) -> None:
    """Raise unless `out` is as many writable arrays of the result's shape as the formula has outputs, and of a dtype that
    the result may be converted to: no floats to integers, no numbers to bools (NumPy's rule "same_kind")."""
    if len(outputs) != len(formula.outputs) or [o for o in outputs if o.shape != shape]:
        raise ValueError(
            f"{formula.name}: out must be {len(formula.outputs)} array(s) of shape {shape}, got "
            f"{', '.join(str(o.shape) for o in outputs)}"
        )
    if [o for o in outputs if not o.flags.writeable]:
        raise ValueError(f"{formula.name}: out is read-only")
    result = BOOL if formula.result == "bool" else compute
    for output in outputs:
        if not np.can_cast(_stand_in(result), _stand_in(output.dtype), "same_kind"):
            raise TypeError(
                f"{formula.name}: the result is {result} and does not fit an out of {output.dtype}; compute in that with "
                "dtype=, or convert with astype"
            )


def _stand_in(dtype: np.dtype) -> np.dtype:
    """For bfloat16, which NumPy does not know, another small float."""
    return np.dtype(np.float16) if dtype.kind == "V" else dtype


def overwritten(output: Any, operands: Sequence[Any]) -> int:
    """The number of the operand that is the output itself, or -1."""
    for k, operand in enumerate(operands):
        if operand is output:
            return k
    return -1


# --- formulas (p, g, *state) -> (p, *state), which overwrite all operands but one ------------------------------------


def update_plan(layouts: Sequence[Layout]) -> tuple[tuple[Layout, ...], np.dtype, Into]:
    """What `plan_for` takes after the formula, for operands (p, g, *state) of which all but g are overwritten."""
    sources = tuple(layouts)
    return sources, sources[0].dtype, ((sources[0], *sources[2:]), (0, *range(2, len(sources))))


def update_layout(formula: Formula, operands: Sequence[Any]) -> Layout:
    """The one layout, without gaps, of the operands (p, g, *state) of a tensor; raises a ValueError otherwise."""
    if len(operands) != len(formula.inputs) or len(formula.outputs) != len(formula.inputs) - 1:
        raise ValueError(
            f"{formula.name}: expected a formula (p, g, *state) -> (p, *state) and arrays for {formula.inputs}, got "
            f"{len(operands)} arrays"
        )
    layouts = [layout_of(o) for o in operands]
    if len({(k.shape, k.strides, k.dtype, k.device) for k in layouts}) > 1 or not covers(layouts[0]):
        listed = ", ".join(f"{k.dtype}{k.shape} with strides {k.strides} on {k.device}" for k in layouts)
        raise ValueError(f"{formula.name}: the operands of a tensor must have one layout, without gaps, got {listed}")
    if layouts[0].dtype.kind != "V":
        check_kind(formula, layouts[0].dtype, halves=True)
    for k, operand in enumerate(operands):
        if k != 1 and not operand.flags.writeable:
            raise ValueError(f"{formula.name}: {formula.inputs[k]}, of shape {operand.shape}, is read-only")
    return layouts[0]


_counts: dict[Formula, int] = {}


def operations(formula: Formula) -> int:
    """Arithmetic operations per element, transcendental functions counted as one each."""
    if formula not in _counts:
        from kernels.scalar import render

        _counts[formula] = len(render(formula.outputs)[0])
    return _counts[formula]
