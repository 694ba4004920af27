"""The shape of loops that do little more than load and store: one cache line of each operand per turn.

LLVM takes four of the widest vectors per turn, that is 256 bytes of one array, then of the next. Once the operands lie
outside the second-level cache, that pattern costs up to half as much again as going through all arrays line by line
(Zen 4, float32 add of 4M elements: 1.29 against 0.91 of NumPy's time; in the cache both are alike). Numba has no way to
say so, but LLVM reads it from metadata on the jump that closes the loop: hence a compiler pipeline of our own, whose
one difference is that it adds this metadata. It changes no result: the loops have no sums.
"""

from functools import cache
from typing import Any

from llvmlite import ir
from numba.core.compiler import CompilerBase, DefaultPassBuilder
from numba.core.compiler_machinery import register_pass
from numba.core.lowering import Lower
from numba.core.typed_passes import NativeLowering

VECTOR_BYTES = 32
VECTORS = 2  # per turn: 64 bytes, a cache line


@cache
def line_by_line(itemsize: int) -> type:
    """`pipeline_class` for njit: 64 bytes, in two vectors, per turn of every innermost loop over such elements."""
    width = VECTOR_BYTES // itemsize

    class Lowering(Lower):
        def post_lower(self) -> None:
            super().post_lower()
            _hint_innermost_loops(self.function, self.module, width)

    @register_pass(mutates_CFG=True, analysis_only=False)
    class LineByLineLowering(NativeLowering):
        _name = f"line_by_line_lowering_{width}"

        @property
        def lowering_class(self) -> type:
            return Lowering

    class LineByLine(CompilerBase):
        def define_pipelines(self) -> list:
            passes = DefaultPassBuilder.define_nopython_pipeline(self.state)
            own = [(LineByLineLowering if p is NativeLowering else p, text) for p, text in passes.passes]
            passes.passes = own
            passes.finalize()
            return [passes]

    return LineByLine


def _hint_innermost_loops(function: ir.Function, module: ir.Module, width: int) -> None:
    place = {block: k for k, block in enumerate(function.blocks)}
    jumps = [(place[t.operands[0]], k, t) for block, k in place.items() if _is_jump(t := block.terminator)]
    closing = [(head, tail, jump) for head, tail, jump in jumps if head <= tail]
    for head, tail, jump in closing:
        if not any(head <= h and t <= tail and (h, t) != (head, tail) for h, t, _ in closing):
            jump.set_metadata("llvm.loop", _hints(module, width))


def _is_jump(instruction: Any) -> bool:
    return isinstance(instruction, ir.Branch) and len(instruction.operands) == 1


def _hints(module: ir.Module, width: int) -> Any:
    number = ir.IntType(32)
    hints = [
        module.add_metadata([f"llvm.loop.{name}", ir.Constant(number, value)])
        for name, value in (("vectorize.width", width), ("interleave.count", VECTORS))
    ]
    loop = module.add_metadata([f"loop {len(module.metadata)}", *hints])
    loop.operands = (loop, *hints)  # a loop's metadata names itself first, which makes it distinct
    return loop
