"""Device memory for whoever uses it: the allocator of each device, and what it says about itself."""

from __future__ import annotations

import threading
from functools import cache
from typing import Any

from kernels import memory as host_memory
from kernels.cuda.allocator import CachingAllocator, OutOfMemory, OutOfMemoryError, Poison
from kernels.cuda.blocks import Block, device_name

__all__ = [
    "Block", "CachingAllocator", "OutOfMemory", "OutOfMemoryError", "allocator", "device_name", "empty_cache", "foreign_block",
    "max_memory_allocated", "memory_allocated", "memory_reserved", "memory_summary", "parse_device", "reset_peak_memory_stats",
    "set_poison",
]  # fmt: skip

_allocators: dict[int, CachingAllocator] = {}
_making = threading.Lock()


def _runtime() -> Any:
    from kernels.cuda import runtime

    return runtime.current()


def parse_device(device: str | int) -> int:
    """The number of a device, given as a number, "cuda" or "cuda:1".

    Raises:
        ValueError: there is no such device; the message says how many there are.
    """
    return _parse_device(device)


@cache
def _parse_device(device: str | int) -> int:
    kind, colon, digits = f"cuda:{device}".partition(":") if isinstance(device, int) else str(device).partition(":")
    if kind != "cuda" or (colon and not digits.isdecimal()):
        raise ValueError(f"unknown CUDA device {device!r}: expected 'cuda', 'cuda:0', 'cuda:1', ...")
    number, count = int(digits or 0), _runtime().device_count()
    if number >= count:
        there = "there is one CUDA device, 'cuda:0'" if count == 1 else f"there are {count} CUDA devices, counted from 0"
        raise ValueError(f"no device {device!r}: {there}")
    return number


def allocator(device: str | int = 0) -> CachingAllocator:
    """The allocator of a device, made at the first call."""
    found = _allocators.get(device) if type(device) is int else None
    if found is None:
        number = parse_device(device)
        with _making:
            found = _allocators.get(number)
            if found is None:
                found = _allocators[number] = CachingAllocator(_runtime(), number)
    return found


def _chosen(device: str | int | None) -> list[CachingAllocator]:
    return list(_allocators.values()) if device is None else [allocator(device)]


def memory_allocated(device: str | int | None = None) -> int:
    """Bytes that arrays use now on a device, or on all of them."""
    return sum(each.allocated for each in _chosen(device))


def max_memory_allocated(device: str | int | None = None) -> int:
    """The largest value `memory_allocated` has had since `reset_peak_memory_stats`; of all devices, the sum of each one's."""
    return sum(each.peak for each in _chosen(device))


def reset_peak_memory_stats(device: str | int | None = None) -> None:
    """Let `max_memory_allocated` start again at what is in use now."""
    for each in _chosen(device):
        each.reset_peak()


def memory_reserved(device: str | int | None = None) -> int:
    """Bytes held from a device, or from all of them, in use or cached."""
    return sum(each.reserved for each in _chosen(device))


def empty_cache() -> None:
    """Give all memory back to the devices that no array uses."""
    for each in _chosen(None):
        each.empty_cache()


def memory_summary(device: str | int | None = None) -> str:
    """The state of a device's memory as a table; of the first device unless told."""
    return allocator(0 if device is None else device).summary()


def set_poison(on: bool) -> None:
    """Fill all device memory that kernels get with NaN from now on (or stop doing so): for tests.

    `kernels.memory.set_poison` (and `GRADLOOM_POISON=1`) switches it for the CPU and for CUDA devices.
    """
    Poison.on = bool(on)


def foreign_block(pointer: int, nbytes: int, device: int, stream: Any, owner: Any, runtime: Any = None) -> Block:
    """Memory of another library, which lives as long as `owner` does; never given out again by us."""
    runtime = runtime if runtime is not None else _runtime()
    block = Block(runtime, pointer, nbytes, device, stream, owner)
    keeper = getattr(runtime, "keeper", None)
    if keeper is not None:
        keeper.settle()
        block.returned = keeper.returned
    return block


def _follow_host() -> None:
    set_poison(host_memory.allocator.poison)


host_memory.on_change(_follow_host)
_follow_host()
