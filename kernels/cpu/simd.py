"""Vector code that loops cannot express: the register tile of a matrix product, transposing and copying blocks of vectors.

LLVM's loop vectoriser reaches a tenth of a processor's peak in a matrix product; the rest is keeping a tile of the result
in vector registers over the whole inner dimension. So the tile is written out here as LLVM vectors: every vector register
is one value, every multiply-add one instruction. Vector length and tile size follow the processor's features.

Each function exists twice: as a numba intrinsic that is inlined into the kernel, and, with NUMBA_DISABLE_JIT=1, as plain
Python of the same name and meaning. An argument written in capitals must be a constant (and stays one in the signature:
numba keeps one piece of code per signature). A place in memory is given as a
pointer and an offset in elements, for numba cannot add to a pointer.
"""

import ctypes

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils, config
from numba.extending import intrinsic

from kernels.cpu.pointer import ArrayData

WITHOUT_JIT = bool(config.DISABLE_JIT)


def _processor() -> tuple[int, int]:
    """Bytes in a vector register, and how many of those registers there are."""
    from numba.core.codegen import get_host_cpu_features

    features = config.CPU_FEATURES if config.CPU_FEATURES is not None else get_host_cpu_features()
    present = {name[1:] for name in features.split(",") if name.startswith("+")}
    if "avx512f" in present:
        return 64, 32
    if "avx" in present:
        return 32, 16
    return 16, 32 if "neon" in present else 16


VECTOR_BYTES, REGISTERS = _processor()

# A tile of the result is HEIGHT rows by two vectors. It and two vectors of the right operand fill the registers; as the
# chain of multiply-adds into one register waits four cycles for each, eight or more must be in flight.
LANES_float32, LANES_float64 = VECTOR_BYTES // 4, VECTOR_BYTES // 8
HEIGHT = 12 if REGISTERS == 32 else 6
# What is left over at the lower edge, and rows that are read in place, where each needs an address of its own.
SHORT_HEIGHTS = (8, 4, 2, 1) if REGISTERS == 32 else (4, 2, 1)
ROW_GROUP = SHORT_HEIGHTS[0]
PANEL_float32, PANEL_float64 = 2 * LANES_float32, 2 * LANES_float64
# The panel of the right operand that one tile runs over is at most this deep, so that it stays in the nearest cache.
DEPTH = 256
DEPTH_PANEL_float32, DEPTH_PANEL_float64 = DEPTH * PANEL_float32, DEPTH * PANEL_float64
WIDE_float32, WIDE_float64 = 4 * LANES_float32, 4 * LANES_float64  # columns of one row that are summed at a time
TILE_float32, TILE_float64 = HEIGHT * PANEL_float32, HEIGHT * PANEL_float64

_INDEX = ir.IntType(64)
_LANE = ir.IntType(32)


def _index(value: int) -> ir.Constant:
    return ir.Constant(_INDEX, value)


def _lanes(element: ir.Type) -> int:
    return VECTOR_BYTES // (4 if isinstance(element, ir.FloatType) else 8)


def _vector(element: ir.Type) -> ir.VectorType:
    return ir.VectorType(element, _lanes(element))


def _align(element: ir.Type) -> int:
    return 4 if isinstance(element, ir.FloatType) else 8


def _at(builder, pointer, *offsets):
    """The pointer moved by the sum of the offsets, in elements."""
    for offset in offsets:
        pointer = builder.gep(pointer, [_index(offset) if isinstance(offset, int) else offset])
    return pointer


def _load(builder, pointer, count=None):
    """`count` (a whole vector if not given) neighbours in memory."""
    element = pointer.type.pointee
    kind = ir.VectorType(element, count) if count else _vector(element)
    loaded = builder.load(builder.bitcast(pointer, kind.as_pointer()))
    loaded.align = _align(element)
    return loaded


def _store(builder, value, pointer):
    stored = builder.store(value, builder.bitcast(pointer, value.type.as_pointer()))
    stored.align = _align(pointer.type.pointee)


def _broadcast(builder, scalar):
    kind = _vector(scalar.type)
    undefined = ir.Constant(kind, ir.Undefined)
    first = builder.insert_element(undefined, scalar, ir.Constant(_LANE, 0))
    return builder.shuffle_vector(first, undefined, ir.Constant(ir.VectorType(_LANE, kind.count), [0] * kind.count))


def _mask(builder, count, lanes):
    """True in the first `count` lanes."""
    kind = ir.VectorType(_INDEX, lanes)
    undefined = ir.Constant(kind, ir.Undefined)
    first = builder.insert_element(undefined, count, ir.Constant(_LANE, 0))
    counts = builder.shuffle_vector(first, undefined, ir.Constant(ir.VectorType(_LANE, lanes), [0] * lanes))
    return builder.icmp_signed("<", ir.Constant(kind, list(range(lanes))), counts)


def _masked(builder, name, result, arguments, kind):
    """LLVM's masked load or store: lanes that are switched off are not touched in memory, not even read."""
    suffix = f"v{kind.count}f{32 if isinstance(kind.element, ir.FloatType) else 64}"
    signature = ir.FunctionType(result, [a.type for a in arguments])
    function = cgutils.get_or_insert_function(builder.module, signature, f"llvm.masked.{name}.{suffix}.p0")
    return builder.call(function, arguments)


def _load_masked(builder, pointer, mask):
    element = pointer.type.pointee
    kind = _vector(element)
    place = builder.bitcast(pointer, kind.as_pointer())
    arguments = [place, ir.Constant(_LANE, _align(element)), mask, ir.Constant(kind, [0.0] * kind.count)]
    return _masked(builder, "load", kind, arguments, kind)


def _store_masked(builder, value, pointer, mask):
    place = builder.bitcast(pointer, value.type.as_pointer())
    arguments = [value, place, ir.Constant(_LANE, _align(pointer.type.pointee)), mask]
    _masked(builder, "store", ir.VoidType(), arguments, value.type)


def _multiply_add(builder, x, y, z):
    """x*y + z, rounded once where the processor can, and never by a library call."""
    kind = x.type
    suffix = f"v{kind.count}f{32 if isinstance(kind.element, ir.FloatType) else 64}"
    function = cgutils.get_or_insert_function(builder.module, ir.FunctionType(kind, [kind] * 3), f"llvm.fmuladd.{suffix}")
    return builder.call(function, [x, y, z])


# --- the register tile ----------------------------------------------------------------------------------------------


def _accumulate_tile(builder, height, first, depth, a, a_row, a_step, b, b_step):
    """first[v] + sum over k of a[i*a_row + k*a_step] * b[k*b_step + j], as `height` lists of vectors."""
    kind, width = first[0].type, len(first)
    rows = [builder.mul(a_row, _index(i)) for i in range(height)]
    before = builder.block
    body, after = builder.append_basic_block("depth"), builder.append_basic_block("depth.end")
    builder.cbranch(builder.icmp_signed(">", depth, _index(0)), body, after)
    builder.position_at_end(body)
    left, a_now, b_now = builder.phi(_INDEX), builder.phi(a.type), builder.phi(b.type)
    sums = [[builder.phi(kind) for _ in range(width)] for _ in range(height)]
    columns = [_load(builder, _at(builder, b_now, v * kind.count)) for v in range(width)]
    added = []
    for i in range(height):
        factor = _broadcast(builder, builder.load(_at(builder, a_now, rows[i])))
        added.append([_multiply_add(builder, factor, columns[v], sums[i][v]) for v in range(width)])
    left_next = builder.sub(left, _index(1))
    phis = [(left, depth, left_next), (a_now, a, _at(builder, a_now, a_step)), (b_now, b, _at(builder, b_now, b_step))]
    phis += [(sums[i][v], first[v], added[i][v]) for i in range(height) for v in range(width)]
    for phi, start, following in phis:
        phi.add_incoming(start, before)
        phi.add_incoming(following, body)
    builder.cbranch(builder.icmp_signed(">", left_next, _index(0)), body, after)
    builder.position_at_end(after)
    results = []
    for i in range(height):
        results.append([builder.phi(kind) for _ in range(width)])
        for v in range(width):
            results[i][v].add_incoming(first[v], before)
            results[i][v].add_incoming(added[i][v], body)
    return results


def _write_tile(builder, tile, out, out_row, columns, accumulate):
    """Store the tile, or add it to what is there; columns beyond `columns` are not touched."""
    lanes, width = tile[0][0].type.count, len(tile[0])

    def write(load, store):
        with builder.if_else(builder.icmp_signed("!=", accumulate, _index(0))) as (add, overwrite):
            for branch, adding in ((add, True), (overwrite, False)):
                with branch:
                    for i, row in enumerate(tile):
                        for v, vector in enumerate(row):
                            place = _at(builder, out, builder.mul(out_row, _index(i)), v * lanes)
                            store(place, builder.fadd(load(place, v), vector) if adding else vector, v)

    with builder.if_else(builder.icmp_signed(">=", columns, _index(width * lanes)), likely=True) as (inner, edge):
        with inner:
            write(lambda place, v: _load(builder, place), lambda place, vector, v: _store(builder, vector, place))
        with edge:
            masks = [_mask(builder, builder.sub(columns, _index(v * lanes)), lanes) for v in range(width)]
            write(
                lambda place, v: _load_masked(builder, place, masks[v]),
                lambda place, vector, v: _store_masked(builder, vector, place, masks[v]),
            )


def _first_values(builder, width, columns, bias, add_bias):
    """What the sums of a tile's columns begin with: the bias, or zero."""
    kind = _vector(bias.type.pointee)
    zero = ir.Constant(kind, [0.0] * kind.count)
    before = builder.block
    with builder.if_then(builder.icmp_signed("!=", add_bias, _index(0))):
        loaded = []
        for v in range(width):
            mask = _mask(builder, builder.sub(columns, _index(v * kind.count)), kind.count)
            loaded.append(_load_masked(builder, _at(builder, bias, v * kind.count), mask))
        inside = builder.block
    first = [builder.phi(kind) for _ in range(width)]
    for phi, value in zip(first, loaded, strict=True):
        phi.add_incoming(zero, before)
        phi.add_incoming(value, inside)
    return first


def _prefetch_tile(builder, height, width, out, out_row):
    """Ask for the memory of a tile, which would otherwise be waited for when the sums are done."""
    byte = ir.IntType(8).as_pointer()
    kind = ir.FunctionType(ir.VoidType(), [byte, _LANE, _LANE, _LANE])
    function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
    for i in range(height):
        for v in range(width):
            place = _at(builder, out, builder.mul(out_row, _index(i)), v * _lanes(out.type.pointee))
            to_write, keep_near, data = (ir.Constant(_LANE, n) for n in (1, 3, 1))
            builder.call(function, [builder.bitcast(place, byte), to_write, keep_near, data])


def _row_loop(builder, height, row, rows, body):
    """While at least `height` of the rows are left: body(first row), and on. Leaves the next row in `row`."""
    head, inside, after = (builder.append_basic_block(f"rows{height}.{part}") for part in ("head", "body", "end"))
    builder.branch(head)
    builder.position_at_end(head)
    now = builder.load(row)
    following = builder.add(now, _index(height))
    builder.cbranch(builder.icmp_signed("<=", following, rows), inside, after)
    builder.position_at_end(inside)
    body(now)
    builder.store(following, row)
    builder.branch(head)
    builder.position_at_end(after)


# --- dot products ---------------------------------------------------------------------------------------------------

_CHAINS = 2  # vectors of partial sums per dot product; their order is the same for every group of rows


def _sum_lanes(builder, vector):
    """The sum of a vector's lanes, halves first."""
    half = vector.type.count // 2
    while half:
        order = [*range(half, 2 * half), *[0] * (vector.type.count - half)]
        upper = builder.shuffle_vector(vector, vector, ir.Constant(ir.VectorType(_LANE, len(order)), order))
        vector = builder.fadd(vector, upper)
        half //= 2
    return builder.extract_element(vector, ir.Constant(_LANE, 0))


def _dot_group(builder, group, depth, matrix, row_step, x):
    """The dot products of `group` rows with x, as scalars."""
    kind = _vector(x.type.pointee)
    lanes, chunk = kind.count, _CHAINS * kind.count
    rows = [_at(builder, matrix, builder.mul(row_step, _index(i))) for i in range(group)]
    sums = [[cgutils.alloca_once_value(builder, ir.Constant(kind, [0.0] * lanes)) for _ in range(_CHAINS)] for _ in rows]
    for row in sums:
        for place in row:
            builder.store(ir.Constant(kind, [0.0] * lanes), place)

    def add(k, load):
        for c in range(_CHAINS):
            factor = load(_at(builder, x, k, c * lanes), c)
            for row, own in zip(rows, sums, strict=True):
                product = _multiply_add(builder, load(_at(builder, row, k, c * lanes), c), factor, builder.load(own[c]))
                builder.store(product, own[c])

    whole = builder.and_(depth, _index(-chunk))
    with cgutils.for_range_slice(builder, _index(0), whole, _index(chunk), _INDEX) as (k, _):
        add(k, lambda place, c: _load(builder, place))
    rest = builder.sub(depth, whole)
    with builder.if_then(builder.icmp_signed(">", rest, _index(0))):
        masks = [_mask(builder, builder.sub(rest, _index(c * lanes)), lanes) for c in range(_CHAINS)]
        add(whole, lambda place, c: _load_masked(builder, place, masks[c]))
    totals = []
    for own in sums:
        total = builder.load(own[0])
        for place in own[1:]:
            total = builder.fadd(total, builder.load(place))
        totals.append(_sum_lanes(builder, total))
    return totals


# --- packing --------------------------------------------------------------------------------------------------------


def _transpose(builder, vectors):
    """The square matrix whose rows are the vectors, transposed: blocks of 1, 2, 4, ... change places pairwise."""
    vectors, lanes = list(vectors), len(vectors)
    block = 1
    while block < lanes:
        for i in range(lanes):
            if i & block:
                continue
            upper, lower = vectors[i], vectors[i + block]
            above = [lane if not lane & block else lanes + lane - block for lane in range(lanes)]
            below = [lane + block if not lane & block else lanes + lane for lane in range(lanes)]
            for place, order in ((i, above), (i + block, below)):
                mask = ir.Constant(ir.VectorType(_LANE, lanes), order)
                vectors[place] = builder.shuffle_vector(upper, lower, mask)
        block *= 2
    return vectors


def _first_lanes(builder, vector, count):
    if count == vector.type.count:
        return vector
    return builder.shuffle_vector(vector, vector, ir.Constant(ir.VectorType(_LANE, count), list(range(count))))


def _smaller(builder, x, y):
    return builder.select(builder.icmp_signed("<", x, y), x, y)


def _pack_group(builder, group, panel, panel_step, source, lane_step, depth_step, count, depth):
    """panel[k*panel_step + i] = source[i*lane_step + k*depth_step] for i in range(group), at most a vector; see pack_panel."""
    lanes = _lanes(source.type.pointee)
    one, last = _index(1), builder.sub(count, _index(1))

    def copy():  # the lanes are neighbours: one vector for each k
        def loop(load):
            with cgutils.for_range(builder, depth) as step:
                vector = load(_at(builder, source, builder.mul(step.index, depth_step)))
                _store(builder, _first_lanes(builder, vector, group), _at(builder, panel, builder.mul(step.index, panel_step)))

        with builder.if_else(builder.icmp_signed(">=", count, _index(group))) as (whole, part):
            with whole:
                loop(lambda place: _load(builder, place, group))
            with part:
                mask = _mask(builder, count, lanes)
                loop(lambda place: _load_masked(builder, place, mask))

    def transpose(whole):  # the steps are neighbours: squares of lanes x lanes
        rows = [_at(builder, source, builder.mul(_smaller(builder, _index(i), last), lane_step)) for i in range(group)]
        with cgutils.for_range_slice(builder, _index(0), whole, _index(lanes), _INDEX) as (first, _):
            vectors = [_load(builder, _at(builder, row, first)) for row in rows]
            vectors += [ir.Constant(vectors[0].type, ir.Undefined)] * (lanes - group)
            for k, vector in enumerate(_transpose(builder, vectors)):
                place = _at(builder, panel, builder.mul(builder.add(first, _index(k)), panel_step))
                _store(builder, _first_lanes(builder, vector, group), place)

    def gather(begin):  # element by element
        with cgutils.for_range(builder, _index(group)) as lane:
            row = _at(builder, source, builder.mul(_smaller(builder, lane.index, last), lane_step))
            column = _at(builder, panel, lane.index)
            with cgutils.for_range_slice(builder, begin, depth, one, _INDEX) as (k, _):
                value = builder.load(_at(builder, row, builder.mul(k, depth_step)))
                builder.store(value, _at(builder, column, builder.mul(k, panel_step)))

    with builder.if_else(builder.icmp_signed("==", lane_step, one)) as (neighbours, apart):
        with neighbours:
            copy()
        with apart:
            whole = builder.and_(depth, _index(-lanes))
            whole = builder.select(builder.icmp_signed("==", depth_step, one), whole, _index(0))
            transpose(whole)
            gather(whole)


if not WITHOUT_JIT:
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
        read; out[i, j] at out_at + i*out_row + j. Where `accumulate` is not 0 the sum is added to what `out` holds; else
        `out` is not read. Where `add_bias` is not 0, sums begin with bias[bias_at + j]. HEIGHTS is a bit set: a tile may have
        1, 2, 4, ... rows, as the bits say; 0 stands for the tallest tile alone. Rows that fit no tile are left out.
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
            a, b, out, bias = (_at(builder, *p) for p in ((a, a_at), (b, b_at), (out, out_at), (bias, bias_at)))
            first = _first_values(builder, width, columns, bias, add_bias)
            row = cgutils.alloca_once_value(builder, _index(0))
            for height in heights:

                def tile(now, height=height):
                    a_now = _at(builder, a, builder.mul(now, a_row))
                    out_now = _at(builder, out, builder.mul(now, out_row))
                    if height == HEIGHT:
                        _prefetch_tile(builder, height, width, out_now, out_row)
                    sums = _accumulate_tile(builder, height, first, depth, a_now, a_row, a_step, b, b_step)
                    _write_tile(builder, sums, out_now, out_row, columns, accumulate)

                _row_loop(builder, height, row, rows, tile)

        def generate(context, builder, signature, arguments):
            name = f"multiply_rows_{HEIGHTS.literal_value}_{width}_{out.dtype}"
            return _call_own_function(context, builder, name, arguments[2:], body)

        return signature, generate

    @intrinsic(prefer_literal=True)
    def pack_panel(
        typing_context, GROUP, panel, panel_at, panel_step, source, source_at, lane_step, depth_step, count, depth
    ):  # fmt: skip
        """panel[panel_at + k*panel_step + i] = source[source_at + i*lane_step + k*depth_step], for i in range(count).

        Lanes go by groups: of a vector where GROUP is 0, otherwise there is one group of GROUP lanes (HEIGHT, if that is
        more than a vector, as vectors and a rest). Lanes of the last group that the source lacks get some value of it or 0.
        """
        if not _is_kernel_pointer(panel) or panel != source:
            return None
        signature = types.void(GROUP, panel, _I, _I, source, _I, _I, _I, _I, _I)
        width = GROUP.literal_value

        def body(builder, panel, panel_at, panel_step, source, source_at, lane_step, depth_step, count, depth):
            panel, source = _at(builder, panel, panel_at), _at(builder, source, source_at)
            lanes = _lanes(panel.type.pointee)
            whole = _index(width // lanes * lanes) if width else count

            def pack(first, group):
                left = builder.sub(count, first)
                with builder.if_then(builder.icmp_signed(">", left, _index(0))):
                    there = _at(builder, source, builder.mul(first, lane_step))
                    place = _at(builder, panel, first)
                    _pack_group(builder, group, place, panel_step, there, lane_step, depth_step, left, depth)

            if width == 0 or width >= lanes:
                with cgutils.for_range_slice(builder, _index(0), whole, _index(lanes), _INDEX) as (first, _):
                    pack(first, lanes)
            if width % lanes:
                pack(whole, width % lanes)

        def generate(context, builder, signature, arguments):
            return _call_own_function(context, builder, f"pack_panel_{width}_{panel.dtype}", arguments[1:], body)

        return signature, generate

    @intrinsic
    def dot_rows(
        typing_context, rows, depth, matrix, matrix_at, row_step, x, x_at, out, out_at, accumulate, bias, bias_at, add_bias
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
                _at(builder, *p) for p in ((matrix, matrix_at), (x, x_at), (out, out_at), (bias, bias_at))
            )
            row = cgutils.alloca_once_value(builder, _index(0))
            for group in (4, 1):

                def dots(now, group=group):
                    there = _at(builder, matrix, builder.mul(now, row_step))
                    for i, total in enumerate(_dot_group(builder, group, depth, there, row_step, x)):
                        place = _at(builder, out, now, i)
                        for condition, addend in ((accumulate, place), (add_bias, _at(builder, bias, now, i))):
                            before = builder.block
                            with builder.if_then(builder.icmp_signed("!=", condition, _index(0))):
                                added = builder.fadd(builder.load(addend), total)
                                inside = builder.block
                            chosen = builder.phi(total.type)
                            chosen.add_incoming(total, before)
                            chosen.add_incoming(added, inside)
                            total = chosen
                        builder.store(total, place)

                _row_loop(builder, group, row, rows, dots)

        def generate(context, builder, signature, arguments):
            return _call_own_function(context, builder, f"dot_rows_{out.dtype}", arguments, body)

        return signature, generate


if WITHOUT_JIT:

    def multiply_rows(
        HEIGHTS, WIDTH, rows, columns, depth, a, a_at, a_row, a_step, b, b_at, b_step,
        out, out_at, out_row, accumulate, bias, bias_at, add_bias
    ):  # fmt: skip
        """out[i, j] = sum over k of a[i, k] * b[k, j]; see the intrinsic of this name."""
        number = np.float32 if isinstance(out, ctypes.POINTER(ctypes.c_float)) else np.float64
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
        number = np.float32 if isinstance(out, ctypes.POINTER(ctypes.c_float)) else np.float64
        for i in range(rows):
            total = number(0)
            for k in range(depth):
                total += number(matrix[matrix_at + i * row_step + k]) * number(x[x_at + k])
            if accumulate:
                total += number(out[out_at + i])
            if add_bias:
                total += number(bias[bias_at + i])
            out[out_at + i] = total
