"""What the sources of reductions and of argmax have in common: which threads work on what, and where its elements lie."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from kernels.template import Parameter

THREADS = 256
WARP = 32
HALVES = {"float16": ("float32_of_half", "half_of_float32"), "bfloat16": ("float32_of_bfloat16", "bfloat16_of_float32")}


def indent(lines: Sequence[str], levels: int = 1) -> list[str]:
    return ["    " * levels + line for line in lines]


def exchange(letter: str, dtype: str) -> str:
    """The number `t` of another lane, of the type `letter`: the instruction moves floats, or integers of 32 or 64 bits."""
    kind = np.dtype(dtype)
    if kind.kind == "f":
        return "cuda.shfl_xor_sync(0xFFFFFFFF, t, lanes)"
    return f"{letter}(cuda.shfl_xor_sync(0xFFFFFFFF, int{max(kind.itemsize * 8, 32)}(t), lanes))"


def group_of_lanes() -> list[str]:
    """Which lanes work together: `lanes` of them, of which this is `lane`, in group `group` of the block's `groups`."""
    lines = ["thread = int64(cuda.threadIdx.x)", "lanes = int64(1) << lane_bits", "lane = thread & (lanes - int64(1))"]
    return [*lines, "group = thread >> lane_bits", "groups = int64(THREADS) >> lane_bits"]


class Places:
    """Lines that turn the number of an output, or of an element, into its place."""

    def __init__(self, kept: int, reduced: int, wide: bool) -> None:
        self.kept, self.reduced, self.number = kept, reduced, "int64" if wide else "uint32"
        self.parameters: list[Parameter] = [(f"size{d}", "int64", False) for d in range(kept - 1)]
        self.parameters += [(f"step{d}", "int64", False) for d in range(kept)]
        self.parameters += [(f"length{d}", "int64", False) for d in range(reduced - 1)]
        self.parameters += [(f"stride{d}", "int64", False) for d in range(reduced)]

    def of_block(self) -> list[str]:
        """Which `output` a block works on, and which `count` elements of it from `start`: result number `item`."""
        lines = ["lane = int64(cuda.threadIdx.x)"]
        lines += [f"item = {self.number}(cuda.blockIdx.x)", f"output = int64(item // {self.number}(parts))"]
        return [*lines, "start = (int64(item) - output * parts) * part_length", "count = min(part_length, length - start)"]

    def of_columns(self, width: int) -> list[str]:
        """Which outputs from `output`, `width` of them, a thread works on, and in which `part`; `is_there`: to be stored."""
        lines = [*group_of_lanes(), f"vectors = outputs // int64({width})" if width > 1 else "vectors = outputs"]
        lines += ["tiles = (vectors + lanes - int64(1)) >> lane_bits", f"item = {self.number}(cuda.blockIdx.x)"]
        lines += [f"part = int64(item // {self.number}(tiles))", "vector = ((int64(item) - part * tiles) << lane_bits) + lane"]
        lines += ["is_there = (vector < vectors) & (group == int64(0))", "vector = min(vector, vectors - int64(1))"]
        return [*lines, f"output = vector * int64({width})" if width > 1 else "output = vector"]

    def of_output(self, at: str, output: str, places: str = "") -> list[str]:
        """`at` = place of the first element of an output; `places` = its place in the result by the steps `place0`, ..."""
        return self._digits(output, self.kept, "size", [(at, "step")] + ([(places, "place")] if places else []))

    def of_element(self, target: str, at: str, element: str) -> list[str]:
        """`target` = the place of an element of the output whose first is at `at`."""
        if self.reduced == 1:
            return [f"{target} = {at} + {element} * stride0"]
        lines = self._digits(element, self.reduced, "length", [(target, "stride")])
        return [*lines, f"{target} = {at} + {target}"]

    def _digits(self, number: str, count: int, size: str, targets: list[tuple[str, str]]) -> list[str]:
        if count == 1:
            return [f"{target} = {number} * {step}0" for target, step in targets]
        lines = [f"rest = {self.number}({number})"]
        for d in range(count):
            last = d == count - 1
            lines.append("digit = int64(rest)" if last else f"digit = int64(rest % {self.number}({size}{d}))")
            lines += [f"{t} = {f'{t} + ' if d else ''}digit * {step}{d}" for t, step in targets]
            if not last:
                lines.append(f"rest = {self.number}(rest // {self.number}({size}{d}))")
        return lines
