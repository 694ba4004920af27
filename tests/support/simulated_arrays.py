"""Arrays for kernels in the CUDA simulator."""

import numpy as np

from kernels.cuda.simulator import Pointer

WARP = 0xFFFFFFFF  # all lanes
at = Pointer.of


def numbers(*shape, dtype=np.float32):
    """Normal numbers, the same for each shape."""
    return np.random.default_rng(sum(shape)).standard_normal(shape).astype(dtype)


def aligned(shape, dtype, content=None):
    """An array that begins at a multiple of 256 bytes, as on a device."""
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    memory = np.zeros(size + 256, np.uint8)
    start = -memory.ctypes.data % 256
    array = memory[start : start + size].view(dtype).reshape(shape)
    if content is not None:
        array[...] = content
    return array
