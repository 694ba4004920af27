"""Rung 3: a thread computes 8x8 results.

With 8 elements of a column of `a` and 8 of a row of `b` in registers a thread can do 64 multiply-adds: four 16-byte loads
from shared memory for 64 multiply-adds, where the rung before needed 128 loads. The 64 sums stay in registers from the
first step of the depth to the last; a block of 256 threads has 128x128 of them.

Three more things keep the arithmetic going:

* 16-byte loads everywhere, from global memory and from shared memory. The threads of a warp stand 4 x 8, and a thread's 8x8
  results are four pieces of 4x4, so that the lanes' loads fall into different banks of shared memory.
* Two tiles of each operand: while one is used, the next is on its way, first to registers, then to the other place. One
  barrier per tile is enough.
* The loops over the steps of a tile are written out (`kernels.cuda.unrolling`), so that sums have fixed registers and the
  compiler can load for the next step while it computes this one.

The kernel is the library's `matmul_tile` (kernels/cuda/matmul_kernels.py), which computes large float32 products.
"""

from kernels.cuda import runtime
from kernels.cuda.array import DeviceArray
from kernels.cuda.matmul_variants import TILES, Ending, tile_kernel


def multiply(a: DeviceArray, b: DeviceArray, out: DeviceArray) -> None:
    """out = a @ b, all float32 in C order; in the simulator with its smallest tile."""
    (rows, depth), columns = a.shape, b.shape[1]
    tile = TILES["float32"][-1 if runtime.current().is_simulated else 0]
    a_width, b_width = 4 if depth % 4 == 0 else 1, 4 if columns % 4 == 0 else 1
    run = tile_kernel(Ending("float32", "float32"), tile, True, False, a_width, b_width, b_width)
    blocks = -(-rows // tile.rows) * -(-columns // tile.columns)
    run((blocks, 1), a, b, None, out, rows, columns, depth, depth, columns, 1, 0, 0, 0, 0, depth, 0)
