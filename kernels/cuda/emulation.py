"""The vocabulary of CUDA kernels, in the simulator; `kernels.cuda.ptx` has the same names for hardware."""

from math import inf, nan
from typing import Any

import numpy as np

from .collectives import cuda
from .emulation_bits import (
    bfloat16_of_float32,
    bfloat16_pair,
    bits_of_float32,
    bits_of_float64,
    boolean,
    float32,
    float32_of_bfloat16,
    float32_of_bits,
    float32_of_half,
    float64,
    float64_of_bits,
    fused_multiply_add,
    half_of_float32,
    half_pair,
    inlined,
    int8,
    int16,
    int32,
    int64,
    select,
    square_root,
    tf32_of_float32,
    uint8,
    uint16,
    uint32,
    uint64,
)  # fmt: skip
from .emulation_matrix import (
    ldmatrix_x2,
    ldmatrix_x2_transposed,
    ldmatrix_x4,
    ldmatrix_x4_transposed,
    mma_bf16,
    mma_f16,
    mma_tf32,
)  # fmt: skip
from .execution import INTERNAL, OutOfBounds, SimulationError, current, here, kernel_site
from .places import Pointer, SharedArray
from .races import WRITE

__all__ = [
    "Pointer", "bfloat16_of_float32", "bfloat16_pair", "bits_of_float32", "bits_of_float64", "boolean", "cp_async16",
    "cp_async16_zero", "cp_async_commit", "cp_async_wait0", "cp_async_wait1", "cp_async_wait2", "cp_async_wait3", "cuda",
    "float32", "float32_of_bfloat16", "float32_of_bits", "float32_of_half", "float64", "float64_of_bits",
    "fused_multiply_add", "half_of_float32", "half_pair", "inf", "inlined", "int8", "int16", "int32", "int64",
    "ldmatrix_x2", "ldmatrix_x2_transposed", "ldmatrix_x4", "ldmatrix_x4_transposed", "load2", "load4", "load8", "load16",
    "mma_bf16", "mma_f16", "mma_tf32", "nan", "pointer_at", "select", "square_root", "store2", "store4", "store8", "store16",
    "tf32_of_float32", "uint8", "uint16", "uint32", "uint64",
]  # fmt: skip

INTERNAL.add(__file__)

# --- several elements at once -----------------------------------------------------------------------------------------


def load2(place: Any, index: Any) -> tuple:
    """2 elements from an index; their address must be a multiple of their size."""
    return place.load(index, 2)


def load4(place: Any, index: Any) -> tuple:
    """4 elements from an index; their address must be a multiple of their size, at most 16 bytes."""
    return place.load(index, 4)


def load8(place: Any, index: Any) -> tuple:
    """8 elements from an index; their address must be a multiple of their size, at most 16 bytes."""
    return place.load(index, 8)


def load16(place: Any, index: Any) -> tuple:
    """16 elements from an index; their address must be a multiple of their size, at most 16 bytes."""
    return place.load(index, 16)


def store2(place: Any, index: Any, values: Any) -> None:
    """Write 2 elements from an index; their address must be a multiple of their size."""
    place.store(index, 2, values)


def store4(place: Any, index: Any, values: Any) -> None:
    """Write 4 elements from an index; their address must be a multiple of their size, at most 16 bytes."""
    place.store(index, 4, values)


def store8(place: Any, index: Any, values: Any) -> None:
    """Write 8 elements from an index; their address must be a multiple of their size, at most 16 bytes."""
    place.store(index, 8, values)


def store16(place: Any, index: Any, values: Any) -> None:
    """Write 16 elements from an index; their address must be a multiple of their size, at most 16 bytes."""
    place.store(index, 16, values)


# --- addresses in memory ----------------------------------------------------------------------------------------------


def pointer_at(table: Any, index: Any, T: Any) -> Pointer:
    """Element `index` of an int64 table as the address of elements of type T in global memory: a `Pointer`.

    It may be used within the array that the address lies in, which must be alive.
    """
    from kernels.cuda import runtime

    address = int(table[index])
    bounds = getattr(runtime.current(), "bounds", lambda _: None)(address)
    if bounds is None:
        raise OutOfBounds(f"{here()}: {address:#x}, element {index} of {table.title()}, is not the address of any array")
    kind = Pointer if current.trace is None else current.trace.pointer
    return kind(address, T, *bounds, name=f"{table.title().removeprefix('argument ')}[{index}]")


# --- asynchronous copies ----------------------------------------------------------------------------------------------


def _copy(shared: Any, shared_index: Any, pointer: Any, index: Any, valid_bytes: Any) -> None:
    """Remember a copy of 16 bytes; they arrive at the wait, and may arrive at any moment from now on.

    For the search for races the place is written now and at the wait: who still reads the old content is late.
    """
    valid_bytes = int(valid_bytes)
    if not isinstance(shared, SharedArray) or not isinstance(pointer, Pointer) or not 0 <= valid_bytes <= 16:
        raise SimulationError(f"{here()}: an asynchronous copy takes 0 to 16 bytes from a pointer to shared memory")
    data = np.zeros(16, np.uint8)
    data[:valid_bytes] = pointer.bytes_at(index, valid_bytes, "reads")
    target = shared.bytes_at(shared_index, 16, "writes")
    place, thread = shared.position(shared_index, 1, "writes"), current.thread
    shared.note_at(place, 16 // shared.itemsize, WRITE, thread.stamp, kernel_site())
    thread.copies.append((shared, place, target, data))


def cp_async16(shared: Any, shared_index: Any, pointer: Any, index: Any) -> None:
    """Begin to copy 16 bytes from global to shared memory; both addresses must be multiples of 16."""
    _copy(shared, shared_index, pointer, index, 16)


def cp_async16_zero(shared: Any, shared_index: Any, pointer: Any, index: Any, valid_bytes: Any) -> None:
    """Begin to copy `valid_bytes` (0 to 16) bytes from global to shared memory, and zeros for the rest of 16 bytes."""
    _copy(shared, shared_index, pointer, index, valid_bytes)


def cp_async_commit() -> None:
    """Make a group of this thread's copies since the last commit."""
    thread = current.thread
    thread.groups.append(thread.copies)
    thread.copies = []


def _wait(pending: int) -> None:
    thread = current.thread
    site = kernel_site()
    while len(thread.groups) > pending:
        for shared, place, target, data in thread.groups.pop(0):
            shared.arrive(place, target, data, thread.stamp, site)


def cp_async_wait0() -> None:
    """Wait for all of this thread's groups of copies."""
    _wait(0)


def cp_async_wait1() -> None:
    """Wait for all of this thread's groups of copies but the latest."""
    _wait(1)


def cp_async_wait2() -> None:
    """Wait for all of this thread's groups of copies but the latest two."""
    _wait(2)


def cp_async_wait3() -> None:
    """Wait for all of this thread's groups of copies but the latest three."""
    _wait(3)
