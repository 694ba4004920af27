"""Rung 2: a block shares tiles in shared memory.

The 256 threads of a block compute 16x16 results. They all need the same 16 rows of `a` and 16 columns of `b`, so they load
a tile of each together, one element per thread, wait for each other, and then read every element 16 times from shared
memory, which is on the chip. Global memory is read 16 times less.

Two barriers per tile are needed: one before the tile is read (is it all there?), one before the next takes its place (has
everybody finished with it?).

Now shared memory is what everybody waits for: still two loads per multiply-add. The kernel is the library's
`matmul_shared` (kernels/cuda/matmul_kernels.py), which multiplies integers, with any strides.
"""

from kernels.cuda.array import DeviceArray
from kernels.cuda.matmul_variants import Ending, shared_kernel

SIDE = 16


def multiply(a: DeviceArray, b: DeviceArray, out: DeviceArray) -> None:
    """out = a @ b, all float32 in C order."""
    (rows, depth), columns = a.shape, b.shape[1]
    run = shared_kernel(Ending("float32", "float32"), SIDE)
    blocks = -(-rows // SIDE) * -(-columns // SIDE)
    run(blocks, a, b, None, out, rows, columns, depth, depth, 1, columns, 1, 1, 0, 0, 0, 0)
