"""How a matrix product becomes fast on a GPU, in four rungs; each file explains the one idea that it adds.

    naive           a thread per result, everything from global memory
    tile            a block shares tiles of both operands in shared memory
    register_tile   a thread computes 8x8 results from registers
    tensor_cores    a warp multiplies small matrices with one instruction

All but the first are the library's own kernels. `python -m bench.ladder` runs them one after the other.
"""

from bench.ladder.runner import Rung, check, measure, rungs
