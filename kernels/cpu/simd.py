"""Vector functions for kernels: the register tile of a matrix product, dot products, laying out panels.

Each function exists twice: with NUMBA_DISABLE_JIT=1 as plain Python, otherwise as a numba intrinsic of the same name
and meaning, whose code is in `kernels.cpu.simd_code`. An argument in capitals must be a constant (it stays one in the
signature: numba keeps one piece of code per signature). A place in memory is a pointer and an offset in elements, for
numba cannot add to a pointer. Flags are 0 or not 0.
"""


from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from kernels.cpu.pointer import JIT_DISABLED
from kernels.cpu.simd_code import (
    HEIGHT,
    INDEX,
    SHORT_HEIGHTS,
    VECTOR_BYTES,
    accumulate_tile,
    dot_group,
    first_values,
    integer,
    lanes_of,
    moved,
    pack_group,
    prefetch_tile,
    row_loop,
    write_tile,
)

ROW_GROUP = SHORT_HEIGHTS[0]
LANES_float32, LANES_float64 = VECTOR_BYTES // 4, VECTOR_BYTES // 8
PANEL_float32, PANEL_float64 = 2 * LANES_float32, 2 * LANES_float64  # columns of a tile
TILE_float32, TILE_float64 = HEIGHT * PANEL_float32, HEIGHT * PANEL_float64
WIDE_float32, WIDE_float64 = 4 * LANES_float32, 4 * LANES_float64  # columns of a single row that are summed at a time
DEPTH = 256  # steps that a panel on the stack holds at most: it is to stay in the nearest cache
DEPTH_PANEL_float32, DEPTH_PANEL_float64 = DEPTH * PANEL_float32, DEPTH * PANEL_float64

if JIT_DISABLED:

    def multiply_rows(
        HEIGHTS, WIDTH, rows, columns, depth, a, a_at, a_row, a_step, b, b_at, b_step,
        out, out_at, out_row, accumulate, bias, bias_at, add_bias
    ):  # fmt: skip
        """out[i, j] = sum over k of a[i, k] * b[k, j]; see the intrinsic of this name."""
        number = bias.scalar  # out may be scratch memory, a list
        for i in range(rows if HEIGHTS else rows // HEIGHT * HEIGHT):
            for j in range(columns):
                total = number(bias[bias_at + j]) if add_bias else number(0)
                for k in range(depth):
                    total += number(a[a_at + i * a_row + k * a_step]) * number(b[b_at + k * b_step + j])
                place = out_at + i * out_row + j
                if accumulate:
                    total = number(out[place]) + total
                out[place] = total

    def pack_panel(GROUP, panel, panel_at, panel_step, source, source_at, lane_step, depth_step, count, depth):
        """panel[k*panel_step + i] = source[i*lane_step + k*depth_step]; see the intrinsic of this name."""
        for k in range(depth):
            for i in range(count):
                panel[panel_at + k * panel_step + i] = source[source_at + i * lane_step + k * depth_step]

    def dot_rows(
        rows, depth, matrix, matrix_at, row_step, x, x_at, out, out_at, accumulate, bias, bias_at, add_bias
    ):  # fmt: skip
        """out[i] = sum over k of matrix[i*row_step + k] * x[k]; see the intrinsic of this name."""
        number = out.scalar
        for i in range(rows):
            total = number(0)
            for k in range(depth):
                total += number(matrix[matrix_at + i * row_step + k]) * number(x[x_at + k])
            if accumulate:
                total += number(out[out_at + i])
            if add_bias:
                total += number(bias[bias_at + i])
            out[out_at + i] = total

else:
    _I = types.int64

    def _call_own_function(context, builder, name, arguments, body):
        """Call an internal function `name` whose code `body(builder, *arguments)` writes, once per module.

        LLVM takes several times as long over the same code inlined into a kernel's nest of loops.
        """
        function = builder.module.globals.get(name)
        if function is None:
            kind = ir.FunctionType(ir.VoidType(), [argument.type for argument in arguments])
            function = ir.Function(builder.module, kind, name)
            function.linkage = "internal"
            function.attributes.add("noinline")
            inside = ir.IRBuilder(function.append_basic_block("entry"))
            body(inside, *function.args)
            inside.ret_void()
        builder.call(function, arguments)
        return context.get_dummy_value()

    def _is_kernel_pointer(kind):
        return isinstance(kind, types.CPointer) and isinstance(kind.dtype, types.Float)

    @intrinsic(prefer_literal=True)
    def multiply_rows(
        typing_context, HEIGHTS, WIDTH, rows, columns, depth, a, a_at, a_row, a_step, b, b_at, b_step,
        out, out_at, out_row, accumulate, bias, bias_at, add_bias
    ):  # fmt: skip
        """out[i, j] = sum over k of a[i, k] * b[k, j], for `rows` rows and `columns` columns, at most WIDTH vectors.

        a[i, k] lies at a_at + i*a_row + k*a_step; b[k, j] at b_at + k*b_step + j, and WIDTH whole vectors of it can be
        read; out[i, j] at out_at + i*out_row + j. With `accumulate` the sum is added to what `out` holds, else `out` is
        not read. With `add_bias` sums begin with bias[bias_at + j]. HEIGHTS is a bit set: a tile may have 1, 2, 4, ...
        rows, as the bits say; 0 stands for the tallest tile alone. Rows that fit no tile are left out.
        """
        if not all(_is_kernel_pointer(p) for p in (a, b, out, bias)):
            return None
        heights = [h for h in SHORT_HEIGHTS if HEIGHTS.literal_value & h] or [HEIGHT]
        width = WIDTH.literal_value
        signature = types.void(HEIGHTS, WIDTH, _I, _I, _I, a, _I, _I, _I, b, _I, _I, out, _I, _I, _I, bias, _I, _I)

        def body(
            builder, rows, columns, depth, a, a_at, a_row, a_step, b, b_at, b_step,
            out, out_at, out_row, accumulate, bias, bias_at, add_bias
        ):  # fmt: skip
            a, b, out, bias = (moved(builder, *p) for p in ((a, a_at), (b, b_at), (out, out_at), (bias, bias_at)))
            first = first_values(builder, width, columns, bias, add_bias)
            row = cgutils.alloca_once_value(builder, integer(0))
            for height in heights:

                def tile(now, height=height):
                    a_now = moved(builder, a, builder.mul(now, a_row))
                    out_now = moved(builder, out, builder.mul(now, out_row))
                    if height == HEIGHT:
                        prefetch_tile(builder, height, width, out_now, out_row)
                    sums = accumulate_tile(builder, height, first, depth, a_now, a_row, a_step, b, b_step)
                    write_tile(builder, sums, out_now, out_row, columns, accumulate)

                row_loop(builder, height, row, rows, tile)

        def generate(context, builder, signature, arguments):
            name = f"multiply_rows_{HEIGHTS.literal_value}_{width}_{out.dtype}"
            return _call_own_function(context, builder, name, arguments[2:], body)

        return signature, generate

    @intrinsic(prefer_literal=True)
    def pack_panel(
        typing_context, GROUP, panel, panel_at, panel_step, source, source_at, lane_step, depth_step, count, depth
    ):  # fmt: skip
        """panel[panel_at + k*panel_step + i] = source[source_at + i*lane_step + k*depth_step], for i in range(count).

        Lanes go by vectors where GROUP is 0; else there are GROUP of them, as vectors and a rest. Lanes of the last
        group that the source lacks get some value of it, or 0.
        """
        if not _is_kernel_pointer(panel) or panel != source:
            return None
        signature = types.void(GROUP, panel, _I, _I, source, _I, _I, _I, _I, _I)
        width = GROUP.literal_value

        def body(builder, panel, panel_at, panel_step, source, source_at, lane_step, depth_step, count, depth):
            panel, source = moved(builder, panel, panel_at), moved(builder, source, source_at)
            lanes = lanes_of(panel.type.pointee)
            whole = integer(width // lanes * lanes) if width else count

            def pack(first, group):
                left = builder.sub(count, first)
                with builder.if_then(builder.icmp_signed(">", left, integer(0))):
                    there = moved(builder, source, builder.mul(first, lane_step))
                    place = moved(builder, panel, first)
                    pack_group(builder, group, place, panel_step, there, lane_step, depth_step, left, depth)

            if width == 0 or width >= lanes:
                with cgutils.for_range_slice(builder, integer(0), whole, integer(lanes), INDEX) as (first, _):
                    pack(first, lanes)
            if width % lanes:
                pack(whole, width % lanes)

        def generate(context, builder, signature, arguments):
            return _call_own_function(context, builder, f"pack_panel_{width}_{panel.dtype}", arguments[1:], body)

        return signature, generate

    @intrinsic
    def dot_rows(
        typing_context, rows, depth, matrix, matrix_at, row_step, x, x_at,
        out, out_at, accumulate, bias, bias_at, add_bias
    ):  # fmt: skip
        """out[out_at + i] = sum over k of matrix[matrix_at + i*row_step + k] * x[x_at + k], for i in range(rows).

        `accumulate` adds it to what is there; `add_bias` adds bias[bias_at + i].
        """
        if not all(_is_kernel_pointer(p) for p in (matrix, x, out, bias)):
            return None
        signature = types.void(_I, _I, matrix, _I, _I, x, _I, out, _I, _I, bias, _I, _I)

        def body(
            builder, rows, depth, matrix, matrix_at, row_step, x, x_at, out, out_at, accumulate, bias, bias_at, add_bias
        ):  # fmt: skip
            matrix, x, out, bias = (
                moved(builder, *p) for p in ((matrix, matrix_at), (x, x_at), (out, out_at), (bias, bias_at))
            )
            row = cgutils.alloca_once_value(builder, integer(0))
            for group in (4, 1):

                def dots(now, group=group):
                    there = moved(builder, matrix, builder.mul(now, row_step))
                    for i, total in enumerate(dot_group(builder, group, depth, there, row_step, x)):
                        place = moved(builder, out, now, i)
                        for condition, addend in ((accumulate, place), (add_bias, moved(builder, bias, now, i))):
                            before = builder.block
                            with builder.if_then(builder.icmp_signed("!=", condition, integer(0))):
                                added = builder.fadd(builder.load(addend), total)
                                inside = builder.block
                            chosen = builder.phi(total.type)
                            chosen.add_incoming(total, before)
                            chosen.add_incoming(added, inside)
                            total = chosen
                        builder.store(total, place)

                row_loop(builder, group, row, rows, dots)

        def generate(context, builder, signature, arguments):
            return _call_own_function(context, builder, f"dot_rows_{out.dtype}", arguments, body)

        return signature, generate
