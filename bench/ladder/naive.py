"""Rung 1: a thread per result.

out[row, column] = sum over k of a[row, k] * b[k, column], and every thread computes one of them. Neighbouring threads take
neighbouring columns, so that the 32 threads of a warp read 32 neighbouring elements of `b` in one transaction, and all of
them the same element of `a`.

Per multiply-add a thread loads two numbers. The arithmetic units of a GPU could do dozens of multiply-adds in the time
that takes: they are idle, whatever the size. All further rungs are about loading less per multiply-add.
"""

import numpy as np

from kernels.cuda.array import DeviceArray
from kernels.cuda.compiler import kernel

# ruff: noqa: F821  (cuda and the types are names of the generated module)
# pyright: reportUndefinedVariable=false


def cost(grid, a, b, out, rows, columns, depth):
    """Operations, and bytes if everything passes once."""
    return 2 * rows * columns * depth, a.nbytes + b.nbytes + out.nbytes


@kernel(threads=256, cost=cost)
def matmul_naive(a: "T*", b: "T*", out: "T*", rows: "int64", columns: "int64", depth: "int64"):
    i = int64(cuda.blockIdx.x) * int64(THREADS) + int64(cuda.threadIdx.x)
    if i < rows * columns:
        row = i // columns
        column = i % columns
        total = T(0)
        for k in range(depth):
            total += a[row * depth + int64(k)] * b[int64(k) * columns + column]
        out[i] = total


def multiply(a: DeviceArray, b: DeviceArray, out: DeviceArray) -> None:
    """out = a @ b, all float32 in C order."""
    (rows, depth), columns = a.shape, b.shape[1]
    run = matmul_naive[np.float32]
    run(-(-rows * columns // run.threads), a, b, out, rows, columns, depth)
