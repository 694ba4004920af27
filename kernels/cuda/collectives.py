"""What several simulated threads do together: barriers, shuffles and votes, and the object `cuda` that offers them.

A thread that arrives writes down what it wants and gives control back to the scheduler in simulator.py. Once all that take
part have arrived, a `resolve` function gives each its result.
"""

import sys
from typing import Any

import numpy as np

from .execution import INTERNAL, Dimensions, SimulationError, Thread, current, here, site_of
from .places import LocalArray, SharedArray, local_array

INTERNAL.add(__file__)
_ALL = 0xFFFFFFFF
_getframe = sys._getframe


def collective(resolve: Any, mask: Any, payload: Any, depth: int) -> Any:
    """Wait until all lanes of the mask are here; `depth` frames up is the kernel."""
    thread = current.thread
    mask = int(mask) & _ALL
    thread.site = site_of(_getframe(depth))
    if not mask >> thread.lane & 1:
        raise SimulationError(f"{here(thread.site)}: lane {thread.lane} is not in its own mask {mask:#010x}")
    if current.switch is None:
        raise SimulationError(f"{here(thread.site)}: this kernel was launched with needs_threads=False")
    thread.resolve, thread.mask, thread.payload = resolve, mask, payload
    current.switch()
    return thread.result


def order(threads: list[Thread]) -> None:
    """Note that what these threads of one warp did before comes before what they do next."""
    seen = current.orderings[threads[0].warp]
    seen.append(sum(1 << thread.lane for thread in threads))
    for thread in threads:
        thread.stamp = thread.number << 24 | len(seen) << 2


def _meet(threads: list[Thread]) -> None:
    order(threads)


def _undefined(value: Any) -> Any:
    """What a lane reads from a lane that takes no part: NaN, or every bit set."""
    array = np.array(value)
    return np.full(array.nbytes, 255, np.uint8).view(array.dtype)[0]


def _shuffle(threads: list[Thread]) -> None:
    order(threads)
    values = {thread.lane: thread.payload[0] for thread in threads}
    for thread in threads:
        value, source = thread.payload
        thread.result = values[source] if source in values else _undefined(value)


def _ballot(threads: list[Thread]) -> None:
    votes = np.uint32(sum(1 << thread.lane for thread in threads if thread.payload))
    for thread in threads:
        thread.result = votes


def _any(threads: list[Thread]) -> None:
    result = np.bool_(any(thread.payload for thread in threads))
    for thread in threads:
        thread.result = result


def _all(threads: list[Thread]) -> None:
    result = np.bool_(all(thread.payload for thread in threads))
    for thread in threads:
        thread.result = result


def block_barrier(threads: list[Thread]) -> None:
    """syncthreads."""


def block_count(threads: list[Thread]) -> None:
    """syncthreads_count."""
    result = np.int32(sum(bool(thread.payload) for thread in threads))
    for thread in threads:
        thread.result = result


def block_and(threads: list[Thread]) -> None:
    """syncthreads_and."""
    result = np.int32(all(thread.payload for thread in threads))
    for thread in threads:
        thread.result = result


def block_or(threads: list[Thread]) -> None:
    """syncthreads_or."""
    result = np.int32(any(thread.payload for thread in threads))
    for thread in threads:
        thread.result = result


BLOCK_WIDE = {block_barrier, block_count, block_and, block_or}


class _Shared:
    """cuda.shared."""

    @staticmethod
    def array(shape: Any, dtype: Any, alignment: int | None = None) -> SharedArray:
        """The block's array of this place in the source, at first full of NaN; shape 0 is the dynamic shared memory."""
        return current.shared.array(shape, dtype, alignment, sys._getframe(1))


class _Local:
    """cuda.local."""

    @staticmethod
    def array(shape: Any, dtype: Any, alignment: int | None = None) -> LocalArray:
        """An array of the thread's own, at first full of NaN."""
        return local_array(shape, dtype, sys._getframe(1))


class _Atomic:
    """cuda.atomic, on integers; each function returns the old value."""

    @staticmethod
    def add(place: Any, index: Any, value: Any) -> Any:
        """place[index] += value."""
        return place.update(index, lambda old: old + old.dtype.type(value))

    @staticmethod
    def max(place: Any, index: Any, value: Any) -> Any:
        """place[index] = max(place[index], value)."""
        return place.update(index, lambda old: max(old, value))

    @staticmethod
    def min(place: Any, index: Any, value: Any) -> Any:
        """place[index] = min(place[index], value)."""
        return place.update(index, lambda old: min(old, value))

    @staticmethod
    def exch(place: Any, index: Any, value: Any) -> Any:
        """place[index] = value."""
        return place.update(index, lambda old: value)

    @staticmethod
    def cas(place: Any, index: Any, expected: Any, value: Any) -> Any:
        """place[index] = value if it was `expected`."""
        return place.update(index, lambda old: value if old == expected else old)


class Cuda:
    """What `numba.cuda` offers inside kernels, for the thread that runs now."""

    shared, local, atomic = _Shared(), _Local(), _Atomic()
    warpsize = 32

    def __init__(self) -> None:
        # Set by the scheduler whenever another thread runs.
        self.threadIdx = self.blockIdx = Dimensions((0, 0, 0))
        self.blockDim = self.gridDim = Dimensions((1, 1, 1))
        self.laneid: Any = np.int32(0)

    # --- barriers ---

    @staticmethod
    def syncthreads() -> None:
        """Wait for all threads of the block."""
        collective(block_barrier, _ALL, None, 2)

    @staticmethod
    def syncthreads_count(predicate: Any) -> Any:
        """Wait for all threads of the block; in how many of them the predicate holds."""
        return collective(block_count, _ALL, predicate, 2)

    @staticmethod
    def syncthreads_and(predicate: Any) -> Any:
        """Wait for all threads of the block; whether the predicate holds in all, as an int32."""
        return collective(block_and, _ALL, predicate, 2)

    @staticmethod
    def syncthreads_or(predicate: Any) -> Any:
        """Wait for all threads of the block; whether the predicate holds in any, as an int32."""
        return collective(block_or, _ALL, predicate, 2)

    @staticmethod
    def syncwarp(mask: Any = _ALL) -> None:
        """Wait for the lanes of the mask."""
        collective(_meet, mask, None, 2)

    # --- shuffles and votes ---

    @staticmethod
    def shfl_sync(mask: Any, value: Any, lane: Any) -> Any:
        """The value of another lane."""
        return collective(_shuffle, mask, (value, int(lane) & 31), 2)

    @staticmethod
    def shfl_up_sync(mask: Any, value: Any, delta: Any) -> Any:
        """The value of the lane `delta` below; the own one where there is none."""
        lane = current.thread.lane
        return collective(_shuffle, mask, (value, lane - int(delta) if lane >= delta else lane), 2)

    @staticmethod
    def shfl_down_sync(mask: Any, value: Any, delta: Any) -> Any:
        """The value of the lane `delta` above; the own one where there is none."""
        lane = current.thread.lane
        return collective(_shuffle, mask, (value, lane + int(delta) if lane + delta < 32 else lane), 2)

    @staticmethod
    def shfl_xor_sync(mask: Any, value: Any, lanes: Any) -> Any:
        """The value of the lane whose number differs in these bits."""
        return collective(_shuffle, mask, (value, current.thread.lane ^ int(lanes) & 31), 2)

    @staticmethod
    def ballot_sync(mask: Any, predicate: Any) -> Any:
        """One bit per lane: whether the predicate holds there."""
        return collective(_ballot, mask, bool(predicate), 2)

    @staticmethod
    def any_sync(mask: Any, predicate: Any) -> Any:
        """Whether the predicate holds in any lane."""
        return collective(_any, mask, bool(predicate), 2)

    @staticmethod
    def all_sync(mask: Any, predicate: Any) -> Any:
        """Whether the predicate holds in all lanes."""
        return collective(_all, mask, bool(predicate), 2)

    # --- bits ---

    @staticmethod
    def popc(x: Any) -> Any:
        """How many bits are set."""
        return np.int32(_unsigned(x)[0].bit_count())

    @staticmethod
    def clz(x: Any) -> Any:
        """How many bits above the highest one that is set."""
        value, bits = _unsigned(x)
        return np.int32(bits - value.bit_length())

    @staticmethod
    def ffs(x: Any) -> Any:
        """The number of the lowest bit that is set, from 1; 0 if none is."""
        value = _unsigned(x)[0]
        return np.int32((value & -value).bit_length())

    @staticmethod
    def brev(x: Any) -> Any:
        """The bits in reverse order, in the type of x."""
        value, bits = _unsigned(x)
        value = int(f"{value:0{bits}b}"[::-1], 2)
        return (np.uint64 if bits == 64 else np.uint32)(value).astype(x.dtype if hasattr(x, "dtype") else np.int64)


def _unsigned(x: Any) -> tuple[int, int]:
    """The bits of an integer as a number, and how many they are: 32, or 64 where the type (or a Python integer) has so many."""
    bits = 64 if getattr(x, "itemsize", 8) == 8 else 32
    return int(x) & ((1 << bits) - 1), bits


cuda: Any = Cuda()
