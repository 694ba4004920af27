"""The source of argmax and argmin on the GPU, in the forms of `kernels.cuda.reduce_kernels`: block, lanes and columns.

A thread keeps the best value so far and its place, beginning with the first element of the row, and meets its elements in
order, so that of equals the first stays. Of two threads' results the better one is taken, of equals the lower place: the
result does not depend on the order in which that happens. Where a row is cut into parts, their values and places are
written to memory, and `merge` kernels do the same with those.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from kernels.cuda.array import BFLOAT16
from kernels.cuda.compiler import POINTER_TYPES, Kernel, dtype_name
from kernels.cuda.reduce_places import HALVES, THREADS, WARP, Places, exchange, group_of_lanes, indent
from kernels.reduction import better_place
from kernels.template import Parameter


@dataclass(frozen=True)
class ArgVariant:
    """Which kernel is wanted: name "argmax" or "argmin"; the rest as in `reduce_kernels.Variant`.

    form: "block", "lanes" or "columns". merge: x holds values of parts, `places` where they stood. last: the result is
    the places alone, not values and places of parts.
    """

    name: str
    element: str
    form: str
    width: int
    unroll: int
    kept: int
    reduced: int
    peel: bool = False
    wide: bool = False
    merge: bool = False
    last: bool = True


@cache
def arg_kernel_for(variant: ArgVariant) -> Kernel:
    """The kernel; its parameters are listed in `_Writer.__init__`."""
    writer = _Writer(variant)
    form = f"{variant.form}{'_peeled' * variant.peel}{'_merged' * variant.merge}{'_part' * (not variant.last)}"
    name = f"{variant.name}_{form}"
    constants = {"WIDTH": variant.width, "KEPT": variant.kept, "REDUCED": variant.reduced}
    return Kernel(name, writer.source(name), writer.parameters, {"T": value_type(variant.element)}, THREADS, constants)


def value_type(element: str) -> str:
    """The type that elements are compared in."""
    return "float32" if element in HALVES else POINTER_TYPES.get(element, element)


class _Writer:
    def __init__(self, variant: ArgVariant) -> None:
        self.variant = v = variant
        self.places = Places(v.kept, v.reduced, v.wide)
        self.index = "int64" if v.wide else "int32"
        parameters: list[Parameter] = [("x", v.element, True)]
        parameters += [("places", "int64", True)] * v.merge
        parameters += [("values", value_type(v.element), True)] * (not v.last)
        parameters += [("out", "int64", True), ("outputs", "int64", False), ("length", "int64", False)]
        parameters += [("parts", "int64", False), ("part_length", "int64", False)]
        parameters += [("lane_bits", "int64", False)] * (v.form != "block")
        parameters += [("shift", "int64", False)] * v.peel
        parameters += self.places.parameters
        parameters += [(f"place{d}", "int64", False) for d in range(v.kept)] * (v.form == "columns")
        self.parameters = parameters

    def source(self, name: str) -> str:
        lines = {"block": self._block, "lanes": self._lanes, "columns": self._columns}[self.variant.form]()
        return "\n".join([self._helpers(), "", f"def {name}({', '.join(p[0] for p in self.parameters)}):", *indent(lines)])

    def _helpers(self) -> str:
        value = value_type(self.variant.element)
        functions = {
            "better(v, best)": better_place(self.variant.name, np.dtype(value)),
            "before(v, p, best, place)": "better(v, best) | ((not better(best, v)) & (p < place))",
            "exchanged(t, lanes)": exchange("T", value),
        }
        return "\n\n".join(f"@_inlined\ndef {name}:\n    return {body}\n" for name, body in functions.items())

    # --- loads and comparisons ----------------------------------------------------------------------------------------

    def _value(self, loaded: str) -> str:
        element = self.variant.element
        return f"{HALVES[element][0]}({loaded})" if element in HALVES else loaded

    def _load(self, u: int) -> list[str]:
        width = self.variant.width
        lines = [f"v{u} = load{width}(x, at{u})" if width > 1 else f"v{u} = x[at{u}]"]
        return [*lines, f"p{u} = {self.index}(places[at{u}])"] if self.variant.merge else lines

    def _taken(self, value: str, place: str, allowed: str = "", best: str = "best", at: str = "place") -> list[str]:
        """Take a value and its place where it is better."""
        lines = [f"v = {self._value(value)}", f"p = {place}"]
        test = f"before(v, p, {best}, {at})" if self.variant.merge else f"better(v, {best})"
        lines.append(f"taken = {f'({allowed}) & ' if allowed else ''}({test})")
        return [*lines, f"{best} = select(taken, v, {best})", f"{at} = select(taken, p, {at})"]

    def _all_of(self, u: int, first: str, allowed: str = "") -> list[str]:
        """Compare all elements of load u, whose first has the place `first`."""
        v, lines = self.variant, []
        for i in range(v.width):
            place = f"p{u}" if v.merge else f"{self.index}({first} + int64({i}))" if v.width > 1 else f"{self.index}({first})"
            lines += self._taken(f"v{u}[{i}]" if v.width > 1 else f"v{u}", place, allowed)
        return lines

    def _loop(self, lanes: str, skip: str) -> list[str]:
        """Over vectors `lane`, `lane + lanes`, ... of `vectors`; the first begins `skip` elements after the row does."""
        v = self.variant

        def place(u: int, number: str) -> list[str]:
            lines = [f"e{u} = {skip} + ({number}) * int64({v.width})" if v.width > 1 else f"e{u} = {skip} + {number}"]
            if v.reduced == 1 and v.width > 1:
                return [*lines, f"at{u} = at + e{u}"]
            return lines + self.places.of_element(f"at{u}", "at", f"e{u}")

        body: list[str] = []
        for u in range(v.unroll):
            body += place(u, f"j + {lanes} * int64({u})" if u else "j") + self._load(u)
        for u in range(v.unroll):
            body += self._all_of(u, f"e{u}")
        lines = ["j = lane", f"while j + {lanes} * int64({v.unroll - 1}) < vectors:"]
        lines += indent([*body, f"j = j + {lanes} * int64({v.unroll})"])
        if v.unroll > 1:
            body = []
            for u in range(v.unroll - 1):
                body.append(f"j{u} = j + {lanes} * int64({u})" if u else "j0 = j")
                body += place(u, f"select(j{u} < vectors, j{u}, j)" if u else "j0") + self._load(u)
            for u in range(v.unroll - 1):
                body += self._all_of(u, f"e{u}", f"j{u} < vectors")
            lines += ["if j < vectors:", *indent(body)]
        return lines

    def _row(self, lanes: str) -> list[str]:
        """`best` and `place` of elements `start` to `start + count` of the row at `at`, over one thread."""
        v = self.variant
        lines = [f"best = {self._value('x[at]')}", f"place = {self.index}({'places[at]' if v.merge else '0'})"]
        if not v.peel:
            return [
                *lines,
                f"vectors = count // int64({v.width})" if v.width > 1 else "vectors = count",
                *self._loop(lanes, "start"),
            ]
        lines += ["head = min(-(at + start + shift) & int64(WIDTH - 1), count)"]
        lines += ["vectors = (count - head) // int64(WIDTH)", "tail = count - head - vectors * int64(WIDTH)"]
        lines += ["head_at = start + select(lane < head, lane, int64(0))", "head_value = x[at + head_at]"]
        lines += [
            "tail_at = start + count - tail + select(lane < tail, lane, int64(0) - int64(1))",
            "tail_value = x[at + tail_at]",
        ]
        lines += self._taken("head_value", f"{self.index}(head_at)", "lane < head")
        lines += self._loop(lanes, "(start + head)")
        return lines + self._taken("tail_value", f"{self.index}(tail_at)", "lane < tail")

    def _merge_with(self, distance: str) -> list[str]:
        """Combine this thread's result with that of the thread whose lane differs by `distance`."""
        lines = [f"v = exchanged(best, {distance})", f"p = {self.index}(cuda.shfl_xor_sync(0xFFFFFFFF, place, {distance}))"]
        lines += ["taken = before(v, p, best, place)"]
        return [*lines, "best = select(taken, v, best)", "place = select(taken, p, place)"]

    def _store(self, index: str, best: str = "best", place: str = "place") -> list[str]:
        lines = [f"out[{index}] = int64({place})"]
        return lines if self.variant.last else [f"values[{index}] = {best}", *lines]

    # --- forms --------------------------------------------------------------------------------------------------------

    def _block(self) -> list[str]:
        warps = THREADS // WARP
        lines = [*self.places.of_block(), *self.places.of_output("at", "output")]
        lines += self._row("int64(cuda.blockDim.x)")
        distance = WARP // 2
        while distance:
            lines += self._merge_with(str(distance))
            distance //= 2
        lines += [f"between = cuda.shared.array({warps}, T)", f"between_places = cuda.shared.array({warps}, {self.index})"]
        lines += [f"if lane % int64({WARP}) == int64(0):", f"    between[lane // int64({WARP})] = best"]
        lines += [f"    between_places[lane // int64({WARP})] = place", "cuda.syncthreads()", f"if lane < int64({WARP}):"]
        body = [f"best = between[lane % int64({warps})]", f"place = between_places[lane % int64({warps})]"]
        distance = warps // 2
        while distance:
            body += self._merge_with(str(distance))
            distance //= 2
        return [*lines, *indent([*body, "if lane == int64(0):", *indent(self._store("int64(item)"))])]

    def _lanes(self) -> list[str]:
        lines = [*group_of_lanes(), "item = int64(cuda.blockIdx.x) * groups + group"]
        lines += ["output = min(item, outputs - int64(1))", "start = int64(0)", "count = length"]
        lines += self.places.of_output("at", "output")
        lines += self._row("lanes")
        lines += ["distance = lanes >> int64(1)", "while distance > int64(0):"]
        lines += indent([*self._merge_with("int32(distance)"), "distance = distance >> int64(1)"])
        return [*lines, "if (lane == int64(0)) & (item < outputs):", *indent(self._store("item"))]

    def _columns(self) -> list[str]:
        v, columns = self.variant, range(self.variant.width)
        lines = [*self.places.of_columns(v.width), *self.places.of_output("at", "output", "to")]
        lines += ["start = part * part_length", "end = min(start + part_length, length)", "j = start + group"]
        lines += ["at0 = at", *self._load(0)]
        for i in columns:
            lines += [f"best{i} = {self._value(f'v0[{i}]' if v.width > 1 else 'v0')}", f"place{i}_ = {self.index}(0)"]
        lines += self._column_loop(columns)
        lines += [f"between = cuda.shared.array({THREADS * v.width}, T)"]
        lines += [f"between_places = cuda.shared.array({THREADS * v.width}, {self.index})"]
        slots = [f"int64({i * THREADS}) + thread" for i in columns]
        kept = [f"between[{slots[i]}] = best{i}" for i in columns] + [f"between_places[{slots[i]}] = place{i}_" for i in columns]
        body = []
        for i in columns:
            body += [f"v = between[{slots[i]} + other]", f"p = between_places[{slots[i]} + other]"]
            body += [f"taken = before(v, p, best{i}, place{i}_)", f"best{i} = select(taken, v, best{i})"]
            body += [f"place{i}_ = select(taken, p, place{i}_)"]
        lines += [*kept, "half = groups >> int64(1)", "while half > int64(0):", "    cuda.syncthreads()", "    if group < half:"]
        lines += [*indent(["other = half << lane_bits", *body, *kept], 2), "    half = half >> int64(1)", "if is_there:"]
        for i in columns:
            index = f"(to + int64({i}) * place0) * parts + part"
            lines += indent(self._store(index, f"best{i}", f"place{i}_"))
        return lines

    def _column_loop(self, columns: range) -> list[str]:
        v, body = self.variant, []
        for u in range(v.unroll):
            body += self.places.of_element(f"at{u}", "at", f"(j + groups * int64({u}))" if u else "j") + self._load(u)
        for u in range(v.unroll):
            body += self._compared(u, columns, f"{self.index}(j + groups * int64({u}))")
        lines = [f"while j + groups * int64({v.unroll - 1}) < end:", *indent([*body, f"j = j + groups * int64({v.unroll})"])]
        if v.unroll > 1:
            body = []
            for u in range(v.unroll - 1):
                body.append(f"j{u} = j + groups * int64({u})" if u else "j0 = j")
                body += self.places.of_element(f"at{u}", "at", f"select(j{u} < end, j{u}, j)" if u else "j0") + self._load(u)
            for u in range(v.unroll - 1):
                body += self._compared(u, columns, f"{self.index}(j{u})", f"j{u} < end")
            lines += ["if j < end:", *indent(body)]
        return lines

    def _compared(self, u: int, columns: range, place: str, allowed: str = "") -> list[str]:
        lines = []
        for i in columns:
            value = f"v{u}[{i}]" if self.variant.width > 1 else f"v{u}"
            lines += self._taken(value, place, allowed, f"best{i}", f"place{i}_")
        return lines


# --- for the tests of what the compiler makes of this ------------------------------------------------------------------


def _sample(name: str, element: Any, form: str, width: int, **options: Any) -> Callable[[], Kernel]:
    given: dict[str, Any] = {"unroll": 4, "kept": 1, "reduced": 1} | options
    return lambda: arg_kernel_for(ArgVariant(name, dtype_name(np.dtype(element)), form, width, **given))


VARIANTS: list[Callable[[], Kernel]] = [
    _sample("argmax", np.float32, "block", 4),
    _sample("argmax", np.float32, "block", 4, peel=True, last=False),
    _sample("argmax", np.float32, "block", 1, merge=True),
    _sample("argmax", np.float32, "lanes", 1, unroll=1),
    _sample("argmin", np.float32, "lanes", 4, kept=2),
    _sample("argmin", np.float32, "columns", 4),
    _sample("argmin", np.float32, "columns", 4, last=False),
    _sample("argmax", np.float32, "lanes", 1, kept=4, reduced=4),
    _sample("argmax", np.float64, "block", 2),
    _sample("argmax", np.float64, "columns", 2, wide=True),
    _sample("argmax", np.float16, "columns", 8),
    _sample("argmin", BFLOAT16, "block", 8),
    _sample("argmax", np.int8, "block", 16, peel=True, unroll=2),
    _sample("argmax", np.int64, "lanes", 2),
    _sample("argmin", np.uint16, "columns", 8),
    _sample("argmax", np.bool_, "lanes", 1),
]
PROMISES: dict[str, tuple[str, ...]] = {
    "argmax_block[float32_WIDTH4*": ("LDG.E.128", "SHFL.BFLY", "BAR.SYNC"),
    "argmin_columns[float32_WIDTH4*": ("LDG.E.128",),
}
