"""Elementwise operations on the GPU: any formula, on arrays of any layout, in one pass.

The interface is that of `kernels.cpu.elementwise`: `apply(formula, *operands)`, and plans that are worked out once per
layout. Arrays of float16 and bfloat16 are computed in float32 and rounded once, when the result is stored.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import Any

import numpy as np

from kernels import launch
from kernels.codegen import identifier
from kernels.cuda.array import DeviceArray, _empty, _make, from_interface
from kernels.cuda.compiler import Kernel, check_grid, dtype_name
from kernels.cuda.elementwise_source import Variant, elementwise_source
from kernels.cuda.memory import CachingAllocator, allocator
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

THREADS = 256
VECTOR_BYTES = 16
_IN_FLIGHT = 64  # bytes that a thread has loaded from each operand before it uses the first
_LONG = 24  # operations per element from which on one vector is enough to keep a thread busy
_NARROW = 1 << 31  # vectors that can be numbered, and divided, in 32 bits
_PLANS = 1 << 13  # plans kept; a program with endless new shapes must not fill the memory


class Plan:
    """How a formula runs on operands of given layouts; as `kernels.cpu.elementwise.Plan`.

    The kernel with 16-byte loads runs where every pointer allows it, the one with single elements otherwise.
    """

    __slots__ = ("_back", "_letters", "_permuted", "call", "count", "kernels", "layouts", "tail")

    def __init__(self, formula: Formula, sources: Sequence[Source], compute: np.dtype, into: Into | None = None) -> None:
        walk = Walk(formula, sources, compute, into)
        self.layouts = walk.layouts
        self.count = prod(walk.sizes)
        rank = max(len(walk.sizes), 1)
        variants = _variants(formula, sources, compute, walk)
        self._letters = [access for _, access in variants[0].places]
        self.kernels = [(_kernel_for(formula, v), v.width) for v in variants]
        self.tail: tuple[int, ...] = ()
        if not variants[0].flat:
            steps = [own[::-1] if own else (1,) for own in walk.strides]
            self.tail = (*walk.sizes[:0:-1], *(step for own in steps for step in own))
        assert self.tail == () or len(self.tail) == rank - 1 + rank * len(self._letters)
        self._permuted = tuple(self.layouts[0].shape[a] for a in walk.order)
        in_order = walk.order == tuple(range(len(walk.order)))
        self._back = None if in_order else tuple(int(a) for a in np.argsort(walk.order))
        self.call = self._caller(formula, sources)

    def _caller(self, formula: Formula, sources: Sequence[Source]) -> Callable[..., Any]:
        arity, several = len(sources), len(self.layouts) > 1
        source, shape, back = allocator(self.layouts[0].device), self._permuted, self._back
        dtypes = [layout.dtype for layout in self.layouts]
        is_array = [isinstance(s, Layout) for s in sources]
        only_arrays = all(is_array)
        quick = self._quick_call(formula, source) if only_arrays and not several and back is None else None

        def call(*operands: Any) -> Any:
            outputs = tuple([_empty(shape, dtype, source) for dtype in dtypes])
            if self.count:
                values = operands[arity:]
                if only_arrays:
                    self._launch((*operands[:arity], *outputs), values)
                else:
                    arrays = [o for o, there in zip(operands, is_array, strict=False) if there]
                    numbers = [o for o, there in zip(operands, is_array, strict=False) if not there]
                    self._launch((*arrays, *outputs), (*numbers, *values))
            if back is not None:
                outputs = tuple([o.transpose(back) for o in outputs])
            return outputs if several else outputs[0]

        return call if quick is None else quick(call)

    def _quick_call(self, formula: Formula, source: CachingAllocator) -> Callable[[Callable], Callable] | None:
        """`call` for the ordinary case, in as few steps as it takes: dense operands of a small formula, whole vectors."""
        kernel, width = self.kernels[0]
        if self.tail or formula.parameters or not self.count or self.count % width or len(formula.inputs) > 2:
            return None
        vectors = self.count // width
        grid = -(-vectors // (kernel.threads * kernel.constants["UNROLL"]))
        layout = self.layouts[0]
        shape, dtype, item, name = layout.shape, layout.dtype, layout.dtype.itemsize, layout.device
        strides, nbytes = tuple([s * item for s in layout.strides]), layout.size * item
        allocate, runtime, device = source.allocate, source.runtime, source.device
        check_grid(kernel.name, grid)
        mask = VECTOR_BYTES - 1 if width > 1 else 0

        def unary(otherwise: Callable) -> Callable:
            def call(x: DeviceArray) -> DeviceArray:
                if x.pointer & mask:
                    return otherwise(x)
                block = allocate(nbytes, runtime.stream(device))
                out = _make(block, block.pointer, shape, strides, dtype, name, True)
                kernel.start(grid, (x, out, vectors), 0)
                return out

            return call

        def binary(otherwise: Callable) -> Callable:
            def call(x: DeviceArray, y: DeviceArray) -> DeviceArray:
                if (x.pointer | y.pointer) & mask:
                    return otherwise(x, y)
                block = allocate(nbytes, runtime.stream(device))
                out = _make(block, block.pointer, shape, strides, dtype, name, True)
                kernel.start(grid, (x, y, out, vectors), 0)
                return out

            return call

        return unary if len(formula.inputs) == 1 else binary

    def fill(self, arguments: tuple) -> None:
        """Run on the arguments, in this order: inputs, results that are no inputs, parameters."""
        if self.count:
            arrays = tuple([a for a in arguments if isinstance(a, DeviceArray)])
            self._launch(arrays, tuple([a for a in arguments if not isinstance(a, DeviceArray)]))

    def _launch(self, arrays: tuple, numbers: tuple) -> None:
        kernel, width = self.kernels[0]
        if width > 1:
            places = 0
            for a in arrays:
                places |= a.pointer
            if places % VECTOR_BYTES:
                kernel, width = self.kernels[-1]
        vectors = self.count // width
        rest = self.count - vectors * width
        whole = kernel.threads * kernel.constants["UNROLL"]
        if vectors:
            kernel(-(-vectors // whole), *arrays, vectors, *self.tail, *numbers)
        if rest:  # flat only: the last elements, which fill no vector
            kernel, _ = self.kernels[-1]
            done = vectors * width
            ends = [_end(a, done, letter) for a, letter in zip(arrays, self._letters, strict=True)]
            kernel(1, *ends, rest, *numbers)


def _end(array: DeviceArray, done: int, access: str) -> DeviceArray:
    """A dense array without its first elements, in memory's order."""
    return array if access == "0" else array._view(array.pointer + done * array.itemsize, (1,), (array.itemsize,))


def _variants(formula: Formula, sources: Sequence[Source], compute: np.dtype, walk: Walk) -> list[Variant]:
    """The kernel for pointers that allow vectors, where the layouts do, and the one for single elements."""
    dtypes = [dtype_name(s.dtype) if isinstance(s, Layout) else dtype_name(compute) for s in sources]
    outputs = [dtype_name(o.dtype) for o in walk.layouts]
    computed = "float32" if dtype_name(compute) in ("float16", "bfloat16") else compute.name
    count, rank = prod(walk.sizes), max(len(walk.sizes), 1)
    flat = rank == 1 and "x" not in walk.access
    base = dict(
        compute=computed, inputs=tuple(dtypes), outputs=tuple(outputs), access=walk.access, aliases=tuple(walk.aliases),
        rank=rank,
    )  # fmt: skip
    inner = walk.sizes[-1] if walk.sizes else 1
    items = [dtype.itemsize for dtype, access in _places(sources, walk) if access == "v"]
    width = VECTOR_BYTES // max(items, default=VECTOR_BYTES)
    if not flat:
        vector_steps = [own[:-1] for own in walk.strides if own and own[-1] == 1]
        while width > 1 and (inner % width or any(step % width for steps in vector_steps for step in steps)):
            width //= 2
    if 2 * THREADS * width > count:  # so few elements that threads are better than long vectors
        width = 1
    variants = []
    for w in dict.fromkeys((width, 1)):
        size = max(items, default=4) * w
        busy = operations(formula) * w >= _LONG
        unroll = 1 if busy or not flat else max(1, min(4, _IN_FLIGHT // size))
        numbered = count // w + THREADS * unroll
        wide = max(numbered, 0 if flat else inner) >= _NARROW  # where dimensions are divided by, their sizes fit 32 bits, too
        variants.append(Variant(width=w, unroll=unroll, wide=wide, **base))  # type: ignore[arg-type]
    return variants


def _places(sources: Sequence[Source], walk: Walk) -> list[tuple[np.dtype, str]]:
    """(dtype, access) of every operand that lies in memory."""
    count = len(sources)
    found = [(s.dtype, a) for s, a in zip(sources, walk.access, strict=False) if isinstance(s, Layout)]
    ends = zip(walk.layouts, walk.access[count:], walk.aliases, strict=True)
    return found + [(o.dtype, a) for o, a, alias in ends if alias < 0]


_kernels: dict[tuple[Formula, Variant], Kernel] = {}


def _kernel_for(formula: Formula, variant: Variant) -> Kernel:
    key = (formula, variant)
    if key not in _kernels:
        source, parameters = elementwise_source(formula, variant)
        constants = {"UNROLL": variant.unroll, "WIDTH": variant.width}
        cost = _cost_of(operations(formula), variant)
        _kernels[key] = Kernel(identifier(formula), source, parameters, {"T": variant.compute}, THREADS, constants, cost)
    return _kernels[key]


def _cost_of(per_element: int, variant: Variant) -> Callable[..., tuple[int, int]]:
    names = [access != "0" for _, access in variant.places]

    def cost(grid: Any, *arguments: Any) -> tuple[int, int]:
        arrays = [a for a in arguments if isinstance(a, DeviceArray)]
        count = arguments[len(names)] * variant.width
        traffic = sum(launch.touched_bytes(a) for a in arrays)
        written = sum(alias >= 0 for alias in variant.aliases) * count * np.dtype(variant.compute).itemsize
        return count * per_element, traffic + written

    return cost


_plans: dict[tuple, Plan] = {}


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
    out: DeviceArray | tuple[DeviceArray, ...] | None = None,
    dtype: Any = None,
    **parameters: float,
) -> Any:
    """Evaluate `formula` elementwise on device arrays and Python numbers, with broadcasting.

    Arguments, results and errors are those of `kernels.cpu.elementwise.apply`; operands are DeviceArrays of one device (or
    anything with `__cuda_array_interface__`), float16 and bfloat16 among them.
    """
    if len(operands) != len(formula.inputs):
        raise TypeError(f"{formula.name}: takes {len(formula.inputs)} operands {formula.inputs}, got {len(operands)}")
    operands = tuple(o if is_number(o) else _as_array(o, formula.name) for o in operands)
    if all(map(is_number, operands)):
        raise TypeError(f"{formula.name}: at least one operand must be an array, got Python numbers alone")
    stand_ins = [o if is_number(o) else np.empty(0, o.dtype) if o.dtype.kind != "V" else o for o in operands]
    compute = np.dtype(dtype) if dtype is not None else _promoted(formula, stand_ins)
    if compute.kind != "V":
        check_kind(formula, compute, halves=True)
    values = formula.prepare(formula.values(parameters))
    if compute.kind in "iu":
        check_numbers(formula, [o for o in operands if is_number(o)], compute)
    sources = tuple(layout_of(o) if isinstance(o, DeviceArray) else type(o) for o in operands)
    devices = {s.device for s in sources if isinstance(s, Layout)}
    if len(devices) > 1:
        raise RuntimeError(f"{formula.name}: operands are on {' and '.join(sorted(devices))}; bring them to one device")
    if out is None:
        return plan_for(formula.hoisted, sources, compute).call(*operands, *values)
    return _into(formula, operands, sources, compute, values, out)


def _as_array(operand: Any, name: str) -> DeviceArray:
    """The operand as a device array, its memory shared."""
    if isinstance(operand, DeviceArray):
        return operand
    if hasattr(operand, "__cuda_array_interface__"):
        return from_interface(operand)
    raise TypeError(
        f"{name}: operands are arrays on the device and Python numbers, got {type(operand).__name__}; bring arrays there with "
        "kernels.cuda.from_numpy"
    )


def _promoted(formula: Formula, operands: Sequence[Any]) -> np.dtype:
    """NumPy's promotion; bfloat16, which it does not know, goes with itself and with Python numbers."""
    special = [o.dtype for o in operands if getattr(getattr(o, "dtype", None), "kind", "") == "V"]
    if not special:
        return compute_dtype(formula, operands)
    others = {o.dtype for o in operands if hasattr(o, "dtype") and o.dtype.kind != "V"}
    if others - {np.dtype(np.bool_)}:
        raise TypeError(f"{formula.name}: bfloat16 and {', '.join(map(str, others))} do not mix; convert one of them")
    return special[0]


def _into(formula, operands, sources, compute, values, out) -> Any:
    """Write the results into existing arrays."""
    outputs = out if isinstance(out, tuple) else (out,)
    shape = broadcast_shapes(formula.name, *[s.shape for s in sources if isinstance(s, Layout)])
    check_outputs(formula, outputs, shape, compute)
    aliases = tuple([overwritten(o, operands) for o in outputs])
    for result, alias in zip(outputs, aliases, strict=True):
        for k, operand in enumerate(operands):
            if k != alias and isinstance(operand, DeviceArray) and (operand is result or operand.shares_memory(result)):
                from kernels.cuda.data import copy as copied

                copy = copied(operand)
                operands = (*operands[:k], copy, *operands[k + 1 :])
                sources = (*sources[:k], layout_of(copy), *sources[k + 1 :])
    plan = plan_for(formula.hoisted, sources, compute, (tuple([layout_of(o) for o in outputs]), aliases))
    fresh = [o for o, alias in zip(outputs, aliases, strict=True) if alias < 0]
    plan.fill((*operands, *fresh, *values))
    return out
