"""The single door through which every kernel starts, on any device.

A `Kernel` is a native function over a range of work items: `start(low, high, *arguments)` runs items low..high-1, with
arrays given as they are (they arrive as pointers) and sizes as integers. `kernel(items, ...)` runs all of them, on
several threads when there is work enough. Items write disjoint outputs, so the number of threads never changes a bit.

Whoever wants to see launches (the profiler, `GRADLOOM_DEBUG`, tracing) registers an observer here. While there is none, a
launch costs nothing but the call: `start` is the native function itself; with observers, `start` reports to them.
"""

from __future__ import annotations

import os
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from kernels.debug import DEBUG, say


@dataclass(frozen=True, slots=True)
class Launch:
    """One kernel launch as an observer sees it: times in seconds, traffic in bytes, arithmetic in operations.

    begin: when it started, by `time.perf_counter`. thread: which thread asked for it.
    """

    kernel: str
    device: str
    seconds: float
    bytes: int
    flops: int
    shapes: tuple[tuple[int, ...], ...]
    begin: float = 0.0
    thread: int = 0

    def __str__(self) -> str:
        seconds = max(self.seconds, 1e-9)
        rates = f"{self.bytes / seconds / 1e9:.2f} GB/s, {self.flops / seconds / 1e9:.2f} GFLOP/s"
        shapes = " ".join(map(str, self.shapes))
        return f"{self.kernel} on {self.device}: {self.seconds * 1e6:.1f} us, {rates}, {shapes}"


Observer = Callable[[Launch], None]

_observers: list[Observer] = []
_kernels: weakref.WeakSet[Kernel] = weakref.WeakSet()
_lock = threading.RLock()


class Kernel:
    """A compiled kernel and the one way to run it.

    `native` is what the device's compiler made. `cost(low, high, *arguments)` gives (operations, bytes) for the
    profiler; without it every array argument counts as read or written once. `spread` runs the kernel on several
    threads, where the device has them: `spread(kernel, items, arguments)`.
    """

    __slots__ = ("__weakref__", "cost", "details", "device", "name", "native", "spread", "start")

    start: Callable[..., Any]

    def __init__(
        self,
        name: str,
        device: str,
        native: Callable[..., Any],
        spread: Callable[[Kernel, int, tuple], None] | None = None,
        cost: Callable[..., tuple[int, int]] | None = None,
        details: Any = None,
    ) -> None:
        self.name, self.device, self.native, self.spread, self.cost = name, device, native, spread, cost
        self.details = details
        with _lock:
            _kernels.add(self)
            self.start = self._observed if _observers else native

    def __repr__(self) -> str:
        return f"<kernel {self.name} on {self.device}>"

    def __call__(self, items: int, *arguments: Any, work: int = 1) -> None:
        """Run all `items`; `work` is the cost of one of them, in elements of plain arithmetic (about 0.1 ns each)."""
        if items * work < parallel_work or self.spread is None:
            self.start(0, items, *arguments)
        elif _observers:
            self._report(0, items, arguments, lambda: self.spread(self, items, arguments))  # type: ignore[misc]
        else:
            self.spread(self, items, arguments)

    def _observed(self, low: int, high: int, *arguments: Any) -> None:
        self._report(low, high, arguments, lambda: self.native(low, high, *arguments))

    def _report(self, low: int, high: int, arguments: tuple, run: Callable[[], None]) -> None:
        begin = time.perf_counter()
        run()
        seconds = time.perf_counter() - begin
        arrays = [a for a in arguments if hasattr(a, "nbytes")]
        flops, traffic = self.cost(low, high, *arguments) if self.cost else (0, sum(touched_bytes(a) for a in arrays))
        shapes = tuple([a.shape for a in arrays])
        report(Launch(self.name, self.device, seconds, traffic, flops, shapes, begin, threading.get_ident()))


def report(launch: Launch) -> None:
    """Tell all observers of a launch."""
    for observer in tuple(_observers):
        observer(launch)


def touched_bytes(array: Any) -> int:
    """Bytes of memory behind an array: a broadcast dimension is read again from the cache, not from memory."""
    count = array.itemsize
    for size, stride in zip(array.shape, array.strides, strict=True):
        count *= size if stride else min(size, 1)
    return count


@contextmanager
def observe(observer: Observer) -> Iterator[None]:
    """Report every launch to `observer` inside the block, from all threads."""
    with _lock:
        _observers.append(observer)
        _route()
    try:
        yield
    finally:
        with _lock:
            _observers.remove(observer)
            _route()


def add_observer(observer: Observer) -> None:
    """Report every launch to `observer` for the rest of the process."""
    with _lock:
        _observers.append(observer)
        _route()


def rebind(kernel: Kernel, native: Callable[..., Any]) -> None:
    """Let a kernel start by another function from now on."""
    with _lock:
        kernel.native = native
        kernel.start = kernel._observed if _observers else native


def _route() -> None:
    for kernel in list(_kernels):
        kernel.start = kernel._observed if _observers else kernel.native


if DEBUG >= 2:
    add_observer(lambda launch: say(2, f"launch {launch}"))


# --- threads -------------------------------------------------------------------------------------------------------
#
# Below `parallel_work` elements' worth of arithmetic a launch stays on the calling thread. Waking the other threads was
# measured at 6 us (spinning) to 60 us (sleeping, which is what we ask of OpenMP: on a shared machine spinning threads
# slow everything else tenfold); a plain operation takes about 0.1 ns per float32 from cache.

PARALLEL_WORK = 1 << 20
NEVER = 1 << 62

parallel_work = PARALLEL_WORK
_threads = 0  # 0: not chosen yet


def available_threads() -> int:
    """The number of cores this process may use, or `NUMBA_NUM_THREADS` where that is set."""
    asked = os.environ.get("NUMBA_NUM_THREADS")
    if asked and asked.isdigit() and int(asked) > 0:
        return int(asked)
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0)) or 1
    return os.cpu_count() or 1


def get_num_threads() -> int:
    """How many threads a large kernel uses."""
    return _threads or available_threads()


def set_num_threads(count: int) -> None:
    """Use at most `count` threads in every kernel from now on; results do not depend on it.

    >>> import kernels
    >>> kernels.set_num_threads(1)
    >>> kernels.get_num_threads()
    1
    """
    if isinstance(count, bool) or not isinstance(count, int) or not 1 <= count <= available_threads():
        raise ValueError(
            f"set_num_threads: expected an integer from 1 to {available_threads()} (the cores this process may use; "
            f"NUMBA_NUM_THREADS raises the limit), got {count!r}"
        )
    global _threads, parallel_work
    _threads = count
    parallel_work = PARALLEL_WORK if count > 1 else NEVER


def _serial_after_fork() -> None:
    """OpenMP ends a forked child at its first parallel region, so a child computes on one thread."""
    global _threads, parallel_work, _lock
    _lock = threading.RLock()
    if threads_started:
        _threads, parallel_work = 1, NEVER


threads_started = False  # set by the device module that starts worker threads

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_serial_after_fork)

if available_threads() == 1:
    parallel_work = NEVER
