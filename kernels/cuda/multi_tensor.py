"""One launch for many tensors: a formula that overwrites its operands, such as an optimizer's step, on all of them.

    plan = plan_many(formulas.sgd.hoisted, [(p, g), (q, h)])    # worked out once for p and q
    plan.run([g, h], formulas.sgd.prepare((0.1, 0.0)))          # in every step, with that step's gradients
    update_many(formulas.sgd, [(p, g), (q, h)], (0.1, 0.0))     # both at once

Where the tensors lie is told by tables in device memory. One is made with the plan: the addresses of what the formula
overwrites, the sizes, and for each block of threads the piece of a tensor that it works on. The other has the addresses
of what is only read (gradients), and is uploaded when one of them has moved since the last step. An element's arithmetic
is that of `kernels.cuda.elementwise`, so the results are the same bits as those of a launch per tensor.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from kernels import formulas
from kernels.codegen import identifier
from kernels.cuda.array import DeviceArray, empty, from_numpy
from kernels.cuda.compiler import POINTER_TYPES, Kernel, dtype_name
from kernels.cuda.elementwise import plan_for
from kernels.cuda.elementwise_source import Variant, element_source
from kernels.formula import Formula
from kernels.layout import layout_of
from kernels.template import Parameter
from kernels.walk import operations, update_layout, update_plan

THREADS = 256
CHUNK = 4096  # elements of a block: few enough for many blocks, enough that fetching addresses costs little
VECTOR_BYTES = 16


class PlanMany:
    """A formula `(p, g, *state) -> (p, *state)` for given arrays p and state; see `plan_many`."""

    __slots__ = ("_addresses", "_blocks", "_elements", "_grid", "_high", "_kernel", "_low", "_moving", "_table", "layouts")

    def __init__(self, formula: Formula, groups: Sequence[Sequence[DeviceArray]]) -> None:
        self.layouts = [update_layout(formula, group) for group in groups]
        first = self.layouts[0]
        for layout in self.layouts:
            if (layout.dtype, layout.device) != (first.dtype, first.device):
                kinds = " and ".join(f"{k.dtype} on {k.device}" for k in (first, layout))
                raise ValueError(f"{formula.name}: tensors of one launch have one dtype and are on one device, got {kinds}")
        fixed = [[a for k, a in enumerate(group) if k != GRADIENT] for group in groups]
        self._kernel = kernel_for(formula, first.dtype)
        self._blocks = [a.block for own in fixed for a in own]
        sizes = np.array([layout.size for layout in self.layouts], np.int64)
        pointers = np.array([[a.pointer for a in own] for own in fixed], np.int64)
        chunks = chunk_table(sizes)
        self._elements, self._grid = int(sizes.sum()), len(chunks)
        self._table = from_numpy(np.concatenate([pointers.T.reshape(-1), sizes, chunks]), first.device)
        self._moving = empty((len(groups),), np.int64, first.device)
        self._addresses: list[int] = []
        low = pointers.reshape(-1)
        order = np.argsort(low, kind="stable")
        self._low = low[order]
        self._high = self._low + np.repeat(sizes * first.dtype.itemsize, pointers.shape[1])[order]

    def run(self, gradients: Sequence[DeviceArray], values: Sequence[float]) -> bool:
        """Overwrite p and the state of every group, given the groups' gradients and the parameters' values.

        The gradients must have the layouts of the arrays that they belong to. False, and nothing is done, where arrays
        share memory: then it matters which group comes first, and they must be updated one after the other.
        """
        if not self._grid:
            return True
        moving = self._moving
        stream = moving.block.runtime.stream(moving.block.device)
        addresses = []
        for array in gradients:
            block = array.block
            if block.stream is not stream:
                block.use_on(stream)
            addresses.append(array.pointer)
        for block in self._blocks:
            if block.stream is not stream:
                block.use_on(stream)
        if addresses != self._addresses:
            if len(addresses) != len(self.layouts):
                raise ValueError(f"{self._kernel.name}: {len(self.layouts)} tensors, but {len(addresses)} gradients")
            host = np.array(addresses, np.int64)
            if self._shares_memory(host):
                self._addresses = []
                return False
            if moving.block.stream is not stream:
                moving.block.use_on(stream)
            moving.block.runtime.to_device(moving.pointer, host, stream)
            self._addresses = addresses
        self._kernel(self._grid, self._table, moving, len(self.layouts), self._elements, *values)
        return True

    def _shares_memory(self, gradients: np.ndarray) -> bool:
        """Whether what is overwritten overlaps with itself or with a gradient."""
        low, high = self._low, self._high
        filled = high > low
        if not filled.all():
            low, high = low[filled], high[filled]
        if (high[:-1] > low[1:]).any():
            return True
        sizes = np.array([layout.size * layout.dtype.itemsize for layout in self.layouts], np.int64)
        ends = gradients + sizes
        # The first range that ends after a gradient begins is the only one that can begin before the gradient ends.
        place = np.searchsorted(high, gradients, side="right")
        there = (place < len(low)) & (sizes > 0)
        return bool((low[np.minimum(place, len(low) - 1)] < ends)[there].any())


GRADIENT = 1  # the operand that is only read


def plan_many(formula: Formula, groups: Sequence[Sequence[DeviceArray]]) -> PlanMany:
    """The plan to run a formula `(p, g, *state) -> (p, *state)` on many groups of arrays in one launch.

    Args:
        formula: a hoisted one (`Formula.hoisted`).
        groups: for each tensor its operands. All operands of a tensor have one layout, in which the elements fill a
            block of memory; all tensors have one dtype (float32, float64, float16 or bfloat16) and device.

    Raises:
        TypeError: the formula is not defined on the dtype.
        ValueError: an operand has another layout, dtype or device, is read-only, or there are no groups.
    """
    if not groups:
        raise ValueError(f"{formula.name}: there are no tensors to update")
    return PlanMany(formula, groups)


def update_many(formula: Formula, groups: Sequence[Sequence[DeviceArray]], values: Sequence[float]) -> None:
    """Overwrite p and the state of every group (p, g, *state) in one launch; `values` are the formula's parameters.

    Where groups share memory there is a launch for each, in order. To repeat it, keep a `plan_many`.
    """
    prepared = tuple(map(float, formula.prepare(values)))
    if not plan_many(formula.hoisted, groups).run([group[GRADIENT] for group in groups], prepared):
        for group in groups:
            plan_for(formula.hoisted, *update_plan([layout_of(a) for a in group])).fill((*group, *prepared))


def chunk_table(sizes: np.ndarray) -> np.ndarray:
    """For each block of threads the number of its tensor, and (from bit 32 on) which of the tensor's chunks it does.

    >>> [(int(c) & 0xFFFFFFFF, int(c) >> 32) for c in chunk_table(np.array([1, 0, 5000]))]
    [(0, 0), (2, 0), (2, 1)]
    """
    counts = -(-sizes // CHUNK)
    ends = np.cumsum(counts)
    within = np.arange(int(ends[-1])) - np.repeat(ends - counts, counts)
    return np.repeat(np.arange(len(sizes)), counts) | within << 32


# --- the kernel ------------------------------------------------------------------------------------------------------

_kernels: dict[tuple[Formula, str], Kernel] = {}


def kernel_for(formula: Formula, dtype: Any) -> Kernel:
    """The kernel of a hoisted formula for tensors of a dtype (or of its name)."""
    name = dtype if isinstance(dtype, str) else dtype_name(dtype)
    made = _kernels.get((formula, name))
    if made is None:
        width = VECTOR_BYTES // (8 if name == "float64" else 4 if name == "float32" else 2)
        compute = name if name in ("float32", "float64") else "float32"
        inputs, outputs = len(formula.inputs), len(formula.outputs)
        variant = Variant(
            compute=compute, inputs=(name,) * inputs, outputs=(name,) * outputs, access="v" * (inputs + outputs),
            aliases=tuple(k for k in range(inputs) if k != GRADIENT), rank=1, width=width, unroll=1, wide=False,
        )  # fmt: skip
        numbers = [f"{p}_" for p in formula.parameters]
        parameters: list[Parameter] = [("table", "int64", True), ("moving", "int64", True)]
        parameters += [("tensors", "int64", False), ("elements", "int64", False)]
        parameters += [(number, compute, False) for number in numbers]
        source = element_source(formula, variant) + "\n\n\n" + _source(formula, variant, parameters, numbers)
        made = Kernel(
            f"{identifier(formula)}_many", source, parameters, {"T": compute}, THREADS, {"CHUNK": CHUNK, "WIDTH": width},
            _cost_of(formula, name),
        )  # fmt: skip
        _kernels[formula, name] = made
    return made


def _source(formula: Formula, variant: Variant, parameters: Sequence[Parameter], numbers: Sequence[str]) -> str:
    """A block reads which piece of which tensor is its own, and goes over it: in vectors where all addresses allow it."""
    names, width = formula.inputs, variant.width
    kind = POINTER_TYPES.get(variant.inputs[0], variant.inputs[0])
    fixed = [name for k, name in enumerate(names) if k != GRADIENT]
    entries = {name: f"table, int64({k}) * tensors + tensor" for k, name in enumerate(fixed)}
    entries[names[GRADIENT]] = "moving, tensor"
    addresses = [f"{table}[{index}]" for table, index in (entries[name].split(", ") for name in names)]
    count = len(fixed)
    lines = [f"def {identifier(formula)}_many({', '.join(name for name, _, _ in parameters)}):"]
    lines += [
        f"    chunk = table[int64({count + 1}) * tensors + int64(cuda.blockIdx.x)]",
        "    tensor = chunk & int64(0xFFFFFFFF)",
        "    start = (chunk >> int64(32)) * int64(CHUNK)",
        f"    stop = min(start + int64(CHUNK), table[int64({count}) * tensors + tensor])",
        f"    places = {' | '.join(addresses)}",
    ]
    lines += [f"    {name}_data = pointer_at({entries[name]}, {kind})" for name in names]
    lines += [
        "    vectors = int64(0)",
        f"    if places % int64({VECTOR_BYTES}) == int64(0):",
        "        vectors = (stop - start) // int64(WIDTH)",
        "    k = int64(cuda.threadIdx.x)",
        "    while k < vectors:",
        "        place = start + k * int64(WIDTH)",
        *(f"        {name}_vector = load{width}({name}_data, place)" for name in names),
    ]
    for i in range(width):
        results = ", ".join(f"{name}_{i}" for name in fixed)
        lines.append(f"        {results} = element({', '.join([*(f'{name}_vector[{i}]' for name in names), *numbers])})")
    for name in fixed:
        lines.append(f"        store{width}({name}_data, place, ({', '.join(f'{name}_{i}' for i in range(width))}))")
    lines += [
        "        k += int64(THREADS)",
        "    place = start + vectors * int64(WIDTH) + int64(cuda.threadIdx.x)",
        "    while place < stop:",
        f"        {', '.join(f'{name}_0' for name in fixed)} = element("
        f"{', '.join([*(f'{name}_data[place]' for name in names), *numbers])})",
        *(f"        {name}_data[place] = {name}_0" for name in fixed),
        "        place += int64(THREADS)",
    ]
    return "\n".join(lines)


def _cost_of(formula: Formula, dtype: str) -> Callable[..., tuple[int, int]]:
    moved = (len(formula.inputs) + len(formula.outputs)) * {"float64": 8, "float32": 4}.get(dtype, 2)

    def cost(grid: Any, table: Any, moving: Any, tensors: int, elements: int, *numbers: float) -> tuple[int, int]:
        return elements * operations(formula), elements * moved

    return cost


def _variant(name: str, dtype: str) -> Callable[[], Kernel]:
    return lambda: kernel_for(formulas.TABLE[name].hoisted, dtype)


VARIANTS: list[Callable[[], Kernel]] = [
    *(_variant(name, "float32") for name in ("sgd", "sgd_momentum", "sgd_nesterov", "adam", "adamw", "adam_amsgrad")),
    *(_variant(name, dtype) for name in ("sgd_momentum", "adamw") for dtype in ("float64", "float16", "bfloat16")),
]
PROMISES: dict[str, tuple[str, ...]] = {"*_many[*": ("LDG.E.128", "STG.E.128")}
