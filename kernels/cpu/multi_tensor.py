"""A formula that overwrites its operands, on many tensors: here one after the other; see `kernels.cuda.multi_tensor`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from kernels.cpu.elementwise import plan_for
from kernels.formula import Formula
from kernels.walk import update_layout, update_plan


class PlanMany:
    """A formula `(p, g, *state) -> (p, *state)` for given arrays p and state; see `plan_many`."""

    __slots__ = ("_arrays", "_fill", "layouts")

    def __init__(self, formula: Formula, groups: Sequence[Sequence[np.ndarray]]) -> None:
        self.layouts = [update_layout(formula, group) for group in groups]
        self._arrays = [(group[0], tuple(group[2:])) for group in groups]
        counts = [len(group) for group in groups]
        plans = zip(self.layouts, counts, strict=True)
        self._fill = [plan_for(formula, *update_plan([layout] * count)).fill for layout, count in plans]

    def run(self, gradients: Sequence[np.ndarray], values: Sequence[float]) -> bool:
        """Overwrite p and the state of every group, given the groups' gradients and the parameters' values."""
        for fill, (p, state), gradient in zip(self._fill, self._arrays, gradients, strict=True):
            fill((p, gradient, *state, *values))
        return True


def plan_many(formula: Formula, groups: Sequence[Sequence[np.ndarray]]) -> PlanMany:
    """The plan to run a formula `(p, g, *state) -> (p, *state)` on many groups of arrays.

    Args:
        formula: a hoisted one (`Formula.hoisted`).
        groups: for each tensor its operands, all of one layout, in which the elements fill a block of memory.

    Raises:
        TypeError: the formula is not defined on the dtype.
        ValueError: an operand has another layout or dtype, is read-only, or there are no groups.
    """
    if not groups:
        raise ValueError(f"{formula.name}: there are no tensors to update")
    return PlanMany(formula, groups)


def update_many(formula: Formula, groups: Sequence[Sequence[np.ndarray]], values: Sequence[float]) -> None:
    """Overwrite p and the state of every group (p, g, *state), in order; `values` are the formula's parameters."""
    prepared = tuple(map(float, formula.prepare(values)))
    plan_many(formula.hoisted, groups).run([group[1] for group in groups], prepared)
