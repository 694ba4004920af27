"""Rung 4: a warp multiplies small matrices with one instruction.

Tensor cores multiply a 16x8 by an 8x8 matrix of tf32 (float32 with 10 bits of fraction), spread over the registers of a
warp, in the time of a few multiply-adds of ordinary arithmetic. To feed them,

* `ldmatrix` brings 8x8 pieces from shared memory straight to the registers where the product wants them,
* `cp.async` copies from global to shared memory without passing through registers, two tiles ahead of the arithmetic, and
* the pieces of 16 bytes are stored xor-ed, so that neither of the two meets a bank conflict.

Ten bits of fraction are too few for most of mathematics. But x = high + low with two tf32 numbers has 21 bits, and
low*high + high*low + high*high is the product to float32's accuracy: three times the work, still faster than the units for
float32. `multiply` does that, `multiply_rough` is content with one product.

The kernel is the library's `matmul_tensor` (kernels/cuda/matmul_tensor.py): precision="3xtf32" and "tf32".
"""

from kernels.cuda import runtime
from kernels.cuda.array import DeviceArray
from kernels.cuda.matmul_variants import TENSOR_TILES, Ending, tensor_kernel


def _multiply(family: str, products: int, a: DeviceArray, b: DeviceArray, out: DeviceArray) -> None:
    (rows, depth), columns = a.shape, b.shape[1]
    tile = TENSOR_TILES[family][-1 if runtime.current().is_simulated else 0]
    pair = 2 if columns % 2 == 0 else 1
    run = tensor_kernel(Ending("float32", "float32"), tile, products, True, False, depth % 4 == 0, columns % 4 == 0, pair)
    blocks = -(-rows // tile.rows) * -(-columns // tile.columns)
    run((blocks, 1), a, b, None, out, rows, columns, depth, depth, columns, 1, 0, 0, 0, 0, depth, 0)


def multiply(a: DeviceArray, b: DeviceArray, out: DeviceArray) -> None:
    """out = a @ b, all float32 in C order, to float32's accuracy."""
    _multiply("3xtf32", 3, a, b, out)


def multiply_rough(a: DeviceArray, b: DeviceArray, out: DeviceArray) -> None:
    """out = a @ b, all float32 in C order, operands rounded to 10 bits of fraction."""
    _multiply("tf32", 1, a, b, out)
