"""The vocabulary of CUDA kernels, on hardware; `kernels.cuda.emulation` has the same names for the simulator.

A kernel's source imports what it needs from one of the two; its body is the same. Beside `cuda` itself (threadIdx, shared
memory, shuffles, barriers), the types and `Pointer`, these are instructions that Python syntax cannot name. A place is a
pointer, or a shared or local array of one dimension, and an index counts its elements.
"""

from __future__ import annotations

from math import inf, nan

from kernels.cuda import driver
from kernels.cuda.ptx_bits import (
    bfloat16_of_float32,
    bfloat16_pair,
    bits_of_float32,
    bits_of_float64,
    float32_of_bfloat16,
    float32_of_bits,
    float32_of_half,
    float64_of_bits,
    fused_multiply_add,
    half_of_float32,
    half_pair,
    select,
    square_root,
    tf32_of_float32,
)  # fmt: skip
from kernels.cuda.ptx_matrix import (
    ldmatrix_x2,
    ldmatrix_x2_transposed,
    ldmatrix_x4,
    ldmatrix_x4_transposed,
    mma_bf16,
    mma_f16,
    mma_tf32,
)  # fmt: skip
from kernels.cuda.ptx_memory import (
    Pointer,
    cp_async16,
    cp_async16_zero,
    cp_async_commit,
    cp_async_wait0,
    cp_async_wait1,
    cp_async_wait2,
    cp_async_wait3,
    load2,
    load4,
    load8,
    load16,
    pointer_at,
    store2,
    store4,
    store8,
    store16,
)  # fmt: skip

cuda = driver.numba_cuda()
_types = driver.numba_types()

boolean = _types.boolean
int8, int16, int32, int64 = _types.int8, _types.int16, _types.int32, _types.int64
uint8, uint16, uint32, uint64 = _types.uint8, _types.uint16, _types.uint32, _types.uint64
float32, float64 = _types.float32, _types.float64

inlined = cuda.jit(device=True, forceinline=True)
"""Makes a function part of the kernels that call it."""

__all__ = [
    "Pointer", "bfloat16_of_float32", "bfloat16_pair", "bits_of_float32", "bits_of_float64", "boolean", "cp_async16",
    "cp_async16_zero", "cp_async_commit", "cp_async_wait0", "cp_async_wait1", "cp_async_wait2", "cp_async_wait3", "cuda",
    "float32", "float32_of_bfloat16", "float32_of_bits", "float32_of_half", "float64", "float64_of_bits",
    "fused_multiply_add", "half_of_float32", "half_pair", "inf", "inlined", "int8", "int16", "int32", "int64",
    "ldmatrix_x2", "ldmatrix_x2_transposed", "ldmatrix_x4", "ldmatrix_x4_transposed", "load2", "load4", "load8", "load16",
    "mma_bf16", "mma_f16", "mma_tf32", "nan", "pointer_at", "select", "square_root", "store2", "store4", "store8", "store16",
    "tf32_of_float32", "uint8", "uint16", "uint32", "uint64",
]  # fmt: skip
