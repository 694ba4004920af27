"""Elements moved, not computed with: whole rows, and squares that are transposed in vector registers.

A square is SIDE x SIDE elements, a vector to a row: as many as a vector register has, 16 at most and 2 at least. So each
line of memory is read once and written once, whatever the strides. Within the vectors' parts of 16 bytes a square is
transposed by interleaving rows (which processors do in one instruction); then the parts change places.
"""

import ctypes

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from kernels.cpu.pointer import ADDRESS, HEADER, JIT_DISABLED, PlainPointer
from kernels.cpu.simd_code import VECTOR_BYTES

PART_BYTES = 16


def side_of(itemsize: int) -> int:
    """Elements along a side of the square."""
    return min(16, max(2, VECTOR_BYTES // itemsize, PART_BYTES // itemsize))


SIDE_uint8, SIDE_uint16, SIDE_uint32, SIDE_uint64, SIDE_complex128 = map(side_of, (1, 2, 4, 8, 16))


def network(side: int, part: int) -> list[tuple[tuple[int, int], tuple[int, int], tuple[list[int], list[int]]]]:
    """The steps: (rows read, rows written, for each of these the elements taken from the two rows one after the other).

    part: elements of 16 bytes. A row number may occur again in the same stage: it stands for the row as it was before it,
    since stages read all rows before they write any; `len(result)` is a multiple of side // 2, the steps of a stage.
    """
    steps = []
    low = [k for first in range(0, side, part) for i in range(part // 2) for k in (first + i, side + first + i)]
    high = [k + part // 2 for k in low]
    for _ in range(part.bit_length() - 1):  # `part` rows perfectly shuffled log(part) times change places with columns
        for group in range(0, side, part):
            for i in range(part // 2):
                steps.append(((group + i, group + i + part // 2), (group + 2 * i, group + 2 * i + 1), (low, high)))
    distance = part
    while distance < side:  # parts above the diagonal change places with those below it
        first = [k if not k & distance else side + k - distance for k in range(side)]
        second = [k + distance if not k & distance else side + k for k in range(side)]
        steps += [((r, r + distance), (r, r + distance), (first, second)) for r in range(side) if not r & distance]
        distance *= 2
    return steps


if JIT_DISABLED:

    def transpose_square(out, to, step_out, x, at, step_in, SIDE):
        """out[to + i*step_out + j] = x[at + i + j*step_in] for i and j in range(SIDE)."""
        for i in range(SIDE):
            for j in range(SIDE):
                out[to + i * step_out + j] = x[at + i + j * step_in]

    def copy_row(out, to, x, at, count):
        """out[to + k] = x[at + k] for k in range(count)."""
        for k in range(count):
            out[to + k] = x[at + k]

    def copy_from(out, to, array, at, count):
        """out[to + k] = the byte at + k of the NumPy array whose address (Python's `id`) is given, for k in range(count)."""
        source = ctypes.cast(int(array), ctypes.py_object).value
        copy_row(out, to, PlainPointer(source.reshape(-1).view("u1")), at, count)

else:
    _I = types.int64

    @intrinsic
    def copy_row(typing_context, out, to, x, at, count):
        """out[to + k] = x[at + k] for k in range(count); the two do not overlap."""
        if not isinstance(out, types.CPointer) or out != x:
            return None

        def generate(context, builder, signature, arguments):
            out, to, x, at, count = arguments
            size = context.get_abi_sizeof(out.type.pointee)
            cgutils.raw_memcpy(builder, builder.gep(out, [to]), builder.gep(x, [at]), count, size)
            return context.get_dummy_value()

        return types.void(out, _I, x, _I, _I), generate

    @intrinsic
    def copy_from(typing_context, out, to, array, at, count):
        """out[to + k] = the byte at + k of the NumPy array whose address (Python's `id`) is given, for k in range(count)."""
        if not isinstance(out, types.CPointer) or out.dtype != types.uint8:
            return None

        def generate(context, builder, signature, arguments):
            out, to, array, at, count = arguments
            field = builder.inttoptr(builder.add(array, ir.Constant(ADDRESS, HEADER)), out.type.as_pointer())
            cgutils.raw_memcpy(builder, builder.gep(out, [to]), builder.gep(builder.load(field), [at]), count, 1)
            return context.get_dummy_value()

        return types.void(out, _I, _I, _I, _I), generate

    @intrinsic(prefer_literal=True)
    def transpose_square(typing_context, out, to, step_out, x, at, step_in, SIDE):
        """out[to + i*step_out + j] = x[at + i + j*step_in] for i and j in range(SIDE)."""
        if not isinstance(out, types.CPointer) or out != x:
            return None
        side = SIDE.literal_value
        itemsize = out.dtype.bitwidth // 8
        words = max(1, itemsize // 8)  # complex numbers of 16 bytes are moved as two words
        vector = ir.VectorType(ir.IntType(8 * itemsize // words), side * words)
        steps = network(side, max(1, PART_BYTES // itemsize))

        def generate(context, builder, signature, arguments):
            out, to, step_out, x, at, step_in, _ = arguments

            def row(pointer, start, step, number):
                place = builder.add(start, builder.mul(step, ir.Constant(start.type, number)))
                return builder.bitcast(builder.gep(pointer, [place]), vector.as_pointer())

            rows = []
            for j in range(side):
                value = builder.load(row(x, at, step_in, j))
                value.align = itemsize // words  # type: ignore[attr-defined]
                rows.append(value)
            for stage in range(0, len(steps), side // 2):
                before = list(rows)
                for read, written, picked in steps[stage : stage + side // 2]:
                    for to_row, elements in zip(written, picked, strict=True):
                        lanes = [e * words + w for e in elements for w in range(words)]
                        mask = ir.Constant(ir.VectorType(ir.IntType(32), len(lanes)), lanes)
                        rows[to_row] = builder.shuffle_vector(before[read[0]], before[read[1]], mask)
            for i, value in enumerate(rows):
                builder.store(value, row(out, to, step_out, i), align=itemsize // words)
            return context.get_dummy_value()

        return types.void(out, _I, _I, x, _I, _I, SIDE), generate
