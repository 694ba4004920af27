"""A real GPU: cuda.core for devices, streams, events and launches, the driver's own functions for memory.

A kernel's arguments are raw pointers and numbers. What a launch needs (the loaded kernel, how its arguments are passed, its
launch configurations) is remembered by kernel: what is left is one call of `cuda.core.launch`. Where machine code cannot be
loaded, numba.cuda's dispatcher compiles and launches the same function (`GRADLOOM_CUDA_LAUNCH=numba` asks for that).
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

import cuda.core as core  # pyright: ignore[reportMissingImports]
import numpy as np
from cuda.bindings import driver as cu  # pyright: ignore[reportMissingImports]

from kernels.cuda.allocator import Keeper
from kernels.cuda.compiler import Grid, Kernel
from kernels.cuda.memory import OutOfMemory
from kernels.cuda.runtime import Runtime, Stream, device_of
from kernels.debug import say

_PINNED_CHUNK = 1 << 22  # bytes of a pinned buffer: copies go through them piece by piece
_PINNED_CHUNKS = 8  # per device
_CONFIGURATIONS = 1 << 10  # per kernel
_SHARED = 48 << 10  # bytes of shared memory that a block may have without asking
# cuda.core passes a Python int as 8 bytes, a float as a double, and NumPy's scalars at their own width.
_NUMBERS: dict[str, Callable[[Any], Any]] = {
    "int8": np.int8, "int16": np.int16, "int32": np.int32, "int64": int, "uint8": np.uint8, "uint16": np.uint16,
    "uint32": np.uint32, "uint64": np.uint64, "float32": np.float32, "float64": float, "bool": np.bool_,
}  # fmt: skip
# What the driver answers to machine code that it cannot load; anything else is an error of its own.
_UNLOADABLE = ("INVALID_IMAGE", "NO_BINARY_FOR_GPU", "NOT_SUPPORTED", "UNSUPPORTED_PTX_VERSION", "JIT_COMPILER_NOT_FOUND")
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


class HardwareRuntime(Runtime):
    """All GPUs that the driver shows this process."""

    def __init__(self) -> None:
        super().__init__()
        count = check(cu.cuDeviceGetCount(), "counting devices")
        self.devices = [core.Device(i) for i in range(count)]
        self.keeper = Keeper(self)
        self._prepared: dict[Kernel, Prepared] = {}
        self._recent = [deque(maxlen=4) for _ in range(count)]  # the kernels that were started last, for messages
        self._blame = [partial(_blame, recent) for recent in self._recent]
        self._pinned = [PinnedBuffers(self, i) for i in range(count)]
        self._lock = threading.RLock()
        self._by_numba = os.environ.get("GRADLOOM_CUDA_LAUNCH") == "numba"
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
        self._threads.device = device

    def device_at(self, pointer: int) -> int:
        """The device whose memory an address is in."""
        if getattr(self._threads, "device", None) is None:
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

    # --- launches -------------------------------------------------------------------------------------------------

    def launch(self, kernel: Kernel, grid: Grid, arguments: tuple, shared_bytes: int) -> None:
        prepared = self._prepared.get(kernel) or self._prepare(kernel)
        given, stream, shapes = list(arguments), None, []
        if len(given) != prepared.count:
            raise TypeError(f"kernel {kernel.name} takes {prepared.count} arguments, got {len(given)}")
        for i in prepared.pointers:
            array = given[i]
            if array is None:
                given[i] = 0
                continue
            block = array.block
            if block.stream is not stream:
                stream = self._brought(block, stream, arguments)
            given[i] = array.pointer
            shapes.append(array.shape)
        for i, convert in prepared.numbers:
            given[i] = convert(given[i])
        if stream is None:
            stream = self.stream(0)
        device = stream.device
        if getattr(self._threads, "device", None) is None:
            self.enter(device)  # which device it is does not matter: a launch is in its stream's context
        configuration = prepared.configurations.get((device, grid, shared_bytes))
        self._recent[device].append((kernel.name, grid, shapes))
        try:
            if configuration is None:
                configuration = self._configured(prepared, kernel, device, grid, shared_bytes)
            native, options = configuration
            if native is None:
                self._by_dispatcher(kernel, grid, stream, given, shared_bytes)
            else:
                core.launch(stream.handle, options, native, *given)
        except Exception as error:
            error.add_note(f"in {_described((kernel.name, grid, shapes))}, on cuda:{device}, or in a kernel started before it")
            raise

    def _brought(self, block: Any, stream: Stream | None, arguments: tuple) -> Stream:
        """The stream for a launch that uses this block, too, with the block in its order."""
        if stream is None:
            stream = self.stream(block.device)
        elif block.device != stream.device:
            device_of([a for a in arguments if hasattr(a, "block")])  # raises, and says which
        block.use_on(stream)
        return stream

    def _prepare(self, kernel: Kernel) -> Prepared:
        with self._lock:
            return self._prepared.setdefault(kernel, Prepared(kernel))

    def _configured(self, prepared: Prepared, kernel: Kernel, device: int, grid: Grid, shared_bytes: int) -> tuple[Any, Any]:
        """The loaded kernel and the launch options for a grid seen for the first time."""
        with self._lock:
            if device not in prepared.loaded:
                self.enter(device)
                prepared.loaded[device] = self._load(kernel, device)
            native = prepared.loaded[device]
            if native is not None and shared_bytes > prepared.shared.get(device, _SHARED):
                prepared.shared[device] = _allow_shared(native, device)
            if len(prepared.configurations) >= _CONFIGURATIONS:
                prepared.configurations.clear()
            options = None if native is None else core.LaunchConfig(grid=grid, block=kernel.threads, shmem_size=shared_bytes)
            found = prepared.configurations[device, grid, shared_bytes] = (native, options)
            return found

    def _load(self, kernel: Kernel, device: int) -> Any:
        """The kernel for cuda.core; None where numba.cuda shall launch it."""
        if self._by_numba:
            return None
        code = kernel.cubin(self.capability(device))
        try:
            return core.ObjectCode.from_cubin(code).get_kernel(kernel.function)
        except Exception as error:
            if not any(name in str(error) for name in _UNLOADABLE):
                raise
            say(0, f"kernel {kernel.name}: its machine code cannot be loaded ({error}); numba.cuda launches it, more slowly")
            return None

    def _by_dispatcher(self, kernel: Kernel, grid: Grid, stream: Stream, given: list, shared_bytes: int) -> None:
        from kernels.cuda.driver import numba_cuda

        cuda = numba_cuda()
        self.enter(stream.device)
        key = ("dispatcher", stream.device)  # its machine code is for one device
        dispatcher = kernel._loaded.get(key)
        if dispatcher is None:
            function, signature = kernel.compiled()
            dispatcher = kernel._loaded[key] = cuda.jit(signature, launch_bounds=kernel.launch_bounds)(function)
        values = [g.item() if isinstance(g, np.generic) else g for g in given]
        dispatcher[grid, kernel.threads, cuda.external_stream(int(stream.handle.handle)), shared_bytes](*values)


class Prepared:
    """What is remembered of a kernel.

    pointers, numbers: the places of its arguments, and what converts a number. loaded: by device. configurations: by
    (device, grid, bytes of shared memory), the loaded kernel and cuda.core's options for it. shared: by device, the most
    shared memory that it may have, where it has asked for more than usual.
    """

    __slots__ = ("configurations", "count", "loaded", "numbers", "pointers", "shared")

    def __init__(self, kernel: Kernel) -> None:
        self.count = len(kernel.parameters)
        self.pointers = tuple([i for i, (_, _, pointer) in enumerate(kernel.parameters) if pointer])
        self.numbers = tuple([(i, _NUMBERS[dtype]) for i, (_, dtype, pointer) in enumerate(kernel.parameters) if not pointer])
        self.loaded: dict[int, Any] = {}
        self.configurations: dict[tuple, tuple[Any, Any]] = {}
        self.shared: dict[int, int] = {}


def _blame(recent: deque) -> str:
    """The kernels that may be the cause of an error that shows late."""
    if not recent:
        return ""
    latest = "; ".join(map(_described, reversed(recent)))
    return f". One of the kernels started last, or an earlier one, failed: {latest}. The process has to be started again"


def _described(launched: tuple[str, Grid, list]) -> str:
    name, grid, shapes = launched
    return f"kernel {name}, grid {grid}, arrays of shapes {', '.join(map(str, shapes)) or 'none'}"


def _allow_shared(native: Any, device: int) -> int:
    """Let the kernel have as much shared memory as the device gives a block beyond the kernel's own fixed arrays."""
    optin = cu.CUdevice_attribute.CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN
    fixed, dynamic = (
        cu.CUfunction_attribute.CU_FUNC_ATTRIBUTE_SHARED_SIZE_BYTES,
        cu.CUfunction_attribute.CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES,
    )
    handle = native.handle
    most = check(cu.cuDeviceGetAttribute(optin, device), "asking for the shared memory")
    most -= check(cu.cuKernelGetAttribute(fixed, handle, device), "asking for a kernel's shared memory")
    check(cu.cuKernelSetAttribute(dynamic, most, handle, device), "allowing a kernel more shared memory")
    return most


def _watch_forks(runtime: weakref.ref[HardwareRuntime]) -> None:
    def forget_threads() -> None:
        here = runtime()
        if here is not None:  # the next use of a device or a stream finds that the process is another one
            here._threads = threading.local()

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
