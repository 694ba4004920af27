"""A real GPU: cuda.core for devices, streams, events and launches, the driver's own functions for memory.

Kernels are loaded as machine code and started with raw pointers and numbers (`kernels.cuda.launcher`). Where that machine
code cannot be loaded, numba.cuda's dispatcher compiles and launches the same function (`GRADLOOM_CUDA_LAUNCH=numba` asks for
that).
"""

from __future__ import annotations

import ctypes
import os
import threading
import weakref
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from kernels.cuda import driver
from kernels.cuda.blocks import Keeper
from kernels.cuda.compiler import Grid, Kernel
from kernels.cuda.launcher import Launcher, described
from kernels.cuda.memory import OutOfMemory
from kernels.cuda.runtime import OwnStreams, Runtime, Stream
from kernels.debug import say

core = driver.cuda_core()
cu = driver.cuda_driver()

_PINNED_CHUNK = 1 << 22  # bytes of a pinned buffer: copies go through them piece by piece
_PINNED_CHUNKS = 8  # per device
_BROKEN = range(700, 720)  # errors of kernels: nothing works in this process after one of them


def check(result: tuple, what: str, blame: Callable[[], str] | None = None) -> Any:
    """The value of a driver call; a RuntimeError that says what was attempted where it failed, and whose fault it may be."""
    status = result[0]
    if int(status):
        _, name = cu.cuGetErrorName(status)
        _, text = cu.cuGetErrorString(status)
        late = blame() if blame is not None and int(status) in _BROKEN else ""
        raise RuntimeError(f"CUDA: {what} failed: {name.decode()}: {text.decode()}{late}")
    return result[1] if len(result) == 2 else result[1:]


class _Threads(threading.local):
    """What each thread has of its own: a stream on every device that it has used, and the device it was on last."""

    def __init__(self, spare: list[Stream]) -> None:
        self.streams = OwnStreams(spare)
        self.device: int | None = None


class HardwareRuntime(Runtime):
    """All GPUs that the driver shows this process."""

    def __init__(self) -> None:
        super().__init__()
        count = check(cu.cuDeviceGetCount(), "counting devices")
        self.devices = [core.Device(i) for i in range(count)]
        self.keeper = Keeper(self)
        self.threads = self._threads = _Threads(self.spare_streams)
        self.recent = [deque(maxlen=4) for _ in range(count)]  # by device, the kernels that were started last
        self._blame = [partial(_blame, recent) for recent in self.recent]
        self._launcher = Launcher(self)
        self._pinned = [PinnedBuffers(self, i) for i in range(count)]
        if hasattr(os, "register_at_fork"):
            _watch_forks(weakref.ref(self))
        for i, device in enumerate(self.devices):
            say(1, f"device cuda:{i}: {device.name}, sm_{''.join(map(str, self.capability(i)))}")

    # --- devices --------------------------------------------------------------------------------------------------

    def device_count(self) -> int:
        return len(self.devices)

    def name(self, device: int) -> str:
        return self.devices[device].name

    def capability(self, device: int) -> tuple[int, int]:
        found = self.devices[device].compute_capability
        return found.major, found.minor

    def multiprocessors(self, device: int) -> int:
        return self.devices[device].properties.multiprocessor_count

    def enter(self, device: int) -> None:
        """Make the device's context the calling thread's, also where another library has changed it since."""
        self.check_process()
        self.devices[device].set_current()
        self.threads.device = device

    def device_at(self, pointer: int) -> int:
        """The device whose memory an address is in."""
        if self.threads.device is None:
            self.enter(0)  # any context will do
        attribute = cu.CUpointer_attribute.CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL
        return int(check(cu.cuPointerGetAttribute(attribute, pointer), "asking for the device of an address"))

    # --- memory ---------------------------------------------------------------------------------------------------

    def allocate(self, device: int, nbytes: int) -> int:
        self.enter(device)
        status, pointer = cu.cuMemAlloc(nbytes)
        if status == cu.CUresult.CUDA_ERROR_OUT_OF_MEMORY:
            raise OutOfMemory(nbytes)
        return int(check((status, pointer), f"allocating {nbytes:,} bytes on cuda:{device}", self._blame[device]))

    def release(self, device: int, pointer: int) -> None:
        self.enter(device)
        check(cu.cuMemFree(pointer), f"releasing memory of cuda:{device}", self._blame[device])

    def memory_info(self, device: int) -> tuple[int, int]:
        self.enter(device)
        return check(cu.cuMemGetInfo(), f"asking cuda:{device} for its memory", self._blame[device])

    # --- order ----------------------------------------------------------------------------------------------------

    def new_stream(self, device: int) -> Stream:
        self.enter(device)
        return Stream(device, self.devices[device].create_stream())

    def foreign_stream(self, device: int, handle: int) -> Stream:
        """A stream that another library has made, by the driver's handle."""
        self.enter(device)
        return Stream(device, core.Stream.from_handle(handle))

    def record(self, stream: Stream) -> Any:
        """An event that is done when all is that is queued on the stream now."""
        self.enter(stream.device)
        return stream.handle.record()

    def wait(self, stream: Stream, other: Stream) -> None:
        event = self.record(other)
        self.enter(stream.device)
        stream.handle.wait(event)

    def synchronize(self, device: int) -> None:
        self.enter(device)
        self.keeper.settle()  # what is held now waits only for what this waits for, too
        self._finish(self.devices[device], device)
        self.keeper.settle()

    def _finish(self, what: Any, device: int) -> None:
        """Wait for an event or a device."""
        try:
            what.sync()
        except Exception as error:
            raise RuntimeError(f"CUDA: cuda:{device} failed: {error}{self._blame[device]()}") from error

    def timed(self, device: int, run: Callable[[], None]) -> float:
        stream = self.stream(device).handle
        self.enter(device)
        timing = "timing_enabled" if hasattr(core.EventOptions, "timing_enabled") else "enable_timing"  # before cuda.core 1
        options = core.EventOptions(**{timing: True})
        before, after = (self.devices[device].create_event(options) for _ in range(2))
        stream.record(before)
        run()
        stream.record(after)
        self._finish(after, device)
        return (after - before) / 1e3  # cuda.core gives milliseconds

    # --- copies ---------------------------------------------------------------------------------------------------

    def to_device(self, pointer: int, host: np.ndarray, stream: Stream) -> None:
        device = stream.device
        self.enter(device)
        source, left = host.ctypes.data, host.nbytes
        pinned, handle = self._pinned[device], stream.handle.handle
        while left:
            size = min(left, _PINNED_CHUNK)
            buffer = pinned.take()
            ctypes.memmove(buffer.address, source, size)
            check(cu.cuMemcpyHtoDAsync(pointer, buffer.address, size, handle), "copying to the device", self._blame[device])
            buffer.event = stream.handle.record()
            pinned.put(buffer)
            pointer, source, left = pointer + size, source + size, left - size

    def to_host(self, host: np.ndarray, pointer: int, stream: Stream) -> None:
        device = stream.device
        self.enter(device)
        target, left = host.ctypes.data, host.nbytes
        queue: deque[tuple[Any, int, int]] = deque()
        pinned, handle = self._pinned[device], stream.handle.handle

        def finish() -> None:
            buffer, place, size = queue.popleft()
            self._finish(buffer.event, device)
            buffer.event = None
            ctypes.memmove(place, buffer.address, size)
            pinned.put(buffer)

        while left:  # the copy of one piece runs while the piece before is moved on
            size = min(left, _PINNED_CHUNK)
            buffer = pinned.take()
            check(cu.cuMemcpyDtoHAsync(buffer.address, pointer, size, handle), "copying to the host", self._blame[device])
            buffer.event = stream.handle.record()
            queue.append((buffer, target, size))
            pointer, target, left = pointer + size, target + size, left - size
            if len(queue) > 1:
                finish()
        while queue:
            finish()

    def copy(self, destination: int, source: int, nbytes: int, stream: Stream) -> None:
        if nbytes:
            self.enter(stream.device)
            result = cu.cuMemcpyAsync(destination, source, nbytes, stream.handle.handle)
            check(result, "copying on the device", self._blame[stream.device])

    def fill_bytes(self, pointer: int, byte: int, nbytes: int, stream: Stream) -> None:
        if nbytes:
            self.enter(stream.device)
            result = cu.cuMemsetD8Async(pointer, byte, nbytes, stream.handle.handle)
            check(result, "filling memory", self._blame[stream.device])

    def launch(self, kernel: Kernel, grid: Grid, arguments: tuple, shared_bytes: int) -> None:
        self._launcher.launch(kernel, grid, arguments, shared_bytes)


def _blame(recent: deque) -> str:
    """The kernels that may be the cause of an error that shows late."""
    if not recent:
        return ""
    latest = "; ".join(map(described, reversed(recent)))
    return f". One of the kernels started last, or an earlier one, failed: {latest}. The process has to be started again"


def _watch_forks(runtime: weakref.ref[HardwareRuntime]) -> None:
    def forget_threads() -> None:
        here = runtime()
        if here is not None:  # the next use of a device or a stream finds that the process is another one
            here.threads.streams.clear()
            here.threads.device = None

    os.register_at_fork(after_in_child=forget_threads)


class Pinned:
    """A piece of pinned host memory, which the device can read and write by itself."""

    __slots__ = ("address", "event")

    def __init__(self, address: int) -> None:
        self.address = address
        self.event: Any = None  # after the last copy from or to it


class PinnedBuffers:
    """A few pinned buffers of one device: a copy waits only where all of them are still in use."""

    def __init__(self, runtime: HardwareRuntime, device: int) -> None:
        self._runtime, self._device = runtime, device
        self._free: deque[Pinned] = deque()
        self._count = 0
        self._lock = threading.Lock()

    def take(self) -> Pinned:
        """A buffer that nobody uses any more; the calling thread is on its device."""
        with self._lock:
            buffer = self._free.popleft() if self._free and self._is_ready() else None
            if buffer is None:  # none at all, or all in the hands of other threads
                self._count += 1
        if buffer is None:
            return Pinned(int(check(cu.cuMemHostAlloc(_PINNED_CHUNK, 0), "allocating pinned memory")))
        if buffer.event is not None:
            self._runtime._finish(buffer.event, self._device)
            buffer.event = None
        return buffer

    def _is_ready(self) -> bool:
        """Whether the first buffer is to be taken: its copy is done, or there are enough buffers to wait for it."""
        return self._count >= _PINNED_CHUNKS or self._free[0].event is None or self._free[0].event.is_done

    def put(self, buffer: Pinned) -> None:
        """The buffer is free as soon as its event is done."""
        with self._lock:
            self._free.append(buffer)
