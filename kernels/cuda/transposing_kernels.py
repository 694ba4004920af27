"""The kernel of a transposing copy: tiles turned over in shared memory, so that both sides of global memory are coalesced.

A tile is TILE x TILE elements of WORDS words each; a word is of type T in global memory and of type CELL in shared memory,
where elements of one and two bytes get a bank of their own. A row of a tile is PITCH cells, one element more than it needs:
so neither a row nor a column of it meets in one bank.
"""

from kernels.cuda.unrolling import unrolled, unrolled_kernel

# ruff: noqa: F821  (cuda, types and numbers in capitals are names of the generated module)


@unrolled_kernel(threads=256)
def transpose_tiles(
    x: "T*", out: "T*", rows: "int64", columns: "int64", step_in: "int64", step_out: "int64", down: "uint32",
    across: "uint32", size0: "uint32", size1: "uint32", size2: "uint32", in0: "int64", in1: "int64", in2: "int64",
    in3: "int64", out0: "int64", out1: "int64", out2: "int64", out3: "int64",
):  # fmt: skip
    """A block copies one tile: out[j + i * step_out] = x[i + j * step_in], i < rows and j < columns, of one matrix.

    The batch has sizes size0, size1, size2 (the fastest first) and as many more as the grid has blocks for.
    """
    cells = cuda.shared.array(CELLS, CELL)
    words = cuda.local.array(EACH, T)
    block = uint32(cuda.blockIdx.x)
    rest = uint32(block // across)
    j0 = int64(block - rest * across) * int64(TILE)
    matrix = uint32(rest // down)
    i0 = int64(rest - matrix * down) * int64(TILE)
    rest0 = uint32(matrix // size0)
    rest1 = uint32(rest0 // size1)
    rest2 = uint32(rest1 // size2)
    place0 = int64(matrix - rest0 * size0)
    place1 = int64(rest0 - rest1 * size1)
    place2 = int64(rest1 - rest2 * size2)
    at = place0 * in0 + place1 * in1 + place2 * in2 + int64(rest2) * in3
    to = place0 * out0 + place1 * out1 + place2 * out2 + int64(rest2) * out3
    thread = uint32(cuda.threadIdx.x)
    first = uint32(thread // uint32(TILE * WORDS))  # this thread's first row of the tile; the next are STEP further on
    word = uint32(thread - first * uint32(TILE * WORDS))
    element = uint32(word // uint32(WORDS))
    own = uint32(word - element * uint32(WORDS))
    # Outside the matrix something inside is read: without branches all of a thread's loads are under way at once.
    j = j0 + int64(first)
    place = (at + min(i0 + int64(element), rows - int64(1)) + min(j, columns - int64(1)) * step_in) * int64(WORDS) + int64(own)
    step = step_in * int64(STEP * WORDS)
    for k in unrolled(EACH):
        words[k] = x[place]
        place += select(j + int64((k + 1) * STEP) < columns, step, int64(0))
    for k in unrolled(EACH):
        cells[(first + uint32(k * STEP)) * uint32(PITCH) + word] = CELL(words[k])
    cuda.syncthreads()
    i = i0 + int64(first)
    j = j0 + int64(element)
    place = (to + i * step_out + j) * int64(WORDS) + int64(own)
    for k in unrolled(EACH):
        if i + int64(k * STEP) < rows and j < columns:
            out[place] = T(cells[element * uint32(PITCH) + (first + uint32(k * STEP)) * uint32(WORDS) + own])
        place += step_out * int64(STEP * WORDS)
