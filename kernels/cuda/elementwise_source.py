"""From a formula to the source of a CUDA kernel: the counterpart of `kernels.codegen`'s loops.

A thread works on vectors of WIDTH neighbouring elements, one 16-byte load per operand where the data allows it, and on
UNROLL such vectors, THREADS vectors apart, all loaded before the first is used. What a vector's place is in each operand
follows from its number: by one multiplication where all operands run in one piece, by division by the sizes of the
dimensions otherwise. Sizes and strides are scalar arguments.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from kernels import scalar
from kernels.codegen import Parameter, identifier
from kernels.formula import Formula

_HALVES = {"float16": ("float32_of_half", "half_of_float32"), "bfloat16": ("float32_of_bfloat16", "bfloat16_of_float32")}


@dataclass(frozen=True)
class Variant:
    """Which kernel of a formula is wanted: everything its source depends on.

    compute: name of the dtype that the formula is evaluated in. inputs, outputs: the operands' dtype names.
    access, aliases: as in `kernels.walk.Walk`.
    rank: dimensions to go over; with rank 1 and no stride but 1 and 0, vectors are numbered as elements are.
    width: elements of a vector. unroll: vectors of a thread.
    wide: whether numbers of vectors pass 2**31, so that dividing them takes 64 bits.
    """

    compute: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    access: str
    aliases: tuple[int, ...]
    rank: int
    width: int
    unroll: int
    wide: bool

    @property
    def places(self) -> list[tuple[str, str]]:
        """(dtype, access) of every operand in memory: inputs, then results that are no inputs."""
        count = len(self.inputs)
        found = [(d, a) for d, a in zip(self.inputs, self.access, strict=False) if a != "p"]
        outputs = zip(self.outputs, self.access[count:], self.aliases, strict=True)
        return found + [(d, a) for d, a, alias in outputs if alias < 0]

    @property
    def flat(self) -> bool:
        """Whether an element's number is its place in every operand that is not the same element throughout."""
        return self.rank <= 1 and "x" not in self.access


def elementwise_source(formula: Formula, variant: Variant) -> tuple[str, list[Parameter]]:
    """The source of the kernel and its parameters, for `kernels.cuda.compiler.Kernel`.

    The parameters are the pointers, `vectors` (their number), then, unless the variant is flat, the sizes of all
    dimensions but the slowest (fastest first) and each operand's strides (fastest dimension first); then the formula's.
    """
    writer = _Writer(formula, variant)
    return writer.source(), writer.parameters


def element_source(formula: Formula, variant: Variant) -> str:
    """The source of `element(operands..., parameters...)`, which computes the results of one element of each operand."""
    return _Writer(formula, variant)._element()


class _Writer:
    def __init__(self, formula: Formula, variant: Variant) -> None:
        self.formula, self.variant = formula, variant
        self.numbers = [f"{name}_" for name in formula.parameters]
        self.pointers: list[tuple[str, str, str]] = []  # (name, dtype, access), one per operand in memory
        self.parameters: list[Parameter] = []
        scalars = []
        for name, dtype, access in zip(formula.inputs, variant.inputs, variant.access, strict=False):
            if access == "p":
                scalars.append((f"{name}_", variant.compute, False))
            else:
                self.pointers.append((f"{name}_data", dtype, access))
        self.inputs = len(self.pointers)
        count = len(formula.inputs)
        for k, alias in enumerate(variant.aliases):
            if alias < 0:
                self.pointers.append((f"result{k}_data", variant.outputs[k], variant.access[count + k]))
        self.parameters += [(name, dtype, True) for name, dtype, _ in self.pointers]
        self.parameters.append(("vectors", "int64", False))
        if not variant.flat:
            self.parameters += [(f"size{d}", "int64", False) for d in range(variant.rank - 1)]
            self.parameters += [(f"{p}_step{d}", "int64", False) for p, _, _ in self.pointers for d in range(variant.rank)]
        self.scalars = [name for name, _, _ in scalars] + self.numbers
        self.parameters += scalars + [(name, variant.compute, False) for name in self.numbers]

    def source(self) -> str:
        name = identifier(self.formula)
        lines = [f"def {name}({', '.join(p[0] for p in self.parameters)}):"]
        body = ["base = int64(cuda.blockIdx.x) * int64(THREADS * UNROLL) + int64(cuda.threadIdx.x)"]
        body.append("if base + int64(THREADS * (UNROLL - 1)) < vectors:")
        body += _indent(self._vectors(self.variant.unroll))
        if self.variant.unroll > 1:
            body.append("else:")
            body.append("    for k in range(UNROLL):")
            body.append("        at0 = base + int64(k * THREADS)")
            body.append("        if at0 < vectors:")
            body += _indent(self._vectors(1, placed=True), 3)
        return self._element() + "\n\n\n" + "\n".join(lines + _indent(body))

    def _element(self) -> str:
        """The formula of one element, as a function of loaded values: the same for every element of a vector."""
        formula, variant = self.formula, self.variant
        arguments = [f"{name}_" for name in (*formula.inputs, *formula.parameters)]
        lines = [f"@_inlined\ndef element({', '.join(arguments)}):"]
        for name, dtype, access in zip(formula.inputs, variant.inputs, variant.access, strict=False):
            if access != "p":
                lines += self._converted(name, dtype)
        names = {name: f"{name}_" for name in (*formula.inputs, *formula.parameters)}
        statements, results = scalar.render(formula.outputs, names)
        lines += [f"    {s}" for s in statements]
        stored = [self._stored(result, k) for k, result in enumerate(results)]
        lines.append(f"    return {', '.join(stored)}")
        return "\n".join(lines)

    def _converted(self, name: str, dtype: str) -> list[str]:
        if dtype in _HALVES:
            line = f"{name}_ = {_HALVES[dtype][0]}({name}_)"
            return [f"    {line}"] if self.variant.compute == "float32" else [f"    {line}", self._cast(name, "float32")]
        if dtype == "bool":
            line = f"{name}_ = {name}_ != uint8(0)"
            if self.variant.compute != "bool" and name not in self.formula.booleans:
                return [f"    {line}", f"    {name}_ = real({name}_)"]
            return [f"    {line}"]
        if dtype != self.variant.compute:
            if name in self.formula.booleans:
                return [f"    {name}_ = {name}_ != {dtype}(0)"]
            if self.variant.compute == "bool":
                return [f"    {name}_ = {name}_ != {dtype}(0)"]
            return [self._cast(name, dtype)]
        return []

    def _cast(self, name: str, dtype: str) -> str:
        """An operand converted to the type that is computed in.

        A negative float wraps around in an unsigned type, as on the CPU: the instruction for that pair of types gives 0, so
        it goes by way of int64, which holds every unsigned value but the larger half of uint64's.
        """
        value = f"{name}_"
        if dtype.startswith("float") and self.variant.compute.startswith("uint"):
            wrapped = f"real(int64({value}))"
            large = f"real({value}) if {value} >= {dtype}(0) else {wrapped}"
            return f"    {value} = {large if self.variant.compute == 'uint64' else wrapped}"
        return f"    {value} = real({value})"

    def _stored(self, result: str, k: int) -> str:
        dtype = self.variant.outputs[k]
        if dtype in _HALVES:
            return f"{_HALVES[dtype][1]}(float32({result}))"
        if dtype == "bool":
            is_bool = self.formula.result == "bool" or self.variant.compute == "bool"
            return f"uint8({result})" if is_bool else f"uint8({result} != real(0))"
        return f"{dtype}({result})"

    # --- vectors --------------------------------------------------------------------------------------------------

    def _vectors(self, count: int, placed: bool = False) -> list[str]:
        """Load `count` vectors, then compute and store each."""
        lines = []
        for u in range(count):
            if not placed:
                lines.append(f"at{u} = base + int64({u} * THREADS)" if u else "at0 = base")
            lines += self._places(u)
            lines += [self._load(p, dtype, access, u) for p, dtype, access in self.pointers[: self.inputs]]
        for u in range(count):
            lines += self._compute(u)
        return lines

    def _places(self, u: int) -> list[str]:
        """The place of vector u in each operand."""
        variant = self.variant
        if variant.flat:
            return [f"place{u} = at{u} * int64(WIDTH)"]
        unsigned = "int64" if variant.wide else "uint32"
        lines = [f"rest = {unsigned}(at{u})"]
        for d in range(variant.rank):
            last = d == variant.rank - 1
            size = f"{unsigned}(size{d})" + (f" // {unsigned}(WIDTH)" if d == 0 and variant.width > 1 else "")
            lines.append(f"index{d} = int64(rest)" if last else f"index{d} = int64(rest % ({size}))")
            if not last:
                lines.append(f"rest = rest // ({size})")
            if d == 0 and variant.width > 1:
                lines.append("index0 = index0 * int64(WIDTH)")
        for p, _, access in self.pointers:
            steps = [f"index{d} * {p}_step{d}" for d in range(variant.rank)]
            if access == "v":
                steps[0] = "index0"
            elif access == "0":
                steps = steps[1:]
            lines.append(f"{p}_at{u} = {' + '.join(steps) or 'int64(0)'}")
        return lines

    def _place(self, pointer: str, access: str, u: int) -> str:
        if self.variant.flat:
            return "int64(0)" if access == "0" else f"place{u}"
        return f"{pointer}_at{u}"

    def _load(self, pointer: str, dtype: str, access: str, u: int) -> str:
        place, width = self._place(pointer, access, u), self.variant.width
        if access == "v" and width > 1:
            return f"{pointer}{u} = load{width}({pointer}, {place})"
        if access == "x" and width > 1:
            elements = [f"{pointer}[{place} + int64({i}) * {pointer}_step0]" for i in range(width)]
            return f"{pointer}{u} = ({', '.join(elements)})"
        return f"{pointer}{u} = {pointer}[{place}]"

    def _compute(self, u: int) -> list[str]:
        variant, lines = self.variant, []
        loaded = [(p, access) for p, _, access in self.pointers[: self.inputs]]
        for i in range(variant.width):
            given = iter(f"{p}{u}[{i}]" if variant.width > 1 and access != "0" else f"{p}{u}" for p, access in loaded)
            scalars = iter(self.scalars)
            arguments = [next(scalars) if a == "p" else next(given) for a in variant.access[: len(variant.inputs)]]
            arguments += self.numbers
            targets = [f"out{k}_{i}" for k in range(len(variant.outputs))]
            lines.append(f"{', '.join(targets)} = element({', '.join(arguments)})")
        for k, alias in enumerate(variant.aliases):
            pointer, access = self._target(k, alias)
            place = self._place(pointer, access, u)
            values = [f"out{k}_{i}" for i in range(variant.width)]
            if variant.width == 1:
                lines.append(f"{pointer}[{place}] = {values[0]}")
            elif access == "v":
                lines.append(f"store{variant.width}({pointer}, {place}, ({', '.join(values)}))")
            else:
                lines += [f"{pointer}[{place} + int64({i}) * {pointer}_step0] = {v}" for i, v in enumerate(values)]
        return lines

    def _target(self, k: int, alias: int) -> tuple[str, str]:
        """The pointer and access of result k."""
        if alias < 0:
            return f"result{k}_data", self.variant.access[len(self.variant.inputs) + k]
        return f"{self.formula.inputs[alias]}_data", self.variant.access[alias]


def _indent(lines: Sequence[str], levels: int = 1) -> list[str]:
    return ["    " * levels + line for line in lines]
