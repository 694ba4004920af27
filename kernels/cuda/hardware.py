"""A real GPU: cuda.core for devices, streams, events and launches, the driver's own functions for memory.

A kernel's arguments are raw pointers and numbers. Launch configurations are remembered, pointers are Python integers: what
is left of a launch is one call of `cuda.core.launch`. Where cubins cannot be loaded, numba.cuda's dispatcher compiles and
launches the same function (`GRADLOOM_CUDA_LAUNCH=numba` asks for that, to compare).
"""

from __future__ import annotations

import ctypes
import os
import threading
from collections import deque
from collections.abc import Callable
from typing import Any

import cuda.core as core  # pyright: ignore[reportMissingImports]
import numpy as np
from cuda.bindings import driver as cu  # pyright: ignore[reportMissingImports]

from kernels.cuda.compiler import Grid, Kernel
from kernels.cuda.memory import OutOfMemory
from kernels.cuda.runtime import Runtime, Stream, device_of
from kernels.debug import say

_PINNED_CHUNK = 1 << 22  # bytes of a pinned buffer: copies go through them piece by piece
_PINNED_CHUNKS = 8  # per device
_NUMBERS = {
    "int8": ctypes.c_int8, "int16": ctypes.c_int16, "int32": ctypes.c_int32, "int64": int,
    "uint8": ctypes.c_uint8, "uint16": ctypes.c_uint16, "uint32": ctypes.c_uint32, "uint64": ctypes.c_uint64,
    "float32": ctypes.c_float, "float64": ctypes.c_double, "bool": ctypes.c_bool,
}  # fmt: skip


def check(result: tuple, what: str) -> Any:
    """The value of a driver call; a RuntimeError that says what was attempted where it failed."""
    status, *values = result
    if int(status):
        _, name = cu.cuGetErrorName(status)
        _, text = cu.cuGetErrorString(status)
        raise RuntimeError(f"CUDA: {what} failed: {name.decode()}: {text.decode()}")
    return values[0] if len(values) == 1 else tuple(values)


class HardwareRuntime(Runtime):
    """All GPUs that the driver shows this process."""

    def __init__(self) -> None:
        super().__init__()
        self.devices = [core.Device(i) for i in range(check(cu.cuDeviceGetCount(), "counting devices"))]
        self._configurations: dict[tuple, Any] = {}
        self._kernels: dict[tuple[int, int], tuple[Any, list]] = {}
        self._last: dict[int, str] = {}  # by device: the last kernel that was started, for messages
        self._pinned = [PinnedBuffers(self, i) for i in range(len(self.devices))]
        self._lock = threading.RLock()
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
        """Make the device's context the calling thread's; cheap where it is already."""
        if getattr(self._threads, "device", None) != device:
            self.check_process()
            self.devices[device].set_current()
            self._threads.device = device

    def device_at(self, pointer: int) -> int:
        """The device whose memory an address is in."""
        attribute = cu.CUpointer_attribute.CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL
        return int(check(cu.cuPointerGetAttribute(attribute, pointer), "asking for the device of an address"))

    def foreign_stream(self, device: int, handle: int) -> Stream:
        """A stream that another library has made, by the driver's handle."""
        self.enter(device)
        return Stream(device, core.Stream.from_handle(handle))

    # --- memory ---------------------------------------------------------------------------------------------------

    def allocate(self, device: int, nbytes: int) -> int:
        self.enter(device)
        status, pointer = cu.cuMemAlloc(nbytes)
        if status == cu.CUresult.CUDA_ERROR_OUT_OF_MEMORY:
            raise OutOfMemory(nbytes)
        return int(check((status, pointer), f"allocating {nbytes:,} bytes on cuda:{device}"))

    def release(self, device: int, pointer: int) -> None:
        self.enter(device)
        check(cu.cuMemFree(pointer), f"releasing memory of cuda:{device}")

    def memory_info(self, device: int) -> tuple[int, int]:
        self.enter(device)
        return check(cu.cuMemGetInfo(), f"asking cuda:{device} for its memory")

    # --- order ----------------------------------------------------------------------------------------------------

    def new_stream(self, device: int) -> Stream:
        self.enter(device)
        return Stream(device, self.devices[device].create_stream())

    def wait(self, stream: Stream, other: Stream) -> None:
        self.enter(other.device)
        event = other.handle.record()
        self.enter(stream.device)
        stream.handle.wait(event)

    def synchronize(self, device: int) -> None:
        self.enter(device)
        try:
            self.devices[device].sync()
        except Exception as error:
            raise RuntimeError(f"cuda:{device}: {error}; the last kernel started was {self._last.get(device, 'none')}") from error

    def timed(self, device: int, run: Callable[[], None]) -> float:
        stream = self.stream(device).handle
        options = core.EventOptions(timing_enabled=True) if hasattr(core.EventOptions, "timing_enabled") else None
        options = options or core.EventOptions(enable_timing=True)
        before, after = (self.devices[device].create_event(options) for _ in range(2))
        stream.record(before)
        run()
        stream.record(after)
        after.sync()
        return (after - before) / 1e3  # cuda.core gives milliseconds

    # --- copies ---------------------------------------------------------------------------------------------------

    def to_device(self, pointer: int, host: np.ndarray, stream: Stream) -> None:
        self.enter(stream.device)
        source, left = host.ctypes.data, host.nbytes
        while left:
            size = min(left, _PINNED_CHUNK)
            buffer = self._pinned[stream.device].take()
            ctypes.memmove(buffer.address, source, size)
            check(cu.cuMemcpyHtoDAsync(pointer, buffer.address, size, stream.handle.handle), "copying to the device")
            self._pinned[stream.device].give_back(buffer, stream)
            pointer, source, left = pointer + size, source + size, left - size

    def to_host(self, host: np.ndarray, pointer: int, stream: Stream) -> None:
        self.enter(stream.device)
        target, left = host.ctypes.data, host.nbytes
        queue: deque[tuple[Any, int, int]] = deque()
        pinned = self._pinned[stream.device]

        def finish() -> None:
            buffer, place, size = queue.popleft()
            self._sync_event(buffer.event, stream.device)
            ctypes.memmove(place, buffer.address, size)
            pinned.put(buffer)

        while left:  # the copy of one piece runs while the piece before is moved on
            size = min(left, _PINNED_CHUNK)
            buffer = pinned.take()
            check(cu.cuMemcpyDtoHAsync(buffer.address, pointer, size, stream.handle.handle), "copying to the host")
            buffer.event = stream.handle.record()
            queue.append((buffer, target, size))
            pointer, target, left = pointer + size, target + size, left - size
            if len(queue) > 1:
                finish()
        while queue:
            finish()

    def _sync_event(self, event: Any, device: int) -> None:
        try:
            event.sync()
        except Exception as error:
            raise RuntimeError(f"cuda:{device}: {error}; the last kernel started was {self._last.get(device, 'none')}") from error

    def copy(self, destination: int, source: int, nbytes: int, stream: Stream) -> None:
        if nbytes:
            self.enter(stream.device)
            check(cu.cuMemcpyAsync(destination, source, nbytes, stream.handle.handle), "copying on the device")

    def fill_bytes(self, pointer: int, byte: int, nbytes: int, stream: Stream) -> None:
        if nbytes:
            self.enter(stream.device)
            check(cu.cuMemsetD8Async(pointer, byte, nbytes, stream.handle.handle), "filling memory")

    # --- launches -------------------------------------------------------------------------------------------------

    def launch(self, kernel: Kernel, grid: Grid, arguments: tuple, shared_bytes: int) -> None:
        device = -1
        for argument in arguments:
            block = getattr(argument, "block", None)
            if block is not None:
                if device < 0:
                    device = block.device
                    stream = self.stream(device)
                elif block.device != device:
                    device_of([a for a in arguments if hasattr(a, "block")])
                if block.stream is not stream:
                    block.use_on(stream)
        if device < 0:
            device, stream = 0, self.stream(0)
        self.enter(device)
        loaded = self._kernels.get((id(kernel), device)) or self._load(kernel, device, shared_bytes)
        native, converters, _ = loaded
        given = [convert(a) for convert, a in zip(converters, arguments, strict=True)]
        self._last[device] = kernel.name
        try:
            if native is None:
                self._by_dispatcher(kernel, grid, stream, given, shared_bytes)
            else:
                core.launch(stream.handle, self._configuration(grid, kernel.threads, shared_bytes), native, *given)
        except Exception as error:
            shapes = ", ".join(f"{a.dtype}{a.shape}" for a in arguments if hasattr(a, "shape"))
            error.add_note(f"in kernel {kernel.name} on cuda:{device}, grid {grid}, arrays {shapes}")
            raise

    def _configuration(self, grid: Grid, threads: int, shared_bytes: int) -> Any:
        key = (grid, threads, shared_bytes)
        found = self._configurations.get(key)
        if found is None:
            if len(self._configurations) >= 1 << 13:
                self._configurations.clear()
            found = core.LaunchConfig(grid=grid, block=threads, shmem_size=shared_bytes)
            self._configurations[key] = found
        return found

    def _load(self, kernel: Kernel, device: int, shared_bytes: int) -> tuple:
        with self._lock:
            native = None
            if os.environ.get("GRADLOOM_CUDA_LAUNCH") != "numba":
                code = core.ObjectCode.from_cubin(kernel.cubin(self.capability(device)))
                native = code.get_kernel(kernel.function)
                if shared_bytes > 48 << 10 or "LARGE_SHARED" in kernel.constants:
                    _allow_large_shared(native, device)
            converters = [_pointer if pointer else _NUMBERS[dtype] for _, dtype, pointer in kernel.parameters]
            # The kernel is kept: its id is the key.
            loaded = self._kernels[id(kernel), device] = (native, converters, kernel)
            return loaded

    def _by_dispatcher(self, kernel: Kernel, grid: Grid, stream: Stream, given: list, shared_bytes: int) -> None:
        from kernels.cuda.driver import numba_cuda

        cuda = numba_cuda()
        dispatcher = kernel._loaded.get("dispatcher")
        if dispatcher is None:
            function, signature = kernel.compiled()
            dispatcher = kernel._loaded["dispatcher"] = cuda.jit(signature, launch_bounds=kernel.threads)(function)
        values = [g.value if hasattr(g, "value") else g for g in given]
        dispatcher[grid, kernel.threads, cuda.external_stream(int(stream.handle.handle)), shared_bytes](*values)


def _pointer(array: Any) -> int:
    return 0 if array is None else array.pointer


def _allow_large_shared(native: Any, device: int) -> None:
    """Let the kernel have more than 48 KiB of shared memory, up to what the device has."""
    attribute = cu.CUdevice_attribute.CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN
    most = check(cu.cuDeviceGetAttribute(attribute, device), "asking for the shared memory")
    native.attributes.max_dynamic_shared_size_bytes = most


class Pinned:
    """A piece of pinned host memory, which the device can read and write by itself."""

    __slots__ = ("address", "event")

    def __init__(self, address: int) -> None:
        self.address, self.event = address, None


class PinnedBuffers:
    """A few pinned buffers of one device: a copy waits only where all of them are still in use."""

    def __init__(self, runtime: HardwareRuntime, device: int) -> None:
        self._runtime, self._device = runtime, device
        self._free: deque[Pinned] = deque()
        self._count = 0
        self._lock = threading.Lock()

    def take(self) -> Pinned:
        """A buffer that nobody uses any more."""
        with self._lock:
            if self._count < _PINNED_CHUNKS and (not self._free or not _is_done(self._free[0].event)):
                self._count += 1
                address = check(cu.cuMemHostAlloc(_PINNED_CHUNK, 0), "allocating pinned memory")
                return Pinned(int(address))
            buffer = self._free.popleft() if self._free else None
        if buffer is None:  # all are in the hands of other threads
            return Pinned(int(check(cu.cuMemHostAlloc(_PINNED_CHUNK, 0), "allocating pinned memory")))
        if buffer.event is not None:
            self._runtime._sync_event(buffer.event, self._device)
            buffer.event = None
        return buffer

    def give_back(self, buffer: Pinned, stream: Stream) -> None:
        """The buffer is free when the stream has done what is queued now."""
        buffer.event = stream.handle.record()
        self.put(buffer)

    def put(self, buffer: Pinned) -> None:
        """The buffer is free."""
        with self._lock:
            self._free.append(buffer)


def _is_done(event: Any) -> bool:
    return event is None or event.is_done
