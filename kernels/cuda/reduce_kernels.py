"""The source of all reductions on the GPU: one loop along rows, one down columns, with an `Operation` put into it.

Three forms, all without atomics, so that a result has the same bits from run to run:

- `block`: a block of threads works on one row, or on one of several equal parts of it; the parts' results lie side by side
  and are reduced by a second kernel.
- `lanes`: 1 to 32 threads of a warp work on one row. Rows that these threads load at once are taken four at a time.
- `columns`: neighbouring threads work on neighbouring outputs, whose elements are neighbours too; the threads of a block
  that are left take other rows, and are combined in a tree.

A thread has UNROLL loads of up to 16 bytes under way before it uses the first. What one batch of loads gives is combined
pairwise before it is added to a total, totals of threads are combined pairwise too, and a thread adds a few hundred
numbers at most: the error of a sum is that of a pairwise sum of short pieces.

The place of an element follows from its number by division by the sizes of the dimensions, which are scalar arguments.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from kernels import launch
from kernels.cuda.compiler import POINTER_TYPES, Kernel
from kernels.cuda.reduce_places import HALVES, THREADS, WARP, Places, exchange, group_of_lanes, indent
from kernels.reduction import Operation
from kernels.template import Parameter

ROWS = 4  # short rows that a group of lanes has under way
MOST_DIMENSIONS = 4  # kept, and as many reduced: an array with more is copied


@dataclass(frozen=True)
class Variant:
    """Which kernel of an operation is wanted: everything its source depends on.

    element, total, result: names of the dtypes of what is reduced (in memory), combined, and stored.
    form: "block", "lanes", "short" (lanes, one load each) or "columns". width: elements of one load. unroll: loads of a
    thread under way. kept, reduced: dimensions to go over. peel: rows in one piece may begin anywhere, so loads of `width`
    elements start at the first good place. dense: outputs that lie side by side are neighbours in the result. wide:
    outputs, or elements of a row, are numbered beyond 2**31. centre: what `first` is: "none", an "array" of one number
    per output, an "element" of the output's own, or one "number".
    """

    operation: Operation
    element: str
    total: str
    result: str
    form: str
    width: int
    unroll: int
    kept: int
    reduced: int
    peel: bool = False
    dense: bool = True
    wide: bool = False
    centre: str = "none"

    @property
    def uses_first(self) -> bool:
        """Whether the four lines mention `first`."""
        return "first" in self.operation.prepare + self.operation.finish

    @property
    def uses_second(self) -> bool:
        """Whether the four lines mention `second`."""
        return "second" in self.operation.prepare

    @property
    def divides(self) -> bool:
        """Whether the finish divides by `divisor`."""
        return "divisor" in self.operation.finish


@cache
def kernel_for(variant: Variant) -> Kernel:
    """The kernel; its parameters are listed in `_Writer.__init__`."""
    writer = _Writer(variant)
    computed = "float32" if variant.element in HALVES else POINTER_TYPES.get(variant.element, variant.element)
    types = {"A": variant.total, "T": computed}
    form = f"{variant.form}{'_peeled' if variant.peel else ''}"
    name = f"{variant.operation.name}_{form}"
    constants = {"WIDTH": variant.width, "KEPT": variant.kept, "REDUCED": variant.reduced}
    return Kernel(name, writer.source(name), writer.parameters, types, THREADS, constants, _cost_of(variant))


def _cost_of(variant: Variant) -> Callable[..., tuple[int, int]]:
    def cost(grid: Any, *arguments: Any) -> tuple[int, int]:
        arrays = [a for a in arguments if hasattr(a, "pointer")]
        return arrays[0].size * variant.operation.weight, sum(map(launch.touched_bytes, arrays))

    return cost


def _tree(values: Sequence[str]) -> str:
    """The values combined pairwise."""
    parts = list(values)
    while len(parts) > 1:
        parts = [f"combine({', '.join(parts[i : i + 2])})" if i + 1 < len(parts) else parts[i] for i in range(0, len(parts), 2)]
    return parts[0]


class _Writer:
    def __init__(self, variant: Variant) -> None:
        self.variant = v = variant
        self.places = Places(v.kept, v.reduced, v.wide)
        self.zero = "A(0)"
        parameters: list[Parameter] = [("x", v.element, True)]
        parameters += [("first_data", v.total, True)] * (v.uses_first and v.centre == "array")
        parameters += [("second_data", v.total, True)] * v.uses_second
        parameters += [("out", v.result, True)]
        parameters += [("divisor", v.total, False)] * v.divides
        parameters += [("first", v.total, False)] * (v.uses_first and v.centre == "number")
        parameters += [("outputs", "int64", False), ("length", "int64", False)]  # elements of each output
        if v.form in ("block", "columns"):
            parameters += [("parts", "int64", False), ("part_length", "int64", False)]
        if v.form != "block":
            parameters += [("lane_bits", "int64", False)]
        if v.peel:
            parameters += [("shift", "int64", False)]  # elements from a good place for a vector to that of x
        parameters += self.places.parameters
        if v.form == "columns":
            parameters += [(f"place{d}", "int64", False) for d in range(v.kept)]
        self.parameters = parameters

    def source(self, name: str) -> str:
        form = {"block": self._block, "lanes": self._lanes, "short": self._short, "columns": self._columns}
        lines = form[self.variant.form]()
        header = f"def {name}({', '.join(p[0] for p in self.parameters)}):"
        return "\n".join([self._helpers(), "", header, *indent(lines)])

    # --- the operation ------------------------------------------------------------------------------------------------

    def _helpers(self) -> str:
        v, operation = self.variant, self.variant.operation
        value = [f"    v = {HALVES[v.element][0]}(v)"] if v.element in HALVES else []
        stored = {"float16": "half_of_float32(total)", "bfloat16": "bfloat16_of_float32(total)", "bool": "uint8(total)"}
        functions = {
            "combine(a, b)": [f"    return {operation.combine}"],
            "identity()": [f"    return {operation.identity}"],
            "prepare(v, first, second)": [*value, f"    return {operation.prepare}"],
            "finish(total, first, divisor)": [f"    return {operation.finish}"],
            "stored(total)": [f"    return {stored.get(v.result, 'total')}"],
            "exchanged(t, lanes)": [f"    return {exchange('A', v.total)}"],
        }
        return "\n\n".join("\n".join(["@_inlined", f"def {name}:", *body]) + "\n" for name, body in functions.items())

    def _centres(self, output: str, at: str, suffix: str = "") -> list[str]:
        """`first` and `second` of an output, where the operation has them."""
        v, lines = self.variant, []
        if v.uses_first and v.centre == "array":
            lines.append(f"first{suffix} = first_data[{output}]")
        elif v.uses_first and v.centre == "element":
            lines.append(f"first{suffix} = {f'{HALVES[v.element][0]}(x[{at}])' if v.element in HALVES else f'x[{at}]'}")
        if v.uses_second:
            lines.append(f"second{suffix} = second_data[{output}]")
        return lines

    def _prepared(self, value: str, suffix: str = "") -> str:
        v = self.variant
        first = f"first{suffix if v.centre != 'number' else ''}" if v.uses_first else self.zero
        return f"prepare({value}, {first}, {f'second{suffix}' if v.uses_second else self.zero})"

    def _result(self, total: str, suffix: str = "") -> str:
        v = self.variant
        needed = "first" in v.operation.finish
        first = f"first{suffix if v.centre != 'number' else ''}" if needed else self.zero
        return f"stored(finish({total}, {first}, {'divisor' if v.divides else self.zero}))"

    # --- loads --------------------------------------------------------------------------------------------------------

    def _load(self, target: str, place: str) -> str:
        return f"{target} = load{self.variant.width}(x, {place})" if self.variant.width > 1 else f"{target} = x[{place}]"

    def _vector(self, loaded: str, suffix: str = "") -> str:
        """All elements of one load, prepared and combined."""
        width = self.variant.width
        values = [f"{loaded}[{i}]" for i in range(width)] if width > 1 else [loaded]
        return _tree([self._prepared(value, suffix) for value in values])

    def _row_loop(self, lanes: str, begin: str, vectors: str) -> list[str]:
        """Totals t0, t1, ... of vectors `lane`, `lane + lanes`, ... of a run of `vectors` that starts at element `begin`."""
        unroll, width, places = self.variant.unroll, self.variant.width, self.places
        lines = [f"t{u} = identity()" for u in range(unroll)]
        lines += ["j = lane", f"while j + {lanes} * int64({unroll - 1}) < {vectors}:"]

        def place(u: int, number: str) -> list[str]:
            element = f"({number}) * int64({width})" if width > 1 else f"({number})"
            if self.variant.reduced == 1 and width > 1:
                return [f"at{u} = {begin} + {element}"]
            start, element = ("at", f"(start + {element})") if begin == "at + start" else (begin, element)
            return places.of_element(f"at{u}", start, element)

        body: list[str] = []
        for u in range(unroll):
            body += place(u, f"j + {lanes} * int64({u})" if u else "j")
            body.append(self._load(f"v{u}", f"at{u}"))
        body += [f"t{u} = combine(t{u}, {self._vector(f'v{u}')})" for u in range(unroll)]
        lines += indent([*body, f"j = j + {lanes} * int64({unroll})"])
        if unroll > 1:  # the rest: as many loads again, those past the end of a vector that is there
            body = []
            for u in range(unroll - 1):
                body.append(f"j{u} = j + {lanes} * int64({u})" if u else "j0 = j")
                body += place(u, f"select(j{u} < {vectors}, j{u}, j)" if u else "j0")
                body.append(self._load(f"v{u}", f"at{u}"))
            body += [f"t{u} = select(j{u} < {vectors}, combine(t{u}, {self._vector(f'v{u}')}), t{u})" for u in range(unroll - 1)]
            lines += [f"if j < {vectors}:", *indent(body)]
        return lines

    def _row(self, lanes: str, begin: str, count: str) -> list[str]:
        """`total` of the `count` elements from `begin`, over one thread."""
        v, lines = self.variant, []
        if v.peel:
            lines += [
                f"begin = {begin}",
                "head = min(-(begin + shift) & int64(WIDTH - 1), count)",
                "vectors = (count - head) // int64(WIDTH)",
                "tail = count - head - vectors * int64(WIDTH)",
                "head_value = x[begin + select(lane < head, lane, int64(0))]",
                "tail_value = x[begin + count - int64(1) - select(lane < tail, lane, int64(0))]",
                *self._row_loop(lanes, "begin + head", "vectors"),
            ]
            last = v.unroll - 1
            lines.append(f"t0 = select(lane < head, combine(t0, {self._prepared('head_value')}), t0)")
            lines.append(f"t{last} = select(lane < tail, combine(t{last}, {self._prepared('tail_value')}), t{last})")
        else:
            vectors = f"({count}) // int64(WIDTH)" if v.width > 1 else count
            lines += [f"vectors = {vectors}", *self._row_loop(lanes, begin, "vectors")]
        return [*lines, f"total = {_tree([f't{u}' for u in range(v.unroll)])}"]

    # --- forms --------------------------------------------------------------------------------------------------------

    def _block(self) -> list[str]:
        lines = [*self.places.of_block(), *self.places.of_output("at", "output")]
        lines += self._centres("output", "at")
        lines += self._row("int64(cuda.blockDim.x)", "at + start", "count")  # a number here would unroll the loop once more
        lines += self._butterfly(["total"], WARP // 2)
        warps = THREADS // WARP
        lines += [f"between = cuda.shared.array({warps}, A)", f"if lane % int64({WARP}) == int64(0):"]
        lines += [f"    between[lane // int64({WARP})] = total", "cuda.syncthreads()", f"if lane < int64({WARP}):"]
        lines += [f"    total = between[lane % int64({warps})]"]
        lines += indent(self._butterfly(["total"], warps // 2))
        lines += ["    if lane == int64(0):", f"        out[int64(item)] = {self._result('total')}"]
        return lines

    def _butterfly(self, totals: list[str], lanes: int) -> list[str]:
        """Combine the totals of 2 * lanes neighbouring threads; all of them get the result."""
        lines = []
        while lanes:
            lines += [f"{t} = combine({t}, exchanged({t}, {lanes}))" for t in totals]
            lanes //= 2
        return lines

    def _over_lanes(self, totals: list[str]) -> list[str]:
        body = [f"{t} = combine({t}, exchanged({t}, int32(distance)))" for t in totals]
        lines = ["distance = lanes >> int64(1)", "while distance > int64(0):"]
        return [*lines, *indent([*body, "distance = distance >> int64(1)"])]

    def _lanes(self) -> list[str]:
        lines = [*group_of_lanes(), "item = int64(cuda.blockIdx.x) * groups + group"]
        lines += ["output = min(item, outputs - int64(1))"]  # all lanes of a warp take part in its shuffles
        lines += ["start = int64(0)", "count = length"]
        lines += self.places.of_output("at", "output")
        lines += self._centres("output", "at")
        lines += self._row("lanes", "at", "count")
        lines += self._over_lanes(["total"])
        return [*lines, "if (lane == int64(0)) & (item < outputs):", f"    out[item] = {self._result('total')}"]

    def _short(self) -> list[str]:
        width = self.variant.width
        lines = [*group_of_lanes(), f"vectors = length // int64({width})" if width > 1 else "vectors = length"]
        lines += [
            "there = lane < vectors",
            "element = select(there, lane, int64(0))" + (f" * int64({width})" if width > 1 else ""),
        ]
        for r in range(ROWS):
            lines.append(f"item{r} = (int64(cuda.blockIdx.x) * int64({ROWS}) + int64({r})) * groups + group")
            lines.append(f"output{r} = min(item{r}, outputs - int64(1))")
            lines += self.places.of_output(f"row{r}", f"output{r}")
            lines += self._centres(f"output{r}", f"row{r}", str(r))
            if width > 1 and self.variant.reduced == 1:
                lines.append(f"at{r} = row{r} + element")
            else:
                lines += self.places.of_element(f"at{r}", f"row{r}", "element")
            lines.append(self._load(f"v{r}", f"at{r}"))
        lines += [f"t{r} = select(there, {self._vector(f'v{r}', str(r))}, identity())" for r in range(ROWS)]
        lines += self._over_lanes([f"t{r}" for r in range(ROWS)])
        for r in range(ROWS):
            lines += [f"if (lane == int64(0)) & (item{r} < outputs):", f"    out[item{r}] = {self._result(f't{r}', str(r))}"]
        return lines

    def _columns(self) -> list[str]:
        v = self.variant
        columns = range(v.width)
        lines = [*self.places.of_columns(v.width), *self.places.of_output("at", "output", "to")]
        for i in columns:
            lines += self._centres(f"to + int64({i}) * place0", f"at + int64({i}) * step0", str(i))
        lines += ["start = part * part_length", "end = min(start + part_length, length)", "j = start + group"]
        lines += [f"t{i} = identity()" for i in columns]
        lines += self._column_loop(columns)
        lines += [f"between = cuda.shared.array({THREADS * v.width}, A)"]
        slots = [f"int64({i * THREADS}) + thread" for i in columns]
        lines += [f"between[{slots[i]}] = t{i}" for i in columns]
        lines += ["half = groups >> int64(1)", "while half > int64(0):", "    cuda.syncthreads()", "    if group < half:"]
        lines += ["        other = half << lane_bits"]
        lines += [f"        t{i} = combine(t{i}, between[{slots[i]} + other])" for i in columns]
        lines += [f"        between[{slots[i]}] = t{i}" for i in columns]
        lines += ["    half = half >> int64(1)", "if is_there:", "    to = part * outputs + to"]
        results = [self._result(f"t{i}", str(i)) for i in columns]
        if v.dense and v.width > 1:
            return [*lines, f"    store{v.width}(out, to, ({', '.join(results)}))"]
        return lines + [f"    out[to + int64({i}) * place0] = {result}" for i, result in enumerate(results)]

    def _column_loop(self, columns: range) -> list[str]:
        """Totals t0, t1, ... of columns over rows `j`, `j + groups`, ... below `end`."""
        v = self.variant

        def value(u: int, i: int) -> str:
            return self._prepared(f"v{u}[{i}]" if v.width > 1 else f"v{u}", str(i))

        body: list[str] = []
        for u in range(v.unroll):
            body += self.places.of_element(f"at{u}", "at", f"(j + groups * int64({u}))" if u else "j")
            body.append(self._load(f"v{u}", f"at{u}"))
        body += [f"t{i} = combine(t{i}, {_tree([value(u, i) for u in range(v.unroll)])})" for i in columns]
        lines = [f"while j + groups * int64({v.unroll - 1}) < end:", *indent([*body, f"j = j + groups * int64({v.unroll})"])]
        if v.unroll > 1:
            body = []
            for u in range(v.unroll - 1):
                body.append(f"j{u} = j + groups * int64({u})" if u else "j0 = j")
                body += self.places.of_element(f"at{u}", "at", f"select(j{u} < end, j{u}, j)" if u else "j0")
                body.append(self._load(f"v{u}", f"at{u}"))
            for u in range(v.unroll - 1):
                body += [f"t{i} = select(j{u} < end, combine(t{i}, {value(u, i)}), t{i})" for i in columns]
            lines += ["if j < end:", *indent(body)]
        return lines
