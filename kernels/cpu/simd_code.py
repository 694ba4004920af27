"""LLVM code for blocks of vectors, instruction by instruction; `kernels.cpu.simd` makes it callable from kernels.

LLVM's loop vectoriser reaches a tenth of a processor's peak in a matrix product; the rest is keeping a tile of the
result in vector registers over the whole inner dimension. So the tile is written out here: every vector register is one
value, every multiply-add one instruction. Vector length and tile size follow the processor's features.

`builder` is llvmlite's IRBuilder; pointers are to float or double, and offsets count elements.
"""

from llvmlite import ir
from numba.core import cgutils, config


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

# A tile is HEIGHT rows by two vectors: it, two vectors of the right operand and a factor fill the registers. A chain of
# multiply-adds into one register takes a step in four cycles, so eight or more chains must be under way.
HEIGHT = 12 if REGISTERS == 32 else 6
# What is left over at the lower edge, and rows that are read in place, where each needs an address of its own.
SHORT_HEIGHTS = (8, 4, 2, 1) if REGISTERS == 32 else (4, 2, 1)

INDEX = ir.IntType(64)
_LANE = ir.IntType(32)


def integer(value: int) -> ir.Constant:
    return ir.Constant(INDEX, value)


def lanes_of(element: ir.Type) -> int:
    return VECTOR_BYTES // (4 if isinstance(element, ir.FloatType) else 8)


def _vector(element: ir.Type) -> ir.VectorType:
    return ir.VectorType(element, lanes_of(element))


def _align(element: ir.Type) -> int:
    return 4 if isinstance(element, ir.FloatType) else 8


def moved(builder, pointer, *offsets):
    """The pointer moved by the sum of the offsets, in elements."""
    for offset in offsets:
        pointer = builder.gep(pointer, [integer(offset) if isinstance(offset, int) else offset])
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
    kind = ir.VectorType(INDEX, lanes)
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
    function = cgutils.get_or_insert_function(
        builder.module, ir.FunctionType(kind, [kind] * 3), f"llvm.fmuladd.{suffix}"
    )
    return builder.call(function, [x, y, z])


# --- the register tile ----------------------------------------------------------------------------------------------


def accumulate_tile(builder, height, first, depth, a, a_row, a_step, b, b_step):
    """first[v] + sum over k of a[i*a_row + k*a_step] * b[k*b_step + j], as `height` lists of vectors."""
    kind, width = first[0].type, len(first)
    rows = [builder.mul(a_row, integer(i)) for i in range(height)]
    before = builder.block
    body, after = builder.append_basic_block("depth"), builder.append_basic_block("depth.end")
    builder.cbranch(builder.icmp_signed(">", depth, integer(0)), body, after)
    builder.position_at_end(body)
    left, a_now, b_now = builder.phi(INDEX), builder.phi(a.type), builder.phi(b.type)
    sums = [[builder.phi(kind) for _ in range(width)] for _ in range(height)]
    columns = [_load(builder, moved(builder, b_now, v * kind.count)) for v in range(width)]
    added = []
    for i in range(height):
        factor = _broadcast(builder, builder.load(moved(builder, a_now, rows[i])))
        added.append([_multiply_add(builder, factor, columns[v], sums[i][v]) for v in range(width)])
    left_next = builder.sub(left, integer(1))
    phis = [
        (left, depth, left_next),
        (a_now, a, moved(builder, a_now, a_step)),
        (b_now, b, moved(builder, b_now, b_step)),
    ]
    phis += [(sums[i][v], first[v], added[i][v]) for i in range(height) for v in range(width)]
    for phi, start, following in phis:
        phi.add_incoming(start, before)
        phi.add_incoming(following, body)
    builder.cbranch(builder.icmp_signed(">", left_next, integer(0)), body, after)
    builder.position_at_end(after)
    results = []
    for i in range(height):
        results.append([builder.phi(kind) for _ in range(width)])
        for v in range(width):
            results[i][v].add_incoming(first[v], before)
            results[i][v].add_incoming(added[i][v], body)
    return results


def write_tile(builder, tile, out, out_row, columns, accumulate):
    """Store the tile, or add it to what is there; columns beyond `columns` are not touched."""
    lanes, width = tile[0][0].type.count, len(tile[0])

    def write(load, store):
        with builder.if_else(builder.icmp_signed("!=", accumulate, integer(0))) as (add, overwrite):
            for branch, adding in ((add, True), (overwrite, False)):
                with branch:
                    for i, row in enumerate(tile):
                        for v, vector in enumerate(row):
                            place = moved(builder, out, builder.mul(out_row, integer(i)), v * lanes)
                            store(place, builder.fadd(load(place, v), vector) if adding else vector, v)

    with builder.if_else(builder.icmp_signed(">=", columns, integer(width * lanes)), likely=True) as (inner, edge):
        with inner:
            write(lambda place, v: _load(builder, place), lambda place, vector, v: _store(builder, vector, place))
        with edge:
            masks = [_mask(builder, builder.sub(columns, integer(v * lanes)), lanes) for v in range(width)]
            write(
                lambda place, v: _load_masked(builder, place, masks[v]),
                lambda place, vector, v: _store_masked(builder, vector, place, masks[v]),
            )


def first_values(builder, width, columns, bias, add_bias):
    """What the sums of a tile's columns begin with: the bias, or zero."""
    kind = _vector(bias.type.pointee)
    zero = ir.Constant(kind, [0.0] * kind.count)
    before = builder.block
    with builder.if_then(builder.icmp_signed("!=", add_bias, integer(0))):
        loaded = []
        for v in range(width):
            mask = _mask(builder, builder.sub(columns, integer(v * kind.count)), kind.count)
            loaded.append(_load_masked(builder, moved(builder, bias, v * kind.count), mask))
        inside = builder.block
    first = [builder.phi(kind) for _ in range(width)]
    for phi, value in zip(first, loaded, strict=True):
        phi.add_incoming(zero, before)
        phi.add_incoming(value, inside)
    return first


def prefetch_tile(builder, height, width, out, out_row):
    """Ask for the memory of a tile, which would otherwise be waited for when the sums are done."""
    byte = ir.IntType(8).as_pointer()
    kind = ir.FunctionType(ir.VoidType(), [byte, _LANE, _LANE, _LANE])
    function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
    for i in range(height):
        for v in range(width):
            place = moved(builder, out, builder.mul(out_row, integer(i)), v * lanes_of(out.type.pointee))
            to_write, keep_near, data = (ir.Constant(_LANE, n) for n in (1, 3, 1))
            builder.call(function, [builder.bitcast(place, byte), to_write, keep_near, data])


def row_loop(builder, height, row, rows, body):
    """While at least `height` of the rows are left: body(first row), and on. Leaves the next row in `row`."""
    head, inside, after = (builder.append_basic_block(f"rows{height}.{part}") for part in ("head", "body", "end"))
    builder.branch(head)
    builder.position_at_end(head)
    now = builder.load(row)
    following = builder.add(now, integer(height))
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


def dot_group(builder, group, depth, matrix, row_step, x):
    """The dot products of `group` rows with x, as scalars."""
    kind = _vector(x.type.pointee)
    lanes, chunk = kind.count, _CHAINS * kind.count
    rows = [moved(builder, matrix, builder.mul(row_step, integer(i))) for i in range(group)]
    sums = [
        [cgutils.alloca_once_value(builder, ir.Constant(kind, [0.0] * lanes)) for _ in range(_CHAINS)] for _ in rows
    ]
    for row in sums:
        for place in row:
            builder.store(ir.Constant(kind, [0.0] * lanes), place)

    def add(k, load):
        for c in range(_CHAINS):
            factor = load(moved(builder, x, k, c * lanes), c)
            for row, own in zip(rows, sums, strict=True):
                product = _multiply_add(
                    builder, load(moved(builder, row, k, c * lanes), c), factor, builder.load(own[c])
                )
                builder.store(product, own[c])

    whole = builder.and_(depth, integer(-chunk))
    with cgutils.for_range_slice(builder, integer(0), whole, integer(chunk), INDEX) as (k, _):
        add(k, lambda place, c: _load(builder, place))
    rest = builder.sub(depth, whole)
    with builder.if_then(builder.icmp_signed(">", rest, integer(0))):
        masks = [_mask(builder, builder.sub(rest, integer(c * lanes)), lanes) for c in range(_CHAINS)]
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


def pack_group(builder, group, panel, panel_step, source, lane_step, depth_step, count, depth):
    """panel[k*panel_step + i] = source[i*lane_step + k*depth_step] for i in range(group): see pack_panel."""
    lanes = lanes_of(source.type.pointee)
    one, last = integer(1), builder.sub(count, integer(1))

    def copy():  # the lanes are neighbours: one vector for each k
        def loop(load):
            with cgutils.for_range(builder, depth) as step:
                vector = load(moved(builder, source, builder.mul(step.index, depth_step)))
                _store(
                    builder,
                    _first_lanes(builder, vector, group),
                    moved(builder, panel, builder.mul(step.index, panel_step)),
                )

        with builder.if_else(builder.icmp_signed(">=", count, integer(group))) as (whole, part):
            with whole:
                loop(lambda place: _load(builder, place, group))
            with part:
                mask = _mask(builder, count, lanes)
                loop(lambda place: _load_masked(builder, place, mask))

    def transpose(whole):  # the steps are neighbours: squares of lanes x lanes
        rows = [
            moved(builder, source, builder.mul(_smaller(builder, integer(i), last), lane_step)) for i in range(group)
        ]
        with cgutils.for_range_slice(builder, integer(0), whole, integer(lanes), INDEX) as (first, _):
            vectors = [_load(builder, moved(builder, row, first)) for row in rows]
            vectors += [ir.Constant(vectors[0].type, ir.Undefined)] * (lanes - group)
            for k, vector in enumerate(_transpose(builder, vectors)):
                place = moved(builder, panel, builder.mul(builder.add(first, integer(k)), panel_step))
                _store(builder, _first_lanes(builder, vector, group), place)

    def gather(begin):  # element by element
        with cgutils.for_range(builder, integer(group)) as lane:
            row = moved(builder, source, builder.mul(_smaller(builder, lane.index, last), lane_step))
            column = moved(builder, panel, lane.index)
            with cgutils.for_range_slice(builder, begin, depth, one, INDEX) as (k, _):
                value = builder.load(moved(builder, row, builder.mul(k, depth_step)))
                builder.store(value, moved(builder, column, builder.mul(k, panel_step)))

    with builder.if_else(builder.icmp_signed("==", lane_step, one)) as (neighbours, apart):
        with neighbours:
            copy()
        with apart:
            whole = builder.and_(depth, integer(-lanes))
            whole = builder.select(builder.icmp_signed("==", depth_step, one), whole, integer(0))
            transpose(whole)
            gather(whole)
