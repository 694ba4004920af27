"""Memory for results: a caching allocator, and a poison mode for tests.

Small arrays come from NumPy, which keeps its own cache of them. From 64 KiB on, blocks are kept when their array dies and
given out again: fresh memory from the operating system costs a page fault every 4 KiB, which is more than most kernels
spend on it. Blocks are rounded up to a few sizes per power of two, aligned to 64 bytes, and reused only for a request
that fills at least three quarters of them.

In poison mode (`set_poison(True)`, or `GRADLOOM_POISON=1`) all new memory is filled with NaN (or a wild integer), so
that a kernel that leaves an element unwritten is seen, and blocks are filled again when they come back.
"""

from __future__ import annotations

import ctypes
import os
import threading
import weakref
from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np

CACHED_FROM = 1 << 16  # bytes
ALIGNMENT = 64
DEFAULT_LIMIT = 1 << 31  # bytes of unused blocks kept at most

_POISON_BYTE = 0xFF  # as float16/32/64 a NaN, as an integer -1 (or the largest unsigned), as a bool neither 0 nor 1


class CachingAllocator:
    """Blocks of host memory that outlive their arrays.

    A block is lent as a ctypes buffer that the array holds as its base; when the last view of it is gone, a weak
    reference brings the block back. All counts are in bytes.
    """

    def __init__(self, limit: int = DEFAULT_LIMIT) -> None:
        self.limit = limit
        self.allocated = 0
        self.peak = 0
        self.cached = 0
        self.poison = False
        self._free: dict[int, list[np.ndarray]] = {}
        self._lent: dict[int, tuple[Any, np.ndarray]] = {}
        # Re-entrant: a garbage collection inside the lock may bring a block back.
        self._lock = threading.RLock()

    def empty(self, shape: tuple[int, ...], dtype: np.dtype, nbytes: int) -> np.ndarray:
        """An uninitialised array of `nbytes` bytes, C-ordered and aligned."""
        size = round_up(nbytes)
        with self._lock:
            blocks = self._free.get(size)
            block = blocks.pop() if blocks else None
            if block is not None:
                self.cached -= size
            self.allocated += size
            self.peak = max(self.peak, self.allocated)
        if block is None:
            block = self._new_block(size)
        return self._lend(block, size, shape, dtype)

    def _new_block(self, size: int) -> np.ndarray:
        try:
            return np.empty(size + ALIGNMENT, np.uint8)
        except MemoryError:
            self.empty_cache()
            try:
                return np.empty(size + ALIGNMENT, np.uint8)
            except MemoryError:
                with self._lock:
                    self.allocated -= size
                    in_use = self.allocated
                raise MemoryError(
                    f"could not allocate {size:,} bytes on cpu: {in_use:,} bytes are in use by large arrays and none "
                    "are cached; use smaller batches, or free tensors and graphs that are no longer needed"
                ) from None

    def _lend(self, block: np.ndarray, size: int, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
        address = block.ctypes.data
        lease = (ctypes.c_char * size).from_address(address + -address % ALIGNMENT)
        key = id(lease)
        self._lent[key] = (weakref.ref(lease, lambda _: self._take_back(key, size)), block)
        if self.poison:
            block.fill(_POISON_BYTE)
        return np.ndarray(shape, dtype, lease)  # type: ignore[arg-type]

    def _take_back(self, key: int, size: int) -> None:
        with self._lock:
            _, block = self._lent.pop(key)
            self.allocated -= size
            if self.poison:
                block.fill(_POISON_BYTE)
            if self.cached + size <= self.limit:
                self.cached += size
                self._free.setdefault(size, []).append(block)

    def empty_cache(self) -> None:
        """Give all unused blocks back to the operating system."""
        with self._lock:
            self._free.clear()
            self.cached = 0


def round_up(nbytes: int) -> int:
    """The block size for a request: the next of four steps per power of two.

    >>> round_up(70_000), round_up(1 << 20)
    (81920, 1048576)
    """
    step = 1 << max((nbytes - 1).bit_length() - 3, 12)
    return -(-nbytes // step) * step


allocator = CachingAllocator()


def _unlock_after_fork() -> None:
    """Another thread may have held the lock when the process was forked; it does not exist in the child."""
    allocator._lock = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_unlock_after_fork)

_on_change: list[Callable[[], None]] = []


def empty(shape: tuple[int, ...], dtype: np.dtype | type) -> np.ndarray:
    """An uninitialised C-ordered array; large ones from the caching allocator."""
    dtype = np.dtype(dtype)
    return maker(tuple(shape), dtype)(tuple(shape), dtype)


def maker(shape: tuple[int, ...], dtype: np.dtype) -> Callable[[tuple[int, ...], np.dtype], np.ndarray]:
    """The function `(shape, dtype) -> array` that serves requests of this size: decide once, allocate often.

    It must be asked for again when poison mode is switched: see `on_change`.
    """
    nbytes = prod(shape) * dtype.itemsize
    if nbytes >= CACHED_FROM:
        return lambda shape, dtype: allocator.empty(shape, dtype, nbytes)
    return _poisoned if allocator.poison else np.empty


def _poisoned(shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    array = np.empty(shape, dtype)
    if array.size:
        array.reshape(-1).view(np.uint8).fill(_POISON_BYTE)
    return array


def set_poison(on: bool) -> None:
    """Fill all memory that kernels get with NaN from now on (or stop doing so): for tests."""
    allocator.poison = bool(on)
    allocator.empty_cache()
    for forget in _on_change:
        forget()


def on_change(forget: Callable[[], None]) -> None:
    """Have `forget` called whenever functions given out by `maker` become stale."""
    _on_change.append(forget)


def memory_allocated() -> int:
    """Bytes of large arrays (64 KiB and more) now alive on the CPU."""
    return allocator.allocated


def max_memory_allocated() -> int:
    """The largest value `memory_allocated` has had."""
    return allocator.peak


def empty_cache() -> None:
    """Give unused cached memory back to the operating system."""
    allocator.empty_cache()


def memory_summary() -> str:
    """The allocator's state in one line."""
    a = allocator
    return f"cpu memory: {a.allocated:,} bytes in use, {a.peak:,} at most, {a.cached:,} cached"


if os.environ.get("GRADLOOM_POISON", "0") not in ("", "0"):
    set_poison(True)
